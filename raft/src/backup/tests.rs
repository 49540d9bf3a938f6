//! What a restore makes of a snapshot, and what it refuses. That a server starts on it is the cluster tests' to show.

use boss_base::clock::SystemClock;
use boss_proto::{
    object::Resource,
    raft::v1::Operation,
    v1::{ControlPlane, ControlPlaneSpec},
};

use super::*;
use crate::{
    state::{Outcome, testing::*},
    storage::{OpenError, OpenOptions, StateMachine, StoreLimits},
};

fn member(id: u64) -> Member {
    Member { id: ServerId(id), name: format!("s{id}"), peer: "h:1".to_owned(), api: "h:2".to_owned() }
}

/// A snapshot of servers 1 and 2 at entry 9 of term 4.
fn saved(folder: &Path) -> (PathBuf, State) {
    saved_of(folder, Cluster::new())
}

fn saved_of(folder: &Path, mut cluster: Cluster) -> (PathBuf, State) {
    for name in ["a", "b", "c"] {
        cluster.must(admin(), create(pod(name)));
    }
    let nodes: BTreeMap<u64, _> = [1, 2].into_iter().map(|id| (id, member(id).address())).collect();
    let membership = Membership::new(vec![BTreeSet::from([1, 2])], nodes).unwrap();
    let at = LogId::new_term_index(4, 9);
    let place = Place { log_id: Some(at), membership: Arc::new(StoredMembership::new(Some(at), membership)) };
    let path = folder.join("saved");
    let file = fs::File::create(&path).unwrap();
    snapshot::write(&file, &"c1".into(), &place, &cluster.state).unwrap();
    (path, cluster.state.clone())
}

fn order(folder: &Path, file: PathBuf, id: u64) -> Restore {
    Restore { file, data_dir: folder.join("data"), member: member(id) }
}

async fn restored(order: &Restore, tasks: &Tasks) -> Result<Contents, RestoreError> {
    restore(order, Arc::new(SystemClock), tasks).await
}

#[tokio::test]
async fn a_restored_state_is_the_old_one_in_a_new_life() {
    let (folder, tasks) = (tempfile::tempdir().unwrap(), Tasks::new());
    let (file, before) = saved(folder.path());
    let order = order(folder.path(), file, 3);
    let contents = restored(&order, &tasks).await.unwrap();
    assert_ne!(contents.incarnation, Incarnation::FIRST);
    assert_eq!(contents.members, [member(3)]);
    let path = snapshot::Directory::open(&order.data_dir.join("snapshots"), Blocking::Threads)
        .unwrap()
        .list()
        .unwrap()
        .remove(0);
    let (found, state, place) = read(&path).unwrap();
    assert_eq!((found.incarnation, found.objects), (contents.incarnation, before.len() as u64));
    let objects = |state: &State| state.iter().map(|record| record.encoded.clone()).collect::<Vec<_>>();
    assert_eq!(objects(&state), objects(&before));
    assert!(state.history().is_empty());
    // Whoever saw later revisions of the old life is told so.
    for seen in [before.revision(), Revision(before.revision().0 + 1_000_000)] {
        let interest = crate::state::Interest::in_kind(boss_proto::kind::Kind::Pod);
        assert!(state.events_after(seen, &interest, 10).is_err(), "{seen}");
    }
    assert_eq!(place.membership.membership().voter_ids().collect::<Vec<_>>(), [3]);
    tasks.cancel();
}

#[tokio::test]
async fn two_restores_of_one_snapshot_are_two_lives() {
    let (folder, tasks) = (tempfile::tempdir().unwrap(), Tasks::new());
    let (file, _) = saved(folder.path());
    let one = restored(&order(folder.path(), file.clone(), 3), &tasks).await.unwrap();
    let other = Restore { data_dir: folder.path().join("other"), ..order(folder.path(), file, 3) };
    assert_ne!(restored(&other, &tasks).await.unwrap().incarnation, one.incarnation);
    tasks.cancel();
}

