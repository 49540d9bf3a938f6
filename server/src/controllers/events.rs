//! Events of the leader's own loops: one object per (object, source, reason), with a count. Notes are taken in memory
//! and written in batches behind the decisions that they tell of.

use std::{
    collections::BTreeMap,
    sync::{Arc, Mutex, MutexGuard, PoisonError},
    time::Duration,
};

use boss_base::clock::Clock;
use boss_proto::{
    ids::Uid,
    key::Key,
    kind::Kind,
    object::Resource,
    v1::{Event, ObjectMeta, ObjectReference},
};
use boss_raft::state::View;
use tokio::sync::Notify;

use super::{
    bootstrap::DEFAULT_NAMESPACE,
    conditions::timestamp,
    driver::{Controller, Error, NextRun},
    leader::{Leader, Write},
};

/// Notes that wait to be written. Above it new ones are dropped: events are help for people, not state.
const NOTES_MAX: usize = 4_096;
/// Notes are gathered for so long, so that a burst of decisions is followed by few entries and none is delayed.
const GATHER: Duration = Duration::from_millis(50);

/// Whether somebody should worry.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Tone {
    /// As it should be.
    Normal,
    /// Not as it should be.
    Warning,
}

/// Something that happened to an object.
#[derive(Debug, Clone)]
pub(super) struct Note {
    /// The object.
    pub(super) about: ObjectReference,
    /// The controller that noticed.
    pub(super) source: &'static str,
    /// One CamelCase word.
    pub(super) reason: &'static str,
    /// For people; the latest one is shown.
    pub(super) message: String,
    /// Normal or Warning.
    pub(super) tone: Tone,
}

/// Which notes are one event.
type Same = (String, &'static str, &'static str);

#[derive(Debug, Clone)]
struct Noted {
    note: Note,
    first_ms: u64,
    last_ms: u64,
    count: u32,
}

/// Where controllers leave their notes. Cheap to clone.
#[derive(Clone)]
pub(super) struct Recorder {
    notes: Arc<Mutex<BTreeMap<Same, Noted>>>,
    arrived: Arc<Notify>,
    clock: Arc<dyn Clock>,
}

impl Recorder {
    /// An empty one.
    #[must_use]
    pub(super) fn new(clock: Arc<dyn Clock>) -> Self {
        Self { notes: Arc::default(), arrived: Arc::default(), clock }
    }

    /// Takes a note; never waits.
    pub(super) fn note(&self, note: Note) {
        let now_ms = self.clock.unix_millis();
        let same = (note.about.uid.clone(), note.source, note.reason);
        let mut notes = self.lock();
        if notes.len() >= NOTES_MAX && !notes.contains_key(&same) {
            tracing::debug!(reason = note.reason, "event dropped: too many wait");
            return;
        }
        let fresh = || Noted { note: note.clone(), first_ms: now_ms, last_ms: now_ms, count: 0 };
        let noted = notes.entry(same).or_insert_with(fresh);
        noted.count = noted.count.saturating_add(1);
        (noted.last_ms, noted.note) = (now_ms, note);
        drop(notes);
        self.arrived.notify_one();
    }

    fn take(&self) -> Vec<Noted> {
        std::mem::take(&mut *self.lock()).into_values().collect()
    }

    fn lock(&self) -> MutexGuard<'_, BTreeMap<Same, Noted>> {
        self.notes.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// Writes the notes. What one leader could not write is lost: the next one notices for itself.
pub(super) struct EventWriter {
    leader: Leader,
    recorder: Recorder,
}

impl EventWriter {
    /// For one term.
    #[must_use]
    pub(super) fn new(leader: Leader, recorder: Recorder) -> Self {
        Self { leader, recorder }
    }
}

impl Controller for EventWriter {
    const NAME: &'static str = "events";

    async fn reconcile(&mut self) -> Result<NextRun, Error> {
        let view = self.leader.view();
        let writes = self.recorder.take().iter().map(|noted| write(&view, noted)).collect();
        // Refusals do not matter: the namespace is going, or the event was deleted a moment ago.
        self.leader.write(writes).await?;
        Ok(NextRun::OnChange)
    }

