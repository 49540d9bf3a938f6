//! What the indexes find is what a scan finds, and no more is looked at.

use std::collections::BTreeMap;

use boss_proto::{object::Resource, v1};
use proptest::{collection::vec, prelude::*};

use super::*;
use crate::state::{
    Limits, State,
    apply::tests::{Run, step},
};

const NODES: usize = 100;

/// A registry with many pods over many nodes and owners.
fn many(pods: usize) -> State {
    let mut state = State::with_limits(Limits::default());
    for number in 0..pods {
        let phase = if number % 50 == 0 { "Failed" } else { "Running" };
        let owner = v1::OwnerReference { uid: format!("owner-{}", number % 1_000), ..Default::default() };
        let pod = v1::Pod {
            metadata: Some(v1::ObjectMeta {
                name: format!("p{number:05}"),
                namespace: format!("ns{}", number % 3),
                uid: format!("uid-{number}"),
                owner_references: vec![owner],
                labels: labels(number),
                ..Default::default()
            }),
            spec: Some(v1::PodSpec {
                node_name: if number % 10 == 0 { String::new() } else { format!("n{}", number % NODES) },
                sandbox_class: if number % 4 == 0 { "container".into() } else { "process".into() },
                ..Default::default()
            }),
            status: Some(v1::PodStatus { phase: phase.into(), ..Default::default() }),
            ..Default::default()
        };
        state.registry.put_object(Arc::new(Record::new(pod.into_object()).unwrap()));
    }
    state
}

/// Each has a tier, every hundredth a canary.
fn labels(number: usize) -> BTreeMap<String, String> {
    let mut labels = BTreeMap::from([("tier".to_owned(), format!("t{}", number % 20))]);
    if number.is_multiple_of(100) {
        labels.insert("canary".to_owned(), String::new());
    }
    labels
}

/// How many are looked at, and how many of them are selected.
fn looked_at(state: &State, namespace: Option<&str>, fields: &str) -> (usize, usize) {
    looked_at_with(state, namespace, "", fields)
}

fn looked_at_with(state: &State, namespace: Option<&str>, labels: &str, fields: &str) -> (usize, usize) {
    let selector = Selector::parse(Kind::Pod, labels, fields).unwrap();
    let candidates: Vec<_> = state.candidates(Kind::Pod, namespace, &selector, None).collect();
    assert!(candidates.windows(2).all(|pair| pair[0].key < pair[1].key), "{fields}: not in order");
    let selected = candidates.iter().filter(|record| selector.matches(&record.object)).count();
    let wanted = state.list(Kind::Pod, namespace).filter(|record| selector.matches(&record.object)).count();
    assert_eq!(selected, wanted, "{fields}");
    (candidates.len(), selected)
}

#[test]
fn a_selected_field_costs_only_what_it_selects() {
    let state = many(10_000);
    let only = |fields: &str, count: usize| assert_eq!(looked_at(&state, None, fields), (count, count), "{fields}");
    only("spec.nodeName=n7", 100);
    only("spec.nodeName=", 1_000);
    only("status.phase=Failed", 200);
    only("metadata.ownerReferences.uid=owner-5", 10);
    only("class=container", 2_500);
    only("status.phase=Unknown", 0);
    only("metadata.name=p00007,metadata.namespace=ns1", 1);
    // The narrowest of several; the rest is asked of each.
    assert_eq!(looked_at(&state, None, "class=container,metadata.ownerReferences.uid=owner-4"), (10, 10));
    assert_eq!(looked_at(&state, None, "status.phase!=Failed,metadata.ownerReferences.uid=owner-0"), (10, 0));
    assert_eq!(looked_at(&state, Some("ns0"), "status.phase=Failed").0, 67);
    assert_eq!(looked_at(&state, None, "status.phase!=Failed"), (10_000, 9_800));
}

#[test]
fn a_selected_label_costs_only_what_it_selects() {
    let mut state = many(10_000);
    let check = |state: &State, labels: &str, fields: &str, expected: (usize, usize)| {
        assert_eq!(looked_at_with(state, None, labels, fields), expected, "{labels} {fields}");
    };
    check(&state, "tier=t3", "", (500, 500));
    check(&state, "tier in (t3,t4,t3,none)", "", (1_000, 1_000));
    check(&state, "canary", "", (100, 100));
    check(&state, "tier=none", "", (0, 0));
    check(&state, "none", "", (0, 0));
    // The narrowest requirement finds them; the rest is asked of each.
    check(&state, "tier=t0,canary", "", (100, 100));
    check(&state, "tier!=t0,canary", "", (100, 0));
    check(&state, "tier=t4", "metadata.ownerReferences.uid=owner-4", (10, 10));
    // What asks for absence alone looks at all, and so does nobody who asks for too many values.
    check(&state, "!canary", "", (10_000, 9_900));
    let many_values: Vec<String> = (0..=MERGED_SETS_MAX).map(|number| format!("x{number}")).collect();
    check(&state, &format!("canary in ({})", many_values.join(",")), "", (100, 0));

    let one = state.list(Kind::Pod, None).next().unwrap().clone();
    let mut unlabelled = one.object.clone();
    unlabelled.metadata_mut().unwrap().labels.clear();
    state.registry.put_object(Arc::new(Record::new(unlabelled).unwrap()));
    check(&state, "canary", "", (99, 99));
    check(&state, "tier=t0", "", (499, 499));
}