#[tokio::test]
async fn ids_of_old_members_and_folders_in_use_are_refused_and_nothing_is_made() {
    let (folder, tasks) = (tempfile::tempdir().unwrap(), Tasks::new());
    let (file, _) = saved(folder.path());
    let old = order(folder.path(), file.clone(), 2);
    assert!(matches!(restored(&old, &tasks).await, Err(RestoreError::IdInUse { id: ServerId(2), .. })));
    assert!(!old.data_dir.exists());
    let occupied = order(folder.path(), file, 3);
    fs::create_dir(&occupied.data_dir).unwrap();
    fs::write(occupied.data_dir.join("x"), b"x").unwrap();
    assert!(matches!(restored(&occupied, &tasks).await, Err(RestoreError::Occupied(_))));
    assert_eq!(fs::read_dir(&occupied.data_dir).unwrap().count(), 1);
}

#[tokio::test]
async fn an_id_that_was_given_to_a_server_which_is_no_member_any_more_is_refused() {
    let (folder, tasks) = (tempfile::tempdir().unwrap(), Tasks::new());
    let mut cluster = Cluster::new();
    let spec = Some(ControlPlaneSpec { highest_server_id: 7, ..ControlPlaneSpec::default() });
    let plane = ControlPlane { metadata: meta("", &Key::control_plane().name), spec, ..ControlPlane::default() };
    let leaders = Operation { leader_term: Some(1), ..cluster.admitted(servers(), create(plane.into_object())) };
    assert!(matches!(cluster.apply(leaders), Outcome::Written { .. }));
    let (file, _) = saved_of(folder.path(), cluster);
    let refused = restored(&order(folder.path(), file.clone(), 7), &tasks).await;
    assert!(matches!(refused, Err(RestoreError::IdInUse { id: ServerId(7), highest: ServerId(7) })), "{refused:?}");
    restored(&order(folder.path(), file, 8), &tasks).await.unwrap();
    tasks.cancel();
}

#[tokio::test]
async fn a_flipped_byte_is_found_by_verify_and_by_restore() {
    let (folder, tasks) = (tempfile::tempdir().unwrap(), Tasks::new());
    let (file, _) = saved(folder.path());
    assert_eq!(verify(&file).unwrap().index, 9);
    let mut bytes = fs::read(&file).unwrap();
    let middle = bytes.len() / 2;
    bytes[middle] ^= 1;
    fs::write(&file, bytes).unwrap();
    assert!(matches!(verify(&file), Err(BadSnapshot::Damaged(_))));
    let order = order(folder.path(), file, 3);
    assert!(matches!(restored(&order, &tasks).await, Err(RestoreError::Snapshot(_))));
    assert!(!order.data_dir.exists());
}

#[tokio::test]
async fn what_a_crash_left_of_a_restore_is_no_hindrance() {
    let (folder, tasks) = (tempfile::tempdir().unwrap(), Tasks::new());
    let (file, _) = saved(folder.path());
    let order = order(folder.path(), file, 3);
    fs::create_dir_all(unfinished(&order.data_dir).join("log")).unwrap();
    fs::write(unfinished(&order.data_dir).join("log").join("x"), b"half").unwrap();
    restored(&order, &tasks).await.unwrap();
    assert!(!unfinished(&order.data_dir).exists());
    tasks.cancel();
}

#[tokio::test]
async fn a_restored_folder_still_belongs_to_its_cluster_only() {
    let (folder, tasks) = (tempfile::tempdir().unwrap(), Tasks::new());
    let (file, _) = saved(folder.path());
    let order = order(folder.path(), file, 3);
    restored(&order, &tasks).await.unwrap();
    let options = OpenOptions {
        dir: order.data_dir.clone(),
        cluster_id: "c2".into(),
        server_id: ServerId(3),
        durable_log: tokio::sync::watch::Sender::new(None).subscribe(),
        tasks: tasks.clone(),
        limits: crate::state::Limits::default(),
        store: StoreLimits::default(),
        exporter: None,
        kept_in: crate::config::Store::Sled,
    };
    assert!(matches!(StateMachine::open(options).await.err(), Some(OpenError::ForeignCluster { .. })));
    tasks.cancel();
}
