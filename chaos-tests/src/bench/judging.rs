//! How long the judge of linearizability takes for a long history.

use std::{fmt, time::Duration};

use tokio::time::Instant;

use crate::{
    checkers::{
        generate::{Shape, linearizable},
        witness,
    },
    proc::load_average,
};

/// Of the history; the same each time.
const SEED: u64 = 7;

/// What was measured.
#[derive(Debug, Clone)]
pub struct Judging {
    operations: usize,
    took: Duration,
    valid: bool,
}

/// Makes a history of 64 clients and so many operations, and has it judged.
#[must_use]
pub fn measure_judging(operations: usize) -> Judging {
    let keys = (operations / 1_000).max(1);
    let history = linearizable(SEED, Shape { operations, clients: 64, keys, unknown_per_mille: 5 });
    let began = Instant::now();
    let valid = witness::check(&history).is_valid();
    Judging { operations: history.len(), took: began.elapsed(), valid }
}

impl fmt::Display for Judging {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let build = if cfg!(debug_assertions) { "debug" } else { "release" };
        let verdict = if self.valid { "valid" } else { "WRONGLY refused" };
        let Self { operations, took, .. } = self;
        let seconds = took.as_secs_f64();
        writeln!(f, "a history of {operations} operations (seed {SEED}) was judged in {seconds:.2} s: {verdict}")?;
        write!(f, "{build} build, load average {}", load_average())
    }
}
