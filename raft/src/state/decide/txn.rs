//! Transactions: every right is asked for before anything is compared, everything is decided against the state before
//! the transaction, and one refusal refuses all. No object is named twice in a list, so that the order cannot matter.

use std::{
    collections::{BTreeMap, BTreeSet},
    sync::Arc,
};

use boss_proto::{
    ids::Revision,
    key::Key,
    limits::TXN_OPERATIONS_MAX,
    raft::v1::{Caller, Operation, Txn, operation::Action},
    v1::{self, compare::Condition},
};

use super::{Case, Refused, Verdict, check_rights, control_plane, fields, forbidden, invalid, key_of, known};
use crate::state::{
    history::EventKind,
    outcome::{Outcome, Part, Rejection},
    quota,
    rbac::Attributes,
    record::Record,
    registry::Registry,
    requests::{Effect, EffectKind},
};

/// A transaction that is to be done.
pub(in crate::state) struct Plan {
    pub(in crate::state) succeeded: bool,
    /// One for each operation of the chosen list.
    pub(in crate::state) steps: Vec<Step>,
    /// Names the transaction in the memory of request ids.
    pub(in crate::state) key: Key,
}

pub(in crate::state) enum Step {
    /// The object is to stand so.
    Put(Record, super::Answer),
    /// The object is to go; this is its last state.
    Remove(Record),
    /// Nothing is to be done; this is the answer.
    Done(Part),
}

pub(super) fn examine(registry: &Registry, operation: &Operation, caller: &Caller, txn: &Txn) -> Refused<Verdict> {
    let key = name_of(txn)?;
    check_all_rights(registry, caller, txn)?;
    if let Some(effect) = known(registry, operation, caller, &key)? {
        return Ok(Verdict::Nothing(answer_again(registry, &effect, txn)));
    }
    for list in [&txn.success, &txn.failure] {
        check_keys_differ(list)?;
    }
    let succeeded = all_hold(registry, &txn.compare)?;
    let list = if succeeded { &txn.success } else { &txn.failure };
    let steps = list.iter().enumerate().map(|(index, inner)| {
        step(registry, operation, inner, caller).map_err(|refused| inside(refused, index, inner))
    });
    let steps = steps.collect::<Refused<Vec<_>>>()?;
    check_quota(registry, list, &steps)?;
    Ok(Verdict::Txn(Plan { succeeded, steps, key }))
}

/// The quotas of each namespace, against all that the transaction does in it: what it frees makes room for what it
/// takes.
fn check_quota(registry: &Registry, list: &[Operation], steps: &[Step]) -> Refused<()> {
    let mut changes: BTreeMap<&str, Vec<quota::Step<'_>>> = BTreeMap::new();
    for (inner, step) in list.iter().zip(steps) {
        let (record, after) = match step {
            Step::Put(record, _) => (record, Some(&record.object)),
            Step::Remove(record) => (record, None),
            Step::Done(_) => continue,
        };
        let before = registry.get(&record.key).map(|stored| &stored.object);
        let asks = matches!(inner.action, Some(Action::Create(_) | Action::Update(_)));
        changes.entry(&record.key.namespace).or_default().push(quota::Step { before, after, asks });
    }
    for (namespace, changes) in changes {
        registry.check_quota(namespace, changes.into_iter()).map_err(Outcome::Rejected)?;
    }
    Ok(())
}

/// The first object that the transaction speaks of.
fn name_of(txn: &Txn) -> Refused<Key> {
    let count = txn.compare.len() + txn.success.len() + txn.failure.len();
    if count > TXN_OPERATIONS_MAX {
        let problem = format!("has {count} comparisons and operations, the limit is {TXN_OPERATIONS_MAX}");
        return Err(invalid("txn", &problem, "make several transactions of it"));
    }
    let compared = txn.compare.first().map(compared_key);
    let written = || txn.success.iter().chain(&txn.failure).next().map(key_of);
    compared.or_else(written).unwrap_or_else(|| Err(invalid("txn", "is empty", "name at least one operation")))
}

fn compared_key(compare: &v1::Compare) -> Refused<Key> {
    let key = compare.key.as_ref().ok_or_else(|| invalid("compare.key", "is missing", ""))?;
    Key::try_from(key).map_err(|bad| invalid(&format!("compare.key.{}", bad.field), &bad.problem, ""))
}

