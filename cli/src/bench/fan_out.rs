//! One write, many watchers: how long until the last of them has seen it. Knows no protocol.

use std::{
    future::Future,
    sync::{
        Arc,
        atomic::{AtomicU64, Ordering},
    },
    time::Duration,
};

use tokio::{sync::Notify, task::JoinSet, time::Instant};

use super::{
    load::{Failed, Worker},
    plan::Stop,
    summary::{Summary, Tally},
};

/// The first event opens all streams, too: with many watchers that takes its time.
const ROUND_TIMEOUT: Duration = Duration::from_secs(30);

/// An open watch.
pub trait EventFeed: Send + 'static {
    /// Waits for news and says how many events they are.
    fn next(&mut self) -> impl Future<Output = Result<u64, Failed>> + Send;
}

/// Events that arrived at all watchers together.
#[derive(Default)]
struct Arrived {
    events: AtomicU64,
    wanted: AtomicU64,
    all: Notify,
}

impl Arrived {
    fn count(&self, events: u64) {
        let before = self.events.fetch_add(events, Ordering::SeqCst);
        let wanted = self.wanted.load(Ordering::SeqCst);
        if before < wanted && before + events >= wanted {
            self.all.notify_one();
        }
    }
}

/// Writes with `writer` until `stop`, each time waiting until all `feeds` have seen it. The latencies are those of
/// whole rounds, from before the write to the last delivery. One more round at the beginning is not counted.
pub async fn fan_out<F: EventFeed, W: Worker>(feeds: Vec<F>, mut writer: W, stop: Stop) -> Summary {
    let (watchers, arrived) = (feeds.len() as u64, Arc::new(Arrived::default()));
    let mut running = JoinSet::new();
    for feed in feeds {
        running.spawn(follow(feed, Arc::clone(&arrived)));
    }
    let (mut tally, mut started) = (Tally::default(), Instant::now());
    for round in 0.. {
        if round == 1 {
            started = Instant::now();
        }
        if is_over(stop, round, started) {
            break;
        }
        arrived.wanted.store((round + 1) * watchers, Ordering::SeqCst);
        let begin = Instant::now();
        let result = tokio::select! {
            result = tokio::time::timeout(ROUND_TIMEOUT, one_round(&mut writer, &arrived)) => {
                result.unwrap_or_else(|_elapsed| Err(Failed("not all watchers saw the write".to_owned())))
            }
            Some(ended) = running.join_next() => Err(ended.unwrap_or(Failed("a watcher panicked".to_owned()))),
        };
        match result {
            Ok(()) if round > 0 => tally.latencies.record(begin.elapsed()),
            Ok(()) => {}
            // The count of events no longer tells the rounds apart.
            Err(Failed(kind)) => {
                tally.fail(&kind);
                break;
            }
        }
    }
    Summary { tally, elapsed: started.elapsed() }
}

fn is_over(stop: Stop, round: u64, started: Instant) -> bool {
    match stop {
        Stop::Total(total) => round > total,
        Stop::After(duration) => round > 0 && started.elapsed() >= duration,
    }
}

async fn one_round<W: Worker>(writer: &mut W, arrived: &Arrived) -> Result<(), Failed> {
    writer.once().await?;
    arrived.all.notified().await;
    Ok(())
}

async fn follow<F: EventFeed>(mut feed: F, arrived: Arc<Arrived>) -> Failed {
    loop {
        match feed.next().await {
            Ok(events) => arrived.count(events),
            Err(failed) => return failed,
        }
    }
}

#[cfg(test)]
mod tests {
    use tokio::sync::broadcast;

    use super::*;

    struct Heard(broadcast::Receiver<()>);

    impl EventFeed for Heard {
        async fn next(&mut self) -> Result<u64, Failed> {
            self.0.recv().await.map(|()| 1).map_err(|_| Failed("closed".to_owned()))
        }
    }

    struct Say(broadcast::Sender<()>, u32);

    impl Worker for Say {
        async fn once(&mut self) -> Result<(), Failed> {
            self.1 = self.1.checked_sub(1).ok_or(Failed("out of words".to_owned()))?;
            tokio::time::sleep(Duration::from_millis(5)).await;
            self.0.send(()).map(drop).map_err(|_| Failed("nobody listens".to_owned()))
        }
    }

    #[tokio::test(start_paused = true)]
    async fn a_round_lasts_until_all_have_seen_the_write() {
        let (sender, _) = broadcast::channel(8);
        let feeds: Vec<Heard> = (0..50).map(|_| Heard(sender.subscribe())).collect();
        let summary = fan_out(feeds, Say(sender, 100), Stop::Total(10)).await;
        assert_eq!((summary.tally.latencies.total(), summary.failed()), (10, 0));
        assert!((5.0..6.1).contains(&summary.millis(0.5)), "{}", summary.millis(0.5));
    }

    #[tokio::test(start_paused = true)]
    async fn a_write_that_fails_ends_the_run_and_is_counted() {
        let (sender, receiver) = broadcast::channel(8);
        let summary = fan_out(vec![Heard(receiver)], Say(sender, 3), Stop::Total(10)).await;
        assert_eq!((summary.tally.latencies.total(), summary.failed()), (2, 1));
    }

    #[tokio::test(start_paused = true)]
    async fn a_watcher_that_sees_nothing_is_noticed() {
        let ((sender, _keep), (_other, deaf)) = (broadcast::channel(8), broadcast::channel(8));
        let feeds = vec![Heard(sender.subscribe()), Heard(deaf)];
        let summary = fan_out(feeds, Say(sender, 3), Stop::Total(10)).await;
        assert_eq!(summary.tally.errors.keys().collect::<Vec<_>>(), ["not all watchers saw the write"]);
    }
}
