//! The calls that only the leader can do, wherever they came in: one hop over the peer listener with the caller's own
//! credential, as writes go. A join brings no credential but the token's secret.

use std::{sync::Arc, time::Duration};

use boss_base::{constant_time, pki};
use boss_proto::{
    ids::{ServerId, Uid},
    join_token,
    key::Key,
    limits::{CERTIFICATE_REQUEST_BYTES_MAX, JOIN_TOKEN_TTL_SECONDS_MAX},
    peer::v1::{
        ForwardedOutcome, ForwardedWrite, SignServerRequest, TakeSnapshotRequest,
        forwarded_outcome::Result as Forwarded,
    },
    raft::v1::{Caller, Compact, operation::Action},
    v1::{self, JoinRequest, JoinResponse, JoinToken, JoinTokenContents, Member as WireMember, MembershipChange},
};
use boss_raft::{HashAnswer, ProposeError, TransferError, state::rbac::Attributes};
use bytes::Bytes;
use prost::Message;

use super::{
    Members, check_quorum, fit,
    plane::{self, Standing, Wanted},
    signers::ToSign,
    store::own_caller,
    tokens::{self, Presented},
    voters_after,
};
use crate::{
    admission::authorize,
    api::{Error, doors::CLUSTER_HASHES_PATH, status},
    auth::Identity,
    writes,
};

/// A call that finds no leader waits for one this long, as writes do.
const LEADER_WAIT: Duration = Duration::from_millis(2_500);
const LEADER_RETRY: Duration = Duration::from_millis(50);
/// A server that does not take a snapshot within it is passed over.
const PEER_TIMEOUT: Duration = Duration::from_secs(2);
/// As long as the random part of a session key.
const SECRET_WORDS: usize = 4;

/// What the leader can be asked to do.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Call {
    AddServer,
    RemoveServer,
    ReplaceServer,
    CancelChange,
    TransferLeader,
    CreateJoinToken,
    RevokeJoinToken,
    Compact,
    CheckHashes,
    Join,
    JoinNode,
    RenewNode,
    RevokeCertificates,
    SetTrust,
}

impl Call {
    const ALL: [(Self, &'static str); 14] = [
        (Self::AddServer, "/boss.v1.Cluster/AddServer"),
        (Self::RemoveServer, "/boss.v1.Cluster/RemoveServer"),
        (Self::ReplaceServer, "/boss.v1.Cluster/ReplaceServer"),
        (Self::CancelChange, "/boss.v1.Cluster/CancelChange"),
        (Self::TransferLeader, "/boss.v1.Cluster/TransferLeader"),
        (Self::CreateJoinToken, "/boss.v1.Cluster/CreateJoinToken"),
        (Self::RevokeJoinToken, "/boss.v1.Cluster/RevokeJoinToken"),
        (Self::Compact, "/boss.v1.Cluster/Compact"),
        (Self::CheckHashes, "/boss.v1.Cluster/CheckHashes"),
        (Self::Join, "/boss.v1.ServerJoin/Join"),
        (Self::JoinNode, "/boss.v1.NodeJoin/Join"),
        (Self::RenewNode, "/boss.v1.Certificates/Renew"),
        (Self::RevokeCertificates, "/boss.v1.Certificates/Revoke"),
        (Self::SetTrust, "/boss.v1.Certificates/SetTrust"),
    ];

    /// What the caller needs; `None` when the message itself or the caller's certificate is all that counts.
    fn right(self, control_plane: &Key) -> Option<Attributes<'_>> {
        match self {
            Self::Join | Self::JoinNode | Self::RenewNode => None,
            Self::CheckHashes => Some(Attributes::path("get", CLUSTER_HASHES_PATH)),
            _ => Some(Attributes::on("update", control_plane)),
        }
    }

    /// Whether the secret in the message is all the proof there is.
    fn is_anonymous(self) -> bool {
        matches!(self, Self::Join | Self::JoinNode)
    }

