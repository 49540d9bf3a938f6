//! Servers on file systems of their own that fill up: leadership goes where there is room, what cannot be committed is
//! refused with the reason, reads and votes go on, and all of it ends by itself when there is room again.

use std::{
    fs::{self, File},
    io::Write,
    path::{Path, PathBuf},
    process::Command,
    time::Duration,
};

use boss_proto::ids::ServerId;
use boss_raft::ProposeError;

use crate::harness::{Cluster, create, eventually, names};

const DISK_BYTES: u64 = 48 << 20;

/// A file system in memory under a server's data folder.
pub(crate) struct SmallDisk(PathBuf);

impl SmallDisk {
    /// `None` without the right to mount, which the caller's test then says.
    pub(crate) fn under(folder: &Path) -> Option<Self> {
        fs::create_dir_all(folder).unwrap();
        let size = format!("size={DISK_BYTES}");
        let mounted = Command::new("mount").args(["-t", "tmpfs", "-o", &size, "tmpfs"]).arg(folder).output();
        mounted.is_ok_and(|output| output.status.success()).then(|| Self(folder.to_owned()))
    }

    pub(crate) fn fill(&self) {
        let mut filler = File::create(self.0.join("filler")).unwrap();
        let block = vec![0x5a; 64 << 10];
        while filler.write_all(&block).is_ok() {}
    }

    pub(crate) fn make_room(&self) {
        fs::remove_file(self.0.join("filler")).unwrap();
    }
}

impl Drop for SmallDisk {
    fn drop(&mut self) {
        // Lazily: a server may still have files open.
        let _ = Command::new("umount").arg("-l").arg(&self.0).status();
    }
}

/// Three servers on small disks; `None` where nobody may mount.
async fn cluster_on_small_disks() -> Option<(Cluster, Vec<SmallDisk>)> {
    let mut cluster = Cluster::new(3);
    cluster.limits.disk_reserve_bytes = 8 << 20;
    cluster.limits.snapshot_every = Duration::from_secs(1);
    let disks: Option<Vec<_>> = cluster.ids().into_iter().map(|id| SmallDisk::under(&cluster.data_dir(id))).collect();
    let Some(disks) = disks else {
        drop(writeln!(std::io::stderr(), "skipped: mounting a small disk needs root"));
        return None;
    };
    cluster.form().await;
    Some((cluster, disks))
}

fn disk(disks: &[SmallDisk], id: ServerId) -> &SmallDisk {
    &disks[usize::try_from(id.0).unwrap() - 1]
}

/// Everybody has it: a disk that fills up later has nothing left to miss.
async fn write_everywhere(cluster: &Cluster, name: &str) {
    let revision = cluster.write(name).await;
    for id in cluster.ids() {
        cluster.applied(id, revision).await;
    }
}

async fn reads(cluster: &Cluster, id: ServerId) -> Vec<String> {
    names(&cluster.read(id).await)
}

#[tokio::test(flavor = "multi_thread", worker_threads = 1)]
async fn a_leader_without_room_hands_over_and_follows_again_once_it_has_some() {
    let Some((cluster, disks)) = cluster_on_small_disks().await else { return };
    cluster.write("before").await;
    let full = cluster.ready_leader().await;
    disk(&disks, full).fill();
    cluster.ready_leader_but(Some(full)).await;
    let revision = cluster.write_but(Some(full), "elsewhere").await;
    // Once the others have gone on without it, it still reads through them.
    eventually("it knows that its disk is full", || cluster.handle(full).status().disk.full).await;
    let later = cluster.write_but(Some(full), "later").await;
    assert!(revision < later);
    disk(&disks, full).make_room();
    eventually("it has room", || !cluster.handle(full).status().disk.full).await;
    cluster.applied(full, later).await;
    // A snapshot was due all the while and had no room.
    cluster.write("after").await;
    eventually("it takes a snapshot", || {
        let status = cluster.handle(full).status();
        status.snapshot_index > 0
    })
    .await;
    assert_eq!(reads(&cluster, full).await.len(), 4);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 1)]
async fn without_room_on_a_majority_writes_are_refused_with_the_reason_and_reads_go_on() {
    let Some((cluster, disks)) = cluster_on_small_disks().await else { return };
    write_everywhere(&cluster, "before").await;
    let full = [ServerId(1), ServerId(2)];
    full.iter().for_each(|id| disk(&disks, *id).fill());
    let refused = loop {
        let leader = cluster.ready_leader().await;
        let attempt = cluster.on(leader, async |handle| create(&handle, "refused").await).await;
        // Another answer may have been on its way when the disks filled.
        if let Err(ProposeError::DiskFull { servers }) = attempt {
            break servers;
        }
    };
    assert!(refused.iter().all(|id| full.contains(id)) && !refused.is_empty(), "{refused:?}");
    // Whoever missed an entry for want of room cannot serve reads behind it; the leader can.
    let leader = cluster.ready_leader().await;
    assert!(reads(&cluster, leader).await.contains(&"before".to_owned()));
    full.iter().for_each(|id| disk(&disks, *id).make_room());
    // Waits until a write passes; a refusal for full disks is one of the answers until then.
    loop {
        let leader = cluster.ready_leader().await;
        match cluster.on(leader, async |handle| create(&handle, "after").await).await {
            Ok(_) => break,
            Err(ProposeError::DiskFull { .. } | ProposeError::NotLeader { .. } | ProposeError::Timeout) => {}
            Err(error) => panic!("{error}"),
        }
    }
}

/// Fills the disk of a server that does not lead, once everybody has an object. The leader and the full one.
async fn with_a_full_follower(cluster: &Cluster, disks: &[SmallDisk]) -> (ServerId, ServerId) {
    write_everywhere(cluster, "before").await;
    let leader = cluster.ready_leader().await;
    let full = *cluster.ids().iter().find(|id| **id != leader).unwrap();
    disk(disks, full).fill();
    eventually("it knows that its disk is full", || cluster.handle(full).status().disk.full).await;
    (leader, full)
}

#[tokio::test(flavor = "multi_thread", worker_threads = 1)]
async fn a_server_without_room_votes_and_lets_a_new_leader_serve_reads() {
    let Some((mut cluster, disks)) = cluster_on_small_disks().await else { return };
    let (leader, full) = with_a_full_follower(&cluster, &disks).await;
    cluster.crash(leader);
    // Two of three are left, and one of them has no room: it must vote, and take the empty entry of the new term.
    let successor = cluster.ready_leader_but(Some(full)).await;
    assert_eq!(reads(&cluster, successor).await, ["before"]);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 1)]
async fn a_server_without_room_starts_again_and_follows() {
    let Some((mut cluster, disks)) = cluster_on_small_disks().await else { return };
    let (_, full) = with_a_full_follower(&cluster, &disks).await;
    cluster.crash(full);
    cluster.start(full).await;
    assert_eq!(reads(&cluster, full).await, ["before"]);
}
