//! The answering side. Each call must come from the server that its certificate names, be of this cluster and be
//! meant for this server; a leader or candidate may only speak for itself. The one place of raft that makes gRPC
//! statuses.
#![expect(clippy::disallowed_methods, reason = "this is the one place of raft that makes statuses")]

use std::{
    future::ready,
    pin::Pin,
    sync::{
        Arc,
        atomic::{AtomicBool, Ordering},
    },
    time::Duration,
};

use boss_proto::{
    ids::{ClusterId, Incarnation, ServerId},
    raft::v1::{self, peer_server},
};
use futures_util::{Stream, StreamExt, stream};
use openraft::{
    EntryPayload, Raft,
    async_runtime::watch::WatchReceiver,
    errors::Fatal,
    raft::{AppendEntriesRequest, StreamAppendResult},
};
use tokio::sync::watch;
use tokio_util::sync::CancellationToken;
use tonic::{Extensions, Request, Response, Status, Streaming};

use super::{
    Contact, MESSAGE_BYTES_MAX,
    client::snapshot::{SNAPSHOT_PARTS_AHEAD, Source},
    convert::{
        append_from_proto, append_result_to_proto, transfer_from_proto, vote_request_from_proto, vote_response_to_proto,
    },
    metadata, read_incarnation,
    roster::{Roster, is_removed, mark_expelled},
};
use crate::{
    codec::{
        BadMessage, log_id_from_proto, log_id_to_proto, mark_from_proto, mark_to_proto, stored_membership_from_proto,
        vote_from_proto, vote_to_proto,
    },
    disk::{Room, says_full},
    handle::Handle,
    log::Log,
    metric_definitions::{APPENDS_REFUSED, PEER_CALLS_REFUSED, SNAPSHOTS_RESUMED},
    reads::{Promise, Reads},
    storage::{Incoming, Published, SnapshotFile, SnapshotReceiver, StateMachine, Transfer},
    types::{Entry, SnapshotMeta, TypeConfig, Vote},
};

/// Whoever asks for the hash at an entry does not wait longer for the answer either.
const HASH_WAIT_MAX: Duration = Duration::from_secs(4);

/// Who a peer's certificate says it is.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct PeerId {
    /// The cluster of the certificate.
    pub cluster_id: ClusterId,
    /// The server of the certificate.
    pub server_id: ServerId,
}

impl PeerId {
    /// Reads `boss://<cluster-id>/server/<id>`; `None` for the names of nodes, users and strangers.
    #[must_use]
    pub fn from_uri(uri: &str) -> Option<Self> {
        let (cluster, server) = uri.strip_prefix("boss://")?.split_once("/server/")?;
        let server_id = server.parse().ok()?;
        let id = Self { cluster_id: ClusterId::new(cluster), server_id };
        // Only one spelling: no leading zeros, no plus sign.
        (server_uri(&id.cluster_id, id.server_id) == uri).then_some(id)
    }

    /// From the certificate of the connection, for listeners of `boss_base::tls`.
    #[must_use]
    pub fn of_connection(extensions: &Extensions) -> Option<Self> {
        let certificate = extensions.get::<boss_base::tls::PeerInfo>()?.certificate.as_ref()?;
        certificate.uris.iter().find_map(|uri| Self::from_uri(uri))
    }
}

/// What a server's certificate carries as its name.
#[must_use]
pub fn server_uri(cluster_id: &ClusterId, server_id: ServerId) -> String {
    format!("boss://{cluster_id}/server/{server_id}")
}

/// Reads from a request's extensions who the caller's certificate says it is; `None` refuses the call.
pub type PeerIdentity = Arc<dyn Fn(&Extensions) -> Option<PeerId> + Send + Sync>;

