//! When a snapshot is taken and how much of the log may go. openraft counts entries only; a log of large entries
//! would grow for ever. Knows no file.

use std::{sync::Arc, time::Duration};

use boss_base::clock::Clock;
use openraft::Raft;

use crate::{
    bugs::{self, Bug},
    config::Limits,
    log::Log,
    metric_definitions::SNAPSHOTS_TRIGGERED,
    storage::{Published, StateMachine},
    types::TypeConfig,
};

/// How often the log is looked at; it grows by some 100 MB in that time at most.
const LOOK_INTERVAL: Duration = Duration::from_secs(1);

/// A snapshot that did not come within it may have been put off for want of room. While one is still being written,
/// the core ignores that it is asked again.
const RETRY_INTERVAL: Duration = Duration::from_secs(10);

/// What stands between the last snapshot and now.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
struct Backlog {
    entries: u64,
    bytes: u64,
    age: Duration,
}

/// Whether a snapshot is worth its cost now.
fn is_due(backlog: Backlog, limits: &Limits) -> bool {
    backlog.entries > 0
        && (backlog.entries >= limits.snapshot_every_entries
            || backlog.bytes >= limits.snapshot_every_bytes
            || backlog.age >= limits.snapshot_every)
}

/// Takes snapshots and lets the log go up to them.
pub(crate) struct Compaction {
    pub(crate) raft: Raft<TypeConfig, StateMachine>,
    pub(crate) log: Log,
    pub(crate) published: Published,
    pub(crate) clock: Arc<dyn Clock>,
    pub(crate) limits: Limits,
}

impl Compaction {
    /// Runs until the core stops.
    pub(crate) async fn run(self) {
        let mut looks = tokio::time::interval(LOOK_INTERVAL);
        looks.set_missed_tick_behavior(tokio::time::MissedTickBehavior::Delay);
        let mut last_at = self.clock.monotonic();
        let mut asked = None;
        let mut purged_for = None;
        loop {
            looks.tick().await;
            let snapshot = self.published.snapshot().borrow().map(|id| id.index);
            if snapshot != purged_for && self.purge(snapshot).await.is_err() {
                return;
            }
            purged_for = snapshot;
            let applied = self.published.applied().borrow().log_id.map(|id| id.index);
            // One at a time: what was asked for is still being written.
            let since = self.clock.monotonic().saturating_sub(last_at);
            let under_way = asked.is_some() && snapshot < asked && since < RETRY_INTERVAL;
            if applied <= snapshot || under_way || !is_due(self.backlog(applied, snapshot, last_at), &self.limits) {
                continue;
            }
            metrics::counter!(SNAPSHOTS_TRIGGERED).increment(1);
            if self.raft.trigger().snapshot().await.is_err() {
                return;
            }
            asked = applied;
            last_at = self.clock.monotonic();
        }
    }

    fn backlog(&self, applied: Option<u64>, snapshot: Option<u64>, last_at: Duration) -> Backlog {
        let next = |index: Option<u64>| index.map_or(0, |index| index + 1);
        Backlog {
            entries: next(applied) - next(snapshot),
            bytes: self.log.bytes_after(snapshot.unwrap_or_default()),
            age: self.clock.monotonic().saturating_sub(last_at),
        }
    }

    /// The snapshot is fsynced; what a server that was away may still need stays.
    async fn purge(&self, snapshot: Option<u64>) -> Result<(), openraft::errors::Fatal<TypeConfig>> {
        let Some(snapshot) = snapshot else { return Ok(()) };
        let keep_entries = if bugs::on(Bug::PurgeBeforeSnapshot) { 0 } else { self.limits.keep_entries };
        match self.log.purge_bound(snapshot, keep_entries, self.limits.keep_bytes) {
            Some(upto) => self.raft.trigger().purge_log(upto).await,
            None => Ok(()),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn check_due(entries: u64, bytes: u64, seconds: u64, due: bool) {
        let limits = Limits {
            snapshot_every_entries: 100,
            snapshot_every_bytes: 1_000,
            snapshot_every: Duration::from_secs(60),
            ..Limits::default()
        };
        let backlog = Backlog { entries, bytes, age: Duration::from_secs(seconds) };
        assert_eq!(is_due(backlog, &limits), due, "{backlog:?}");
    }

    #[test]
    fn entries_bytes_or_time_make_a_snapshot_due() {
        check_due(99, 999, 59, false);
        check_due(100, 0, 0, true);
        check_due(1, 1_000, 0, true);
        check_due(1, 1, 60, true);
    }

    #[test]
    fn an_idle_server_takes_no_snapshot() {
        check_due(0, 0, 1_000_000, false);
    }
}
