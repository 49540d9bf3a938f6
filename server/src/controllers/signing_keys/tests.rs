//! When a key is made, retired and removed.

use boss_proto::v1::Object;

use super::*;
use crate::controllers::testing::registry_of;

const NOW: u64 = 1_800_000_000;
const DAY: u64 = 24 * 3_600;

fn key(name: &str, active_from: u64, removed_from: Option<u64>, asked: bool) -> Object {
    let annotations = if asked { [(ROTATE.to_owned(), "now".to_owned())].into() } else { Default::default() };
    let metadata = Some(ObjectMeta { name: name.to_owned(), annotations, ..ObjectMeta::default() });
    let spec = SigningKeySpec {
        active_from: Some(timestamp(active_from)),
        removed_from: removed_from.map(timestamp),
        ..SigningKeySpec::default()
    };
    SigningKey { metadata, spec: Some(spec), ..SigningKey::default() }.into_object()
}

fn planned(keys: Vec<Object>) -> (bool, Vec<String>, Vec<String>) {
    let plan = plan(&registry_of(keys), NOW);
    let names = |records: Vec<Arc<Record>>| records.iter().map(|record| record.key.name.clone()).collect();
    (plan.successor, names(plan.retire), names(plan.remove))
}

#[test]
fn the_first_key_is_made_and_a_young_one_stays() {
    assert_eq!(planned(vec![]), (true, vec![], vec![]));
    assert_eq!(planned(vec![key("a", NOW - DAY, None, false)]), (false, vec![], vec![]));
}

#[test]
fn an_old_key_and_one_whose_end_is_asked_for_get_a_successor() {
    let due = (true, vec!["a".to_owned()], vec![]);
    assert_eq!(planned(vec![key("a", NOW - 30 * DAY, None, false)]), due);
    assert_eq!(planned(vec![key("a", NOW - 1, None, true)]), due);
    // What is not in use yet has no tokens to protect.
    assert_eq!(planned(vec![key("a", NOW + 3, None, true)]), (false, vec![], vec![]));
}

#[test]
fn a_key_goes_only_when_the_last_of_its_tokens_has_expired() {
    let keys = vec![
        key("a", NOW - 90 * DAY, Some(NOW), false),
        key("b", NOW - 60 * DAY, Some(NOW + 1), false),
        key("c", NOW - DAY, None, false),
    ];
    assert_eq!(planned(keys), (false, vec![], vec!["a".to_owned()]));
}

#[test]
fn a_key_whose_successor_was_made_by_a_leader_that_fell_is_retired_by_the_next() {
    let keys = vec![key("a", NOW - 90, None, false), key("b", NOW - 60, None, false)];
    assert_eq!(planned(keys.clone()), (false, vec!["a".to_owned()], vec![]));
    assert_eq!(planned(keys.into_iter().rev().collect()), (false, vec!["a".to_owned()], vec![]));
}

#[test]
fn a_retired_key_is_kept_for_as_long_as_its_tokens_can_live() {
    let view = registry_of(vec![key("a", NOW - 90, None, true)]);
    let record = view.list(Kind::SigningKey, None).next().unwrap();
    let spec = retired(record, NOW).unwrap().spec.unwrap();
    assert_eq!(seconds(spec.retired_from), Some(NOW));
    assert!(seconds(spec.removed_from).unwrap() >= NOW + TOKEN_LIFETIME_MAX.as_secs());
}
