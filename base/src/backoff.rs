//! How long to wait before the next attempt: doubling, capped, jittered. Sleeps for nobody.

use std::time::Duration;

use crate::clock::Clock;

/// Doubles from `initial` to `max`; each delay is drawn from the upper half of its step, so that many
/// callers that failed together do not come back together.
#[derive(Debug, Clone)]
pub struct Backoff {
    initial: Duration,
    max: Duration,
    attempt: u32,
}

impl Backoff {
    /// A fresh one. `initial` above `max` counts as `max`.
    #[must_use]
    pub fn new(initial: Duration, max: Duration) -> Self {
        Self { initial, max, attempt: 0 }
    }

    /// The delay before the next attempt.
    pub fn next_delay(&mut self, clock: &dyn Clock) -> Duration {
        let factor = 1_u32.checked_shl(self.attempt).unwrap_or(u32::MAX);
        let step = self.initial.saturating_mul(factor).min(self.max);
        self.attempt = self.attempt.saturating_add(1);
        let half_nanos = u64::try_from(step.as_nanos() / 2).unwrap_or(u64::MAX);
        let jitter = clock.random_u64() % half_nanos.saturating_add(1).max(1);
        step.saturating_sub(Duration::from_nanos(jitter))
    }

    /// How many delays were taken since the start or the last reset.
    #[must_use]
    pub fn attempts(&self) -> u32 {
        self.attempt
    }

    /// Starts over, after a success.
    pub fn reset(&mut self) {
        self.attempt = 0;
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::clock::testing::ManualClock;

    #[test]
    fn delays_double_up_to_the_cap_and_stay_in_the_upper_half() {
        let clock = ManualClock::default();
        let mut backoff = Backoff::new(Duration::from_millis(100), Duration::from_secs(1));
        for step_ms in [100, 200, 400, 800, 1_000, 1_000] {
            let delay = backoff.next_delay(&clock);
            assert!(delay <= Duration::from_millis(step_ms), "{delay:?} of {step_ms} ms");
            assert!(delay >= Duration::from_millis(step_ms / 2), "{delay:?} of {step_ms} ms");
        }
    }

    #[test]
    fn reset_starts_over_and_many_attempts_do_not_overflow() {
        let clock = ManualClock::default();
        let mut backoff = Backoff::new(Duration::from_millis(10), Duration::from_secs(60));
        for _ in 0..200 {
            assert!(backoff.next_delay(&clock) <= Duration::from_secs(60));
        }
        backoff.reset();
        assert!(backoff.next_delay(&clock) <= Duration::from_millis(10));
    }
}
