//! The answering side: what peers may ask of this server. The one place of raft that makes gRPC statuses.
#![expect(clippy::disallowed_methods, reason = "this is the one place of raft that makes statuses")]

mod callers;
mod entries;
mod snapshots;

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
    ids::{ClusterId, ServerId},
    raft::v1::{self, peer_server},
};
use futures_util::{Stream, StreamExt, stream};
use openraft::{Raft, async_runtime::watch::WatchReceiver};
use tokio::sync::watch;
use tokio_util::sync::CancellationToken;
use tonic::{Request, Response, Status, Streaming};

pub use self::callers::{PeerId, PeerIdentity, Refused, server_uri};
use self::{
    callers::speaks_for_itself,
    entries::{answer, disk_full},
};
use super::{
    Contact, MESSAGE_BYTES_MAX,
    client::snapshot::{SNAPSHOT_PARTS_AHEAD, Source},
    convert::{transfer_from_proto, vote_request_from_proto, vote_response_to_proto},
    roster::Roster,
};
use crate::{
    codec::{BadMessage, log_id_from_proto, log_id_to_proto, mark_from_proto, mark_to_proto, vote_to_proto},
    disk::Room,
    handle::Handle,
    log::Log,
    reads::{Promise, Reads},
    storage::{Published, StateMachine, Transfer},
    types::{SnapshotMeta, TypeConfig, Vote},
};

/// Whoever asks for the hash at an entry does not wait longer for the answer either.
const HASH_WAIT_MAX: Duration = Duration::from_secs(4);

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

fn bad_message(error: BadMessage) -> Status {
    Status::invalid_argument(error.to_string())
}

fn stopped(error: impl std::error::Error) -> Status {
    Status::unavailable(format!("this server's consensus has stopped: {error}"))
}
