//! The write-ahead log: entries, vote and marks in segments of fixed size, durable before they are answered for.
//! Knows what an entry is, not what it means.

mod index;
mod memory;
mod openraft_storage;
mod probe;
mod record;
mod recovery;
mod segment;
mod writer;

use std::{
    fs::File,
    io,
    path::{Path, PathBuf},
    sync::Arc,
};

use boss_base::{
    clock::Clock,
    tasks::{OnExit, Tasks},
};
use boss_proto::ids::{ClusterId, ServerId};
use tokio::sync::{mpsc, oneshot, watch};

pub use memory::MemoryLog;
pub use probe::{Probe, probe};
pub use segment::Owner;
pub use writer::{Disk, SystemDisk};

use crate::{
    metric_definitions::LOG_ENTRIES_READ_FROM_DISK,
    types::{Entry, LogId, Vote},
};
use index::{Found, Index, Place};
use record::{HEADER_BYTES, Header, Record};
use segment::Segment;
use writer::{Batch, Job, Shared, Writer};

/// Jobs that wait for the writer. The core stops feeding a slow disk when it is full.
const JOBS_MAX: usize = 1_024;
/// Bytes of entries that one read returns at most; also what one message to a peer carries.
const READ_BYTES_MAX: usize = 1 << 20;

/// Where the log is and how large its parts are.
#[derive(Debug, Clone)]
pub struct Options {
    /// The directory; created when missing.
    pub dir: PathBuf,
    /// Whose log it must be.
    pub owner: Owner,
    /// Size of one segment file, in bytes.
    pub segment_bytes: u64,
    /// Bytes of recent entries kept in memory.
    pub cache_bytes: usize,
}

/// Why a log cannot be used. Nothing was changed.
#[derive(Debug, thiserror::Error)]
pub enum OpenError {
    /// The file system refused.
    #[error("{}", path.display())]
    Io {
        /// File or directory.
        path: PathBuf,
        /// What it said.
        #[source]
        source: io::Error,
    },
    /// Another process has it open.
    #[error("{} is in use by another process", path.display())]
    Locked {
        /// The directory.
        path: PathBuf,
    },
    /// It belongs to another cluster.
    #[error("{} belongs to cluster {found}, this server to {expected}", path.display())]
    WrongCluster {
        /// The file.
        path: PathBuf,
        /// Its cluster.
        found: ClusterId,
        /// This server's cluster.
        expected: ClusterId,
    },
    /// It belongs to another server.
    #[error("{} belongs to server {found}, this is server {expected}", path.display())]
    WrongServer {
        /// The file.
        path: PathBuf,
        /// Its server.
        found: ServerId,
        /// This server.
        expected: ServerId,
    },
    /// A newer build wrote it.
    #[error("{} has format {found}, this build knows up to {known}", path.display())]
    NewerFormat {
        /// The file.
        path: PathBuf,
        /// Its format.
        found: u32,
        /// The newest known format.
        known: u32,
    },
    /// Something that was durable is damaged or missing. The server must be replaced under a fresh id.
    #[error("{} is damaged at byte {offset}: {problem}", path.display())]
    Corrupt {
        /// File or directory.
        path: PathBuf,
        /// Where.
        offset: u64,
        /// What is wrong.
        problem: String,
    },
}

impl OpenError {
    fn io(path: &Path) -> impl FnOnce(io::Error) -> Self {
        let path = path.to_owned();
        move |source| Self::Io { path, source }
    }
}

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
        std::fs::create_dir_all(dir).map_err(OpenError::io(dir))?;
        let lock = lock(dir)?;
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
            owner: options.owner,
            segment_bytes: options.segment_bytes,
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
        tasks.spawn_thread("log-writer", OnExit::StopProcess, move || writer.run()).map_err(OpenError::io(dir))?;
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

    /// The last entry, durable or not.
    #[must_use]
    pub fn last(&self) -> Option<LogId> {
        self.shared.index().last()
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

    async fn read(&self, start: u64, end: u64, bytes_max: usize) -> io::Result<Vec<Entry>> {
        let (found, segments) = {
            let index = self.shared.index();
            let found = index.read(start, end, bytes_max);
            // Cloned under the lock of the index: a segment is removed only after the index forgot its entries.
            let segments = found.iter().any(|item| matches!(item, Found::OnDisk(..)));
            (found, segments.then(|| self.shared.segments().clone()))
        };
        let Some(segments) = segments else {
            return Ok(found.into_iter().filter_map(cached).collect());
        };
        let fetch = move || found.into_iter().map(|item| fetch(item, &segments)).collect();
        self.tasks.run_blocking("log-read", fetch).await.map_err(io::Error::other)?
    }
}

fn cached(item: Found) -> Option<Entry> {
    match item {
        Found::Cached(entry) => Some(entry),
        Found::OnDisk(..) => None,
    }
}

fn fetch(item: Found, segments: &std::collections::BTreeMap<u64, Arc<Segment>>) -> io::Result<Entry> {
    let (id, place) = match item {
        Found::Cached(entry) => return Ok(entry),
        Found::OnDisk(id, place) => (id, place),
    };
    let segment =
        segments.get(&place.segment).ok_or_else(|| io::Error::other(format!("the segment of entry {id} is gone")))?;
    metrics::counter!(LOG_ENTRIES_READ_FROM_DISK).increment(1);
    read_entry(segment, id, place).map_err(|problem| {
        let path = segment.path.display();
        io::Error::new(io::ErrorKind::InvalidData, format!("{path} at byte {}: {problem}", place.offset))
    })
}

fn read_entry(segment: &Segment, id: LogId, place: Place) -> Result<Entry, String> {
    let mut frame = vec![0; place.frame_bytes as usize];
    let read = segment::read_up_to(&segment.file, &mut frame, place.offset).map_err(|error| error.to_string())?;
    let header = Header::read(&frame[..read]).ok_or("no record stands here")?;
    if header.frame_bytes() > read || !record::is_intact(&header, &frame, segment.salt) {
        return Err("the checksum is wrong".to_owned());
    }
    let body = &frame[HEADER_BYTES..HEADER_BYTES + header.body_bytes as usize];
    match record::decode(header.kind, body).map_err(|error| error.to_string())? {
        Record::Entry(entry) if entry.log_id == id => Ok(entry),
        _ => Err(format!("another record than entry {id} stands here")),
    }
}

fn lock(dir: &Path) -> Result<File, OpenError> {
    let path = dir.join("LOCK");
    let file = File::options().create(true).truncate(false).write(true).open(&path).map_err(OpenError::io(&path))?;
    match file.try_lock() {
        Ok(()) => Ok(file),
        Err(std::fs::TryLockError::WouldBlock) => Err(OpenError::Locked { path: dir.to_owned() }),
        Err(std::fs::TryLockError::Error(source)) => Err(OpenError::Io { path, source }),
    }
}

#[cfg(test)]
mod tests;
