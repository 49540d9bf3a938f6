//! The state of the control plane itself. Answers also when nobody leads: that is when people ask.

use std::time::Duration;

use boss_base::files::AsyncFile;
use boss_proto::{
    ids::ClusterId,
    key::Key,
    peer::v1::DescribeRequest,
    v1::{
        self, AuditState, CheckHashesRequest, CheckHashesResponse, ClusterStatusRequest, ClusterStatusResponse,
        MembersRequest, MembersResponse, SaveSnapshotRequest, SaveSnapshotResponse, SavedSnapshot, ServerStatus,
        cluster_server::Cluster, save_snapshot_response::Part,
    },
};
use boss_raft::{Handle, Member, Role, SnapshotError, state::rbac::Attributes};
use futures_util::{StreamExt, future::join_all};
use prost::Message;
use tonic::{Request, Response, Status};

use super::{
    Error,
    doors::{CLUSTER_SNAPSHOT_PATH, CLUSTER_STATUS_PATH},
};
use crate::{
    admission::authorize,
    auth::Identity,
    members::{Call, Members},
    writes::Peers,
};

/// A server that has not described itself by then is shown as unreachable.
const DESCRIBE_TIMEOUT: Duration = Duration::from_secs(1);

/// A piece of a snapshot on its way out.
const SNAPSHOT_CHUNK_BYTES: usize = 256 * 1024;

/// Serves the state of the control plane.
#[derive(Clone)]
pub struct ClusterService {
    cluster_id: ClusterId,
    raft: Handle,
    peers: Peers,
    members: Members,
}

impl ClusterService {
    /// The service of one server.
    #[must_use]
    pub fn new(cluster_id: ClusterId, raft: Handle, peers: Peers, members: Members) -> Self {
        Self { cluster_id, raft, peers, members }
    }

    /// Has the leader do what the caller asks.
    async fn order<Q: Message, R: Message + Default>(
        &self,
        call: Call,
        request: &Request<Q>,
    ) -> Result<Response<R>, Status> {
        let identity = Identity::of(request)?;
        Ok(Response::new(self.members.at_leader(Some(&identity), call, request.get_ref()).await?))
    }

    /// Whether the caller may see what only administrators see.
    fn check_control(&self, identity: &Identity) -> Result<(), Error> {
        Ok(authorize(&self.raft.view(), identity, &Attributes::on("update", &Key::control_plane()))?)
    }

    async fn do_status(&self, identity: &Identity) -> Result<ClusterStatusResponse, Error> {
        authorize(&self.raft.view(), identity, &Attributes::path("get", CLUSTER_STATUS_PATH))?;
        let own = self.raft.status();
        let mut others: Vec<Member> = own.members.iter().filter(|member| member.id != own.id).cloned().collect();
        others.sort_by_key(|member| member.id);
        let mut servers = join_all(others.into_iter().map(|member| self.ask(member))).await;
        servers.push(describe(&self.raft, &self.members));
        servers.sort_by_key(|server| server.id);
        let leads_to = servers.iter().find(|server| Some(server.id) == own.leader.map(|leader| leader.0));
        let last = leads_to.map_or(own.last_log_index, |leader| leader.last_log_index);
        for server in servers.iter_mut().filter(|server| server.error.is_empty()) {
            server.lag_entries = last.saturating_sub(server.applied_index);
        }
        let alarms = servers.iter().flat_map(alarms_of).collect();
        Ok(ClusterStatusResponse {
            cluster_id: self.cluster_id.to_string(),
            incarnation: self.raft.view().incarnation().to_string(),
            leader_id: own.leader.unwrap_or_default().0,
            term: own.term,
            revision: own.revision.0,
            servers,
            alarms,
        })
    }

    async fn ask(&self, member: Member) -> ServerStatus {
        let unreachable = |error: String| ServerStatus {
            id: member.id.0,
            name: member.name.clone(),
            role: "unreachable".to_owned(),
            voter: self.raft.status().voters.contains(&member.id),
            api_address: member.api.clone(),
            peer_address: member.peer.clone(),
            error,
            ..Default::default()
        };
        let mut client = match self.peers.client(member.id) {
            Ok(client) => client,
            Err(error) => return unreachable(error.to_string()),
        };
        match tokio::time::timeout(DESCRIBE_TIMEOUT, client.describe(DescribeRequest {})).await {
            Ok(Ok(response)) => response.into_inner(),
            Ok(Err(status)) => unreachable(status.message().to_owned()),
            Err(_elapsed) => unreachable(format!("no answer within {DESCRIBE_TIMEOUT:?}")),
        }
    }
}