/// Why a peer's call is refused.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum Refused {
    /// The connection has no certificate of a server.
    #[error("only servers may speak to peers")]
    NoServer,
    /// It says that it is another server than its certificate does.
    #[error("the certificate is of server {certificate}, the call of server {claimed}")]
    Impostor {
        /// By its certificate.
        certificate: ServerId,
        /// By what it says.
        claimed: ServerId,
    },
    /// It belongs to another cluster.
    #[error("the call is of another cluster; this one is {expected}")]
    WrongCluster {
        /// This cluster.
        expected: ClusterId,
    },
    /// It belongs to another life of the cluster: before or after a restore.
    #[error("the call is of incarnation {found} of the cluster; this server belongs to {expected}, since a restore")]
    WrongIncarnation {
        /// Of the caller.
        found: Incarnation,
        /// Of this server.
        expected: Incarnation,
    },
    /// The address has been given to another server since.
    #[error("the call is meant for server {meant}, this is server {this}")]
    WrongTarget {
        /// Whom the caller wants.
        meant: ServerId,
        /// Who this is.
        this: ServerId,
    },
    /// It was removed: whatever it wants, it is not for it to want.
    #[error("server {0} has been removed from the cluster; its id is never used again")]
    Removed(ServerId),
    /// It came back with another data folder: it has forgotten what it acknowledged.
    #[error(
        "server {0} has not the data folder by which the cluster knows it, so it may have forgotten what it \
         acknowledged: replace it by a server with a fresh id"
    )]
    OtherFolder(ServerId),
    /// This server came back with another data folder, and must not answer.
    #[error("this server, {0}, has not the data folder by which the cluster knows it: replace it")]
    FreshFolder(ServerId),
    /// A snapshot has no room here.
    #[error("the disk of this server is full")]
    DiskFull,
    /// A transfer is to go on where this server holds nothing of it.
    #[error("this server does not hold the first {offset} bytes of that snapshot: send it from its start")]
    NothingHeld {
        /// Where it was to go on.
        offset: u64,
    },
    /// A header is missing or no number.
    #[error("the header {0} is missing or malformed")]
    Header(&'static str),
}

impl From<Refused> for Status {
    fn from(refused: Refused) -> Self {
        metrics::counter!(PEER_CALLS_REFUSED).increment(1);
        match &refused {
            Refused::NoServer | Refused::Impostor { .. } => Status::permission_denied(refused.to_string()),
            Refused::Removed(_) | Refused::OtherFolder(_) => {
                mark_expelled(Status::permission_denied(refused.to_string()))
            }
            Refused::WrongCluster { .. }
            | Refused::WrongIncarnation { .. }
            | Refused::WrongTarget { .. }
            | Refused::NothingHeld { .. }
            | Refused::FreshFolder(_) => Status::failed_precondition(refused.to_string()),
            Refused::DiskFull => Status::resource_exhausted(refused.to_string()),
            Refused::Header(_) => Status::invalid_argument(refused.to_string()),
        }
    }
}

/// What the peer listener serves; see [`peer_server::PeerServer`].
#[derive(Clone)]
pub struct PeerService {
    pub(crate) cluster_id: ClusterId,
    pub(crate) server_id: ServerId,
    pub(crate) identity: PeerIdentity,
    pub(crate) raft: Raft<TypeConfig, StateMachine>,
    pub(crate) handle: Handle,
    pub(crate) published: Published,
    pub(crate) reads: Reads,
    pub(crate) promise: Promise,
    pub(crate) log: Log,
    pub(crate) roster: Roster,
    pub(crate) room: Room,
    /// Told when this server must not go on.
    pub(crate) failure: watch::Sender<Option<String>>,
    pub(crate) contact: Contact,
    /// Cancelled when this server stops: streams of peers end then, or they would keep its port for ever.
    pub(crate) stopping: CancellationToken,
}

impl PeerService {
    /// As a tonic service.
    #[must_use]
    pub fn into_server(self) -> peer_server::PeerServer<Self> {
        peer_server::PeerServer::new(self)
            .max_decoding_message_size(MESSAGE_BYTES_MAX)
            .max_encoding_message_size(MESSAGE_BYTES_MAX)
    }

