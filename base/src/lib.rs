//! What every process of ours needs, whatever its job: time, tasks, transport security, identity documents,
//! telemetry, safe files. Knows no word of the domain.

#![allow(unexpected_cfgs, reason = "fuzzers are built with cfg(fuzzing), which Cargo does not know")]

pub mod backoff;
pub mod bugs;
pub mod clock;
pub mod config;
pub mod constant_time;
pub mod failpoints;
pub mod files;
pub mod fuzz;
pub mod journal;
pub mod jwt;
pub mod net;
pub mod open_files;
pub mod pki;
pub mod sealing;
pub mod signals;
pub mod tasks;
pub mod telemetry;
pub mod tls;
