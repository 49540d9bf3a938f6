//! openraft's own conformance suite over the log and the state machine as servers use them.
#![expect(clippy::unwrap_used, reason = "a test says with a panic what went wrong")]

use std::sync::Arc;

use boss_base::{clock::SystemClock, tasks::Tasks};
use boss_proto::ids::{ClusterId, ServerId};
use boss_raft::{
    log::{Log, Options, Owner},
    state,
    storage::{OpenOptions, StateMachine},
    types::TypeConfig,
};
use openraft::{
    StorageError,
    testing::log::{StoreBuilder, Suite},
};
use tempfile::TempDir;

struct Stores;

/// Stops the threads of one pair of stores and removes its files.
struct Guard {
    tasks: Tasks,
    _dir: TempDir,
}

impl Drop for Guard {
    fn drop(&mut self) {
        self.tasks.cancel();
    }
}

impl StoreBuilder<TypeConfig, Log, StateMachine, Guard> for Stores {
    async fn build(&self) -> Result<(Guard, Log, StateMachine), StorageError<TypeConfig>> {
        let dir = TempDir::new().unwrap();
        let tasks = Tasks::new();
        let (cluster_id, server_id) = (ClusterId::from("suite"), ServerId(0));
        let options = Options {
            dir: dir.path().join("log"),
            owner: Owner { cluster_id: cluster_id.clone(), server_id },
            segment_bytes: 64 * 1024,
            cache_bytes: 4 * 1024,
        };
        let log = Log::open(options, Arc::new(SystemClock), tasks.clone()).unwrap();
        let options = OpenOptions {
            dir: dir.path().to_owned(),
            cluster_id,
            server_id,
            durable_log: log.durable(),
            tasks: tasks.clone(),
            limits: state::Limits::default(),
        };
        let (machine, _published) = StateMachine::open(options).await.unwrap();
        Ok((Guard { tasks, _dir: dir }, log, machine))
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn the_stores_pass_the_suite_of_openraft() {
    Suite::test_all(Stores).await.unwrap();
}
