//! Ownership of fields: who owns what after each kind of write, and who is in whose way.

use boss_proto::limits::FIELD_MANAGERS_MAX;
use pbjson_types::Timestamp;
use proptest::prelude::*;
use serde_json::{Value, json};

use super::{Conflict, FieldSet, Managers, merge_patch, ownable};

fn at(seconds: i64) -> Timestamp {
    Timestamp { seconds, nanos: 0 }
}

fn apply(managers: &mut Managers, name: &str, live: &Value, wanted: &Value) -> Value {
    managers.apply(name, live, wanted, false, at(1)).expect("no conflict")
}

#[test]
fn merge_patches_do_what_their_rfc_shows() {
    for (target, patch, expected) in [
        (json!({"a": "b"}), json!({"a": "c"}), json!({"a": "c"})),
        (json!({"a": "b"}), json!({"b": "c"}), json!({"a": "b", "b": "c"})),
        (json!({"a": "b"}), json!({"a": null}), json!({})),
        (json!({"a": "b", "b": "c"}), json!({"a": null}), json!({"b": "c"})),
        (json!({"a": ["b"]}), json!({"a": "c"}), json!({"a": "c"})),
        (json!({"a": "c"}), json!({"a": ["b"]}), json!({"a": ["b"]})),
        (json!({"a": {"b": "c"}}), json!({"a": {"b": "d", "c": null}}), json!({"a": {"b": "d"}})),
        (json!({"a": [{"b": "c"}]}), json!({"a": [1]}), json!({"a": [1]})),
        (json!({"e": null}), json!({"a": 1}), json!({"e": null, "a": 1})),
        (json!([1, 2]), json!({"a": "b", "c": null}), json!({"a": "b"})),
        (json!({}), json!({"a": {"bb": {"ccc": null}}}), json!({"a": {"bb": {}}})),
    ] {
        assert_eq!(merge_patch(target, &patch), expected, "{patch}");
    }
}

#[test]
fn a_field_of_another_manager_is_a_conflict_that_names_both() {
    let mut managers = Managers::default();
    let live = apply(&mut managers, "a", &json!({}), &json!({"spec": {"containers": [{"name": "m", "image": "x"}]}}));
    let wanted = json!({"spec": {"containers": [{"name": "m", "image": "y"}]}});
    let refused = managers.clone().apply("b", &live, &wanted, false, at(2)).unwrap_err();
    assert_eq!(refused, [Conflict { manager: "a".into(), field: "spec.containers[m].image".into() }]);
    let taken = managers.apply("b", &live, &wanted, true, at(2)).unwrap();
    assert_eq!(taken, wanted);
    // What was taken is no longer the first one's: leaving it out removes nothing.
    let kept = apply(&mut managers, "a", &taken, &json!({"spec": {"containers": [{"name": "m"}]}}));
    assert_eq!(kept, wanted);
}

#[test]
fn equal_values_are_shared_and_go_with_their_last_owner() {
    let mut managers = Managers::default();
    let both = json!({"metadata": {"labels": {"app": "web", "tier": "x"}}});
    let live = apply(&mut managers, "a", &json!({}), &both);
    let live = apply(&mut managers, "b", &live, &json!({"metadata": {"labels": {"app": "web"}}}));
    let live = apply(&mut managers, "a", &live, &json!({"metadata": {"labels": {"tier": "x"}}}));
    assert_eq!(live, both);
    let live = apply(&mut managers, "b", &live, &json!({}));
    assert_eq!(live, json!({"metadata": {"labels": {"tier": "x"}}}));
}

#[test]
fn items_of_keyed_lists_come_and_go_one_by_one_and_atomic_lists_whole() {
    let mut managers = Managers::default();
    let env = |list: Value| json!({"env": list, "args": ["a", "b"]});
    let live = apply(&mut managers, "a", &json!({}), &env(json!([{"name": "A", "value": "1"}])));
    let live = apply(&mut managers, "b", &live, &json!({"env": [{"name": "B", "value": "2"}]}));
    assert_eq!(live, env(json!([{"name": "A", "value": "1"}, {"name": "B", "value": "2"}])));
    let live = apply(&mut managers, "a", &live, &json!({"args": ["c"]}));
    assert_eq!(live, json!({"env": [{"name": "B", "value": "2"}], "args": ["c"]}));
}

#[test]
fn other_writes_own_what_they_change_and_lose_what_they_remove() {
    let mut managers = Managers::default();
    let live = apply(&mut managers, "a", &json!({}), &json!({"spec": {"x": 1, "y": 1}}));
    let after = json!({"spec": {"x": 2}});
    managers.changed("editor", &live, &after, at(3));
    let wanted = json!({"spec": {"x": 1, "y": 1}});
    let refused = managers.clone().apply("a", &after, &wanted, false, at(4)).unwrap_err();
    assert_eq!(refused, [Conflict { manager: "editor".into(), field: "spec.x".into() }]);
    let written = managers.clone().write();
    assert_eq!(
        written.iter().map(|entry| (&*entry.manager, &*entry.fields)).collect::<Vec<_>>(),
        [("editor", "spec{x}")]
    );
    assert_eq!(Managers::read(&written).write(), written);
}

#[test]
fn nobody_owns_what_the_registry_sets() {
    let object = json!({
        "apiVersion": "boss.dev/v1", "kind": "Pod", "status": {"phase": "Running"},
        "metadata": {"name": "x", "uid": "u", "resourceVersion": "5", "labels": {"a": "b"}},
    });
    assert_eq!(FieldSet::of(&ownable(&object)).to_text(), "metadata{labels{a}}");
}

