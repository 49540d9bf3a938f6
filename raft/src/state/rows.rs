//! The state as rows of keys and values: what the store behind and the snapshot files hold. One form for both, so
//! that one loader checks both. Knows no store and no file.

use std::{borrow::Cow, sync::Arc};

use boss_proto::{
    ids::{Incarnation, Revision, Uid},
    key::Key,
};
use bytes::Bytes;
use prost::Message;

use super::{
    apply::Position,
    digest::Digest,
    history::{Event, EventId, EventKind},
    limits::Limits,
    record::Record,
    registry::{Change, Registry, State},
    requests::{Effect, EffectKind, RequestKey},
};

/// First byte of a row's key. Objects come before events, so that a loader can share the records of both.
mod prefix {
    pub(super) const OBJECT: u8 = b'1';
    pub(super) const EVENT: u8 = b'2';
    pub(super) const REQUEST: u8 = b'3';
    pub(super) const EPOCH: u8 = b'4';
}

/// One row; without a value it is to be removed.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Row {
    /// Where it stands, in byte order.
    pub key: Vec<u8>,
    /// What it holds.
    pub value: Option<Bytes>,
}

/// The numbers of a state beside its rows, with the hash over everything.
#[derive(Clone, PartialEq, Eq, Message)]
pub struct Header {
    /// Revision of the last write.
    #[prost(uint64, tag = "1")]
    pub revision: u64,
    /// Term of the last entry applied.
    #[prost(uint64, tag = "2")]
    pub applied_term: u64,
    /// Index of the last entry applied.
    #[prost(uint64, tag = "3")]
    pub applied_index: u64,
    /// Registry time in milliseconds since the epoch.
    #[prost(uint64, tag = "4")]
    pub time_ms: u64,
    /// Events at or below this revision are gone.
    #[prost(uint64, tag = "5")]
    pub history_floor: u64,
    /// Effects at or below this revision are forgotten.
    #[prost(uint64, tag = "6")]
    pub requests_floor: u64,
    /// Hash over everything.
    #[prost(bytes = "vec", tag = "7")]
    pub hash: Vec<u8>,
    /// The life of the cluster.
    #[prost(uint64, tag = "8")]
    pub incarnation: u64,
}

/// The object before the event has a row of its own, just before: together they could be twice as large as a store
/// takes values.
#[derive(Clone, PartialEq, Message)]
struct EventRow {
    #[prost(uint32, tag = "1")]
    kind: u32,
    #[prost(uint64, tag = "2")]
    time_ms: u64,
    #[prost(bytes = "bytes", tag = "3")]
    record: Bytes,
    #[prost(bool, tag = "4")]
    has_previous: bool,
}

#[derive(Clone, PartialEq, Message)]
struct EffectRow {
    #[prost(string, tag = "1")]
    path: String,
    #[prost(string, tag = "2")]
    uid: String,
    #[prost(uint64, tag = "3")]
    revision: u64,
    #[prost(uint32, tag = "4")]
    kind: u32,
    #[prost(uint64, tag = "5")]
    time_ms: u64,
}

#[derive(Clone, PartialEq, Message)]
struct EpochRow {
    #[prost(uint64, tag = "1")]
    revision: u64,
}

/// Rows that are no state.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum BadRows {
    /// A row cannot be read.
    #[error("row {key} cannot be read: {problem}")]
    Row {
        /// Its key, escaped.
        key: String,
        /// What is wrong.
        problem: &'static str,
    },
    /// The rows are not those that the header was written with.
    #[error("the state's hash is {found}, its header says {expected}")]
    Hash {
        /// Of the rows.
        found: Digest,
        /// Of the header.
        expected: Digest,
    },
    /// The header itself cannot be read.
    #[error("the header of the state cannot be read")]
    Header,
}

