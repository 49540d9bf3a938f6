//! Which error becomes which status on the wire: the one place that makes them. Knows no call.
#![expect(clippy::disallowed_methods, reason = "this is the one place of the server that makes statuses")]

use boss_proto::{peer::v1::Refusal as ForwardedRefusal, v1::ErrorInfo};
use boss_raft::state::Rejection;
use bytes::Bytes;
use prost::Message;
use tonic::{
    Code, Status,
    metadata::{BinaryMetadataValue, MetadataMap},
};

use super::Error;
use crate::{admission::Refusal, auth, reads, turns, writes};

/// Trailer that carries the encoded [`ErrorInfo`].
pub const ERROR_INFO: &str = "boss-error-bin";

/// Longer messages would not fit into the header list of a client.
const MESSAGE_BYTES_MAX: usize = 2 * 1024;
/// When the log is full: some hundred writes are through by then.
const BUSY_RETRY_AFTER_MS: u32 = 100;
const NOT_LEADER: &str = "NOT_LEADER";

/// The status of an error.
#[must_use]
pub fn to_status(error: &Error) -> Status {
    let (code, info) = describe(error);
    make(code, &shorten(error.to_string()), &info)
}

impl From<Error> for Status {
    fn from(error: Error) -> Self {
        to_status(&error)
    }
}

impl From<auth::Error> for Status {
    fn from(error: auth::Error) -> Self {
        to_status(&error.into())
    }
}

/// The same for the server that passed the call on.
#[must_use]
pub fn to_refusal(error: &Error) -> ForwardedRefusal {
    let (code, info) = describe(error);
    ForwardedRefusal { code: code.into(), message: shorten(error.to_string()), info: Some(info) }
}

/// Reads what [`to_status`] made of an error on another server; `None` when it did not come from there.
#[must_use]
pub fn read_refusal(status: &Status) -> Option<ForwardedRefusal> {
    let info = status.metadata().get_bin(ERROR_INFO)?.to_bytes().ok()?;
    let info = ErrorInfo::decode(info).ok()?;
    Some(ForwardedRefusal { code: status.code().into(), message: status.message().to_owned(), info: Some(info) })
}

/// Whether the receiver of a forwarded write did nothing, because it does not lead.
#[must_use]
pub fn says_not_leader(refusal: &ForwardedRefusal) -> bool {
    refusal.info.as_ref().is_some_and(|info| info.reason == NOT_LEADER)
}

fn make(code: Code, message: &str, info: &ErrorInfo) -> Status {
    let mut metadata = MetadataMap::new();
    metadata.insert_bin(ERROR_INFO, BinaryMetadataValue::from_bytes(&info.encode_to_vec()));
    Status::with_details_and_metadata(code, message, Bytes::new(), metadata)
}

fn shorten(mut message: String) -> String {
    if message.len() > MESSAGE_BYTES_MAX {
        let end = (0..=MESSAGE_BYTES_MAX).rev().find(|end| message.is_char_boundary(*end)).unwrap_or(0);
        message.truncate(end);
        message.push('…');
    }
    message
}

fn describe(error: &Error) -> (Code, ErrorInfo) {
    match error {
        Error::Unauthenticated(error) => describe_auth(error),
        Error::Refused(refusal) => describe_refusal(refusal),
        Error::Write(error) => describe_write(error),
        Error::Read(error) => describe_read(error),
        Error::Forbidden(_) => (Code::PermissionDenied, forbidden()),
        Error::NotFound(_) => (Code::NotFound, info("NOT_FOUND", "")),
        Error::Precondition(_) => (Code::FailedPrecondition, info("PRECONDITION", "")),
        Error::Aborted(_) => (Code::Aborted, info("SUPERSEDED", "")),
        Error::Unavailable(_) => (Code::Unavailable, retryable("UNAVAILABLE", "try again, or ask another server")),
        Error::Exhausted(_) => (Code::ResourceExhausted, retryable("BUSY", "try again later")),
        Error::Full(full) => (Code::ResourceExhausted, busy(full)),
        Error::TooLarge { hint, .. } => (Code::InvalidArgument, info("TOO_LARGE", hint)),
        Error::Unimplemented(_) => (Code::Unimplemented, info("UNIMPLEMENTED", "is client and server of one version?")),
        Error::Invalid { field, hint, .. } => (Code::InvalidArgument, invalid("INVALID", field, hint)),
    }
}

