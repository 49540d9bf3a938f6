//! What is done to clusters. [`schedule`] decides what and when, from a seed, as plain data; [`run`] does it and writes
//! down what became of it. Neither judges anything.

mod agents;
mod behind;
mod disks;
mod family;
pub mod fault;
pub(crate) mod groups;
pub mod run;
pub mod schedule;
mod servers;
mod words;

pub use self::{
    family::Family,
    fault::{DiskFault, Fault, Target},
    run::Disturber,
    schedule::{Plan, Step},
};
