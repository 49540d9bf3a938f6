//! What can go wrong at the door, by what the caller does next.

use boss_proto::ids::ServerId;

use crate::{log, network::BadClusterId, storage, types::Member};

/// Why a server cannot start.
#[derive(Debug, thiserror::Error)]
pub enum StartError {
    /// The log cannot be used.
    #[error("cannot open the log: {0}")]
    Log(#[from] log::OpenError),
    /// The state cannot be used.
    #[error("cannot open the state: {0}")]
    State(#[from] storage::OpenError),
    /// The configuration cannot work.
    #[error("{0}")]
    Configuration(String),
    /// Consensus refused what it found on disk.
    #[error("cannot start consensus: {0}")]
    Consensus(String),
}

impl From<BadClusterId> for StartError {
    fn from(bad: BadClusterId) -> Self {
        Self::Configuration(bad.to_string())
    }
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
    /// So many servers have no room on their disks that nothing could be committed; nothing was proposed.
    #[error("the disk of {} is full; nothing was written", names(.servers))]
    DiskFull {
        /// Which.
        servers: Vec<ServerId>,
    },
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
            Self::NotLeader { .. } | Self::Busy | Self::DiskFull { .. } | Self::Timeout | Self::ShuttingDown => true,
            Self::TooLarge(_) => false,
        }
    }
}

fn names(ids: &[ServerId]) -> String {
    let ids: Vec<_> = ids.iter().map(ToString::to_string).collect();
    format!("{} {}", if ids.len() == 1 { "server" } else { "servers" }, ids.join(", "))
}

/// Why a cluster was not formed.
#[derive(Debug, thiserror::Error)]
pub enum InitializeError {
    /// This server has a log already: the cluster was formed before.
    #[error("this server belongs to a formed cluster already")]
    AlreadyFormed,
    /// Another member belongs to a formed cluster: this server is to join it, not to form a second one.
    #[error("server {server} belongs to a formed cluster already; this server must join that one")]
    FormedElsewhere {
        /// The member that said so.
        server: ServerId,
    },
    /// The list of members cannot work.
    #[error("{0}")]
    Members(String),
    /// The server is stopping.
    #[error("the server is shutting down")]
    ShuttingDown,
}
