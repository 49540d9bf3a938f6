//! A server's state through starts, crashes and snapshots. The log is the list of commands in the fixture.

mod exported;

use std::{fs, path::PathBuf, sync::Arc, time::Duration};

use boss_base::tasks::Tasks;
use boss_proto::{
    ids::{ClusterId, Revision, ServerId},
    raft::v1::Command,
};
use futures_util::stream;
use openraft::{
    EntryPayload,
    storage::{RaftSnapshotBuilder, RaftStateMachine},
};
use proptest::{collection::vec, prelude::*};
use tempfile::TempDir;
use tokio::sync::watch;

use super::StateMachine;
use crate::{
    export::Exporter,
    state::{
        Interest, Limits,
        apply::tests::{Run, small, step},
        rows::Row,
        testing::*,
    },
    storage::{OpenError, OpenOptions, Published, SledHome, SledStorage, SnapshotFile, Storage, StoreLimits},
    types::{Entry, LogId, Proposal, SnapshotMeta},
};

/// The data of one server; each start has tasks of its own.
struct Server {
    directory: TempDir,
    durable: watch::Sender<Option<LogId>>,
    cluster_id: ClusterId,
    limits: Limits,
    store: StoreLimits,
    exporter: Option<Arc<dyn Exporter>>,
}

struct Running {
    machine: StateMachine,
    published: Published,
    tasks: Tasks,
}

fn log_id(index: u64) -> LogId {
    LogId::new_term_index(1, index)
}

impl Server {
    fn new() -> Self {
        let directory = tempfile::tempdir().unwrap();
        Self {
            directory,
            durable: watch::Sender::new(None),
            cluster_id: ClusterId::from("c1"),
            limits: Limits::default(),
            store: StoreLimits::default(),
            exporter: None,
        }
    }

    fn path(&self, name: &str) -> PathBuf {
        self.directory.path().join(name)
    }

    /// Where the generation of the store is that counts.
    fn store_folder(&self) -> PathBuf {
        SledHome::open(&self.path("state")).unwrap().current_folder().unwrap()
    }

    fn snapshots(&self) -> Vec<PathBuf> {
        let mut paths: Vec<_> =
            fs::read_dir(self.path("snapshots")).unwrap().map(|entry| entry.unwrap().path()).collect();
        paths.sort();
        paths
    }

    async fn try_start(&self) -> Result<Running, OpenError> {
        let tasks = Tasks::new();
        let options = OpenOptions {
            dir: self.directory.path().to_owned(),
            cluster_id: self.cluster_id.clone(),
            server_id: ServerId(1),
            durable_log: self.durable.subscribe(),
            tasks: tasks.clone(),
            limits: self.limits,
            store: self.store,
            exporter: self.exporter.clone(),
            kept_in: crate::config::Store::Sled,
        };
        let (machine, published) = StateMachine::open(options).await?;
        Ok(Running { machine, published, tasks })
    }

    async fn start(&self) -> Running {
        self.try_start().await.unwrap()
    }

    fn log_is_durable_to(&self, index: u64) {
        self.durable.send_replace(Some(log_id(index)));
    }
}

impl Running {
    /// Applies what the cluster has and this server has not, each entry by itself.
    async fn follow(&mut self, cluster: &Cluster) {
        self.follow_log(&cluster.log).await;
    }

    async fn follow_log(&mut self, log: &[Command]) {
        let applied = self.machine.applied_state().await.unwrap().0.map_or(0, |log_id| log_id.index);
        for (index, command) in (1..).zip(log).filter(|(index, _)| *index > applied) {
            let payload = EntryPayload::Normal(Proposal::new(command).unwrap());
            let entry = Entry { log_id: log_id(index), payload };
            self.machine.apply(stream::iter([Ok((entry, None))])).await.unwrap();
        }
    }

    async fn snapshot(&mut self) -> (SnapshotMeta, SnapshotFile) {
        let built = self.machine.get_snapshot_builder().await.build_snapshot().await.unwrap();
        (built.meta, built.snapshot)
    }

    async fn stop(self) {
        self.tasks.stop(Duration::from_secs(30)).await.unwrap();
    }

    async fn applied(&mut self) -> Option<u64> {
        self.machine.applied_state().await.unwrap().0.map(|log_id| log_id.index)
    }

    #[track_caller]
    fn is_like(&self, cluster: &Cluster) {
        assert_eq!(self.published.view().hash(), cluster.state.hash());
    }
}

