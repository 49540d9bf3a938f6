//! Decides one operation against the registry as it stands; changes nothing. The order of the checks is the order in
//! which a caller may learn things: rights come before anything about the object.

mod bind;
mod control_plane;
mod create;
mod credentials;
mod delete;
mod fields;
mod txn;
mod update;

use std::sync::Arc;

use boss_proto::{
    ids::{Revision, Uid},
    key::Key,
    raft::v1::{Caller, Operation, operation::Action},
    references, v1,
};

pub(super) use self::txn::{Plan, Step};
use super::{
    apply::Position,
    credentials::ends_own,
    outcome::{Outcome, Rejection},
    quota,
    rbac::Attributes,
    record::Record,
    registry::Registry,
    requests::{Effect, EffectKind, Memory, RequestKey},
};
use crate::bugs::{self, Bug};

/// What is to be done about an operation.
pub(super) enum Verdict {
    /// Nothing changes.
    Nothing(Outcome),
    /// The object is to stand so, at the next revision.
    Put(Record, Answer),
    /// The object is to go; this is its last state.
    Remove(Record),
    /// Several objects change in one revision.
    Txn(txn::Plan),
    /// Events up to the revision are to be forgotten; the object stays as it is.
    Compact(Revision, Arc<Record>),
}

/// What a put is called towards the caller.
#[derive(Clone, Copy, PartialEq, Eq)]
pub(super) enum Answer {
    Written,
    Marked,
}

/// An operation with what was found out about it.
struct Case<'a> {
    registry: &'a Registry,
    operation: &'a Operation,
    caller: &'a Caller,
    key: Key,
    stored: Option<&'a Arc<Record>>,
    /// Part of a transaction, whose quota is checked as a whole.
    in_txn: bool,
}

type Refused<T> = Result<T, Outcome>;

pub(super) fn decide(registry: &Registry, at: Position, operation: &Operation) -> Verdict {
    examine(registry, at, operation).unwrap_or_else(Verdict::Nothing)
}

fn examine(registry: &Registry, at: Position, operation: &Operation) -> Refused<Verdict> {
    check_leader(operation, at)?;
    let caller = operation.caller.as_ref().ok_or_else(|| invalid("caller", "is missing", ""))?;
    #[cfg(test)]
    super::testing::panic_if_asked(caller);
    // Before anything about objects, and about rights: whoever calls so is nobody any more.
    registry.check_credential(caller.into()).map_err(|withdrawn| Outcome::Rejected(Rejection::Withdrawn(withdrawn)))?;
    if let Some(Action::Txn(txn)) = &operation.action {
        return txn::examine(registry, operation, caller, txn);
    }
    let key = key_of(operation)?;
    check_rights(registry, operation, caller, &key)?;
    if let Some(outcome) = remembered(registry, operation, caller, &key)? {
        return Ok(Verdict::Nothing(outcome));
    }
    let stored = registry.get(&key);
    let case = Case { registry, operation, caller, key, stored, in_txn: false };
    case.check_preconditions()?;
    case.check_admission()?;
    control_plane::check_writer(&case)?;
    credentials::check(&case)?;
    act(&case)
}

fn act(case: &Case<'_>) -> Refused<Verdict> {
    let action = case.operation.action.as_ref().ok_or_else(|| invalid("action", "is missing", ""))?;
    match action {
        Action::Create(create) => create::decide(case, create),
        Action::Update(update) => update::decide(case, update),
        Action::UpdateStatus(update) => update::decide_status(case, update),
        Action::Delete(delete) => delete::decide(case, delete),
        Action::Bind(bind) => bind::decide(case, bind),
        Action::Compact(compact) => control_plane::decide_compact(case, compact),
        Action::Txn(_) | Action::Read(_) => Err(invalid("action", "is possible in a transaction only", "")),
    }
}

/// The term of the entry decides, never the current one: replay must agree.
fn check_leader(operation: &Operation, at: Position) -> Refused<()> {
    match operation.leader_term {
        Some(proposed) if proposed != at.term => {
            Err(Outcome::Rejected(Rejection::StaleLeader { proposed, entry: at.term }))
        }
        _ => Ok(()),
    }
}

