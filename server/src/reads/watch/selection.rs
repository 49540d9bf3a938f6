//! What an event is to somebody who sees only a selection: an object that comes into it is new, one that leaves it
//! is gone.

use std::sync::Arc;

use arc_swap::ArcSwapOption;
use boss_proto::{selector::Selector, v1::watch_event::Type};
use boss_raft::state::{Event, EventId, EventKind, Record};

use super::Delivery;

/// The event as the watcher sees it; `None` when it concerns nothing that the watcher has seen or will see.
pub(super) fn seen(event: &Event, selector: &Selector, departures: &Departures) -> Option<Delivery> {
    let matches = |record: &Arc<Record>| selector.matches(&record.object);
    let was_selected = event.previous.as_ref().is_some_and(matches);
    let is_selected = event.kind != EventKind::Deleted && matches(&event.record);
    let (kind, record) = match (was_selected, is_selected) {
        (false, false) => return None,
        (false, true) => (Type::Added, event.record.clone()),
        (true, true) => (Type::Modified, event.record.clone()),
        (true, false) => (Type::Deleted, departures.last_selected(event)),
    };
    Some(Delivery::Event { kind, record, revision: event.revision })
}

/// The last object that left selections: many watchers of one selection see it leave at the same time, and it is
/// encoded once for them.
#[derive(Default)]
pub(in crate::reads) struct Departures(ArcSwapOption<(EventId, Arc<Record>)>);

impl Departures {
    /// For a deletion the object's last state; for an object that left, the last one that was selected, with the
    /// revision of the change, so that the watcher can go on from it.
    fn last_selected(&self, event: &Event) -> Arc<Record> {
        if event.kind == EventKind::Deleted {
            return event.record.clone();
        }
        if let Some(left) = &*self.0.load()
            && left.0 == event.id()
            && left.1.key == *event.key()
        {
            return left.1.clone();
        }
        let record = departed(event);
        self.0.store(Some(Arc::new((event.id(), record.clone()))));
        record
    }
}

fn departed(event: &Event) -> Arc<Record> {
    let Some(previous) = &event.previous else { return event.record.clone() };
    let mut object = previous.object.clone();
    if let Some(metadata) = object.metadata_mut() {
        metadata.resource_version = event.revision.0;
    }
    Record::new(object).map_or_else(|| previous.clone(), Arc::new)
}