fn describe_auth(error: &auth::Error) -> (Code, ErrorInfo) {
    let (reason, hint) = match error {
        auth::Error::Missing => ("UNAUTHENTICATED", "use a token or a client certificate: bossctl context"),
        auth::Error::MalformedHeader(_) => ("UNAUTHENTICATED", "send one header, authorization: Bearer TOKEN"),
        auth::Error::Token(boss_base::jwt::Refusal::Expired) | auth::Error::Expired(_) => {
            ("CREDENTIALS_EXPIRED", "get a new token or certificate")
        }
        auth::Error::Token(_) | auth::Error::TokenClaims(_) => ("UNAUTHENTICATED", "is the token of this cluster?"),
        auth::Error::IdToken(_) => ("UNAUTHENTICATED", "log in anew: bossctl login"),
        auth::Error::Withdrawn(_) => return (Code::Unauthenticated, revoked()),
        auth::Error::Certificate(_) => ("UNAUTHENTICATED", "is the certificate of this cluster?"),
    };
    (Code::Unauthenticated, info(reason, hint))
}

fn describe_refusal(refusal: &Refusal) -> (Code, ErrorInfo) {
    match refusal {
        Refusal::Forbidden { .. } => (Code::PermissionDenied, forbidden()),
        Refusal::Withdrawn(_) => (Code::Unauthenticated, revoked()),
        Refusal::Unsealable(_) => {
            (Code::Unavailable, retryable("SEALING_KEY_MISSING", "give every server the file with the sealing keys"))
        }
        Refusal::TooLarge { .. } => (Code::InvalidArgument, info("TOO_LARGE", "make the object smaller")),
        Refusal::NotFound { .. } => (Code::NotFound, info("NOT_FOUND", "")),
        Refusal::FieldConflicts(conflicts) => {
            let field = conflicts.first().map_or("", |conflict| &conflict.field);
            let hint = "leave these fields to their managers, or take them over with force";
            (Code::Aborted, invalid("FIELD_CONFLICT", field, hint))
        }
        Refusal::Policies(_) => (
            Code::PermissionDenied,
            info("POLICY_DENIED", "change the object so that the policy holds: bossctl policy test shows it offline"),
        ),
        Refusal::Invalid(problems) => {
            let Some(first) = problems.first() else { return (Code::InvalidArgument, info("INVALID", "")) };
            let reason = first.reason.map_or("INVALID", boss_proto::intent::Reason::as_str);
            (Code::InvalidArgument, invalid(reason, &first.field, &first.hint))
        }
    }
}

fn describe_write(error: &writes::Error) -> (Code, ErrorInfo) {
    const AGAIN: &str = "try again in a moment";
    match error {
        writes::Error::Unauthenticated(error) => describe_auth(error),
        writes::Error::Refused(refusal) => describe_refusal(refusal),
        writes::Error::Rejected { rejection, .. } => describe_rejection(rejection),
        writes::Error::Forwarded(refusal) => (Code::from_i32(refusal.code), refusal.info.clone().unwrap_or_default()),
        writes::Error::NoLeader => (Code::Unavailable, retryable("NO_LEADER", AGAIN)),
        writes::Error::NotLeader => (Code::Unavailable, retryable(NOT_LEADER, AGAIN)),
        writes::Error::Busy => {
            (Code::ResourceExhausted, ErrorInfo { retry_after_ms: BUSY_RETRY_AFTER_MS, ..retryable("BUSY", AGAIN) })
        }
        writes::Error::Full(full) => (Code::ResourceExhausted, busy(full)),
        writes::Error::DiskFull(_) => (
            Code::ResourceExhausted,
            retryable("DISK_FULL", "free space on the file systems of these servers' data folders; reads still work"),
        ),
        writes::Error::TooLarge(_) => (Code::InvalidArgument, info("TOO_LARGE", "make the object smaller")),
        writes::Error::Unsettled => (Code::Aborted, retryable("UNSETTLED", AGAIN)),
        writes::Error::Unknown { retryable } => {
            let hint = if *retryable { "send the same request again" } else { "read the object to find out" };
            (Code::DeadlineExceeded, ErrorInfo { retryable: *retryable, ..info("OUTCOME_UNKNOWN", hint) })
        }
        writes::Error::BadMessage(_) => (Code::Internal, info("INTERNAL", "are all servers of compatible versions?")),
    }
}

