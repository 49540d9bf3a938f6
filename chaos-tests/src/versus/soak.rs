//! The load of openraft's issue 2116, under which a consensus core panicked: a queued apply ran after a purge had passed
//! its start. Small machine, many writes of 1 KiB, frequent snapshots.

use std::{fmt, time::Duration};

use bossctl::bench::{self, Pace, Stop, Summary, drive};
use serde_json::{Value, json};

use super::{
    load::{Boss, CONNECTIONS},
    machine,
};

/// As reported.
const VALUE_BYTES: usize = 1_024;
const CLIENTS: usize = 512;
const KEYS: u64 = 10_000;
const MIB: f64 = 1024.0 * 1024.0;

/// What was seen.
#[derive(Debug, Clone)]
pub struct Soak {
    summary: Summary,
    resident_bytes: Vec<u64>,
    /// Servers that did not run until the end under their first process.
    died: Vec<u64>,
}

impl Soak {
    /// Whether every core lived and no write failed for another reason than the load itself.
    #[must_use]
    pub fn passed(&self) -> bool {
        self.died.is_empty() && self.summary.tally.latencies.total() > 0
    }
}

/// Writes for so long and then looks whether every server lives, answers, and has the same state.
pub async fn soak_2116(duration: Duration) -> Soak {
    let boss = Boss::start(KEYS, VALUE_BYTES).await;
    let connections = boss.connect(CONNECTIONS).await;
    let writers = connections.callers(CLIENTS).map(|it| bench::Put::new(it, boss.target.clone())).collect();
    let summary = drive::<bench::Put>(writers, Pace { stop: Stop::After(duration), rate: None }).await;
    let resident_bytes = machine::resident_bytes(&boss.pids());
    let ended = |id: &u64| boss.cluster.server(*id).is_none_or(|process| process.exit().is_some());
    let died: Vec<u64> = boss.cluster.server_ids().filter(ended).collect();
    if died.is_empty() {
        // A dead core ends its process; one that hangs shows here.
        for id in boss.cluster.server_ids() {
            boss.cluster.wait_for_server(id).await;
        }
        boss.cluster.assert_states_are_equal().await;
    }
    Soak { summary, resident_bytes, died }
}

impl Soak {
    /// For programs.
    #[must_use]
    pub fn to_json(&self) -> Value {
        json!({
            "passed": self.passed(), "died": self.died, "residentBytes": self.resident_bytes,
            "load": self.summary.to_json(),
        })
    }
}

impl fmt::Display for Soak {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let resident: Vec<String> = self.resident_bytes.iter().map(|it| format!("{:.0}", *it as f64 / MIB)).collect();
        writeln!(f, "{}RSS MiB of each server: {}", self.summary.to_text(), resident.join(", "))?;
        match &self.died[..] {
            [] => write!(f, "every server lived, answered and had the same state at the end"),
            died => write!(f, "FAILED: servers {died:?} did not live until the end"),
        }
    }
}
