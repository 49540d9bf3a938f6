//! How often a client may try again because servers are overloaded. Retries must not make an overload worse: each
//! success earns a part of one, so that in the long run only a fraction of all calls is sent twice.

use std::sync::atomic::{AtomicU64, Ordering};

/// Parts of a retry.
const RETRY: u64 = 10;
/// What a success earns: ten successes are one retry.
const EARNED: u64 = 1;
/// Retries that may be saved up: enough for a burst of calls that all come at a bad moment.
const SAVED_MAX: u64 = 100 * RETRY;

/// Shared by all calls of a client.
#[derive(Debug)]
pub(crate) struct RetryBudget(AtomicU64);

impl Default for RetryBudget {
    fn default() -> Self {
        Self(AtomicU64::new(SAVED_MAX))
    }
}

impl RetryBudget {
    /// A call succeeded.
    pub(crate) fn earn(&self) {
        // Full nearly always: then nothing is written, and no other call waits for the cache line.
        if self.0.load(Ordering::Relaxed) < SAVED_MAX {
            let _ =
                self.0.fetch_update(Ordering::Relaxed, Ordering::Relaxed, |left| Some((left + EARNED).min(SAVED_MAX)));
        }
    }

    /// Whether a call may be sent again.
    pub(crate) fn spend(&self) -> bool {
        self.0.fetch_update(Ordering::Relaxed, Ordering::Relaxed, |left| left.checked_sub(RETRY)).is_ok()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn retries_run_out_and_successes_earn_them_back() {
        let budget = RetryBudget::default();
        assert_eq!((0..1_000).filter(|_| budget.spend()).count() as u64, SAVED_MAX / RETRY);
        for _ in 0..RETRY - 1 {
            budget.earn();
        }
        assert!(!budget.spend());
        budget.earn();
        assert!(budget.spend());
    }

    #[test]
    fn no_more_than_a_burst_is_saved() {
        let budget = RetryBudget::default();
        (0..100_000).for_each(|_| budget.earn());
        assert_eq!((0..1_000).filter(|_| budget.spend()).count() as u64, SAVED_MAX / RETRY);
    }
}