fn grown() -> Cluster {
    let mut cluster = Cluster::new();
    for name in ["a", "b", "c"] {
        cluster.pending_pod(name);
    }
    cluster
}

impl Cluster {
    fn pending_pod(&mut self, name: &str) {
        self.must(admin(), create(pod(name)));
    }

    fn index(&self) -> u64 {
        self.index
    }
}

/// Sends a snapshot as servers do, in small chunks.
async fn send(file: &SnapshotFile, to: &Published) -> SnapshotFile {
    let bytes = file.open().await.unwrap().read_chunk(1 << 20).await.unwrap();
    assert_eq!(bytes.len() as u64, file.len());
    let mut receiver = to.receive_snapshot().await.unwrap();
    for chunk in bytes.chunks(100) {
        receiver.write_chunk(chunk).await.unwrap();
    }
    receiver.finish(bytes.len() as u64, crc32fast::hash(&bytes)).await.unwrap()
}

#[tokio::test]
async fn readers_see_what_was_applied() {
    let (server, cluster) = (Server::new(), grown());
    let mut running = server.start().await;
    let mut applied = running.published.applied();
    running.follow(&cluster).await;
    running.is_like(&cluster);
    let now = *applied.borrow_and_update();
    assert_eq!((now.log_id, now.revision), (Some(log_id(cluster.index())), cluster.state.revision()));
    let interest = Interest::in_kind(boss_proto::kind::Kind::Pod);
    let view = running.published.view();
    let first = view.events_after(Revision::ZERO, &interest, 2).unwrap();
    let rest = view.events_after(first.position, &interest, 2).unwrap();
    assert_eq!((first.events.len(), first.more, rest.events.len(), rest.more), (2, true, 1, false));
    assert_eq!(rest.position, cluster.state.revision());
    running.stop().await;
}

#[tokio::test]
async fn a_stopped_server_starts_from_its_store_without_the_log() {
    let (server, mut cluster) = (Server::new(), grown());
    let mut running = server.start().await;
    running.follow(&cluster).await;
    server.log_is_durable_to(cluster.index());
    running.published.flush().await;
    assert!(running.published.store_bytes() > 0);
    running.stop().await;
    let mut running = server.start().await;
    assert_eq!(running.applied().await, Some(cluster.index()));
    running.is_like(&cluster);
    cluster.must(admin(), delete(&key("a")));
    running.follow(&cluster).await;
    running.is_like(&cluster);
    running.stop().await;
}

#[tokio::test]
async fn the_store_never_knows_more_than_the_durable_log() {
    let (server, cluster) = (Server::new(), grown());
    server.log_is_durable_to(3);
    let mut running = server.start().await;
    running.follow(&cluster).await;
    running.stop().await;
    let mut running = server.start().await;
    assert_eq!(running.applied().await, Some(3));
    running.follow(&cluster).await;
    running.is_like(&cluster);
    running.stop().await;
}

#[tokio::test]
async fn a_store_ahead_of_the_log_is_refused_and_kept() {
    let (server, cluster) = (Server::new(), grown());
    server.log_is_durable_to(cluster.index());
    let mut running = server.start().await;
    running.follow(&cluster).await;
    running.published.flush().await;
    running.stop().await;
    server.log_is_durable_to(2);
    let refused = server.try_start().await.err().unwrap();
    assert!(matches!(refused, OpenError::StoreAheadOfLog { log: 2, .. }), "{refused}");
    assert!(refused.to_string().contains("fresh id"));
    server.log_is_durable_to(cluster.index());
    server.start().await.is_like(&cluster);
}

#[tokio::test]
async fn data_of_another_cluster_is_refused_and_kept() {
    let (mut server, cluster) = (Server::new(), grown());
    server.log_is_durable_to(cluster.index());
    let mut running = server.start().await;
    running.follow(&cluster).await;
    running.snapshot().await;
    running.published.flush().await;
    running.stop().await;
    let own = std::mem::replace(&mut server.cluster_id, ClusterId::from("c2"));
    assert!(matches!(server.try_start().await.err(), Some(OpenError::ForeignCluster { .. })));
    fs::remove_dir_all(server.path("snapshots")).unwrap();
    assert!(matches!(server.try_start().await.err(), Some(OpenError::ForeignCluster { .. })));
    server.cluster_id = own;
    server.start().await.is_like(&cluster);
}

