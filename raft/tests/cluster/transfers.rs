//! Snapshots on their way to a server that lost the log before them: cut off, mixed up, two at once, without room.

#![expect(clippy::disallowed_methods, reason = "the call ends with the test, whose result it is")]

use std::{fs, time::Duration};

use boss_proto::{
    ids::{Revision, ServerId},
    raft::v1::{
        LogId, Member as WireMember, Membership, SnapshotHeader, SnapshotPart, SnapshotTrailer, StoredMembership, Vote,
        Voters, peer_client::PeerClient, snapshot_part::Part,
    },
};
use boss_raft::{Handle, Member, PeerDialer, server_uri};
use tokio::sync::mpsc;
use tokio_stream::wrappers::ReceiverStream;
use tonic::{Code, Request, Status, transport::Channel};

use crate::{
    full_disks::SmallDisk,
    harness::{Cluster, cluster_id, create_with, eventually, names},
};

const SENDER: ServerId = ServerId(1);
const RECEIVER: ServerId = ServerId(2);
const CHUNK_BYTES: usize = 100_000;

/// A snapshot of a cluster of one, in the hands of a test that sends it to a server that has nothing.
struct Sender {
    header: SnapshotHeader,
    bytes: Vec<u8>,
    client: PeerClient<Channel>,
}

/// Letters and digits in an order that cannot be packed, from a seed.
fn noise(mut seed: u64, bytes: usize) -> String {
    let next = || {
        seed = seed.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1_442_695_040_888_963_407);
        char::from_digit(u32::try_from(seed >> 59).unwrap(), 36).unwrap()
    };
    std::iter::repeat_with(next).take(bytes).collect()
}

/// Writes that make a snapshot of about a megabyte for each twenty.
async fn write_much(cluster: &Cluster, count: u64) -> Revision {
    let mut last = Revision::ZERO;
    for seed in 0..count {
        last = loop {
            let (leader, note) = (cluster.ready_leader().await, Some(noise(seed, 60_000)));
            let write = async move |handle: Handle| create_with(&handle, &format!("n{seed}"), note).await;
            // The leader may change on a busy machine.
            if let Ok(revision) = cluster.on(leader, write).await {
                break revision;
            }
        };
    }
    last
}

async fn sender(cluster: &Cluster) -> Sender {
    let (bytes, status) = cluster
        .on(SENDER, async |handle| {
            let mut saved = handle.save_snapshot().await.unwrap();
            let mut bytes = Vec::new();
            while let Some(chunk) =
                Some(saved.file.read_chunk(1 << 20).await.unwrap()).filter(|chunk| !chunk.is_empty())
            {
                bytes.extend(chunk);
            }
            (bytes, (saved.index, handle.status().term))
        })
        .await;
    let (index, term) = status;
    let member = &cluster.members[0];
    let this = WireMember {
        id: SENDER.0,
        name: member.name.clone(),
        peer_address: member.peer.clone(),
        api_address: member.api.clone(),
        storage_id: String::new(),
    };
    let membership = Membership { configs: vec![Voters { ids: vec![SENDER.0] }], members: vec![this] };
    let header = SnapshotHeader {
        vote: Some(Vote { term, server_id: SENDER.0, committed: true }),
        last_log_id: Some(LogId { term, index }),
        membership: Some(StoredMembership { log_id: Some(LogId { term: 0, index: 0 }), membership: Some(membership) }),
        bytes: bytes.len() as u64,
        offset: 0,
    };
    let identity = cluster.identity(SENDER, &server_uri(&cluster_id(), SENDER));
    let receiver: &Member = cluster.members.last().unwrap();
    let client = PeerClient::new(PeerDialer::tls(identity, cluster_id()).dial(receiver).unwrap());
    Sender { header, bytes, client }
}

fn request<T>(message: T) -> Request<T> {
    let mut request = Request::new(message);
    request.metadata_mut().insert("boss-cluster-id", "test-cluster".parse().unwrap());
    request.metadata_mut().insert("boss-from-server", SENDER.0.into());
    request.metadata_mut().insert("boss-to-server", RECEIVER.0.into());
    request
}

fn part(part: Part) -> SnapshotPart {
    SnapshotPart { part: Some(part) }
}

impl Sender {
    async fn held(&self) -> u64 {
        loop {
            match self.client.clone().snapshot_progress(request(self.header.clone())).await {
                Ok(answer) => return answer.into_inner().offset,
                // The connection is made anew.
                Err(status) if status.code() == Code::Unavailable => tokio::task::yield_now().await,
                Err(status) => panic!("{status:?}"),
            }
        }
    }

