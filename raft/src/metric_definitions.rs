//! Every metric of this crate: its name, and in [`ALL`] what it tells. Knows no code that counts.
//!
//! What is counted for every write or read keeps its handle: to look one up costs more than to count.

use boss_base::telemetry::{Definition, counter, gauge, histogram};

/// Time of one sync of the log.
pub const LOG_SYNC_SECONDS: &str = "boss_raft_log_sync_seconds";
/// Records that shared one sync of the log.
pub const LOG_BATCH_RECORDS: &str = "boss_raft_log_batch_records";
/// Bytes written to the log.
pub const LOG_BYTES_WRITTEN: &str = "boss_raft_log_written_bytes_total";
/// Entries read back from disk.
pub const LOG_ENTRIES_READ_FROM_DISK: &str = "boss_raft_log_entries_read_from_disk_total";
/// Size of the log's files.
pub const LOG_BYTES: &str = "boss_raft_log_bytes";
/// Up to where the log is gone.
pub const LOG_PURGED_INDEX: &str = "boss_raft_log_purged_index";
/// Proposals that wait for their outcome.
pub const PROPOSALS_IN_FLIGHT: &str = "boss_raft_proposals_in_flight";
/// Proposals that were committed and applied.
pub const PROPOSALS_COMMITTED: &str = "boss_raft_proposals_committed_total";
/// Proposals without an outcome, by reason.
pub const PROPOSALS_FAILED: &str = "boss_raft_proposals_failed_total";
/// Proposals refused because too many wait.
pub const PROPOSALS_REFUSED: &str = "boss_raft_proposals_refused_total";
/// Time from a proposal to its outcome.
pub const PROPOSAL_SECONDS: &str = "boss_raft_proposal_seconds";
/// Rounds that confirmed reads with a majority.
pub const READ_ROUNDS: &str = "boss_raft_read_rounds_total";
/// Reads that shared one round.
pub const READ_ROUND_READS: &str = "boss_raft_read_round_reads";
/// Time of one round.
pub const READ_ROUND_SECONDS: &str = "boss_raft_read_round_seconds";
/// Linearizable reads that were answered.
pub const READS: &str = "boss_raft_linearizable_reads_total";
/// Times that an event woke a watcher that it concerns.
pub const WATCHERS_WOKEN: &str = "boss_raft_watchers_woken_total";
/// The current term.
pub const TERM: &str = "boss_raft_term";
/// Whether this server leads.
pub const IS_LEADER: &str = "boss_raft_is_leader";
/// Whether this server knows a leader.
pub const HAS_LEADER: &str = "boss_raft_has_leader";
/// Changes of the leader.
pub const LEADER_CHANGES: &str = "boss_raft_leader_changes_total";
/// Index of the last applied entry.
pub const APPLIED_INDEX: &str = "boss_raft_applied_index";
/// Operations applied.
pub const OPERATIONS_APPLIED: &str = "boss_raft_operations_applied_total";
/// Time to apply one batch.
pub const APPLY_SECONDS: &str = "boss_raft_apply_seconds";
/// Operations discarded because applying them panicked.
pub const APPLY_PANICS: &str = "boss_raft_apply_panics_total";
/// Batches written to the store behind the registry.
pub const STORE_WRITES: &str = "boss_raft_store_writes_total";
/// Index of the last entry in the store.
pub const STORE_INDEX: &str = "boss_raft_store_index";
/// Times that the store could not follow.
pub const STORE_OVERFLOWS: &str = "boss_raft_store_overflows_total";
/// Times that the store was written anew, by reason: replaced, missed or shrink.
pub const STORE_REWRITES: &str = "boss_raft_store_rewrites_total";
/// Comparisons of the members' states, by verdict.
pub const HASH_CHECKS: &str = "boss_raft_hash_checks_total";
/// 1 while states are known to differ.
pub const STATES_DIFFER: &str = "boss_raft_states_differ";
/// 1 when this process began with a state that was fetched from another server.
pub const STATE_REPLACED: &str = "boss_raft_state_replaced";
/// Times that the store could not be written.
pub const STORE_FAILURES: &str = "boss_raft_store_failures_total";
/// Batches that wait for the store.
pub const STORE_LAG_BATCHES: &str = "boss_raft_store_lag_batches";
/// Size of the store's files.
pub const STORE_BYTES: &str = "boss_raft_store_bytes";
/// Snapshots asked of the state machine.
pub const SNAPSHOTS_TRIGGERED: &str = "boss_raft_snapshots_triggered_total";
/// Time to build and sync one snapshot.
pub const SNAPSHOT_SECONDS: &str = "boss_raft_snapshot_seconds";
/// Size of the last snapshot.
pub const SNAPSHOT_BYTES: &str = "boss_raft_snapshot_bytes";
/// Snapshots from another server that went on where they were cut off.
pub const SNAPSHOTS_RESUMED: &str = "boss_raft_snapshots_resumed_total";
/// Snapshots that replaced the state.
pub const SNAPSHOTS_INSTALLED: &str = "boss_raft_snapshots_installed_total";
/// Objects in the registry.
pub const OBJECTS: &str = "boss_raft_objects";
/// The registry's revision.
pub const REVISION: &str = "boss_raft_revision";
/// Calls from peers that were refused.
pub const PEER_CALLS_REFUSED: &str = "boss_raft_peer_calls_refused_total";
/// Round trip to a peer.
pub const PEER_ROUND_TRIP_SECONDS: &str = "boss_raft_peer_round_trip_seconds";