    pub(crate) fn of(method: &str) -> Option<Self> {
        Self::ALL.into_iter().find(|(_, path)| *path == method).map(|(call, _)| call)
    }

    fn path(self) -> &'static str {
        Self::ALL.into_iter().find(|(call, _)| *call == self).map_or("", |(_, path)| path)
    }
}

fn decode<M: Message + Default>(bytes: Bytes) -> Result<M, Error> {
    M::decode(bytes).map_err(|error| Error::invalid("request", format!("cannot be read: {error}"), ""))
}

fn encode(message: &impl Message) -> Bytes {
    message.encode_to_vec().into()
}

impl Members {
    /// Has the leader do it, whoever that is.
    pub(crate) async fn at_leader<R: Message + Default>(
        &self,
        identity: Option<&Arc<Identity>>,
        call: Call,
        request: &impl Message,
    ) -> Result<R, Error> {
        let bytes = encode(request);
        let give_up_at = self.0.clock.monotonic() + LEADER_WAIT;
        loop {
            let leader = self.0.raft.leadership().borrow().leader;
            let answer = match leader {
                Some(leader) if leader != self.0.raft.server_id() => {
                    self.forward(leader, identity, call, bytes.clone()).await?
                }
                Some(_) => match self.run(identity, call, bytes.clone()).await {
                    Err(Error::Write(writes::Error::NotLeader)) => None,
                    result => Some(result?),
                },
                None => None,
            };
            if let Some(answer) = answer {
                return R::decode(answer)
                    .map_err(|_| Error::Unavailable("the leader's answer cannot be read".to_owned()));
            }
            if self.0.clock.monotonic() >= give_up_at {
                return Err(writes::Error::NoLeader.into());
            }
            let mut leadership = self.0.raft.leadership();
            leadership.mark_unchanged();
            let _ = tokio::time::timeout(LEADER_RETRY, leadership.changed()).await;
        }
    }

    /// `None` when the other server does not lead, or is not there.
    async fn forward(
        &self,
        leader: ServerId,
        identity: Option<&Arc<Identity>>,
        call: Call,
        request: Bytes,
    ) -> Result<Option<Bytes>, Error> {
        let Ok(mut client) = self.0.peers.client(leader) else { return Ok(None) };
        let credential = identity.map(|identity| identity.credential.clone());
        let from_server = self.0.raft.server_id().0;
        let message = ForwardedWrite { method: call.path().to_owned(), request, credential, from_server };
        let answer = match client.cluster(message).await {
            Ok(answer) => answer.into_inner(),
            Err(status) => {
                tracing::debug!(%leader, %status, "the leader cannot be asked");
                return Ok(None);
            }
        };
        match answer.result {
            Some(Forwarded::Response(bytes)) => Ok(Some(bytes)),
            Some(Forwarded::Refusal(refusal)) if status::says_not_leader(&refusal) => Ok(None),
            Some(Forwarded::Refusal(refusal)) => Err(writes::Error::Forwarded(Box::new(refusal)).into()),
            None => Err(Error::Unavailable("the leader's answer is empty".to_owned())),
        }
    }

    /// What another server passed on: the caller is authenticated again, and asked for the right.
    pub(crate) async fn handle_forwarded(&self, forwarded: ForwardedWrite) -> ForwardedOutcome {
        let result = match self.do_forwarded(forwarded).await {
            Ok(answer) => Forwarded::Response(answer),
            Err(error) => Forwarded::Refusal(status::to_refusal(&error)),
        };
        ForwardedOutcome { result: Some(result), warnings: Vec::new() }
    }

