//! Calls about the cluster itself: its state, its members, tokens, snapshots. Retries are elsewhere.

use boss_proto::{
    limits::MESSAGE_BYTES_MAX,
    v1::{self, audit_client::AuditClient, cluster_client::ClusterClient, server_join_client::ServerJoinClient},
};
use tonic::Streaming;

use crate::{Client, Error};

impl Client {
    /// The state of the control plane, as one server sees it.
    pub async fn cluster_status(&self) -> Result<v1::ClusterStatusResponse, Error> {
        let send = |channel, request| async move { ClusterClient::new(channel).status(request).await };
        self.ask(v1::ClusterStatusRequest {}, send).await
    }

    /// A snapshot of everything acknowledged so far: a description first, then the bytes of the file.
    pub async fn save_snapshot(&self) -> Result<Streaming<v1::SaveSnapshotResponse>, Error> {
        let send = |channel, request| async move {
            ClusterClient::new(channel).max_decoding_message_size(MESSAGE_BYTES_MAX).save_snapshot(request).await
        };
        self.open(v1::SaveSnapshotRequest {}, send).await
    }

    /// What the server that is asked has kept of who did what. Each server keeps its own: ask them one by one.
    pub async fn read_audit(&self, request: v1::ReadAuditRequest) -> Result<Streaming<v1::ReadAuditResponse>, Error> {
        let send = |channel, request| async move {
            AuditClient::new(channel).max_decoding_message_size(MESSAGE_BYTES_MAX).read(request).await
        };
        self.open(request, send).await
    }

    /// Has the members compare the hashes of their states now.
    pub async fn check_hashes(&self) -> Result<v1::CheckHashesResponse, Error> {
        let send = |channel, request| async move { ClusterClient::new(channel).check_hashes(request).await };
        self.ask(v1::CheckHashesRequest {}, send).await
    }

    /// The servers that the cluster consists of.
    pub async fn members(&self) -> Result<v1::MembersResponse, Error> {
        let send = |channel, request| async move { ClusterClient::new(channel).members(request).await };
        self.ask(v1::MembersRequest {}, send).await
    }

    /// The tokens with which servers may join, without their secrets.
    pub async fn join_tokens(&self) -> Result<v1::ListJoinTokensResponse, Error> {
        let send = |channel, request| async move { ClusterClient::new(channel).list_join_tokens(request).await };
        self.ask(v1::ListJoinTokensRequest {}, send).await
    }

    /// Makes a token with which one server may join. Asked once only: a second one nobody knows of would be a hole.
    pub async fn create_join_token(
        &self,
        request: v1::CreateJoinTokenRequest,
    ) -> Result<v1::CreateJoinTokenResponse, Error> {
        let send = |channel, request| async move { ClusterClient::new(channel).create_join_token(request).await };
        self.ask(request, send).await
    }

    /// Nobody joins with that token any more.
    pub async fn revoke_join_token(&self, id: String) -> Result<v1::RevokeJoinTokenResponse, Error> {
        let send = |channel, request| async move { ClusterClient::new(channel).revoke_join_token(request).await };
        self.ask(v1::RevokeJoinTokenRequest { id }, send).await
    }

    /// Begins to remove a server; the same `request_id` finds the change that the first call began.
    pub async fn remove_server(&self, request: v1::RemoveServerRequest) -> Result<v1::MembershipChange, Error> {
        let send = |channel, request| async move { ClusterClient::new(channel).remove_server(request).await };
        self.ask(request, send).await
    }

    /// Begins to add a server, as a learner first; the same `request_id` finds the change that the first call began.
    pub async fn add_server(&self, request: v1::AddServerRequest) -> Result<v1::MembershipChange, Error> {
        let send = |channel, request| async move { ClusterClient::new(channel).add_server(request).await };
        self.ask(request, send).await
    }

    /// Begins to put a server in the place of another; the same `request_id` finds the change of the first call.
    pub async fn replace_server(&self, request: v1::ReplaceServerRequest) -> Result<v1::MembershipChange, Error> {
        let send = |channel, request| async move { ClusterClient::new(channel).replace_server(request).await };
        self.ask(request, send).await
    }

    /// Uses a join token. The same request again finds what the first one did.
    pub async fn join(&self, request: v1::JoinRequest) -> Result<v1::JoinResponse, Error> {
        let send = |channel, request| async move { ServerJoinClient::new(channel).join(request).await };
        self.ask(request, send).await
    }

    /// How far a change of the members is.
    pub async fn membership_change(&self, number: u64) -> Result<v1::MembershipChange, Error> {
        let send = |channel, request| async move { ClusterClient::new(channel).change(request).await };
        self.ask(v1::ChangeRequest { number }, send).await
    }

    /// Gives up the change under way, which must be the one of this number.
    pub async fn cancel_membership_change(&self, number: u64) -> Result<v1::MembershipChange, Error> {
        let send = |channel, request| async move { ClusterClient::new(channel).cancel_change(request).await };
        self.ask(v1::CancelChangeRequest { number }, send).await
    }

    /// Hands the leadership to a server, or with `None` to whoever needs least to lead.
    pub async fn transfer_leader(&self, to: Option<u64>) -> Result<v1::TransferLeaderResponse, Error> {
        let send = |channel, request| async move { ClusterClient::new(channel).transfer_leader(request).await };
        self.ask(v1::TransferLeaderRequest { server_id: to.unwrap_or_default() }, send).await
    }

    /// Forgets the history of watches up to a revision, or with `None` up to now.
    pub async fn compact(&self, revision: Option<u64>) -> Result<v1::CompactResponse, Error> {
        let send = |channel, request| async move { ClusterClient::new(channel).compact(request).await };
        self.ask(v1::CompactRequest { revision: revision.unwrap_or_default() }, send).await
    }
}
