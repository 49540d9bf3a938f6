//! The cluster's servers and which of them we use now. Sends no request.

mod noticing;

use std::{
    io,
    sync::atomic::{AtomicUsize, Ordering},
    time::Duration,
};

use boss_base::tls::{self, ClientStream, ConnectError, Connector, Expected, PeerCertificate};
use boss_proto::{SERVER_DNS_NAME, ids::ClusterId};
use http::Uri;
use hyper_util::rt::TokioIo;
use tonic::{
    Status,
    transport::{Channel, Endpoint as Transport},
};

use crate::{
    Config, Error,
    credentials::Shown,
    error::{Detail, Failed, judge},
};
use noticing::{Noticing, Refusal};

/// A connection whose other end vanished is found out this long after the last sign of life, at most, plus
/// [`KEEP_ALIVE_TIMEOUT`].
const KEEP_ALIVE_INTERVAL: Duration = Duration::from_secs(5);
/// How long the answer to a keep-alive may take.
const KEEP_ALIVE_TIMEOUT: Duration = Duration::from_secs(3);
/// Of one stream, so that a list page is not sent in 64 KiB steps.
const STREAM_WINDOW_BYTES: u32 = 1024 * 1024;
/// Of all streams of one connection.
const CONNECTION_WINDOW_BYTES: u32 = 4 * 1024 * 1024;

/// All servers; connections are opened when they are first used, and again when they broke.
pub(crate) struct Servers {
    all: Vec<Server>,
    preferred: AtomicUsize,
}

struct Server {
    address: crate::Endpoint,
    channel: Channel,
    refusal: Refusal,
}

/// One server, for one attempt.
#[derive(Clone)]
pub(crate) struct Picked {
    pub(crate) index: usize,
    pub(crate) address: crate::Endpoint,
    pub(crate) channel: Channel,
}

impl Servers {
    pub(crate) fn new(config: &Config, shown: &Shown) -> Result<Self, Error> {
        if config.servers.is_empty() {
            return Err(Error::config("there is no server address"));
        }
        let expected = expected(config.cluster_id.clone())
            .map_err(|error| Error::config(format!("the servers' name is not usable: {error}")))?;
        let connector = tls::connector(shown.identity(), expected);
        let all = config
            .servers
            .iter()
            .map(|address| Server::new(address, &connector, config.deadlines.connect))
            .collect::<Result<Vec<_>, _>>()?;
        // Clients that start together spread over the servers.
        let first = usize::try_from(config.clock.random_u64() % all.len() as u64).unwrap_or_default();
        Ok(Self { all, preferred: AtomicUsize::new(first) })
    }

    pub(crate) fn len(&self) -> usize {
        self.all.len()
    }

    /// The server that worked last.
    pub(crate) fn pick(&self) -> Picked {
        let index = self.preferred.load(Ordering::Relaxed);
        let server = &self.all[index];
        Picked { index, address: server.address.clone(), channel: server.channel.clone() }
    }

    /// What the answer of an attempt at a server means.
    pub(crate) fn judge(&self, index: usize, status: &Status) -> Failed {
        match (judge(status), self.all[index].refusal.take()) {
            (Failed::Lost(_), Some(problem)) => {
                let message = format!("TLS with {} failed: {problem}", self.all[index].address);
                Failed::NotReached { detail: Detail::new(message), untrusted: true }
            }
            (failed, _) => failed,
        }
    }

    /// Prefers the next one from now on, unless somebody has moved on already.
    pub(crate) fn leave(&self, index: usize) {
        let next = (index + 1) % self.all.len();
        let _ = self.preferred.compare_exchange(index, next, Ordering::Relaxed, Ordering::Relaxed);
    }
}

impl Server {
    fn new(address: &crate::Endpoint, connector: &Connector, timeout: Duration) -> Result<Self, Error> {
        // Our connector speaks TLS whatever the scheme says; `https` would ask tonic for its own.
        let transport = Transport::from_shared(format!("http://{address}"))
            .map_err(|error| Error::config(format!("server address {address} is not usable: {error}")))?
            .http2_keep_alive_interval(KEEP_ALIVE_INTERVAL)
            .keep_alive_timeout(KEEP_ALIVE_TIMEOUT)
            .keep_alive_while_idle(true)
            .initial_stream_window_size(STREAM_WINDOW_BYTES)
            .initial_connection_window_size(CONNECTION_WINDOW_BYTES);
        let (connector, refusal) = (connector.clone(), Refusal::default());
        let noticed = refusal.clone();
        let dial = tower::service_fn(move |uri: Uri| {
            let (connector, refusal) = (connector.clone(), noticed.clone());
            async move {
                let stream = connect(&connector, &uri, timeout).await?;
                Ok::<_, ConnectError>(TokioIo::new(Noticing::new(stream.into_inner(), refusal)))
            }
        });
        Ok(Self { address: address.clone(), channel: transport.connect_with_connector_lazy(dial), refusal })
    }
}

/// Timed here, not by tonic, so that a dial that takes too long is known as one that never reached anybody.
async fn connect(connector: &Connector, uri: &Uri, timeout: Duration) -> Result<ClientStream, ConnectError> {
    match tokio::time::timeout(timeout, connector.connect(uri)).await {
        Ok(result) => result,
        Err(_elapsed) => {
            let address = uri.authority().map(ToString::to_string).unwrap_or_default();
            let source = io::Error::new(io::ErrorKind::TimedOut, format!("no connection within {timeout:?}"));
            Err(ConnectError::Tcp { address, source })
        }
    }
}

/// Any server, of the right cluster when that is known.
fn expected(cluster_id: Option<ClusterId>) -> io::Result<Expected> {
    let expected = Expected::name(SERVER_DNS_NAME)?;
    Ok(match cluster_id {
        None => expected,
        Some(cluster_id) => expected.with_check(move |certificate| check_cluster(&cluster_id, certificate)),
    })
}

fn check_cluster(cluster_id: &ClusterId, certificate: &PeerCertificate) -> Result<(), String> {
    let prefix = format!("boss://{cluster_id}/server/");
    if certificate.uris.iter().any(|uri| uri.starts_with(&prefix)) {
        return Ok(());
    }
    Err(format!("expected a server of cluster {cluster_id}, found [{}]", certificate.uris.join(", ")))
}
