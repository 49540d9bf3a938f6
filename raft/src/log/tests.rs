//! What the log promises, against real files: order, durability, torn tails, damage, strangers' files.

mod crash;
mod full_disk;

use std::{
    fs::{self, File},
    io::{self, Write},
    os::unix::fs::FileExt,
    path::{Path, PathBuf},
    sync::atomic::{AtomicBool, Ordering},
    time::Duration,
};

use boss_base::clock::SystemClock;
use boss_proto::{ids::ServerId, raft::v1::Command};
use openraft::{
    EntryPayload, RaftLogReader,
    storage::{IOFlushed, RaftLogStorage},
    type_config::TypeConfigExt,
};
use proptest::prelude::*;
use tempfile::TempDir;

use super::*;
use crate::types::{Entry, Proposal, TypeConfig, Vote};

const SEGMENT_BYTES: u64 = 16 * 1024;

fn options(dir: &Path) -> Options {
    Options {
        dir: dir.to_owned(),
        owner: Owner { cluster_id: "c1".into(), server_id: ServerId(1) },
        segment_bytes: SEGMENT_BYTES,
        cache_bytes: 4 * 1024,
        room: crate::disk::Room::unlimited(),
    }
}

/// An open log and the owner of its thread.
struct Open {
    log: Log,
    tasks: Tasks,
}

impl Open {
    fn at(dir: &Path) -> Self {
        Self::on(SystemDisk, dir)
    }

    fn on(disk: impl Disk, dir: &Path) -> Self {
        Self::try_on(disk, options(dir)).unwrap()
    }

    fn try_on(disk: impl Disk, options: Options) -> Result<Self, OpenError> {
        let tasks = Tasks::new();
        let log = Log::open_on(disk, options, Arc::new(SystemClock), tasks.clone())?;
        Ok(Self { log, tasks })
    }

    async fn append(&mut self, entries: Vec<Entry>) -> io::Result<()> {
        let (done, answer) = TypeConfig::oneshot();
        self.log.append(entries, IOFlushed::signal(done)).await?;
        answer.await.map_err(io::Error::other)?
    }

    async fn ids(&mut self) -> Vec<LogId> {
        self.log.try_get_log_entries(0..).await.unwrap().into_iter().map(|entry| entry.log_id).collect()
    }

    async fn close(self) {
        self.log.flush().await.unwrap();
        drop(self.log);
        self.tasks.stop(Duration::from_secs(10)).await.unwrap();
    }
}

fn id(index: u64) -> LogId {
    LogId::new_term_index(1, index)
}

fn entry(index: u64) -> Entry {
    of_term(1, index)
}

fn of_term(term: u64, index: u64) -> Entry {
    let command =
        Command { format: 1, proposed_at_ms: index, operations: vec![Default::default(); (index % 40) as usize] };
    Entry {
        log_id: LogId::new_term_index(term, index),
        payload: EntryPayload::Normal(Proposal::new(&command).unwrap()),
    }
}

fn files(dir: &Path) -> Vec<PathBuf> {
    let paths = fs::read_dir(dir).unwrap().map(|entry| entry.unwrap().path());
    let mut paths: Vec<_> = paths.filter(|path| path.extension().is_some_and(|ext| ext == "wal")).collect();
    paths.sort();
    paths
}

/// Where the bytes of a file end that are not zero.
fn used(path: &Path) -> usize {
    fs::read(path).unwrap().iter().rposition(|byte| *byte != 0).unwrap() + 1
}

fn damage(path: &Path, offset: usize) {
    let file = File::options().read(true).write(true).open(path).unwrap();
    let mut byte = [0];
    file.read_exact_at(&mut byte, offset as u64).unwrap();
    file.write_all_at(&[!byte[0]], offset as u64).unwrap();
}

/// A log of `count` entries, each synced alone, on disk and closed.
async fn written(count: u64) -> TempDir {
    let dir = TempDir::new().unwrap();
    let mut open = Open::at(dir.path());
    for i in 0..count {
        open.append(vec![entry(i)]).await.unwrap();
    }
    open.close().await;
    dir
}

