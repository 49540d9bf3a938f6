//! Bounds of what the state keeps. Knows no code that keeps them.

use boss_proto::limits;

/// Bounds of what the state keeps. The same on every server, or states diverge.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Limits {
    /// Encoded size of one object.
    pub object_bytes_max: usize,
    /// Events in the watch history.
    pub history_events_max: usize,
    /// Bytes of the watch history.
    pub history_bytes_max: usize,
    /// Age of an event, in milliseconds of registry time.
    pub history_age_max_ms: u64,
    /// Remembered effects of request ids.
    pub requests_max: usize,
    /// Age of a remembered effect, in milliseconds of registry time.
    pub request_age_max_ms: u64,
}

impl Default for Limits {
    fn default() -> Self {
        Self {
            object_bytes_max: limits::OBJECT_BYTES_MAX,
            history_events_max: limits::WATCH_HISTORY_EVENTS_MAX,
            history_bytes_max: limits::WATCH_HISTORY_BYTES_MAX,
            history_age_max_ms: limits::WATCH_HISTORY_AGE_MAX_MS,
            requests_max: limits::REQUEST_IDS_MAX,
            request_age_max_ms: limits::REQUEST_ID_AGE_MAX_MS,
        }
    }
}
