//! What waits for the writer of the store. Apply never waits: when the store is too far behind, single changes are no
//! longer kept, only the newest view, from which the writer writes everything anew. So neither a slow disk nor a dead
//! one stalls apply or fills the memory.

use std::{
    collections::VecDeque,
    sync::{Arc, Mutex, MutexGuard, PoisonError},
    time::Duration,
};

use tokio::{
    sync::{Notify, oneshot},
    time::Instant,
};

use super::meta::Place;
use crate::{
    metric_definitions::STORE_OVERFLOWS,
    state::{Change, View},
};

/// What a change costs beside the objects that it shares with the state: keys, counters, a place in the queue.
const CHANGE_BYTES: usize = 256;
/// When so much waits there is nothing to gain from waiting longer.
const PLENTY_BYTES: usize = 1024 * 1024;

/// The state at one place of the log.
#[derive(Clone)]
pub(super) struct Moment {
    pub(super) place: Place,
    pub(super) view: View,
}

/// What happened to the state since the batch before, and the state after it.
pub(super) struct Batch {
    pub(super) changes: Vec<Change>,
    pub(super) after: Moment,
}

impl Batch {
    /// What it may keep in memory alone, once the state has moved on.
    fn bytes(&self) -> usize {
        let of = |change: &Change| match change {
            Change::Object { now: Some(record), .. } => record.encoded.len(),
            Change::Event(event) => event.record.encoded.len(),
            _ => 0,
        };
        self.changes.iter().map(|change| CHANGE_BYTES + of(change)).sum()
    }
}

pub(super) enum Work {
    Apply(Batch),
    /// A snapshot took the place of everything; it is durable.
    Replace(Moment),
    Flush(oneshot::Sender<()>),
}

/// Both ends of the writer's queue.
#[derive(Clone)]
pub(super) struct Mailbox {
    shared: Arc<Shared>,
    /// `None` at the writer's own end. Only kept: its end is what tells.
    _senders: Option<Arc<Senders>>,
}

/// All who may still put something in; the writer's own end does not count.
struct Senders(Arc<Shared>);

impl Drop for Senders {
    fn drop(&mut self) {
        self.0.queue.lock().unwrap_or_else(PoisonError::into_inner).closed = true;
        self.0.arrived.notify_one();
    }
}

struct Shared {
    bytes_max: usize,
    queue: Mutex<Queue>,
    arrived: Notify,
}

#[derive(Default)]
struct Queue {
    work: VecDeque<Work>,
    bytes: usize,
    /// When the oldest batch came.
    since: Option<Instant>,
    /// The newest state, when changes before it were not kept.
    missed: Option<Moment>,
    /// One of the ends has gone: nothing comes any more, or nobody takes it out.
    closed: bool,
}

impl Queue {
    fn push_or_miss(&mut self, batch: Batch, bytes_max: usize) -> Pushed {
        let bytes = batch.bytes();
        if self.missed.is_none() && self.bytes + bytes <= bytes_max {
            // The writer waits for the first one and for the end of its patience: whatever comes between need not wake it.
            let news = self.work.is_empty() || (self.bytes < PLENTY_BYTES && self.bytes + bytes >= PLENTY_BYTES);
            self.since.get_or_insert_with(Instant::now);
            self.bytes += bytes;
            self.work.push_back(Work::Apply(batch));
            return if news { Pushed::First } else { Pushed::Kept };
        }
        match self.missed.replace(batch.after) {
            None => Pushed::Overflowed,
            Some(_) => Pushed::Missed,
        }
    }
}

impl Queue {
    /// A batch of so many bytes was taken out.
    fn taken(&mut self, bytes: usize) {
        self.bytes = self.bytes.saturating_sub(bytes);
        if self.work.is_empty() {
            self.since = None;
        }
    }

    /// No batch waits any more.
    fn no_changes(&mut self) {
        self.bytes = 0;
        self.since = None;
    }
}

#[derive(Clone, Copy, PartialEq, Eq)]
enum Pushed {
    /// The writer must hear of it.
    First,
    Kept,
    Overflowed,
    Missed,
}

impl Mailbox {
    /// An empty one that keeps changes of so many bytes.
    pub(super) fn new(bytes_max: usize) -> Self {
        let shared = Arc::new(Shared { bytes_max, queue: Mutex::default(), arrived: Notify::new() });
        Self { shared: Arc::clone(&shared), _senders: Some(Arc::new(Senders(shared))) }
    }

    /// The writer's end: it learns when nobody is left at the other one.
    pub(super) fn for_writer(&self) -> Self {
        Self { shared: Arc::clone(&self.shared), _senders: None }
    }

    /// Whether nothing can come any more.
    pub(super) fn is_closed(&self) -> bool {
        self.lock().closed
    }