    /// Who calls, once everything about the call agrees.
    fn admit<T>(&self, request: &Request<T>) -> Result<ServerId, Refused> {
        let text = |key| request.metadata().get(key).and_then(|value| value.to_str().ok());
        let number = |key| text(key).and_then(|value| value.parse().ok()).map(ServerId).ok_or(Refused::Header(key));
        let certificate = (self.identity)(request.extensions()).ok_or(Refused::NoServer)?;
        let wrong_cluster = Refused::WrongCluster { expected: self.cluster_id.clone() };
        let cluster = text(metadata::CLUSTER).ok_or(Refused::Header(metadata::CLUSTER))?;
        if certificate.cluster_id != self.cluster_id || cluster != self.cluster_id.as_str() {
            return Err(wrong_cluster);
        }
        let claimed = number(metadata::FROM)?;
        if certificate.server_id != claimed {
            return Err(Refused::Impostor { certificate: certificate.server_id, claimed });
        }
        if let (Some(found), Some(expected)) = (incarnation(request)?, self.published.incarnation())
            && found != expected
        {
            return Err(Refused::WrongIncarnation { found, expected });
        }
        let meant = number(metadata::TO)?;
        if meant != self.server_id {
            return Err(Refused::WrongTarget { meant, this: self.server_id });
        }
        if is_removed(&self.published.view(), claimed) {
            return Err(Refused::Removed(claimed));
        }
        if !self.roster.knows_folder(claimed, text(metadata::FROM_FOLDER)) {
            return Err(Refused::OtherFolder(claimed));
        }
        match text(metadata::TO_FOLDER) {
            Some(expected) if expected != self.roster.storage_id() => Err(self.stand_aside(claimed)),
            _ => Ok(claimed),
        }
    }

    /// A member knows this server by another data folder: this one is fresh, or of somebody else.
    fn stand_aside(&self, peer: ServerId) -> Refused {
        self.roster.expel(format!("{}; server {peer} says so", Refused::OtherFolder(self.server_id)));
        Refused::FreshFolder(self.server_id)
    }

    /// The request, or `None` with a line in the log that says why it is not taken.
    fn take(
        &self,
        message: Result<v1::AppendRequest, Status>,
        from: ServerId,
        refused: &AtomicBool,
    ) -> Option<AppendEntriesRequest<TypeConfig>> {
        let message = message.inspect_err(|status| tracing::debug!(%from, %status, "a peer's stream of entries ended"));
        let message = message.ok()?;
        let heartbeat = message.heartbeat;
        let request = append_from_proto(message)
            .inspect_err(|error| tracing::warn!(%from, %error, "a peer sent entries that cannot be read"))
            .ok()?;
        let honest = speaks_for_itself(&request.vote, from);
        honest.inspect_err(|error| tracing::warn!(%from, %error, "a peer sent entries of another leader")).ok()?;
        if heartbeat && let Some(lost) = self.lost_entries(&request) {
            self.failure.send_replace(Some(lost));
            return None;
        }
        if self.room.is_full() && request.entries.iter().any(|entry| self.needs_room(entry)) {
            metrics::counter!(APPENDS_REFUSED).increment(1);
            refused.store(true, Ordering::Relaxed);
            return None;
        }
        self.contact.note(from);
        Some(request)
    }

    /// Entries of consensus itself are few and find their place in what is left. A new leader begins by sending what
    /// this server has long had: refused, it could never commit the entry of its own term behind it.
    fn needs_room(&self, entry: &Entry) -> bool {
        matches!(entry.payload, EntryPayload::Normal(_)) && !self.log.holds(entry.log_id)
    }

    /// A leader that this server does not know to be deposed names an entry that this server once acknowledged and
    /// has no more: its disk lied or was replaced. It must not vote on what it has forgotten.
    fn lost_entries(&self, heartbeat: &AppendEntriesRequest<TypeConfig>) -> Option<String> {
        let acknowledged = heartbeat.prev_log_id?;
        let held = self.log.last().max(self.published.applied().borrow().log_id);
        let deposed = self.log.vote().is_some_and(|vote| vote > heartbeat.vote);
        if deposed || held.is_some_and(|held| held.index >= acknowledged.index) {
            return None;
        }
        Some(format!(
            "server {} has lost its log: it acknowledged entries up to {}, its log ends at {}. It must not vote any \
             more: remove it from the cluster and add it under a fresh id with an empty data folder",
            self.server_id,
            acknowledged.index,
            held.map_or(0, |held| held.index),
        ))
    }