/// This server's own line.
pub(super) fn describe(raft: &Handle, members: &Members) -> ServerStatus {
    let status = raft.status();
    let own = status.members.iter().find(|member| member.id == status.id);
    let (name, api_address, peer_address) =
        own.map(|own| (own.name.clone(), own.api.clone(), own.peer.clone())).unwrap_or_default();
    let mut described = ServerStatus {
        id: status.id.0,
        role: role_word(status.role).to_owned(),
        term: status.term,
        last_log_index: status.last_log_index,
        committed_index: status.committed_index,
        applied_index: status.applied_index,
        snapshot_index: status.snapshot_index,
        revision: status.revision.0,
        objects: status.objects,
        store_bytes: status.store_bytes,
        state_hash: status.state_hash,
        version: env!("CARGO_PKG_VERSION").to_owned(),
        name,
        api_address,
        peer_address,
        voter: status.voters.contains(&status.id),
        purged_index: status.purged_index,
        disk_free_bytes: status.disk.free_bytes,
        disk_full: status.disk.full,
        can_sign: members.can_sign(),
        storage_id: raft.storage_id().to_owned(),
        notice: notice(raft),
        ..ServerStatus::default()
    };
    members.describe_certificate(&mut described);
    members.describe_audit(&mut described);
    described
}

/// What somebody should know of this server's state: that it differs, that others do, or that it did.
fn notice(raft: &Handle) -> String {
    let replaced = || raft.notice().map(str::to_owned);
    raft.why_aside().or_else(|| raft.alarm()).or_else(replaced).unwrap_or_default()
}

fn alarms_of(server: &ServerStatus) -> impl Iterator<Item = String> {
    let differs = (!server.notice.is_empty()).then(|| format!("server {}: {}", server.id, server.notice));
    let audit = server.audit.as_ref().filter(|audit| !audit.problem.is_empty() || audit.dropped > 0);
    let audit = audit.map(|audit| audit_alarm(server.id, audit));
    server.disk_full.then(|| full_disk_alarm(server)).into_iter().chain(differs).chain(audit)
}

fn audit_alarm(id: u64, audit: &AuditState) -> String {
    let problem = if audit.problem.is_empty() { "it can be written again" } else { &audit.problem };
    format!("server {id}: {} records of its audit were lost; {problem}", audit.dropped)
}

fn full_disk_alarm(server: &ServerStatus) -> String {
    let mebibytes = server.disk_free_bytes >> 20;
    format!("server {}: its disk is full ({mebibytes} MiB left); it takes no writes until there is room", server.id)
}

fn role_word(role: Role) -> &'static str {
    match role {
        Role::Leader => "leader",
        Role::Follower => "follower",
        Role::Candidate => "candidate",
        Role::Learner => "learner",
        Role::Stopped => "stopped",
    }
}

fn saved_part(part: Part) -> SaveSnapshotResponse {
    SaveSnapshotResponse { part: Some(part) }
}

fn cannot_save(error: SnapshotError) -> Error {
    match error {
        SnapshotError::Read(error) => Error::Read(error.into()),
        SnapshotError::Timeout | SnapshotError::Io(_) => Error::Unavailable(error.to_string()),
    }
}

async fn next_chunk(mut file: AsyncFile) -> Result<Option<(SaveSnapshotResponse, AsyncFile)>, Status> {
    let read = file.read_chunk(SNAPSHOT_CHUNK_BYTES).await;
    let chunk = read.map_err(|error| Error::Unavailable(format!("the snapshot cannot be read: {error}")))?;
    Ok((!chunk.is_empty()).then(|| (saved_part(Part::Chunk(chunk.into())), file)))
}

type SavedParts = std::pin::Pin<Box<dyn futures_util::Stream<Item = Result<SaveSnapshotResponse, Status>> + Send>>;

#[tonic::async_trait]
impl Cluster for ClusterService {
    type SaveSnapshotStream = SavedParts;