#[tokio::test]
async fn everything_is_there_after_a_restart() {
    let dir = TempDir::new().unwrap();
    let mut open = Open::at(dir.path());
    open.log.save_vote(&Vote::new_committed(3, 2)).await.unwrap();
    for i in 0..500 {
        open.append(vec![entry(i)]).await.unwrap();
    }
    open.log.save_committed(Some(id(321))).await.unwrap();
    open.log.purge(id(99)).await.unwrap();
    open.close().await;

    let mut open = Open::at(dir.path());
    assert_eq!(open.log.read_vote().await.unwrap(), Some(Vote::new_committed(3, 2)));
    assert_eq!(open.log.read_committed().await.unwrap(), Some(id(321)));
    let state = open.log.get_log_state().await.unwrap();
    assert_eq!((state.last_purged_log_id, state.last_log_id), (Some(id(99)), Some(id(499))));
    assert_eq!(open.log.try_get_log_entries(0..).await.unwrap(), (100..500).map(entry).collect::<Vec<_>>());
    assert_eq!(*open.log.durable().borrow(), Some(id(499)));
    assert!(files(dir.path()).len() > 1);
}

#[tokio::test]
async fn a_truncation_is_there_after_a_restart() {
    let dir = TempDir::new().unwrap();
    let mut open = Open::at(dir.path());
    open.append((0..20).map(entry).collect()).await.unwrap();
    open.log.truncate_after(Some(id(9))).await.unwrap();
    open.append(vec![of_term(2, 10)]).await.unwrap();
    let expected: Vec<_> = (0..10).map(id).chain([LogId::new_term_index(2, 10)]).collect();
    assert_eq!(open.ids().await, expected);
    open.close().await;
    let mut open = Open::at(dir.path());
    assert_eq!(open.ids().await, expected);
}

#[tokio::test]
async fn segments_go_once_a_snapshot_covers_them() {
    let dir = written(400).await;
    let before = files(dir.path()).len();
    let mut open = Open::at(dir.path());
    open.log.purge(id(390)).await.unwrap();
    open.close().await;
    assert!(before >= 3 && files(dir.path()).len() <= 2, "{before} files before");
    let mut open = Open::at(dir.path());
    assert_eq!(open.ids().await, (391..400).map(id).collect::<Vec<_>>());
    open.append(vec![entry(400)]).await.unwrap();
}

#[tokio::test]
async fn a_purge_beyond_the_end_leaves_an_empty_log_that_goes_on_behind_it() {
    let dir = written(10).await;
    let mut open = Open::at(dir.path());
    open.log.purge(id(1_000)).await.unwrap();
    open.append(vec![entry(1_001)]).await.unwrap();
    open.close().await;
    let mut open = Open::at(dir.path());
    assert_eq!(open.ids().await, [id(1_001)]);
}

#[tokio::test]
async fn a_vote_outlives_the_segment_that_it_was_written_to() {
    let dir = TempDir::new().unwrap();
    let mut open = Open::at(dir.path());
    open.log.save_vote(&Vote::new(7, 3)).await.unwrap();
    open.append((0..400).map(entry).collect()).await.unwrap();
    open.log.purge(id(399)).await.unwrap();
    open.close().await;
    assert_eq!(files(dir.path()).len(), 1);
    let mut open = Open::at(dir.path());
    assert_eq!(open.log.read_vote().await.unwrap(), Some(Vote::new(7, 3)));
}

/// Makes a segment as a crash leaves it that comes right after its creation: named, and nothing in it.
async fn with_bare_segment(dir: &Path) {
    let mut open = Open::at(dir);
    open.log.save_vote(&Vote::new_committed(7, 3)).await.unwrap();
    open.append((0..3).map(entry).collect()).await.unwrap();
    open.close().await;
    let next = recovery::recover(dir, &options(dir).owner, Index::new(0)).unwrap().sequence;
    segment::Segment::create(dir, &options(dir).owner, next, SEGMENT_BYTES).unwrap();
}

