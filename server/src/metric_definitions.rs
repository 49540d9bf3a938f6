//! Every metric of the server: its name, and in [`ALL`] what it tells. Knows no code that counts.
//!
//! What is counted for every call keeps its handle: to look one up costs more than to count.

use boss_base::telemetry::{Definition, counter, gauge, histogram};

/// Writes sent on to the leader.
pub const WRITES_FORWARDED: &str = "boss_server_writes_forwarded_total";
/// Writes admitted again.
pub const WRITES_READMITTED: &str = "boss_server_writes_readmitted_total";
/// Calls by method and code.
pub const CALLS: &str = "boss_server_calls_total";
/// Time from call to answer.
pub const CALL_SECONDS: &str = "boss_server_call_seconds";
/// Calls without a known caller.
pub const CALLS_UNAUTHENTICATED: &str = "boss_server_calls_unauthenticated_total";
/// Calls that wait for their turn.
pub const QUEUE_DEPTH: &str = "boss_server_queue_depth";
/// Calls that are being worked on.
pub const QUEUE_IN_FLIGHT: &str = "boss_server_queue_in_flight";
/// How long calls waited for their turn.
pub const QUEUE_WAIT_SECONDS: &str = "boss_server_queue_wait_seconds";
/// Calls refused because a queue was full.
pub const QUEUE_REFUSED: &str = "boss_server_queue_refused_total";
/// Open connections.
pub const CONNECTIONS_OPEN: &str = "boss_server_connections_open";
/// Connections closed at once because there were too many.
pub const CONNECTIONS_REFUSED: &str = "boss_server_connections_refused_total";
/// Open watches.
pub const WATCHES_OPEN: &str = "boss_server_watches_open";
/// Watches refused because there were too many.
pub const WATCHES_REFUSED: &str = "boss_server_watches_refused_total";
/// Watches that fell out of the history.
pub const WATCHES_EXPIRED: &str = "boss_server_watches_expired_total";
/// Events sent to watchers.
pub const WATCH_EVENTS: &str = "boss_server_watch_events_total";
/// How far a watcher was behind.
pub const WATCH_LAG_REVISIONS: &str = "boss_server_watch_lag_revisions";
/// When the certificate ends.
pub const CERTIFICATE_EXPIRY: &str = "boss_server_certificate_expiry_timestamp_seconds";
/// Whether the certificate was revoked.
pub const CERTIFICATE_REVOKED: &str = "boss_server_certificate_revoked";
/// When the first of the nodes' certificates ends.
pub const NODE_CERTIFICATES_EXPIRY: &str = "boss_server_node_certificates_first_expiry_timestamp_seconds";
/// Records of the audit.
pub const AUDIT_RECORDS: &str = "boss_server_audit_records_total";
/// Records of the audit that were lost.
pub const AUDIT_DROPPED: &str = "boss_server_audit_dropped_total";
/// Whether the audit cannot be written.
pub const AUDIT_FAILING: &str = "boss_server_audit_failing";
/// Memory of the process.
pub const RESIDENT_BYTES: &str = "boss_server_resident_bytes";
/// Descriptors of the process.
pub const OPEN_FILES: &str = "boss_server_open_files";

/// All of them.
pub const ALL: &[Definition] = &[
    counter(WRITES_FORWARDED, "Writes that were sent on to the leader."),
    counter(WRITES_READMITTED, "Writes that were admitted again because what admission saw had changed."),
    counter(CALLS, "Calls by method and gRPC code.").labelled(&["method", "code"]),
    histogram(CALL_SECONDS, "Time from call to answer, or to the start of a stream, by method and gRPC code.")
        .labelled(&["method", "code"]),
    counter(CALLS_UNAUTHENTICATED, "Calls whose caller could not be authenticated."),
    gauge(QUEUE_DEPTH, "Calls that wait for their turn, by queue and level.").labelled(&["queue", "level"]),
    gauge(QUEUE_IN_FLIGHT, "Calls that have their turn, by queue.").labelled(&["queue"]),
    histogram(QUEUE_WAIT_SECONDS, "How long the calls that had to wait waited, by queue and level.")
        .labelled(&["queue", "level"]),
    counter(QUEUE_REFUSED, "Calls refused because too many waited, by queue and level.").labelled(&["queue", "level"]),
    gauge(CONNECTIONS_OPEN, "Open connections, by listener.").labelled(&["listener"]),
    counter(CONNECTIONS_REFUSED, "Connections closed at once because there were too many, by listener and bound.")
        .labelled(&["listener", "bound"]),
    gauge(WATCHES_OPEN, "Open watches."),
    counter(WATCHES_REFUSED, "Watches refused because there were too many, in all or of one subject."),
    counter(WATCHES_EXPIRED, "Watches that ended because the history no longer reached back to them."),
    counter(WATCH_EVENTS, "Events sent to watchers."),
    histogram(WATCH_LAG_REVISIONS, "Revisions that a watcher was behind when it took its next events."),
    gauge(CERTIFICATE_EXPIRY, "When this server's certificate ends, in seconds since the epoch.")
        .labelled(&["certificate"]),
    gauge(CERTIFICATE_REVOKED, "1 while this server serves nobody because its certificate was revoked."),
    gauge(
        NODE_CERTIFICATES_EXPIRY,
        "When the first of the latest certificates of the nodes ends, in seconds since the epoch.",
    ),
    counter(AUDIT_RECORDS, "Records written to the audit."),
    counter(AUDIT_DROPPED, "Records of the audit that were lost because the disk was full or slow."),
    gauge(AUDIT_FAILING, "1 while the audit cannot be written."),
    gauge(RESIDENT_BYTES, "Resident memory of the process."),
    gauge(OPEN_FILES, "Open descriptors of the process, connections included."),
];

#[cfg(test)]
mod tests {
    use std::collections::BTreeSet;

    use super::ALL;

    #[test]
    fn metric_names_are_unique() {
        let names: BTreeSet<_> = ALL.iter().map(|metric| metric.name).collect();
        assert_eq!(names.len(), ALL.len());
    }

    #[test]
    fn metric_names_say_whose_they_are_and_what_they_count() {
        let problems: Vec<String> = ALL.iter().filter_map(|metric| metric.problem("boss_server_")).collect();
        assert_eq!(problems, Vec::<String>::new());
    }
}
