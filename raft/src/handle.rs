//! The one door to the replicated registry: propose, read, watch, lead, stop. Knows no user-facing API.

use std::sync::Arc;

use boss_base::{clock::Clock, tasks::Tasks};
use boss_proto::{
    ids::{Revision, ServerId},
    raft::v1::Operation,
};
use tokio::sync::watch;

use crate::{
    config::Config,
    network::{PeerDialer, PeerIdentity},
    reads::ReadError,
    state::{Interest, Outcome, View},
    types::Member,
    watch::Watcher,
};

/// Opens what the disk holds and joins the others; forms no cluster by itself.
pub async fn start(
    _config: Config,
    _dialer: PeerDialer,
    _clock: Arc<dyn Clock>,
    _tasks: Tasks,
) -> Result<Handle, StartError> {
    unimplemented!("lands with the log and the network")
}

/// Why a server cannot start.
#[derive(Debug, thiserror::Error)]
pub enum StartError {
    /// The data directory cannot be used.
    #[error("cannot open the data directory")]
    Storage(#[source] Box<dyn std::error::Error + Send + Sync>),
    /// Consensus refused its settings or what it found on disk.
    #[error("cannot start consensus: {0}")]
    Consensus(String),
}

/// Who leads, as this server sees it.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct Leadership {
    /// The current term.
    pub term: u64,
    /// The leader of that term, when it is known.
    pub leader: Option<ServerId>,
    /// Whether this server is that leader.
    pub is_self: bool,
    /// This server leads and has applied an entry of its own term: only then may leader-only work start.
    pub ready: bool,
}

/// What a server does in the group.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Role {
    /// Orders the writes.
    Leader,
    /// Votes and follows.
    Follower,
    /// Stands for election.
    Candidate,
    /// Follows without a vote.
    Learner,
    /// The core has stopped.
    Stopped,
}

/// This server's own figures.
#[derive(Debug, Clone)]
pub struct Status {
    /// This server.
    pub id: ServerId,
    /// What it does in the group.
    pub role: Role,
    /// The current term.
    pub term: u64,
    /// The leader, when it is known.
    pub leader: Option<ServerId>,
    /// Last entry in the log.
    pub last_log_index: u64,
    /// Last entry known to be on a majority.
    pub committed_index: u64,
    /// Last entry applied to the state.
    pub applied_index: u64,
    /// Last entry covered by a durable snapshot; 0 without one.
    pub snapshot_index: u64,
    /// Last entry removed from the log; 0 when none was.
    pub purged_index: u64,
    /// Registry-wide revision.
    pub revision: Revision,
    /// Objects in the registry.
    pub objects: u64,
    /// Bytes of log, state and snapshots on disk.
    pub store_bytes: u64,
    /// Running hash of the state in hexadecimal digits.
    pub state_hash: String,
    /// The members.
    pub members: Vec<Member>,
    /// Ids of the members that vote.
    pub voters: Vec<ServerId>,
}

/// Why a proposal got no outcome.
#[derive(Debug, Clone, thiserror::Error)]
pub enum ProposeError {
    /// Another server must be asked; nothing was proposed.
    #[error("this server does not lead")]
    NotLeader {
        /// Who leads, when it is known.
        leader: Option<Member>,
    },
    /// Too many proposals wait for their commit; nothing was proposed.
    #[error("too many writes wait for their commit")]
    Busy,
    /// The command is above its bounds; nothing was proposed.
    #[error("{0}")]
    TooLarge(String),
    /// The outcome is unknown: the write may still happen.
    #[error("no majority answered in time; the write may still happen")]
    Timeout,
    /// The server is stopping; the write may or may not happen.
    #[error("the server is shutting down")]
    ShuttingDown,
}

impl ProposeError {
    /// Whether the same request id may be sent again, here or elsewhere.
    #[must_use]
    pub fn is_retryable(&self) -> bool {
        match self {
            Self::NotLeader { .. } | Self::Busy | Self::Timeout | Self::ShuttingDown => true,
            Self::TooLarge(_) => false,
        }
    }
}

/// Why a cluster was not formed.
#[derive(Debug, thiserror::Error)]
pub enum InitializeError {
    /// This server has a log already: the cluster was formed before.
    #[error("this server belongs to a formed cluster already")]
    AlreadyFormed,
    /// The list of members cannot work.
    #[error("{0}")]
    Members(String),
    /// The server is stopping.
    #[error("the server is shutting down")]
    ShuttingDown,
}

/// Cheap to clone; every clone speaks to the same server.
#[derive(Clone)]
pub struct Handle {}

impl Handle {
    /// The state as last applied here; may lag behind the leader.
    #[must_use]
    pub fn view(&self) -> View {
        unimplemented!()
    }

    /// A state that contains every write acknowledged before this call, on any server.
    pub async fn linearizable(&self) -> Result<View, ReadError> {
        unimplemented!()
    }

    /// A state of at least `revision`, once this server has applied it.
    pub async fn at_least(&self, _revision: Revision) -> Result<View, ReadError> {
        unimplemented!()
    }

    /// Orders the operations as one entry and waits until it is applied here. Leader only; stamps the time.
    pub async fn propose(&self, _operations: Vec<Operation>) -> Result<Vec<Outcome>, ProposeError> {
        unimplemented!()
    }

    /// Who leads, and every change of it.
    #[must_use]
    pub fn leadership(&self) -> watch::Receiver<Leadership> {
        unimplemented!()
    }

    /// The revision that this server has applied, and every change of it.
    #[must_use]
    pub fn applied(&self) -> watch::Receiver<Revision> {
        unimplemented!()
    }

    /// Every event after `from` that concerns `interest`, in order, once.
    #[must_use]
    pub fn watch(&self, _interest: Interest, _from: Revision) -> Watcher {
        unimplemented!()
    }

    /// This server's own figures.
    #[must_use]
    pub fn status(&self) -> Status {
        unimplemented!()
    }

    /// The members, as last known here.
    #[must_use]
    pub fn members(&self) -> Vec<Member> {
        unimplemented!()
    }

    /// Whether this server belongs to a formed cluster: it has a vote, a log or a membership.
    #[must_use]
    pub fn is_formed(&self) -> bool {
        unimplemented!()
    }

    /// Forms the cluster. Exactly once, on exactly one server.
    pub async fn initialize(&self, _members: Vec<Member>) -> Result<(), InitializeError> {
        unimplemented!()
    }

    /// What the peer listener serves. `identity` reads from a request who the caller's certificate says it is.
    #[must_use]
    pub fn peer_service(&self, _identity: PeerIdentity) -> crate::network::PeerService {
        unimplemented!()
    }

    /// Hands over leadership, stops the core and flushes. Safe to call twice.
    pub async fn shutdown(&self) {
        unimplemented!()
    }

    /// Resolves with the reason when the core has died; the process must end then.
    pub async fn failed(&self) -> String {
        unimplemented!()
    }
}
