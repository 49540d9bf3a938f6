//! The writer follows, is overtaken, fails, shrinks and stops, and what counts is always whole. The stores are in
//! memory; a gate in them plays the slow disk.

use std::{
    sync::{
        Arc, Condvar, Mutex,
        atomic::{AtomicBool, AtomicUsize, Ordering},
    },
    time::Duration,
};

use boss_base::tasks::{OnExit, Tasks};
use bytes::Bytes;

use super::*;
use crate::{
    state::{Position, State, apply, apply::tests::small as bounds, rows::Loader, testing::*},
    storage::{MemoryStorage, meta::Place, store::RowReader},
};

/// The disk: what counts, how it behaves, and what was done.
#[derive(Default)]
struct Disk {
    current: Mutex<MemoryStorage>,
    closed: Mutex<bool>,
    opened: Condvar,
    broken: AtomicBool,
    generations: AtomicUsize,
    bytes: AtomicUsize,
}

impl Disk {
    fn close(&self) {
        *self.closed.lock().unwrap() = true;
    }

    fn open(&self) {
        *self.closed.lock().unwrap() = false;
        self.opened.notify_all();
    }

    fn pass(&self) -> Result<(), StoreError> {
        let closed = self.closed.lock().unwrap();
        drop(self.opened.wait_while(closed, |closed| *closed).unwrap());
        let error = || StoreError::Io(std::io::Error::from(std::io::ErrorKind::StorageFull));
        if self.broken.load(Ordering::SeqCst) { Err(error()) } else { Ok(()) }
    }

    /// The state of the generation that counts, if it is whole.
    fn state(&self) -> Option<(State, Place)> {
        let store = self.current.lock().unwrap();
        let meta = Meta::read(&store.meta().unwrap()?, &"c1".into()).unwrap();
        let mut loader = Loader::new(meta.header().unwrap(), bounds()).unwrap();
        store
            .scan(&mut |key, value| {
                loader.row(key, value).unwrap();
                Ok(())
            })
            .unwrap();
        Some((loader.finish().expect("what counts has its hash"), meta.place().unwrap()))
    }
}

/// A generation: until it is adopted only its writer sees it.
struct Generation {
    disk: Arc<Disk>,
    store: MemoryStorage,
    counts: Arc<AtomicBool>,
}

impl Storage for Generation {
    fn meta(&self) -> Result<Option<Bytes>, StoreError> {
        self.store.meta()
    }

    fn is_empty(&self) -> Result<bool, StoreError> {
        self.store.is_empty()
    }

    fn scan(&self, each: &mut RowReader<'_>) -> Result<(), StoreError> {
        self.store.scan(each)
    }

    fn write(&mut self, rows: &[Row], meta: Option<&[u8]>) -> Result<(), StoreError> {
        self.disk.pass()?;
        self.store.write(rows, meta)?;
        let bytes: usize = rows.iter().map(|row| row.value.as_ref().map_or(0, Bytes::len)).sum();
        self.disk.bytes.fetch_add(bytes, Ordering::SeqCst);
        if self.counts.load(Ordering::SeqCst) {
            *self.disk.current.lock().unwrap() = self.store.clone();
        }
        Ok(())
    }

    fn clear(&mut self) -> Result<(), StoreError> {
        self.store.clear()
    }

    fn flush(&mut self) -> Result<(), StoreError> {
        if self.disk.generations.load(Ordering::SeqCst) > 0 && !self.counts.load(Ordering::SeqCst) {
            // Flushed to be adopted next.
            *self.disk.current.lock().unwrap() = self.store.clone();
        }
        Ok(())
    }
}

struct MemoryHome {
    disk: Arc<Disk>,
    made: Arc<AtomicBool>,
}

impl Home for MemoryHome {
    type Store = Generation;

    fn fresh(&mut self) -> Result<Generation, StoreError> {
        self.disk.pass()?;
        self.disk.bytes.store(0, Ordering::SeqCst);
        self.made = Arc::default();
        Ok(Generation { disk: Arc::clone(&self.disk), store: MemoryStorage::default(), counts: Arc::clone(&self.made) })
    }

    fn adopt(&mut self) -> Result<(), StoreError> {
        self.disk.generations.fetch_add(1, Ordering::SeqCst);
        self.made.store(true, Ordering::SeqCst);
        Ok(())
    }

    fn clean(&mut self) {}

    fn store_bytes(&self) -> u64 {
        self.disk.bytes.load(Ordering::SeqCst) as u64
    }
}

struct Running {
    disk: Arc<Disk>,
    mailbox: Mailbox,
    tasks: Tasks,
    durable: watch::Sender<Option<LogId>>,
    cluster: Cluster,
    /// As `cluster`, with bounds of its own.
    state: State,
    sent: usize,
}

fn log_id(index: u64) -> LogId {
    LogId::new_term_index(1, index)
}

fn place(index: u64) -> Place {
    Place { log_id: Some(log_id(index)), ..Place::default() }
}