fn describe_rejection(rejection: &Rejection) -> (Code, ErrorInfo) {
    const READ_AGAIN: &str = "read the object again and repeat the change";
    let at = |current: u64, info: ErrorInfo| ErrorInfo { current_revision: current, ..info };
    match rejection {
        Rejection::AlreadyExists { current } => {
            (Code::AlreadyExists, at(current.0, info("ALREADY_EXISTS", "choose another name, or update the object")))
        }
        Rejection::NotFound => (Code::NotFound, info("NOT_FOUND", "")),
        Rejection::Conflict { current } => (Code::Aborted, at(current.0, info("CONFLICT", READ_AGAIN))),
        Rejection::UidMismatch { .. } => (Code::Aborted, info("CONFLICT", READ_AGAIN)),
        Rejection::Forbidden { .. } => (Code::PermissionDenied, forbidden()),
        Rejection::Withdrawn(_) => (Code::Unauthenticated, revoked()),
        Rejection::Infeasible { .. } => (Code::FailedPrecondition, info("INFEASIBLE", "")),
        Rejection::AlreadyBound { .. } => (Code::FailedPrecondition, info("ALREADY_BOUND", "")),
        Rejection::RequestExpired { floor } => {
            (Code::FailedPrecondition, at(floor.0, info("REQUEST_EXPIRED", "read the object to find out")))
        }
        Rejection::StaleLeader { .. } => (Code::Unavailable, retryable(NOT_LEADER, "")),
        Rejection::Invalid { field, hint, .. } => (Code::InvalidArgument, invalid("INVALID", field, hint)),
        Rejection::NamespaceMissing { .. } => {
            (Code::NotFound, invalid("NAMESPACE_MISSING", "metadata.namespace", "create the namespace first"))
        }
        Rejection::NamespaceTerminating { .. } => (
            Code::FailedPrecondition,
            invalid("NAMESPACE_TERMINATING", "metadata.namespace", "use another, or wait until it is gone"),
        ),
        Rejection::TooLarge { .. } => (Code::InvalidArgument, info("TOO_LARGE", "make the object smaller")),
        Rejection::QuotaExceeded { resource, .. } => (
            Code::FailedPrecondition,
            invalid("QUOTA_EXCEEDED", resource, "ask for less, delete what is not needed, or have the quota raised"),
        ),
        Rejection::InTxn { rejection, .. } => describe_rejection(rejection),
        Rejection::Internal => (Code::Internal, info("INTERNAL", "the servers' logs say more")),
    }
}

fn describe_read(error: &reads::Error) -> (Code, ErrorInfo) {
    const AGAIN: &str = "try again in a moment, or ask another server";
    match error {
        reads::Error::Unauthenticated(error) => describe_auth(error),
        reads::Error::Refused(refusal) => describe_refusal(refusal),
        reads::Error::NotFound { .. } => (Code::NotFound, info("NOT_FOUND", "")),
        reads::Error::NoLeader => (Code::Unavailable, retryable("NO_LEADER", AGAIN)),
        reads::Error::Behind { applied } => {
            (Code::Unavailable, ErrorInfo { current_revision: applied.0, ..retryable("BEHIND", AGAIN) })
        }
        reads::Error::Aside => (Code::Unavailable, retryable("STATE_DIFFERS", "ask another server")),
        reads::Error::ShuttingDown => (Code::Unavailable, retryable("SHUTTING_DOWN", "ask another server")),
        reads::Error::Expired { current } => (
            Code::OutOfRange,
            ErrorInfo { current_revision: current.0, ..info("EXPIRED", "list again and go on from there") },
        ),
        reads::Error::TooManyWatches => (Code::ResourceExhausted, retryable("BUSY", "ask another server")),
    }
}

fn info(reason: &str, hint: &str) -> ErrorInfo {
    ErrorInfo { reason: reason.to_owned(), hint: hint.to_owned(), ..Default::default() }
}

fn retryable(reason: &str, hint: &str) -> ErrorInfo {
    ErrorInfo { retryable: true, ..info(reason, hint) }
}

fn busy(full: &turns::Full) -> ErrorInfo {
    let retry_after_ms = u32::try_from(full.retry_after.as_millis()).unwrap_or(u32::MAX);
    ErrorInfo {
        retry_after_ms,
        ..retryable("BUSY", "wait as long as retryAfterMs says, then send the same call again")
    }
}

fn invalid(reason: &str, field: &str, hint: &str) -> ErrorInfo {
    ErrorInfo { field: field.to_owned(), ..info(reason, hint) }
}

fn revoked() -> ErrorInfo {
    info("CREDENTIALS_REVOKED", "log in anew, or get a new token or certificate: bossctl login")
}

fn forbidden() -> ErrorInfo {
    info("FORBIDDEN", "ask an administrator for a role binding: bossctl auth can-i")
}