    /// Begins a transfer: the way for its parts, and what becomes of it.
    fn begin(&self) -> (mpsc::Sender<SnapshotPart>, impl Future<Output = Result<(), Status>> + Send + 'static) {
        let (parts, receiver) = mpsc::channel(1);
        let mut client = self.client.clone();
        (parts, async move { client.install_snapshot(request(ReceiverStream::new(receiver))).await.map(drop) })
    }

    /// Sends from here to there; with a trailer when that is the end. The receiver may refuse in the middle.
    async fn send(&self, parts: mpsc::Sender<SnapshotPart>, from: usize, to: usize) {
        let header = SnapshotHeader { offset: from as u64, ..self.header.clone() };
        drop(parts.send(part(Part::Header(header))).await);
        for chunk in self.bytes[from..to].chunks(CHUNK_BYTES) {
            drop(parts.send(part(Part::Chunk(chunk.to_vec().into()))).await);
        }
        if to == self.bytes.len() {
            let trailer = SnapshotTrailer { bytes: to as u64, crc32: crc32fast::hash(&self.bytes) };
            drop(parts.send(part(Part::Trailer(trailer))).await);
        }
    }

    async fn transfer(&self, from: u64) -> Result<(), Status> {
        let (parts, answer) = self.begin();
        let from = usize::try_from(from).unwrap();
        tokio::join!(self.send(parts, from, self.bytes.len()), answer).1
    }

    /// The first half, and then the connection breaks. Returns what the receiver holds.
    async fn cut_off(&self, cluster: &Cluster) -> u64 {
        let (parts, answer) = self.begin();
        let answer = tokio::spawn(answer);
        self.send(parts.clone(), 0, self.bytes.len() / 2).await;
        eventually("something is there", || arrived_bytes(cluster) >= CHUNK_BYTES as u64).await;
        cluster.cut_off(RECEIVER);
        answer.await.unwrap().unwrap_err();
        cluster.heal();
        loop {
            match self.held().await {
                0 => tokio::time::sleep(Duration::from_millis(10)).await,
                held => return held,
            }
        }
    }
}

/// A cluster of one with a large state, and a server beside it that has nothing.
async fn two() -> Cluster {
    let mut cluster = Cluster::formed(1).await;
    write_much(&cluster, 20).await;
    cluster.start_another().await;
    cluster
}

async fn assert_has_all(cluster: &Cluster) {
    let handle = cluster.handle(RECEIVER);
    eventually("the state is there", || handle.view().len() == 20).await;
    assert_eq!(handle.status().state_hash, cluster.handle(SENDER).status().state_hash);
    eventually("nothing half received is left", || leftovers(cluster, RECEIVER).is_empty()).await;
}

/// How much of a snapshot lies in a file without a name.
fn arrived_bytes(cluster: &Cluster) -> u64 {
    let folder = cluster.data_dir(RECEIVER).join("snapshots");
    leftovers(cluster, RECEIVER)
        .iter()
        .filter_map(|name| fs::metadata(folder.join(name)).ok())
        .map(|file| file.len())
        .sum()
}

fn leftovers(cluster: &Cluster, id: ServerId) -> Vec<String> {
    let entries = fs::read_dir(cluster.data_dir(id).join("snapshots")).into_iter().flatten();
    let names = entries.map(|entry| entry.unwrap().file_name().to_string_lossy().into_owned());
    names.filter(|name| !name.ends_with(".snapshot")).collect()
}

#[tokio::test(flavor = "multi_thread", worker_threads = 1)]
async fn a_transfer_that_was_cut_off_goes_on_where_it_was() {
    let cluster = two().await;
    let sender = sender(&cluster).await;
    assert_eq!(sender.held().await, 0);
    let held = sender.cut_off(&cluster).await;
    assert!(held >= CHUNK_BYTES as u64 && held < sender.bytes.len() as u64, "{held}");
    sender.transfer(held).await.unwrap();
    assert_has_all(&cluster).await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 1)]
async fn a_transfer_that_ends_early_goes_on_where_it_was() {
    let cluster = two().await;
    let sender = sender(&cluster).await;
    let (parts, answer) = sender.begin();
    let half = sender.bytes.len() / 2;
    let refused = tokio::join!(sender.send(parts, 0, half), answer).1.unwrap_err();
    assert_eq!(refused.code(), Code::InvalidArgument, "{refused:?}");
    assert_eq!(sender.held().await, half as u64);
    sender.transfer(half as u64).await.unwrap();
    assert_has_all(&cluster).await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 1)]
