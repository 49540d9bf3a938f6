//! The ports of the server: how connections are accepted and what one connection may ask at once. Knows no service.

use std::{io, net::SocketAddr, time::Duration};

use boss_base::tls::{self, ClientAuth, Limits, Listener, server_acceptor};
use boss_proto::limits::{
    CONNECTIONS_MAX, CONNECTIONS_PER_SOURCE_MAX, HEADER_LIST_BYTES_HARD_MAX, STREAMS_PER_CONNECTION_MAX,
};
use tokio::net::TcpListener;
use tonic::transport::Server;

use crate::config::Listen;

/// From accepting a connection to the end of its TLS handshake.
const HANDSHAKE_TIMEOUT: Duration = Duration::from_secs(10);
/// A silent connection is asked for a sign of life after so long.
const KEEPALIVE_INTERVAL: Duration = Duration::from_secs(20);
/// A connection without a sign of life is closed after so long.
const KEEPALIVE_TIMEOUT: Duration = Duration::from_secs(10);
/// Streams that a peer opened and reset before they were looked at; more is an attack.
const PENDING_RESETS_MAX: usize = 64;

/// A port cannot be listened on.
#[derive(Debug, thiserror::Error)]
#[error("cannot listen on {address} ({purpose}): {source}")]
pub struct CannotListen {
    /// Which address.
    pub address: SocketAddr,
    /// What it is for.
    pub purpose: &'static str,
    /// Why not.
    pub source: io::Error,
}

/// All ports, bound and not yet accepting.
pub struct Bound {
    /// For clients and nodes.
    pub api: Listener,
    /// For the other servers.
    pub peer: Listener,
    /// For health and metrics.
    pub http: TcpListener,
}

impl Bound {
    /// Takes all ports, or none.
    pub async fn bind(listen: Listen, identity: &tls::Identity) -> Result<Self, CannotListen> {
        let cannot = |address, purpose| move |source| CannotListen { address, purpose, source };
        let limits = Limits {
            connections_max: CONNECTIONS_MAX,
            connections_per_source_max: CONNECTIONS_PER_SOURCE_MAX,
            handshake_timeout: HANDSHAKE_TIMEOUT,
        };
        let optional = server_acceptor(identity.clone(), ClientAuth::Optional);
        let required = server_acceptor(identity.clone(), ClientAuth::Required);
        Ok(Self {
            api: Listener::bind(listen.api, optional, limits).await.map_err(cannot(listen.api, "API"))?,
            peer: Listener::bind(listen.peer, required, limits).await.map_err(cannot(listen.peer, "servers"))?,
            http: TcpListener::bind(listen.http).await.map_err(cannot(listen.http, "health and metrics"))?,
        })
    }
}

/// A gRPC server with the bounds that every port keeps.
#[must_use]
pub fn grpc_server() -> Server {
    Server::builder()
        .max_concurrent_streams(STREAMS_PER_CONNECTION_MAX)
        .http2_keepalive_interval(Some(KEEPALIVE_INTERVAL))
        .http2_keepalive_timeout(Some(KEEPALIVE_TIMEOUT))
        .http2_max_header_list_size(HEADER_LIST_BYTES_HARD_MAX)
        .http2_max_pending_accept_reset_streams(Some(PENDING_RESETS_MAX))
        .tcp_nodelay(true)
}
