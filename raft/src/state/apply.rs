//! Applies one command: each operation is decided on its own and then committed. The only place that moves revision,
//! time, history and request ids. Knows no rule about objects: those are in `decide`.

use std::{
    panic::{AssertUnwindSafe, catch_unwind},
    sync::Arc,
};

use boss_proto::{
    ids::Revision,
    kind::Kind,
    raft::v1::{Command, Operation},
};

use super::{
    decide::{Answer, Verdict, decide},
    history::{Event, EventId, EventKind},
    outcome::{Outcome, Rejection},
    rbac,
    record::Record,
    registry::{Change, State},
    requests::{Effect, EffectKind, RequestKey},
};

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
            commit(state, operation, &record, Standing::Stands, answer, changes);
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
            commit(state, operation, &record, Standing::Gone, Answer::Marked, changes);
            Outcome::Deleted { record, revision, gone: true }
        }
    }
}

#[derive(Clone, Copy, PartialEq, Eq)]
enum Standing {
    Stands,
    Gone,
}

fn commit(
    state: &mut State,
    operation: &Operation,
    record: &Arc<Record>,
    standing: Standing,
    answer: Answer,
    changes: &mut Vec<Change>,
) {
    let registry = &mut state.registry;
    registry.revision = record.revision;
    let previous = registry.take_object(&record.key);
    let now = (standing == Standing::Stands).then(|| record.clone());
    if let Some(record) = &now {
        registry.put_object(record.clone());
    }
    registry.change_rules(previous.as_deref(), now.as_deref());
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
    remember(state, operation, record, effect_kind(standing, answer), changes);
}

fn effect_kind(standing: Standing, answer: Answer) -> EffectKind {
    match (standing, answer) {
        (Standing::Gone, _) => EffectKind::Gone,
        (Standing::Stands, Answer::Marked) => EffectKind::Marked,
        (Standing::Stands, Answer::Written) => EffectKind::Written,
    }
}

/// RBAC and namespaces decide about other objects: what admission decided before their change is decided anew.
fn move_epoch(state: &mut State, record: &Record, standing: Standing, changes: &mut Vec<Change>) {
    let (namespace, revision) = match record.kind() {
        Kind::Namespace => (record.key.name.clone(), (standing == Standing::Stands).then_some(record.revision)),
        kind if rbac::is_rbac(kind) => (record.key.namespace.clone(), Some(record.revision)),
        _ => return,
    };
    state.registry.put_epoch(&namespace, revision);
    changes.push(Change::Epoch { namespace, revision });
}

fn remember(state: &mut State, operation: &Operation, record: &Record, kind: EffectKind, changes: &mut Vec<Change>) {
    let (Some(caller), Some(id)) = (&operation.caller, &operation.request_id) else { return };
    let effect = Arc::new(Effect {
        key: record.key.clone(),
        uid: record.uid(),
        revision: Revision(record.revision.0),
        kind,
        time_ms: state.registry.time_ms,
    });
    let key = RequestKey::new(caller, id);
    state.registry.put_request(key, effect.clone());
    changes.push(Change::Request(key, effect));
}

#[cfg(test)]
pub(crate) mod tests;
