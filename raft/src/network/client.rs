//! The calling side: what openraft asks of a peer, over the peer's one channel. An unreachable peer is always an
//! error, never an answer. Knows no storage but the files of snapshots.

use std::{
    collections::HashMap,
    sync::{
        Arc, Mutex, PoisonError,
        atomic::{AtomicU64, Ordering},
    },
    time::Duration,
};

use boss_base::clock::{Clock, SystemClock};
use boss_proto::{
    ids::{ClusterId, ServerId},
    raft::v1::{self, peer_client::PeerClient},
};
use bytes::{Bytes, BytesMut};
use futures_util::{Stream, StreamExt, stream};
use openraft::{
    OptionalSend, RaftNetworkFactory, RaftNetworkV2,
    base::{BoxFuture, BoxStream},
    errors::{NetworkError, RPCError, ReplicationClosed, StreamingError, Unreachable},
    network::RPCOption,
    raft::{
        AppendEntriesRequest, AppendEntriesResponse, SnapshotResponse, StreamAppendError, StreamAppendResult,
        TransferLeaderRequest, TransferLeaderResponse, VoteRequest, VoteResponse,
    },
};
use tokio::io::AsyncReadExt;
use tonic::{Code, Request, Status, metadata::AsciiMetadataValue, transport::Channel};

use super::{
    MESSAGE_BYTES_MAX, PeerDialer, SNAPSHOT_CHUNK_BYTES,
    convert::{
        append_result_from_proto, append_to_proto, transfer_to_proto, vote_request_to_proto, vote_response_from_proto,
    },
    metadata,
};
use crate::{
    codec::{log_id_to_proto, stored_membership_to_proto, vote_from_proto, vote_to_proto},
    metric_definitions::PEER_ROUND_TRIP_SECONDS,
    storage::{Published, SnapshotFile},
    types::{Address, Member, SnapshotMeta, TypeConfig, Vote},
};

/// A whole snapshot must have been taken over by the peer within it.
const SNAPSHOT_TIMEOUT: Duration = Duration::from_secs(15 * 60);
/// Chunks that are read ahead of the connection.
const SNAPSHOT_PARTS_AHEAD: usize = 4;

type Snapshot = openraft::type_config::alias::SnapshotOf<TypeConfig, SnapshotFile>;

/// Every peer's channel, made once and shared by all who call it. Clones share them.
#[derive(Clone)]
pub struct Peers {
    dialer: PeerDialer,
    cluster: AsciiMetadataValue,
    from: ServerId,
    /// The state that says which life of the cluster this server belongs to.
    published: Option<Published>,
    /// How long an append may stay without an answer: a disk may be slow, a peer that hangs must be given up.
    append_timeout: Duration,
    channels: Arc<Mutex<HashMap<ServerId, (Member, Channel)>>>,
    acknowledged: Arc<Mutex<HashMap<ServerId, Acknowledged>>>,
}

/// How far a peer has acknowledged this server's entries in one term.
#[derive(Debug, Clone, Copy, Default)]
struct Acknowledged {
    term: u64,
    index: u64,
}

impl Acknowledged {
    fn note(&mut self, term: u64, index: u64) {
        *self = if self.term == term { Self { term, index: index.max(self.index) } } else { Self { term, index } };
    }

    /// Whether a peer that finds no entry there has lost what it acknowledged.
    fn covers(&self, term: u64, index: u64) -> bool {
        self.term == term && self.index >= index
    }
}

/// The cluster's id cannot be sent as a header.
#[derive(Debug, thiserror::Error)]
#[error("the cluster id {0:?} has characters that no header can carry")]
pub struct BadClusterId(ClusterId);

impl Peers {
    /// Nobody is called yet.
    pub fn new(
        dialer: PeerDialer,
        cluster_id: &ClusterId,
        from: ServerId,
        append_timeout: Duration,
    ) -> Result<Self, BadClusterId> {
        let cluster = cluster_id.as_str().parse().map_err(|_| BadClusterId(cluster_id.clone()))?;
        let (channels, acknowledged) = (Arc::default(), Arc::default());
        Ok(Self { dialer, cluster, from, published: None, append_timeout, channels, acknowledged })
    }