    async fn do_forwarded(&self, forwarded: ForwardedWrite) -> Result<Bytes, Error> {
        let ForwardedWrite { method, request, credential, .. } = forwarded;
        let call = Call::of(&method)
            .ok_or_else(|| Error::invalid("method", format!("is {method}, which is not passed on"), ""))?;
        let identity = match call.is_anonymous() {
            true => None,
            false => Some(self.0.authenticator.authenticate_forwarded(&credential.unwrap_or_default())?),
        };
        self.run(identity.as_ref(), call, request).await
    }

    /// The leader's own part. Never passes on.
    pub(crate) async fn run(
        &self,
        identity: Option<&Arc<Identity>>,
        call: Call,
        request: Bytes,
    ) -> Result<Bytes, Error> {
        self.leading_term()?;
        match call {
            Call::Join => return Ok(encode(&self.join(decode(request)?).await?)),
            Call::JoinNode => return Ok(encode(&self.join_node(decode(request)?).await?)),
            _ => {}
        }
        let identity = identity.ok_or(crate::auth::Error::Missing)?;
        let control_plane = Key::control_plane();
        if let Some(right) = call.right(&control_plane) {
            authorize(&self.0.raft.view(), identity, &right)?;
        }
        let caller = identity.caller();
        Ok(match call {
            Call::AddServer => encode(&self.add(&caller, decode(request)?).await?),
            Call::RemoveServer => encode(&self.remove(&caller, decode(request)?).await?),
            Call::ReplaceServer => encode(&self.replace(&caller, decode(request)?).await?),
            Call::CancelChange => encode(&self.cancel(&caller, decode(request)?).await?),
            Call::TransferLeader => encode(&self.transfer(decode(request)?).await?),
            Call::CreateJoinToken => encode(&self.create_token(&caller, decode(request)?).await?),
            Call::RevokeJoinToken => encode(&self.revoke_token(&caller, decode(request)?).await?),
            Call::Compact => encode(&self.compact(&caller, decode(request)?).await?),
            Call::CheckHashes => encode(&self.check_hashes().await?),
            Call::RenewNode => encode(&self.renew_node(identity, decode(request)?).await?),
            Call::RevokeCertificates => encode(&self.revoke_certificates(&caller, &decode(request)?).await?),
            Call::SetTrust => encode(&self.set_trust(&caller, decode(request)?).await?),
            Call::Join | Call::JoinNode => {
                return Err(Error::Unimplemented("joining has no identity".to_owned()));
            }
        })
    }

    async fn add(&self, caller: &Caller, request: v1::AddServerRequest) -> Result<MembershipChange, Error> {
        let v1::AddServerRequest { server, request_id, force } = request;
        let server = server.ok_or_else(|| Error::invalid("server", "is missing", "say who is to be added"))?;
        self.begin(caller, Some(server), 0, force, &request_id).await
    }

    async fn remove(&self, caller: &Caller, request: v1::RemoveServerRequest) -> Result<MembershipChange, Error> {
        self.begin(caller, None, request.server_id, request.force, &request.request_id).await
    }

    async fn replace(&self, caller: &Caller, request: v1::ReplaceServerRequest) -> Result<MembershipChange, Error> {
        let v1::ReplaceServerRequest { old_server_id, server, request_id, force } = request;
        let server = server.ok_or_else(|| Error::invalid("server", "is missing", "say who takes the place"))?;
        self.begin(caller, Some(server), old_server_id, force, &request_id).await
    }

    async fn begin(
        &self,
        caller: &Caller,
        add: Option<WireMember>,
        remove_id: u64,
        force: bool,
        request_id: &str,
    ) -> Result<MembershipChange, Error> {
        if add.is_none() && remove_id == 0 {
            return Err(Error::invalid("serverId", "is missing", "say who is to be removed"));
        }
        let known = self.spec();
        let mut known = known.change.iter().chain(&known.finished);
        if let Some(change) = known.find(|change| !request_id.is_empty() && change.request_id == request_id) {
            return Ok(change.clone());
        }
        if !force {
            self.check_quorum_after(add.as_ref(), remove_id).await?;
        }
        let (members, now_ms) = (self.0.raft.members(), self.0.clock.unix_millis());
        self.edit(caller, |spec| {
            let wanted = Wanted { add: add.clone(), remove_id, force, request_id, by: &caller.username };
            plane::begin(spec, wanted, &Standing { members: &members, now_ms })
        })
        .await
    }

