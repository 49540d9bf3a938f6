//! The command line of Boss, as a library so that tests and the harness of the whole system use the same code.
//! `provision` makes a cluster's folder, `dev` runs one on this machine, `commands` is what users call.

pub mod args;
pub mod bench;
pub mod commands;
pub mod context;
pub mod dev;
pub mod failure;
pub mod login;
pub mod metric_definitions;
pub mod output;
pub mod provision;
pub mod session;
pub mod terminal;
