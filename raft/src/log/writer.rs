//! The one thread that writes the log: drains what waits, writes it as one batch, syncs once, then answers.
//! A write or a sync that fails is never tried again: what the kernel then holds cannot be known, so the process ends.

use std::{
    collections::BTreeMap,
    fs::File,
    io,
    os::unix::fs::FileExt,
    path::PathBuf,
    sync::{Arc, Mutex, MutexGuard, PoisonError},
};

use boss_base::{cached, clock::Clock};
use futures_util::future::BoxFuture;
use openraft::storage::IOFlushed;
use tokio::sync::{mpsc, oneshot, watch};

use super::{
    index::{Index, Place},
    record::{self, Record, Summary},
    segment::{self, Owner, Segment},
};
use crate::{
    bugs::{self, Bug},
    disk::{self, Room},
    failpoints::failpoint,
    metric_definitions::{LOG_BATCH_RECORDS, LOG_BYTES_WRITTEN, LOG_SYNC_SECONDS},
    types::{Entry, LogId, TypeConfig, Vote},
};

/// Bytes of one batch: larger ones only make the first of them wait longer.
const BATCH_BYTES_MAX: usize = 4 << 20;

/// Size of a segment while the disk is full: room for thousands of votes, and the reserve for hundreds of such files.
const SCARCE_SEGMENT_BYTES: u64 = 256 << 10;

/// How far answers may be ahead of the disk when [`Bug::AckBeforeFsync`] is at work.
const ACK_AHEAD_RECORDS: u64 = 64;

/// The disk, so that tests can break it.
pub trait Disk: Send + 'static {
    /// Writes all bytes at the offset.
    fn write_at(&mut self, file: &File, bytes: &[u8], offset: u64) -> io::Result<()>;
    /// Makes what was written durable.
    fn sync(&mut self, file: &File) -> io::Result<()>;
    /// What the next batch waits for before it is written; nothing, unless a simulation has the disk take its time.
    fn turn(&mut self) -> Option<BoxFuture<'static, ()>> {
        None
    }
}

impl Disk for Box<dyn Disk> {
    fn write_at(&mut self, file: &File, bytes: &[u8], offset: u64) -> io::Result<()> {
        self.as_mut().write_at(file, bytes, offset)
    }

    fn sync(&mut self, file: &File) -> io::Result<()> {
        self.as_mut().sync(file)
    }

    fn turn(&mut self) -> Option<BoxFuture<'static, ()>> {
        self.as_mut().turn()
    }
}

/// The real one.
#[derive(Debug, Clone, Copy, Default)]
pub struct SystemDisk;

impl Disk for SystemDisk {
    fn write_at(&mut self, file: &File, bytes: &[u8], offset: u64) -> io::Result<()> {
        file.write_all_at(bytes, offset)
    }

    fn sync(&mut self, file: &File) -> io::Result<()> {
        file.sync_data()
    }
}

/// What the thread is asked to do, in order.
pub(super) enum Job {
    Append(Vec<Entry>, IOFlushed<TypeConfig>),
    Vote(Vote, oneshot::Sender<io::Result<()>>),
    Truncate(Option<LogId>),
    Purge(LogId),
    /// Writes what is left to write, the latest committed mark included.
    Flush(oneshot::Sender<io::Result<()>>),
    /// The same, and nothing after it.
    Close(oneshot::Sender<io::Result<()>>),
}

impl Job {
    fn into_answer(self) -> Option<Answer> {
        match self {
            Self::Append(_, callback) => Some(Answer::Flushed(callback)),
            Self::Vote(_, done) | Self::Flush(done) | Self::Close(done) => Some(Answer::Done(done)),
            Self::Truncate(_) | Self::Purge(_) => None,
        }
    }
}

/// What the thread shares with the readers.
pub(super) struct Shared {
    index: Mutex<Index>,
    segments: Mutex<BTreeMap<u64, Arc<Segment>>>,
}

impl Shared {
    pub(super) fn new(index: Index, segments: BTreeMap<u64, Arc<Segment>>) -> Self {
        Self { index: Mutex::new(index), segments: Mutex::new(segments) }
    }

    pub(super) fn index(&self) -> MutexGuard<'_, Index> {
        // Nothing between lock and unlock can leave the index half changed.
        self.index.lock().unwrap_or_else(PoisonError::into_inner)
    }

    pub(super) fn segments(&self) -> MutexGuard<'_, BTreeMap<u64, Arc<Segment>>> {
        self.segments.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// See the file's head.
