//! Writes the store behind apply, on a thread of its own: never on the path of a write, never beyond what the log has
//! durably, all or nothing per batch. Now and then, and whenever the store cannot follow or be trusted, a fresh
//! generation of it is written from memory and takes its place; neither reads nor writes wait for that.

use std::time::Duration;

use boss_proto::ids::ClusterId;
use prost::Message;
use tokio::{runtime::Handle, sync::watch, time::Instant};
use tokio_util::sync::CancellationToken;

use super::{
    home::Home,
    mailbox::{Batch, Mailbox, Moment, Work},
    meta::Meta,
    store::{Storage, StoreError},
};
use crate::{
    failpoints::failpoint,
    metric_definitions::{STORE_FAILURES, STORE_INDEX, STORE_REWRITES, STORE_WRITES},
    state::{
        Change,
        rows::{self, Row},
    },
    types::LogId,
};

/// Batches written together.
const MERGED_BATCHES_MAX: usize = 256;
/// Rows of one write while everything is written.
const REWRITTEN_ROWS: usize = 512;
/// Between two attempts at writing everything anew because the store did not follow: a disk that is too slow for the
/// changes must not be kept busy with the whole.
const REWRITE_PAUSE: Duration = Duration::from_secs(10);

/// Bounds of the store behind the registry.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct StoreLimits {
    /// Below this size on disk a store is never written anew for its size.
    pub floor_bytes: u64,
    /// Changes that may wait for the store, in bytes; and as many again while it is written anew.
    pub waiting_bytes_max: usize,
    /// How long changes wait for others to be written with.
    pub linger: Duration,
}

impl Default for StoreLimits {
    fn default() -> Self {
        Self { floor_bytes: 64 << 20, waiting_bytes_max: 64 << 20, linger: Duration::from_millis(100) }
    }
}

/// Why the whole store is written.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Reason {
    /// A snapshot was installed, or the store was of no use when the server started.
    Replaced,
    /// The store could not follow, or a write failed.
    Missed,
    /// Too little of what it takes on disk is alive.
    Shrink,
}

impl Reason {
    fn as_str(self) -> &'static str {
        match self {
            Self::Replaced => "replaced",
            Self::Missed => "missed",
            Self::Shrink => "shrink",
        }
    }
}

pub(super) struct Writer<H: Home> {
    home: H,
    storage: H::Store,
    cluster_id: ClusterId,
    durable: watch::Receiver<Option<LogId>>,
    mailbox: Mailbox,
    token: CancellationToken,
    runtime: Handle,
    limits: StoreLimits,
    /// Bytes written since the size on disk was last looked at.
    unseen_bytes: u64,
    rewritten_at: Option<Instant>,
}

/// What a writer is made from.
pub(super) struct Parts<H: Home> {
    pub(super) home: H,
    pub(super) storage: H::Store,
    pub(super) cluster_id: ClusterId,
    pub(super) durable: watch::Receiver<Option<LogId>>,
    pub(super) mailbox: Mailbox,
    pub(super) token: CancellationToken,
    pub(super) runtime: Handle,
    pub(super) limits: StoreLimits,
}

impl<H: Home> Drop for Writer<H> {
    fn drop(&mut self) {
        self.mailbox.close();
    }
}

impl<H: Home> Writer<H> {
    pub(super) fn new(parts: Parts<H>) -> Self {
        let Parts { home, storage, cluster_id, durable, mailbox, token, runtime, limits } = parts;
        let (unseen_bytes, rewritten_at) = (0, None);
        Self { home, storage, cluster_id, durable, mailbox, token, runtime, limits, unseen_bytes, rewritten_at }
    }

    /// Works until the process stops and nothing waits any more.
    pub(super) fn run(mut self) {
        while let Some(work) = self.next() {
            match work {
                Next::Work(Work::Apply(batch)) => self.apply(batch),
                Next::Work(Work::Replace(moment)) => self.rewrite(moment, Reason::Replaced),
                Next::Work(Work::Flush(done)) => {
                    self.flush();
                    let _ = done.send(());
                }
                Next::Missed => self.catch_up(),
            }
        }
        self.flush_storage();
    }

