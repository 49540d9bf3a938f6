//! The calling side: what openraft asks of a peer, over the peer's one channel. An unreachable peer is always an
//! error, never an answer. Knows no storage but the files of snapshots.

mod acknowledged;
mod append;
mod failure;
mod full_disks;
mod heartbeat;
pub(super) mod snapshot;

use std::{
    collections::{BTreeSet, HashMap},
    sync::{Arc, Mutex, PoisonError},
    time::Duration,
};

use boss_proto::{
    ids::{ClusterId, ServerId},
    raft::v1::{self, peer_client::PeerClient},
};
use futures_util::{Stream, StreamExt, stream};
use openraft::{
    OptionalSend, RaftNetworkFactory, RaftNetworkV2,
    base::{BoxFuture, BoxStream},
    errors::{NetworkError, RPCError, ReplicationClosed, StreamingError},
    network::RPCOption,
    raft::{
        AppendEntriesRequest, AppendEntriesResponse, SnapshotResponse, StreamAppendResult, TransferLeaderRequest,
        TransferLeaderResponse, VoteRequest, VoteResponse,
    },
};
use tonic::{Request, Status, metadata::AsciiMetadataValue, transport::Channel};

use self::{
    acknowledged::Acknowledged,
    failure::{failed, nonsense, unreachable, within},
    full_disks::FullDisks,
    heartbeat::Line,
    snapshot::Snapshot,
};
use super::{
    MESSAGE_BYTES_MAX, PeerDialer,
    convert::{transfer_to_proto, vote_request_to_proto, vote_response_from_proto},
    metadata,
    roster::Roster,
};
use crate::{
    codec::mark_to_proto,
    failpoints::failpoint,
    storage::{Mark, Published, SnapshotFile},
    types::{Address, Member, TypeConfig, Vote},
};

/// What openraft hears as the answer to one append.
type AppendResult = Result<StreamAppendResult<TypeConfig>, RPCError<TypeConfig>>;

/// Every peer's channel, made once and shared by all who call it. Clones share them.
#[derive(Clone)]
pub struct Peers {
    dialer: PeerDialer,
    cluster: AsciiMetadataValue,
    from: ServerId,
    /// The state that says which life of the cluster this server belongs to.
    published: Option<Published>,
    roster: Roster,
    /// How long an append may stay without an answer: a disk may be slow, a peer that hangs must be given up.
    append_timeout: Duration,
    channels: Arc<Mutex<HashMap<ServerId, (Member, Channel)>>>,
    acknowledged: Acknowledged,
    full: FullDisks,
}

/// The cluster's id cannot be sent as a header.
#[derive(Debug, thiserror::Error)]
#[error("the cluster id {0:?} has characters that no header can carry")]
pub struct BadClusterId(ClusterId);

impl Peers {
    /// Nobody is called yet.
    pub(crate) fn new(
        dialer: PeerDialer,
        cluster_id: &ClusterId,
        from: ServerId,
        append_timeout: Duration,
        roster: Roster,
    ) -> Result<Self, BadClusterId> {
        let cluster = cluster_id.as_str().parse().map_err(|_| BadClusterId(cluster_id.clone()))?;
        let (channels, acknowledged) = (Arc::default(), Acknowledged::default());
        let full = FullDisks::default();
        Ok(Self { dialer, cluster, from, published: None, roster, append_timeout, channels, acknowledged, full })
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
        let answer = answer.map_err(|_| failure::late("the leader did not answer"))?;
        Ok(answer.inspect_err(|status| self.roster.heed(leader.id, status))?.into_inner().index)
    }

    /// Asks a server what it knows of itself.
    pub(crate) async fn describe(&self, member: &Member, timeout: Duration) -> Result<v1::DescribeResponse, Status> {
        let mut peer = self.peer(member);
        let (mut client, request) = peer.call(v1::DescribeRequest {})?;
        let answer = tokio::time::timeout(timeout, client.describe(request)).await;
        let answer = answer.map_err(|_| failure::late("the server did not answer"))?;
        Ok(answer.inspect_err(|status| self.roster.heed(member.id, status))?.into_inner())
    }

    /// The hashes that a server has noted, once it has reached the entry.
    pub(crate) async fn state_hashes(
        &self,
        member: &Member,
        index: u64,
        timeout: Duration,
    ) -> Result<v1::StateHashesResponse, Status> {
        let mut peer = self.peer(member);
        let (mut client, request) = peer.call(v1::StateHashesRequest { wait_for_index: index })?;
        let answer = tokio::time::timeout(timeout, client.state_hashes(request)).await;
        Ok(answer.map_err(|_| failure::late("the server did not answer"))??.into_inner())
    }

    /// Tells a server that its state differs from that of a majority, and who has theirs.
    pub(crate) async fn step_aside(
        &self,
        member: &Member,
        agreed: Mark,
        donors: &[ServerId],
        timeout: Duration,
    ) -> Result<(), Status> {
        let mut peer = self.peer(member);
        let donors = donors.iter().map(|id| id.0).collect();
        let message = v1::StepAsideRequest { agreed: Some(mark_to_proto(&agreed)), donors };
        let (mut client, request) = peer.call(message)?;
        let answer = tokio::time::timeout(timeout, client.step_aside(request)).await;
        answer.map_err(|_| failure::late("the server did not answer"))?.map(drop)
    }