async fn what_was_held_of_one_file_is_not_taken_for_another() {
    let cluster = two().await;
    let mut sender = sender(&cluster).await;
    let held = sender.cut_off(&cluster).await;
    sender.header.bytes += 1;
    assert_eq!(sender.held().await, 0, "a file of another size");
    let refused = sender.transfer(held).await.unwrap_err();
    assert_eq!(refused.code(), Code::FailedPrecondition, "{refused:?}");
    sender.header.bytes -= 1;
    let refused = sender.transfer(held - 1).await.unwrap_err();
    assert_eq!(refused.code(), Code::FailedPrecondition, "{refused:?}");
    sender.transfer(0).await.unwrap();
    assert_has_all(&cluster).await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 1)]
async fn a_resumed_transfer_with_other_bytes_is_refused_and_begins_anew() {
    let cluster = two().await;
    let mut sender = sender(&cluster).await;
    let held = sender.cut_off(&cluster).await;
    // As if the sender had packed the state anew: the part that is there does not fit the rest.
    let first = sender.bytes[0];
    sender.bytes[0] ^= 0xff;
    sender.transfer(held).await.unwrap_err();
    sender.bytes[0] = first;
    assert_eq!(sender.held().await, 0, "what did not fit is gone");
    assert_eq!(leftovers(&cluster, RECEIVER), Vec::<String>::new());
    sender.transfer(0).await.unwrap();
    assert_has_all(&cluster).await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 1)]
async fn two_transfers_at_once_leave_one_state_and_no_file_behind() {
    let cluster = two().await;
    let sender = sender(&cluster).await;
    let (one, two) = tokio::join!(sender.transfer(0), sender.transfer(0));
    one.unwrap();
    two.unwrap();
    assert_has_all(&cluster).await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 1)]
async fn a_follower_whose_connections_break_again_and_again_gets_its_snapshot() {
    let mut cluster = Cluster::new(3);
    cluster.limits.snapshot_every_entries = 20;
    cluster.limits.keep_entries = 5;
    cluster.form().await;
    let leader = cluster.ready_leader().await;
    let away = cluster.ids().into_iter().find(|id| *id != leader).unwrap();
    cluster.crash(away);
    let last = write_much(&cluster, 40).await;
    let handle = cluster.leader_handle().await;
    eventually("the leader has purged", || handle.status().purged_index > 15).await;
    // The whole snapshot never fits through one connection.
    cluster.make_frail(away, 900_000);
    cluster.start(away).await;
    cluster.applied(away, last).await;
    assert_eq!(names(&cluster.handle(away).view()).len(), 40);
    cluster.heal();
    let last = cluster.write("after").await;
    cluster.applied(away, last).await;
    eventually("nothing half received is left", || leftovers(&cluster, away).is_empty()).await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 1)]
async fn a_disk_that_fills_up_ends_a_transfer_with_the_reason_and_it_begins_anew_with_room() {
    let mut cluster = Cluster::formed(1).await;
    write_much(&cluster, 20).await;
    let Some(disk) = SmallDisk::under(&cluster.data_dir(RECEIVER)) else { return };
    cluster.limits.disk_reserve_bytes = 1 << 20;
    cluster.start_another().await;
    let sender = sender(&cluster).await;
    let half = sender.bytes.len() / 2;
    let (parts, answer) = sender.begin();
    let answer = tokio::spawn(answer);
    sender.send(parts.clone(), 0, half).await;
    disk.fill();
    for chunk in sender.bytes[half..].chunks(CHUNK_BYTES) {
        drop(parts.send(part(Part::Chunk(chunk.to_vec().into()))).await);
    }
    // As a trailer would come: whichever chunk met the full disk, the answer is there by now or after it.
    drop(parts);
    let refused = answer.await.unwrap().unwrap_err();
    assert_eq!(refused.code(), Code::ResourceExhausted, "{refused:?}");
    assert_eq!(leftovers(&cluster, RECEIVER), Vec::<String>::new());
    let refused = sender.transfer(0).await.unwrap_err();
    assert_eq!(refused.code(), Code::ResourceExhausted, "it does not fit: {refused:?}");
    assert_eq!(leftovers(&cluster, RECEIVER), Vec::<String>::new());
    disk.make_room();
    // The server looks at its disk now and then.
    while let Err(refused) = sender.transfer(0).await {
        assert_eq!(refused.code(), Code::ResourceExhausted, "{refused:?}");
        tokio::time::sleep(Duration::from_millis(50)).await;
    }
    assert_has_all(&cluster).await;
}