    /// Asks who really answers; the server that comes counts, as it gets its vote only once it has caught up.
    async fn check_quorum_after(&self, add: Option<&WireMember>, remove_id: u64) -> Result<(), Error> {
        let status = self.0.raft.status();
        let mut fit = fit(&self.0.raft.health().await, status.last_log_index);
        let next = ServerId(u64::MAX);
        let add = add.map(|member| WireMember { id: next.0, ..member.clone() });
        if add.is_some() {
            fit.insert(next);
        }
        let after = voters_after(&status.voters, &MembershipChange { add, remove_id, ..MembershipChange::default() });
        check_quorum(&after, &fit).map_err(|lost| {
            let numbers = lost.to_string().replace(&next.to_string(), "the new one");
            Error::Precondition(format!("{numbers}; bring servers back, or force it if you know what you do"))
        })
    }

    async fn cancel(&self, caller: &Caller, request: v1::CancelChangeRequest) -> Result<MembershipChange, Error> {
        self.edit(caller, |spec| plane::cancel(spec, request.number)).await
    }

    async fn transfer(&self, request: v1::TransferLeaderRequest) -> Result<v1::TransferLeaderResponse, Error> {
        let raft = &self.0.raft;
        let own = raft.server_id();
        let to = (request.server_id != 0).then_some(ServerId(request.server_id));
        if let Some(to) = to.filter(|to| *to != own) {
            let status = raft.status();
            if !status.voters.contains(&to) {
                return Err(Error::Precondition(TransferError::NoVoter(to).to_string()));
            }
            let health = raft.health().await;
            if !fit(&health, status.last_log_index).contains(&to) {
                let found = health.into_iter().find(|member| member.member.id == to);
                let why = match found.map(|member| member.last_log_index) {
                    Some(Ok(index)) => format!("it is at entry {index} of {}", status.last_log_index),
                    Some(Err(problem)) => problem,
                    None => "nothing is known of it".to_owned(),
                };
                return Err(Error::Precondition(format!("server {to} cannot lead now: {why}")));
            }
        }
        let leader = raft.transfer_leader(to).await.map_err(|error| match error {
            TransferError::NotLeader => writes::Error::NotLeader.into(),
            TransferError::NoVoter(_) | TransferError::Alone => Error::Precondition(error.to_string()),
            TransferError::NotTaken(_) | TransferError::ShuttingDown => Error::Unavailable(error.to_string()),
        })?;
        let term = raft.leadership().borrow().term;
        Ok(v1::TransferLeaderResponse { leader_id: leader.0, term })
    }