pub(super) struct Writer<D> {
    pub(super) dir: PathBuf,
    pub(super) owner: Owner,
    pub(super) segment_bytes: u64,
    pub(super) room: Room,
    pub(super) disk: D,
    pub(super) jobs: mpsc::Receiver<Job>,
    pub(super) shared: Arc<Shared>,
    pub(super) durable: watch::Sender<Option<LogId>>,
    pub(super) failure: watch::Sender<Option<String>>,
    pub(super) segment: Option<Arc<Segment>>,
    pub(super) offset: u64,
    pub(super) sequence: u64,
    /// Vote and marks as the records so far say; the index may be ahead of them.
    pub(super) written: Summary,
    pub(super) clock: Arc<dyn Clock>,
    pub(super) batch: Batch,
    /// Held until the last byte is written: nobody else may open the log before.
    pub(super) _lock: File,
}

/// What waits for the next sync.
#[derive(Default)]
pub(super) struct Batch {
    bytes: Vec<u8>,
    records: u64,
    places: Vec<(LogId, Place)>,
    purged: bool,
    answers: Vec<Answer>,
}

enum Answer {
    Flushed(IOFlushed<TypeConfig>),
    Done(oneshot::Sender<io::Result<()>>),
}

impl Answer {
    fn send(self, result: io::Result<()>) {
        match self {
            Self::Flushed(callback) => callback.io_completed(result),
            // Whoever asked may have gone.
            Self::Done(sender) => drop(sender.send(result)),
        }
    }
}

impl<D: Disk> Writer<D> {
    /// Runs until every sender is gone or the disk fails.
    pub(super) async fn run(mut self) {
        while let Some(job) = self.jobs.recv().await {
            if let Some(turn) = self.disk.turn() {
                turn.await;
            }
            if let Err(error) = self.handle(job).and_then(|()| self.commit()) {
                self.fail(&error);
                return;
            }
        }
    }

    /// Puts the job and those that wait behind it into the batch.
    fn handle(&mut self, job: Job) -> io::Result<()> {
        self.add(job)?;
        while self.batch.bytes.len() < BATCH_BYTES_MAX {
            let Ok(job) = self.jobs.try_recv() else { break };
            self.add(job)?;
        }
        Ok(())
    }

    fn add(&mut self, job: Job) -> io::Result<()> {
        match job {
            Job::Append(entries, callback) => {
                for entry in entries {
                    self.add_record(&Record::Entry(entry))?;
                }
                self.batch.answers.push(Answer::Flushed(callback));
            }
            Job::Vote(vote, done) => {
                if !bugs::on(Bug::VoteNotKept) {
                    self.add_record(&Record::Vote(vote))?;
                }
                self.batch.answers.push(Answer::Done(done));
            }
            Job::Truncate(keep) => self.add_record(&Record::Truncated(keep))?,
            Job::Purge(upto) => self.add_record(&Record::Purged(upto))?,
            Job::Flush(done) => self.batch.answers.push(Answer::Done(done)),
            Job::Close(done) => {
                // What waits already is still written; then the queue is empty and closed.
                self.jobs.close();
                self.batch.answers.push(Answer::Done(done));
            }
        }
        Ok(())
    }

    /// Adds a record; starts a new segment when this one has no room for it.
    fn add_record(&mut self, record: &Record) -> io::Result<()> {
        let needed =
            (self.batch.bytes.len() + record::frame_bytes_max(record) + record::SUMMARY_FRAME_BYTES_MAX) as u64;
        let fits = self.segment.as_ref().is_some_and(|segment| self.offset + needed <= segment.bytes);
        if !fits {
            self.roll(record::frame_bytes_max(record) as u64)?;
        } else if self.is_bare() {
            // A crash came between the segment's creation and its first sync. Without a summary of its own it would
            // forget the vote once the older segments go.
            self.push(&Record::Summary(self.written.clone()));
        }
        self.push(record);
        Ok(())
    }

    /// Whether nothing stands in the segment yet.
    fn is_bare(&self) -> bool {
        self.batch.bytes.is_empty() && self.segment.as_ref().is_some_and(|segment| self.offset == segment.records_at)
    }

    fn push(&mut self, record: &Record) {
        let Some(segment) = &self.segment else { return };
        let at = self.batch.bytes.len();
        record::encode(record, self.sequence, segment.salt, 0, &mut self.batch.bytes);
        self.sequence += 1;
        self.batch.records += 1;
        let frame_bytes = u32::try_from(self.batch.bytes.len() - at).expect("a record is far below 4 GiB");
        let place = Place { segment: segment.first_sequence, offset: self.offset + at as u64, frame_bytes };
        self.note(record, place);
    }

    fn note(&mut self, record: &Record, place: Place) {
        let written = &mut self.written;
        match record {
            Record::Entry(entry) => {
                self.batch.places.push((entry.log_id, place));
                written.last = Some(entry.log_id);
            }
            Record::Truncated(keep) => written.last = *keep,
            Record::Purged(upto) => {
                self.batch.purged = true;
                written.purged = Some(*upto);
                written.last = written.last.max(Some(*upto));
            }
            Record::Committed(id) => written.committed = *id,
            Record::Vote(vote) => written.vote = Some(*vote),
            Record::Summary(_) => {}
        }
    }

