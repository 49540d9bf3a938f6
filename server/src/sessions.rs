//! The sessions that agents hold with this server: liveness, and what is asked of nodes. The control plane never dials
//! a node. Knows no controller and no scheduler.

mod confirm;
mod forward;
pub mod liveness;
mod logs;
mod pods;
mod relay;
mod session;
mod streams;
mod table;

use std::{
    collections::HashMap,
    sync::{Arc, Mutex, MutexGuard, PoisonError, atomic::AtomicU64},
    time::Duration,
};

use boss_base::{
    clock::Clock,
    tasks::{OnExit, Tasks},
};
use boss_proto::ids::{ClusterId, NodeName, ServerId};
use boss_raft::Handle;
use tokio::sync::{Notify, mpsc};

use self::{
    liveness::{Liveness, Verdict},
    relay::Signal,
    table::Table,
};
pub use self::{pods::PodsService, session::NodeSessionsService};
use crate::writes::Peers;

/// How often an agent reports. Ten of them fit into a lease.
pub const HEARTBEAT_INTERVAL: Duration = Duration::from_secs(1);

/// Heartbeats that wait for the relay. One that finds it full is dropped: the agent's next one is a second away.
const SIGNALS_MAX: usize = 16 * 1024;

/// What the sessions stand on.
pub struct Parts {
    /// The registry and who leads.
    pub handle: Handle,
    /// Time.
    pub clock: Arc<dyn Clock>,
    /// Owner of every session's task.
    pub tasks: Tasks,
    /// The other servers.
    pub peers: Peers,
    /// Told to agents.
    pub cluster_id: ClusterId,
    /// This server.
    pub server_id: ServerId,
}

/// Every session of this server and, on the leader, the liveness of every node.
pub struct Sessions {
    parts: Parts,
    table: Table,
    liveness: Mutex<Liveness>,
    /// A node appeared or came back.
    returned: Notify,
    signals: mpsc::Sender<Signal>,
    /// Numbers the heartbeat streams of other servers, so that the end of an old one does not disconnect the new one.
    relays: Mutex<HashMap<ServerId, u64>>,
    next_relay: AtomicU64,
}

impl Sessions {
    /// Starts the heartbeat relay.
    #[must_use]
    pub fn new(parts: Parts) -> Arc<Self> {
        let (signals, received) = mpsc::channel(SIGNALS_MAX);
        let tasks = parts.tasks.clone();
        let sessions = Arc::new(Self {
            parts,
            table: Table::default(),
            liveness: Mutex::default(),
            returned: Notify::new(),
            signals,
            relays: Mutex::default(),
            next_relay: AtomicU64::new(1),
        });
        let relay = relay::Relay::new(Arc::clone(&sessions), received);
        tasks.spawn("heartbeat-relay", OnExit::StopProcess, relay.run(tasks.token()));
        sessions
    }

    /// The service for agents.
    #[must_use]
    pub fn node_sessions(self: &Arc<Self>) -> NodeSessionsService {
        NodeSessionsService::new(Arc::clone(self))
    }

    /// The service for people.
    #[must_use]
    pub fn pods(self: &Arc<Self>) -> PodsService {
        PodsService::new(Arc::clone(self))
    }

    /// What the leader may say about each of these nodes now.
    pub fn verdicts<'n>(&self, nodes: impl Iterator<Item = &'n NodeName>) -> Vec<(&'n NodeName, Verdict)> {
        let now = self.parts.clock.monotonic();
        let mut liveness = self.liveness();
        liveness.look(now);
        nodes.map(|node| (node, liveness.verdict(node, now))).collect()
    }

    /// Forgets silent nodes that are not registered any more.
    pub fn retain_nodes(&self, registered: impl Fn(&NodeName) -> bool) {
        self.liveness().retain(registered, self.now());
    }

    /// Resolves when a node appeared or came back since the last call.
    pub async fn node_returned(&self) {
        self.returned.notified().await;
    }

    /// The monotonic time that verdicts are given in.
    #[must_use]
    pub fn now(&self) -> Duration {
        self.parts.clock.monotonic()
    }

    fn relays(&self) -> MutexGuard<'_, HashMap<ServerId, u64>> {
        self.relays.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn liveness(&self) -> MutexGuard<'_, Liveness> {
        self.liveness.lock().unwrap_or_else(PoisonError::into_inner)
    }
}
