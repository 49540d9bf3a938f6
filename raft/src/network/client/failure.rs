//! What openraft is told when a call to a peer fails. Knows no call.

use std::time::Duration;

use openraft::errors::{NetworkError, RPCError, Unreachable};
use tonic::{Code, Status};

use crate::{codec::BadMessage, network::DialError, types::TypeConfig};

pub(super) async fn within<T>(
    timeout: Duration,
    call: impl Future<Output = Result<T, Status>>,
) -> Result<T, RPCError<TypeConfig>> {
    match tokio::time::timeout(timeout, call).await {
        Ok(answer) => answer.map_err(failed),
        Err(_) => Err(unreachable("the peer did not answer in time")),
    }
}

/// A peer that is not there, or not the one, is left alone for a while; anything else is tried again at once.
pub(super) fn failed(status: Status) -> RPCError<TypeConfig> {
    match status.code() {
        Code::Unavailable
        | Code::PermissionDenied
        | Code::Unauthenticated
        | Code::FailedPrecondition
        | Code::ResourceExhausted => unreachable(status),
        _ => RPCError::Network(NetworkError::new(&status)),
    }
}

pub(super) fn unreachable(reason: impl ToString) -> RPCError<TypeConfig> {
    RPCError::Unreachable(Unreachable::from_string(reason))
}

pub(super) fn nonsense(error: BadMessage) -> RPCError<TypeConfig> {
    RPCError::Network(NetworkError::new(&error))
}

/// Stands for the answer that did not come in time.
#[expect(clippy::disallowed_methods, reason = "a call that was given up looks like one that the peer refused")]
pub(super) fn late(what: &'static str) -> Status {
    Status::deadline_exceeded(what)
}

/// Stands for the answer of a peer that cannot even be called.
#[expect(clippy::disallowed_methods, reason = "a call that was never made looks like one that the peer refused")]
pub(super) fn not_dialled(error: &DialError) -> Status {
    Status::unavailable(error.to_string())
}
