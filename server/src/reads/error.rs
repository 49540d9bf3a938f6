//! Why nothing can be shown.

use boss_proto::{ids::Revision, key::Key, limits::WATCHES_MAX};
use boss_raft::{ReadError, WatchError, state::PastError};

use crate::{admission, auth};

/// Why nothing can be shown.
#[derive(Debug, Clone, PartialEq, thiserror::Error)]
pub enum Error {
    /// The credential has ended while the stream was open.
    #[error(transparent)]
    Unauthenticated(#[from] auth::Error),
    /// The caller has no right to it, or a field of the request is wrong.
    #[error(transparent)]
    Refused(#[from] admission::Refusal),
    /// There is no such object.
    #[error("{key} does not exist")]
    NotFound {
        /// What was asked for.
        key: Key,
    },
    /// Nobody could confirm that this server is up to date.
    #[error("no leader could confirm that the answer is up to date")]
    NoLeader,
    /// This server did not catch up in time.
    #[error("this server has only reached revision {applied}")]
    Behind {
        /// What it has.
        applied: Revision,
    },
    /// This server's state is not the cluster's; it takes the others' and starts anew.
    #[error("this server's state differs from the other servers'; it takes theirs and starts anew")]
    Aside,
    /// The server is stopping.
    #[error("the server is shutting down")]
    ShuttingDown,
    /// What was asked for is not kept any more.
    #[error("the registry does not keep what followed that revision any more, it is at revision {current}")]
    Expired {
        /// Where to go on from.
        current: Revision,
    },
    /// This server serves as many watches as it can.
    #[error("{WATCHES_MAX} watches are open on this server, its limit")]
    TooManyWatches,
}

impl From<ReadError> for Error {
    fn from(error: ReadError) -> Self {
        match error {
            ReadError::NoLeader => Self::NoLeader,
            ReadError::Behind { applied } => Self::Behind { applied },
            ReadError::Aside => Self::Aside,
            ReadError::ShuttingDown => Self::ShuttingDown,
        }
    }
}

impl From<PastError> for Error {
    fn from(error: PastError) -> Self {
        match error {
            PastError::Expired { current } => Self::Expired { current },
            PastError::Ahead { current } => Self::Behind { applied: current },
        }
    }
}

impl From<WatchError> for Error {
    fn from(error: WatchError) -> Self {
        match error {
            WatchError::Expired { current } => Self::Expired { current },
            WatchError::Closed => Self::ShuttingDown,
        }
    }
}
