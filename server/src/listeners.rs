//! The ports of the server: how connections are accepted and what one connection may ask at once. Knows no service.

use std::{io, net::SocketAddr, time::Duration};

use boss_base::{
    net::{Network, Port},
    tls::{self, ClientAuth, Limits, Listener, OpenConnections, server_acceptor},
};
use boss_proto::limits::{
    CONNECTIONS_MAX, CONNECTIONS_PER_SOURCE_MAX, HEADER_LIST_BYTES_HARD_MAX, STREAMS_PER_CONNECTION_MAX,
};
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

/// What a port allows before it knows who is there.
const LIMITS: Limits = Limits {
    connections_max: CONNECTIONS_MAX,
    connections_per_source_max: CONNECTIONS_PER_SOURCE_MAX,
    handshake_timeout: HANDSHAKE_TIMEOUT,
};

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
    pub http: Port,
}

impl Bound {
    /// Takes all ports, or none. What other servers open is among `peers`.
    pub async fn bind(
        listen: Listen,
        identity: &tls::Identity,
        network: &Network,
        peers: &OpenConnections,
    ) -> Result<Self, CannotListen> {
        let cannot = |address, purpose| move |source| CannotListen { address, purpose, source };
        let optional = server_acceptor(identity.clone(), ClientAuth::Optional);
        let required = server_acceptor(identity.clone(), ClientAuth::Required).among(peers.clone());
        Ok(Self {
            api: Listener::bind_on(network, listen.api, optional, LIMITS).await.map_err(cannot(listen.api, "API"))?,
            peer: Listener::bind_on(network, listen.peer, required, LIMITS)
                .await
                .map_err(cannot(listen.peer, "servers"))?,
            http: network.bind(listen.http).await.map_err(cannot(listen.http, "health and metrics"))?,
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

#[cfg(test)]
mod tests {
    use std::{
        fs,
        path::{Path, PathBuf},
    };

    use boss_base::{
        pki::{CertificateAuthority, Subject},
        tls::{Identity, Pem},
    };

    use super::*;

    #[tokio::test]
    async fn both_ports_with_tls_have_the_bounds_of_the_limits() {
        let authority = CertificateAuthority::generate("x").unwrap();
        let subject = Subject { server_auth: true, lifetime: Duration::from_secs(60), ..Subject::default() };
        let own = authority.issue(&subject).unwrap();
        let own = Some((own.cert_pem.into_bytes(), own.key_pem.into_bytes()));
        let identity = Identity::from_pem(Pem { own, ca: authority.cert_pem().into() }).unwrap();
        let any: SocketAddr = ([127, 0, 0, 1], 0).into();
        let listen = Listen { api: any, peer: any, http: any };
        let bound = Bound::bind(listen, &identity, &Network::default(), &OpenConnections::default()).await.unwrap();
        for listener in [&bound.api, &bound.peer] {
            let limits = listener.limits();
            assert_eq!(limits.connections_max, CONNECTIONS_MAX);
            assert_eq!(limits.connections_per_source_max, CONNECTIONS_PER_SOURCE_MAX);
            assert_eq!(limits.handshake_timeout, HANDSHAKE_TIMEOUT);
        }
    }

    /// A server that dialled what somebody else names could be sent anywhere. Members are named by administrators.
    #[test]
    fn the_only_place_that_dials_knows_members_only() {
        let here = Path::new(env!("CARGO_MANIFEST_DIR"));
        let mut files = Vec::new();
        sources(&here.join("src"), &mut files);
        sources(&here.join("../raft/src"), &mut files);
        assert!(files.len() > 100, "the sources are there");
        let words = ["connect_with_connector", "TcpStream::connect", "UdpSocket", "lookup_host", "TcpSocket::new"];
        let dials = |path: &PathBuf| {
            let text = fs::read_to_string(path).unwrap();
            // Tests may dial the port that they test.
            let text = text.split("#[cfg(test)]").next().unwrap_or_default();
            words.iter().any(|word| text.contains(word))
        };
        let found: Vec<_> = files.into_iter().filter(dials).map(|path| path.file_name().unwrap().to_owned()).collect();
        assert_eq!(found, ["dial.rs"]);
    }

    fn sources(folder: &Path, into: &mut Vec<PathBuf>) {
        for entry in fs::read_dir(folder).unwrap() {
            let path = entry.unwrap().path();
            let is_test = path.file_stem().is_some_and(|name| name == "tests" || name == "testing");
            if path.is_dir() {
                sources(&path, into);
            } else if path.extension().is_some_and(|extension| extension == "rs") && !is_test {
                into.push(path);
            }
        }
    }
}
