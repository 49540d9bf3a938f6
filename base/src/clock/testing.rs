//! A clock that moves only when told, with repeatable randomness. For tests; knows no real time.

use std::{
    sync::{
        Mutex, PoisonError,
        atomic::{AtomicU64, Ordering},
    },
    time::Duration,
};

use super::Clock;

/// Stands still until [`ManualClock::advance`]. Its random numbers follow from its seed.
#[derive(Debug)]
pub struct ManualClock {
    now: Mutex<Now>,
    random: AtomicU64,
}

#[derive(Debug, Clone, Copy)]
struct Now {
    unix: Duration,
    monotonic: Duration,
    boottime: Duration,
}

impl ManualClock {
    /// Starts at `unix_millis` with the other clocks at zero.
    #[must_use]
    pub fn new(unix_millis: u64, seed: u64) -> Self {
        let unix = Duration::from_millis(unix_millis);
        let now = Now { unix, monotonic: Duration::ZERO, boottime: Duration::ZERO };
        Self { now: Mutex::new(now), random: AtomicU64::new(seed) }
    }

    /// Moves all clocks forward, as awake time does.
    pub fn advance(&self, by: Duration) {
        self.change(|now| {
            now.unix += by;
            now.monotonic += by;
            now.boottime += by;
        });
    }

    /// Moves the clocks as a sleeping machine does: the monotonic one stands still.
    pub fn suspend(&self, by: Duration) {
        self.change(|now| {
            now.unix += by;
            now.boottime += by;
        });
    }

    /// Sets the wall clock alone, in either direction.
    pub fn set_unix_millis(&self, unix_millis: u64) {
        self.change(|now| now.unix = Duration::from_millis(unix_millis));
    }

    fn change(&self, change: impl FnOnce(&mut Now)) {
        change(&mut self.now.lock().unwrap_or_else(PoisonError::into_inner));
    }

    fn now(&self) -> Now {
        *self.now.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Default for ManualClock {
    /// A Tuesday in November 2023, seed 1.
    fn default() -> Self {
        Self::new(1_700_000_000_000, 1)
    }
}

impl Clock for ManualClock {
    fn unix_millis(&self) -> u64 {
        u64::try_from(self.now().unix.as_millis()).unwrap_or(u64::MAX)
    }

    fn monotonic(&self) -> Duration {
        self.now().monotonic
    }

    fn boottime(&self) -> Duration {
        self.now().boottime
    }

    fn random_u64(&self) -> u64 {
        // SplitMix64: one addition and a mix, so that concurrent callers need no lock.
        const STEP: u64 = 0x9E37_79B9_7F4A_7C15;
        let mut mixed = self.random.fetch_add(STEP, Ordering::Relaxed).wrapping_add(STEP);
        mixed = (mixed ^ (mixed >> 30)).wrapping_mul(0xBF58_476D_1CE4_E5B9);
        mixed = (mixed ^ (mixed >> 27)).wrapping_mul(0x94D0_49BB_1331_11EB);
        mixed ^ (mixed >> 31)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn time_moves_only_when_told() {
        let clock = ManualClock::new(5_000, 7);
        clock.advance(Duration::from_secs(1));
        clock.suspend(Duration::from_secs(2));
        assert_eq!(clock.unix_millis(), 8_000);
        assert_eq!(clock.monotonic(), Duration::from_secs(1));
        assert_eq!(clock.boottime(), Duration::from_secs(3));
    }

    #[test]
    fn the_same_seed_gives_the_same_numbers() {
        let numbers = |seed| {
            let clock = ManualClock::new(0, seed);
            [clock.random_u64(), clock.random_u64()]
        };
        assert_eq!(numbers(3), numbers(3));
        assert_ne!(numbers(3), numbers(4));
    }
}