    /// A snapshot of a server's state that reaches at least to the entry.
    pub(crate) async fn fetch_snapshot(
        &self,
        member: &Member,
        min_index: u64,
    ) -> Result<tonic::Streaming<v1::SnapshotPart>, Status> {
        let mut peer = self.peer(member);
        let (mut client, request) = peer.call(v1::FetchSnapshotRequest { min_index })?;
        Ok(client.fetch_snapshot(request).await?.into_inner())
    }

    /// The peers that take no commands for want of room, as far as this server, leading, has heard.
    pub(crate) fn full_disks(&self) -> BTreeSet<ServerId> {
        self.full.all()
    }

    fn peer(&self, member: &Member) -> Peer {
        Peer { peers: self.clone(), member: member.clone(), client: None, purpose: Purpose::Anything, line: None }
    }

    fn channel(&self, member: &Member) -> Result<Channel, Status> {
        let mut channels = self.channels.lock().unwrap_or_else(PoisonError::into_inner);
        if let Some((known, channel)) = channels.get(&member.id)
            && known == member
        {
            return Ok(channel.clone());
        }
        let channel = self.dialer.dial(member).map_err(|error| failure::not_dialled(&error))?;
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
        Peer { purpose: Purpose::Heartbeats, ..self.peer(&Member::new(target, node.clone())) }
    }
}

/// One peer as openraft sees it. openraft makes one for replication and one for heartbeats in each term that this
/// server leads, so nothing that an earlier term asked is answered here.
pub struct Peer {
    peers: Peers,
    member: Member,
    client: Option<PeerClient<Channel>>,
    purpose: Purpose,
    /// What heartbeats ride on; none until the first one, and again after whatever went wrong.
    line: Option<Line>,
}

/// What openraft made a [`Peer`] for.
enum Purpose {
    Anything,
    /// Heartbeats and nothing else.
    Heartbeats,
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
        let folder = |id: &str| id.parse::<AsciiMetadataValue>().ok();
        if let Some(own) = folder(self.peers.roster.storage_id()) {
            headers.insert(metadata::FROM_FOLDER, own);
        }
        if let Some(expected) = self.peers.roster.folder_of(self.member.id).as_deref().and_then(folder) {
            headers.insert(metadata::TO_FOLDER, expected);
        }
        if let Some(incarnation) = self.peers.published.as_ref().and_then(Published::incarnation) {
            let text = incarnation.to_string().parse().expect("hexadecimal digits are ASCII");
            headers.insert(metadata::INCARNATION, text);
        }
        Ok((client, request))
    }

    /// A call whose refusal may mean that this server must end.
    async fn heeded<T>(&self, call: impl Future<Output = Result<T, Status>>) -> Result<T, Status> {
        call.await.inspect_err(|status| self.peers.roster.heed(self.member.id, status))
    }

    async fn ask_vote(
        &mut self,
        rpc: VoteRequest<TypeConfig>,
        preliminary: bool,
        option: RPCOption,
    ) -> Result<VoteResponse<TypeConfig>, RPCError<TypeConfig>> {
        let (mut client, request) = self.call(vote_request_to_proto(&rpc, preliminary)).map_err(failed)?;
        failpoint!("vote.asking");
        let answer = within(option.hard_ttl(), self.heeded(client.request_vote(request))).await?;
        failpoint!("vote.answered");
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
        let mut answers = self.stream_append(stream::iter([rpc]), option).await?;
        match answers.next().await {
            Some(answer) => Ok(AppendEntriesResponse::from(answer?)),
            None => Err(unreachable("the peer closed the stream")),
        }
    }

    fn stream_append<'s, S>(
        &'s mut self,
        input: S,
        _option: RPCOption,
    ) -> BoxFuture<'s, Result<BoxStream<'s, AppendResult>, RPCError<TypeConfig>>>
    where
        S: Stream<Item = AppendEntriesRequest<TypeConfig>> + OptionalSend + Unpin + 'static,
    {
        match self.purpose {
            Purpose::Anything => Box::pin(append::pipeline(self, input)),
            Purpose::Heartbeats => Box::pin(async { Ok(heartbeat::answers(self, input)) }),
        }
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
        snapshot::send(self, vote, snapshot, cancel).await
    }

    async fn transfer_leader(
        &mut self,
        req: TransferLeaderRequest<TypeConfig>,
        option: RPCOption,
    ) -> Result<TransferLeaderResponse<TypeConfig>, RPCError<TypeConfig>> {
        let (mut client, request) = self.call(transfer_to_proto(&req)).map_err(failed)?;
        // The peer waits until its log is durable before it answers.
        let timeout = option.hard_ttl().max(self.peers.append_timeout);
        let answer = within(timeout, self.heeded(client.transfer_leader(request))).await?;
        match answer.into_inner().refusal {
            refusal if refusal.is_empty() => Ok(Ok(())),
            refusal => Err(RPCError::Network(NetworkError::from_string(refusal))),
        }
    }
}