impl Running {
    fn new(limits: StoreLimits) -> Self {
        let (disk, tasks) = (Arc::<Disk>::default(), Tasks::new());
        let mut home = MemoryHome { disk: Arc::clone(&disk), made: Arc::default() };
        let storage = home.fresh().unwrap();
        home.adopt().unwrap();
        let durable = watch::Sender::new(Some(log_id(1_000_000)));
        let mailbox = Mailbox::new(limits.waiting_bytes_max);
        let writer = Writer::new(Parts {
            home,
            storage,
            cluster_id: "c1".into(),
            durable: durable.subscribe(),
            mailbox: mailbox.clone(),
            token: tasks.token(),
            runtime: Handle::current(),
            limits,
        });
        tasks.spawn_thread("store-writer", OnExit::Log, || writer.run()).unwrap();
        Self { disk, mailbox, tasks, durable, cluster: Cluster::new(), state: State::with_limits(bounds()), sent: 0 }
    }

    /// Applies what the cluster has done since, as the state machine does: one batch per entry.
    fn follow(&mut self) {
        for (index, command) in (1..).zip(&self.cluster.log).skip(self.sent) {
            let at = Position { term: 1, index };
            let changes = apply(&mut self.state, at, command).changes;
            self.mailbox.apply(Batch { changes, after: Moment { place: place(index), view: self.state.view() } });
        }
        self.sent = self.cluster.log.len();
    }

    fn write(&mut self, names: std::ops::Range<usize>) {
        for number in names {
            self.cluster.must(admin(), create(pod(&format!("p{number}"))));
        }
        self.follow();
    }

    #[track_caller]
    fn holds_everything(&self) {
        let (state, place) = self.disk.state().unwrap();
        assert_eq!(place.log_id, Some(log_id(self.sent as u64)));
        assert_eq!(state.hash(), self.state.hash());
    }

    async fn stop(self) {
        self.tasks.stop(Duration::from_secs(30)).await.unwrap();
    }
}

fn small() -> StoreLimits {
    StoreLimits { waiting_bytes_max: 20_000, ..StoreLimits::default() }
}

#[tokio::test]
async fn what_was_applied_is_in_the_store_after_a_flush() {
    let mut running = Running::new(StoreLimits::default());
    running.write(0..50);
    running.mailbox.flush().await;
    running.holds_everything();
    running.stop().await;
}

#[tokio::test]
async fn nobody_waits_for_a_writer_that_has_ended() {
    let running = Running::new(StoreLimits::default());
    let mailbox = running.mailbox.clone();
    running.stop().await;
    tokio::time::timeout(Duration::from_secs(30), mailbox.flush()).await.expect("nobody answers");
}

#[tokio::test]
async fn a_store_that_hangs_holds_nobody_up_and_keeps_little_in_memory() {
    let mut running = Running::new(small());
    running.disk.close();
    // Far more than may wait; each of these calls returns.
    running.write(0..200);
    assert!(running.mailbox.has_missed());
    running.disk.open();
    running.mailbox.flush().await;
    running.holds_everything();
    assert!(!running.mailbox.has_missed());
    running.write(200..210);
    running.mailbox.flush().await;
    running.holds_everything();
    running.stop().await;
}

#[tokio::test]
async fn a_store_that_failed_is_written_anew_when_the_disk_has_room_again() {
    let mut running = Running::new(StoreLimits::default());
    running.write(0..5);
    running.mailbox.flush().await;
    running.disk.broken.store(true, Ordering::SeqCst);
    running.write(5..10);
    running.mailbox.flush().await;
    let (before, _) = running.disk.state().unwrap();
    assert!(before.hash() != running.state.hash());
    running.disk.broken.store(false, Ordering::SeqCst);
    running.write(10..15);
    running.mailbox.flush().await;
    running.holds_everything();
    running.stop().await;
}

#[tokio::test]
async fn a_store_of_which_little_is_alive_is_written_anew_while_writes_go_on() {
    let limits = StoreLimits { floor_bytes: 60_000, ..StoreLimits::default() };
    let mut running = Running::new(limits);
    for round in 0..40 {
        running.write(round * 5..round * 5 + 5);
        for number in round * 5..round * 5 + 5 {
            running.cluster.must(admin(), delete(&key(&format!("p{number}"))));
        }
        running.follow();
    }
    running.mailbox.flush().await;
    running.holds_everything();
    assert!(running.disk.generations.load(Ordering::SeqCst) > 1, "nothing was written anew");
    assert!(running.disk.bytes.load(Ordering::SeqCst) < 60_000);
    running.stop().await;
}

#[tokio::test]
async fn nothing_goes_into_the_store_before_the_log_has_it() {
    let mut running = Running::new(StoreLimits::default());
    running.durable.send_replace(Some(log_id(3)));
    running.write(0..10);
    let mailbox = running.mailbox.clone();
    let flush = mailbox.flush();
    tokio::pin!(flush);
    assert!(futures_util::poll!(flush.as_mut()).is_pending());
    running.durable.send_replace(Some(log_id(100)));
    flush.await;
    running.holds_everything();
    running.stop().await;
}

#[tokio::test]
async fn a_snapshot_takes_the_place_of_what_waits() {
    let mut running = Running::new(StoreLimits::default());
    running.disk.close();
    running.write(0..20);
    let moment = Moment { place: place(running.sent as u64), view: running.state.view() };
    running.mailbox.replace(moment);
    running.disk.open();
    running.write(20..30);
    running.mailbox.flush().await;
    running.holds_everything();
    running.stop().await;
}
