//! Everything that a call can be refused with. `status` makes the words on the wire of it.

use crate::{admission, auth, reads, turns, writes};

/// Why a call is refused.
#[derive(Debug, Clone, PartialEq, thiserror::Error)]
pub enum Error {
    /// Nobody knows who calls.
    #[error(transparent)]
    Unauthenticated(#[from] auth::Error),
    /// Rights or the request's contents.
    #[error(transparent)]
    Refused(#[from] admission::Refusal),
    /// A write did not happen, or may have.
    #[error(transparent)]
    Write(#[from] writes::Error),
    /// Nothing could be read.
    #[error(transparent)]
    Read(#[from] reads::Error),
    /// The caller may not do this, whatever roles say.
    #[error("{0}")]
    Forbidden(String),
    /// There is nothing of that name.
    #[error("{0}")]
    NotFound(String),
    /// Something must happen first.
    #[error("{0}")]
    Precondition(String),
    /// Something newer has taken its place.
    #[error("{0}")]
    Aborted(String),
    /// Not now; perhaps in a moment, perhaps on another server.
    #[error("{0}")]
    Unavailable(String),
    /// A bound is reached.
    #[error("{0}")]
    Exhausted(String),
    /// Too many calls wait already.
    #[error(transparent)]
    Full(#[from] turns::Full),
    /// More bytes than a request may have.
    #[error("{problem}")]
    TooLarge {
        /// What is too large, and the limit.
        problem: String,
        /// What to do instead.
        hint: String,
    },
    /// No server of this version does it.
    #[error("{0}")]
    Unimplemented(String),
    /// A field of the request is wrong.
    #[error("{field}: {problem}")]
    Invalid {
        /// Which.
        field: String,
        /// What is wrong.
        problem: String,
        /// What to do instead; may be empty.
        hint: String,
    },
}

impl Error {
    /// A field of the request is wrong.
    #[must_use]
    pub fn invalid(field: impl Into<String>, problem: impl Into<String>, hint: impl Into<String>) -> Self {
        Self::Invalid { field: field.into(), problem: problem.into(), hint: hint.into() }
    }
}

impl From<boss_raft::ReadError> for Error {
    fn from(error: boss_raft::ReadError) -> Self {
        Self::Read(error.into())
    }
}
