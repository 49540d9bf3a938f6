//! One agent's session, from Hello to its end. Decides nothing about liveness; hands heartbeats to the relay.

use std::{sync::Arc, time::Duration};

use boss_base::tasks::OnExit;
use boss_proto::{
    ids::NodeName,
    v1::{self, FromNode, Hello, ToNode, Welcome, from_node, node_sessions_server::NodeSessions, to_node},
};
use futures_util::{StreamExt, stream::BoxStream};
use tokio::sync::mpsc;
use tokio_stream::wrappers::ReceiverStream;
use tokio_util::sync::CancellationToken;
use tonic::{Request, Response, Status, Streaming};

use super::{HEARTBEAT_INTERVAL, Sessions, liveness::LEASE, relay::Signal, streams::STREAMS_MAX, table::Session};
use crate::{api::Error, auth::Identity, members::Members};

/// How long an agent may take to say who it is.
const HELLO_MAX: Duration = Duration::from_secs(5);
/// A session without a heartbeat for so long is dead: the agent's lease is over.
const SILENCE_MAX: Duration = LEASE;
/// A certificate that was taken back ends its session this soon, also when nothing is said in it.
const CERTIFICATE_LOOK_INTERVAL: Duration = Duration::from_millis(500);
/// Every log stream keeps a slot for its end; as many again for acknowledgements and orders.
const OUTBOUND_MAX: usize = 2 * STREAMS_MAX;

/// `boss.v1.NodeSessions`.
#[derive(Clone)]
pub struct NodeSessionsService {
    sessions: Arc<Sessions>,
}

impl NodeSessionsService {
    pub(super) fn new(sessions: Arc<Sessions>) -> Self {
        Self { sessions }
    }
}

#[tonic::async_trait]
impl NodeSessions for NodeSessionsService {
    type SessionStream = BoxStream<'static, Result<ToNode, Status>>;

    async fn session(&self, request: Request<Streaming<FromNode>>) -> Result<Response<Self::SessionStream>, Status> {
        let identity = Identity::of(&request).map_err(Error::from)?;
        let node = identity.node().cloned().ok_or_else(|| Status::from(not_a_node()))?;
        let (outbound, answers) = mpsc::channel(OUTBOUND_MAX);
        let id = self.sessions.parts.clock.random_u64();
        let session = Session { id, outbound, streams: Arc::default(), superseded: CancellationToken::new() };
        let task =
            Task { sessions: Arc::clone(&self.sessions), node, session, identity, inbound: request.into_inner() };
        self.sessions.parts.tasks.spawn("node-session", OnExit::Log, task.run());
        Ok(Response::new(ReceiverStream::new(answers).boxed()))
    }
}

fn not_a_node() -> Error {
    Error::Forbidden("only the certificate of a node may open a session".to_owned())
}

/// The task behind one session.
struct Task {
    sessions: Arc<Sessions>,
    node: NodeName,
    session: Session,
    /// Of the agent.
    identity: Arc<Identity>,
    inbound: Streaming<FromNode>,
}

/// Why a session ended.
#[derive(Debug)]
enum End {
    /// The agent closed it or its connection broke.
    Left,
    /// The agent must be told.
    Refused(Error),
}

impl Task {
    async fn run(mut self) {
        let stopping = self.sessions.parts.tasks.token();
        let end = match stopping.run_until_cancelled(self.greet()).await {
            Some(Ok(())) => self.serve(&stopping).await,
            Some(Err(end)) => end,
            None => End::Refused(stopping_error()),
        };
        self.leave(end);
    }

    /// The agent says who it is, and that must be who its certificate says.
    async fn greet(&mut self) -> Result<(), End> {
        let first = tokio::time::timeout(HELLO_MAX, self.inbound.message()).await;
        let hello = match first {
            Err(_) => return Err(refuse("no Hello came in time")),
            Ok(Err(_) | Ok(None)) => return Err(End::Left),
            Ok(Ok(Some(FromNode { body: Some(from_node::Body::Hello(hello)) }))) => hello,
            Ok(Ok(Some(_))) => return Err(refuse("the first message must be Hello")),
        };
        check_name(&self.node, &hello)?;
        let parts = &self.sessions.parts;
        let welcome = Welcome {
            cluster_id: parts.cluster_id.to_string(),
            server_id: parts.server_id.0,
            heartbeat_interval_ms: millis(HEARTBEAT_INTERVAL),
            lease_ms: millis(LEASE),
        };
        self.say(to_node::Body::Welcome(welcome));
        tracing::info!(node = %self.node, agent = hello.agent_version, boot = hello.boot_id, "node connected");
        self.sessions.table.insert(self.node.clone(), self.session.clone());
        Ok(())
    }