/// The header of the state as it is.
#[must_use]
pub fn header(registry: &Registry) -> Header {
    Header {
        revision: registry.revision().0,
        applied_term: registry.applied().term,
        applied_index: registry.applied().index,
        time_ms: registry.time_ms(),
        history_floor: registry.history().floor().0,
        requests_floor: registry.requests().floor().0,
        hash: registry.hash().to_bytes().to_vec(),
        incarnation: registry.incarnation().0,
    }
}

/// Every row of the state, in key order of each part.
pub fn rows(registry: &Registry) -> impl Iterator<Item = Row> + '_ {
    let objects = registry.iter().map(|record| object_row(&record.key, Some(record)));
    let events = registry.history().iter().flat_map(event_rows);
    let requests = registry.requests().iter().map(|(key, effect)| request_row(key, effect));
    let epochs = registry.epochs().map(|(namespace, revision)| epoch_row(namespace, Some(*revision)));
    objects.chain(events).chain(requests).chain(epochs)
}

/// What a request id takes: its key, and the path and uid that its effect names.
const REQUEST_ROW_BYTES: usize = 128;

/// About how many bytes [`rows`] would make.
#[must_use]
pub fn live_bytes(registry: &Registry) -> u64 {
    let objects: usize = registry.iter().map(|record| record.encoded.len()).sum();
    (objects + registry.history().bytes() + registry.requests().len() * REQUEST_ROW_BYTES) as u64
}

/// The rows that one change writes or removes.
#[must_use]
pub fn rows_of(change: &Change) -> Vec<Row> {
    match change {
        Change::Object { key, now } => vec![object_row(key, now.as_ref())],
        Change::Event(event) => event_rows(event).collect(),
        Change::EventEvicted { id, has_previous } => {
            let key = has_previous.then(|| event_key(*id, EventPart::Previous));
            key.into_iter().chain([event_key(*id, EventPart::Event)]).map(|key| Row { key, value: None }).collect()
        }
        Change::Request(key, effect) => vec![request_row(*key, effect)],
        Change::RequestEvicted(key) => vec![Row { key: request_key(*key), value: None }],
        Change::Epoch { namespace, revision } => vec![epoch_row(namespace, *revision)],
    }
}

fn key_with(prefix: u8, rest: &[u8]) -> Vec<u8> {
    let mut key = Vec::with_capacity(1 + rest.len());
    key.push(prefix);
    key.extend_from_slice(rest);
    key
}

#[derive(Clone, Copy)]
enum EventPart {
    Previous = 0,
    Event = 1,
}

fn event_key(id: EventId, part: EventPart) -> Vec<u8> {
    let mut key = key_with(prefix::EVENT, &id.revision.0.to_be_bytes());
    key.extend_from_slice(&id.ordinal.to_be_bytes());
    key.push(part as u8);
    key
}

/// Reads what [`event_key`] wrote after the prefix.
fn event_id(rest: &[u8]) -> Option<(EventId, u8)> {
    let (revision, rest) = rest.split_first_chunk::<8>()?;
    let (ordinal, rest) = rest.split_first_chunk::<4>()?;
    let [part] = rest else { return None };
    let id = EventId { revision: Revision(u64::from_be_bytes(*revision)), ordinal: u32::from_be_bytes(*ordinal) };
    Some((id, *part))
}

fn request_key(key: RequestKey) -> Vec<u8> {
    key_with(prefix::REQUEST, &key.to_bytes())
}

fn object_row(key: &Key, record: Option<&Arc<Record>>) -> Row {
    let value = record.map(|record| record.encoded.clone());
    Row { key: key_with(prefix::OBJECT, key.to_path().as_bytes()), value }
}

fn event_rows(event: &Arc<Event>) -> impl Iterator<Item = Row> + use<> {
    let row = EventRow {
        kind: event.kind as u32,
        time_ms: event.time_ms,
        record: event.record.encoded.clone(),
        has_previous: event.previous.is_some(),
    };
    let previous = event
        .previous
        .as_ref()
        .map(|previous| Row { key: event_key(event.id(), EventPart::Previous), value: Some(previous.encoded.clone()) });
    let event = Row { key: event_key(event.id(), EventPart::Event), value: Some(row.encode_to_vec().into()) };
    previous.into_iter().chain([event])
}

