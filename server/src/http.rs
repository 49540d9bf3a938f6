//! Health, readiness, metrics and the public keys of tokens over plain HTTP, for probes, collectors and proxies on the
//! machine's own network. Tells nothing about objects.

use std::{
    io,
    net::SocketAddr,
    pin::Pin,
    sync::Arc,
    task::{Context, Poll},
    time::Duration,
};

use axum::{
    Router,
    extract::State,
    http::{
        StatusCode,
        header::{CACHE_CONTROL, CONTENT_TYPE},
    },
    response::{IntoResponse, Response},
    routing::{MethodRouter, get},
};
use boss_base::{
    net::{Connection, Port},
    telemetry::Metrics,
};
use boss_proto::limits::HTTP_CONNECTIONS_MAX;
use boss_raft::{Handle, ReadError};
use tokio::{
    io::{AsyncRead, AsyncWrite, ReadBuf},
    sync::{OwnedSemaphorePermit, Semaphore},
};
use tokio_util::sync::CancellationToken;

use crate::{
    api::doors::{HTTP_ROUTES, KEY_SET_PATH},
    auth::Authenticator,
    certificates::standing::Standing,
    gauges::Gauges,
};

/// Between two attempts to accept after one that failed.
const ACCEPT_PAUSE: Duration = Duration::from_millis(100);

/// A probe must hear something before its own patience ends.
const READY_TIMEOUT: Duration = Duration::from_secs(1);

/// What the probes look at.
#[derive(Clone)]
pub struct Probes {
    raft: Handle,
    metrics: Option<(Metrics, Gauges)>,
    stopping: CancellationToken,
    standing: Standing,
    published: Option<Published>,
}

/// What others who believe tokens of this cluster may know.
#[derive(Clone)]
struct Published {
    authenticator: Authenticator,
    /// What this cluster is to them.
    issuer: Option<String>,
}

impl Probes {
    /// Probes of one server. Without `metrics` there is no /metrics.
    #[must_use]
    pub fn new(raft: Handle, metrics: Option<(Metrics, Gauges)>, stopping: CancellationToken) -> Self {
        Self { raft, metrics, stopping, standing: Standing::default(), published: None }
    }

    /// The same, not ready while this server may not speak for the cluster.
    #[must_use]
    pub(crate) fn standing(self, standing: Standing) -> Self {
        Self { standing, ..self }
    }

    /// The same with the public keys of tokens, and where they are behind the `issuer`.
    #[must_use]
    pub fn publishing(self, authenticator: Authenticator, issuer: Option<String>) -> Self {
        Self { published: Some(Published { authenticator, issuer }), ..self }
    }
}

/// Serves until `end` is cancelled.
pub async fn serve(port: Port, probes: Probes, end: CancellationToken) {
    let listener = Bounded { port, places: Arc::new(Semaphore::new(HTTP_CONNECTIONS_MAX)) };
    if let Err(error) = axum::serve(listener, router(probes)).with_graceful_shutdown(end.cancelled_owned()).await {
        tracing::error!(%error, "serving health and metrics failed");
    }
}

/// Exactly the routes of the table.
fn router(probes: Probes) -> Router {
    let routes = HTTP_ROUTES.iter().filter_map(|(path, _)| Some((path, handler(path)?)));
    routes.fold(Router::new(), |router, (path, handler)| router.route(path, handler)).with_state(probes)
}

fn handler(path: &str) -> Option<MethodRouter<Probes>> {
    match path {
        "/livez" => Some(get(live)),
        "/readyz" => Some(get(ready)),
        "/metrics" => Some(get(render_metrics)),
        KEY_SET_PATH => Some(get(key_set)),
        "/.well-known/openid-configuration" => Some(get(discovery)),
        _ => None,
    }
}

/// A port whose connections are bounded: one more is closed at once. It survives whatever goes wrong with one.
struct Bounded {
    port: Port,
    places: Arc<Semaphore>,
}

impl axum::serve::Listener for Bounded {
    type Io = Placed;
    type Addr = SocketAddr;

    async fn accept(&mut self) -> (Placed, SocketAddr) {
        loop {
            match self.port.accept().await {
                Ok((connection, remote)) => match Arc::clone(&self.places).try_acquire_owned() {
                    Ok(place) => return (Placed { connection, _place: place }, remote),
                    Err(_) => tracing::debug!(%remote, "too many connections to the port for health, closing"),
                },
                // Out of descriptors, most likely: it passes when connections end.
                Err(error) => {
                    tracing::warn!(%error, "cannot accept on the port for health, trying again");
                    tokio::time::sleep(ACCEPT_PAUSE).await;
                }
            }
        }
    }

    fn local_addr(&self) -> io::Result<SocketAddr> {
        self.port.local_address()
    }
}

/// A connection with its place.
struct Placed {
    connection: Connection,
    _place: OwnedSemaphorePermit,
}

impl AsyncRead for Placed {
    fn poll_read(mut self: Pin<&mut Self>, cx: &mut Context<'_>, buf: &mut ReadBuf<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.connection).poll_read(cx, buf)
    }
}

impl AsyncWrite for Placed {
    fn poll_write(mut self: Pin<&mut Self>, cx: &mut Context<'_>, buf: &[u8]) -> Poll<io::Result<usize>> {
        Pin::new(&mut self.connection).poll_write(cx, buf)
    }

