//! Why a write did not happen, or may have.

use boss_proto::{key::Key, peer::v1::Refusal};
use boss_raft::{ProposeError, state::Rejection};

use crate::{
    admission::{self, Write},
    auth, turns,
};

/// Why a write did not happen, or may have.
#[derive(Debug, Clone, PartialEq, thiserror::Error)]
pub enum Error {
    /// The leader does not believe the credential that came with a forwarded write.
    #[error(transparent)]
    Unauthenticated(#[from] auth::Error),
    /// Admission says no; nothing was proposed.
    #[error(transparent)]
    Refused(#[from] admission::Refusal),
    /// The rules say no; nothing changed.
    #[error("{}{rejection}", .key.as_ref().map(|key| format!("{key}: ")).unwrap_or_default())]
    Rejected {
        /// Which object it was about.
        key: Option<Key>,
        /// Why.
        rejection: Box<Rejection>,
    },
    /// The leader said no; its words go to the caller as they are.
    #[error("{}", .0.message)]
    Forwarded(Box<Refusal>),
    /// No server led for as long as a write waits; nothing was proposed.
    #[error("no server leads the cluster at the moment")]
    NoLeader,
    /// This server does not lead; nothing was proposed. For leader-only work and for forwarded writes.
    #[error("this server does not lead the cluster")]
    NotLeader,
    /// Too much is going on; nothing was proposed.
    #[error("too many writes wait for their commit")]
    Busy,
    /// Too many writes wait for their turn; nothing was proposed.
    #[error(transparent)]
    Full(#[from] turns::Full),
    /// Full disks leave no majority that could store it; nothing was proposed.
    #[error("{0}")]
    DiskFull(String),
    /// More than an entry can hold; nothing was proposed.
    #[error("{0}")]
    TooLarge(String),
    /// What admission decided on kept changing; nothing was done.
    #[error("what the write depends on keeps changing")]
    Unsettled,
    /// The write may have happened or may still happen.
    #[error("it is not known whether the write happened")]
    Unknown {
        /// Whether it carries a request id, so that sending it again has one effect.
        retryable: bool,
    },
    /// A message of another server makes no sense.
    #[error("{0}")]
    BadMessage(String),
}

impl Error {
    pub(super) fn from_propose(error: ProposeError, write: &Write) -> Self {
        match error {
            ProposeError::Timeout | ProposeError::ShuttingDown => Self::Unknown { retryable: write.is_repeatable() },
            other => other.into(),
        }
    }
}

impl From<ProposeError> for Error {
    fn from(error: ProposeError) -> Self {
        match error {
            ProposeError::NotLeader { .. } => Self::NotLeader,
            ProposeError::Busy => Self::Busy,
            ProposeError::DiskFull { .. } => Self::DiskFull(error.to_string()),
            ProposeError::TooLarge(problem) => Self::TooLarge(problem),
            ProposeError::Timeout | ProposeError::ShuttingDown => Self::Unknown { retryable: false },
        }
    }
}
