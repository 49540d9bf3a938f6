//! When this server was last known to be in touch with a leader that a majority follows.

use std::{
    sync::{
        Arc,
        atomic::{AtomicU64, Ordering},
    },
    time::Duration,
};

use boss_base::clock::Clock;

/// A server that has not heard from a leader for so long must ask before it answers from what it has, and ends its
/// watches: it cannot learn of revocations.
const LOST_AFTER: Duration = Duration::from_secs(1);
/// How often a server that would lose contact for want of reads asks by itself: often enough for one attempt to fail.
pub(super) const ASK_INTERVAL: Duration = Duration::from_millis(400);
/// Before the first contact.
const NEVER: u64 = u64::MAX;

/// The time of the last contact.
pub(super) struct Contact {
    /// Milliseconds of the monotonic clock.
    last_ms: AtomicU64,
    /// How often it was lost.
    losses: AtomicU64,
    clock: Arc<dyn Clock>,
}

impl Contact {
    pub(super) fn new(clock: Arc<dyn Clock>) -> Self {
        Self { last_ms: AtomicU64::new(NEVER), losses: AtomicU64::new(0), clock }
    }

    /// Before a question is asked, for [`Contact::made`].
    pub(super) fn now(&self) -> Duration {
        self.clock.monotonic()
    }

    /// A linearizable read that was asked for at `asked` has worked: the leader had its majority after that moment.
    pub(super) fn made(&self, asked: Duration) {
        let asked_ms = u64::try_from(asked.as_millis()).unwrap_or(NEVER - 1);
        let later = |last_ms| (last_ms == NEVER || last_ms < asked_ms).then_some(asked_ms);
        // Refused when another read was asked for later: that one says more.
        let _ = self.last_ms.fetch_update(Ordering::AcqRel, Ordering::Acquire, later);
    }

    pub(super) fn is_fresh(&self) -> bool {
        self.age().is_some_and(|age| age < LOST_AFTER)
    }

    /// How long an attempt to keep it, or to regain it, may take.
    pub(super) fn left(&self) -> Duration {
        self.age().map_or(ASK_INTERVAL, |age| LOST_AFTER.saturating_sub(age)).max(ASK_INTERVAL)
    }

    /// Whether it will be lost soon unless somebody asks.
    pub(super) fn is_ageing(&self) -> bool {
        self.age().is_none_or(|age| age >= ASK_INTERVAL)
    }

    /// Counts a loss if there is none.
    pub(super) fn lose_if_old(&self) -> bool {
        let lost = !self.is_fresh();
        if lost {
            self.losses.fetch_add(1, Ordering::AcqRel);
        }
        lost
    }

    /// How often contact was lost: what was opened before the last time must end.
    pub(super) fn losses(&self) -> u64 {
        self.losses.load(Ordering::Acquire)
    }

    fn age(&self) -> Option<Duration> {
        let last_ms = self.last_ms.load(Ordering::Acquire);
        (last_ms != NEVER).then(|| self.clock.monotonic().saturating_sub(Duration::from_millis(last_ms)))
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
        assert!(!contact.is_fresh() && contact.lose_if_old());
        contact.made(contact.now());
        assert!(contact.is_fresh() && !contact.is_ageing());
        clock.advance(ASK_INTERVAL);
        assert!(contact.is_fresh() && contact.is_ageing() && !contact.lose_if_old());
        clock.advance(LOST_AFTER);
        assert!(!contact.is_fresh() && contact.lose_if_old());
        assert_eq!(contact.losses(), 2);
    }

    #[test]
    fn contact_counts_from_the_question_and_never_goes_back() {
        let clock = Arc::new(ManualClock::new(0, 1));
        let contact = Contact::new(clock.clone());
        let first = contact.now();
        clock.advance(LOST_AFTER * 2);
        let second = contact.now();
        contact.made(second);
        contact.made(first);
        assert!(contact.is_fresh());
        let late = Contact::new(clock);
        late.made(first);
        assert!(!late.is_fresh(), "the answer to an old question says nothing of now");
    }
}