    async fn create_token(
        &self,
        caller: &Caller,
        request: v1::CreateJoinTokenRequest,
    ) -> Result<v1::CreateJoinTokenResponse, Error> {
        let v1::CreateJoinTokenRequest { ttl_seconds, replaces_server_id, node } = request;
        if !(1..=JOIN_TOKEN_TTL_SECONDS_MAX).contains(&ttl_seconds) {
            let problem = format!("is {ttl_seconds}; from 1 to {JOIN_TOKEN_TTL_SECONDS_MAX} is possible");
            return Err(Error::invalid("ttlSeconds", problem, ""));
        }
        if let Some(scope) = &node {
            tokens::check_scope(scope)?;
            if replaces_server_id != 0 {
                return Err(Error::invalid(
                    "node",
                    "stands beside a server to be replaced",
                    "a token is for one of them",
                ));
            }
        }
        let node = node.map(|scope| v1::NodeScope { uses: 0, last_node: String::new(), ..scope });
        let members = self.0.raft.members();
        if replaces_server_id != 0 && !members.iter().any(|member| member.id.0 == replaces_server_id) {
            return Err(Error::NotFound(format!("server {replaces_server_id} is no member")));
        }
        let secret: Vec<u8> = (0..SECRET_WORDS).flat_map(|_| self.0.clock.random_u64().to_be_bytes()).collect();
        let now_ms = self.0.clock.unix_millis();
        let id = Uid::random().to_string();
        let ttl_ms = u64::from(ttl_seconds) * 1_000;
        let described = tokens::describe(id.clone(), constant_time::sha256(&secret), &caller.username, now_ms, ttl_ms);
        let described = JoinToken { replaces_server_id, node, ..described };
        self.edit(caller, |spec| {
            plane::note_ids(spec, &members);
            tokens::add(spec, described.clone(), now_ms)
        })
        .await?;
        let authorities = pki::read_bundle(&self.authorities_pem())
            .map_err(|error| Error::Unavailable(format!("this server's own list cannot be read: {error}")))?;
        let mut authorities = authorities.into_iter().map(|authority| bytes::Bytes::from(authority.der));
        let token = join_token::encode(&JoinTokenContents {
            cluster_id: self.0.cluster_id.to_string(),
            servers: members.iter().map(|member| member.api.clone()).collect(),
            ca: authorities.next().unwrap_or_default(),
            other_authorities: authorities.collect(),
            token_id: id,
            secret: secret.into(),
            node_name: described.node.as_ref().map(|scope| scope.name.clone()).unwrap_or_default(),
            for_nodes: described.node.is_some(),
        });
        tracing::info!(token = %described.id, by = %caller.username, ttl_seconds, "made a join token");
        Ok(v1::CreateJoinTokenResponse { token, description: Some(tokens::without_secret(described)) })
    }

    /// The tokens that are kept, without what their secrets hash to.
    pub(crate) fn join_tokens(&self) -> Vec<JoinToken> {
        self.spec().join_tokens.into_iter().map(tokens::without_secret).collect()
    }

    async fn revoke_token(
        &self,
        caller: &Caller,
        request: v1::RevokeJoinTokenRequest,
    ) -> Result<v1::RevokeJoinTokenResponse, Error> {
        let token = self.edit(caller, |spec| tokens::revoke(spec, &request.id)).await?;
        Ok(v1::RevokeJoinTokenResponse { token: Some(token) })
    }

    /// The change of this number, or the one under way.
    pub(crate) fn change(&self, number: Option<u64>) -> Option<MembershipChange> {
        let spec = self.spec();
        let Some(number) = number else { return spec.change };
        spec.change.into_iter().chain(spec.finished).find(|change| change.number == number)
    }

    async fn join(&self, request: JoinRequest) -> Result<JoinResponse, Error> {
        if request.certificate_request.len() > CERTIFICATE_REQUEST_BYTES_MAX {
            return Err(Error::invalid("certificateRequest", "is too long", ""));
        }
        self.check_cluster(&request.cluster_id)?;
        let secret_sha256 = constant_time::sha256(&request.secret);
        let certificate_request_sha256 = constant_time::sha256(&request.certificate_request);
        let (members, now_ms) = (self.0.raft.members(), self.0.clock.unix_millis());
        let presented = Presented {
            request: &request,
            secret_sha256: &secret_sha256,
            certificate_request_sha256: &certificate_request_sha256,
        };
        let standing = Standing { members: &members, now_ms };
        let caller = own_caller("server-join");
        let (server_id, change) = self.edit(&caller, |spec| tokens::redeem(spec, &presented, &standing)).await?;
        tracing::info!(server = server_id, token = %request.token_id, name = %request.name, "a server joins");
        Ok(JoinResponse {
            server_id,
            certificate_pem: String::new(),
            members: self.wire_members(),
            token_keys: self.0.welcome.token_keys.clone(),
            profile: self.0.welcome.profile.clone(),
            change_number: change.number,
        })
    }

