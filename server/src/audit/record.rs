//! What is kept of a call or an entry, and how it is written: one JSON object for each. Knows no file.

use std::{
    borrow::Cow,
    sync::{Arc, LazyLock},
};

use boss_proto::{
    key::Key,
    kind::Kind,
    manifest,
    raft::v1::{Caller, Command, Operation, operation::Action},
    v1::Object,
};
use boss_raft::state::{Outcome, Position};
use serde::Serialize;
use serde_json::{Value, json};

use super::Level;

/// Stands in where an operation names no caller.
static NOBODY: LazyLock<Caller> = LazyLock::new(Caller::default);

/// A call, as the gate saw it.
#[derive(Debug, Clone, Default)]
pub struct Call {
    /// Milliseconds since the epoch.
    pub time_ms: u64,
    /// The caller's name; empty when he is unknown.
    pub user: String,
    /// His uid.
    pub uid: String,
    /// What he belongs to.
    pub groups: Vec<String>,
    /// The method.
    pub method: String,
    /// What it is about.
    pub object: String,
    /// The gRPC code of the answer.
    pub code: &'static str,
    /// Why it was refused.
    pub message: String,
}

/// What waits for the writer.
#[derive(Debug)]
pub(super) enum Item {
    Call(Box<Call>),
    Entry(Box<Entry>),
    /// Entries up to here were never seen.
    Gap(Position),
}

/// An entry that was applied.
#[derive(Debug)]
pub(super) struct Entry {
    pub(super) at: Position,
    command: Option<Arc<Command>>,
    told: Vec<Told>,
    level: Level,
}

#[derive(Debug)]
struct Told {
    result: Cow<'static, str>,
    revision: u64,
}

impl Item {
    pub(super) fn entry(at: Position, command: Option<&Arc<Command>>, outcomes: &[Outcome], level: Level) -> Self {
        let told = outcomes.iter().map(Told::of).collect();
        Self::Entry(Box::new(Entry { at, command: command.cloned(), told, level }))
    }
}

impl Told {
    fn of(outcome: &Outcome) -> Self {
        let (result, revision) = match outcome {
            Outcome::Written { revision, .. } | Outcome::Deleted { revision, .. } | Outcome::Txn { revision, .. } => {
                (Cow::Borrowed("done"), revision.0)
            }
            Outcome::Readmit => (Cow::Borrowed("readmit"), 0),
            Outcome::Rejected(rejection) => (Cow::Owned(format!("refused: {rejection}")), 0),
        };
        Self { result, revision }
    }
}

impl Call {
    pub(super) fn write(&self, at: Position) -> String {
        json!({
            "time": self.time_ms, "index": at.index, "term": at.term, "type": "call",
            "user": self.user, "uid": self.uid, "groups": self.groups, "method": self.method,
            "object": self.object, "code": self.code, "message": self.message,
        })
        .to_string()
    }
}

/// Entries that nobody here has seen applied.
pub(super) fn write_gap(from: Position, to: Position, time_ms: u64) -> String {
    json!({
        "time": time_ms, "index": to.index, "term": to.term, "type": "gap", "after": from.index,
        "message": "the entries between came in a snapshot, or before there was an audit: other servers have them",
    })
    .to_string()
}

/// Records that found no place.
pub(super) fn write_dropped(at: Position, count: u64, time_ms: u64) -> String {
    json!({ "time": time_ms, "index": at.index, "term": at.term, "type": "dropped", "count": count }).to_string()
}

impl Entry {
    /// One line for each operation.
    pub(super) fn write(&self, redact: &[Kind], lines: &mut Vec<String>) {
        let Some(command) = &self.command else { return };
        for (ordinal, (operation, told)) in command.operations.iter().zip(&self.told).enumerate() {
            // The leader admits it again, and that one counts.
            if told.result == "readmit" {
                continue;
            }
            let line = self.line(ordinal, told, operation, redact);
            lines.push(
                serde_json::to_string(&line).unwrap_or_else(|error| json!({ "error": error.to_string() }).to_string()),
            );
        }
    }

