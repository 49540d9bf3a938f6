//! Every metric of this crate, by name. Knows no code that counts.

/// Histogram: time of one sync of the log, in seconds.
pub const LOG_SYNC_SECONDS: &str = "boss_raft_log_sync_seconds";
/// Histogram: records that shared one sync of the log.
pub const LOG_BATCH_RECORDS: &str = "boss_raft_log_batch_records";
/// Counter: bytes written to the log.
pub const LOG_BYTES_WRITTEN: &str = "boss_raft_log_written_bytes_total";
/// Counter: entries read back from disk because the cache had let them go.
pub const LOG_ENTRIES_READ_FROM_DISK: &str = "boss_raft_log_entries_read_from_disk_total";
/// Gauge: proposals that wait for their outcome.
pub const PROPOSALS_IN_FLIGHT: &str = "boss_raft_proposals_in_flight";
/// Counter: proposals refused because too many wait.
pub const PROPOSALS_REFUSED: &str = "boss_raft_proposals_refused_total";
/// Histogram: time from a proposal to its outcome, in seconds.
pub const PROPOSAL_SECONDS: &str = "boss_raft_proposal_seconds";
/// Counter: rounds that confirmed reads with a majority.
pub const READ_ROUNDS: &str = "boss_raft_read_rounds_total";
/// Counter: linearizable reads that were answered.
pub const READS: &str = "boss_raft_linearizable_reads_total";
/// Gauge: the current term.
pub const TERM: &str = "boss_raft_term";
/// Gauge: 1 on the leader, 0 elsewhere.
pub const IS_LEADER: &str = "boss_raft_is_leader";
/// Gauge: index of the last applied entry.
pub const APPLIED_INDEX: &str = "boss_raft_applied_index";
/// Counter: operations applied, refused ones included.
pub const OPERATIONS_APPLIED: &str = "boss_raft_operations_applied_total";
/// Counter: operations discarded because applying them panicked.
pub const APPLY_PANICS: &str = "boss_raft_apply_panics_total";
/// Counter: batches written to the store behind the registry.
pub const STORE_WRITES: &str = "boss_raft_store_writes_total";
/// Counter: times that the store behind the registry could not be written and was given up.
pub const STORE_FAILURES: &str = "boss_raft_store_failures_total";
/// Counter: snapshots asked of the state machine.
pub const SNAPSHOTS_TRIGGERED: &str = "boss_raft_snapshots_triggered_total";
/// Counter: calls from peers that were refused.
pub const PEER_CALLS_REFUSED: &str = "boss_raft_peer_calls_refused_total";

/// All of them.
pub const ALL: &[&str] = &[
    LOG_SYNC_SECONDS,
    LOG_BATCH_RECORDS,
    LOG_BYTES_WRITTEN,
    LOG_ENTRIES_READ_FROM_DISK,
    PROPOSALS_IN_FLIGHT,
    PROPOSALS_REFUSED,
    PROPOSAL_SECONDS,
    READ_ROUNDS,
    READS,
    TERM,
    IS_LEADER,
    APPLIED_INDEX,
    OPERATIONS_APPLIED,
    APPLY_PANICS,
    STORE_WRITES,
    STORE_FAILURES,
    SNAPSHOTS_TRIGGERED,
    PEER_CALLS_REFUSED,
];

#[cfg(test)]
mod tests {
    use std::collections::BTreeSet;

    use super::*;

    #[test]
    fn metric_names_are_unique() {
        assert_eq!(ALL.iter().collect::<BTreeSet<_>>().len(), ALL.len());
    }

    #[test]
    fn metric_names_say_whose_they_are() {
        assert!(ALL.iter().all(|name| name.starts_with("boss_raft_")));
    }
}
