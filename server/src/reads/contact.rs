//! When this server was last known to be in touch with a leader that a majority follows.

use std::{
    sync::{
        Arc,
        atomic::{AtomicU64, Ordering},
    },
    time::Duration,
};

use boss_base::clock::Clock;

/// A server that has not heard from a leader for so long must ask before it answers from what it has.
const FRESH_MAX: Duration = Duration::from_secs(1);
/// A server without contact for so long ends its watches: a usual election is over by then.
const LOST_AFTER: Duration = Duration::from_secs(5);
/// Before the first contact.
const NEVER: u64 = u64::MAX;

/// The time of the last contact.
pub(super) struct Contact {
    /// Milliseconds of the monotonic clock.
    last_ms: AtomicU64,
    clock: Arc<dyn Clock>,
}

impl Contact {
    pub(super) fn new(clock: Arc<dyn Clock>) -> Self {
        Self { last_ms: AtomicU64::new(NEVER), clock }
    }

    /// A linearizable read has just worked.
    pub(super) fn made(&self) {
        self.last_ms.store(self.now_ms(), Ordering::Relaxed);
    }

    pub(super) fn is_fresh(&self) -> bool {
        self.age().is_some_and(|age| age < FRESH_MAX)
    }

    pub(super) fn is_lost(&self) -> bool {
        self.age().is_none_or(|age| age >= LOST_AFTER)
    }

    fn age(&self) -> Option<Duration> {
        let last_ms = self.last_ms.load(Ordering::Relaxed);
        (last_ms != NEVER).then(|| Duration::from_millis(self.now_ms().saturating_sub(last_ms)))
    }

    fn now_ms(&self) -> u64 {
        u64::try_from(self.clock.monotonic().as_millis()).unwrap_or(NEVER - 1)
    }
}

#[cfg(test)]
mod tests {
    use boss_base::clock::testing::ManualClock;

    use super::*;

    #[test]
    fn contact_grows_old_and_is_lost() {
        let clock = Arc::new(ManualClock::new(0, 1));
        let contact = Contact::new(clock.clone());
        assert!(!contact.is_fresh() && contact.is_lost());
        contact.made();
        assert!(contact.is_fresh() && !contact.is_lost());
        clock.advance(FRESH_MAX);
        assert!(!contact.is_fresh() && !contact.is_lost());
        clock.advance(LOST_AFTER);
        assert!(contact.is_lost());
    }
}