    /// The same, saying which life of the cluster this server belongs to.
    #[must_use]
    pub fn of(self, published: Published) -> Self {
        Self { published: Some(published), ..self }
    }

    /// Asks the leader for an index that a read begun before this call may be answered from.
    pub(crate) async fn read_index(&self, leader: &Member, timeout: Duration) -> Result<u64, Status> {
        let mut peer = self.peer(leader);
        let (mut client, request) = peer.call(v1::ReadIndexRequest {})?;
        let answer = tokio::time::timeout(timeout, client.read_index(request)).await;
        Ok(answer.map_err(|_| Status::deadline_exceeded("the leader did not answer"))??.into_inner().index)
    }

    /// Asks a server what it knows of itself.
    pub(crate) async fn describe(&self, member: &Member, timeout: Duration) -> Result<v1::DescribeResponse, Status> {
        let mut peer = self.peer(member);
        let (mut client, request) = peer.call(v1::DescribeRequest {})?;
        let answer = tokio::time::timeout(timeout, client.describe(request)).await;
        Ok(answer.map_err(|_| Status::deadline_exceeded("the server did not answer"))??.into_inner())
    }

    fn peer(&self, member: &Member) -> Peer {
        Peer { peers: self.clone(), member: member.clone(), client: None, heartbeats: false }
    }

    /// What the core may hear. It falls over a peer that denies what it acknowledged, and with it would every leader
    /// in turn; such a peer counts as unreachable until it is replaced.
    fn believe(
        &self,
        peer: ServerId,
        term: u64,
        result: StreamAppendResult<TypeConfig>,
    ) -> Result<StreamAppendResult<TypeConfig>, RPCError<TypeConfig>> {
        let mut acknowledged = self.acknowledged.lock().unwrap_or_else(PoisonError::into_inner);
        let known = acknowledged.entry(peer).or_default();
        match &result {
            Ok(Some(matching)) => known.note(term, matching.index),
            Err(StreamAppendError::Conflict(id)) if known.covers(term, id.index) => {
                tracing::error!(
                    %peer, acknowledged = known.index, denied = id.index,
                    "a server has lost entries that it acknowledged; replace it under a fresh id"
                );
                return Err(unreachable("the peer has lost its log"));
            }
            Ok(None) | Err(_) => {}
        }
        Ok(result)
    }

    fn channel(&self, member: &Member) -> Result<Channel, Status> {
        let mut channels = self.channels.lock().unwrap_or_else(PoisonError::into_inner);
        if let Some((known, channel)) = channels.get(&member.id)
            && known == member
        {
            return Ok(channel.clone());
        }
        let channel = self.dialer.dial(member).map_err(|error| Status::unavailable(error.to_string()))?;
        channels.insert(member.id, (member.clone(), channel.clone()));
        Ok(channel)
    }
}

impl RaftNetworkFactory<TypeConfig> for Peers {
    type Network = Peer;

    async fn new_client(&mut self, target: u64, node: &Address) -> Peer {
        self.peer(&Member::new(target, node.clone()))
    }

    async fn new_heartbeat_client(&mut self, target: u64, node: &Address) -> Peer {
        Peer { heartbeats: true, ..self.peer(&Member::new(target, node.clone())) }
    }
}

/// One peer as openraft sees it.
pub struct Peer {
    peers: Peers,
    member: Member,
    client: Option<PeerClient<Channel>>,
    /// What it sends are heartbeats and nothing else.
    heartbeats: bool,
}

