//! Who signs: this server if it holds the key of the authority that is to sign, else another one that does.

use boss_base::{constant_time, pki, tls::PeerCertificate};
use boss_proto::{
    ids::ServerId,
    peer::v1::{RenewServerRequest, SignNodeRequest, SignServerRequest},
};
use bytes::Bytes;
use tonic::Status;

use super::{
    Members, Signer,
    nodes::read_request,
    signing::{Lifetimes, joined, server_subject},
};
use crate::{api::Error, certificates::approver, writes::PeerClient};

/// A server that does not sign within it is passed over.
const SIGN_TIMEOUT: std::time::Duration = std::time::Duration::from_secs(2);

/// What is to be signed. Each names something that the signer looks up itself.
pub(crate) enum ToSign {
    /// The request of a server that has used a join token.
    Joined(SignServerRequest),
    /// The request that stands under a node's name.
    Node(SignNodeRequest),
    /// A request of this server itself.
    Own(RenewServerRequest),
}

impl Members {
    /// The signer of this server, if it may sign now.
    pub(super) fn signer(&self) -> Result<&Signer, Error> {
        let Some(signer) = &self.0.signer else {
            return Err(Error::Precondition("this server does not hold the authority's key".to_owned()));
        };
        let issuing = self.spec().issuing_authority;
        match signer.authority_id() {
            Ok(own) if issuing.is_empty() || own == issuing => Ok(signer),
            Ok(own) => Err(Error::Precondition(format!(
                "this server holds the key of authority {own}, certificates are to be signed by {issuing}"
            ))),
            Err(problem) => Err(Error::Precondition(format!("the authority's key cannot be used: {problem}"))),
        }
    }

    /// Id of the authority whose key this server holds, if it holds one.
    #[must_use]
    pub fn signs_for(&self) -> Option<String> {
        self.0.signer.as_ref()?.authority_id().ok()
    }

    /// For how long nodes' certificates are good where this server signs.
    pub(super) fn node_lifetime(&self) -> std::time::Duration {
        self.0.signer.as_ref().map_or_else(Lifetimes::default, Signer::lifetimes).node
    }

    /// The certificate, signed here or by whoever can.
    pub(crate) async fn signed(&self, what: &ToSign) -> Result<String, Error> {
        if self.signer().is_ok() {
            return match what {
                ToSign::Joined(request) => self.sign_joined(request).await,
                ToSign::Node(request) => self.sign_node(request).await,
                ToSign::Own(request) => self.sign_renewal(self.0.raft.server_id(), &request.certificate_request).await,
            };
        }
        let others = self.0.raft.members().into_iter().filter(|member| member.id != self.0.raft.server_id());
        // Who says that it does not sign is passed over for good; who does not answer may sign a moment later.
        let mut silent = Vec::new();
        for member in others {
            let Ok(mut client) = self.0.peers.client(member.id) else { continue };
            match tokio::time::timeout(SIGN_TIMEOUT, ask(&mut client, what)).await {
                Ok(Ok(certificate_pem)) => return Ok(certificate_pem),
                Ok(Err(status)) if status.code() == tonic::Code::FailedPrecondition => {}
                Ok(Err(status)) => silent.push(format!("server {}: {}", member.id, status.message())),
                Err(_) => silent.push(format!("server {}: no answer within {SIGN_TIMEOUT:?}", member.id)),
            }
        }
        if !silent.is_empty() {
            return Err(Error::Unavailable(format!("no server signs the certificate now ({})", silent.join("; "))));
        }
        Err(Error::Precondition(
            "no server that answers holds the authority's key: set pki.ca_key in the configuration of one".to_owned(),
        ))
    }

    /// Signs what the replicated state says about the bearer of the token, and nothing else.
    pub(crate) async fn sign_joined(&self, asked: &SignServerRequest) -> Result<String, Error> {
        let signer = self.signer()?;
        self.0.raft.linearizable().await?;
        let spec = self.spec();
        let token = spec.join_tokens.iter().find(|token| token.id == asked.token_id && token.server_id != 0);
        let token = token.ok_or_else(|| Error::Forbidden("no server has used that token".to_owned()))?;
        let request = &asked.certificate_request;
        if !constant_time::equal(&token.certificate_request_sha256, &constant_time::sha256(request)) {
            return Err(Error::Forbidden("the token was used with another key".to_owned()));
        }
        if spec.removed_server_ids.contains(&token.server_id) {
            return Err(Error::Forbidden(format!("server {} has been removed", token.server_id)));
        }
        self.sign_server(
            signer,
            request,
            &server_subject(&self.0.cluster_id, &joined(token), signer.lifetimes().server),
        )
    }

    /// A fresh certificate for a server that is a member now, with the names that the members know it by.
    pub(crate) async fn sign_renewal(&self, id: ServerId, request: &Bytes) -> Result<String, Error> {
        let signer = self.signer()?;
        self.0.raft.linearizable().await?;
        let member = self.0.raft.members().into_iter().find(|member| member.id == id);
        let member = member.filter(|member| !self.0.raft.is_removed(member.id));
        let member = member.ok_or_else(|| Error::Forbidden(format!("server {id} is no member of the cluster")))?;
        self.sign_server(signer, request, &server_subject(&self.0.cluster_id, &member, signer.lifetimes().server))
    }

    fn sign_server(&self, signer: &Signer, request: &Bytes, subject: &pki::Subject) -> Result<String, Error> {
        let asked = read_request(request)?;
        approver::approve(&asked, subject).map_err(|denied| {
            Error::Forbidden(format!("server {} gets no certificate: {denied}", subject.common_name))
        })?;
        signer.sign(request, subject).map_err(Error::Unavailable)
    }

    /// The certificate that this server shows now.
    pub(crate) fn own_certificate(&self) -> Option<std::sync::Arc<PeerCertificate>> {
        self.0.identity.certificate()
    }

    /// PEM of all authorities that are believed now: what the registry says, else what this server was set up with.
    pub(crate) fn authorities_pem(&self) -> String {
        let told = crate::certificates::trust::told(&self.spec(), true).authorities_pem;
        if told.is_empty() { self.0.identity.authorities_pem() } else { told }
    }
}

async fn ask(client: &mut PeerClient, what: &ToSign) -> Result<String, Status> {
    match what {
        ToSign::Joined(request) => Ok(client.sign_server(request.clone()).await?.into_inner().certificate_pem),
        ToSign::Node(request) => Ok(client.sign_node(request.clone()).await?.into_inner().certificate_pem),
        ToSign::Own(request) => Ok(client.renew_server(request.clone()).await?.into_inner().certificate_pem),
    }
}
