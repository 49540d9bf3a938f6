//! The watch history: the latest events with the objects before them, part of the replicated state, so that its
//! floor is the same on every server. Evicted in apply only. Knows no watcher.

use std::sync::Arc;

use boss_proto::{
    ids::{NodeName, Revision},
    key::Key,
    kind::Kind,
};
use rpds::HashTrieMapSync;

use super::{digest::Digest, limits::Limits, record::Record, tail::Tail};
use crate::bugs::{self, Bug};

/// What happened to an object.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum EventKind {
    /// It is new.
    Added,
    /// It changed.
    Modified,
    /// It is gone.
    Deleted,
}

/// Place of an event in the history: the events of a transaction have one revision.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct EventId {
    /// Revision of the change.
    pub revision: Revision,
    /// Counts the events of one revision from 0.
    pub ordinal: u32,
}

/// One change of one object.
#[derive(Debug, Clone, PartialEq)]
pub struct Event {
    /// Revision of the change.
    pub revision: Revision,
    /// Counts the events of one revision from 0.
    pub ordinal: u32,
    /// What happened.
    pub kind: EventKind,
    /// The object after the change; for a deletion its last state, with the revision of the deletion.
    pub record: Arc<Record>,
    /// The object before the change; `None` when it is new.
    pub previous: Option<Arc<Record>>,
    /// Registry time of the change, in milliseconds since the epoch.
    pub time_ms: u64,
}

impl Event {
    /// Key of the object.
    #[must_use]
    pub fn key(&self) -> &Key {
        &self.record.key
    }

    /// Its place.
    #[must_use]
    pub fn id(&self) -> EventId {
        EventId { revision: self.revision, ordinal: self.ordinal }
    }

    /// What it weighs in the bound of the history, in bytes.
    #[must_use]
    pub fn bytes(&self) -> usize {
        self.record.encoded.len() + self.previous.as_ref().map_or(0, |previous| previous.encoded.len())
    }

    pub(super) fn digest(&self) -> Digest {
        let previous = self.previous.as_ref().map(|record| record.digest().to_bytes());
        Digest::of(&[
            b"event",
            &self.revision.0.to_le_bytes(),
            &self.ordinal.to_le_bytes(),
            &[self.kind as u8],
            &self.time_ms.to_le_bytes(),
            &self.record.digest().to_bytes(),
            previous.as_ref().map_or(&[][..], |digest| &digest[..]),
        ])
    }

    /// Nodes that it concerns: of the pod before and after.
    pub(crate) fn nodes(&self) -> impl Iterator<Item = NodeName> {
        let now = self.record.bound_to();
        let before =
            self.previous.as_ref().and_then(|previous| previous.bound_to()).filter(|name| Some(name) != now.as_ref());
        now.into_iter().chain(before)
    }
}

/// What a watcher wants to hear of.
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
pub struct Interest {
    /// One kind.
    pub kind: Kind,
    /// One namespace only.
    pub namespace: Option<String>,
    /// Pods of one node only.
    pub node: Option<NodeName>,
    /// One name only.
    pub name: Option<String>,
}

impl Interest {
    /// Everything of one kind.
    #[must_use]
    pub fn in_kind(kind: Kind) -> Self {
        Self { kind, namespace: None, node: None, name: None }
    }

    /// Whether the event concerns it: by key, and for a node by the pod before or after the change.
    #[must_use]
    pub fn matches(&self, event: &Event) -> bool {
        let key = event.key();
        key.kind == self.kind
            && self.namespace.as_ref().is_none_or(|namespace| *namespace == key.namespace)
            && self.name.as_ref().is_none_or(|name| *name == key.name)
            && self.node.as_ref().is_none_or(|node| event.nodes().any(|other| other == *node))
    }
}

/// Events of one interest.
#[derive(Debug, Clone, PartialEq)]
pub struct Found {
    /// Oldest first.
    pub events: Vec<Arc<Event>>,
    /// Everything of interest up to here is among the events, or was before them: go on from it.
    pub position: Revision,
    /// Whether there are more after it.
    pub more: bool,
}

/// Weight of the events that one look takes, in bytes: what a reader that stops reading keeps in memory.
const LOOK_BYTES_MAX: usize = 256 * 1024;

/// The history does not reach back to the asked revision any more: list again.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[error("the watch history does not reach back so far; the registry is at revision {current}")]
pub struct Expired {
    /// The registry's revision.
    pub current: Revision,
}

type Events = Tail<Arc<Event>>;

/// The latest events. Cloning costs nothing; a clone never changes.
#[derive(Debug, Clone)]
pub struct History {
    all: Events,
    by_kind: HashTrieMapSync<Kind, Events>,
    by_node: HashTrieMapSync<NodeName, Events>,
    bytes: usize,
    /// Events at or below it may be missing.
    floor: Revision,
}

impl Default for History {
    fn default() -> Self {
        Self {
            all: Events::default(),
            by_kind: HashTrieMapSync::new_sync(),
            by_node: HashTrieMapSync::new_sync(),
            bytes: 0,
            floor: Revision::ZERO,
        }
    }
}

impl History {
    /// A watch can start from this revision or any later one.
    #[must_use]
    pub fn floor(&self) -> Revision {
        self.floor
    }