fn request_row(key: RequestKey, effect: &Arc<Effect>) -> Row {
    let row = EffectRow {
        path: effect.key.to_path(),
        uid: effect.uid.to_string(),
        revision: effect.revision.0,
        kind: effect.kind as u32,
        time_ms: effect.time_ms,
    };
    Row { key: request_key(key), value: Some(row.encode_to_vec().into()) }
}

fn epoch_row(namespace: &str, revision: Option<Revision>) -> Row {
    let value = revision.map(|revision| EpochRow { revision: revision.0 }.encode_to_vec().into());
    Row { key: key_with(prefix::EPOCH, namespace.as_bytes()), value }
}

/// The newest form of rows, and the one that is written. 1 had no ordinal in the keys of events and no incarnation in
/// the hash.
pub const FORMAT: u32 = 2;

/// Makes of a row's key the one of the next format.
type KeyUpgrade = fn(&[u8]) -> Vec<u8>;

/// One for each older format.
const KEY_UPGRADES: [KeyUpgrade; FORMAT as usize - 1] = [key_from_1];

fn key_from_1(key: &[u8]) -> Vec<u8> {
    match key {
        [prefix::EVENT, revision @ .., part] if revision.len() == 8 => {
            let mut key = key_with(prefix::EVENT, revision);
            key.extend_from_slice(&0_u32.to_be_bytes());
            key.push(*part);
            key
        }
        key => key.to_vec(),
    }
}

/// Builds a state from its header and rows, and believes it only when the hash agrees.
pub struct Loader {
    state: State,
    expected: Digest,
    /// Object before the event of this place, until the event's own row comes.
    previous: Option<(EventId, Arc<Record>)>,
    /// Their rows stand in no order, but the registry takes them in that of their revisions.
    requests: Vec<(RequestKey, Arc<Effect>)>,
    /// The format that the rows were written in.
    format: u32,
}

impl Loader {
    /// Starts with the header. The limits are those of this build.
    pub fn new(header: &Header, limits: Limits) -> Result<Self, BadRows> {
        let expected = Digest::from_bytes(&header.hash).ok_or(BadRows::Header)?;
        let mut state = State::with_limits(limits);
        let registry = &mut state.registry;
        registry.revision = Revision(header.revision);
        registry.applied = Position { term: header.applied_term, index: header.applied_index };
        registry.time_ms = header.time_ms;
        registry.incarnation = Incarnation(header.incarnation);
        registry.set_floors(Revision(header.history_floor), Revision(header.requests_floor));
        Ok(Self { state, expected, previous: None, requests: Vec::new(), format: FORMAT })
    }

    /// Rows of an older format: they are read as the present one. Their hash was made in another way; whoever stored
    /// them must have checked them otherwise.
    #[must_use]
    pub fn written_in(self, format: u32) -> Self {
        Self { format, ..self }
    }

    /// Takes one row in. Objects should come before events, so that they share memory.
    pub fn row(&mut self, key: &[u8], value: Bytes) -> Result<(), BadRows> {
        let older = KEY_UPGRADES.get(self.format.saturating_sub(1) as usize..).unwrap_or_default();
        let key = &older.iter().fold(Cow::Borrowed(key), |key, upgrade| Cow::Owned(upgrade(&key)));
        let bad = |problem| BadRows::Row { key: key.escape_ascii().to_string(), problem };
        let (prefix, rest) = key.split_first().ok_or_else(|| bad("its key is empty"))?;
        match *prefix {
            prefix::OBJECT => self.object(value),
            prefix::EVENT => self.event(rest, value),
            prefix::REQUEST => self.request(rest, &value),
            prefix::EPOCH => self.epoch(rest, &value),
            _ => Err("its key has an unknown prefix"),
        }
        .map_err(bad)
    }