#[tokio::test]
async fn a_vote_outlives_older_segments_when_a_crash_left_the_newest_without_a_record() {
    let dir = TempDir::new().unwrap();
    with_bare_segment(dir.path()).await;
    let mut open = Open::at(dir.path());
    open.append(vec![entry(3)]).await.unwrap();
    open.log.purge(id(2)).await.unwrap();
    open.close().await;
    assert_eq!(files(dir.path()).len(), 1);
    let mut open = Open::at(dir.path());
    assert_eq!(open.log.read_vote().await.unwrap(), Some(Vote::new_committed(7, 3)));
    assert_eq!(open.log.get_log_state().await.unwrap().last_purged_log_id, Some(id(2)));
    assert_eq!(open.ids().await, [id(3)]);
}

#[tokio::test]
async fn a_torn_tail_is_cut_at_every_byte() {
    let dir = written(12).await;
    let path = files(dir.path()).pop().unwrap();
    let whole = fs::read(&path).unwrap();
    let end = used(&path);
    for cut in (end - 200..end).rev() {
        let mut torn = whole.clone();
        torn[cut..].fill(0);
        fs::write(&path, &torn).unwrap();
        let mut open = Open::at(dir.path());
        let ids = open.ids().await;
        assert!(ids.len() <= 12 && ids == (0..ids.len() as u64).map(id).collect::<Vec<_>>(), "{ids:?}");
        open.append(vec![entry(ids.len() as u64)]).await.unwrap();
        open.close().await;
        let mut open = Open::at(dir.path());
        assert_eq!(open.ids().await.len(), ids.len() + 1);
        open.close().await;
    }
}

#[tokio::test]
async fn a_batch_of_which_only_the_end_reached_the_disk_is_cut() {
    let dir = written(3).await;
    let path = files(dir.path()).pop().unwrap();
    let first_of_batch = used(&path).next_multiple_of(8);
    let mut open = Open::at(dir.path());
    open.append((3..9).map(entry).collect()).await.unwrap();
    open.close().await;
    damage(&path, first_of_batch + 8);
    let mut open = Open::at(dir.path());
    assert_eq!(open.ids().await, (0..3).map(id).collect::<Vec<_>>());
}

#[tokio::test]
async fn damage_before_a_later_batch_is_refused_with_file_and_offset() {
    let dir = written(12).await;
    let path = files(dir.path()).pop().unwrap();
    let middle = used(&path) / 2;
    damage(&path, middle);
    let before = fs::read(&path).unwrap();
    let Err(OpenError::Corrupt { path: named, offset, .. }) = Open::try_on(SystemDisk, options(dir.path())) else {
        panic!("opened a damaged log")
    };
    assert_eq!(named, path);
    assert!(offset as usize <= middle && middle - (offset as usize) < 2_000);
    assert_eq!(fs::read(&path).unwrap(), before);
}

#[tokio::test]
async fn damage_and_gaps_in_older_segments_are_refused() {
    let dir = written(400).await;
    let paths = files(dir.path());
    let whole = fs::read(&paths[1]).unwrap();
    damage(&paths[1], used(&paths[1]) - 20);
    assert!(matches!(Open::try_on(SystemDisk, options(dir.path())), Err(OpenError::Corrupt { .. })));
    fs::write(&paths[1], &whole).unwrap();
    fs::remove_file(&paths[1]).unwrap();
    assert!(matches!(Open::try_on(SystemDisk, options(dir.path())), Err(OpenError::Corrupt { .. })));
    fs::write(&paths[1], &whole).unwrap();
    fs::remove_file(&paths[0]).unwrap();
    assert!(matches!(Open::try_on(SystemDisk, options(dir.path())), Err(OpenError::Corrupt { .. })));
}

