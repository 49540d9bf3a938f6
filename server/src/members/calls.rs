//! The calls that only the leader can do, wherever they came in: one hop over the peer listener with the caller's own
//! credential, as writes go. A join brings no credential but the token's secret.

use std::{sync::Arc, time::Duration};

use boss_proto::{
    ids::ServerId,
    key::Key,
    peer::v1::{ForwardedOutcome, ForwardedWrite, forwarded_outcome::Result as Forwarded},
};
use boss_raft::state::rbac::Attributes;
use bytes::Bytes;
use prost::Message;

use super::Members;
use crate::{
    admission::authorize,
    api::{Error, doors::CLUSTER_HASHES_PATH, status},
    auth::Identity,
    writes,
};

/// A call that finds no leader waits for one this long, as writes do.
const LEADER_WAIT: Duration = Duration::from_millis(2_500);
const LEADER_RETRY: Duration = Duration::from_millis(50);

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
}
