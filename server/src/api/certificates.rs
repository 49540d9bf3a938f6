//! Certificates of nodes and servers, and the authorities behind them. The door for machines that are no node yet asks
//! for nothing: a join token's secret is all the proof there is.

use boss_proto::v1::{
    CertificatesStatusRequest, CertificatesStatusResponse, JoinNodeRequest, JoinNodeResponse, RenewCertificateRequest,
    RenewCertificateResponse, RevokeCertificatesRequest, RevokeCertificatesResponse, SetTrustRequest, TrustRequest,
    TrustResponse, certificates_server::Certificates, node_join_server::NodeJoin,
};
use boss_raft::{Handle, state::rbac::Attributes};
use prost::Message;
use tonic::{Request, Response, Status};

use super::{Error, doors::CLUSTER_STATUS_PATH};
use crate::{
    admission::authorize,
    auth::Identity,
    members::{Call, Members},
};

/// Serves both.
#[derive(Clone)]
pub struct CertificatesService {
    raft: Handle,
    members: Members,
}

impl CertificatesService {
    /// The service of one server.
    #[must_use]
    pub fn new(raft: Handle, members: Members) -> Self {
        Self { raft, members }
    }

    async fn order<Q: Message, R: Message + Default>(
        &self,
        call: Call,
        request: &Request<Q>,
    ) -> Result<Response<R>, Status> {
        let identity = Identity::of(request)?;
        Ok(Response::new(self.members.at_leader(Some(&identity), call, request.get_ref()).await?))
    }

    async fn do_status(&self, identity: &Identity) -> Result<CertificatesStatusResponse, Error> {
        let view = self.raft.linearizable().await?;
        authorize(&view, identity, &Attributes::path("get", CLUSTER_STATUS_PATH))?;
        self.members.certificates(&view).await
    }
}

#[tonic::async_trait]
impl NodeJoin for CertificatesService {
    async fn join(&self, request: Request<JoinNodeRequest>) -> Result<Response<JoinNodeResponse>, Status> {
        Ok(Response::new(self.members.at_leader(None, Call::JoinNode, request.get_ref()).await?))
    }
}

#[tonic::async_trait]
impl Certificates for CertificatesService {
    async fn renew(
        &self,
        request: Request<RenewCertificateRequest>,
    ) -> Result<Response<RenewCertificateResponse>, Status> {
        self.order(Call::RenewNode, &request).await
    }

    async fn trust(&self, request: Request<TrustRequest>) -> Result<Response<TrustResponse>, Status> {
        let identity = Identity::of(&request)?;
        Ok(Response::new(self.members.trust_of(&identity)))
    }

    async fn status(
        &self,
        request: Request<CertificatesStatusRequest>,
    ) -> Result<Response<CertificatesStatusResponse>, Status> {
        let identity = Identity::of(&request)?;
        Ok(Response::new(self.do_status(&identity).await?))
    }

    async fn revoke(
        &self,
        request: Request<RevokeCertificatesRequest>,
    ) -> Result<Response<RevokeCertificatesResponse>, Status> {
        self.order(Call::RevokeCertificates, &request).await
    }

    async fn set_trust(&self, request: Request<SetTrustRequest>) -> Result<Response<TrustResponse>, Status> {
        self.order(Call::SetTrust, &request).await
    }
}