#[tokio::test]
async fn files_of_strangers_are_refused() {
    let dir = written(3).await;
    let of = |cluster: &str, server| Options {
        owner: Owner { cluster_id: cluster.into(), server_id: ServerId(server) },
        ..options(dir.path())
    };
    assert!(matches!(Open::try_on(SystemDisk, of("c2", 1)), Err(OpenError::WrongCluster { .. })));
    assert!(matches!(Open::try_on(SystemDisk, of("c1", 2)), Err(OpenError::WrongServer { .. })));
    let path = files(dir.path()).pop().unwrap();
    File::options().write(true).open(&path).unwrap().write_all_at(&2u32.to_le_bytes(), 8).unwrap();
    let refused = Open::try_on(SystemDisk, options(dir.path()));
    assert!(matches!(refused, Err(OpenError::NewerFormat { found: 2, known: 1, .. })));
}

#[tokio::test]
async fn a_second_process_is_refused() {
    let dir = written(1).await;
    let _open = Open::at(dir.path());
    assert!(matches!(Open::try_on(SystemDisk, options(dir.path())), Err(OpenError::Locked { .. })));
}

#[tokio::test]
async fn a_segment_whose_creation_was_interrupted_is_forgotten() {
    let dir = written(3).await;
    let stray = dir.path().join("00000000000000000099.tmp");
    fs::File::create(&stray).unwrap().write_all(b"half").unwrap();
    let mut open = Open::at(dir.path());
    assert_eq!(open.ids().await.len(), 3);
    assert!(!stray.exists());
}

/// Works until told to fail, and counts what is asked of it afterwards.
struct Failing(Arc<AtomicBool>, Arc<AtomicBool>);

impl Disk for Failing {
    fn write_at(&mut self, file: &File, bytes: &[u8], offset: u64) -> io::Result<()> {
        SystemDisk.write_at(file, bytes, offset)
    }

    fn sync(&mut self, file: &File) -> io::Result<()> {
        if self.0.load(Ordering::SeqCst) {
            assert!(!self.1.swap(true, Ordering::SeqCst), "a failed sync was tried again");
            return Err(io::Error::other("no space on the moon"));
        }
        SystemDisk.sync(file)
    }
}

#[tokio::test]
async fn a_failed_sync_fails_everything_behind_it_and_the_process() {
    let dir = TempDir::new().unwrap();
    let (fails, failed) = (Arc::new(AtomicBool::new(false)), Arc::default());
    let mut open = Open::on(Failing(Arc::clone(&fails), failed), dir.path());
    open.append(vec![entry(0)]).await.unwrap();
    fails.store(true, Ordering::SeqCst);
    assert!(open.append(vec![entry(1)]).await.is_err());
    assert!(open.append(vec![entry(2)]).await.is_err());
    assert!(open.log.save_vote(&Vote::new(9, 1)).await.is_err());
    open.tasks.failed().await;
    assert!(open.log.failure().borrow().as_deref().unwrap().contains("no space on the moon"));
}

#[tokio::test]
async fn entries_that_left_the_cache_are_read_from_disk() {
    let dir = TempDir::new().unwrap();
    let mut open = Open::at(dir.path());
    for i in 0..300 {
        open.append(vec![entry(i)]).await.unwrap();
    }
    assert!(open.log.shared.index().cached() < 100);
    let stream = open.log.entries_stream(0..300).await;
    let entries: Vec<Entry> = futures_util::TryStreamExt::try_collect(stream).await.unwrap();
    assert_eq!(entries, (0..300).map(entry).collect::<Vec<_>>());
}

#[derive(Debug, Clone)]
enum Step {
    Append(u8),
    Truncate(u8),
    Purge(u8),
    Vote(u8),
    Reopen,
}

fn step() -> impl Strategy<Value = Step> {
    prop_oneof![
        5 => (1..30u8).prop_map(Step::Append),
        1 => (0..20u8).prop_map(Step::Truncate),
        1 => (0..40u8).prop_map(Step::Purge),
        1 => any::<u8>().prop_map(Step::Vote),
        1 => Just(Step::Reopen),
    ]
}

