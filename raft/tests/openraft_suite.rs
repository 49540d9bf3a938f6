//! openraft's own conformance suite over the log and the state machine as servers use them.
#![expect(clippy::unwrap_used, reason = "a test says with a panic what went wrong")]

use std::sync::Arc;

use boss_base::{clock::SystemClock, tasks::Tasks};
use boss_proto::ids::ServerId;
use boss_raft::{
    disk::Room,
    log::{Log, MemoryLog, Options, Owner},
    state,
    storage::{OpenOptions, StateMachine},
    types::{LogId, TypeConfig},
};
use openraft::{
    StorageError,
    testing::log::{StoreBuilder, Suite},
};
use tempfile::TempDir;
use tokio::sync::watch;

const CLUSTER: &str = "suite";

struct Stores;

/// Stops the threads of one pair of stores and removes its files.
struct Guard {
    tasks: Tasks,
    dir: TempDir,
}

impl Guard {
    async fn machine(&self, durable_log: watch::Receiver<Option<LogId>>) -> StateMachine {
        let options = OpenOptions {
            dir: self.dir.path().to_owned(),
            cluster_id: CLUSTER.into(),
            server_id: ServerId(0),
            durable_log,
            tasks: self.tasks.clone(),
            store: boss_raft::storage::StoreLimits::default(),
            exporter: None,
            kept_in: boss_raft::config::Store::Sled,
            limits: state::Limits::default(),
        };
        StateMachine::open(options).await.unwrap().0
    }
}

impl Drop for Guard {
    fn drop(&mut self) {
        self.tasks.cancel();
    }
}

impl StoreBuilder<TypeConfig, Log, StateMachine, Guard> for Stores {
    async fn build(&self) -> Result<(Guard, Log, StateMachine), StorageError<TypeConfig>> {
        let guard = Guard { tasks: Tasks::new(), dir: TempDir::new().unwrap() };
        let options = Options {
            dir: guard.dir.path().join("log"),
            owner: Owner { cluster_id: CLUSTER.into(), server_id: ServerId(0) },
            segment_bytes: 64 * 1024,
            cache_bytes: 4 * 1024,
            room: Room::unlimited(),
        };
        let log = Log::open(options, Arc::new(SystemClock), guard.tasks.clone()).unwrap();
        let machine = guard.machine(log.durable()).await;
        Ok((guard, log, machine))
    }
}

struct WithMemoryLog;

impl StoreBuilder<TypeConfig, MemoryLog, StateMachine, Guard> for WithMemoryLog {
    async fn build(&self) -> Result<(Guard, MemoryLog, StateMachine), StorageError<TypeConfig>> {
        let guard = Guard { tasks: Tasks::new(), dir: TempDir::new().unwrap() };
        let log = MemoryLog::default();
        let machine = guard.machine(log.durable()).await;
        Ok((guard, log, machine))
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn the_stores_pass_the_suite_of_openraft() {
    Suite::test_all(Stores).await.unwrap();
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn the_log_without_a_disk_passes_the_same_suite() {
    Suite::test_all(WithMemoryLog).await.unwrap();
}
