//! Makes channels to peers. Knows certificates, not what is said.

use std::{sync::Arc, time::Duration};

use boss_base::{
    net::Network,
    tls::{Expected, Identity, OpenConnections, connector},
};
use boss_proto::{SERVER_DNS_NAME, ids::ClusterId};
use tonic::transport::{Channel, Endpoint};

use super::service::server_uri;
use crate::types::Member;

/// A peer that does not take the connection within it is not there.
const CONNECT_TIMEOUT: Duration = Duration::from_secs(1);
/// A peer that is silent is asked for a sign of life this often: a cut cable shows in no other way.
const KEEPALIVE_INTERVAL: Duration = Duration::from_secs(2);
/// A peer that gives no sign of life within it is gone; the channel is made anew.
const KEEPALIVE_TIMEOUT: Duration = Duration::from_secs(2);
/// Bytes that a peer may send ahead in one stream: entries of a few messages.
const STREAM_WINDOW_BYTES: u32 = 4 << 20;
/// Bytes that a peer may send ahead in all streams together.
const CONNECTION_WINDOW_BYTES: u32 = 16 << 20;

/// A peer cannot be dialled at all, for instance because its address is no address.
#[derive(Debug, thiserror::Error)]
#[error("cannot dial {peer}: {problem}")]
pub struct DialError {
    /// Address of the peer.
    pub peer: String,
    /// What is wrong.
    pub problem: String,
}

type Dial = dyn Fn(&Member) -> Result<Channel, DialError> + Send + Sync;

/// Makes the one multiplexed channel to a peer; the channel connects when it is used and reconnects by itself.
#[derive(Clone)]
pub struct PeerDialer(Arc<Dial>);

impl PeerDialer {
    /// Wraps a function that makes channels; it must check that the peer is the member it is asked for.
    pub fn new(dial: impl Fn(&Member) -> Result<Channel, DialError> + Send + Sync + 'static) -> Self {
        Self(Arc::new(dial))
    }

    /// Dials over TLS; the peer must show the certificate of exactly the member that is dialled.
    #[must_use]
    pub fn tls(identity: Identity, cluster_id: ClusterId) -> Self {
        Self::tls_over(Network::default(), identity, cluster_id, OpenConnections::default())
    }

    /// As [`PeerDialer::tls`], over whatever network; its connections are among the open ones, and end when the certificate
    /// that the peer showed counts no more.
    #[must_use]
    pub fn tls_over(network: Network, identity: Identity, cluster_id: ClusterId, open: OpenConnections) -> Self {
        Self::new(move |member| {
            let bad = |problem: String| DialError { peer: member.peer.clone(), problem };
            let expected = Expected::name(SERVER_DNS_NAME)
                .map_err(|error| bad(error.to_string()))?
                .with_uri(server_uri(&cluster_id, member.id));
            let connector = connector(identity.clone(), expected).over(network.clone()).among(open.clone());
            Ok(endpoint(member)?.connect_with_connector_lazy(connector))
        })
    }

    /// A channel to the member.
    pub fn dial(&self, member: &Member) -> Result<Channel, DialError> {
        (self.0)(member)
    }
}

fn endpoint(member: &Member) -> Result<Endpoint, DialError> {
    // The connector speaks TLS whatever the scheme is; https would make tonic ask for its own.
    let endpoint = Endpoint::from_shared(format!("http://{}", member.peer))
        .map_err(|error| DialError { peer: member.peer.clone(), problem: error.to_string() })?;
    Ok(endpoint
        .connect_timeout(CONNECT_TIMEOUT)
        .tcp_nodelay(true)
        .http2_keep_alive_interval(KEEPALIVE_INTERVAL)
        .keep_alive_timeout(KEEPALIVE_TIMEOUT)
        .keep_alive_while_idle(true)
        .initial_stream_window_size(STREAM_WINDOW_BYTES)
        .initial_connection_window_size(CONNECTION_WINDOW_BYTES))
}