pub(super) fn key_of(operation: &Operation) -> Refused<Key> {
    let of = |object: &Option<v1::Object>| object.as_ref().and_then(v1::Object::key).map(Key::checked);
    let named = |key: &Option<v1::ObjectKey>| key.as_ref().map(Key::try_from);
    let key = match &operation.action {
        Some(Action::Create(create)) => of(&create.object),
        Some(Action::Update(update)) => of(&update.object),
        Some(Action::UpdateStatus(update)) => of(&update.object),
        Some(Action::Delete(delete)) => named(&delete.key),
        Some(Action::Bind(bind)) => named(&bind.pod),
        Some(Action::Compact(_)) => Some(Ok(Key::control_plane())),
        Some(Action::Read(read)) => named(&read.key),
        Some(Action::Txn(_)) | None => None,
    };
    let key = key.ok_or_else(|| invalid("object", "is missing or has no metadata", ""))?;
    key.map_err(|bad| invalid(&format!("metadata.{}", bad.field), &bad.problem, ""))
}

fn check_rights(registry: &Registry, operation: &Operation, caller: &Caller, key: &Key) -> Refused<()> {
    let Some(attributes) = Attributes::of(operation, key) else {
        return Err(invalid("action", "is missing", ""));
    };
    if let Some(Action::Create(create)) = &operation.action
        && create.object.as_ref().is_some_and(|object| ends_own(caller, object))
    {
        return Ok(());
    }
    let decision = registry.authorize(caller, &attributes);
    if !decision.allowed {
        return Err(forbidden(&decision.reason));
    }
    check_given(registry, operation, caller, key)
}

/// A sandbox can show what it was given: who says what it runs must be able to read that himself.
fn check_given(registry: &Registry, operation: &Operation, caller: &Caller, key: &Key) -> Refused<()> {
    let object = match &operation.action {
        Some(Action::Create(create)) => create.object.as_ref(),
        Some(Action::Update(update)) => update.object.as_ref(),
        _ => None,
    };
    let stored = registry.get(key).map(|record| &record.object);
    for given in object.map(|object| references::newly_given(stored, object)).unwrap_or_default() {
        let decision = registry.authorize(caller, &Attributes::on("get", &given));
        if !decision.allowed {
            return Err(forbidden(&format!("the pod is given {given}: {}", decision.reason)));
        }
    }
    Ok(())
}

/// What the same request did before, if it did anything.
fn remembered(registry: &Registry, operation: &Operation, caller: &Caller, key: &Key) -> Refused<Option<Outcome>> {
    Ok(known(registry, operation, caller, key)?.map(|effect| answer_again(registry, &effect)))
}

/// The effect of the same request, if it had one.
fn known(registry: &Registry, operation: &Operation, caller: &Caller, key: &Key) -> Refused<Option<Arc<Effect>>> {
    let Some(id) = &operation.request_id else { return Ok(None) };
    if id.nonce.is_empty() {
        return Err(invalid("requestId.nonce", "is empty", "send 16 random bytes, or no request id"));
    }
    let is_txn = matches!(operation.action, Some(Action::Txn(_)));
    match registry.requests().recall(RequestKey::new(caller, id), Revision(id.seen_revision)) {
        Memory::New => Ok(None),
        Memory::Expired => Err(Outcome::Rejected(Rejection::RequestExpired { floor: registry.requests().floor() })),
        Memory::Done(effect) if effect.key != *key => Err(used_otherwise()),
        Memory::Done(effect) if is_txn != matches!(effect.kind, EffectKind::Success | EffectKind::Failure) => {
            Err(used_otherwise())
        }
        Memory::Done(effect) => Ok(Some(effect)),
    }
}

fn used_otherwise() -> Outcome {
    invalid("requestId", "was used for another object", "make a fresh id for each call")
}

/// The answer that the first call got: from the history, else from the object as it is now, else what is known of it.
fn answer_again(registry: &Registry, effect: &Effect) -> Outcome {
    let then =
        registry.history().at(effect.revision).map(|event| &event.record).find(|record| record.key == effect.key);
    let now = registry.get(&effect.key).filter(|record| record.uid() == effect.uid);
    let record = then.or(now).cloned().or_else(|| remains(effect));
    let Some(record) = record else {
        return Outcome::Rejected(Rejection::RequestExpired { floor: registry.requests().floor() });
    };
    let revision = effect.revision;
    match effect.kind {
        EffectKind::Written => Outcome::Written { record, revision },
        EffectKind::Marked => Outcome::Deleted { record, revision, gone: false },
        EffectKind::Gone => Outcome::Deleted { record, revision, gone: true },
        EffectKind::Success | EffectKind::Failure => used_otherwise(),
    }
}

/// An object of which nothing is left but its name and uid.
fn remains(effect: &Effect) -> Option<Arc<Record>> {
    let mut object = fields::empty(effect.key.kind);
    let metadata = object.metadata_mut()?;
    metadata.name.clone_from(&effect.key.name);
    metadata.namespace.clone_from(&effect.key.namespace);
    metadata.uid = effect.uid.to_string();
    metadata.resource_version = effect.revision.0;
    Record::new(object).map(Arc::new)
}

