//! Clocks of simulated hosts: all run with the simulation's time, and one can be told to be wrong. Knows no host.

use std::{
    sync::{
        Mutex, PoisonError,
        atomic::{AtomicI64, AtomicU64, Ordering},
    },
    time::Duration,
};

use boss_base::clock::Clock;
use boss_verify::checkers::generate::Random;

/// Every simulation begins on the same day, so that certificates and tokens are good.
pub const EPOCH_UNIX: Duration = Duration::from_secs(1_900_000_000);
/// The machines were started so long before: code that subtracts from a monotonic clock must not meet its zero.
const UP_BEFORE: Duration = Duration::from_secs(100_000);

/// The clock and the randomness of one host.
#[derive(Debug)]
pub(super) struct SimulatedClock {
    random: Mutex<Random>,
    /// How far the wall clock is off.
    wrong_ms: AtomicI64,
    /// Since the simulation's start, for whoever asks between the turns of hosts.
    latest_ns: AtomicU64,
}

impl SimulatedClock {
    pub(super) fn new(seed: u64) -> Self {
        Self { random: Mutex::new(Random(seed)), wrong_ms: AtomicI64::new(0), latest_ns: AtomicU64::new(0) }
    }

    /// Has the wall clock jump to so far from the right time.
    pub(super) fn set_wrong(&self, by_ms: i64) {
        self.wrong_ms.store(by_ms, Ordering::SeqCst);
    }

    fn elapsed(&self) -> Duration {
        let latest = Duration::from_nanos(self.latest_ns.load(Ordering::SeqCst));
        let now = turmoil::sim_elapsed().unwrap_or(latest).max(latest);
        self.latest_ns.store(u64::try_from(now.as_nanos()).unwrap_or(u64::MAX), Ordering::SeqCst);
        now
    }
}

impl Clock for SimulatedClock {
    fn unix_millis(&self) -> u64 {
        let right = u64::try_from((EPOCH_UNIX + self.elapsed()).as_millis()).unwrap_or(u64::MAX);
        right.saturating_add_signed(self.wrong_ms.load(Ordering::SeqCst))
    }

    fn monotonic(&self) -> Duration {
        UP_BEFORE + self.elapsed()
    }

    fn boottime(&self) -> Duration {
        self.monotonic()
    }

    fn random_u64(&self) -> u64 {
        self.random.lock().unwrap_or_else(PoisonError::into_inner).draw()
    }
}