    fn next(&mut self) -> Option<Next> {
        loop {
            let ending = self.token.is_cancelled() || self.mailbox.is_closed();
            let due = self.mailbox.due_in(self.limits.linger);
            if (ending || due == Some(Duration::ZERO))
                && let Some(work) = self.mailbox.pop()
            {
                return Some(Next::Work(work));
            }
            if ending {
                return None;
            }
            let missed = self.mailbox.has_missed();
            let rest = self.rest();
            if missed && rest.is_zero() {
                return Some(Next::Missed);
            }
            let (mailbox, token) = (&self.mailbox, &self.token);
            let wait = due.into_iter().chain(missed.then_some(rest)).min();
            self.runtime.block_on(async {
                tokio::select! {
                    () = token.cancelled() => {}
                    () = mailbox.arrived() => {}
                    () = tokio::time::sleep(wait.unwrap_or_default()), if wait.is_some() => {}
                }
            });
        }
    }

    /// How long the store is left alone before everything is written again.
    fn rest(&self) -> Duration {
        self.rewritten_at.map_or(Duration::ZERO, |at| REWRITE_PAUSE.saturating_sub(at.elapsed()))
    }

    /// Writes a batch and those that wait behind it and are durable, too, as one.
    fn apply(&mut self, first: Batch) {
        if !self.wait_until_durable(first.after.place.log_id) {
            return self.mailbox.miss(first.after);
        }
        let mut merged = Merged::default();
        merged.add(&first.changes);
        let mut after = first.after;
        for _ in 1..MERGED_BATCHES_MAX {
            let durable = *self.durable.borrow();
            let Some(batch) = self.mailbox.pop_batch(|batch| reaches(durable, batch.after.place.log_id)) else { break };
            merged.add(&batch.changes);
            after = batch.after;
        }
        let bytes = merged.bytes;
        let meta = self.meta(&after);
        failpoint!("store.batch.merged");
        if let Err(error) = self.storage.write(&merged.rows, Some(&meta)) {
            return self.failed(&error, after);
        }
        failpoint!("store.batch.written");
        metrics::counter!(STORE_WRITES).increment(1);
        report_index(&after);
        self.look_at_size(bytes, after);
    }

    /// Has a fresh generation written when too little of what the store takes is alive.
    fn look_at_size(&mut self, written: usize, now: Moment) {
        self.unseen_bytes += written as u64;
        // Looking costs a walk over the state: seldom for a large one.
        if self.unseen_bytes < self.limits.floor_bytes / 4 {
            return;
        }
        let disk = self.home.store_bytes();
        if self.unseen_bytes < disk / 4 {
            return;
        }
        self.unseen_bytes = 0;
        if disk >= self.limits.floor_bytes && is_bloated(disk, rows::live_bytes(&now.view)) {
            self.rewrite(now, Reason::Shrink);
        }
    }

    fn catch_up(&mut self) {
        if let Some(missed) = self.mailbox.take_missed() {
            self.rewritten_at = Some(Instant::now());
            self.rewrite(missed, Reason::Missed);
        }
    }

    /// A server that stops wants a store that needs no replay.
    fn flush(&mut self) {
        self.catch_up();
        self.flush_storage();
    }

    fn flush_storage(&mut self) {
        if let Err(error) = self.storage.flush() {
            tracing::warn!(%error, "the store behind the registry could not be flushed");
        }
    }

    fn failed(&mut self, error: &StoreError, at: Moment) {
        metrics::counter!(STORE_FAILURES).increment(1);
        tracing::error!(%error, "the store behind the registry cannot be written; it is tried again later");
        self.rewritten_at = Some(Instant::now());
        self.mailbox.miss(at);
    }

    /// Writes everything into a fresh generation, with what comes meanwhile, and lets it take the store's place. Until
    /// then the old one counts.
    fn rewrite(&mut self, moment: Moment, reason: Reason) {
        let mut meanwhile = Meanwhile { after: moment.clone(), merged: Merged::default(), came: false };
        let written = self.write_generation(&moment, reason, &mut meanwhile);
        match written {
            Ok(Written::Whole(fresh)) => {
                metrics::counter!(STORE_REWRITES, "reason" => reason.as_str()).increment(1);
                drop(std::mem::replace(&mut self.storage, fresh));
                report_index(&meanwhile.after);
            }
            Ok(Written::Abandoned) if reason == Reason::Shrink => self.keep_old(meanwhile),
            Ok(Written::Abandoned) => self.mailbox.miss(meanwhile.after),
            Err(error) => self.failed(&error, meanwhile.after),
        }
        failpoint!("store.generation.swapped");
        self.home.clean();
    }

