//! The state of the control plane itself. Answers also when nobody leads: that is when people ask.

use std::time::Duration;

use boss_proto::{
    ids::{ClusterId, ServerId},
    peer::v1::DescribeRequest,
    v1::{
        self, CheckHashesRequest, CheckHashesResponse, ClusterStatusRequest, ClusterStatusResponse,
        Member as WireMember, MembersRequest, MembersResponse, SaveSnapshotRequest, SaveSnapshotResponse, ServerStatus,
        cluster_server::Cluster,
    },
};
use boss_raft::{Handle, Member, Role, state::rbac::Attributes};
use futures_util::future::join_all;
use tonic::{Request, Response, Status};

use super::{
    Error,
    doors::{CLUSTER_HASHES_PATH, CLUSTER_SNAPSHOT_PATH, CLUSTER_STATUS_PATH},
};
use crate::{admission::authorize, auth::Identity, writes::Peers};

/// A server that has not described itself by then is shown as unreachable.
const DESCRIBE_TIMEOUT: Duration = Duration::from_secs(1);

/// Serves the state of the control plane.
#[derive(Clone)]
pub struct ClusterService {
    cluster_id: ClusterId,
    raft: Handle,
    peers: Peers,
}

impl ClusterService {
    /// The service of one server.
    #[must_use]
    pub fn new(cluster_id: ClusterId, raft: Handle, peers: Peers) -> Self {
        Self { cluster_id, raft, peers }
    }

    async fn do_status(&self, identity: &Identity) -> Result<ClusterStatusResponse, Error> {
        authorize(&self.raft.view(), identity, &Attributes::path("get", CLUSTER_STATUS_PATH))?;
        let own = self.raft.status();
        let mut others: Vec<Member> = own.members.iter().filter(|member| member.id != own.id).cloned().collect();
        others.sort_by_key(|member| member.id);
        let mut servers = join_all(others.into_iter().map(|member| self.ask(member))).await;
        servers.push(describe(&self.raft));
        servers.sort_by_key(|server| server.id);
        let alarms = servers.iter().filter(|server| server.disk_full).map(full_disk_alarm).collect();
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
            role: "unreachable".to_owned(),
            api_address: member.api.clone(),
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
pub(super) fn describe(raft: &Handle) -> ServerStatus {
    let status = raft.status();
    let api_address = status.members.iter().find(|member| member.id == status.id).map(|member| member.api.clone());
    ServerStatus {
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
        api_address: api_address.unwrap_or_default(),
        error: String::new(),
        notice: String::new(),
        disk_free_bytes: status.disk.free_bytes,
        disk_full: status.disk.full,
        ..ServerStatus::default()
    }
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

type SavedParts = std::pin::Pin<Box<dyn futures_util::Stream<Item = Result<SaveSnapshotResponse, Status>> + Send>>;

#[tonic::async_trait]
impl Cluster for ClusterService {
    type SaveSnapshotStream = SavedParts;

    async fn save_snapshot(&self, request: Request<SaveSnapshotRequest>) -> Result<Response<SavedParts>, Status> {
        let identity = Identity::of(&request)?;
        authorize(&self.raft.view(), &identity, &Attributes::path("get", CLUSTER_SNAPSHOT_PATH))
            .map_err(Error::from)?;
        Err(Error::Unimplemented("snapshots cannot be saved yet".to_owned()).into())
    }

    async fn check_hashes(
        &self,
        request: Request<CheckHashesRequest>,
    ) -> Result<Response<CheckHashesResponse>, Status> {
        let identity = Identity::of(&request)?;
        authorize(&self.raft.view(), &identity, &Attributes::path("get", CLUSTER_HASHES_PATH)).map_err(Error::from)?;
        Err(Error::Unimplemented("hashes cannot be compared yet".to_owned()).into())
    }

    async fn status(&self, request: Request<ClusterStatusRequest>) -> Result<Response<ClusterStatusResponse>, Status> {
        let identity = Identity::of(&request)?;
        Ok(Response::new(self.do_status(&identity).await?))
    }

    async fn members(&self, _request: Request<MembersRequest>) -> Result<Response<MembersResponse>, Status> {
        let status = self.raft.status();
        let is_voter = |id: ServerId| status.voters.contains(&id);
        let members = status.members.iter().map(|member| WireMember {
            id: member.id.0,
            name: member.name.clone(),
            peer_address: member.peer.clone(),
            api_address: member.api.clone(),
            voter: is_voter(member.id),
        });
        let leader_id = status.leader.unwrap_or_default().0;
        Ok(Response::new(MembersResponse { members: members.collect(), leader_id, change: None }))
    }

    async fn add_server(
        &self,
        _request: Request<v1::AddServerRequest>,
    ) -> Result<Response<v1::MembershipChange>, Status> {
        Err(Error::Unimplemented("not in this build yet".to_owned()).into())
    }

    async fn remove_server(
        &self,
        _request: Request<v1::RemoveServerRequest>,
    ) -> Result<Response<v1::MembershipChange>, Status> {
        Err(Error::Unimplemented("not in this build yet".to_owned()).into())
    }

    async fn replace_server(
        &self,
        _request: Request<v1::ReplaceServerRequest>,
    ) -> Result<Response<v1::MembershipChange>, Status> {
        Err(Error::Unimplemented("not in this build yet".to_owned()).into())
    }

    async fn change(&self, _request: Request<v1::ChangeRequest>) -> Result<Response<v1::MembershipChange>, Status> {
        Err(Error::Unimplemented("not in this build yet".to_owned()).into())
    }

    async fn cancel_change(
        &self,
        _request: Request<v1::CancelChangeRequest>,
    ) -> Result<Response<v1::MembershipChange>, Status> {
        Err(Error::Unimplemented("not in this build yet".to_owned()).into())
    }

    async fn transfer_leader(
        &self,
        _request: Request<v1::TransferLeaderRequest>,
    ) -> Result<Response<v1::TransferLeaderResponse>, Status> {
        Err(Error::Unimplemented("not in this build yet".to_owned()).into())
    }

    async fn create_join_token(
        &self,
        _request: Request<v1::CreateJoinTokenRequest>,
    ) -> Result<Response<v1::CreateJoinTokenResponse>, Status> {
        Err(Error::Unimplemented("not in this build yet".to_owned()).into())
    }

    async fn list_join_tokens(
        &self,
        _request: Request<v1::ListJoinTokensRequest>,
    ) -> Result<Response<v1::ListJoinTokensResponse>, Status> {
        Err(Error::Unimplemented("not in this build yet".to_owned()).into())
    }

    async fn revoke_join_token(
        &self,
        _request: Request<v1::RevokeJoinTokenRequest>,
    ) -> Result<Response<v1::RevokeJoinTokenResponse>, Status> {
        Err(Error::Unimplemented("not in this build yet".to_owned()).into())
    }

    async fn compact(&self, _request: Request<v1::CompactRequest>) -> Result<Response<v1::CompactResponse>, Status> {
        Err(Error::Unimplemented("not in this build yet".to_owned()).into())
    }
}
