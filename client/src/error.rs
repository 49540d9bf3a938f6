//! What can go wrong with a call, by what the caller does next, and what a failed attempt means for the next one.
//! Sends nothing.

use std::{error::Error as StdError, fmt, io, time::Duration};

use boss_base::tls::ConnectError;
use boss_proto::{ids::Revision, v1::ErrorInfo};
use prost::Message;
use tonic::{Code, Status};

/// Where servers put their [`ErrorInfo`].
const DETAIL_HEADER: &str = "boss-error-bin";

/// What to tell a person.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Detail {
    /// What happened.
    pub message: String,
    /// What to do next; often empty.
    pub hint: String,
    /// The server's stable word for it; empty when no server said anything.
    pub reason: String,
}

impl fmt::Display for Detail {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.message)
    }
}

impl Detail {
    pub(crate) fn new(message: impl Into<String>) -> Self {
        Self { message: message.into(), ..Self::default() }
    }
}

/// Why a call gave no result.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum Error {
    /// The object has changed since it was read: read it again, change it again.
    #[error("{detail}")]
    Conflict {
        /// What happened.
        detail: Detail,
        /// The object's revision now.
        current: Revision,
    },
    /// There is no such object.
    #[error("{0}")]
    NotFound(Detail),
    /// There is such an object already.
    #[error("{0}")]
    AlreadyExists(Detail),
    /// The request itself is wrong: correct it.
    #[error("{detail}")]
    Invalid {
        /// What happened.
        detail: Detail,
        /// The path of the field to blame; empty when it is none.
        field: String,
    },
    /// The caller is known but may not do this.
    #[error("{0}")]
    Forbidden(Detail),
    /// The credentials are not good, or no longer.
    #[error("{0}")]
    Unauthenticated(Detail),
    /// The state of things forbids it: another uid, a namespace that is going away.
    #[error("{0}")]
    Precondition(Detail),
    /// The registry's history does not reach back that far: list again.
    #[error("{detail}")]
    Expired {
        /// What happened.
        detail: Detail,
        /// The registry's revision now.
        current: Revision,
    },
    /// The request's id is too old to be told from a new one: whether it was done is unknown. Look, then decide.
    #[error("{detail}")]
    RequestExpired {
        /// What happened.
        detail: Detail,
        /// The registry's revision now.
        current: Revision,
    },
    /// The servers have too much to do: come back later.
    #[error("{0}")]
    Overloaded(Detail),
    /// No server could do it in time, and none did it: try again later.
    #[error("{0}")]
    Unavailable(Detail),
    /// No answer in time: whether it was done is *unknown*. The same call may be made again after a look.
    #[error("{0}")]
    Timeout(Detail),
    /// Who answers is not a server of our cluster, or takes us for strangers: check the authority and certificate.
    #[error("{0}")]
    Untrusted(Detail),
    /// The client's own configuration cannot work.
    #[error("{0}")]
    Config(Detail),
    /// A server failed in a way that it should not.
    #[error("{0}")]
    Internal(Detail),
}

impl Error {
    /// Reads what a server answered.
    #[must_use]
    pub fn from_status(status: &Status) -> Self {
        match judge(status) {
            Failed::Refused { error, .. } => error,
            Failed::NotReached { detail, untrusted: true } => Self::Untrusted(detail),
            Failed::NotReached { detail, untrusted: false } => Self::Unavailable(detail),
            Failed::Lost(detail) => Self::Timeout(detail),
        }
    }

    pub(crate) fn from_refusal(refusal: boss_proto::v1::WriteRefusal) -> Self {
        Self::decode(Code::from_i32(refusal.code), &refusal.message, refusal.info.unwrap_or_default())
    }

    /// What to tell a person.
    #[must_use]
    pub fn detail(&self) -> &Detail {
        match self {
            Self::NotFound(detail)
            | Self::AlreadyExists(detail)
            | Self::Forbidden(detail)
            | Self::Unauthenticated(detail)
            | Self::Precondition(detail)
            | Self::Overloaded(detail)
            | Self::Unavailable(detail)
            | Self::Timeout(detail)
            | Self::Untrusted(detail)
            | Self::Config(detail)
            | Self::Internal(detail)
            | Self::Conflict { detail, .. }
            | Self::Invalid { detail, .. }
            | Self::Expired { detail, .. }
            | Self::RequestExpired { detail, .. } => detail,
        }
    }

    /// What to do next, when the server said so.
    #[must_use]
    pub fn hint(&self) -> Option<&str> {
        Some(self.detail().hint.as_str()).filter(|hint| !hint.is_empty())
    }

    pub(crate) fn config(message: impl Into<String>) -> Self {
        Self::Config(Detail::new(message))
    }