    /// The state, if the rows are those that the header was written with.
    pub fn finish(mut self) -> Result<State, BadRows> {
        self.requests.sort_unstable_by_key(|(_, effect)| effect.revision);
        for (key, effect) in std::mem::take(&mut self.requests) {
            self.state.registry.put_request(key, effect);
        }
        let (found, expected) = (self.state.hash(), self.expected);
        if found == expected || self.format < FORMAT { Ok(self.state) } else { Err(BadRows::Hash { found, expected }) }
    }

    fn object(&mut self, value: Bytes) -> Result<(), &'static str> {
        let record = Arc::new(Record::decode(value).ok_or("it is no object")?);
        self.state.registry.change_rules(None, Some(&record));
        self.state.registry.put_object(record);
        Ok(())
    }

    fn event(&mut self, rest: &[u8], value: Bytes) -> Result<(), &'static str> {
        let (id, part) = event_id(rest).ok_or("its key is no place in the history")?;
        if part == EventPart::Previous as u8 {
            self.previous = Some((id, self.share(value)?));
            return Ok(());
        }
        let row = EventRow::decode(value).map_err(|_| "it is no event")?;
        let kind = match row.kind {
            kind if kind == EventKind::Added as u32 => EventKind::Added,
            kind if kind == EventKind::Modified as u32 => EventKind::Modified,
            kind if kind == EventKind::Deleted as u32 => EventKind::Deleted,
            _ => return Err("its kind is unknown"),
        };
        let previous = self.previous.take().filter(|(of, _)| *of == id).map(|(_, record)| record);
        if previous.is_some() != row.has_previous {
            return Err("the object before it is missing");
        }
        // The row holds more than the object: a slice of it would pin the rest.
        let record = self.share(Bytes::copy_from_slice(&row.record))?;
        let EventId { revision, ordinal } = id;
        let event = Event { revision, ordinal, kind, record, previous, time_ms: row.time_ms };
        self.state.registry.put_event(Arc::new(event));
        Ok(())
    }

    /// The record of these bytes, the one already there when there is one.
    fn share(&self, encoded: Bytes) -> Result<Arc<Record>, &'static str> {
        let record = Record::decode(encoded).ok_or("it holds no object")?;
        let registry = &self.state.registry;
        let stored = registry.get(&record.key);
        let told = registry.history().at(record.revision).map(|event| &event.record);
        let same = stored.into_iter().chain(told).find(|other| other.encoded == record.encoded);
        Ok(same.cloned().unwrap_or_else(|| Arc::new(record)))
    }

    fn request(&mut self, rest: &[u8], value: &[u8]) -> Result<(), &'static str> {
        let key = RequestKey::from_bytes(rest).ok_or("its key is no request id")?;
        let row = EffectRow::decode(value).map_err(|_| "it is no effect")?;
        let kind = match row.kind {
            kind if kind == EffectKind::Written as u32 => EffectKind::Written,
            kind if kind == EffectKind::Marked as u32 => EffectKind::Marked,
            kind if kind == EffectKind::Gone as u32 => EffectKind::Gone,
            kind if kind == EffectKind::Success as u32 => EffectKind::Success,
            kind if kind == EffectKind::Failure as u32 => EffectKind::Failure,
            _ => return Err("its kind is unknown"),
        };
        let effect = Effect {
            key: Key::from_path(&row.path).ok_or("it names no object")?,
            uid: Uid::new(row.uid),
            revision: Revision(row.revision),
            kind,
            time_ms: row.time_ms,
        };
        self.requests.push((key, Arc::new(effect)));
        Ok(())
    }

    fn epoch(&mut self, rest: &[u8], value: &[u8]) -> Result<(), &'static str> {
        let namespace = std::str::from_utf8(rest).map_err(|_| "its key is no namespace")?;
        let row = EpochRow::decode(value).map_err(|_| "it is no epoch")?;
        self.state.registry.put_epoch(namespace, Some(Revision(row.revision)));
        Ok(())
    }
}