    async fn serve(&mut self, stopping: &CancellationToken) -> End {
        let (superseded, outbound) = (self.session.superseded.clone(), self.session.outbound.clone());
        let clock = self.sessions.parts.clock.clone();
        let mut heard_at = clock.monotonic();
        loop {
            let message = tokio::select! {
                biased;
                () = stopping.cancelled() => return End::Refused(stopping_error()),
                () = superseded.cancelled() => return End::Refused(superseded_error(&self.node)),
                // The answer was cut: the node's credential has ended, and what it still sends counts no more.
                () = outbound.closed() => return End::Left,
                message = tokio::time::timeout(CERTIFICATE_LOOK_INTERVAL, self.inbound.message()) => message,
            };
            if !self.is_certified() {
                return End::Refused(uncertified_error(&self.node));
            }
            match message {
                Err(_) if clock.monotonic().saturating_sub(heard_at) < SILENCE_MAX => {}
                Err(_) => return refuse("no message came for a whole lease"),
                Ok(Err(_) | Ok(None)) => return End::Left,
                Ok(Ok(Some(message))) => {
                    heard_at = clock.monotonic();
                    if let Some(end) = self.handle(message) {
                        return end;
                    }
                }
            }
        }
    }

    /// Its certificate was not taken back, and it has not ended without another one in its place.
    fn is_certified(&self) -> bool {
        let parts = &self.sessions.parts;
        let (view, identity) = (parts.handle.view(), &*self.identity);
        view.check_credential(identity.shown()).is_ok()
            && Members::may_session_go_on(&view, identity, parts.clock.unix_seconds())
    }

    fn handle(&self, message: FromNode) -> Option<End> {
        match message.body {
            Some(from_node::Body::Heartbeat(heartbeat)) => self.pass_on(&heartbeat),
            Some(from_node::Body::LogBatch(batch)) => self.deliver(batch),
            Some(from_node::Body::StreamEnd(end)) => self.session.streams.end(end.stream_id, end.error),
            Some(from_node::Body::Hello(_)) => return Some(refuse("Hello came twice")),
            // A newer agent may say what this server does not know yet.
            None => {}
        }
        None
    }

    fn pass_on(&self, heartbeat: &v1::Heartbeat) {
        let signal = Signal::Beat {
            node: self.node.clone(),
            session: self.session.id,
            sequence: heartbeat.sequence,
            running_sandboxes: heartbeat.running_sandboxes,
        };
        if self.sessions.signals.try_send(signal).is_err() {
            tracing::warn!(node = %self.node, "heartbeat dropped: the relay is behind");
        }
    }

    fn deliver(&self, batch: v1::LogBatch) {
        if self.session.streams.deliver(batch.stream_id, batch.records).is_err() {
            self.say(to_node::Body::CloseStream(v1::CloseStream { stream_id: batch.stream_id }));
        }
    }

    /// Never waits: an agent that does not read its session must not stop the heartbeats in it.
    fn say(&self, body: to_node::Body) {
        let _ = self.session.outbound.try_send(Ok(ToNode { body: Some(body) }));
    }

    fn leave(self, end: End) {
        self.session.streams.close_all();
        self.sessions.table.remove(&self.node, self.session.id);
        let ended = Signal::Ended { node: self.node.clone(), session: self.session.id };
        if self.sessions.signals.try_send(ended).is_err() {
            tracing::debug!(node = %self.node, "the end of the session was not passed on");
        }
        match end {
            End::Left => tracing::info!(node = %self.node, "node disconnected"),
            End::Refused(error) => {
                tracing::info!(node = %self.node, %error, "session ended");
                let _ = self.session.outbound.try_send(Err(error.into()));
            }
        }
    }
}

fn check_name(node: &NodeName, hello: &Hello) -> Result<(), End> {
    if hello.node_name == node.as_str() {
        return Ok(());
    }
    let claimed = &hello.node_name;
    Err(End::Refused(Error::Forbidden(format!("the certificate is of node {node}, Hello says {claimed}"))))
}

fn refuse(problem: &str) -> End {
    End::Refused(Error::Precondition(problem.to_owned()))
}

fn stopping_error() -> Error {
    Error::Unavailable("this server is stopping; open the session with another one".to_owned())
}

fn uncertified_error(node: &NodeName) -> Error {
    Error::Forbidden(format!("the certificate of node {node} was revoked, or has ended"))
}

fn superseded_error(node: &NodeName) -> Error {
    Error::Aborted(format!("a newer session of node {node} exists"))
}

/// Durations on the wire are whole milliseconds; ours are all below a minute.
pub(super) fn millis(duration: Duration) -> u32 {
    u32::try_from(duration.as_millis()).unwrap_or(u32::MAX)
}