#[test]
fn a_page_goes_on_after_a_key_among_several_sets_of_labels() {
    let state = many(1_000);
    let selector = Selector::parse(Kind::Pod, "tier in (t1,t2,t17)", "").unwrap();
    let all: Vec<_> = state.candidates(Kind::Pod, None, &selector, None).map(|r| r.key.clone()).collect();
    assert_eq!(all.len(), 150);
    for (at, after) in all.iter().enumerate() {
        let rest = state.candidates(Kind::Pod, None, &selector, Some(after)).map(|r| r.key.clone());
        assert_eq!(rest.collect::<Vec<_>>(), all[at + 1..]);
    }
}

#[test]
fn a_page_goes_on_after_a_key_in_every_source() {
    let state = many(1_000);
    for fields in ["", "spec.nodeName=n7", "status.phase=Running", "class=container", "spec.nodeName="] {
        let selector = Selector::parse(Kind::Pod, "", fields).unwrap();
        for namespace in [None, Some("ns1")] {
            let all: Vec<_> = state.candidates(Kind::Pod, namespace, &selector, None).map(|r| r.key.clone()).collect();
            let middle = &all[all.len() / 2];
            let rest = state.candidates(Kind::Pod, namespace, &selector, Some(middle)).map(|r| r.key.clone());
            assert_eq!(rest.collect::<Vec<_>>(), all[all.len() / 2 + 1..], "{fields} in {namespace:?}");
        }
    }
}

fn requirement() -> impl Strategy<Value = String> {
    let (key, value) = (0..3_u8, 0..3_u8);
    (key, vec(value, 1..4), 0..5_u8).prop_map(|(key, values, operator)| {
        let list: Vec<String> = values.iter().map(|value| format!("v{value}")).collect();
        match operator {
            0 => format!("k{key}=v{}", values[0]),
            1 => format!("k{key} in ({})", list.join(",")),
            2 => format!("k{key} notin ({})", list.join(",")),
            3 => format!("k{key}"),
            _ => format!("!k{key}"),
        }
    })
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(64))]

    /// Objects of six names are put and put again with other labels, or deleted.
    #[test]
    fn labels_find_what_a_scan_finds(
        puts in vec((0..6_u8, proptest::option::of(vec((0..3_u8, 0..3_u8), 0..4))), 1..40),
        selectors in vec(vec(requirement(), 0..4), 1..8),
    ) {
        let mut state = State::with_limits(Limits::default());
        for (name, labels) in puts {
            let mut object = v1::Object::empty(Kind::Pod);
            let metadata = object.metadata_mut().unwrap();
            metadata.name = format!("p{name}");
            metadata.namespace = format!("ns{}", name % 2);
            let key = Key::new(Kind::Pod, &*metadata.namespace, &*metadata.name);
            match labels {
                Some(labels) => {
                    metadata.labels = labels.iter().map(|(key, value)| (format!("k{key}"), format!("v{value}"))).collect();
                    state.registry.put_object(Arc::new(Record::new(object).unwrap()));
                }
                None => drop(state.registry.replace_object(&key, None)),
            }
        }
        for requirements in selectors {
            let selector = Selector::parse(Kind::Pod, &requirements.join(","), "").unwrap();
            let selects = |record: &&Arc<Record>| selector.matches(&record.object);
            for namespace in [None, Some("ns1")] {
                let found: Vec<_> = state.candidates(Kind::Pod, namespace, &selector, None).filter(selects).collect();
                prop_assert_eq!(found, state.list(Kind::Pod, namespace).filter(selects).collect::<Vec<_>>());
            }
        }
    }

    #[test]
    fn indexes_find_what_a_scan_finds(steps in vec(step(), 1..80)) {
        let run = Run::of(&steps, Limits::default());
        for view in &run.views {
            for fields in ["spec.nodeName=n1", "spec.nodeName=", "status.phase=Pending", "class=process"] {
                let selector = Selector::parse(Kind::Pod, "", fields).unwrap();
                let selects = |record: &&Arc<Record>| selector.matches(&record.object);
                let found: Vec<_> = view.candidates(Kind::Pod, None, &selector, None).filter(selects).collect();
                prop_assert_eq!(found, view.list(Kind::Pod, None).filter(selects).collect::<Vec<_>>());
            }
        }
    }
}
