//! What a voter promises a leader with each answer: no vote for another one while the leader's lease runs. A restart
//! forgets it, so where leaders answer reads from their lease, a restarted voter votes for nobody for as long as the
//! longest lease. Knows no vote.

use std::{
    sync::{
        Arc,
        atomic::{AtomicBool, Ordering},
    },
    time::Duration,
};

/// Whether this server withholds its vote. Clones share it.
#[derive(Clone, Default)]
pub(crate) struct Promise(Arc<AtomicBool>);

impl Promise {
    /// Of a voter that may have promised something before it was started.
    pub(crate) fn forgotten() -> Self {
        Self(Arc::new(AtomicBool::new(true)))
    }

    /// Whether a lease that this server forgot may still run.
    pub(crate) fn is_forgotten(&self) -> bool {
        self.0.load(Ordering::Acquire)
    }

    /// Returns when every forgotten lease is over.
    pub(crate) async fn run_out(&self, lease: Duration) {
        if self.is_forgotten() {
            tokio::time::sleep(lease).await;
            self.0.store(false, Ordering::Release);
        }
    }
}
