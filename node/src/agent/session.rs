//! The agent's one outbound stream to a server: heartbeats out, requests for logs in. When it breaks, or its server
//! has no leader, another server is tried.

use std::{
    collections::BTreeMap,
    sync::{
        Arc,
        atomic::{AtomicU32, Ordering},
    },
    time::Duration,
};

use boss_base::{
    backoff::Backoff,
    clock::Clock,
    tasks::{OnExit, Tasks},
};
use boss_client::Client;
use boss_proto::{
    ids::{NodeName, Uid},
    v1::{self, from_node::Body as Out, node_sessions_client::NodeSessionsClient, to_node::Body as In},
};
use tokio::{
    sync::{Semaphore, mpsc},
    time::{Instant, MissedTickBehavior, interval, timeout},
};
use tokio_stream::wrappers::ReceiverStream;
use tokio_util::sync::CancellationToken;
use tonic::Streaming;

use crate::agent::{
    board::Board,
    log_stream::{LogStream, from_node},
};

/// Messages on their way out. Log batches wait for room; heartbeats come between them.
const OUTBOUND_MAX: usize = 16;
/// Log streams of one node at once; each holds a chunk of log in memory.
const LOG_STREAMS_MAX: usize = 128;
/// For a server to take the session.
const OPEN_MAX: Duration = Duration::from_secs(5);
/// Heartbeats without a leader's confirmation before another server is tried: a server that is cut off from the
/// others still takes them.
const UNCONFIRMED_MAX: u32 = 5;
const RETRY_FIRST: Duration = Duration::from_millis(50);
const RETRY_MAX: Duration = Duration::from_secs(2);

/// What a session needs to know.
#[derive(Clone)]
pub struct Sessions {
    /// Finds servers.
    pub client: Client,
    /// This node.
    pub node: NodeName,
    /// Its Node object.
    pub node_uid: Uid,
    /// This boot of the machine.
    pub boot_id: String,
    /// Sandboxes that run.
    pub running: Arc<AtomicU32>,
    /// Where logs are.
    pub board: Board,
    /// Time.
    pub clock: Arc<dyn Clock>,
    /// Owner of the log streams.
    pub tasks: Tasks,
}

/// Why a session ended.
#[derive(Debug, thiserror::Error)]
enum Ended {
    #[error("the server did not take the session: {}", .0.message())]
    Refused(tonic::Status),
    #[error("the server did not answer in time")]
    TimedOut,
    #[error("the stream broke: {}", .0.message())]
    Broken(tonic::Status),
    #[error("the server ended the session")]
    Closed,
    #[error("no leader has confirmed the latest {UNCONFIRMED_MAX} heartbeats")]
    Unconfirmed,
    #[error("the server says something else than the protocol")]
    Nonsense,
}

impl Sessions {
    /// One session after the other, until cancelled.
    pub async fn run(self) {
        let mut backoff = Backoff::new(RETRY_FIRST, RETRY_MAX);
        loop {
            let session = self.client.session();
            let began = self.clock.monotonic();
            let ended = self.hold(&session).await;
            if self.clock.monotonic().saturating_sub(began) > OPEN_MAX {
                backoff.reset();
            }
            tracing::info!(server = %session.server(), reason = %ended, "the session is over, opening another");
            session.mark_bad();
            tokio::time::sleep(backoff.next_delay(&*self.clock)).await;
        }
    }

    async fn hold(&self, session: &boss_client::Session) -> Ended {
        let (outbound, messages) = mpsc::channel(OUTBOUND_MAX);
        let hello = Out::Hello(v1::Hello {
            node_name: self.node.to_string(),
            node_uid: self.node_uid.to_string(),
            boot_id: self.boot_id.clone(),
            agent_version: env!("CARGO_PKG_VERSION").to_owned(),
        });
        if outbound.send(from_node(hello)).await.is_err() {
            return Ended::Closed;
        }
        let mut client = NodeSessionsClient::new(session.channel());
        let request = session.request(ReceiverStream::new(messages));
        let inbound = match timeout(OPEN_MAX, client.session(request)).await {
            Ok(Ok(response)) => response.into_inner(),
            Ok(Err(status)) => return Ended::Refused(status),
            Err(_) => return Ended::TimedOut,
        };
        match self.welcome(inbound).await {
            Ok((welcome, inbound)) => {
                tracing::info!(server = %session.server(), server_id = welcome.server_id, "session open");
                Open::new(self, outbound, welcome).run(inbound).await
            }
            Err(ended) => ended,
        }
    }

    async fn welcome(&self, mut inbound: Streaming<v1::ToNode>) -> Result<(v1::Welcome, Streaming<v1::ToNode>), Ended> {
        match timeout(OPEN_MAX, inbound.message()).await {
            Ok(Ok(Some(v1::ToNode { body: Some(In::Welcome(welcome)) }))) => Ok((welcome, inbound)),
            Ok(Ok(Some(_))) => Err(Ended::Nonsense),
            Ok(Ok(None)) => Err(Ended::Closed),
            Ok(Err(status)) => Err(Ended::Refused(status)),
            Err(_) => Err(Ended::TimedOut),
        }
    }
}

