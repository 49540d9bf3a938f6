//! Keeps many workers busy and counts what they did. Knows no protocol.

use std::{
    future::Future,
    sync::{
        Arc,
        atomic::{AtomicU64, Ordering},
    },
    time::Duration,
};

use tokio::{task::JoinSet, time::Instant};

use super::{
    plan::Stop,
    summary::{Summary, Tally},
};

/// A worker whose operation failed waits so long: a server that refuses must not be asked in a tight loop.
const PAUSE_AFTER_ERROR: Duration = Duration::from_millis(20);
/// An operation that takes longer counts as an error.
const OPERATION_TIMEOUT: Duration = Duration::from_secs(30);

/// The kind of an error: one of few texts, so that they can be counted.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Failed(pub String);

/// One caller, that waits for each answer before it asks again.
pub trait Worker: Send + 'static {
    /// Does one operation.
    fn once(&mut self) -> impl Future<Output = Result<(), Failed>> + Send;
}

/// How fast, and for how long.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct Pace {
    /// When it ends.
    pub stop: Stop,
    /// Operations per second of all workers together; as many as possible when `None`.
    pub rate: Option<f64>,
}

/// Lets all workers work until it is time to stop.
pub async fn drive<W: Worker>(workers: Vec<W>, pace: Pace) -> Summary {
    let schedule = Arc::new(Schedule { started: Instant::now(), pace, issued: AtomicU64::new(0) });
    let mut running = JoinSet::new();
    for worker in workers {
        running.spawn(work(worker, Arc::clone(&schedule)));
    }
    let mut tally = Tally::default();
    while let Some(done) = running.join_next().await {
        match done {
            Ok(one) => tally.merge(one),
            Err(_panicked) => tally.fail("a worker panicked"),
        }
    }
    Summary { tally, elapsed: schedule.started.elapsed() }
}

struct Schedule {
    started: Instant,
    pace: Pace,
    issued: AtomicU64,
}

impl Schedule {
    /// When the next operation is due; `None` when there is none any more.
    fn next(&self) -> Option<Instant> {
        let number = self.issued.fetch_add(1, Ordering::Relaxed);
        let now = Instant::now();
        // With a rate an operation counts from when it was due: a slow server must not slow the measurement down.
        let due = match self.pace.rate {
            Some(rate) => self.started + Duration::from_secs_f64(number as f64 / rate),
            None => now,
        };
        let over = match self.pace.stop {
            Stop::After(duration) => due.max(now) >= self.started + duration,
            Stop::Total(total) => number >= total,
        };
        (!over).then_some(due)
    }
}

async fn work<W: Worker>(mut worker: W, schedule: Arc<Schedule>) -> Tally {
    let mut tally = Tally::default();
    while let Some(due) = schedule.next() {
        if schedule.pace.rate.is_some() {
            tokio::time::sleep_until(due).await;
        }
        match tokio::time::timeout(OPERATION_TIMEOUT, worker.once()).await {
            Ok(Ok(())) => tally.latencies.record(due.elapsed()),
            Ok(Err(Failed(kind))) => {
                tally.fail(&kind);
                tokio::time::sleep(PAUSE_AFTER_ERROR).await;
            }
            Err(_elapsed) => tally.fail("no answer"),
        }
    }
    tally
}

#[cfg(test)]
mod tests {
    use super::*;

    struct Counting {
        each: Duration,
        fail: bool,
    }

    impl Worker for Counting {
        async fn once(&mut self) -> Result<(), Failed> {
            tokio::time::sleep(self.each).await;
            if self.fail { Err(Failed("no".to_owned())) } else { Ok(()) }
        }
    }

    fn workers(count: usize, millis: u64) -> Vec<Counting> {
        (0..count).map(|_| Counting { each: Duration::from_millis(millis), fail: false }).collect()
    }

    #[tokio::test(start_paused = true)]
    async fn a_total_is_met_exactly_by_all_workers_together() {
        let summary = drive(workers(7, 10), Pace { stop: Stop::Total(100), rate: None }).await;
        assert_eq!((summary.tally.latencies.total(), summary.failed()), (100, 0));
    }

    #[tokio::test(start_paused = true)]
    async fn a_run_ends_after_its_time() {
        let summary = drive(workers(4, 10), Pace { stop: Stop::After(Duration::from_secs(1)), rate: None }).await;
        assert_eq!(summary.tally.latencies.total(), 400);
        assert_eq!(summary.elapsed, Duration::from_secs(1));
    }

    #[tokio::test(start_paused = true)]
    async fn a_rate_is_kept_and_a_late_answer_counts_from_when_it_was_due() {
        let pace = Pace { stop: Stop::Total(50), rate: Some(10.0) };
        let summary = drive(workers(4, 10), pace).await;
        assert!((4.9..5.1).contains(&summary.elapsed.as_secs_f64()), "{:?}", summary.elapsed);
        // One worker that needs 200 ms for what is due every 100 ms is late by ever more.
        let late = drive(workers(1, 200), pace).await;
        assert!(late.millis(1.0) > 4_000.0, "{}", late.millis(1.0));
    }

    #[tokio::test(start_paused = true)]
    async fn failures_are_counted_by_kind_and_do_not_spin() {
        let failing = vec![Counting { each: Duration::ZERO, fail: true }];
        let summary = drive(failing, Pace { stop: Stop::After(Duration::from_secs(1)), rate: None }).await;
        assert_eq!(summary.tally.errors.keys().collect::<Vec<_>>(), ["no"]);
        assert!(summary.failed() <= 51, "{}", summary.failed());
    }
}
