//! The write-ahead log: entries, vote and marks in segments of fixed size, durable before they are answered for.
//! Knows what an entry is, not what it means.

#[cfg(any(test, fuzzing))]
pub mod fuzz;
mod index;
mod memory;
mod open;
mod openraft_storage;
mod probe;
mod read;
mod record;
mod recovery;
mod segment;
mod writer;

use std::{io, sync::Arc};

use boss_base::{
    clock::Clock,
    tasks::{OnExit, Tasks},
};
use tokio::sync::{mpsc, oneshot, watch};

pub use memory::MemoryLog;
pub use open::{OpenError, Options};
pub use probe::{Probe, probe};
pub use segment::Owner;
pub use writer::{Disk, SystemDisk};

use crate::types::{LogId, Vote};
use index::Index;
use writer::{Batch, Job, Shared, Writer};

/// Jobs that wait for the writer. The core stops feeding a slow disk when it is full.
const JOBS_MAX: usize = 1_024;
/// Bytes of entries that one read returns at most; also what one message to a peer carries.
const READ_BYTES_MAX: usize = 1 << 20;

/// The log of one server. Clones share it.
#[derive(Clone)]
pub struct Log {
    shared: Arc<Shared>,
    jobs: mpsc::Sender<Job>,
    durable: watch::Receiver<Option<LogId>>,
    failure: watch::Receiver<Option<String>>,
    tasks: Tasks,
}

impl Log {
    /// Opens the log and starts its writer.
    pub fn open(options: Options, clock: Arc<dyn Clock>, tasks: Tasks) -> Result<Self, OpenError> {
        Self::open_on(SystemDisk, options, clock, tasks)
    }

    /// As [`Log::open`], on a disk of the caller's choice.
    pub fn open_on(disk: impl Disk, options: Options, clock: Arc<dyn Clock>, tasks: Tasks) -> Result<Self, OpenError> {
        let dir = &options.dir;
        open::make_directory(dir)?;
        let lock = open::lock(dir)?;
        let recovered = recovery::recover(dir, &options.owner, Index::new(options.cache_bytes))?;
        if recovered.cut_bytes > 0 {
            tracing::warn!(dir = %dir.display(), bytes = recovered.cut_bytes, "cut a torn write off the end of the log");
        }
        let (durable, durable_seen) = watch::channel(recovered.index.last());
        let (failure, failure_seen) = watch::channel(None);
        let (jobs, job_queue) = mpsc::channel(JOBS_MAX);
        let written = recovered.index.summary();
        let segment = recovered.segments.values().next_back().cloned();
        let shared = Arc::new(Shared::new(recovered.index, recovered.segments));
        let writer = Writer {
            dir: dir.clone(),
            room: options.room,
            owner: options.owner,
            segment_bytes: options.segment_bytes.min(segment::BYTES_MAX),
            disk,
            jobs: job_queue,
            shared: Arc::clone(&shared),
            durable,
            failure,
            segment,
            offset: recovered.offset,
            sequence: recovered.sequence,
            written,
            clock,
            batch: Batch::default(),
            _lock: lock,
        };
        tasks.spawn_on_thread("log-writer", OnExit::StopProcess, writer.run()).map_err(OpenError::io(dir))?;
        Ok(Self { shared, jobs, durable: durable_seen, failure: failure_seen, tasks })
    }

    /// The last durable entry, and every change of it. A truncation moves it back.
    #[must_use]
    pub fn durable(&self) -> watch::Receiver<Option<LogId>> {
        self.durable.clone()
    }

    /// Why the log stopped working, once it has.
    #[must_use]
    pub fn failure(&self) -> watch::Receiver<Option<String>> {
        self.failure.clone()
    }

    /// Bytes on disk of the entries after `index`.
    #[must_use]
    pub fn bytes_after(&self, index: u64) -> u64 {
        self.shared.index().bytes_after(index)
    }

    /// The last entry that is gone because a snapshot covers it.
    #[must_use]
    pub fn purged(&self) -> Option<LogId> {
        self.shared.index().purged()
    }

    /// The last entry, durable or not.
    #[must_use]
    pub fn last(&self) -> Option<LogId> {
        self.shared.index().last()
    }

    /// Whether this very entry is here, or was until a snapshot took its place.
    #[must_use]
    pub fn holds(&self, id: LogId) -> bool {
        self.shared.index().holds(id)
    }

    /// The durable vote.
    #[must_use]
    pub fn vote(&self) -> Option<Vote> {
        self.shared.index().vote
    }

    /// Index after the last entry.
    #[must_use]
    pub fn end(&self) -> u64 {
        self.shared.index().end()
    }

    /// The greatest index up to which entries may go, so that of those up to `upto` as many stay as both bounds allow.
    #[must_use]
    pub fn purge_bound(&self, upto: u64, keep_entries: u64, keep_bytes: u64) -> Option<u64> {
        self.shared.index().purge_bound(upto, keep_entries, keep_bytes)
    }

    /// Bytes of all files.
    #[must_use]
    pub fn store_bytes(&self) -> u64 {
        self.shared.segments().values().map(|segment| segment.bytes).sum()
    }

    /// Whether it holds nothing at all: no vote, no entry, no mark.
    #[must_use]
    pub fn is_pristine(&self) -> bool {
        let index = self.shared.index();
        index.vote.is_none() && index.last().is_none() && index.purged().is_none()
    }

    /// Writes what may still wait, the latest committed mark included.
    pub async fn flush(&self) -> io::Result<()> {
        let (done, answer) = oneshot::channel();
        self.send(Job::Flush(done)).await?;
        answer.await.map_err(|_| self.stopped())?
    }

    /// Writes what may still wait and ends the writer. Nothing can be written afterwards.
    pub async fn close(&self) -> io::Result<()> {
        let (done, answer) = oneshot::channel();
        self.send(Job::Close(done)).await?;
        answer.await.map_err(|_| self.stopped())?
    }

    async fn send(&self, job: Job) -> io::Result<()> {
        self.jobs.send(job).await.map_err(|_| self.stopped())
    }

    fn stopped(&self) -> io::Error {
        io::Error::other(self.failure.borrow().clone().unwrap_or_else(|| "the log is closed".to_owned()))
    }
}

#[cfg(test)]
mod tests;
