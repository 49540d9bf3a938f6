//! What a server says of itself. Knows no calls.

use boss_proto::ids::{Revision, ServerId};
use openraft::{RaftMetrics, ServerState};

use crate::types::{LogId, Member, TypeConfig};

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

impl Role {
    /// As people read it.
    #[must_use]
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Leader => "leader",
            Self::Follower => "follower",
            Self::Candidate => "candidate",
            Self::Learner => "learner",
            Self::Stopped => "stopped",
        }
    }

    fn of(metrics: &RaftMetrics<TypeConfig>) -> Self {
        match (&metrics.running_state, metrics.state) {
            (Err(_), _) | (_, ServerState::Shutdown) => Self::Stopped,
            (Ok(()), ServerState::Leader) => Self::Leader,
            (Ok(()), ServerState::Follower) => Self::Follower,
            (Ok(()), ServerState::Candidate) => Self::Candidate,
            (Ok(()), ServerState::Learner) => Self::Learner,
        }
    }
}

/// The room on the disk of a server's data folder.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct DiskStatus {
    /// Bytes free, without the reserve.
    pub free_bytes: u64,
    /// Below the reserve: the server takes no writes.
    pub full: bool,
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
    /// The room on its disk.
    pub disk: DiskStatus,
    /// Bytes of log, state and snapshots on disk.
    pub store_bytes: u64,
    /// Running hash of the state in hexadecimal digits.
    pub state_hash: String,
    /// The members.
    pub members: Vec<Member>,
    /// Ids of the members that vote.
    pub voters: Vec<ServerId>,
}

/// What the registry adds to the figures of the core.
pub(super) struct Registry {
    pub(super) applied: Option<LogId>,
    pub(super) snapshot: Option<LogId>,
    pub(super) revision: Revision,
    pub(super) objects: u64,
    pub(super) disk: DiskStatus,
    pub(super) store_bytes: u64,
    pub(super) state_hash: String,
}

pub(super) fn status(metrics: &RaftMetrics<TypeConfig>, registry: Registry) -> Status {
    let index = |id: Option<LogId>| id.map_or(0, |id| id.index);
    Status {
        id: ServerId(metrics.id),
        role: Role::of(metrics),
        term: metrics.current_term,
        leader: metrics.current_leader.map(ServerId),
        last_log_index: metrics.last_log_index.unwrap_or_default(),
        committed_index: index(metrics.cluster_committed.max(metrics.local_committed)),
        applied_index: index(registry.applied),
        snapshot_index: index(registry.snapshot),
        purged_index: index(metrics.purged),
        revision: registry.revision,
        objects: registry.objects,
        disk: registry.disk,
        store_bytes: registry.store_bytes,
        state_hash: registry.state_hash,
        members: members(metrics),
        voters: metrics.membership_config.voter_ids().map(ServerId).collect(),
    }
}

/// The members as the core knows them, voters and learners.
pub(super) fn members(metrics: &RaftMetrics<TypeConfig>) -> Vec<Member> {
    let nodes = metrics.membership_config.nodes();
    nodes.map(|(id, address)| Member::new(*id, address.clone())).collect()
}
