//! What admission policies say about objects: rules as expressions, and the built-in profiles. The servers ask it about
//! every write, `bossctl policy test` about files; both mean the same. Knows no network, no storage, no clock.

mod bounds;
mod budget;
mod compile;
mod evaluate;
mod matching;
pub mod profile;
#[cfg(test)]
mod tests;

pub use self::{
    compile::{Action, OnFailure, Params, Policy, Problem},
    evaluate::{FindParams, Finding, Outcome, Review, mutate, validate},
    matching::{Caller, Operation, Write},
};
