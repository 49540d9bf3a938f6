//! One server's folder with everything in it but consensus, driven by hand.

use std::{path::Path, sync::Arc, time::Duration};

use boss_base::{
    clock::SystemClock,
    tasks::{Blocking, Tasks},
};
use boss_proto::{
    ids::{ClusterId, ServerId},
    raft::v1::Command,
};
use futures_util::stream;
use openraft::{
    EntryPayload, RaftLogReader,
    storage::{IOFlushed, RaftLogStorage, RaftStateMachine},
    type_config::TypeConfigExt,
};

use super::super::{
    OpenOptions, Place, Published, SnapshotFile, StateMachine, StoreLimits, snapshot,
    start::{Started, start},
};
use crate::{
    disk::Room,
    handle::StartError,
    log::{self, Log, Owner},
    state::{Digest, Limits, Position, State, apply, testing::*},
    types::{Entry, LogId, Proposal, TypeConfig},
};

/// Small, so that a short life fills several.
const SEGMENT_BYTES: u64 = 8 * 1024;

pub(super) fn cluster_id() -> ClusterId {
    "c1".into()
}

pub(super) fn id(index: u64) -> LogId {
    LogId::new_term_index(1, index)
}

/// What the cluster agrees on; entry 1 is the first.
pub(super) struct History(Vec<Command>);

impl History {
    /// More than any test here applies.
    pub(super) fn new() -> Self {
        let mut cluster = Cluster::new();
        for number in 0..70 {
            let name = format!("p{number}");
            cluster.must(admin(), create(pod(&name)));
            if number % 4 == 3 {
                cluster.must(admin(), delete(&key(&name)));
            }
        }
        Self(cluster.log)
    }

    fn entry(&self, index: u64) -> Entry {
        let command = &self.0[usize::try_from(index).unwrap() - 1];
        Entry { log_id: id(index), payload: EntryPayload::Normal(Proposal::new(command).unwrap()) }
    }

    /// The state right after an entry.
    pub(super) fn state_at(&self, index: u64) -> State {
        let mut state = State::with_limits(Limits::default());
        for (index, command) in (1..=index).zip(&self.0) {
            apply(&mut state, Position { term: 1, index }, command);
        }
        state
    }

    pub(super) fn hash_at(&self, index: u64) -> Digest {
        self.state_at(index).hash()
    }

    /// A snapshot of another server at that entry.
    pub(super) fn snapshot_at(&self, index: u64, path: &Path) -> SnapshotFile {
        let place = Place { log_id: Some(id(index)), ..Place::default() };
        let file = std::fs::File::create(path).unwrap();
        snapshot::write(&file, &cluster_id(), &place, &self.state_at(index).view()).unwrap();
        SnapshotFile::at(path.to_owned(), Blocking::Threads).unwrap()
    }
}

/// A server that runs.
pub(super) struct Life {
    pub(super) log: Log,
    pub(super) machine: StateMachine,
    pub(super) published: Published,
    pub(super) notice: Option<String>,
    tasks: Tasks,
}

impl Life {
    /// As a start does it: what the log holds beyond the state is applied again.
    pub(super) async fn begin(dir: &Path) -> Result<Self, StartError> {
        let tasks = Tasks::new();
        let begun = Self::begin_in(dir, tasks.clone()).await;
        if begun.is_err() {
            tasks.stop(Duration::from_secs(30)).await.unwrap();
        }
        begun
    }

    async fn begin_in(dir: &Path, tasks: Tasks) -> Result<Self, StartError> {
        let options = log::Options {
            dir: dir.join("log"),
            owner: Owner { cluster_id: cluster_id(), server_id: ServerId(1) },
            segment_bytes: SEGMENT_BYTES,
            cache_bytes: 1024,
            room: Room::unlimited(),
        };
        let mut log = Log::open(options, Arc::new(SystemClock), tasks.clone())?;
        let options = OpenOptions {
            dir: dir.to_owned(),
            cluster_id: cluster_id(),
            server_id: ServerId(1),
            durable_log: log.durable(),
            tasks: tasks.clone(),
            limits: Limits::default(),
            store: StoreLimits::default(),
            exporter: None,
            kept_in: crate::config::Store::Sled,
        };
        let Started { machine, published, notice } = start(options, &mut log).await?;
        let mut life = Self { log, machine, published, notice, tasks };
        life.replay().await;
        Ok(life)
    }

    async fn replay(&mut self) {
        let applied = self.applied();
        if self.log.last() < Some(id(applied)) && applied > 0 {
            // A snapshot reaches beyond the log; consensus lets it begin there.
            self.log.purge(id(applied)).await.unwrap();
        }
        for entry in self.log.try_get_log_entries(applied + 1..).await.unwrap() {
            self.machine.apply(stream::iter([Ok((entry, None))])).await.unwrap();
        }
    }

    pub(super) fn applied(&self) -> u64 {
        self.published.applied().borrow().log_id.map_or(0, |id| id.index)
    }

    pub(super) fn hash(&self) -> Digest {
        self.published.view().hash()
    }

    /// Takes the entries up to here, each one durable before `durable` hears of it and before it is applied.
    pub(super) async fn follow(&mut self, history: &History, to: u64, mut durable: impl FnMut(u64)) {
        for index in self.applied() + 1..=to {
            let (done, answer) = TypeConfig::oneshot();
            self.log.append([history.entry(index)], IOFlushed::signal(done)).await.unwrap();
            answer.await.unwrap().unwrap();
            durable(index);
            self.machine.apply(stream::iter([Ok((history.entry(index), None))])).await.unwrap();
        }
    }

    /// A snapshot of now, and the log without most of what is in it.
    pub(super) async fn compact(&mut self, keep: u64) {
        use openraft::storage::RaftSnapshotBuilder;
        self.machine.get_snapshot_builder().await.build_snapshot().await.unwrap();
        self.log.purge(id(self.applied() - keep)).await.unwrap();
        self.log.flush().await.unwrap();
    }

    /// In good order: the store has everything.
    pub(super) async fn end(self) {
        self.published.flush().await;
        self.log.close().await.unwrap();
        drop((self.log, self.machine, self.published));
        self.tasks.stop(Duration::from_secs(30)).await.unwrap();
    }
}
