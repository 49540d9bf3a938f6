//! Applies one command: each operation is decided on its own and then committed. The only place that moves revision,
//! time, history and request ids. Knows no rule about objects: those are in `decide`.

use std::{
    panic::{AssertUnwindSafe, catch_unwind},
    sync::Arc,
};

use boss_proto::{
    ids::{Revision, Uid},
    kind::Kind,
    raft::v1::{Command, Operation},
};

use super::{
    decide::{Answer, Plan, Step, Verdict, decide},
    history::{Event, EventId, EventKind},
    outcome::{Outcome, Part, Rejection},
    rbac,
    record::Record,
    registry::{Change, State, View},
    requests::{Effect, EffectKind, RequestKey},
};
use crate::bugs::{self, Bug};

/// Place of an entry in the log.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, PartialOrd, Ord)]
pub struct Position {
    /// Term of the leader that made it.
    pub term: u64,
    /// Index of the entry.
    pub index: u64,
}

/// What became of a command.
#[derive(Debug, Clone, Default)]
pub struct Applied {
    /// One per operation, in order.
    pub outcomes: Vec<Outcome>,
    /// What the store behind has to write, in order.
    pub changes: Vec<Change>,
}

/// Applies the command that stands at `at` in the log. Deterministic: state, place and command decide everything.
pub fn apply(state: &mut State, at: Position, command: &Command) -> Applied {
    state.registry.time_ms = state.registry.time_ms.max(command.proposed_at_ms);
    let mut applied = Applied::default();
    for operation in &command.operations {
        let outcome = apply_one(state, at, operation, &mut applied.changes);
        applied.outcomes.push(outcome);
    }
    state.registry.evict(&mut applied.changes);
    state.registry.applied = at;
    applied
}

/// What the command would lead to at this view. Nothing changes.
#[must_use]
pub fn preview(view: &View, term: u64, command: &Command) -> Vec<Outcome> {
    let at = Position { term, index: view.applied_index() + 1 };
    apply(&mut view.to_state(), at, command).outcomes
}

fn apply_one(state: &mut State, at: Position, operation: &Operation, changes: &mut Vec<Change>) -> Outcome {
    // Deciding only reads, so that a panic in it leaves nothing half done.
    let registry = &state.registry;
    let Ok(verdict) = catch_unwind(AssertUnwindSafe(|| decide(registry, at, operation))) else {
        state.count_panic();
        return Outcome::Rejected(Rejection::Internal);
    };
    let revision = state.registry.revision.next();
    match verdict {
        Verdict::Nothing(outcome) => outcome,
        Verdict::Put(record, answer) => {
            let record = Arc::new(record);
            commit(state, &record, Standing::Stands, changes);
            remember_one(state, operation, &record, effect_kind(Standing::Stands, answer), changes);
            match answer {
                Answer::Written => Outcome::Written { record, revision },
                Answer::Marked => Outcome::Deleted { record, revision, gone: false },
            }
        }
        Verdict::Compact(upto, record) => {
            state.registry.compact(upto, changes);
            Outcome::Written { record, revision: upto }
        }
        Verdict::Remove(record) => {
            let record = Arc::new(record);
            commit(state, &record, Standing::Gone, changes);
            remember_one(state, operation, &record, EffectKind::Gone, changes);
            Outcome::Deleted { record, revision, gone: true }
        }
        Verdict::Txn(plan) => apply_txn(state, operation, plan, changes),
    }
}

/// Everything in one revision: readers see all of it or nothing, since views are published between entries only.
fn apply_txn(state: &mut State, operation: &Operation, plan: Plan, changes: &mut Vec<Change>) -> Outcome {
    let before = state.registry.revision;
    let done = if bugs::on(Bug::HalfTxn) { 1 } else { plan.steps.len() };
    let steps = plan.steps.into_iter().take(done).map(|step| match step {
        Step::Done(part) => part,
        Step::Put(record, answer) => {
            let record = Arc::new(record);
            commit(state, &record, Standing::Stands, changes);
            match answer {
                Answer::Written => Part::Written(record),
                Answer::Marked => Part::Deleted { record, gone: false },
            }
        }
        Step::Remove(record) => {
            let record = Arc::new(record);
            commit(state, &record, Standing::Gone, changes);
            Part::Deleted { record, gone: true }
        }
    });
    let results: Vec<Part> = steps.collect();
    let revision = state.registry.revision;
    if revision > before {
        let kind = if plan.succeeded { EffectKind::Success } else { EffectKind::Failure };
        let time_ms = state.registry.time_ms;
        remember(state, operation, Effect { key: plan.key, uid: Uid::default(), revision, kind, time_ms }, changes);
    }
    Outcome::Txn { succeeded: plan.succeeded, revision, results }
}

