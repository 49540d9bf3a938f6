//! The command line of Boss, as a library so that tests and the harness of the whole system use the same code.
//! `provision` makes a cluster's folder, `dev` runs one on this machine, `commands` is what users call.

#![allow(unexpected_cfgs, reason = "fuzzers are built with cfg(fuzzing), which Cargo does not know")]

pub mod args;
pub mod bench;
pub mod commands;
pub mod context;
pub mod dev;
pub mod failure;
#[cfg(any(test, fuzzing))]
pub mod fuzz;
pub mod login;
pub mod metric_definitions;
pub mod output;
pub mod provision;
pub mod session;
pub mod terminal;
