//! Which events go, by age and by number.

use boss_proto::v1::{Namespace, Object, ObjectMeta};

use super::*;
use crate::controllers::{conditions::timestamp, testing::registry_of};

fn event(namespace: &str, number: usize, seen_seconds: u64) -> Object {
    let metadata = ObjectMeta { name: format!("e{number}"), namespace: namespace.into(), ..Default::default() };
    let last_timestamp = Some(timestamp(seen_seconds * 1_000));
    Event { metadata: Some(metadata), last_timestamp, ..Default::default() }.into_object()
}

fn registry(events: Vec<Object>) -> View {
    let namespace = |name: &str| {
        let metadata = Some(ObjectMeta { name: name.into(), ..Default::default() });
        Namespace { metadata, ..Default::default() }.into_object()
    };
    registry_of([namespace("a"), namespace("b")].into_iter().chain(events).collect())
}

#[test]
fn old_events_go_and_young_ones_stay() {
    let view = registry(vec![event("a", 1, 1_000), event("a", 2, 4_000), event("b", 3, 399)]);
    let gone: Vec<_> = surplus(&view, 4_000).iter().map(|record| record.key.name.clone()).collect();
    assert_eq!(gone, ["e3"]);
    assert_eq!(surplus(&view, 10_000).len(), 3);
}

#[test]
fn of_too_many_the_newest_stay() {
    let extra = 3;
    let many = (0..PER_NAMESPACE_MAX + extra).map(|number| event("a", number, 5_000 + number as u64));
    let view = registry(many.chain([event("b", 1, 5_000)]).collect());
    let mut gone: Vec<_> = surplus(&view, 5_000).iter().map(|record| record.key.name.clone()).collect();
    gone.sort();
    assert_eq!(gone, ["e0", "e1", "e2"]);
}