#[test]
fn texts_that_are_no_set_are_refused() {
    for text in ["{", "a{", "a{b", "a}", "a,,b", "[a", "a{}", "\"", ",", "a b", &"a{".repeat(100)] {
        assert_eq!(FieldSet::from_text(text), None, "{text}");
    }
}

fn name() -> impl Strategy<Value = String> {
    prop_oneof![Just("a".to_owned()), Just("env".to_owned()), Just(".".to_owned()), "[a-z.\"{}, é]{1,4}"]
}

fn value() -> impl Strategy<Value = Value> {
    let leaf = prop_oneof![any::<bool>().prop_map(Value::from), "[a-c]".prop_map(Value::from)];
    leaf.prop_recursive(4, 24, 4, |inner| {
        prop_oneof![
            prop::collection::btree_map(name(), inner.clone(), 0..4)
                .prop_map(|fields| Value::Object(fields.into_iter().collect())),
            prop::collection::vec(inner.clone(), 0..3).prop_map(Value::from),
            prop::collection::btree_map("[a-c]", "[x-z]", 0..3).prop_map(|items| {
                Value::from(
                    items.into_iter().map(|(name, value)| json!({"name": name, "value": value})).collect::<Vec<_>>(),
                )
            }),
        ]
    })
}

fn object() -> impl Strategy<Value = Value> {
    prop::collection::btree_map(name(), value(), 0..5).prop_map(|fields| Value::Object(fields.into_iter().collect()))
}

/// Without messages that hold nothing: what a manager leaves behind has none.
fn pruned(value: &Value) -> Value {
    let Value::Object(fields) = value else { return value.clone() };
    let kept = fields.iter().map(|(name, value)| (name.clone(), pruned(value)));
    let is_empty = |value: &Value| value.as_object().is_some_and(serde_json::Map::is_empty);
    Value::Object(kept.filter(|(_, value)| !is_empty(value)).collect())
}

proptest! {
    #[test]
    fn sets_survive_their_text(object in object()) {
        let set = FieldSet::of(&object);
        prop_assert_eq!(FieldSet::from_text(&set.to_text()), Some(set));
    }

    #[test]
    fn texts_never_panic(text in "[a-c{}\\[\\],.\"\\\\]{0,24}") {
        if let Some(set) = FieldSet::from_text(&text) {
            prop_assert_eq!(FieldSet::from_text(&set.to_text()), Some(set));
        }
    }

    #[test]
    fn applying_twice_changes_nothing_more(live in object(), wanted in object()) {
        let mut managers = Managers::default();
        let once = apply(&mut managers, "a", &live, &wanted);
        let after = managers.clone();
        prop_assert_eq!(&apply(&mut managers, "a", &once, &wanted), &once);
        prop_assert_eq!(managers, after);
    }

    #[test]
    fn applying_nothing_takes_back_what_one_alone_applied(wanted in object()) {
        let mut managers = Managers::default();
        let live = apply(&mut managers, "a", &json!({}), &wanted);
        let left = apply(&mut managers, "a", &live, &json!({}));
        prop_assert_eq!(pruned(&ownable(&left)), json!({}));
        prop_assert!(managers.write().is_empty());
    }

    #[test]
    fn managers_of_different_fields_do_not_meet(one in object(), other in object()) {
        let (one, other) = (json!({"one": one}), json!({"other": other}));
        let mut managers = Managers::default();
        let live = apply(&mut managers, "a", &json!({}), &one);
        let live = apply(&mut managers, "b", &live, &other);
        let left = apply(&mut managers, "a", &live, &json!({}));
        prop_assert_eq!(pruned(&left), pruned(&other));
    }

    #[test]
    fn a_merge_patch_that_names_all_differences_gives_the_other(one in object(), other in object()) {
        let patch = difference(&one, &other);
        prop_assert_eq!(merge_patch(one, &patch), other);
    }
}

fn difference(from: &Value, to: &Value) -> Value {
    let (Value::Object(from), Value::Object(to)) = (from, to) else { return to.clone() };
    let gone = from.keys().filter(|name| !to.contains_key(*name)).map(|name| (name.clone(), Value::Null));
    let changed = to.iter().filter(|(name, value)| from.get(*name) != Some(value)).map(|(name, value)| {
        let before = from.get(name).unwrap_or(&Value::Null);
        (name.clone(), difference(before, value))
    });
    Value::Object(gone.chain(changed).collect())
}

#[test]
fn the_oldest_writer_is_forgotten_above_the_limit_and_who_applies_is_not() {
    let mut managers = Managers::default();
    let mut live = apply(&mut managers, "applier", &json!({}), &json!({"metadata": {"labels": {"own": "x"}}}));
    let mut change = |managers: &mut Managers, number: usize| {
        let mut after = live.clone();
        after["metadata"]["labels"][format!("l{number}")] = json!("x");
        managers.changed(&format!("w{number}"), &live, &after, at(2));
        live = after;
    };
    for number in 1..FIELD_MANAGERS_MAX {
        change(&mut managers, number);
    }
    let names = |managers: &Managers| -> Vec<String> {
        managers.clone().write().into_iter().map(|entry| entry.manager).collect()
    };
    let full = names(&managers);
    assert_eq!((full.len(), &*full[0], &*full[1]), (FIELD_MANAGERS_MAX, "applier", "w1"));
    change(&mut managers, FIELD_MANAGERS_MAX);
    let one_more = names(&managers);
    assert_eq!((one_more.len(), &*one_more[0], &*one_more[1]), (FIELD_MANAGERS_MAX, "applier", "w2"));
}