    /// Finishes this segment and opens the next with what must outlive the older ones.
    fn roll(&mut self, record_bytes: u64) -> io::Result<()> {
        // The answers wait until all of their records are durable, so they stay behind.
        self.write_batch()?;
        // Room for the head and the summary, however small the configured size is.
        let segment = self.create_segment(record_bytes + 4_096)?;
        self.shared.segments().insert(segment.first_sequence, Arc::clone(&segment));
        self.offset = segment.records_at;
        self.segment = Some(segment);
        self.push(&Record::Summary(self.written.clone()));
        Ok(())
    }

    /// A segment for at least `bytes_min`. The reserve is there for it when nothing else is left; a creation that
    /// failed may be tried again, for nothing was written to the file.
    fn create_segment(&self, bytes_min: u64) -> io::Result<Arc<Segment>> {
        let create = |bytes: u64| Segment::create(&self.dir, &self.owner, self.sequence, bytes.max(bytes_min));
        if self.room.is_full() {
            return match create(SCARCE_SEGMENT_BYTES) {
                Err(error) if disk::says_full(&error) && self.room.give_up_reserve() => create(SCARCE_SEGMENT_BYTES),
                created => created,
            };
        }
        match create(self.segment_bytes) {
            Err(error) if disk::says_full(&error) && self.room.give_up_reserve() => create(SCARCE_SEGMENT_BYTES),
            created => created,
        }
    }

    /// Makes the batch durable and answers.
    fn commit(&mut self) -> io::Result<()> {
        let committed = self.shared.index().committed;
        if committed != self.written.committed && self.segment.is_some() {
            self.add_record(&Record::Committed(committed))?;
        }
        if bugs::on(Bug::AckBeforeFsync) {
            self.batch.answers.drain(..).for_each(|answer| answer.send(Ok(())));
            // A kill of the process loses nothing that was written: what it is to lose must wait.
            if self.batch.records < ACK_AHEAD_RECORDS {
                return Ok(());
            }
        }
        self.write_batch()?;
        if std::mem::take(&mut self.batch.purged) {
            self.reclaim()?;
        }
        for answer in self.batch.answers.drain(..) {
            answer.send(Ok(()));
        }
        Ok(())
    }

    fn write_batch(&mut self) -> io::Result<()> {
        let Some(segment) = self.segment.as_ref().filter(|_| !self.batch.bytes.is_empty()) else { return Ok(()) };
        failpoint!("log.batch.encoded");
        self.disk.write_at(&segment.file, &self.batch.bytes, self.offset)?;
        failpoint!("log.batch.written");
        let before = self.clock.monotonic();
        self.disk.sync(&segment.file)?;
        failpoint!("log.batch.synced");
        let took = self.clock.monotonic().saturating_sub(before);
        cached!(histogram LOG_SYNC_SECONDS).record(took.as_secs_f64());
        cached!(histogram LOG_BATCH_RECORDS).record(self.batch.records as f64);
        cached!(counter LOG_BYTES_WRITTEN).increment(self.batch.bytes.len() as u64);
        self.offset += self.batch.bytes.len() as u64;
        self.batch.bytes.clear();
        self.batch.records = 0;
        self.publish();
        Ok(())
    }

    fn publish(&mut self) {
        let mut index = self.shared.index();
        for (id, place) in self.batch.places.drain(..) {
            index.place(id, place);
        }
        index.evict();
        drop(index);
        self.durable.send_if_modified(|durable| std::mem::replace(durable, self.written.last) != self.written.last);
    }

    /// Removes the segments before the oldest one that still holds a live entry; the purge mark is durable by now.
    fn reclaim(&mut self) -> io::Result<()> {
        let Some(current) = self.segment.as_ref().map(|segment| segment.first_sequence) else { return Ok(()) };
        let oldest_live = self.shared.index().oldest_segment().unwrap_or(current).min(current);
        let dead: Vec<_> = {
            let mut segments = self.shared.segments();
            let live = segments.split_off(&oldest_live);
            std::mem::replace(&mut *segments, live).into_values().collect()
        };
        // The oldest first: file systems keep the order, so what a crash leaves has no gap.
        for segment in &dead {
            failpoint!("log.reclaim.before");
            std::fs::remove_file(&segment.path)?;
            failpoint!("log.reclaim.removed");
        }
        if dead.is_empty() { Ok(()) } else { segment::sync_dir(&self.dir) }
    }

    fn fail(&mut self, error: &io::Error) {
        let reason = format!("the log cannot be written: {error}");
        tracing::error!(%error, dir = %self.dir.display(), "the log cannot be written; this server stops");
        self.failure.send_replace(Some(reason.clone()));
        self.jobs.close();
        let waiting = std::iter::from_fn(|| self.jobs.try_recv().ok()).filter_map(Job::into_answer);
        for answer in self.batch.answers.drain(..).chain(waiting) {
            answer.send(Err(io::Error::other(reason.clone())));
        }
    }
}
