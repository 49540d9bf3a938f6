//! What the audit keeps of calls that pass the gate, or do not: refusals always, what was allowed if reads are wanted.
//! Writes that were done are kept where they are applied.

use std::sync::Arc;

use http::{HeaderMap, Request, Response};
use tonic::{Code, body::Body};

use super::{Error, Side, code_of};
use crate::{
    api::{
        doors::{self, Door, Pace},
        status,
    },
    audit::{Audit, Call, Subject},
    auth::Identity,
};

/// Longest method, of those that callers may invent.
const METHOD_LEN_MAX: usize = 128;

/// A call that may be kept.
pub(super) struct Kept {
    audit: Audit,
    method: String,
    subject: Subject,
    /// Once he is known.
    pub(super) caller: Option<Arc<Identity>>,
}

impl Kept {
    /// `None` when nothing of it is ever kept: a server's own calls, health, or there is no audit.
    pub(super) fn of<B>(audit: &Audit, side: Side, request: &mut Request<B>) -> Option<Self> {
        if !audit.is_on() || side == Side::Servers {
            return None;
        }
        let path = request.uri().path();
        if matches!(doors::door(path), Some((_, Door::Open))) {
            return None;
        }
        let method = path.chars().take(METHOD_LEN_MAX).collect();
        let subject = Subject::default();
        request.extensions_mut().insert(subject.clone());
        Some(Self { audit: audit.clone(), method, subject, caller: None })
    }

    /// The gate did not let it through.
    pub(super) fn refused(self, error: &Error, now_ms: u64) {
        let refused = status::to_status(error);
        self.keep(refused.code(), refused.message().to_owned(), now_ms);
    }

    /// It was answered, or a stream began.
    pub(super) fn answered(self, response: &Response<Body>, now_ms: u64) {
        match code_of(response) {
            Code::Ok if doors::mints(&self.method) => self.keep(Code::Ok, String::new(), now_ms),
            Code::Ok if self.audit.keeps_reads() && self.is_read() => self.keep(Code::Ok, String::new(), now_ms),
            Code::Ok => {}
            code => {
                let message = message_of(response.headers());
                self.keep(code, message, now_ms);
            }
        }
    }

    fn is_read(&self) -> bool {
        // The session of a node is no reading.
        !matches!(doors::door(&self.method), Some((_, Door::Agent)))
            && !matches!(doors::pace(&self.method), Pace::Write | Pace::Delete)
    }

    fn keep(self, code: Code, message: String, time_ms: u64) {
        let object = self.subject.text().to_owned();
        let (user, uid, groups) = match &self.caller {
            Some(caller) => (caller.username.clone(), caller.uid.clone(), caller.groups.clone()),
            None => Default::default(),
        };
        let code = code_word(code);
        self.audit.call(Call { time_ms, user, uid, groups, method: self.method, object, code, message });
    }
}

fn message_of(headers: &HeaderMap) -> String {
    let raw = headers.get("grpc-message").and_then(|text| text.to_str().ok()).unwrap_or_default();
    percent_decoded(raw)
}

/// As gRPC encodes messages in headers.
fn percent_decoded(text: &str) -> String {
    let mut bytes = Vec::with_capacity(text.len());
    let mut rest = text.as_bytes();
    while let Some((first, after)) = rest.split_first() {
        let hex = after.get(..2).and_then(|hex| std::str::from_utf8(hex).ok());
        match hex.and_then(|hex| u8::from_str_radix(hex, 16).ok()).filter(|_| *first == b'%') {
            Some(byte) => {
                bytes.push(byte);
                rest = &after[2..];
            }
            None => {
                bytes.push(*first);
                rest = after;
            }
        }
    }
    String::from_utf8_lossy(&bytes).into_owned()
}

/// As gRPC names the code.
pub(in crate::api) fn code_word(code: Code) -> &'static str {
    match code {
        Code::Ok => "OK",
        Code::Cancelled => "CANCELLED",
        Code::Unknown => "UNKNOWN",
        Code::InvalidArgument => "INVALID_ARGUMENT",
        Code::DeadlineExceeded => "DEADLINE_EXCEEDED",
        Code::NotFound => "NOT_FOUND",
        Code::AlreadyExists => "ALREADY_EXISTS",
        Code::PermissionDenied => "PERMISSION_DENIED",
        Code::ResourceExhausted => "RESOURCE_EXHAUSTED",
        Code::FailedPrecondition => "FAILED_PRECONDITION",
        Code::Aborted => "ABORTED",
        Code::OutOfRange => "OUT_OF_RANGE",
        Code::Unimplemented => "UNIMPLEMENTED",
        Code::Internal => "INTERNAL",
        Code::Unavailable => "UNAVAILABLE",
        Code::DataLoss => "DATA_LOSS",
        Code::Unauthenticated => "UNAUTHENTICATED",
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn messages_are_read_as_grpc_writes_them() {
        assert_eq!(percent_decoded("user %22eve%22 may not%"), "user \"eve\" may not%");
        assert_eq!(percent_decoded("gr%C3%B6%C3%9Fe"), "größe");
    }
}
