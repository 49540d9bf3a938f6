//! A policy's parameters are part of the policy: what was admitted under others is admitted anew.

use boss_proto::{
    key::Key,
    kind::Kind,
    v1::{self, AdmissionPolicy, AdmissionPolicySpec, PolicyParams},
};

use crate::state::{
    Limits, Outcome,
    rows::{Loader, header, rows},
    testing::*,
};

fn policy(name: &str, namespace: &str, map: &str) -> v1::Object {
    let params = Some(PolicyParams { namespace: namespace.into(), name: map.into() });
    let spec = Some(AdmissionPolicySpec { params, ..AdmissionPolicySpec::default() });
    AdmissionPolicy { metadata: meta("", name), spec, ..AdmissionPolicy::default() }.into()
}

fn map(namespace: &str, name: &str, value: &str) -> v1::Object {
    let data = [("most".to_owned(), value.to_owned())].into();
    v1::ConfigMap { metadata: meta(namespace, name), data, ..v1::ConfigMap::default() }.into()
}

/// Whether a pod that was admitted before the change has to be admitted again after it.
fn moves(cluster: &mut Cluster, pod_name: &str, change: impl FnOnce(&mut Cluster)) -> bool {
    let admitted = cluster.admitted(admin(), create(pod(pod_name)));
    change(cluster);
    match cluster.apply(admitted) {
        Outcome::Readmit => true,
        Outcome::Written { .. } => false,
        other => panic!("{other:?}"),
    }
}

#[test]
fn a_write_that_was_admitted_under_other_parameters_is_admitted_again() {
    let mut cluster = Cluster::new();
    cluster.must(servers(), create(namespace("rules")));
    cluster.must(servers(), create(policy("own", "", "own")));
    cluster.must(servers(), create(policy("fixed", "rules", "fixed")));
    let put = |cluster: &mut Cluster, object: v1::Object| {
        let key = object.key().unwrap();
        let action = if cluster.state.get(&key).is_some() { update(object) } else { create(object) };
        cluster.must(servers(), action);
    };
    for (number, (object, moved)) in [
        (map("rules", "fixed", "1"), true),
        (map("rules", "fixed", "2"), true),
        (map("rules", "fixed", "2"), false),
        (map("default", "own", "1"), true),
        (map("default", "own", "2"), true),
        (map("default", "other", "1"), false),
        // The namespace's own parameters say nothing about those of others.
        (map("rules", "own", "1"), false),
        (map("default", "fixed", "1"), false),
    ]
    .into_iter()
    .enumerate()
    {
        let said = format!("{object:?}");
        assert_eq!(moves(&mut cluster, &format!("p{number}"), |cluster| put(cluster, object)), moved, "{said}");
    }
    let own = Key::new(Kind::ConfigMap, "default", "own");
    assert!(moves(&mut cluster, "gone", |cluster| drop(cluster.must(servers(), delete(&own)))), "or none any more");
    let policy_key = Key::cluster(Kind::AdmissionPolicy, "fixed");
    cluster.must(servers(), delete(&policy_key));
    let change = |cluster: &mut Cluster| put(cluster, map("rules", "fixed", "3"));
    assert!(!moves(&mut cluster, "free", change), "no policy takes them any more");
}

#[test]
fn a_state_that_was_loaded_moves_as_the_one_that_was_not() {
    let mut cluster = Cluster::new();
    cluster.must(servers(), create(policy("own", "", "own")));
    let mut loader = Loader::new(&header(&cluster.state), Limits::default()).unwrap();
    for row in rows(&cluster.state) {
        loader.row(&row.key, row.value.unwrap()).unwrap();
    }
    let mut loaded =
        Cluster { state: loader.finish().unwrap(), index: cluster.index, now_ms: cluster.now_ms, log: vec![] };
    for each in [&mut cluster, &mut loaded] {
        let change = |cluster: &mut Cluster| drop(cluster.must(servers(), create(map("default", "own", "1"))));
        assert!(moves(each, "p", change));
    }
    assert_eq!(loaded.state.hash(), cluster.state.hash());
}
