//! Writes the store behind apply, on a thread of its own: never on the path of a write, never beyond what the log
//! has durably, all or nothing per batch. A store that cannot be written is given up: it is rebuilt at the next start.

use std::collections::BTreeMap;

use boss_proto::ids::ClusterId;
use bytes::Bytes;
use prost::Message;
use tokio::{
    runtime::Handle,
    sync::{mpsc, oneshot, watch},
};
use tokio_util::sync::CancellationToken;

use super::{
    meta::{Meta, Place},
    store::{Storage, StoreError},
};
use crate::{
    metric_definitions,
    state::{
        Change, View,
        rows::{self, Row},
    },
    types::LogId,
};

/// Batches that may wait; then apply waits too, so that the store is never far behind. One batch is at most 64
/// entries.
pub(super) const QUEUE_BATCHES_MAX: usize = 64;
/// Batches written together.
const MERGED_BATCHES_MAX: usize = 32;
/// Rows of one write while the whole store is replaced.
const REPLACED_ROWS: usize = 512;

/// What happened to the state since the batch before.
pub(super) struct Batch {
    pub(super) changes: Vec<Change>,
    /// Its last entry.
    pub(super) log_id: Option<LogId>,
    /// The description of the state after it, encoded.
    pub(super) meta: Vec<u8>,
}

pub(super) enum Work {
    Apply(Batch),
    /// A snapshot took the place of everything; it is durable.
    Replace {
        place: Place,
        view: View,
    },
    Flush(oneshot::Sender<()>),
}

/// The other end of the writer's queue.
#[derive(Clone)]
pub(super) struct WriterHandle {
    queue: mpsc::Sender<Work>,
}

impl WriterHandle {
    pub(super) fn new() -> (Self, mpsc::Receiver<Work>) {
        let (queue, work) = mpsc::channel(QUEUE_BATCHES_MAX);
        (Self { queue }, work)
    }

    /// Batches that wait.
    pub(super) fn waiting(&self) -> usize {
        self.queue.max_capacity() - self.queue.capacity()
    }

    /// Waits while the queue is full. A writer that has ended wants nothing more.
    pub(super) async fn send(&self, work: Work) {
        let _ = self.queue.send(work).await;
    }

    pub(super) async fn flush(&self) {
        let (done, wait) = oneshot::channel();
        self.send(Work::Flush(done)).await;
        let _ = wait.await;
    }
}

/// Whether the store may take what comes next.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Progress {
    GoOn,
    GiveUp,
}

pub(super) struct Writer<S> {
    pub(super) storage: S,
    pub(super) cluster_id: ClusterId,
    pub(super) durable: watch::Receiver<Option<LogId>>,
    pub(super) work: mpsc::Receiver<Work>,
    pub(super) token: CancellationToken,
    pub(super) runtime: Handle,
}

impl<S: Storage> Writer<S> {
    /// Works until all handles are gone, or until the process stops and nothing waits any more.
    pub(super) fn run(mut self) {
        let mut progress = Progress::GoOn;
        while let Some(work) = self.next() {
            // Once something was left out, nothing may follow; dropping the work answers whoever waits for a flush.
            if progress == Progress::GoOn {
                progress = self.handle(work).unwrap_or_else(|error| {
                    metrics::counter!(metric_definitions::STORE_FAILURES).increment(1);
                    tracing::error!(%error, "the store behind the registry cannot be written and stays behind");
                    Progress::GiveUp
                });
            }
        }
        if let Err(error) = self.storage.flush() {
            tracing::warn!(%error, "the store behind the registry could not be flushed");
        }
    }

    fn next(&mut self) -> Option<Work> {
        let (work, token) = (&mut self.work, &self.token);
        self.runtime.block_on(async {
            tokio::select! {
                biased;
                next = work.recv() => next,
                () = token.cancelled() => None,
            }
        })
    }

    fn handle(&mut self, work: Work) -> Result<Progress, StoreError> {
        match work {
            Work::Apply(batch) => return self.apply(batch),
            Work::Replace { place, view } => self.replace(&place, &view)?,
            Work::Flush(done) => {
                self.storage.flush()?;
                let _ = done.send(());
            }
        }
        Ok(Progress::GoOn)
    }

    /// Writes a batch and those that wait behind it and are durable, too, as one.
    fn apply(&mut self, first: Batch) -> Result<Progress, StoreError> {
        if !self.wait_until_durable(first.log_id) {
            return Ok(Progress::GiveUp);
        }
        let mut merged = Merged::default();
        merged.add(&first.changes);
        let mut meta = first.meta;
        let mut after = None;
        for _ in 1..MERGED_BATCHES_MAX {
            match self.work.try_recv() {
                Ok(Work::Apply(batch)) if self.is_durable(batch.log_id) => {
                    merged.add(&batch.changes);
                    meta = batch.meta;
                }
                Ok(other) => {
                    after = Some(other);
                    break;
                }
                Err(_) => break,
            }
        }
        self.storage.write(&merged.into_rows(), Some(&meta))?;
        metrics::counter!(metric_definitions::STORE_WRITES).increment(1);
        match after {
            Some(work) => self.handle(work),
            None => Ok(Progress::GoOn),
        }
    }

    fn replace(&mut self, place: &Place, view: &View) -> Result<(), StoreError> {
        self.storage.clear()?;
        let mut rows = Vec::with_capacity(REPLACED_ROWS);
        for row in rows::rows(view) {
            rows.push(row);
            if rows.len() == REPLACED_ROWS {
                self.storage.write(&rows, None)?;
                rows.clear();
            }
        }
        let meta = Meta::new(&self.cluster_id, place, view).encode_to_vec();
        self.storage.write(&rows, Some(&meta))
    }

    fn is_durable(&self, log_id: Option<LogId>) -> bool {
        reaches(*self.durable.borrow(), log_id)
    }

    /// Entries may be applied before this server's own log has them on disk; the store may not know them then.
    /// `false` when the log has ended before.
    fn wait_until_durable(&mut self, log_id: Option<LogId>) -> bool {
        if self.is_durable(log_id) {
            return true;
        }
        let (durable, token) = (&mut self.durable, &self.token);
        self.runtime.block_on(async {
            tokio::select! {
                reached = durable.wait_for(|durable| reaches(*durable, log_id)) => reached.is_ok(),
                () = token.cancelled() => false,
            }
        })
    }
}

fn reaches(durable: Option<LogId>, log_id: Option<LogId>) -> bool {
    durable.map(|log_id| log_id.index) >= log_id.map(|log_id| log_id.index)
}

/// Rows of several batches, the last of each key.
#[derive(Default)]
struct Merged(BTreeMap<Vec<u8>, Option<Bytes>>);

impl Merged {
    fn add(&mut self, changes: &[Change]) {
        for row in changes.iter().flat_map(rows::rows_of) {
            self.0.insert(row.key, row.value);
        }
    }

    fn into_rows(self) -> Vec<Row> {
        self.0.into_iter().map(|(key, value)| Row { key, value }).collect()
    }
}