    async fn changed(&mut self) {
        self.recorder.arrived.notified().await;
        tokio::time::sleep(GATHER).await;
    }
}

fn write(view: &View, noted: &Noted) -> Write {
    let key = key_of(&noted.note);
    let stored = view.get(&key).and_then(|record| Some((record, Event::from_object(&record.object)?)));
    match stored {
        Some((record, event)) => Write::update(record, again(event, noted)),
        None => Write::create(fresh(&key, noted)),
    }
}

fn again(event: &Event, noted: &Noted) -> Event {
    Event {
        message: noted.note.message.clone(),
        last_timestamp: Some(timestamp(noted.last_ms)),
        count: event.count.saturating_add(noted.count),
        ..event.clone()
    }
}

fn fresh(key: &Key, noted: &Noted) -> Event {
    let note = &noted.note;
    let metadata = ObjectMeta {
        name: key.name.clone(),
        namespace: key.namespace.clone(),
        uid: Uid::random().to_string(),
        ..Default::default()
    };
    Event {
        metadata: Some(metadata),
        involved_object: Some(note.about.clone()),
        reason: note.reason.to_owned(),
        message: note.message.clone(),
        r#type: match note.tone {
            Tone::Normal => "Normal".to_owned(),
            Tone::Warning => "Warning".to_owned(),
        },
        source: note.source.to_owned(),
        first_timestamp: Some(timestamp(noted.first_ms)),
        last_timestamp: Some(timestamp(noted.last_ms)),
        count: noted.count,
        ..Default::default()
    }
}

/// Events about cluster-scoped objects stand in the default namespace. The name follows from what makes two notes one
/// event, so that a new leader goes on counting.
fn key_of(note: &Note) -> Key {
    let about = &note.about;
    let namespace = if about.namespace.is_empty() { DEFAULT_NAMESPACE } else { &about.namespace };
    let hash = fnv1a(&[&about.uid, note.source, note.reason]);
    // 63 bytes at most: a dash and 16 digits follow.
    let prefix: String = about.name.chars().take(46).collect();
    Key::new(Kind::Event, namespace, format!("{}-{hash:016x}", prefix.trim_end_matches('-')))
}

/// FNV-1a: stable over versions of Boss and Rust, which the standard hasher is not.
fn fnv1a(parts: &[&str]) -> u64 {
    let bytes = parts.iter().flat_map(|part| part.bytes().chain([0]));
    bytes.fold(0xcbf2_9ce4_8422_2325, |hash, byte| (hash ^ u64::from(byte)).wrapping_mul(0x0100_0000_01b3))
}

#[cfg(test)]
mod tests {
    use boss_base::clock::testing::ManualClock;
    use boss_proto::labels;

    use super::*;

    fn note(name: &str, message: &str) -> Note {
        let about = ObjectReference {
            kind: "Pod".into(),
            namespace: "default".into(),
            name: name.into(),
            uid: format!("uid-{name}"),
        };
        Note { about, source: "scheduler", reason: "Unschedulable", message: message.into(), tone: Tone::Warning }
    }

    #[test]
    fn equal_notes_become_one_event_with_the_latest_message() {
        let clock = Arc::new(ManualClock::new(1_000, 1));
        let recorder = Recorder::new(clock.clone());
        recorder.note(note("a", "first"));
        clock.advance(Duration::from_secs(1));
        recorder.note(note("a", "second"));
        recorder.note(note("b", "other"));
        let taken = recorder.take();
        assert_eq!(taken.len(), 2);
        let event = fresh(&key_of(&taken[0].note), &taken[0]);
        assert_eq!((event.count, &*event.message), (2, "second"));
        assert_eq!(event.first_timestamp, Some(timestamp(1_000)));
        assert_eq!(event.last_timestamp, Some(timestamp(2_000)));
        assert!(recorder.take().is_empty());
    }

    #[test]
    fn notes_are_bounded() {
        let recorder = Recorder::new(Arc::new(ManualClock::default()));
        for number in 0..NOTES_MAX + 10 {
            recorder.note(note(&number.to_string(), ""));
        }
        assert_eq!(recorder.take().len(), NOTES_MAX);
    }

    #[test]
    fn names_of_events_are_names_whatever_the_object_is_called() {
        for name in ["a", &"x".repeat(63), &format!("{}-{}", "y".repeat(45), "z".repeat(17))] {
            let key = key_of(&note(name, ""));
            labels::check_name(&key.name).expect("a name");
            assert_eq!(key, key_of(&note(name, "another message")));
        }
    }
}