/// Bytes free on the file system of the data folder, without the reserve.
pub const DISK_FREE_BYTES: &str = "boss_raft_disk_free_bytes";
/// 1 while the disk is below its reserve and this server takes no writes.
pub const DISK_FULL: &str = "boss_raft_disk_full";
/// Entries of a leader that were refused because the disk is full, in messages.
pub const APPENDS_REFUSED: &str = "boss_raft_appends_refused_total";
/// Snapshots that did not fit on the disk and are tried again.
pub const SNAPSHOTS_POSTPONED: &str = "boss_raft_snapshots_postponed_total";

/// All of them.
pub const ALL: &[Definition] = &[
    histogram(LOG_SYNC_SECONDS, "Time of one sync of the log."),
    histogram(LOG_BATCH_RECORDS, "Records that shared one sync of the log."),
    counter(LOG_BYTES_WRITTEN, "Bytes written to the log."),
    counter(LOG_ENTRIES_READ_FROM_DISK, "Entries read back from disk because the cache had let them go."),
    gauge(LOG_BYTES, "Size of the log's files, preallocated space included."),
    gauge(LOG_PURGED_INDEX, "Index up to which the log is gone: a server that is further behind needs a snapshot."),
    gauge(PROPOSALS_IN_FLIGHT, "Proposals that wait for their outcome, on the leader."),
    counter(PROPOSALS_COMMITTED, "Proposals that were committed and applied, on the leader."),
    counter(
        PROPOSALS_FAILED,
        "Proposals without an outcome, by reason: busy, too_large, not_leader, timeout or stopping.",
    )
    .labelled(&["reason"]),
    counter(PROPOSALS_REFUSED, "Proposals refused because too many wait."),
    histogram(PROPOSAL_SECONDS, "Time from a proposal to its outcome: log, majority and apply."),
    counter(READ_ROUNDS, "Rounds that confirmed reads with a majority."),
    histogram(READ_ROUND_READS, "Reads that shared one confirmation round."),
    histogram(READ_ROUND_SECONDS, "Time of one confirmation round."),
    counter(READS, "Linearizable reads that were answered."),
    counter(WATCHERS_WOKEN, "Times that an event woke a watcher that it concerns."),
    gauge(TERM, "The current term."),
    gauge(IS_LEADER, "1 on the leader, 0 elsewhere."),
    gauge(HAS_LEADER, "1 while this server knows a leader, else 0."),
    counter(LEADER_CHANGES, "Times that this server saw another leader than before."),
    gauge(APPLIED_INDEX, "Index of the last applied entry."),
    counter(OPERATIONS_APPLIED, "Operations applied, refused ones included."),
    histogram(APPLY_SECONDS, "Time to apply one batch of entries to the registry in memory."),
    counter(APPLY_PANICS, "Operations discarded because applying them panicked."),
    counter(
        HASH_CHECKS,
        "Comparisons of the servers' states by the leader, by verdict: agreed, odd, no-majority or unknown.",
    )
    .labelled(&["verdict"]),
    gauge(
        STATES_DIFFER,
        "1 on the leader while the servers' states differ, and on a server whose state is the odd one.",
    ),
    gauge(STATE_REPLACED, "1 when this process began with another server's state because its own differed."),
    counter(STORE_WRITES, "Batches written to the store behind the registry."),
    gauge(STORE_INDEX, "Index of the last entry in the store behind the registry."),
    counter(STORE_OVERFLOWS, "Times that changes came faster than the store behind the registry could take them."),
    counter(STORE_REWRITES, "Times that the whole store behind the registry was written anew.").labelled(&["reason"]),
    counter(STORE_FAILURES, "Times that the store behind the registry could not be written; it is tried again."),
    gauge(STORE_LAG_BATCHES, "Batches of entries applied in memory that wait for the store."),
    gauge(STORE_BYTES, "Size of the store's files."),
    counter(SNAPSHOTS_TRIGGERED, "Snapshots asked of the state machine."),
    histogram(SNAPSHOT_SECONDS, "Time to build and sync one snapshot."),
    gauge(SNAPSHOT_BYTES, "Size of the last snapshot that this server built."),
    counter(SNAPSHOTS_INSTALLED, "Snapshots from another server that took the place of this server's state."),
    counter(SNAPSHOTS_RESUMED, "Snapshots from another server that went on where they had been cut off."),
    gauge(OBJECTS, "Objects in the registry."),
    gauge(REVISION, "The registry's revision, as applied here."),
    counter(PEER_CALLS_REFUSED, "Calls from peers that were refused."),
    histogram(PEER_ROUND_TRIP_SECONDS, "Round trip of a heartbeat to another server.").labelled(&["peer"]),
    gauge(DISK_FREE_BYTES, "Bytes free on the file system of the data folder, without the reserve."),
    gauge(DISK_FULL, "1 while the disk is below its reserve and this server takes no writes, else 0."),
    counter(APPENDS_REFUSED, "Messages with entries of a leader that were refused because the disk is full."),
    counter(SNAPSHOTS_POSTPONED, "Snapshots that did not fit on the disk and are tried again."),
];

#[cfg(test)]
mod tests {
    use std::collections::BTreeSet;

    use super::*;

    #[test]
    fn metric_names_are_unique() {
        assert_eq!(ALL.iter().map(|metric| metric.name).collect::<BTreeSet<_>>().len(), ALL.len());
    }

    #[test]
    fn metric_names_say_whose_they_are_and_what_they_count() {
        let problems: Vec<String> = ALL.iter().filter_map(|metric| metric.problem("boss_raft_")).collect();
        assert_eq!(problems, Vec::<String>::new());
    }
}