    /// Number of events.
    #[must_use]
    pub fn len(&self) -> usize {
        self.all.len()
    }

    /// Whether there is none.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.all.is_empty()
    }

    /// Weight of all events, in bytes.
    #[must_use]
    pub fn bytes(&self) -> usize {
        self.bytes
    }

    /// About `max` events of interest after `revision`, oldest first; more only to keep the events of one revision
    /// together, fewer when they are large. `current` is the registry's revision.
    pub fn after(
        &self,
        revision: Revision,
        interest: &Interest,
        max: usize,
        current: Revision,
    ) -> Result<Found, Expired> {
        if revision < self.floor && !bugs::on(Bug::ExpiredSwallowed) {
            return Err(Expired { current });
        }
        let all = Found { events: Vec::new(), position: current.max(revision), more: false };
        let events = match &interest.node {
            Some(node) => self.by_node.get(node),
            None => self.by_kind.get(&interest.kind),
        };
        let Some(events) = events else { return Ok(all) };
        let (mut found, mut bytes) = (all, 0);
        for event in later_in(events, revision).filter(|event| interest.matches(event)) {
            let full = found.events.len() >= max || bytes >= LOOK_BYTES_MAX;
            if let Some(last) = found.events.last().filter(|last| full && last.revision != event.revision) {
                (found.position, found.more) = (last.revision, true);
                break;
            }
            bytes += event.bytes();
            found.events.push(event.clone());
        }
        Ok(found)
    }

    /// Every event after `revision`, whatever it is about, oldest first.
    pub fn all_after(&self, revision: Revision) -> impl DoubleEndedIterator<Item = &Arc<Event>> {
        later_in(&self.all, revision)
    }

    /// The events of one kind after `revision`, oldest first.
    pub fn of_kind_after(&self, kind: Kind, revision: Revision) -> impl Iterator<Item = &Arc<Event>> {
        self.by_kind.get(&kind).into_iter().flat_map(move |events| later_in(events, revision))
    }

    /// Every event, oldest first.
    pub fn iter(&self) -> impl Iterator<Item = &Arc<Event>> {
        self.all.iter()
    }

    /// The events of one revision that are still there.
    pub fn at(&self, revision: Revision) -> impl Iterator<Item = &Arc<Event>> {
        let from = self.all.skip(move |event| event.revision < revision);
        from.take_while(move |event| event.revision == revision)
    }

    /// The place of the next event of this revision, which is the newest one.
    pub(super) fn next_id(&self, revision: Revision) -> EventId {
        let last = self.all.last().map(|event| event.id()).filter(|id| id.revision == revision);
        EventId { revision, ordinal: last.map_or(0, |last| last.ordinal + 1) }
    }

    pub(super) fn set_floor(&mut self, floor: Revision) {
        self.floor = floor;
    }

    pub(super) fn push(&mut self, event: Arc<Event>) {
        self.bytes += event.bytes();
        edit(&mut self.by_kind, event.key().kind, |events| events.push(event.clone()));
        for node in event.nodes() {
            edit(&mut self.by_node, node, |events| events.push(event.clone()));
        }
        self.all.push(event);
    }

    /// Takes the oldest event away if the history is above a bound at registry time `now_ms`.
    pub(super) fn evict(&mut self, now_ms: u64, limits: &Limits) -> Option<Arc<Event>> {
        let oldest = self.all.first()?;
        let too_old = oldest.time_ms.saturating_add(limits.history_age_max_ms) < now_ms;
        if !too_old && self.all.len() <= limits.history_events_max && self.bytes <= limits.history_bytes_max {
            return None;
        }
        self.remove_oldest()
    }

    /// Takes the oldest event away if it is not younger than `upto`.
    pub(super) fn evict_upto(&mut self, upto: Revision) -> Option<Arc<Event>> {
        let oldest = self.all.first()?;
        if oldest.revision <= upto { self.remove_oldest() } else { None }
    }

    fn remove_oldest(&mut self) -> Option<Arc<Event>> {
        let oldest = self.all.pop()?;
        self.bytes -= oldest.bytes();
        let reaches_back = if bugs::on(Bug::LostAtCompaction) { 2 } else { 0 };
        self.floor = Revision(oldest.revision.0.saturating_sub(reaches_back));
        edit(&mut self.by_kind, oldest.key().kind, |events| events.pop());
        for node in oldest.nodes() {
            edit(&mut self.by_node, node, |events| events.pop());
        }
        Some(oldest)
    }
}

fn later_in(events: &Events, revision: Revision) -> impl DoubleEndedIterator<Item = &Arc<Event>> {
    events.skip(move |event| event.revision <= revision)
}

/// Changes the events under one key; drops the key with its last event.
fn edit<K: std::hash::Hash + Eq + Clone, T>(
    index: &mut HashTrieMapSync<K, Events>,
    key: K,
    change: impl FnOnce(&mut Events) -> T,
) {
    match index.get_mut(&key) {
        Some(events) => {
            change(events);
            if events.is_empty() {
                index.remove_mut(&key);
            }
        }
        None => {
            let mut events = Events::default();
            change(&mut events);
            index.insert_mut(key, events);
        }
    }
}

#[cfg(test)]
mod tests;
