//! What an event is to somebody who sees only a selection: an object that comes into it is new, one that leaves it
//! is gone. Pure.

use std::sync::Arc;

use boss_proto::{selector::Selector, v1::watch_event::Type};
use boss_raft::state::{Event, EventKind, Record};

use super::Delivery;

/// The event as the watcher sees it; `None` when it concerns nothing that the watcher has seen or will see.
pub(super) fn seen(event: &Event, selector: &Selector) -> Option<Delivery> {
    let matches = |record: &Arc<Record>| selector.matches(&record.object);
    let was_selected = event.previous.as_ref().is_some_and(matches);
    let is_selected = event.kind != EventKind::Deleted && matches(&event.record);
    let (kind, record) = match (was_selected, is_selected) {
        (false, false) => return None,
        (false, true) => (Type::Added, event.record.clone()),
        (true, true) => (Type::Modified, event.record.clone()),
        (true, false) => (Type::Deleted, last_selected(event)),
    };
    Some(Delivery::Event { kind, record, revision: event.revision })
}

/// For a deletion the object's last state; for an object that left, the last one that was selected, with the revision
/// of the change, so that the watcher can go on from it.
fn last_selected(event: &Event) -> Arc<Record> {
    if event.kind == EventKind::Deleted {
        return event.record.clone();
    }
    let Some(previous) = &event.previous else { return event.record.clone() };
    let mut object = previous.object.clone();
    if let Some(metadata) = object.metadata_mut() {
        metadata.resource_version = event.revision.0;
    }
    Record::new(object).map_or_else(|| previous.clone(), Arc::new)
}