#[derive(Clone, Copy, PartialEq, Eq)]
enum Standing {
    Stands,
    Gone,
}

fn commit(state: &mut State, record: &Arc<Record>, standing: Standing, changes: &mut Vec<Change>) {
    let registry = &mut state.registry;
    registry.revision = record.revision;
    let now = (standing == Standing::Stands).then(|| record.clone());
    let previous = registry.replace_object(&record.key, now.clone());
    registry.change_rules(previous.as_deref(), now.as_deref());
    registry.note_owners(previous.as_deref(), now.as_deref(), record.revision);
    changes.push(Change::Object { key: record.key.clone(), now: now.clone() });
    move_epoch(state, record, standing, changes);
    let kind = match (&previous, standing) {
        (_, Standing::Gone) => EventKind::Deleted,
        (None, Standing::Stands) => EventKind::Added,
        (Some(_), Standing::Stands) => EventKind::Modified,
    };
    let time_ms = state.registry.time_ms;
    let EventId { revision, ordinal } = state.registry.history().next_id(record.revision);
    let event = Arc::new(Event { revision, ordinal, kind, record: record.clone(), previous, time_ms });
    state.registry.put_event(event.clone());
    changes.push(Change::Event(event));
}

fn effect_kind(standing: Standing, answer: Answer) -> EffectKind {
    match (standing, answer) {
        (Standing::Gone, _) => EffectKind::Gone,
        (Standing::Stands, Answer::Marked) => EffectKind::Marked,
        (Standing::Stands, Answer::Written) => EffectKind::Written,
    }
}

/// RBAC, policies with their parameters, limits and namespaces decide about other objects: what admission decided before
/// their change is decided anew.
fn move_epoch(state: &mut State, record: &Record, standing: Standing, changes: &mut Vec<Change>) {
    let (namespace, revision) = match record.kind() {
        Kind::Namespace => (record.key.name.clone(), (standing == Standing::Stands).then_some(record.revision)),
        // Namespaced, or of the whole cluster with an empty namespace.
        Kind::LimitRange | Kind::AdmissionPolicy => (record.key.namespace.clone(), Some(record.revision)),
        Kind::ConfigMap => match state.registry.params_reach(&record.key) {
            Some(namespace) => (namespace.to_owned(), Some(record.revision)),
            None => return,
        },
        kind if rbac::is_rbac(kind) => (record.key.namespace.clone(), Some(record.revision)),
        _ => return,
    };
    state.registry.put_epoch(&namespace, revision);
    changes.push(Change::Epoch { namespace, revision });
}

fn remember_one(
    state: &mut State,
    operation: &Operation,
    record: &Record,
    kind: EffectKind,
    changes: &mut Vec<Change>,
) {
    // Most of the leader's own writes have no id: what follows is not free.
    if operation.request_id.is_none() {
        return;
    }
    let (revision, time_ms) = (Revision(record.revision.0), state.registry.time_ms);
    let effect = Effect { key: record.key.clone(), uid: record.uid(), revision, kind, time_ms };
    remember(state, operation, effect, changes);
}

fn remember(state: &mut State, operation: &Operation, effect: Effect, changes: &mut Vec<Change>) {
    let (Some(caller), Some(id)) = (&operation.caller, &operation.request_id) else { return };
    let effect = Arc::new(effect);
    let key = RequestKey::new(caller, id);
    state.registry.put_request(key, effect.clone());
    changes.push(Change::Request(key, effect));
}

#[cfg(test)]
pub(crate) mod tests;
