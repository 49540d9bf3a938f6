//! What servers say about themselves again and again during a run: who leads, how far they are, how large they are.
//! Asks for metrics only, and judges nothing.

use std::{
    sync::{
        Mutex, PoisonError,
        atomic::{AtomicBool, Ordering},
    },
    time::Duration,
};

use boss_base::clock::{Clock, SystemClock};
use serde::{Deserialize, Serialize};
use tokio::time::{sleep, timeout};

use crate::http;

/// Short against an election; a server answers from memory.
const EVERY: Duration = Duration::from_millis(200);
const PATIENCE: Duration = Duration::from_millis(400);

/// One server at one moment.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct Sample {
    /// When it was asked, in nanoseconds since the start of the run.
    pub at_ns: u64,
    /// Who.
    pub server: u64,
    /// What it said; none when it did not answer.
    pub seen: Option<Seen>,
}

/// What a server said.
#[derive(Debug, Clone, Copy, PartialEq, Serialize, Deserialize)]
pub struct Seen {
    /// Whether it leads.
    pub leads: bool,
    /// Its term.
    pub term: u64,
    /// The last entry that it applied.
    pub applied: u64,
    /// The registry's revision.
    pub revision: u64,
    /// Memory.
    pub resident_bytes: u64,
    /// Open descriptors.
    pub open_files: u64,
}

/// Takes samples until told to stop.
pub struct Sampler {
    began: Duration,
    stopped: AtomicBool,
    samples: Mutex<Vec<Sample>>,
}

impl Sampler {
    /// One whose times count from `began`.
    #[must_use]
    pub fn new(began: Duration) -> Self {
        Self { began, stopped: AtomicBool::new(false), samples: Mutex::new(Vec::new()) }
    }

    /// Ends all.
    pub fn stop(&self) {
        self.stopped.store(true, Ordering::SeqCst);
    }

    /// Asks one server, at its address for metrics.
    pub async fn follow(&self, server: u64, address: &str) {
        while !self.stopped.load(Ordering::SeqCst) {
            let at = SystemClock.monotonic().saturating_sub(self.began).as_nanos();
            let seen = match timeout(PATIENCE, http::get(address, "/metrics")).await {
                Ok(Ok((200, text))) => read(&text),
                _ => None,
            };
            let sample = Sample { at_ns: u64::try_from(at).unwrap_or(u64::MAX), server, seen };
            self.samples.lock().unwrap_or_else(PoisonError::into_inner).push(sample);
            sleep(EVERY).await;
        }
    }

    /// All so far.
    #[must_use]
    pub fn samples(&self) -> Vec<Sample> {
        self.samples.lock().unwrap_or_else(PoisonError::into_inner).clone()
    }
}

fn read(text: &str) -> Option<Seen> {
    let whole = |name: &str| value(text, name).map(|value| value as u64);
    Some(Seen {
        leads: whole("boss_raft_is_leader")? == 1,
        term: whole("boss_raft_term")?,
        applied: whole("boss_raft_applied_index")?,
        revision: whole("boss_raft_revision")?,
        resident_bytes: whole("boss_server_resident_bytes").unwrap_or_default(),
        open_files: whole("boss_server_open_files").unwrap_or_default(),
    })
}

/// The value of a metric without labels.
#[must_use]
pub fn value(text: &str, name: &str) -> Option<f64> {
    let line = text.lines().find_map(|line| line.strip_prefix(name)?.strip_prefix(' '))?;
    line.trim().parse().ok()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_metric_is_found_by_its_whole_name() {
        let text = "# HELP boss_raft_term The current term.\nboss_raft_term_more 9\nboss_raft_term 3\n";
        assert_eq!(value(text, "boss_raft_term"), Some(3.0));
        assert_eq!(value(text, "boss_raft"), None);
    }
}
