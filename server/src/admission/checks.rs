//! The report of a validation, and the checks that every write shares. Knows no kind's rules.

use std::fmt::Display;

use boss_proto::{
    API_VERSION,
    intent::Reason,
    key::Key,
    kind::Kind,
    labels,
    limits::GRACE_PERIOD_SECONDS_MAX,
    v1::{Object, ObjectKey, RequestId},
};

use super::refusal::{Invalid, Refusal};

/// Length of a request id's random part.
const NONCE_LEN: usize = 16;
/// More problems than this help nobody.
const PROBLEMS_MAX: usize = 32;

/// Every wrong field of one object.
#[derive(Debug, Default)]
pub struct Report(Vec<Invalid>);

impl Report {
    /// Notes a wrong field.
    pub fn add(&mut self, field: impl Into<String>, problem: impl Display, hint: impl Into<String>) {
        self.push(field.into(), problem.to_string(), hint.into(), None);
    }

    /// Notes a wrong field that has a stable reason.
    pub fn add_reason(&mut self, reason: Reason, field: impl Into<String>, problem: impl Display) {
        self.push(field.into(), problem.to_string(), String::new(), Some(reason));
    }

    /// Notes a field whose check failed.
    pub fn check<E: Display>(&mut self, field: impl Into<String>, result: Result<(), E>) {
        if let Err(problem) = result {
            self.add(field, problem, "");
        }
    }

    /// Notes a field that must hold one of some words, or nothing.
    pub fn word<T: std::str::FromStr<Err: Display>>(&mut self, field: impl Into<String>, text: &str) {
        if !text.is_empty() {
            self.check(field, text.parse::<T>().map(|_| ()));
        }
    }

    /// Refuses if anything was noted.
    pub fn finish(self) -> Result<(), Refusal> {
        if self.0.is_empty() { Ok(()) } else { Err(Refusal::Invalid(self.0)) }
    }

    fn push(&mut self, field: String, problem: String, hint: String, reason: Option<Reason>) {
        if self.0.len() < PROBLEMS_MAX {
            self.0.push(Invalid { field, problem, hint, reason });
        }
    }
}

/// What the sender wrote as apiVersion and kind agrees with what it sent.
pub(super) fn type_meta(object: &Object, kind: Kind) -> Result<(), Refusal> {
    let (api_version, kind_text) = object.type_meta().unwrap_or_default();
    if !api_version.is_empty() && api_version != API_VERSION {
        return Err(Refusal::invalid("apiVersion", format!("is {api_version:?}"), format!("use {API_VERSION}")));
    }
    if !kind_text.is_empty() && kind_text != kind.as_str() {
        return Err(Refusal::invalid("kind", format!("says {kind_text:?}, but the object is a {kind}"), ""));
    }
    Ok(())
}

/// A key with a valid name and namespace.
pub(super) fn key(key: Option<ObjectKey>) -> Result<Key, Refusal> {
    let key = key.ok_or_else(|| Refusal::invalid("key", "is missing", "name the object"))?;
    let key = Key::try_from(&key).map_err(|bad| Refusal::invalid(bad.field, bad.problem, ""))?;
    name(key.kind, &key.name).map_err(|problem| Refusal::invalid("name", problem, ""))?;
    if !key.namespace.is_empty() {
        labels::check_name(&key.namespace).map_err(|problem| Refusal::invalid("namespace", problem.to_string(), ""))?;
    }
    Ok(key)
}

/// Built-in roles are called `system:node`; everything else is a DNS label.
fn name(kind: Kind, name: &str) -> Result<(), String> {
    let is_role = matches!(kind, Kind::ClusterRole | Kind::ClusterRoleBinding | Kind::Role | Kind::RoleBinding);
    let parts: Vec<&str> = if is_role { name.split(':').collect() } else { vec![name] };
    if name.len() > boss_proto::limits::NAME_LEN_MAX {
        return Err(format!("has {} characters, the limit is {}", name.len(), boss_proto::limits::NAME_LEN_MAX));
    }
    parts.into_iter().try_for_each(labels::check_name).map_err(|problem| problem.to_string())
}

pub(super) fn request_id(id: Option<RequestId>) -> Result<Option<RequestId>, Refusal> {
    match id {
        Some(id) if id.nonce.len() != NONCE_LEN => {
            let problem = format!("has {} bytes", id.nonce.len());
            Err(Refusal::invalid("requestId.nonce", problem, "send 16 random bytes, or no request id"))
        }
        // The nonce is a slice of the connection's receive buffer; a copy does not pin it.
        Some(id) => Ok(Some(RequestId { nonce: bytes::Bytes::copy_from_slice(&id.nonce), ..id })),
        None => Ok(None),
    }
}

pub(super) fn grace_period(seconds: Option<u32>) -> Result<(), Refusal> {
    match seconds.filter(|seconds| *seconds > GRACE_PERIOD_SECONDS_MAX) {
        Some(seconds) => {
            let problem = format!("is {seconds} seconds, the longest is {GRACE_PERIOD_SECONDS_MAX}");
            Err(Refusal::invalid("gracePeriodSeconds", problem, ""))
        }
        None => Ok(()),
    }
}