    fn write_generation(
        &mut self,
        moment: &Moment,
        reason: Reason,
        meanwhile: &mut Meanwhile,
    ) -> Result<Written<H::Store>, StoreError> {
        let mut fresh = self.home.fresh()?;
        failpoint!("store.generation.made");
        let mut chunk = Vec::with_capacity(REWRITTEN_ROWS);
        for row in rows::rows(&moment.view) {
            chunk.push(row);
            if chunk.len() == REWRITTEN_ROWS {
                fresh.write(&chunk, None)?;
                chunk.clear();
                meanwhile.take_in(&self.mailbox, self.limits.waiting_bytes_max);
                if self.is_overtaken(reason) {
                    return Ok(Written::Abandoned);
                }
            }
        }
        fresh.write(&chunk, None)?;
        failpoint!("store.generation.rows-written");
        meanwhile.take_in(&self.mailbox, self.limits.waiting_bytes_max);
        // A snapshot is durable by itself; what the log brought must be durable there.
        let from_log = reason != Reason::Replaced || meanwhile.came;
        if from_log && !self.wait_until_durable(meanwhile.after.place.log_id) {
            return Ok(Written::Abandoned);
        }
        let rows = std::mem::take(&mut meanwhile.merged).rows;
        fresh.write(&rows, Some(&self.meta(&meanwhile.after)))?;
        failpoint!("store.generation.described");
        fresh.flush()?;
        failpoint!("store.generation.flushed");
        self.home.adopt()?;
        failpoint!("store.generation.adopted");
        Ok(Written::Whole(fresh))
    }

    /// Whether a generation that is being written is of no use any more, or must not keep a stop waiting.
    fn is_overtaken(&self, reason: Reason) -> bool {
        let stopping = self.token.is_cancelled() || (reason == Reason::Shrink && self.mailbox.is_flushed());
        stopping || self.mailbox.is_replaced()
    }

    /// What came meanwhile goes into the old generation, which lacks nothing else.
    fn keep_old(&mut self, meanwhile: Meanwhile) {
        if !meanwhile.came {
            return;
        }
        if !self.wait_until_durable(meanwhile.after.place.log_id) {
            return self.mailbox.miss(meanwhile.after);
        }
        let meta = self.meta(&meanwhile.after);
        if let Err(error) = self.storage.write(&meanwhile.merged.rows, Some(&meta)) {
            self.failed(&error, meanwhile.after);
        }
    }

    fn meta(&self, moment: &Moment) -> Vec<u8> {
        Meta::new(&self.cluster_id, &moment.place, &moment.view).encode_to_vec()
    }

    /// Entries may be applied before this server's own log has them on disk; the store may not know them then.
    /// `false` when the log has ended before.
    fn wait_until_durable(&mut self, log_id: Option<LogId>) -> bool {
        if reaches(*self.durable.borrow(), log_id) {
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

enum Next {
    Work(Work),
    /// Everything is to be written anew.
    Missed,
}

enum Written<S> {
    Whole(S),
    Abandoned,
}

/// What happens to the state while a generation is written.
struct Meanwhile {
    after: Moment,
    merged: Merged,
    came: bool,
}

impl Meanwhile {
    /// Above the bound the rest stays in the mailbox, which has a bound of its own.
    fn take_in(&mut self, mailbox: &Mailbox, bytes_max: usize) {
        while self.merged.bytes < bytes_max {
            let Some(batch) = mailbox.pop_batch(|_| true) else { return };
            self.merged.add(&batch.changes);
            self.after = batch.after;
            self.came = true;
        }
    }
}

/// Overwritten rows stay in the store until it is written anew: when it takes half as much again as what is alive,
/// unpacked. A fresh one takes about half of what is alive, so a third is alive then, and for two rows that came one was
/// written once more. With one for each it was a quarter of the servers' time under a stream of writes.
fn is_bloated(disk_bytes: u64, live_bytes: u64) -> bool {
    2 * disk_bytes > 3 * live_bytes
}

fn reaches(durable: Option<LogId>, log_id: Option<LogId>) -> bool {
    durable.map(|log_id| log_id.index) >= log_id.map(|log_id| log_id.index)
}

#[expect(clippy::cast_precision_loss, reason = "gauges are floats")]
fn report_index(moment: &Moment) {
    metrics::gauge!(STORE_INDEX).set(moment.place.log_id.map_or(0, |id| id.index) as f64);
}

/// Rows of several batches in their order: the last of a key counts.
#[derive(Default)]
struct Merged {
    rows: Vec<Row>,
    bytes: usize,
}

impl Merged {
    fn add(&mut self, changes: &[Change]) {
        for row in changes.iter().flat_map(rows::rows_of) {
            self.bytes += row.key.len() + row.value.as_ref().map_or(0, |value| value.len());
            self.rows.push(row);
        }
    }
}

#[cfg(test)]
mod tests;
