//! Runs one controller while this server leads: at once, then whenever something changed or the time has come.
//! Knows no kind and no controller.

use std::{sync::Arc, time::Duration};

use boss_base::{backoff::Backoff, clock::Clock};
use boss_raft::{Leadership, ProposeError};
use tokio::sync::watch;
use tokio_util::sync::CancellationToken;

/// Compares what is wanted with what is, and acts. A wake-up carries no data: reconciling twice does no harm.
pub(super) trait Controller: Send + 'static {
    /// For logs, events and the caller of its writes: `node-health`.
    const NAME: &'static str;

    /// Reads, compares, acts. May be dropped at any await when the leadership is lost.
    fn reconcile(&mut self) -> impl Future<Output = Result<NextRun, Error>> + Send;

    /// Resolves when something that it looks at may have changed since the last reconcile began.
    fn changed(&mut self) -> impl Future<Output = ()> + Send;
}

/// When to reconcile again.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum NextRun {
    /// When something changed.
    OnChange,
    /// The same, but after this time at the latest.
    Within(Duration),
}

/// Why a reconcile did not come to its end. It is run again after a while.
#[derive(Debug, thiserror::Error)]
pub(super) enum Error {
    /// The write's outcome is not known, or nothing was proposed.
    #[error("a write got no outcome: {0}")]
    Propose(#[from] ProposeError),
    /// The rules refused a write of the leader's own: a bug, or a newer leader.
    #[error("{what} was refused: {why}")]
    Refused {
        /// What it was about.
        what: String,
        /// What the rules say.
        why: String,
    },
}

/// The first delay after an error.
const BACKOFF_INITIAL: Duration = Duration::from_millis(50);
/// The longest one. A leader that cannot commit is deposed in less.
const BACKOFF_MAX: Duration = Duration::from_secs(5);

/// Runs until `stopping`: a fresh controller from `make` for every term that this server leads.
pub(super) async fn run<C: Controller>(
    mut leadership: watch::Receiver<Leadership>,
    clock: Arc<dyn Clock>,
    stopping: CancellationToken,
    make: impl Fn(u64) -> C,
) {
    let lead = async {
        // An error means that the registry is gone, and with it the reason to run.
        while let Ok(term) = next_term(&mut leadership).await {
            tracing::debug!(controller = C::NAME, term, "started");
            let mut controller = make(term);
            tokio::select! {
                () = lost(&mut leadership, term) => {}
                () = repeat(&mut controller, &*clock) => {}
            }
            tracing::debug!(controller = C::NAME, term, "stopped");
        }
    };
    stopping.run_until_cancelled(lead).await;
}

/// The term in which this server may act.
async fn next_term(leadership: &mut watch::Receiver<Leadership>) -> Result<u64, watch::error::RecvError> {
    let leading = leadership.wait_for(|now| now.is_self && now.ready).await?;
    Ok(leading.term)
}

async fn lost(leadership: &mut watch::Receiver<Leadership>, term: u64) {
    // A closed channel is a loss, too.
    let _ = leadership.wait_for(|now| !(now.is_self && now.ready && now.term == term)).await;
}

async fn repeat<C: Controller>(controller: &mut C, clock: &dyn Clock) {
    let mut backoff = Backoff::new(BACKOFF_INITIAL, BACKOFF_MAX);
    loop {
        match controller.reconcile().await {
            Ok(NextRun::OnChange) => {
                backoff.reset();
                controller.changed().await;
            }
            Ok(NextRun::Within(time)) => {
                backoff.reset();
                // Which of the two it was does not matter.
                let _ = tokio::time::timeout(time, controller.changed()).await;
            }
            Err(error) => {
                tracing::warn!(controller = C::NAME, %error, "reconcile failed; trying again");
                tokio::time::sleep(backoff.next_delay(clock)).await;
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use std::sync::atomic::{AtomicU64, Ordering};

    use boss_base::clock::SystemClock;
    use boss_proto::ids::ServerId;
    use tokio::sync::Notify;

    use super::*;

    #[derive(Default)]
    struct Log {
        made: AtomicU64,
        reconciled: AtomicU64,
        step: Notify,
        change: Notify,
    }

    struct Probe {
        log: Arc<Log>,
        failures: u64,
    }

    impl Controller for Probe {
        const NAME: &'static str = "probe";

        async fn reconcile(&mut self) -> Result<NextRun, Error> {
            self.log.reconciled.fetch_add(1, Ordering::SeqCst);
            self.log.step.notify_one();
            if self.failures > 0 {
                self.failures -= 1;
                return Err(Error::Propose(ProposeError::Busy));
            }
            tokio::task::yield_now().await;
            Ok(NextRun::OnChange)
        }

        async fn changed(&mut self) {
            self.log.change.notified().await;
        }
    }

    fn leads(term: u64, ready: bool) -> Leadership {
        Leadership { term, leader: Some(ServerId(1)), is_self: true, ready }
    }

    struct Bench {
        log: Arc<Log>,
        leadership: watch::Sender<Leadership>,
        stopping: CancellationToken,
        running: tokio::task::JoinHandle<()>,
    }

    #[expect(clippy::disallowed_methods, reason = "the test owns the task")]
    fn start(failures: u64) -> Bench {
        let (leadership, receiver) = watch::channel(Leadership::default());
        let (log, stopping) = (Arc::new(Log::default()), CancellationToken::new());
        let probe = log.clone();
        let make = move |_| {
            probe.made.fetch_add(1, Ordering::SeqCst);
            Probe { log: probe.clone(), failures }
        };
        let running = tokio::spawn(run(receiver, Arc::new(SystemClock), stopping.clone(), make));
        Bench { log, leadership, stopping, running }
    }

    #[tokio::test]
    async fn nothing_runs_before_this_server_leads_and_is_ready() {
        let bench = start(0);
        bench.leadership.send_replace(leads(1, false));
        tokio::task::yield_now().await;
        assert_eq!(bench.log.made.load(Ordering::SeqCst), 0);
        bench.leadership.send_replace(leads(1, true));
        bench.log.step.notified().await;
        bench.stopping.cancel();
        bench.running.await.expect("ends cleanly");
    }

    #[tokio::test]
    async fn every_term_gets_a_fresh_controller() {
        let bench = start(0);
        for term in 1..=3 {
            bench.leadership.send_replace(leads(term, true));
            bench.log.step.notified().await;
            assert_eq!(bench.log.made.load(Ordering::SeqCst), term);
        }
    }

    #[tokio::test]
    async fn a_change_reconciles_again_and_a_loss_stops() {
        let bench = start(0);
        bench.leadership.send_replace(leads(1, true));
        bench.log.step.notified().await;
        bench.log.change.notify_one();
        bench.log.step.notified().await;
        assert_eq!(bench.log.reconciled.load(Ordering::SeqCst), 2);
        bench.leadership.send_replace(Leadership::default());
        tokio::task::yield_now().await;
        bench.log.change.notify_one();
        for _ in 0..8 {
            tokio::task::yield_now().await;
        }
        assert_eq!(bench.log.reconciled.load(Ordering::SeqCst), 2);
    }

    #[tokio::test]
    async fn an_error_is_tried_again_without_a_change() {
        let bench = start(2);
        bench.leadership.send_replace(leads(1, true));
        for _ in 0..3 {
            bench.log.step.notified().await;
        }
        assert_eq!(bench.log.reconciled.load(Ordering::SeqCst), 3);
    }
}
