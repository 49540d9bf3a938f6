//! The cluster's servers and which of them we use now. Sends no request.

mod known;
mod noticing;

use std::{
    io,
    sync::{
        Arc, Mutex, PoisonError,
        atomic::{AtomicUsize, Ordering},
    },
    time::Duration,
};

use arc_swap::ArcSwap;

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
use known::Known;
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
    list: ArcSwap<List>,
    dialling: Dialling,
    known: Mutex<Known>,
}

/// The servers of one moment, and which of them is used.
struct List {
    all: Vec<Arc<Server>>,
    preferred: AtomicUsize,
}

/// How a server is dialled.
struct Dialling {
    connector: Connector,
    timeout: Duration,
}

struct Server {
    address: crate::Endpoint,
    channel: Channel,
    refusal: Refusal,
}

/// One server, for one attempt.
#[derive(Clone)]
pub(crate) struct Picked(Arc<Server>);

impl Picked {
    pub(crate) fn address(&self) -> &crate::Endpoint {
        &self.0.address
    }

    pub(crate) fn channel(&self) -> Channel {
        self.0.channel.clone()
    }

    /// What the server's answer to an attempt means.
    pub(crate) fn judge(&self, status: &Status) -> Failed {
        match (judge(status), self.0.refusal.take()) {
            (Failed::Lost(_), Some(problem)) => {
                let message = format!("TLS with {} failed: {problem}", self.0.address);
                Failed::NotReached { detail: Detail::new(message), untrusted: true }
            }
            (failed, _) => failed,
        }
    }
}

impl Servers {
    pub(crate) fn new(config: &Config, shown: &Shown) -> Result<Self, Error> {
        if config.servers.is_empty() {
            return Err(Error::config("there is no server address"));
        }
        let expected = expected(config.cluster_id.clone())
            .map_err(|error| Error::config(format!("the servers' name is not usable: {error}")))?;
        let connector = tls::connector(shown.identity(), expected).over(config.network.clone());
        let dialling = Dialling { connector, timeout: config.deadlines.connect };
        let all = config.servers.iter().map(|address| Server::new(address, &dialling).map(Arc::new));
        let all = all.collect::<Result<Vec<_>, _>>()?;
        // Clients that start together spread over the servers.
        let first = usize::try_from(config.clock.random_u64() % all.len() as u64).unwrap_or_default();
        let list = ArcSwap::from_pointee(List { all, preferred: AtomicUsize::new(first) });
        Ok(Self { list, dialling, known: Mutex::new(Known::new(config.servers.clone())) })
    }

    pub(crate) fn len(&self) -> usize {
        self.list.load().all.len()
    }

    /// The server that worked last.
    pub(crate) fn pick(&self) -> Picked {
        let list = self.list.load();
        Picked(Arc::clone(&list.all[list.preferred.load(Ordering::Relaxed)]))
    }

    /// Prefers the next one from now on, unless somebody has moved on already.
    pub(crate) fn leave(&self, picked: &Picked) {
        let list = self.list.load();
        let index = list.preferred.load(Ordering::Relaxed);
        if Arc::ptr_eq(&list.all[index], &picked.0) {
            let next = (index + 1) % list.all.len();
            let _ = list.preferred.compare_exchange(index, next, Ordering::Relaxed, Ordering::Relaxed);
        }
    }

    /// The addresses in use now.
    pub(crate) fn addresses(&self) -> Vec<crate::Endpoint> {
        self.list.load().all.iter().map(|server| server.address.clone()).collect()
    }

    /// What the cluster says who its servers are: new ones are used from now on, those that are gone are left. Whether
    /// that was news. Connections to those that stay are kept.
    pub(crate) fn learn(&self, members: &[crate::Endpoint]) -> bool {
        let mut known = self.known.lock().unwrap_or_else(PoisonError::into_inner);
        let wanted = known.learn(members);
        let list = self.list.load();
        if wanted.is_empty() || list.all.iter().map(|server| &server.address).eq(&wanted) {
            return false;
        }
        let all: Vec<_> = wanted.iter().filter_map(|address| self.keep_or_dial(&list, address)).collect();
        if all.is_empty() {
            return false;
        }
        let used = &list.all[list.preferred.load(Ordering::Relaxed)];
        let preferred = all.iter().position(|server| Arc::ptr_eq(server, used)).unwrap_or(0);
        self.list.store(Arc::new(List { all, preferred: AtomicUsize::new(preferred) }));
        true
    }

    /// Calls from now on go over fresh connections, which show who we are now.
    pub(crate) fn redial(&self) {
        // Nobody learns of members meanwhile.
        let _known = self.known.lock().unwrap_or_else(PoisonError::into_inner);
        let list = self.list.load();
        let fresh = |server: &Arc<Server>| match Server::new(&server.address, &self.dialling) {
            Ok(fresh) => Arc::new(fresh),
            Err(_) => Arc::clone(server),
        };
        let all = list.all.iter().map(fresh).collect();
        let preferred = AtomicUsize::new(list.preferred.load(Ordering::Relaxed));
        self.list.store(Arc::new(List { all, preferred }));
    }

    fn keep_or_dial(&self, list: &List, address: &crate::Endpoint) -> Option<Arc<Server>> {
        if let Some(server) = list.all.iter().find(|server| server.address == *address) {
            return Some(Arc::clone(server));
        }
        match Server::new(address, &self.dialling) {
            Ok(server) => Some(Arc::new(server)),
            Err(error) => {
                tracing::warn!(%address, %error, "a member of the cluster has an address that cannot be used");
                None
            }
        }
    }
}

impl Server {
    fn new(address: &crate::Endpoint, dialling: &Dialling) -> Result<Self, Error> {
        let (connector, timeout) = (dialling.connector.clone(), dialling.timeout);
        // Our connector speaks TLS whatever the scheme says; `https` would ask tonic for its own.
        let transport = Transport::from_shared(format!("http://{address}"))
            .map_err(|error| Error::config(format!("server address {address} is not usable: {error}")))?
            .http2_keep_alive_interval(KEEP_ALIVE_INTERVAL)
            .keep_alive_timeout(KEEP_ALIVE_TIMEOUT)
            .keep_alive_while_idle(true)
            .initial_stream_window_size(STREAM_WINDOW_BYTES)
            .initial_connection_window_size(CONNECTION_WINDOW_BYTES);
        let refusal = Refusal::default();
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