/// A server with a snapshot of `grown` and a little more in its store; `damage` does its worst in between.
async fn rebuilds_after(damage: impl FnOnce(&Server)) {
    let (server, mut cluster) = (Server::new(), grown());
    let mut running = server.start().await;
    running.follow(&cluster).await;
    running.snapshot().await;
    let covered = cluster.index();
    cluster.must(admin(), create(pod("later")));
    running.follow(&cluster).await;
    server.log_is_durable_to(cluster.index());
    running.published.flush().await;
    running.stop().await;
    damage(&server);
    let mut running = server.start().await;
    assert_eq!(running.applied().await, Some(covered), "the store was rebuilt from the snapshot");
    running.follow(&cluster).await;
    running.is_like(&cluster);
    running.published.flush().await;
    running.stop().await;
    let mut running = server.start().await;
    assert_eq!(running.applied().await, Some(cluster.index()), "and serves the next start");
    running.is_like(&cluster);
    running.stop().await;
}

#[tokio::test]
async fn a_missing_store_is_rebuilt() {
    rebuilds_after(|server| fs::remove_dir_all(server.path("state")).unwrap()).await;
}

#[tokio::test]
async fn a_store_with_a_changed_row_is_rebuilt() {
    rebuilds_after(|server| {
        let mut storage = open_when_unlocked(&server.store_folder());
        let meta = storage.meta().unwrap().unwrap();
        let row = Row { key: b"4default".to_vec(), value: Some(vec![8, 99].into()) };
        storage.write(&[row], Some(&meta)).unwrap();
    })
    .await;
}

#[tokio::test]
async fn a_store_that_was_left_half_replaced_is_rebuilt() {
    rebuilds_after(|server| open_when_unlocked(&server.store_folder()).write(&[], None).unwrap()).await;
}

/// sled releases its lock a little after its last user has gone, and nothing tells when.
fn open_when_unlocked(path: &std::path::Path) -> SledStorage {
    for _ in 0..1_000 {
        match SledStorage::open(path) {
            Err(crate::storage::store::StoreError::Locked) => std::thread::park_timeout(Duration::from_millis(10)),
            opened => return opened.unwrap(),
        }
    }
    panic!("the store stays locked");
}

#[tokio::test]
async fn a_store_full_of_garbage_is_rebuilt() {
    rebuilds_after(|server| {
        let file = server.store_folder().join("db");
        let length = usize::try_from(fs::metadata(&file).unwrap().len()).unwrap();
        fs::write(file, vec![0x5a; length]).unwrap();
    })
    .await;
}

#[tokio::test]
async fn a_store_with_a_leftover_of_sled_is_rebuilt() {
    rebuilds_after(|server| fs::write(server.store_folder().join("snap.00.generating"), b"x").unwrap()).await;
}

#[tokio::test]
async fn a_snapshot_brings_another_server_to_the_same_state() {
    let (one, two, mut cluster) = (Server::new(), Server::new(), grown());
    let mut first = one.start().await;
    first.follow(&cluster).await;
    let (meta, file) = first.snapshot().await;
    assert_eq!(*first.published.snapshot().borrow(), Some(log_id(cluster.index())));
    let mut second = two.start().await;
    let received = send(&file, &second.published).await;
    second.machine.install_snapshot(&meta, received).await.unwrap();
    second.is_like(&cluster);
    assert_eq!(*second.published.snapshot().borrow(), meta.last_log_id);
    assert_eq!(second.machine.get_current_snapshot().await.unwrap().unwrap().meta, meta);
    second.published.flush().await;
    second.stop().await;
    let mut second = two.start().await;
    assert_eq!(second.applied().await, Some(cluster.index()));
    second.is_like(&cluster);
    cluster.must(admin(), delete(&key("a")));
    second.follow(&cluster).await;
    second.is_like(&cluster);
    first.stop().await;
    second.stop().await;
}

#[tokio::test]
async fn a_snapshot_shows_the_moment_of_its_beginning() {
    let (server, mut cluster) = (Server::new(), grown());
    let mut running = server.start().await;
    running.follow(&cluster).await;
    let mut builder = running.machine.get_snapshot_builder().await;
    let before = cluster.index();
    cluster.must(admin(), delete(&key("a")));
    running.follow(&cluster).await;
    assert_eq!(builder.build_snapshot().await.unwrap().meta.last_log_id, Some(log_id(before)));
    running.stop().await;
}