    fn poll_flush(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.connection).poll_flush(cx)
    }

    fn poll_shutdown(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.connection).poll_shutdown(cx)
    }
}

/// The process answers: restarting it would help nobody.
async fn live() -> &'static str {
    "ok\n"
}

async fn ready(State(probes): State<Probes>) -> Response {
    match why_not_ready(&probes).await {
        None => format!("ok{}\n", remarks(&probes.raft)).into_response(),
        Some(reason) => (StatusCode::SERVICE_UNAVAILABLE, format!("not ready: {reason}\n")).into_response(),
    }
}

/// What somebody should know although the server is ready.
fn remarks(raft: &Handle) -> String {
    let full = raft.status().disk.full.then(|| "the disk is full: this server takes no writes".to_owned());
    full.into_iter().chain(raft.alarm()).map(|remark| format!("; {remark}")).collect()
}

/// Ready means that a linearizable read works, not that somebody once said so.
async fn why_not_ready(probes: &Probes) -> Option<String> {
    if probes.stopping.is_cancelled() {
        return Some("the server is shutting down".to_owned());
    }
    if let Some(reason) = probes.standing.lost() {
        return Some(format!("{reason}; give it another one"));
    }
    if let Some(reason) = probes.raft.why_aside() {
        return Some(format!("{reason}; it takes theirs and starts anew"));
    }
    if !probes.raft.is_formed() {
        return Some("the server belongs to no formed cluster yet".to_owned());
    }
    match tokio::time::timeout(READY_TIMEOUT, probes.raft.linearizable()).await {
        Ok(Ok(_view)) => None,
        Ok(Err(ReadError::NoLeader)) => Some("no leader could confirm a read".to_owned()),
        Ok(Err(error)) => Some(error.to_string()),
        Err(_elapsed) => Some(format!("a linearizable read took longer than {READY_TIMEOUT:?}")),
    }
}

async fn render_metrics(State(probes): State<Probes>) -> Response {
    match &probes.metrics {
        Some((metrics, gauges)) => {
            gauges.report();
            ([(CONTENT_TYPE, "text/plain; version=0.0.4")], metrics.render()).into_response()
        }
        None => StatusCode::NOT_FOUND.into_response(),
    }
}

/// Keys come long before they are used and stay long after: nobody has to ask for each token.
const KEY_SET_FRESH: &str = "public, max-age=60";

async fn key_set(State(probes): State<Probes>) -> Response {
    match &probes.published {
        Some(Published { authenticator, .. }) => {
            let headers = [(CONTENT_TYPE, "application/jwk-set+json"), (CACHE_CONTROL, KEY_SET_FRESH)];
            (headers, authenticator.published_key_set().to_string()).into_response()
        }
        None => StatusCode::NOT_FOUND.into_response(),
    }
}

async fn discovery(State(probes): State<Probes>) -> Response {
    match probes.published.and_then(|published| published.issuer) {
        Some(issuer) => {
            let headers = [(CONTENT_TYPE, "application/json"), (CACHE_CONTROL, KEY_SET_FRESH)];
            (headers, discovery_document(&issuer).to_string()).into_response()
        }
        None => (StatusCode::NOT_FOUND, "set tokens.issuer in the server's configuration\n").into_response(),
    }
}

/// What verifiers need, and nothing that would say that people can log in here (OpenID Connect Discovery).
fn discovery_document(issuer: &str) -> serde_json::Value {
    serde_json::json!({
        "issuer": issuer,
        "jwks_uri": format!("{issuer}{KEY_SET_PATH}"),
        "response_types_supported": ["id_token"],
        "subject_types_supported": ["public"],
        "id_token_signing_alg_values_supported": ["EdDSA"],
    })
}

#[cfg(test)]
mod tests {
    use axum::serve::Listener as _;
    use tokio::{
        io::AsyncReadExt,
        net::{TcpListener, TcpStream},
    };

    use super::*;
    use crate::api::doors::Door;

    #[test]
    fn every_route_of_the_table_is_served_and_each_is_open() {
        for (path, door) in HTTP_ROUTES {
            assert!(handler(path).is_some(), "{path} is in the table and nobody serves it");
            assert_eq!(*door, Door::Open, "{path}: plain HTTP knows no caller");
        }
        assert!(handler("/debug").is_none());
    }

    #[tokio::test]
    async fn one_connection_above_the_bound_is_closed_until_another_ends() {
        let tcp = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let address = tcp.local_addr().unwrap();
        let mut port = Bounded { port: tcp.into(), places: Arc::new(Semaphore::new(HTTP_CONNECTIONS_MAX)) };
        let (mut callers, mut accepted) = (Vec::new(), Vec::new());
        for _ in 0..HTTP_CONNECTIONS_MAX {
            callers.push(TcpStream::connect(address).await.unwrap());
            accepted.push(port.accept().await.0);
        }
        let mut over = TcpStream::connect(address).await.unwrap();
        let closed = async {
            let mut byte = [0];
            // Closed or reset: nothing is served.
            matches!(over.read(&mut byte).await, Ok(0) | Err(_))
        };
        tokio::select! {
            _ = port.accept() => panic!("one more than the bound was taken"),
            closed = closed => assert!(closed),
        }
        accepted.pop();
        let _next = TcpStream::connect(address).await.unwrap();
        tokio::time::timeout(Duration::from_secs(30), port.accept()).await.expect("there is a place again");
    }
}