/// The log as a list, to compare with.
#[derive(Default)]
struct Model {
    entries: Vec<Entry>,
    purged: Option<LogId>,
    vote: Option<Vote>,
    term: u64,
}

impl Model {
    fn end(&self) -> u64 {
        let last = self.entries.last().map(|entry| entry.log_id).max(self.purged);
        last.map_or(0, |last| last.index + 1)
    }

    async fn run(&mut self, step: Step, open: &mut Open) {
        match step {
            Step::Append(count) => {
                let new: Vec<_> = (0..u64::from(count)).map(|i| of_term(self.term, self.end() + i)).collect();
                self.entries.extend(new.clone());
                open.append(new).await.unwrap();
            }
            Step::Truncate(count) => {
                let keep = self.entries.len().saturating_sub(usize::from(count)).max(1);
                if let Some(last) = self.entries.get(keep - 1).map(|entry| entry.log_id) {
                    self.entries.truncate(keep);
                    self.term += 1;
                    open.log.truncate_after(Some(last)).await.unwrap();
                }
            }
            Step::Purge(count) => {
                if let Some(upto) = self.entries.get(usize::from(count)).map(|entry| entry.log_id) {
                    self.entries.drain(..=usize::from(count));
                    self.purged = Some(upto);
                    open.log.purge(upto).await.unwrap();
                }
            }
            Step::Vote(term) => {
                self.vote = Some(Vote::new(u64::from(term), 1));
                open.log.save_vote(&Vote::new(u64::from(term), 1)).await.unwrap();
            }
            Step::Reopen => {}
        }
    }

    async fn check(&self, open: &mut Open) {
        assert_eq!(open.log.try_get_log_entries(..).await.unwrap(), self.entries);
        assert_eq!(open.log.read_vote().await.unwrap(), self.vote);
        assert_eq!(open.log.get_log_state().await.unwrap().last_purged_log_id, self.purged);
    }
}

fn block_on<T>(future: impl Future<Output = T>) -> T {
    tokio::runtime::Builder::new_current_thread().enable_all().build().unwrap().block_on(future)
}

async fn run_model(steps: Vec<Step>) {
    let dir = TempDir::new().unwrap();
    let (mut model, mut open) = (Model::default(), Open::at(dir.path()));
    for step in steps {
        if matches!(step, Step::Reopen) {
            open.close().await;
            open = Open::at(dir.path());
        }
        model.run(step, &mut open).await;
        model.check(&mut open).await;
    }
    open.close().await;
    model.check(&mut Open::at(dir.path())).await;
}

async fn open_damaged(changes: Vec<(usize, usize, u8)>, cut: Option<usize>) {
    let dir = written(60).await;
    let paths = files(dir.path());
    for (file, offset, value) in changes {
        let path = &paths[file % paths.len()];
        let mut bytes = fs::read(path).unwrap();
        let at = offset % used(path);
        bytes[at] = value;
        fs::write(path, bytes).unwrap();
    }
    if let Some(cut) = cut {
        let path = paths.last().unwrap();
        File::options().write(true).open(path).unwrap().set_len((cut % used(path)) as u64).unwrap();
    }
    match Open::try_on(SystemDisk, options(dir.path())) {
        Ok(mut open) => {
            let entries = open.log.try_get_log_entries(..).await.unwrap();
            let intact = entries.iter().enumerate().all(|(i, found)| *found == entry(i as u64));
            assert!(intact, "damage changed what the log holds");
        }
        Err(error) => assert!(!error.to_string().is_empty()),
    }
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(48))]

    #[test]
    fn the_log_holds_what_a_list_would(steps in prop::collection::vec(step(), 1..40)) {
        block_on(run_model(steps));
    }

    #[test]
    fn any_damage_is_cut_or_refused_and_never_believed(
        changes in prop::collection::vec((any::<usize>(), any::<usize>(), any::<u8>()), 1..6),
        cut in prop::option::weighted(0.3, any::<usize>()),
    ) {
        block_on(open_damaged(changes, cut));
    }
}