    fn line<'a>(&self, ordinal: usize, told: &'a Told, operation: &'a Operation, redact: &[Kind]) -> Line<'a> {
        let caller = operation.caller.as_ref().unwrap_or(&NOBODY);
        let (verb, key, body) = describe(operation);
        let admitted = operation.admitted.as_ref();
        let own = if operation.leader_term.is_some() { "the leader's own loop" } else { "" };
        let found = admitted.map_or(&[][..], |admitted| &admitted.policies);
        let policies =
            found.iter().map(|found| Policy { policy: &found.policy, result: &found.result, message: &found.message });
        Line {
            time: self.time_ms(),
            index: self.at.index,
            term: self.at.term,
            r#type: "write",
            ordinal,
            user: &caller.username,
            uid: &caller.uid,
            groups: &caller.groups,
            token: &caller.token_id,
            certificate: &caller.certificate_serial,
            verb,
            object: key.as_ref().map(text).unwrap_or_default(),
            allowed_by: admitted.map_or(own, |admitted| &admitted.allowed_by),
            policies: policies.collect(),
            result: &told.result,
            revision: told.revision,
            operations: match &operation.action {
                Some(Action::Txn(txn)) => inner(&txn.success, &txn.failure),
                _ => Vec::new(),
            },
            request: body.filter(|_| self.level == Level::Request).map(|body| shown(body, redact)),
        }
    }

    fn time_ms(&self) -> u64 {
        self.command.as_ref().map_or(0, |command| command.proposed_at_ms)
    }
}

/// A write as it is kept; the order is that of the line.
#[derive(Serialize)]
#[serde(rename_all = "camelCase")]
struct Line<'a> {
    time: u64,
    index: u64,
    term: u64,
    r#type: &'static str,
    ordinal: usize,
    user: &'a str,
    uid: &'a str,
    groups: &'a [String],
    #[serde(skip_serializing_if = "str::is_empty")]
    token: &'a str,
    #[serde(skip_serializing_if = "str::is_empty")]
    certificate: &'a str,
    verb: &'static str,
    object: String,
    allowed_by: &'a str,
    #[serde(skip_serializing_if = "Vec::is_empty")]
    policies: Vec<Policy<'a>>,
    result: &'a str,
    revision: u64,
    #[serde(skip_serializing_if = "Vec::is_empty")]
    operations: Vec<Value>,
    #[serde(skip_serializing_if = "Option::is_none")]
    request: Option<Value>,
}

#[derive(Serialize)]
struct Policy<'a> {
    policy: &'a str,
    result: &'a str,
    message: &'a str,
}

/// What each operation of a transaction was to do.
fn inner(success: &[Operation], failure: &[Operation]) -> Vec<Value> {
    let told = |list: &'static str, operation: &Operation| {
        let (verb, key, _) = describe(operation);
        let allowed_by = operation.admitted.as_ref().map(|admitted| admitted.allowed_by.clone()).unwrap_or_default();
        json!({ "list": list, "verb": verb, "object": key.as_ref().map(text).unwrap_or_default(), "allowedBy": allowed_by })
    };
    let success = success.iter().map(|operation| told("success", operation));
    success.chain(failure.iter().map(|operation| told("failure", operation))).collect()
}

fn shown(object: &Object, redact: &[Kind]) -> Value {
    if object.kind().is_none_or(|kind| redact.contains(&kind)) {
        return json!("redacted");
    }
    manifest::to_value(object)
}

/// As the command line writes it: `pods/default/web`.
pub(super) fn text(key: &Key) -> String {
    match key.namespace.as_str() {
        "" => format!("{}/{}", key.kind.plural(), key.name),
        namespace => format!("{}/{namespace}/{}", key.kind.plural(), key.name),
    }
}

fn describe(operation: &Operation) -> (&'static str, Option<Key>, Option<&Object>) {
    let key = |key: &Option<boss_proto::v1::ObjectKey>| key.as_ref().and_then(|key| Key::try_from(key).ok());
    let of = |object: &Option<Object>| object.as_ref().and_then(Object::key);
    match &operation.action {
        Some(Action::Create(create)) => ("create", of(&create.object), create.object.as_ref()),
        Some(Action::Update(update)) => {
            (if operation.patch { "patch" } else { "update" }, of(&update.object), update.object.as_ref())
        }
        Some(Action::UpdateStatus(update)) => ("update status", of(&update.object), update.object.as_ref()),
        Some(Action::Delete(delete)) => ("delete", key(&delete.key), None),
        Some(Action::Bind(bind)) => ("bind", key(&bind.pod), None),
        Some(Action::Compact(_)) => ("compact", Some(Key::control_plane()), None),
        Some(Action::Txn(_)) => ("txn", None, None),
        Some(Action::Read(read)) => ("get", key(&read.key), None),
        None => ("", None, None),
    }
}
