//! Time and randomness as a seam, so that tests and simulations can steer both. Knows nobody who asks.

use std::time::{Duration, SystemTime, UNIX_EPOCH};

use rustix::time::{ClockId, clock_gettime};

pub mod testing;

/// Where code takes time and random numbers from; passed as `Arc<dyn Clock>`.
pub trait Clock: Send + Sync + 'static {
    /// Wall clock, milliseconds since the Unix epoch. May jump in both directions.
    fn unix_millis(&self) -> u64;
    /// Since an arbitrary point; never goes back; stands still while the machine sleeps.
    fn monotonic(&self) -> Duration;
    /// Since the machine's start; never goes back; goes on while the machine sleeps.
    fn boottime(&self) -> Duration;
    /// A random number; not for keys.
    fn random_u64(&self) -> u64;

    /// Wall clock, whole seconds since the Unix epoch.
    fn unix_seconds(&self) -> u64 {
        self.unix_millis() / 1_000
    }
}

/// The machine's own clocks.
#[derive(Debug, Clone, Copy, Default)]
pub struct SystemClock;

impl Clock for SystemClock {
    // By the C library, as every other crate takes it, so that a test which gives a process a wrong wall clock gives it
    // one such clock and not two.
    #[expect(clippy::disallowed_methods, reason = "this is where everybody else takes it from")]
    fn unix_millis(&self) -> u64 {
        let since = SystemTime::now().duration_since(UNIX_EPOCH).unwrap_or_default();
        u64::try_from(since.as_millis()).unwrap_or(u64::MAX)
    }

    fn monotonic(&self) -> Duration {
        read(ClockId::Monotonic)
    }

    fn boottime(&self) -> Duration {
        read(ClockId::Boottime)
    }

    fn random_u64(&self) -> u64 {
        rand::random()
    }
}

/// A clock before its zero, which only a broken wall clock can be, reads as zero.
fn read(id: ClockId) -> Duration {
    let time = clock_gettime(id);
    let (Ok(seconds), Ok(nanos)) = (u64::try_from(time.tv_sec), u32::try_from(time.tv_nsec)) else {
        return Duration::ZERO;
    };
    Duration::new(seconds, nanos)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn system_clocks_run_forward() {
        let clock = SystemClock;
        let (monotonic, boottime) = (clock.monotonic(), clock.boottime());
        assert!(clock.monotonic() >= monotonic);
        assert!(clock.boottime() >= boottime);
        let awake = clock.monotonic();
        assert!(clock.boottime() >= awake);
        assert!(clock.unix_millis() > 1_700_000_000_000);
    }
}
