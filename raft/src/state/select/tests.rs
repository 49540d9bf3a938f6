//! What the indexes find is what a scan finds, and no more is looked at.

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

/// How many are looked at, and how many of them are selected.
fn looked_at(state: &State, namespace: Option<&str>, fields: &str) -> (usize, usize) {
    let selector = Selector::parse(Kind::Pod, "", fields).unwrap();
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

proptest! {
    #![proptest_config(ProptestConfig::with_cases(64))]

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