impl Peer {
    /// A client and the request with the metadata that every call carries.
    fn call<T>(&mut self, message: T) -> Result<(PeerClient<Channel>, Request<T>), Status> {
        let client = match &self.client {
            Some(client) => client.clone(),
            None => {
                let client = PeerClient::new(self.peers.channel(&self.member)?)
                    .max_decoding_message_size(MESSAGE_BYTES_MAX)
                    .max_encoding_message_size(MESSAGE_BYTES_MAX);
                self.client.insert(client).clone()
            }
        };
        let mut request = Request::new(message);
        let headers = request.metadata_mut();
        headers.insert(metadata::CLUSTER, self.peers.cluster.clone());
        headers.insert(metadata::FROM, self.peers.from.0.into());
        headers.insert(metadata::TO, self.member.id.0.into());
        if let Some(incarnation) = self.peers.published.as_ref().and_then(Published::incarnation) {
            let text = incarnation.to_string().parse().expect("hexadecimal digits are ASCII");
            headers.insert(metadata::INCARNATION, text);
        }
        Ok((client, request))
    }

    async fn ask_vote(
        &mut self,
        rpc: VoteRequest<TypeConfig>,
        preliminary: bool,
        option: RPCOption,
    ) -> Result<VoteResponse<TypeConfig>, RPCError<TypeConfig>> {
        let (mut client, request) = self.call(vote_request_to_proto(&rpc, preliminary)).map_err(failed)?;
        let answer = within(option.hard_ttl(), client.request_vote(request)).await?;
        vote_response_from_proto(answer.into_inner()).map_err(nonsense)
    }
}

impl RaftNetworkV2<TypeConfig> for Peer {
    type SnapshotData = SnapshotFile;

    async fn append_entries(
        &mut self,
        rpc: AppendEntriesRequest<TypeConfig>,
        option: RPCOption,
    ) -> Result<AppendEntriesResponse<TypeConfig>, RPCError<TypeConfig>> {
        let (peer, began) = (self.member.id, SystemClock.monotonic());
        let mut answers = self.stream_append(stream::iter([rpc]), option).await?;
        match answers.next().await {
            Some(answer) => {
                let took = SystemClock.monotonic().saturating_sub(began);
                metrics::histogram!(PEER_ROUND_TRIP_SECONDS, "peer" => peer.to_string()).record(took.as_secs_f64());
                Ok(AppendEntriesResponse::from(answer?))
            }
            None => Err(unreachable("the peer closed the stream")),
        }
    }

