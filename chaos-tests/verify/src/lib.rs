//! Clients that remember what they were told, and judges of it: whether a cluster keeps its promises, seen from outside.
//! For the chaos tests and for `bossctl verify`. Knows no process, no fault and no command line.

pub mod run;

pub mod api;
pub mod records;
pub mod workload;

pub mod checkers;
pub mod history;