    async fn receive(
        &self,
        mut parts: Streaming<v1::SnapshotPart>,
        from: ServerId,
    ) -> Result<(Vote, SnapshotMeta, SnapshotFile), Status> {
        use v1::snapshot_part::Part;
        let Some(Part::Header(header)) = next_part(&mut parts).await? else {
            return Err(Status::invalid_argument("a snapshot begins with its header"));
        };
        let (bytes, offset) = (header.bytes, header.offset);
        let (vote, meta) = snapshot_meta(header).map_err(bad_message)?;
        speaks_for_itself(&vote, from)?;
        let transfer = Transfer { from, last: meta.last_log_id, bytes };
        let receiver = self.begin_receiving(transfer, offset).await?;
        let mut incoming = Incoming::new(transfer, receiver, self.published.cut_off().clone());
        loop {
            match next_part(&mut parts).await? {
                Some(Part::Chunk(_)) if self.room.is_full() => {
                    incoming.discard();
                    return Err(Refused::DiskFull.into());
                }
                Some(Part::Chunk(chunk)) => incoming.write_chunk(&chunk).await.map_err(disk)?,
                Some(Part::Trailer(trailer)) => {
                    let file = incoming.finish(trailer.bytes, trailer.crc32).await.map_err(disk)?;
                    return Ok((vote, meta, file));
                }
                Some(Part::Header(_)) => return Err(Status::invalid_argument("a second header")),
                None => return Err(Status::invalid_argument("the snapshot ends before its trailer")),
            }
        }
    }

    /// From the start, or from where a transfer of the same file was cut off.
    async fn begin_receiving(&self, transfer: Transfer, offset: u64) -> Result<SnapshotReceiver, Status> {
        if offset > 0 {
            let mut kept = self.published.cut_off().take(transfer, offset).ok_or(Refused::NothingHeld { offset })?;
            kept.go_on().await.map_err(disk)?;
            metrics::counter!(SNAPSHOTS_RESUMED).increment(1);
            return Ok(kept);
        }
        if transfer.bytes > self.room.free_bytes() {
            return Err(Refused::DiskFull.into());
        }
        self.published.receive_snapshot().await.map_err(disk)
    }
}

/// The life of the cluster that the caller belongs to, if it says that it has one.
fn incarnation<T>(request: &Request<T>) -> Result<Option<Incarnation>, Refused> {
    let Some(value) = request.metadata().get(metadata::INCARNATION) else { return Ok(None) };
    let read = value.to_str().ok().and_then(read_incarnation);
    read.map(Some).ok_or(Refused::Header(metadata::INCARNATION))
}

async fn next_part(parts: &mut Streaming<v1::SnapshotPart>) -> Result<Option<v1::snapshot_part::Part>, Status> {
    Ok(parts.message().await?.and_then(|part| part.part))
}

fn snapshot_meta(header: v1::SnapshotHeader) -> Result<(Vote, SnapshotMeta), BadMessage> {
    let vote = vote_from_proto(header.vote.ok_or(BadMessage::Missing("vote"))?);
    let meta = SnapshotMeta {
        last_log_id: header.last_log_id.map(log_id_from_proto),
        last_membership: stored_membership_from_proto(header.membership.unwrap_or_default())?,
    };
    Ok((vote, meta))
}

/// A server leads or stands for election in its own name only.
fn speaks_for_itself(vote: &Vote, from: ServerId) -> Result<(), Refused> {
    let claimed = ServerId(vote.leader_id.voted_for);
    if claimed == from { Ok(()) } else { Err(Refused::Impostor { certificate: from, claimed }) }
}

type SnapshotParts = Pin<Box<dyn Stream<Item = Result<v1::SnapshotPart, Status>> + Send>>;
type Answers = Pin<Box<dyn Stream<Item = Result<v1::AppendResponse, Status>> + Send>>;

#[tonic::async_trait]
impl peer_server::Peer for PeerService {
    type AppendStream = Answers;

    async fn append(&self, request: Request<Streaming<v1::AppendRequest>>) -> Result<Response<Answers>, Status> {
        let from = self.admit(&request)?;
        // A message that cannot be read ends the stream; what came before it is answered.
        let this = self.clone();
        let refused = Arc::new(AtomicBool::new(false));
        let noted = Arc::clone(&refused);
        // Both directions end when this server stops: the core still holds on to the requests when it is gone, and a
        // leader that has nothing to say would hold the port open.
        let requests = request.into_inner().take_until(self.stopping.clone().cancelled_owned());
        let requests = requests.scan((), move |(), message| ready(this.take(message, from, &noted)));
        let room = self.room.clone();
        let results = self.raft.stream_append(requests).map(move |result| answer(result, room.is_full()));
        // Comes after the answers to all that was taken before.
        let refusal = stream::once(async move { refused.load(Ordering::Relaxed).then(|| Ok(disk_full())) });
        let stopping = self.stopping.clone().cancelled_owned();
        Ok(Response::new(Box::pin(results.chain(refusal.filter_map(ready)).take_until(stopping))))
    }