    fn decode(code: Code, message: &str, info: ErrorInfo) -> Self {
        let detail = Detail { message: message.to_owned(), hint: info.hint, reason: info.reason };
        let (current, field) = (Revision(info.current_revision), info.field);
        match detail.reason.as_str() {
            "CONFLICT" => Self::Conflict { detail, current },
            "NOT_FOUND" => Self::NotFound(detail),
            "ALREADY_EXISTS" => Self::AlreadyExists(detail),
            "INVALID" | "TOO_LARGE" => Self::Invalid { detail, field },
            "FORBIDDEN" => Self::Forbidden(detail),
            "UNAUTHENTICATED" => Self::Unauthenticated(detail),
            "EXPIRED" => Self::Expired { detail, current },
            "REQUEST_EXPIRED" => Self::RequestExpired { detail, current },
            "NOT_LEADER" | "UNAVAILABLE" => Self::Unavailable(detail),
            "TIMEOUT" => Self::Timeout(detail),
            "RESOURCE_EXHAUSTED" => Self::Overloaded(detail),
            _ => Self::from_code(code, detail, field),
        }
    }

    /// For words that we do not know and for answers without any, as a proxy would give.
    fn from_code(code: Code, detail: Detail, field: String) -> Self {
        match code {
            Code::NotFound => Self::NotFound(detail),
            Code::AlreadyExists => Self::AlreadyExists(detail),
            Code::InvalidArgument => Self::Invalid { detail, field },
            Code::PermissionDenied => Self::Forbidden(detail),
            Code::Unauthenticated => Self::Unauthenticated(detail),
            Code::FailedPrecondition | Code::Aborted => Self::Precondition(detail),
            Code::ResourceExhausted => Self::Overloaded(detail),
            Code::Unavailable => Self::Unavailable(detail),
            Code::DeadlineExceeded | Code::Cancelled => Self::Timeout(detail),
            Code::Ok | Code::Unknown | Code::OutOfRange | Code::Unimplemented | Code::Internal | Code::DataLoss => {
                Self::Internal(detail)
            }
        }
    }
}

/// What a failed attempt means.
#[derive(Debug, Clone)]
pub(crate) enum Failed {
    /// A server answered that it did not do it.
    Refused {
        error: Error,
        /// The same call may succeed elsewhere or later.
        retry: bool,
        /// Not before so long, says the server; zero when it does not say.
        after: Duration,
    },
    /// The request was never sent.
    NotReached { detail: Detail, untrusted: bool },
    /// The request may have been sent and done.
    Lost(Detail),
}

impl Failed {
    pub(crate) fn detail(&self) -> &Detail {
        match self {
            Self::Refused { error, .. } => error.detail(),
            Self::NotReached { detail, .. } | Self::Lost(detail) => detail,
        }
    }
}

/// What the answer of one attempt means.
pub(crate) fn judge(status: &Status) -> Failed {
    if let Some(info) = error_info(status) {
        let retry = info.retryable;
        let after = Duration::from_millis(info.retry_after_ms.into());
        return match Error::decode(status.code(), status.message(), info) {
            Error::Timeout(detail) if retry => Failed::Lost(detail),
            error => Failed::Refused { error, retry, after },
        };
    }
    match transport_failure(status) {
        Some(failed) => failed,
        None => judge_code(status),
    }
}

/// A status from something that is not one of our handlers: a library in between, or a proxy.
fn judge_code(status: &Status) -> Failed {
    let detail = Detail::new(status.message());
    match status.code() {
        Code::Unavailable | Code::Cancelled | Code::DeadlineExceeded => Failed::Lost(detail),
        code => {
            let retry = code == Code::ResourceExhausted;
            Failed::Refused { error: Error::from_code(code, detail, String::new()), retry, after: Duration::ZERO }
        }
    }
}

/// A status that was made here because the connection failed; it has a source, one from a server has none.
fn transport_failure(status: &Status) -> Option<Failed> {
    let source = status.source()?;
    if let Some(connect) = find_connect_error(source) {
        let untrusted = match connect {
            ConnectError::WrongPeer { .. } => true,
            ConnectError::Tls { source, .. } => !is_broken_off(source),
            ConnectError::Address(_) | ConnectError::Tcp { .. } => false,
        };
        return Some(Failed::NotReached { detail: Detail::new(connect.to_string()), untrusted });
    }
    Some(Failed::Lost(Detail::new(describe(source))))
}

/// Whether a handshake ended without a word, as with a server that was killed in the middle of it.
fn is_broken_off(error: &io::Error) -> bool {
    use io::ErrorKind::{BrokenPipe, ConnectionAborted, ConnectionReset, TimedOut, UnexpectedEof};
    matches!(error.kind(), BrokenPipe | ConnectionAborted | ConnectionReset | TimedOut | UnexpectedEof)
}