    fn lock(&self) -> MutexGuard<'_, Queue> {
        self.shared.queue.lock().unwrap_or_else(PoisonError::into_inner)
    }

    pub(super) fn apply(&self, batch: Batch) {
        let mut queue = self.lock();
        if queue.closed {
            return;
        }
        let pushed = queue.push_or_miss(batch, self.shared.bytes_max);
        drop(queue);
        if pushed == Pushed::Overflowed {
            metrics::counter!(STORE_OVERFLOWS).increment(1);
            tracing::warn!("the store behind the registry is too slow; it is written anew from memory when it can");
        }
        if matches!(pushed, Pushed::First | Pushed::Overflowed) {
            self.shared.arrived.notify_one();
        }
    }

    /// How long what waits may still wait for more, for `linger` in all; `None` when nothing waits. Only single changes
    /// wait.
    pub(super) fn due_in(&self, linger: Duration) -> Option<Duration> {
        let queue = self.lock();
        queue.work.front()?;
        let only_changes = queue.work.iter().all(|work| matches!(work, Work::Apply(_)));
        if !only_changes || queue.bytes >= PLENTY_BYTES {
            return Some(Duration::ZERO);
        }
        Some(queue.since.map_or(Duration::ZERO, |since| linger.saturating_sub(since.elapsed())))
    }

    /// What was to be written before is of no use any more.
    pub(super) fn replace(&self, moment: Moment) {
        let mut queue = self.lock();
        if queue.closed {
            return;
        }
        queue.work.retain(|work| matches!(work, Work::Flush(_)));
        queue.work.push_front(Work::Replace(moment));
        queue.no_changes();
        queue.missed = None;
        drop(queue);
        self.shared.arrived.notify_one();
    }

    /// Waits until everything before is in the store, or the writer has ended.
    pub(super) async fn flush(&self) {
        let (done, wait) = oneshot::channel();
        {
            let mut queue = self.lock();
            if queue.closed {
                return;
            }
            queue.work.push_back(Work::Flush(done));
        }
        self.shared.arrived.notify_one();
        // Without an answer there is no writer any more.
        let _ = wait.await;
    }

    /// The writer has ended: who waits for it goes on.
    pub(super) fn close(&self) {
        let mut queue = self.lock();
        queue.closed = true;
        queue.work.clear();
    }

    /// Batches and flushes that wait.
    pub(super) fn waiting(&self) -> usize {
        self.lock().work.len()
    }

    pub(super) fn pop(&self) -> Option<Work> {
        let mut queue = self.lock();
        let work = queue.work.pop_front()?;
        if let Work::Apply(batch) = &work {
            queue.taken(batch.bytes());
        }
        Some(work)
    }

    /// The next work if it is a batch.
    pub(super) fn pop_batch(&self, wanted: impl FnOnce(&Batch) -> bool) -> Option<Batch> {
        let mut queue = self.lock();
        match queue.work.front() {
            Some(Work::Apply(batch)) if wanted(batch) => {}
            _ => return None,
        }
        let Some(Work::Apply(batch)) = queue.work.pop_front() else { return None };
        queue.taken(batch.bytes());
        Some(batch)
    }

    /// Whether a snapshot waits to take the place of everything.
    pub(super) fn is_replaced(&self) -> bool {
        matches!(self.lock().work.front(), Some(Work::Replace(_)))
    }

    /// The state to write anew, when changes were missed. What comes after it is kept again.
    pub(super) fn take_missed(&self) -> Option<Moment> {
        let mut queue = self.lock();
        // Changes from before stand in the view, too; flushes stay.
        let missed = queue.missed.take()?;
        queue.work.retain(|work| !matches!(work, Work::Apply(_)));
        queue.no_changes();
        Some(missed)
    }

    pub(super) fn has_missed(&self) -> bool {
        self.lock().missed.is_some()
    }

    /// Whether somebody waits for the store to have everything.
    pub(super) fn is_flushed(&self) -> bool {
        self.lock().work.iter().any(|work| matches!(work, Work::Flush(_)))
    }

    /// Notes that changes up to here did not reach the store: those that wait are of no use, either, and what comes is
    /// missed, too, until all is written anew. A snapshot that waits has all of it.
    pub(super) fn miss(&self, moment: Moment) {
        let mut queue = self.lock();
        if matches!(queue.work.front(), Some(Work::Replace(_))) {
            return;
        }
        let newest = queue.work.iter().rev().find_map(|work| match work {
            Work::Apply(batch) => Some(batch.after.clone()),
            Work::Replace(_) | Work::Flush(_) => None,
        });
        queue.missed.get_or_insert(newest.unwrap_or(moment));
        queue.work.retain(|work| !matches!(work, Work::Apply(_)));
        queue.no_changes();
    }

    /// Waits for the next arrival; one that came since the last call counts.
    pub(super) async fn arrived(&self) {
        self.shared.arrived.notified().await;
    }
}