    /// The members with who votes.
    pub(crate) fn wire_members(&self) -> Vec<WireMember> {
        let status = self.0.raft.status();
        let wire = |member: &boss_raft::Member| WireMember {
            id: member.id.0,
            name: member.name.clone(),
            peer_address: member.peer.clone(),
            api_address: member.api.clone(),
            voter: status.voters.contains(&member.id),
        };
        status.members.iter().map(wire).collect()
    }

    /// A token is of use in its own cluster only.
    pub(super) fn check_cluster(&self, cluster_id: &str) -> Result<(), Error> {
        if cluster_id == self.0.cluster_id.as_str() {
            return Ok(());
        }
        Err(Error::Precondition(format!("this is cluster {}, the token is of another", self.0.cluster_id)))
    }

    /// The certificate of a server that has used its token, signed here or by whoever can.
    pub(crate) async fn certificate_for(&self, token_id: &str, request: &Bytes) -> Result<String, Error> {
        let (token_id, certificate_request) = (token_id.to_owned(), request.clone());
        self.signed(&ToSign::Joined(SignServerRequest { token_id, certificate_request })).await
    }

    async fn compact(&self, caller: &Caller, request: v1::CompactRequest) -> Result<v1::CompactResponse, Error> {
        let current = self.0.raft.view().revision().0;
        let revision = if request.revision == 0 { current } else { request.revision };
        // The operation stands on the control plane's object, so there must be one.
        let members = self.0.raft.members();
        self.edit(&own_caller("compaction"), |spec| {
            plane::note_ids(spec, &members);
            Ok(())
        })
        .await?;
        let term = self.leading_term()?;
        self.propose(term, caller, Action::Compact(Compact { revision }), None).await?;
        let floor = self.0.raft.view().history().floor().0;
        self.tidy_up().await;
        Ok(v1::CompactResponse { floor })
    }

    async fn check_hashes(&self) -> Result<v1::CheckHashesResponse, Error> {
        let check = self.0.raft.check_hashes().await.map_err(|error| match error {
            ProposeError::NotLeader { .. } => Error::Write(writes::Error::NotLeader),
            other => Error::Unavailable(other.to_string()),
        })?;
        let answered = |answer: &HashAnswer| v1::HashAnswer {
            id: answer.id.0,
            voter: answer.voter,
            hash: answer.hash.as_ref().map(ToString::to_string).unwrap_or_default(),
            error: answer.hash.as_ref().err().cloned().unwrap_or_default(),
        };
        Ok(v1::CheckHashesResponse {
            index: check.index,
            verdict: check.verdict.as_str().to_owned(),
            agreed_hash: check.agreed.map(|hash| hash.to_string()).unwrap_or_default(),
            servers: check.answers.iter().map(answered).collect(),
        })
    }

    /// Snapshots everywhere; a server that cannot now does it by its own bounds later.
    async fn tidy_up(&self) {
        let own = self.0.raft.server_id();
        let ask = async |id: ServerId| {
            let asked = async {
                match id == own {
                    true => self.0.raft.take_snapshot().await.map_err(|error| error.to_string()),
                    false => {
                        let mut client = self.0.peers.client(id).map_err(|error| error.to_string())?;
                        let answer = client.take_snapshot(TakeSnapshotRequest {}).await;
                        answer.map(drop).map_err(|status| status.message().to_owned())
                    }
                }
            };
            match tokio::time::timeout(PEER_TIMEOUT, asked).await {
                Ok(Ok(())) => {}
                Ok(Err(problem)) => tracing::warn!(server = %id, problem, "no snapshot after the compaction"),
                Err(_) => tracing::warn!(server = %id, "no snapshot after the compaction: no answer"),
            }
        };
        futures_util::future::join_all(self.0.raft.members().into_iter().map(|member| ask(member.id))).await;
    }
}