    async fn save_snapshot(&self, request: Request<SaveSnapshotRequest>) -> Result<Response<SavedParts>, Status> {
        let identity = Identity::of(&request)?;
        authorize(&self.raft.view(), &identity, &Attributes::path("get", CLUSTER_SNAPSHOT_PATH))
            .map_err(Error::from)?;
        let snapshot = self.raft.save_snapshot().await.map_err(cannot_save)?;
        tracing::info!(user = identity.caller().username, index = snapshot.index, "a snapshot is taken away");
        let header = SavedSnapshot {
            cluster_id: self.cluster_id.to_string(),
            incarnation: snapshot.incarnation.to_string(),
            index: snapshot.index,
            revision: snapshot.revision.0,
            state_hash: snapshot.state_hash,
            bytes: snapshot.bytes,
        };
        let chunks = futures_util::stream::try_unfold(snapshot.file, next_chunk);
        let header = futures_util::stream::once(async { Ok(saved_part(Part::Header(header))) });
        Ok(Response::new(Box::pin(header.chain(chunks))))
    }

    async fn check_hashes(
        &self,
        request: Request<CheckHashesRequest>,
    ) -> Result<Response<CheckHashesResponse>, Status> {
        self.order(Call::CheckHashes, &request).await
    }

    async fn status(&self, request: Request<ClusterStatusRequest>) -> Result<Response<ClusterStatusResponse>, Status> {
        let identity = Identity::of(&request)?;
        Ok(Response::new(self.do_status(&identity).await?))
    }

    async fn members(&self, request: Request<MembersRequest>) -> Result<Response<MembersResponse>, Status> {
        let identity = Identity::of(&request)?;
        let leader_id = self.raft.status().leader.unwrap_or_default().0;
        let may_know = self.check_control(&identity).is_ok();
        let change = if may_know { self.members.change(None) } else { None };
        Ok(Response::new(MembersResponse { members: self.members.wire_members(), leader_id, change }))
    }

    async fn add_server(
        &self,
        request: Request<v1::AddServerRequest>,
    ) -> Result<Response<v1::MembershipChange>, Status> {
        self.order(Call::AddServer, &request).await
    }

    async fn remove_server(
        &self,
        request: Request<v1::RemoveServerRequest>,
    ) -> Result<Response<v1::MembershipChange>, Status> {
        self.order(Call::RemoveServer, &request).await
    }

    async fn replace_server(
        &self,
        request: Request<v1::ReplaceServerRequest>,
    ) -> Result<Response<v1::MembershipChange>, Status> {
        self.order(Call::ReplaceServer, &request).await
    }

    async fn change(&self, request: Request<v1::ChangeRequest>) -> Result<Response<v1::MembershipChange>, Status> {
        let identity = Identity::of(&request)?;
        let view = self.raft.linearizable().await.map_err(|error| Error::from(crate::reads::Error::from(error)))?;
        authorize(&view, &identity, &Attributes::path("get", CLUSTER_STATUS_PATH)).map_err(Error::from)?;
        let number = request.get_ref().number;
        let change = self.members.change(Some(number));
        Ok(Response::new(change.ok_or_else(|| Error::NotFound(format!("no change has the number {number}")))?))
    }

    async fn cancel_change(
        &self,
        request: Request<v1::CancelChangeRequest>,
    ) -> Result<Response<v1::MembershipChange>, Status> {
        self.order(Call::CancelChange, &request).await
    }

    async fn transfer_leader(
        &self,
        request: Request<v1::TransferLeaderRequest>,
    ) -> Result<Response<v1::TransferLeaderResponse>, Status> {
        self.order(Call::TransferLeader, &request).await
    }

    async fn create_join_token(
        &self,
        request: Request<v1::CreateJoinTokenRequest>,
    ) -> Result<Response<v1::CreateJoinTokenResponse>, Status> {
        self.order(Call::CreateJoinToken, &request).await
    }

    async fn list_join_tokens(
        &self,
        request: Request<v1::ListJoinTokensRequest>,
    ) -> Result<Response<v1::ListJoinTokensResponse>, Status> {
        let identity = Identity::of(&request)?;
        self.raft.linearizable().await.map_err(|error| Error::from(crate::reads::Error::from(error)))?;
        self.check_control(&identity)?;
        Ok(Response::new(v1::ListJoinTokensResponse { tokens: self.members.join_tokens() }))
    }

    async fn revoke_join_token(
        &self,
        request: Request<v1::RevokeJoinTokenRequest>,
    ) -> Result<Response<v1::RevokeJoinTokenResponse>, Status> {
        self.order(Call::RevokeJoinToken, &request).await
    }

    async fn compact(&self, request: Request<v1::CompactRequest>) -> Result<Response<v1::CompactResponse>, Status> {
        self.order(Call::Compact, &request).await
    }
}
