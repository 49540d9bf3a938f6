//! What is applied is exported, to an audit for example, before anything of this server forgets it: the store behind and
//! the snapshots, and so the log, wait for the exporter.

use std::sync::Mutex;

use futures_util::future::BoxFuture;

use super::*;
use crate::state::{Outcome, Position};

/// How long something that must not happen may take to happen.
const LONG: Duration = Duration::from_millis(500);

/// Exports when the test says so, and remembers what it was given.
#[derive(Debug)]
struct Slow {
    exported: watch::Sender<Position>,
    seen: Mutex<Vec<u64>>,
}

impl Slow {
    fn new() -> Arc<Self> {
        Arc::new(Self { exported: watch::Sender::new(Position::default()), seen: Mutex::default() })
    }

    fn has_exported_to(&self, index: u64) {
        self.exported.send_replace(Position { term: 1, index });
    }

    fn seen(&self) -> Vec<u64> {
        std::mem::take(&mut *self.seen.lock().unwrap())
    }
}

impl Exporter for Slow {
    fn begins_after(&self, _: Position) {}

    fn applied(&self, at: Position, _: Option<&Arc<Command>>, _: &[Outcome]) {
        self.seen.lock().unwrap().push(at.index);
    }

    fn exported(&self) -> watch::Receiver<Position> {
        self.exported.subscribe()
    }

    fn room(&self) -> BoxFuture<'_, ()> {
        Box::pin(async {})
    }
}

/// A server whose log has everything durably, and its exporter.
fn exporting(cluster: &Cluster) -> (Server, Arc<Slow>) {
    let exporter = Slow::new();
    let server = Server { exporter: Some(exporter.clone()), ..Server::new() };
    server.log_is_durable_to(cluster.index());
    (server, exporter)
}

#[tokio::test]
async fn the_store_never_knows_more_than_was_exported() {
    let cluster = grown();
    let (server, exporter) = exporting(&cluster);
    exporter.has_exported_to(3);
    let mut running = server.start().await;
    running.follow(&cluster).await;
    running.is_like(&cluster);
    let flushed = tokio::time::timeout(LONG, running.published.flush()).await;
    assert!(flushed.is_err(), "the store has what was not exported");
    running.stop().await;
    let all: Vec<u64> = (1..=cluster.index()).collect();
    assert_eq!(exporter.seen(), all);

    // What was not exported is applied again, and so given to the exporter once more: nothing is missing there.
    let mut running = server.start().await;
    assert_eq!(running.applied().await, Some(3));
    running.follow(&cluster).await;
    assert_eq!(exporter.seen(), all[3..]);
    exporter.has_exported_to(cluster.index());
    running.published.flush().await;
    running.stop().await;
    let mut running = server.start().await;
    assert_eq!(running.applied().await, Some(cluster.index()));
    running.stop().await;
}

#[tokio::test]
async fn no_snapshot_holds_what_was_not_exported_so_the_log_keeps_it() {
    let cluster = grown();
    let (server, exporter) = exporting(&cluster);
    exporter.has_exported_to(cluster.index() - 1);
    let mut running = server.start().await;
    running.follow(&cluster).await;
    let mut builder = running.machine.get_snapshot_builder().await;
    let mut building = Box::pin(builder.build_snapshot());
    assert!(tokio::time::timeout(LONG, &mut building).await.is_err(), "the snapshot did not wait for the exporter");
    // Compaction purges the log up to the newest snapshot, and there is none.
    assert_eq!(*running.published.snapshot().borrow(), None);
    assert_eq!(server.snapshots(), Vec::<PathBuf>::new());
    exporter.has_exported_to(cluster.index());
    let built = building.await.unwrap();
    assert_eq!(built.meta.last_log_id, Some(log_id(cluster.index())));
    assert_eq!(*running.published.snapshot().borrow(), Some(log_id(cluster.index())));
    running.stop().await;
}
