//! Each bound of the history, at the bound and one above it: what goes is the oldest, and no more than must.

use boss_proto::{object::Resource, v1};

use super::*;

const TIME_MS: u64 = 1_000;

fn event(number: u64) -> Arc<Event> {
    let metadata = v1::ObjectMeta { name: format!("n{number:04}"), ..Default::default() };
    let namespace = v1::Namespace { metadata: Some(metadata), ..Default::default() };
    Arc::new(Event {
        revision: Revision(number),
        ordinal: 0,
        kind: EventKind::Added,
        record: Arc::new(Record::new(namespace.into_object()).unwrap()),
        previous: None,
        time_ms: TIME_MS,
    })
}

fn history(events: u64) -> History {
    let mut history = History::default();
    (1..=events).for_each(|number| history.push(event(number)));
    history
}

/// Evicts all that must go at `now_ms`; the floor then, and how many are left.
fn evict(history: &mut History, now_ms: u64, limits: Limits) -> (Revision, usize) {
    while history.evict(now_ms, &limits).is_some() {}
    (history.floor(), history.len())
}

#[test]
fn one_event_above_the_bound_takes_the_oldest_away() {
    let limits = Limits { history_events_max: 5, ..Limits::default() };
    assert_eq!(evict(&mut history(5), TIME_MS, limits), (Revision(0), 5));
    assert_eq!(evict(&mut history(6), TIME_MS, limits), (Revision(1), 5));
}

#[test]
fn one_byte_above_the_bound_takes_the_oldest_away() {
    let bytes = event(1).bytes() * 5;
    let limits = |history_bytes_max| Limits { history_bytes_max, ..Limits::default() };
    assert_eq!(evict(&mut history(5), TIME_MS, limits(bytes)), (Revision(0), 5));
    assert_eq!(evict(&mut history(5), TIME_MS, limits(bytes - 1)), (Revision(1), 4));
}

#[test]
fn one_millisecond_above_the_age_takes_all_of_that_age_away() {
    let limits = Limits { history_age_max_ms: 50, ..Limits::default() };
    assert_eq!(evict(&mut history(5), TIME_MS + 50, limits), (Revision(0), 5));
    assert_eq!(evict(&mut history(5), TIME_MS + 51, limits), (Revision(5), 0));
}
