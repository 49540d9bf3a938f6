//! When the log is compacted, from the section `[raft]` of the configuration.

use boss_base::config::{Problems, Section};
use boss_raft::config::Limits;

/// A snapshot costs about a millisecond for each thousand objects, so never all the time.
const EVERY_MIN: u64 = 1_000;
/// More entries than that are gigabytes of log.
const ENTRIES_MAX: u64 = 10_000_000;

/// How much of the log there is at most.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct LogBounds {
    /// Entries after which a snapshot is taken.
    pub snapshot_every_entries: u64,
    /// Entries that stay behind a snapshot, so that a server that was away catches up without one.
    pub keep_entries: u64,
}

impl Default for LogBounds {
    fn default() -> Self {
        let Limits { snapshot_every_entries, keep_entries, .. } = Limits::default();
        Self { snapshot_every_entries, keep_entries }
    }
}

impl LogBounds {
    pub(super) fn read(raft: &mut Section, problems: &mut Problems) -> Option<Self> {
        let default = Self::default();
        let mut read = |key: &str, min: u64, default: u64| match raft.number(key, problems) {
            None => Some(default),
            Some(number) if (min..=ENTRIES_MAX).contains(&number) => Some(number),
            Some(other) => problems.none(format!("raft.{key}"), format!("must be {min} to {ENTRIES_MAX}, not {other}")),
        };
        let every = read("snapshot_every_entries", EVERY_MIN, default.snapshot_every_entries);
        let keep = read("keep_entries", 0, default.keep_entries);
        Some(Self { snapshot_every_entries: every?, keep_entries: keep? })
    }
}