    fn stream_append<'s, S>(
        &'s mut self,
        input: S,
        _option: RPCOption,
    ) -> BoxFuture<
        's,
        Result<BoxStream<'s, Result<StreamAppendResult<TypeConfig>, RPCError<TypeConfig>>>, RPCError<TypeConfig>>,
    >
    where
        S: Stream<Item = AppendEntriesRequest<TypeConfig>> + OptionalSend + Unpin + 'static,
    {
        let sent = Arc::new(AtomicU64::new(0));
        let counted = Arc::clone(&sent);
        let heartbeats = self.heartbeats;
        let timeout = self.peers.append_timeout;
        Box::pin(async move {
            let mut input = input;
            // Taken before the call: openraft waits out its back-off while it makes a request, and a call to a peer
            // that is not there ends before it asks for one.
            let Some(first) = input.next().await else { return Ok(Box::pin(stream::empty()) as BoxStream<'s, _>) };
            let (peers, peer, term) = (self.peers.clone(), self.member.id, first.vote.leader_id.term);
            let requests = stream::iter([first]).chain(input).map(move |request| {
                counted.fetch_add(1, Ordering::Relaxed);
                append_to_proto(&request, heartbeats)
            });
            let (mut client, request) = self.call(requests).map_err(failed)?;
            let answers = within(timeout, client.append(request)).await?.into_inner();
            let waiting = Answers { answers, sent, received: 0, timeout, peers, peer, term };
            let results = stream::unfold(Some(waiting), |waiting| async move {
                let mut waiting = waiting?;
                let result = waiting.next().await?;
                // After an error, whichever, nothing that follows can be told what it answers.
                let goes_on = matches!(result, Ok(Ok(_)));
                Some((result, goes_on.then_some(waiting)))
            });
            Ok(Box::pin(results) as BoxStream<'s, _>)
        })
    }

    async fn vote(
        &mut self,
        rpc: VoteRequest<TypeConfig>,
        option: RPCOption,
    ) -> Result<VoteResponse<TypeConfig>, RPCError<TypeConfig>> {
        self.ask_vote(rpc, false, option).await
    }

    async fn pre_vote(
        &mut self,
        rpc: VoteRequest<TypeConfig>,
        option: RPCOption,
    ) -> Result<VoteResponse<TypeConfig>, RPCError<TypeConfig>> {
        self.ask_vote(rpc, true, option).await
    }

    async fn full_snapshot(
        &mut self,
        vote: Vote,
        snapshot: Snapshot,
        cancel: impl Future<Output = ReplicationClosed> + OptionalSend + 'static,
        _option: RPCOption,
    ) -> Result<SnapshotResponse<TypeConfig>, StreamingError<TypeConfig>> {
        let (parts, receiver) = tokio::sync::mpsc::channel(SNAPSHOT_PARTS_AHEAD);
        let (mut client, request) = self.call(tokio_stream::wrappers::ReceiverStream::new(receiver)).map_err(failed)?;
        let (peers, peer, covered) = (self.peers.clone(), self.member.id, snapshot.meta.last_log_id);
        let sent_vote = vote;
        let source = SnapshotSource { vote, meta: snapshot.meta, file: snapshot.snapshot };
        let install = async {
            // The call ends first when the peer refuses; then what is left of the file is of no use.
            let (sent, answer) = tokio::join!(source.send(parts), client.install_snapshot(request));
            sent.map_err(|error| StreamingError::from(NetworkError::new(&error)))?;
            let answer = answer.map_err(failed)?.into_inner();
            let vote = answer.vote.ok_or_else(|| nonsense(crate::codec::BadMessage::Missing("vote")))?;
            let answered = vote_from_proto(vote);
            if answered == sent_vote {
                peers.believe(peer, sent_vote.leader_id.term, Ok(covered)).map(drop)?;
            }
            Ok(SnapshotResponse::new(answered))
        };
        tokio::select! {
            closed = cancel => Err(StreamingError::Closed(closed)),
            result = tokio::time::timeout(SNAPSHOT_TIMEOUT, install) => {
                result.unwrap_or_else(|_| Err(unreachable("the peer did not take the snapshot in time").into()))
            }
        }
    }

    async fn transfer_leader(
        &mut self,
        req: TransferLeaderRequest<TypeConfig>,
        option: RPCOption,
    ) -> Result<TransferLeaderResponse<TypeConfig>, RPCError<TypeConfig>> {
        let (mut client, request) = self.call(transfer_to_proto(&req)).map_err(failed)?;
        // The peer waits until its log is durable before it answers.
        let answer = within(option.hard_ttl().max(self.peers.append_timeout), client.transfer_leader(request)).await?;
        match answer.into_inner().refusal {
            refusal if refusal.is_empty() => Ok(Ok(())),
            refusal => Err(RPCError::Network(NetworkError::from_string(refusal))),
        }
    }
}

/// The answers of one stream of appends; notices a peer that takes requests and does not answer.
struct Answers {
    answers: tonic::Streaming<v1::AppendResponse>,
    sent: Arc<AtomicU64>,
    received: u64,
    timeout: Duration,
    peers: Peers,
    peer: ServerId,
    term: u64,
}

impl Answers {
    async fn next(&mut self) -> Option<Result<StreamAppendResult<TypeConfig>, RPCError<TypeConfig>>> {
        let answer = loop {
            let sent_before = self.sent.load(Ordering::Relaxed);
            match tokio::time::timeout(self.timeout, self.answers.message()).await {
                Ok(answer) => break answer,
                // An idle stream is quiet on both sides.
                Err(_) if sent_before <= self.received => {}
                Err(_) => return Some(Err(unreachable("the peer did not answer in time"))),
            }
        };
        self.received += 1;
        match answer {
            Ok(Some(answer)) => Some(
                append_result_from_proto(answer)
                    .map_err(nonsense)
                    .and_then(|result| self.peers.believe(self.peer, self.term, result)),
            ),
            Ok(None) => None,
            Err(status) => Some(Err(failed(status))),
        }
    }
}

/// A snapshot on its way out.
struct SnapshotSource {
    vote: Vote,
    meta: SnapshotMeta,
    file: SnapshotFile,
}

impl SnapshotSource {
    /// Sends everything, or stops early when the other side has gone.
    async fn send(self, parts: tokio::sync::mpsc::Sender<v1::SnapshotPart>) -> std::io::Result<()> {
        let mut file = self.file.open().await?;
        if send_part(&parts, v1::snapshot_part::Part::Header(self.header())).await.is_none() {
            return Ok(());
        }
        let (mut bytes, mut checksum) = (0, crc32fast::Hasher::new());
        loop {
            let mut chunk = BytesMut::with_capacity(SNAPSHOT_CHUNK_BYTES);
            if file.read_buf(&mut chunk).await? == 0 {
                break;
            }
            let chunk: Bytes = chunk.freeze();
            bytes += chunk.len() as u64;
            checksum.update(&chunk);
            if send_part(&parts, v1::snapshot_part::Part::Chunk(chunk)).await.is_none() {
                return Ok(());
            }
        }
        let trailer = v1::SnapshotTrailer { bytes, crc32: checksum.finalize() };
        send_part(&parts, v1::snapshot_part::Part::Trailer(trailer)).await;
        Ok(())
    }

    fn header(&self) -> v1::SnapshotHeader {
        v1::SnapshotHeader {
            vote: Some(vote_to_proto(&self.vote)),
            last_log_id: self.meta.last_log_id.as_ref().map(log_id_to_proto),
            membership: Some(stored_membership_to_proto(&self.meta.last_membership)),
            bytes: self.file.len(),
            offset: 0,
        }
    }
}

/// `None` when nobody takes parts any more.
async fn send_part(parts: &tokio::sync::mpsc::Sender<v1::SnapshotPart>, part: v1::snapshot_part::Part) -> Option<()> {
    parts.send(v1::SnapshotPart { part: Some(part) }).await.ok()
}

async fn within<T>(
    timeout: Duration,
    call: impl Future<Output = Result<T, Status>>,
) -> Result<T, RPCError<TypeConfig>> {
    match tokio::time::timeout(timeout, call).await {
        Ok(answer) => answer.map_err(failed),
        Err(_) => Err(unreachable("the peer did not answer in time")),
    }
}

/// A peer that is not there, or not the one, is left alone for a while; anything else is tried again at once.
fn failed(status: Status) -> RPCError<TypeConfig> {
    match status.code() {
        Code::Unavailable | Code::PermissionDenied | Code::Unauthenticated | Code::FailedPrecondition => {
            unreachable(status)
        }
        _ => RPCError::Network(NetworkError::new(&status)),
    }
}

fn unreachable(reason: impl ToString) -> RPCError<TypeConfig> {
    RPCError::Unreachable(Unreachable::from_string(reason))
}

fn nonsense(error: crate::codec::BadMessage) -> RPCError<TypeConfig> {
    RPCError::Network(NetworkError::new(&error))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::types::LogId;

    fn peers() -> Peers {
        let dialer = PeerDialer::new(|member| {
            Err(super::super::DialError { peer: member.peer.clone(), problem: "nobody is called".to_owned() })
        });
        Peers::new(dialer, &"c1".into(), ServerId(1), Duration::from_secs(1)).unwrap()
    }

    #[test]
    fn a_peer_that_denies_what_it_acknowledged_counts_as_unreachable() {
        let (peers, peer) = (peers(), ServerId(2));
        let at = |index| LogId::new_term_index(3, index);
        let conflict = |index| Err(StreamAppendError::Conflict(at(index)));
        assert!(peers.believe(peer, 3, conflict(9)).is_ok());
        assert!(peers.believe(peer, 3, Ok(Some(at(7)))).is_ok());
        assert!(peers.believe(peer, 3, conflict(9)).is_ok());
        assert!(matches!(peers.believe(peer, 3, conflict(7)), Err(RPCError::Unreachable(_))));
        assert!(peers.believe(ServerId(3), 3, conflict(7)).is_ok());
        // In another term it may have been made to forget it.
        assert!(peers.believe(peer, 5, conflict(7)).is_ok());
    }
}