impl<'a> Case<'a> {
    /// Uid and revision that the caller demands. A missing object is for the action to name.
    fn check_preconditions(&self) -> Refused<()> {
        let (Some(wanted), Some(stored)) = (&self.operation.preconditions, self.stored) else { return Ok(()) };
        if self.is_create() {
            return Ok(());
        }
        if wanted.uid.as_ref().is_some_and(|uid| *uid != stored.metadata().uid) {
            return Err(Outcome::Rejected(Rejection::UidMismatch { current: stored.uid() }));
        }
        match wanted.resource_version {
            Some(revision) if revision != stored.revision.0 && !bugs::on(Bug::PreconditionIgnored) => {
                Err(Outcome::Rejected(Rejection::Conflict { current: stored.revision }))
            }
            _ => Ok(()),
        }
    }

    /// Whether what admission decided on still holds. The leader's own loops go through no admission: their term and
    /// their preconditions decide.
    fn check_admission(&self) -> Refused<()> {
        if self.operation.leader_term.is_some() {
            return Ok(());
        }
        if self.operation.admission_epoch != self.registry.admission_epoch(&self.key.namespace) {
            return Err(Outcome::Readmit);
        }
        let pinned = self.operation.preconditions.as_ref().is_some_and(|wanted| wanted.resource_version.is_some());
        let current = self.stored.map_or(0, |stored| stored.revision.0);
        // What admission did not look at cannot have changed under it; field ownership it always looks at.
        let independent =
            self.operation.any_revision && self.stored.is_none_or(|stored| stored.metadata().managed_fields.is_empty());
        if pinned || independent || self.is_create() || self.operation.admitted_revision == current {
            return Ok(());
        }
        Err(Outcome::Readmit)
    }

    /// Whether the namespace's quotas leave room for the object as it is to be.
    fn check_quota(&self, object: &v1::Object) -> Refused<()> {
        if self.in_txn || bugs::on(Bug::QuotaNotApplied) {
            return Ok(());
        }
        let before = self.stored.map(|stored| &stored.object);
        let step = quota::Step { before, after: Some(object), asks: true };
        self.registry.check_quota(&self.key.namespace, std::iter::once(step)).map_err(Outcome::Rejected)
    }

    fn is_create(&self) -> bool {
        matches!(self.operation.action, Some(Action::Create(_)))
    }

    fn stored(&self) -> Refused<&'a Arc<Record>> {
        self.stored.ok_or(Outcome::Rejected(Rejection::NotFound))
    }

    /// The verdict that the object stands so from the next revision on.
    fn put(&self, object: v1::Object, answer: Answer) -> Refused<Verdict> {
        Ok(Verdict::Put(self.record(object)?, answer))
    }

    /// The verdict that the object goes; `object` is its last state.
    fn remove(&self, object: v1::Object) -> Refused<Verdict> {
        // No size limit: a delete always passes.
        let record = self.next_record(object)?;
        Ok(Verdict::Remove(record))
    }

    fn record(&self, object: v1::Object) -> Refused<Record> {
        let record = self.next_record(object)?;
        let (bytes, max) = (record.encoded.len(), self.registry.limits().object_bytes_max);
        if bytes > max { Err(Outcome::Rejected(Rejection::TooLarge { bytes, max })) } else { Ok(record) }
    }

    fn next_record(&self, mut object: v1::Object) -> Refused<Record> {
        if let Some(metadata) = object.metadata_mut() {
            metadata.resource_version = self.registry.revision().next().0;
        }
        Record::new(object).ok_or_else(|| invalid("object", "is empty", ""))
    }

    /// The stored object as the answer to a write that changes nothing.
    fn unchanged(stored: &Arc<Record>) -> Verdict {
        Verdict::Nothing(Outcome::Written { record: stored.clone(), revision: stored.revision })
    }

    fn caller_is_in(&self, group: &str) -> bool {
        self.caller.groups.iter().any(|other| other == group)
    }
}

fn invalid(field: &str, problem: &str, hint: &str) -> Outcome {
    Outcome::Rejected(Rejection::invalid(field, problem, hint))
}

fn forbidden(reason: &str) -> Outcome {
    Outcome::Rejected(Rejection::Forbidden { reason: reason.to_owned() })
}

fn uid_mismatch(stored: &Record) -> Outcome {
    Outcome::Rejected(Rejection::UidMismatch { current: Uid::new(&*stored.metadata().uid) })
}

#[cfg(test)]
mod tests;
