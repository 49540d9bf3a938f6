//! Clients that write all the time and must see no error, whatever happens to the cluster meanwhile.

use std::{
    sync::{
        Arc, Mutex,
        atomic::{AtomicBool, AtomicUsize, Ordering},
    },
    time::Duration,
};

use boss_base::tasks::Tasks;
use boss_chaos_tests::{
    cluster::{Cluster, PATIENCE, or_fail},
    manifests::record,
    wait,
};
use boss_client::{Client, Deadlines};
use boss_proto::{object::Resource, v1};

const WRITERS: usize = 4;
/// Between two writes of one client: load, and not the measure of a machine that has other tests to run.
const PAUSE: Duration = Duration::from_millis(20);
/// Each phase sees at least so many acknowledged writes.
const WRITES_PER_PHASE: usize = 20;

/// Clients that write until they are told to stop.
pub(crate) struct Writers {
    stopped: AtomicBool,
    acknowledged: Mutex<Vec<String>>,
    count: AtomicUsize,
}

impl Writers {
    async fn run(self: Arc<Self>, number: usize, client: Client) -> Result<(), String> {
        for turn in 0.. {
            if self.stopped.load(Ordering::SeqCst) {
                return Ok(());
            }
            let name = format!("w{number}-{turn}");
            // The client retries what can be retried; what it reports is what a user sees.
            let written = client.create(record(&name, "x").into_object()).await;
            written.map_err(|error| format!("write {name}: {error:?}"))?;
            self.acknowledged.lock().expect("nobody panicked").push(name);
            self.count.fetch_add(1, Ordering::SeqCst);
            tokio::time::sleep(PAUSE).await;
        }
        Ok(())
    }

    /// Ends the load, which must have seen no error.
    pub(crate) async fn stop(&self, handles: Handles) {
        self.stopped.store(true, Ordering::SeqCst);
        for handle in handles {
            handle.await.expect("no writer panics").expect("no client sees an error");
        }
    }

    /// Waits until the load has gone on for a while.
    pub(crate) async fn go_on(&self) {
        let from = self.count.load(Ordering::SeqCst);
        let more = wait::until("writes go on", PATIENCE, async || {
            let now = self.count.load(Ordering::SeqCst);
            wait::holds(now >= from + WRITES_PER_PHASE, format!("{} more", now - from))
        });
        or_fail(more.await);
    }
}

/// One for each writer.
pub(crate) type Handles = Vec<tokio::task::JoinHandle<Result<(), String>>>;

/// Load from clients that were given one server only.
pub(crate) fn start_load(cluster: &Cluster, tasks: &Tasks) -> (Arc<Writers>, Handles) {
    let writers = Arc::new(Writers {
        stopped: AtomicBool::new(false),
        acknowledged: Mutex::default(),
        count: AtomicUsize::new(0),
    });
    let handles = (0..WRITERS).map(|number| {
        let deadlines = Deadlines { overall: PATIENCE, ..Deadlines::default() };
        let client = cluster.client(1).with_deadlines(deadlines);
        drop(client.keep_servers_fresh(tasks));
        spawn(Arc::clone(&writers).run(number, client))
    });
    let handles = handles.collect();
    (writers, handles)
}

#[expect(clippy::disallowed_methods, reason = "the test joins it")]
fn spawn<T: Send + 'static>(future: impl Future<Output = T> + Send + 'static) -> tokio::task::JoinHandle<T> {
    tokio::spawn(future)
}

/// Every write that was acknowledged is on every server.
pub(crate) async fn assert_nothing_is_lost(cluster: &Cluster, writers: &Writers) {
    let names = writers.acknowledged.lock().expect("nobody panicked").clone();
    assert!(!names.is_empty(), "there was no load");
    for id in cluster.running_servers() {
        let listed = wait::until("the server lists them", PATIENCE, async || {
            let listed = cluster.admin_at(id).list::<v1::ServiceAccount>("default").await;
            listed.map_err(|status| format!("server {id}: {status:?}"))
        });
        let (found, _) = or_fail(listed.await);
        let found: std::collections::BTreeSet<&str> =
            found.iter().filter_map(|object| Some(&*object.metadata.as_ref()?.name)).collect();
        let lost: Vec<_> = names.iter().filter(|name| !found.contains(&***name)).collect();
        assert!(lost.is_empty(), "server {id} has not {lost:?} of {} acknowledged", names.len());
    }
}
