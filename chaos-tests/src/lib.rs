//! Runs whole clusters of real processes on this machine, disturbs them, and looks at what they promised.
//! The library is the harness; the tests are in `tests/`, one file per subject.

pub mod clock;
pub mod cluster;
pub mod disk;
pub mod net;

pub use boss_verify::api;
pub mod audits;
pub mod bossctl_run;
pub mod http;
pub mod identity_provider;
pub mod look;
pub mod machine;
pub mod manifests;
pub mod needs;
pub mod tokens;
pub mod workload;

pub mod bugs;
pub mod nemesis;
pub mod report;
pub mod sample;
pub mod simulation;
pub mod sprint;

pub mod checkers;
pub use boss_verify::history;

pub mod bench;
pub mod versus;

pub mod binaries;
pub mod ports;
pub mod proc;
pub mod process;
pub mod run_folder;
pub mod wait;