/// Of both lists and of what is compared: which list is chosen tells what the caller may not know.
fn check_all_rights(registry: &Registry, caller: &Caller, txn: &Txn) -> Refused<()> {
    for compare in &txn.compare {
        let key = compared_key(compare)?;
        let decision = registry.authorize(caller, &Attributes::on("get", &key));
        if !decision.allowed {
            return Err(forbidden(&decision.reason));
        }
    }
    for inner in txn.success.iter().chain(&txn.failure) {
        match &inner.action {
            Some(
                Action::Create(_) | Action::Update(_) | Action::UpdateStatus(_) | Action::Delete(_) | Action::Read(_),
            ) => check_rights(registry, inner, caller, &key_of(inner)?)?,
            _ => return Err(invalid("txn", "holds an operation that is not possible inside", "")),
        }
        // The answer shows the object as it was.
        if let Some(Action::Delete(_)) = &inner.action {
            let key = key_of(inner)?;
            let decision = registry.authorize(caller, &Attributes::on("get", &key));
            if !decision.allowed {
                return Err(forbidden(&decision.reason));
            }
        }
    }
    Ok(())
}

fn check_keys_differ(list: &[Operation]) -> Refused<()> {
    let mut keys = BTreeSet::new();
    for inner in list {
        let key = key_of(inner)?;
        if keys.contains(&key) {
            return Err(invalid("txn", &format!("names {key} twice in one list"), "name each object once"));
        }
        keys.insert(key);
    }
    Ok(())
}

fn all_hold(registry: &Registry, compares: &[v1::Compare]) -> Refused<bool> {
    for compare in compares {
        let stored = registry.get(&compared_key(compare)?);
        let holds = match &compare.condition {
            Some(Condition::Exists(wanted)) => stored.is_some() == *wanted,
            Some(Condition::ResourceVersion(wanted)) => stored.map_or(0, |stored| stored.revision.0) == *wanted,
            Some(Condition::Uid(wanted)) => stored.is_some_and(|stored| stored.metadata().uid == *wanted),
            None => return Err(invalid("compare", "names no condition", "compare exists, resourceVersion or uid")),
        };
        if !holds {
            return Ok(false);
        }
    }
    Ok(true)
}

fn step(registry: &Registry, outer: &Operation, inner: &Operation, caller: &Caller) -> Refused<Step> {
    let key = key_of(inner)?;
    let stored = registry.get(&key);
    if let Some(Action::Read(_)) = &inner.action {
        return Ok(Step::Done(Part::Read(stored.cloned())));
    }
    let pinned = Operation { leader_term: outer.leader_term, ..inner.clone() };
    let case = Case { registry, operation: &pinned, caller, key, stored, in_txn: true };
    case.check_preconditions()?;
    case.check_admission()?;
    control_plane::check_writer(&case)?;
    super::credentials::check(&case)?;
    Ok(match super::act(&case)? {
        Verdict::Put(record, answer) => Step::Put(record, answer),
        Verdict::Remove(record) => Step::Remove(record),
        Verdict::Nothing(Outcome::Written { record, .. }) => Step::Done(Part::Written(record)),
        Verdict::Nothing(Outcome::Deleted { record, gone, .. }) => Step::Done(Part::Deleted { record, gone }),
        Verdict::Nothing(other) => return Err(other),
        Verdict::Compact(..) | Verdict::Txn(_) => return Err(invalid("txn", "cannot hold this operation", "")),
    })
}

fn inside(refused: Outcome, index: usize, inner: &Operation) -> Outcome {
    match (refused, key_of(inner)) {
        (Outcome::Rejected(rejection), Ok(key)) => {
            Outcome::Rejected(Rejection::InTxn { index, key, rejection: Box::new(rejection) })
        }
        (other, _) => other,
    }
}

/// What the first call did, as far as it is still known; what was only read is read again.
fn answer_again(registry: &Registry, effect: &Effect, txn: &Txn) -> Outcome {
    let succeeded = effect.kind == EffectKind::Success;
    let list = if succeeded { &txn.success } else { &txn.failure };
    let results = list.iter().filter_map(|inner| again(registry, effect, inner)).collect();
    Outcome::Txn { succeeded, revision: effect.revision, results }
}

fn again(registry: &Registry, effect: &Effect, inner: &Operation) -> Option<Part> {
    let key = key_of(inner).ok()?;
    let stored = registry.get(&key);
    if let Some(Action::Read(_)) = &inner.action {
        return Some(Part::Read(stored.cloned()));
    }
    let then = registry.history().at(effect.revision).find(|event| *event.key() == key);
    let record = then.map(|event| event.record.clone()).or_else(|| stored.cloned());
    let record = match record {
        Some(record) => record,
        None => Arc::new(bare(&key, effect.revision)?),
    };
    let is_delete = matches!(inner.action, Some(Action::Delete(_)));
    let gone = then.map_or(stored.is_none(), |event| event.kind == EventKind::Deleted);
    Some(if is_delete { Part::Deleted { record, gone } } else { Part::Written(record) })
}

fn bare(key: &Key, revision: Revision) -> Option<Record> {
    let mut object = fields::empty(key.kind);
    let metadata = object.metadata_mut()?;
    metadata.name.clone_from(&key.name);
    metadata.namespace.clone_from(&key.namespace);
    metadata.resource_version = revision.0;
    Record::new(object)
}

#[cfg(test)]
mod tests;