    async fn request_vote(&self, request: Request<v1::VoteRequest>) -> Result<Response<v1::VoteResponse>, Status> {
        let from = self.admit(&request)?;
        let message = request.into_inner();
        let preliminary = message.preliminary;
        let rpc = vote_request_from_proto(message).map_err(bad_message)?;
        speaks_for_itself(&rpc.vote, from)?;
        if self.promise.is_forgotten() {
            return Err(Status::unavailable("this server has just started and may have promised its vote to a leader"));
        }
        let answer = if preliminary { self.raft.pre_vote(rpc).await } else { self.raft.vote(rpc).await };
        Ok(Response::new(vote_response_to_proto(&answer.map_err(stopped)?)))
    }

    async fn install_snapshot(
        &self,
        request: Request<Streaming<v1::SnapshotPart>>,
    ) -> Result<Response<v1::SnapshotResponse>, Status> {
        let from = self.admit(&request)?;
        if self.room.is_full() {
            self.published.cut_off().clear();
            return Err(Refused::DiskFull.into());
        }
        let (vote, meta, snapshot) = self.receive(request.into_inner(), from).await?;
        tracing::info!(%from, bytes = snapshot.len(), "received a snapshot");
        let snapshot = openraft::Snapshot { meta, snapshot };
        let answer = self.raft.install_full_snapshot(vote, snapshot).await.map_err(stopped)?;
        Ok(Response::new(v1::SnapshotResponse { vote: Some(vote_to_proto(&answer.vote)) }))
    }

    async fn transfer_leader(
        &self,
        request: Request<v1::TransferLeaderRequest>,
    ) -> Result<Response<v1::TransferLeaderResponse>, Status> {
        let from = self.admit(&request)?;
        let rpc = transfer_from_proto(request.into_inner()).map_err(bad_message)?;
        speaks_for_itself(rpc.from_leader(), from)?;
        let answer = self.raft.handle_transfer_leader(rpc).await.map_err(stopped)?;
        let refusal = answer.err().map(|error| error.to_string()).unwrap_or_default();
        Ok(Response::new(v1::TransferLeaderResponse { refusal }))
    }

    async fn read_index(
        &self,
        request: Request<v1::ReadIndexRequest>,
    ) -> Result<Response<v1::ReadIndexResponse>, Status> {
        self.admit(&request)?;
        let index = self.reads.confirm_as_leader().await.map_err(|error| Status::unavailable(error.to_string()))?;
        Ok(Response::new(v1::ReadIndexResponse { index }))
    }

    async fn snapshot_progress(
        &self,
        request: Request<v1::SnapshotHeader>,
    ) -> Result<Response<v1::SnapshotProgressResponse>, Status> {
        let from = self.admit(&request)?;
        let header = request.into_inner();
        let transfer = Transfer { from, last: header.last_log_id.map(log_id_from_proto), bytes: header.bytes };
        Ok(Response::new(v1::SnapshotProgressResponse { offset: self.published.cut_off().received(transfer) }))
    }

    async fn state_hashes(
        &self,
        request: Request<v1::StateHashesRequest>,
    ) -> Result<Response<v1::StateHashesResponse>, Status> {
        self.admit(&request)?;
        let index = request.into_inner().wait_for_index;
        let mut applied = self.published.applied();
        let reached = applied.wait_for(|applied| applied.log_id.map_or(0, |id| id.index) >= index);
        // Without it the answer lacks what was asked for.
        drop(tokio::time::timeout(HASH_WAIT_MAX, reached).await);
        let marks = self.published.marks().iter().map(mark_to_proto).collect();
        Ok(Response::new(v1::StateHashesResponse { marks }))
    }

    async fn step_aside(
        &self,
        request: Request<v1::StepAsideRequest>,
    ) -> Result<Response<v1::StepAsideResponse>, Status> {
        let from = self.admit(&request)?;
        let agreed = request.into_inner().agreed.ok_or(BadMessage::Missing("agreed")).and_then(mark_from_proto);
        let agreed = agreed.map_err(bad_message)?;
        tracing::warn!(%from, index = agreed.log_id.index, "told that this server's state differs from a majority's");
        self.handle.told_to_step_aside(agreed);
        Ok(Response::new(v1::StepAsideResponse {}))
    }

