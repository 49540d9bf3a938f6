//! Health, readiness and metrics over plain HTTP, for probes and collectors on the machine's own network. Tells
//! nothing about objects.

use std::time::Duration;

use axum::{
    Router,
    extract::State,
    http::{StatusCode, header::CONTENT_TYPE},
    response::{IntoResponse, Response},
    routing::get,
};
use boss_base::telemetry::Metrics;
use boss_raft::{Handle, ReadError};
use tokio::net::TcpListener;
use tokio_util::sync::CancellationToken;

use crate::gauges::Gauges;

/// A probe must hear something before its own patience ends.
const READY_TIMEOUT: Duration = Duration::from_secs(1);

/// What the probes look at.
#[derive(Clone)]
pub struct Probes {
    raft: Handle,
    metrics: Option<(Metrics, Gauges)>,
    stopping: CancellationToken,
}

impl Probes {
    /// Probes of one server. Without `metrics` there is no /metrics.
    #[must_use]
    pub fn new(raft: Handle, metrics: Option<(Metrics, Gauges)>, stopping: CancellationToken) -> Self {
        Self { raft, metrics, stopping }
    }
}

/// Serves until `end` is cancelled.
pub async fn serve(listener: TcpListener, probes: Probes, end: CancellationToken) {
    let router = Router::new()
        .route("/livez", get(live))
        .route("/readyz", get(ready))
        .route("/metrics", get(render_metrics))
        .with_state(probes);
    if let Err(error) = axum::serve(listener, router).with_graceful_shutdown(end.cancelled_owned()).await {
        tracing::error!(%error, "serving health and metrics failed");
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
