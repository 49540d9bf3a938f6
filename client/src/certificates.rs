//! Calls about certificates: of nodes that join and renew, and of those who look after them. Makes no key.

use std::sync::Arc;

use boss_base::{
    tasks::{OnExit, Tasks},
    tls::PeerCertificate,
};
use boss_proto::v1::{self, certificates_client::CertificatesClient, node_join_client::NodeJoinClient};

use crate::{Client, Error};

impl Client {
    /// Uses a join token for a node. The same request again finds what the first one did.
    pub async fn join_node(&self, request: v1::JoinNodeRequest) -> Result<v1::JoinNodeResponse, Error> {
        self.ask(request, |channel, request| async move { NodeJoinClient::new(channel).join(request).await }).await
    }

    /// A fresh certificate, PEM, for the node that calls and the key of this request (PKCS#10 in DER).
    pub async fn renew_certificate(&self, certificate_request: Vec<u8>) -> Result<String, Error> {
        let request = v1::RenewCertificateRequest { certificate_request: certificate_request.into() };
        let send = |channel, request| async move { CertificatesClient::new(channel).renew(request).await };
        Ok(self.ask(request, send).await?.certificate_pem)
    }

    /// Whom to believe, and whether the cluster knows the certificate that we show.
    pub async fn trust(&self) -> Result<v1::TrustResponse, Error> {
        let send = |channel, request| async move { CertificatesClient::new(channel).trust(request).await };
        self.ask(v1::TrustRequest {}, send).await
    }

    /// Every server's and node's certificate, and the authorities.
    pub async fn certificates(&self) -> Result<v1::CertificatesStatusResponse, Error> {
        let send = |channel, request| async move { CertificatesClient::new(channel).status(request).await };
        self.ask(v1::CertificatesStatusRequest {}, send).await
    }

    /// Takes certificates back.
    pub async fn revoke_certificates(
        &self,
        request: v1::RevokeCertificatesRequest,
    ) -> Result<v1::RevokeCertificatesResponse, Error> {
        self.ask(request, |channel, request| async move { CertificatesClient::new(channel).revoke(request).await })
            .await
    }

    /// Replaces the list of authorities that servers and nodes believe.
    pub async fn set_trust(&self, request: v1::SetTrustRequest) -> Result<v1::TrustResponse, Error> {
        self.ask(request, |channel, request| async move { CertificatesClient::new(channel).set_trust(request).await })
            .await
    }

    /// Reads certificate files again whenever they change, for as long as `tasks` live. Calls that begin after that go
    /// over fresh connections, which show the new certificate; streams that are open stay where they are.
    pub fn keep_credentials_fresh(&self, tasks: &Tasks) {
        let shared = self.shared_owned();
        shared.shown.keep_fresh(tasks);
        let (mut changes, token) = (shared.shown.identity().changes(), tasks.token());
        tasks.spawn("fresh-connections", OnExit::Log, async move {
            while let Some(Ok(())) = token.run_until_cancelled(changes.changed()).await {
                shared.servers.redial();
            }
        });
    }

    /// The certificate that we show to new connections, if we show one.
    #[must_use]
    pub fn certificate(&self) -> Option<Arc<PeerCertificate>> {
        self.shared().shown.identity().certificate()
    }

    /// Reads certificate files again now; whether they had changed.
    pub fn reload_credentials(&self) -> Result<bool, Error> {
        self.shared().shown.reload()
    }
}