#[tokio::test]
async fn two_snapshots_stay_and_a_torn_one_is_passed_over() {
    let (server, mut cluster) = (Server::new(), grown());
    let mut running = server.start().await;
    let mut covered = Vec::new();
    for name in ["x", "y", "z"] {
        cluster.must(admin(), create(pod(name)));
        running.follow(&cluster).await;
        running.snapshot().await;
        covered.push(cluster.index());
    }
    running.stop().await;
    let paths = server.snapshots();
    assert_eq!(paths.len(), 2);
    fs::remove_dir_all(server.path("state")).unwrap();
    let bytes = fs::read(&paths[1]).unwrap();
    fs::write(&paths[1], &bytes[..bytes.len() - 5]).unwrap();
    let mut running = server.start().await;
    assert_eq!(running.applied().await, Some(covered[1]));
    running.follow(&cluster).await;
    running.is_like(&cluster);
    running.stop().await;
}

#[tokio::test]
async fn a_damaged_snapshot_is_not_installed() {
    let (one, two, cluster) = (Server::new(), Server::new(), grown());
    let mut first = one.start().await;
    first.follow(&cluster).await;
    let (meta, file) = first.snapshot().await;
    let mut second = two.start().await;
    let hash = second.published.state_hash();
    let received = send(&file, &second.published).await;
    let mut bytes = fs::read(received.path()).unwrap();
    let middle = bytes.len() / 2;
    bytes[middle] ^= 1;
    fs::write(received.path(), bytes).unwrap();
    assert!(second.machine.install_snapshot(&meta, received).await.is_err());
    assert_eq!((second.published.state_hash(), second.applied().await), (hash, None));
    let mut receiver = second.published.receive_snapshot().await.unwrap();
    receiver.write_chunk(b"abc").await.unwrap();
    assert!(receiver.finish(3, 0).await.is_err());
    first.stop().await;
    second.stop().await;
    assert_eq!(fs::read_dir(two.path("snapshots")).unwrap().count(), 0, "nothing of it is left");
}

#[tokio::test]
async fn what_a_crash_left_of_a_snapshot_is_cleared() {
    let server = Server::new();
    fs::create_dir(server.path("snapshots")).unwrap();
    fs::write(server.path("snapshots").join("7.tmp"), b"half").unwrap();
    server.start().await.stop().await;
    assert_eq!(server.snapshots().len(), 0);
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(12))]
    #[test]
    fn a_server_that_starts_anywhere_in_its_history_has_the_same_state(steps in vec(step(), 1..80), stop in 0..80usize) {
        let run = Run::of(&steps, small());
        let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().unwrap();
        runtime.block_on(async {
            let server = Server { limits: small(), ..Server::new() };
            let log = &run.cluster.log;
            let first = log.len().min(stop);
            server.log_is_durable_to(log.len() as u64);
            let mut running = server.start().await;
            running.follow_log(&log[..first]).await;
            running.published.flush().await;
            running.stop().await;
            let mut running = server.start().await;
            running.follow_log(log).await;
            running.is_like(&run.cluster);
            let (meta, file) = running.snapshot().await;
            let other = Server { limits: small(), ..Server::new() };
            let mut second = other.start().await;
            let received = send(&file, &second.published).await;
            second.machine.install_snapshot(&meta, received).await.unwrap();
            second.is_like(&run.cluster);
            running.stop().await;
            second.stop().await;
        });
    }
}

/// Writes the description of the store anew.
fn change_format(server: &Server, format: u32) {
    use prost::Message;

    use crate::storage::meta::Meta;
    let mut storage = open_when_unlocked(&server.store_folder());
    let mut meta = Meta::decode(storage.meta().unwrap().unwrap()).unwrap();
    meta.format = format;
    storage.write(&[], Some(&meta.encode_to_vec())).unwrap();
    storage.flush().unwrap();
}

#[tokio::test]
async fn a_store_of_an_older_format_is_rebuilt() {
    rebuilds_after(|server| change_format(server, 1)).await;
}

#[tokio::test]
async fn a_store_of_a_newer_format_is_refused_and_kept() {
    let (server, cluster) = (Server::new(), grown());
    server.log_is_durable_to(cluster.index());
    let mut running = server.start().await;
    running.follow(&cluster).await;
    running.published.flush().await;
    running.stop().await;
    change_format(&server, 99);
    assert!(matches!(server.try_start().await.err(), Some(OpenError::NewerFormat { found: 99, .. })));
    change_format(&server, crate::state::rows::FORMAT);
    server.start().await.is_like(&cluster);
}