/// A session that a server has taken.
struct Open<'a> {
    sessions: &'a Sessions,
    outbound: mpsc::Sender<v1::FromNode>,
    heartbeat_interval: Duration,
    sequence: u64,
    unconfirmed: u32,
    streams: BTreeMap<u64, Stream>,
}

struct Stream {
    credits: Arc<Semaphore>,
    /// Cancelled when dropped, so no stream outlives its session.
    _guard: tokio_util::sync::DropGuard,
}

impl<'a> Open<'a> {
    fn new(sessions: &'a Sessions, outbound: mpsc::Sender<v1::FromNode>, welcome: v1::Welcome) -> Self {
        // Between ten a second and one a minute, whatever a server says.
        let heartbeat_interval = Duration::from_millis(u64::from(welcome.heartbeat_interval_ms.clamp(100, 60_000)));
        Self { sessions, outbound, heartbeat_interval, sequence: 0, unconfirmed: 0, streams: BTreeMap::new() }
    }

    async fn run(mut self, mut inbound: Streaming<v1::ToNode>) -> Ended {
        let mut ticks = interval(self.heartbeat_interval);
        ticks.set_missed_tick_behavior(MissedTickBehavior::Delay);
        loop {
            let ended = tokio::select! {
                at = ticks.tick() => self.send_heartbeat(at).await,
                message = inbound.message() => match message {
                    Ok(Some(message)) => self.handle(message),
                    Ok(None) => Some(Ended::Closed),
                    Err(status) => Some(Ended::Broken(status)),
                },
            };
            if let Some(ended) = ended {
                return ended;
            }
        }
    }

    async fn send_heartbeat(&mut self, _at: Instant) -> Option<Ended> {
        if self.unconfirmed >= UNCONFIRMED_MAX {
            return Some(Ended::Unconfirmed);
        }
        self.sequence += 1;
        self.unconfirmed += 1;
        let boottime = self.sessions.clock.boottime().as_millis();
        let heartbeat = Out::Heartbeat(v1::Heartbeat {
            sequence: self.sequence,
            sent_at_boottime_ms: u64::try_from(boottime).unwrap_or(u64::MAX),
            running_sandboxes: self.sessions.running.load(Ordering::Relaxed),
        });
        // A server that reads nothing for a whole interval is as good as gone.
        match timeout(self.heartbeat_interval * 2, self.outbound.send(from_node(heartbeat))).await {
            Ok(Ok(())) => None,
            Ok(Err(_)) => Some(Ended::Closed),
            Err(_) => Some(Ended::TimedOut),
        }
    }

    fn handle(&mut self, message: v1::ToNode) -> Option<Ended> {
        self.streams.retain(|_, stream| Arc::strong_count(&stream.credits) > 1);
        match message.body {
            Some(In::HeartbeatAck(ack)) => {
                if ack.lease_ms > 0 {
                    self.unconfirmed = 0;
                }
            }
            Some(In::OpenLogs(open)) => self.open_logs(open),
            Some(In::StreamCredit(credit)) => {
                if let Some(stream) = self.streams.get(&credit.stream_id) {
                    let room = Semaphore::MAX_PERMITS - stream.credits.available_permits();
                    stream.credits.add_permits(room.min(credit.batches as usize));
                }
            }
            Some(In::CloseStream(close)) => drop(self.streams.remove(&close.stream_id)),
            // What later servers say besides is not for us.
            Some(In::Welcome(_)) | None => {}
        }
        None
    }

    fn open_logs(&mut self, open: v1::OpenLogs) {
        let stream_id = open.stream_id;
        let progress = self.sessions.board.follow(&Uid::from(open.pod_uid));
        let problem = match &progress {
            None => Some("nothing of the pod has run on this node yet"),
            Some(_) if self.streams.len() >= LOG_STREAMS_MAX => Some("the node serves too many log streams already"),
            Some(_) => None,
        };
        let outbound = self.outbound.clone();
        let (token, credits) = (CancellationToken::new(), Arc::new(Semaphore::new(open.window_batches as usize)));
        let stream = progress.filter(|_| problem.is_none()).map(|progress| LogStream {
            stream_id,
            request: open.request.unwrap_or_default(),
            progress,
            credits: Arc::clone(&credits),
            outbound: outbound.clone(),
        });
        self.streams.insert(stream_id, Stream { credits, _guard: token.clone().drop_guard() });
        let all = self.sessions.tasks.token();
        let send = async move {
            match stream {
                Some(stream) => stream.run().await,
                None => {
                    let error = problem.unwrap_or_default().to_owned();
                    let _ = outbound.send(from_node(Out::StreamEnd(v1::StreamEnd { stream_id, error }))).await;
                }
            }
        };
        self.sessions.tasks.spawn("log stream", OnExit::Log, async move {
            tokio::select! {
                () = all.cancelled() => {}
                () = token.cancelled() => {}
                () = send => {}
            }
        });
    }
}