    type FetchSnapshotStream = SnapshotParts;

    async fn fetch_snapshot(
        &self,
        request: Request<v1::FetchSnapshotRequest>,
    ) -> Result<Response<SnapshotParts>, Status> {
        let from = self.admit(&request)?;
        if let Some(reason) = self.handle.why_aside() {
            return Err(Status::unavailable(reason));
        }
        let file = self.handle.snapshot_at(request.into_inner().min_index).await;
        let file = file.map_err(|error| Status::unavailable(error.to_string()))?;
        tracing::info!(%from, bytes = file.len(), "a snapshot is fetched");
        let (parts, receiver) = tokio::sync::mpsc::channel(SNAPSHOT_PARTS_AHEAD);
        let source = Source { vote: Vote::new(0, self.server_id.0), meta: SnapshotMeta::default(), file, offset: 0 };
        self.handle.spawn("send-snapshot", async move {
            if let Err(error) = source.send(parts).await {
                // The receiver misses the trailer.
                tracing::warn!(%from, %error, "a snapshot could not be read to its end");
            }
        });
        Ok(Response::new(Box::pin(tokio_stream::wrappers::ReceiverStream::new(receiver).map(Ok))))
    }

    async fn describe(&self, request: Request<v1::DescribeRequest>) -> Result<Response<v1::DescribeResponse>, Status> {
        self.admit(&request)?;
        let formed = self.raft.is_initialized().await.map_err(stopped)?;
        let last_log_id = self.raft.data_metrics().borrow_watched().last_log;
        let vote = self.raft.server_metrics().borrow_watched().vote;
        let leader_id = self.raft.current_leader().await.unwrap_or_default();
        Ok(Response::new(v1::DescribeResponse {
            formed,
            term: vote.leader_id.term,
            leader_id,
            last_log_id: last_log_id.as_ref().map(log_id_to_proto),
            applied_index: self.published.applied().borrow().log_id.map_or(0, |id| id.index),
            storage_id: self.roster.storage_id().to_owned(),
        }))
    }
}

/// Blank entries and memberships are as small as votes, and without them no leader could serve reads.
fn answer(
    result: Result<StreamAppendResult<TypeConfig>, Fatal<TypeConfig>>,
    disk_full: bool,
) -> Result<v1::AppendResponse, Status> {
    let answer = result.map(|result| append_result_to_proto(&result)).map_err(stopped)?;
    Ok(v1::AppendResponse { disk_full, ..answer })
}

/// Refuses entries.
fn disk_full() -> v1::AppendResponse {
    v1::AppendResponse { result: None, disk_full: true }
}

fn bad_message(error: BadMessage) -> Status {
    Status::invalid_argument(error.to_string())
}

fn stopped(error: impl std::error::Error) -> Status {
    Status::unavailable(format!("this server's consensus has stopped: {error}"))
}

fn disk(error: std::io::Error) -> Status {
    if says_full(&error) {
        return Refused::DiskFull.into();
    }
    Status::internal(format!("the snapshot cannot be stored: {error}"))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_the_names_of_servers_are_read_as_servers() {
        let id = |uri: &str| PeerId::from_uri(uri).map(|id| (id.cluster_id.to_string(), id.server_id.0));
        assert_eq!(id("boss://c1/server/3"), Some(("c1".to_owned(), 3)));
        for other in [
            "boss://c1/node/3",
            "boss://c1/user/server",
            "boss://c1/server/",
            "boss://c1/server/03",
            "boss://c1/server/+3",
            "boss://c1/server/3/",
            "https://c1/server/3",
        ] {
            assert_eq!(id(other), None, "{other}");
        }
    }

    #[test]
    fn a_server_speaks_for_itself_only() {
        assert!(speaks_for_itself(&Vote::new_committed(4, 2), ServerId(2)).is_ok());
        let refused = speaks_for_itself(&Vote::new_committed(4, 2), ServerId(3));
        assert_eq!(refused, Err(Refused::Impostor { certificate: ServerId(3), claimed: ServerId(2) }));
    }
}
