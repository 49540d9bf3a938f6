//! A process that keeps a state is killed between any two calls to the disk: what is left opens without a question, with
//! everything that was acknowledged and the state that belongs to it.

use std::{
    fs::{self, File},
    io::Write,
    path::Path,
};

use openraft::storage::{RaftLogStorage, RaftStateMachine};

use super::{
    super::{replacement, snapshot},
    life::{History, Life, cluster_id, id},
};
use crate::{
    failpoints::{crash_at_every_point, is_child},
    storage::SnapshotFile,
    types::SnapshotMeta,
};

/// What the process was told is durable, where a killed process cannot lose it.
fn note(dir: &Path, index: u64) {
    let mut file = File::options().append(true).create(true).open(dir.join("acknowledged")).unwrap();
    writeln!(file, "{index}").unwrap();
}

fn acknowledged(dir: &Path) -> u64 {
    let text = fs::read_to_string(dir.join("acknowledged")).unwrap_or_default();
    text.lines().last().map_or(0, |last| last.parse().unwrap())
}

/// The snapshot as it comes from another server, in pieces.
async fn receive(file: &SnapshotFile, life: &Life) -> SnapshotFile {
    let bytes = fs::read(file.path()).unwrap();
    let mut receiver = life.published.receive_snapshot().await.unwrap();
    for chunk in bytes.chunks(1_000) {
        receiver.write_chunk(chunk).await.unwrap();
    }
    receiver.finish(bytes.len() as u64, crc32fast::hash(&bytes)).await.unwrap()
}

/// The work of the child; nothing in any other process.
#[tokio::test]
async fn the_life_of_a_state() {
    let Some(dir) = is_child() else { return };
    let (history, server) = (History::new(), dir.join("server"));
    let durable = |index| note(&dir, index);
    let mut life = Life::begin(&server).await.unwrap();
    for to in [20, 30, 40] {
        life.follow(&history, to, durable).await;
        life.published.flush().await;
        life.compact(8).await;
    }
    life.machine.replace_store();
    life.end().await;

    let mut life = Life::begin(&server).await.unwrap();
    life.follow(&history, 45, durable).await;
    let received = receive(&history.snapshot_at(60, &dir.join("60")), &life).await;
    let meta = SnapshotMeta { last_log_id: Some(id(60)), ..SnapshotMeta::default() };
    life.machine.install_snapshot(&meta, received).await.unwrap();
    note(&dir, 60);
    life.log.purge(id(60)).await.unwrap();
    life.published.flush().await;
    life.follow(&history, 65, durable).await;

    // Its state is taken for the odd one.
    let received = receive(&history.snapshot_at(70, &dir.join("70")), &life).await;
    let order = replacement::Order {
        data_dir: server.clone(),
        cluster_id: cluster_id(),
        min_index: 65,
        reason: "it differed".to_owned(),
    };
    replacement::leave(life.published.snapshots(), &received, &order).unwrap();
    life.end().await;
    let mut life = Life::begin(&server).await.unwrap();
    assert_eq!(life.notice.as_deref(), Some("it differed"));
    life.follow(&history, 75, durable).await;
    life.end().await;
}

async fn check_what_is_left(dir: &Path, point: &str) {
    let (history, server) = (History::new(), dir.join("server"));
    let mut life = Life::begin(&server).await.unwrap_or_else(|error| panic!("{point}: {error}"));
    let applied = life.applied();
    assert!(applied >= acknowledged(dir), "{point}: {applied} applied, {} acknowledged", acknowledged(dir));
    assert_eq!(life.hash(), history.hash_at(applied), "{point}: the state at {applied}");
    for path in fs::read_dir(server.join("snapshots")).unwrap().map(|entry| entry.unwrap().path()) {
        assert!(snapshot::read_any(&path).is_ok(), "{point}: {} is no whole snapshot", path.display());
    }
    life.follow(&history, applied + 3, drop).await;
    life.end().await;
    // And it starts from what it wrote itself.
    let life = Life::begin(&server).await.unwrap_or_else(|error| panic!("{point}, again: {error}"));
    assert_eq!((life.applied(), life.hash()), (applied + 3, history.hash_at(applied + 3)), "{point}, again");
    assert_eq!(life.notice, None, "{point}: it is replaced once");
    life.end().await;
}

fn check_points(part: &str, expected: &[&str]) {
    let runtime = || tokio::runtime::Builder::new_current_thread().enable_all().build().unwrap();
    let check = |dir: &Path, point: &str| runtime().block_on(check_what_is_left(dir, point));
    let points = crash_at_every_point("storage::tests::crash::the_life_of_a_state", part, check);
    assert_eq!(points, expected);
}

#[test]
fn a_kill_between_any_two_writes_of_the_store_loses_nothing() {
    check_points("store.batch", &["store.batch.merged", "store.batch.written"]);
}

#[test]
fn a_kill_while_the_store_is_written_anew_loses_nothing() {
    let points = ["adopted", "described", "flushed", "made", "rows-written", "swapped"];
    check_points(
        "store.generation.",
        &points.map(|point| format!("store.generation.{point}")).each_ref().map(|p| &**p),
    );
}

#[test]
fn a_kill_while_generations_take_turns_loses_nothing() {
    check_points(
        "store.home.",
        &["store.home.cleaned", "store.home.listed", "store.home.pointed", "store.home.synced"],
    );
}

#[test]
fn a_kill_while_a_snapshot_is_written_or_installed_loses_nothing() {
    let points = [
        "adopted",
        "headed",
        "installed",
        "listed",
        "old-removed",
        "received",
        "received-chunk",
        "renamed",
        "synced",
        "written",
    ];
    check_points("snapshot.", &points.map(|point| format!("snapshot.{point}")).each_ref().map(|p| &**p));
}

#[test]
fn a_kill_while_the_state_is_replaced_loses_nothing() {
    let points = ["adopted", "done", "log-fits", "noted", "snapshot-removed", "stands", "store-removed"];
    check_points("replacement.", &points.map(|point| format!("replacement.{point}")).each_ref().map(|p| &**p));
}
