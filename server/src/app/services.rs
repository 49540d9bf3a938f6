//! Which services stand at which port.

use std::sync::Arc;

use boss_base::clock::Clock;
use boss_proto::{
    FILE_DESCRIPTOR_SET,
    encoded::registry_server::RegistryServer,
    ids::{ClusterId, ServerId},
    limits::{CERTIFICATE_REQUEST_BYTES_MAX, MESSAGE_BYTES_MAX, REQUEST_BYTES_MAX, TOKEN_BYTES_MAX},
    peer::v1::forward_server::ForwardServer,
    v1::{
        audit_server::AuditServer, auth_server::AuthServer, certificates_server::CertificatesServer,
        cluster_server::ClusterServer, login_server::LoginServer, node_join_server::NodeJoinServer,
        node_sessions_server::NodeSessionsServer, pods_server::PodsServer, server_join_server::ServerJoinServer,
        tokens_server::TokensServer,
    },
};
use boss_raft::{Handle, PeerId};
use tokio_util::sync::CancellationToken;
use tonic::transport::{Server, server::Router};
use tonic_health::pb::health_server::HealthServer;
use tower::layer::util::{Identity, Stack};

use crate::{
    api::{
        self, AuditService, AuthService, CertificatesService, ClusterService, ForwardService, HealthService,
        JoinService, RegistryService, TokensParts, TokensService, gate::Gate,
    },
    audit::Audit,
    auth::{Authenticator, oidc::Provider},
    certificates::standing::Standing,
    members::Members,
    reads::Reads,
    sealing::Vault,
    sessions::Sessions,
    writes::{Peers, Writes},
};

/// A request to join: a certificate request, a name and two addresses, from somebody whom nobody knows yet.
const JOIN_REQUEST_BYTES_MAX: usize = 2 * CERTIFICATE_REQUEST_BYTES_MAX;

/// A request to log in: an ID token and a nonce, from somebody whom nobody knows yet.
const LOGIN_REQUEST_BYTES_MAX: usize = 2 * TOKEN_BYTES_MAX;

type Gated = Stack<Gate, Identity>;

/// Everything that services are made of.
pub(super) struct Services {
    pub(super) id: ServerId,
    pub(super) cluster_id: ClusterId,
    pub(super) writes: Writes,
    pub(super) reads: Reads,
    pub(super) raft: Handle,
    pub(super) peers: Peers,
    pub(super) members: Members,
    pub(super) sessions: Arc<Sessions>,
    pub(super) clock: Arc<dyn Clock>,
    pub(super) vault: Vault,
    pub(super) authenticator: Authenticator,
    /// Whose people may log in.
    pub(super) provider: Option<Provider>,
    /// What this cluster is to others who believe its tokens.
    pub(super) token_issuer: Option<String>,
    pub(super) audit: Audit,
    /// Whether this server may serve anybody.
    pub(super) standing: Standing,
}

impl Services {
    pub(super) fn for_clients(&self, mut server: Server<Gated>, stopping: CancellationToken) -> Router<Gated> {
        let audit = AuditService::new(self.id, self.raft.clone(), self.audit.clone(), stopping.clone());
        let registry = RegistryService::new(
            self.writes.clone(),
            self.reads.clone(),
            self.audit.clone(),
            self.clock.clone(),
            stopping,
        );
        let cluster =
            ClusterService::new(self.cluster_id.clone(), self.raft.clone(), self.peers.clone(), self.members.clone());
        let tokens = TokensService::new(TokensParts {
            reads: self.reads.clone(),
            writes: self.writes.clone(),
            authenticator: self.authenticator.clone(),
            vault: self.vault.clone(),
            clock: self.clock.clone(),
            issuer_for_others: self.token_issuer.clone(),
        });
        let certificates = CertificatesService::new(self.raft.clone(), self.members.clone());
        let router = server
            .add_service(
                RegistryServer::new(registry)
                    .max_decoding_message_size(REQUEST_BYTES_MAX)
                    .max_encoding_message_size(MESSAGE_BYTES_MAX),
            )
            .add_service(ClusterServer::new(cluster).max_decoding_message_size(REQUEST_BYTES_MAX))
            .add_service(
                ServerJoinServer::new(JoinService::new(self.members.clone()))
                    .max_decoding_message_size(JOIN_REQUEST_BYTES_MAX),
            )
            .add_service(NodeJoinServer::new(certificates.clone()).max_decoding_message_size(JOIN_REQUEST_BYTES_MAX))
            .add_service(CertificatesServer::new(certificates).max_decoding_message_size(REQUEST_BYTES_MAX))
            .add_service(
                AuthServer::new(AuthService::new(self.reads.clone())).max_decoding_message_size(REQUEST_BYTES_MAX),
            )
            .add_service(
                LoginServer::new(tokens.login(self.provider.clone()))
                    .max_decoding_message_size(LOGIN_REQUEST_BYTES_MAX),
            )
            .add_service(TokensServer::new(tokens).max_decoding_message_size(REQUEST_BYTES_MAX))
            .add_service(AuditServer::new(audit).max_decoding_message_size(REQUEST_BYTES_MAX))
            .add_service(NodeSessionsServer::new(self.sessions.node_sessions()))
            .add_service(PodsServer::new(self.sessions.pods()).max_decoding_message_size(REQUEST_BYTES_MAX))
            .add_service(HealthServer::new(HealthService::new(self.reads.clone(), self.standing.clone())));
        match reflection_builder().build_v1() {
            Ok(reflection) => router.add_service(reflection),
            Err(error) => {
                tracing::warn!(%error, "the descriptors cannot be served, so there is no reflection");
                router
            }
        }
    }

    pub(super) fn for_servers(&self, mut server: Server<Gated>) -> Router<Gated> {
        let forward = ForwardService::new(api::ForwardParts {
            writes: self.writes.clone(),
            raft: self.raft.clone(),
            sessions: self.sessions.clone(),
            members: self.members.clone(),
            vault: self.vault.clone(),
        });
        server.add_service(self.raft.peer_service(Arc::new(PeerId::of_connection)).into_server()).add_service(
            ForwardServer::new(forward)
                .max_decoding_message_size(MESSAGE_BYTES_MAX)
                .max_encoding_message_size(MESSAGE_BYTES_MAX),
        )
    }
}

/// What clients can call; what servers say to each other is not listed.
fn reflection_builder() -> tonic_reflection::server::Builder<'static> {
    let listed = [
        "boss.v1.Registry",
        "boss.v1.Cluster",
        "boss.v1.ServerJoin",
        "boss.v1.NodeJoin",
        "boss.v1.Certificates",
        "boss.v1.Auth",
        "boss.v1.Tokens",
        "boss.v1.Login",
        "boss.v1.Audit",
        "boss.v1.NodeSessions",
        "boss.v1.Pods",
    ];
    let builder = tonic_reflection::server::Builder::configure()
        .register_encoded_file_descriptor_set(FILE_DESCRIPTOR_SET)
        .register_encoded_file_descriptor_set(tonic_health::pb::FILE_DESCRIPTOR_SET)
        .with_service_name("grpc.health.v1.Health");
    listed.into_iter().fold(builder, tonic_reflection::server::Builder::with_service_name)
}
