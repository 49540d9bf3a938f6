//! The names of all metrics of the server, in one place so that none is used twice.

/// Writes that were sent on to the leader.
pub const WRITES_FORWARDED: &str = "boss_server_writes_forwarded_total";
/// Writes that were admitted again because what admission saw had changed.
pub const WRITES_READMITTED: &str = "boss_server_writes_readmitted_total";
/// Calls by method and gRPC code.
pub const CALLS: &str = "boss_server_calls_total";
/// Seconds from call to answer, or to the start of a stream, by method.
pub const CALL_SECONDS: &str = "boss_server_call_seconds";
/// Calls whose caller could not be authenticated.
pub const CALLS_UNAUTHENTICATED: &str = "boss_server_calls_unauthenticated_total";
/// Open watches.
pub const WATCHES_OPEN: &str = "boss_server_watches_open";
/// Events sent to watchers.
pub const WATCH_EVENTS: &str = "boss_server_watch_events_total";

/// All of them, for descriptions and for the test that none is there twice.
pub const ALL: &[(&str, &str)] = &[
    (WRITES_FORWARDED, "Writes that were sent on to the leader."),
    (WRITES_READMITTED, "Writes that were admitted again because what admission saw had changed."),
    (CALLS, "Calls by method and gRPC code."),
    (CALL_SECONDS, "Seconds from call to answer, or to the start of a stream, by method."),
    (CALLS_UNAUTHENTICATED, "Calls whose caller could not be authenticated."),
    (WATCHES_OPEN, "Open watches."),
    (WATCH_EVENTS, "Events sent to watchers."),
];

#[cfg(test)]
mod tests {
    use std::collections::BTreeSet;

    use super::ALL;

    #[test]
    fn metric_names_are_unique() {
        let names: BTreeSet<_> = ALL.iter().map(|(name, _)| name).collect();
        assert_eq!(names.len(), ALL.len());
    }
}
