//! The monitor's two clocks. It has no simulated version: it lives with real processes only.

use std::time::Duration;

use rustix::time::{ClockId, clock_gettime};

/// Unix time in microseconds.
pub(super) fn unix_micros() -> u64 {
    let now = clock_gettime(ClockId::Realtime);
    u64::try_from(now.tv_sec).unwrap_or(0) * 1_000_000 + u64::try_from(now.tv_nsec).unwrap_or(0) / 1_000
}

/// Time for deadlines; goes on while the machine sleeps, because grace periods do.
pub(super) fn boottime() -> Duration {
    let now = clock_gettime(ClockId::Boottime);
    Duration::new(u64::try_from(now.tv_sec).unwrap_or(0), u32::try_from(now.tv_nsec).unwrap_or(0))
}