fn error_info(status: &Status) -> Option<ErrorInfo> {
    let bytes = status.metadata().get_bin(DETAIL_HEADER)?.to_bytes().ok()?;
    ErrorInfo::decode(bytes).ok()
}

fn chain<'a>(error: &'a (dyn StdError + 'static)) -> impl Iterator<Item = &'a (dyn StdError + 'static)> {
    std::iter::successors(Some(error), |error| {
        let error: &'a (dyn StdError + 'static) = *error;
        error.source()
    })
}

fn find_connect_error<'a>(error: &'a (dyn StdError + 'static)) -> Option<&'a ConnectError> {
    chain(error).find_map(|error| error.downcast_ref())
}

fn describe(error: &(dyn StdError + 'static)) -> String {
    let mut parts: Vec<String> = chain(error).map(ToString::to_string).collect();
    // Wrappers often only repeat what they wrap.
    parts.dedup();
    parts.join(": ")
}

#[cfg(test)]
#[expect(clippy::disallowed_methods, reason = "a test plays the server")]
mod tests {
    use bytes::Bytes;
    use tonic::metadata::{MetadataMap, MetadataValue};

    use super::*;

    fn status(code: Code, info: &ErrorInfo) -> Status {
        let mut metadata = MetadataMap::new();
        metadata.insert_bin(DETAIL_HEADER, MetadataValue::from_bytes(&info.encode_to_vec()));
        Status::with_metadata(code, "what happened", metadata)
    }

    fn info(reason: &str) -> ErrorInfo {
        ErrorInfo {
            reason: reason.into(),
            field: "spec.x".into(),
            hint: "do y".into(),
            current_revision: 7,
            ..ErrorInfo::default()
        }
    }

    #[test]
    fn the_servers_word_decides_and_its_details_arrive() {
        let error = Error::from_status(&status(Code::Aborted, &info("CONFLICT")));
        assert!(matches!(&error, Error::Conflict { current: Revision(7), .. }));
        assert_eq!((error.to_string().as_str(), error.hint()), ("what happened", Some("do y")));
        let error = Error::from_status(&status(Code::InvalidArgument, &info("INVALID")));
        assert!(matches!(error, Error::Invalid { field, .. } if field == "spec.x"));
        let error = Error::from_status(&status(Code::OutOfRange, &info("EXPIRED")));
        assert!(matches!(error, Error::Expired { current: Revision(7), .. }));
    }

    #[test]
    fn unknown_words_and_junk_fall_back_to_the_code() {
        let error = Error::from_status(&status(Code::FailedPrecondition, &info("SOMETHING_NEW")));
        assert!(matches!(&error, Error::Precondition(detail) if detail.reason == "SOMETHING_NEW"));
        let mut metadata = MetadataMap::new();
        let junk = MetadataValue::from_bytes(&Bytes::from_static(&[0xff; 9]));
        metadata.insert_bin(DETAIL_HEADER, junk);
        let error = Error::from_status(&Status::with_metadata(Code::NotFound, "no", metadata));
        assert!(matches!(error, Error::NotFound(_)));
    }

    #[test]
    fn only_what_the_server_calls_retryable_is_sent_again() {
        let retryable = ErrorInfo { retryable: true, ..info("NOT_LEADER") };
        assert!(matches!(judge(&status(Code::Unavailable, &retryable)), Failed::Refused { retry: true, .. }));
        assert!(matches!(
            judge(&status(Code::Unavailable, &info("UNAVAILABLE"))),
            Failed::Refused { retry: false, .. }
        ));
    }

    #[test]
    fn a_handshake_that_breaks_off_is_tried_elsewhere_and_one_that_fails_is_a_question_of_trust() {
        let untrusted = |kind: io::ErrorKind| {
            let (address, source) = ("10.0.0.1:7400".to_owned(), io::Error::from(kind));
            match judge(&Status::from_error(Box::new(ConnectError::Tls { address, source }))) {
                Failed::NotReached { untrusted, .. } => untrusted,
                other => panic!("{other:?}"),
            }
        };
        assert!(!untrusted(io::ErrorKind::ConnectionReset) && !untrusted(io::ErrorKind::UnexpectedEof));
        assert!(untrusted(io::ErrorKind::InvalidData));
    }

    #[test]
    fn a_timeout_or_a_lost_connection_leaves_the_outcome_unknown() {
        let unknown = ErrorInfo { retryable: true, ..info("OUTCOME_UNKNOWN") };
        assert!(matches!(judge(&status(Code::DeadlineExceeded, &unknown)), Failed::Lost(_)));
        assert!(matches!(judge(&Status::new(Code::Unavailable, "gone")), Failed::Lost(_)));
        let broken = Status::from_error(Box::new(std::io::Error::other("reset")));
        assert!(matches!(judge(&broken), Failed::Lost(_)));
    }
}
