//! What is done to clusters. [`schedule`] decides what and when, from a seed, as plain data; [`run`] does it and writes
//! down what became of it. Neither judges anything.

mod disks;
pub mod fault;
pub mod run;
pub mod schedule;
pub(crate) mod starve;

pub use self::{
    fault::{DiskFault, Family, Fault, Target},
    run::Disturber,
    schedule::{Plan, Step},
};
