//! Counts against a recount, and what quotas refuse.

use boss_proto::{
    key::Key,
    kind::Kind,
    object::Resource as _,
    raft::v1::{Operation, Txn, operation::Action},
    v1::{self, object::Body},
};
use proptest::{collection::vec, prelude::*};

use super::*;
use crate::state::{
    Limits, Outcome, State,
    rows::{Loader, header, rows},
    testing::*,
};

fn quota(name: &str, hard: &[(&str, &str)]) -> v1::Object {
    let hard = hard.iter().map(|(what, amount)| ((*what).to_owned(), (*amount).to_owned())).collect();
    let spec = Some(v1::ResourceQuotaSpec { hard });
    v1::ResourceQuota { metadata: meta("default", name), spec, ..Default::default() }.into_object()
}

/// A pod of a class that asks for thousandths of a core and mebibytes.
fn sized(name: &str, class: &str, cpu: u32, memory: u32) -> v1::Object {
    let mut object = pod(name);
    let Some(Body::Pod(pod)) = object.body.as_mut() else { unreachable!("a pod is a pod") };
    let spec = pod.spec.get_or_insert_default();
    class.clone_into(&mut spec.sandbox_class);
    let list = v1::ResourceList { cpu: format!("{cpu}m"), memory: format!("{memory}Mi"), ..Default::default() };
    spec.containers[0].resources = Some(v1::Resources { requests: Some(list.clone()), limits: Some(list) });
    object
}

fn with_phase(mut object: v1::Object, phase: &str) -> v1::Object {
    let Some(Body::Pod(pod)) = object.body.as_mut() else { unreachable!("a pod is a pod") };
    phase.clone_into(&mut pod.status.get_or_insert_default().phase);
    object
}

#[track_caller]
fn exceeded(outcome: Outcome) -> (String, String, String, String, String) {
    match outcome {
        Outcome::Rejected(Rejection::QuotaExceeded { quota, resource, used, asked, hard }) => {
            (quota, resource, used, asked, hard)
        }
        other => panic!("expected a full quota, got {other:?}"),
    }
}

fn words(five: (&str, &str, &str, &str, &str)) -> (String, String, String, String, String) {
    (five.0.into(), five.1.into(), five.2.into(), five.3.into(), five.4.into())
}

#[test]
fn a_full_quota_refuses_and_names_itself_the_resource_and_the_amounts() {
    let mut cluster = Cluster::new();
    cluster.must(admin(), create(quota("small", &[("requests.cpu", "1500m"), ("count/pods", "9")])));
    cluster.must(admin(), create(sized("a", "process", 1_000, 64)));
    let refused = exceeded(cluster.act(admin(), create(sized("b", "process", 600, 64))));
    assert_eq!(refused, words(("small", "requests.cpu", "1", "600m", "1500m")));
    cluster.must(admin(), create(sized("b", "process", 500, 64)));
}

#[test]
fn each_class_and_each_kind_has_a_count_of_its_own() {
    let mut cluster = Cluster::new();
    let hard = [("pods.microvm", "1"), ("pods", "2"), ("count/configmaps", "1")];
    cluster.must(admin(), create(quota("q", &hard)));
    cluster.must(admin(), create(sized("a", "microvm", 1, 1)));
    let refused = exceeded(cluster.act(admin(), create(sized("b", "microvm", 1, 1))));
    assert_eq!(refused, words(("q", "pods.microvm", "1", "1", "1")));
    cluster.must(admin(), create(sized("b", "process", 1, 1)));
    assert_eq!(exceeded(cluster.act(admin(), create(sized("c", "process", 1, 1)))).1, "pods");
    let map = |name| v1::ConfigMap { metadata: meta("default", name), ..Default::default() }.into_object();
    cluster.must(admin(), create(map("one")));
    assert_eq!(exceeded(cluster.act(admin(), create(map("two")))).1, "count/configmaps");
}

#[test]
fn a_quota_below_the_use_only_stops_growth() {
    let mut cluster = Cluster::new();
    for name in ["a", "b", "c"] {
        cluster.must(admin(), create(sized(name, "process", 100, 1)));
    }
    cluster.must(admin(), create(quota("q", &[("count/pods", "1"), ("requests.cpu", "100m")])));
    assert_eq!(exceeded(cluster.act(admin(), create(sized("d", "process", 1, 1)))).2, "3");
    // Smaller is no growth, larger is.
    cluster.must(admin(), update(sized("a", "process", 50, 1)));
    assert_eq!(exceeded(cluster.act(admin(), update(sized("a", "process", 60, 1)))).1, "requests.cpu");
    cluster.must(admin(), delete(&key("b")));
}

#[test]
fn status_writes_are_never_refused_and_an_ended_pod_frees() {
    let mut cluster = Cluster::new();
    cluster.must(admin(), create(sized("a", "process", 100, 1)));
    cluster.must(admin(), create(quota("q", &[("pods", "1"), ("count/pods", "5"), ("limits.memory", "9Mi")])));
    assert_eq!(exceeded(cluster.act(admin(), create(sized("b", "process", 100, 1)))).1, "pods");
    cluster.must(servers(), update_status(with_phase(sized("a", "process", 100, 1), "Succeeded")));
    cluster.must(admin(), create(sized("b", "process", 100, 1)));
    // Back to life: above the quota, but what is observed is not refused.
    cluster.must(servers(), update_status(with_phase(sized("a", "process", 100, 1), "Running")));
    assert_eq!(cluster.state.held_in("default", Counted::Pods), 2);
}

#[test]
fn a_pod_that_says_nothing_of_what_a_quota_counts_is_refused() {
    let mut cluster = Cluster::new();
    cluster.must(admin(), create(quota("q", &[("requests.memory", "1Gi")])));
    let Outcome::Rejected(Rejection::Invalid { field, problem, .. }) = cluster.act(admin(), create(pod("a"))) else {
        panic!("expected a refusal");
    };
    assert_eq!(field, "spec.containers[0].resources.requests.memory");
    assert!(problem.contains("\"q\""), "{problem}");
}

#[test]
fn a_transaction_is_measured_as_a_whole() {
    let mut cluster = Cluster::new();
    cluster.must(admin(), create(quota("q", &[("count/pods", "2")])));
    cluster.must(admin(), create(pod("a")));
    let txn = |cluster: &Cluster, actions: Vec<Action>| {
        let inner = |action| Operation { caller: None, ..cluster.admitted(admin(), action) };
        let success = actions.into_iter().map(inner).collect();
        let action = Some(Action::Txn(Txn { success, ..Default::default() }));
        Operation { caller: Some(admin()), action, ..Operation::default() }
    };
    let two_more = txn(&cluster, vec![create(pod("b")), create(pod("c"))]);
    assert_eq!(exceeded(cluster.apply(two_more)), words(("q", "count/pods", "1", "2", "2")));
    let exchanged = txn(&cluster, vec![create(pod("b")), create(pod("c")), delete(&key("a"))]);
    assert!(matches!(cluster.apply(exchanged), Outcome::Txn { succeeded: true, .. }));
    assert_eq!(cluster.state.held_in("default", Counted::Objects(Kind::Pod)), 2);
}

#[test]
fn a_quota_shows_what_is_used_and_stores_nothing_of_it() {
    let mut cluster = Cluster::new();
    let mut object = quota("q", &[("pods", "3"), ("requests.memory", "1Gi")]);
    let Some(Body::ResourceQuota(body)) = object.body.as_mut() else { unreachable!("a quota is a quota") };
    body.status = Some(v1::ResourceQuotaStatus { used: [("pods".into(), "0".into())].into(), ..Default::default() });
    let stored = cluster.must(admin(), create(object));
    let Some(Body::ResourceQuota(body)) = &stored.object.body else { unreachable!("a quota is a quota") };
    assert_eq!(body.status, None);
    cluster.must(admin(), create(sized("a", "process", 100, 64)));
    let shown = cluster.state.quota_with_use(&stored).unwrap();
    let Some(Body::ResourceQuota(body)) = &shown.object.body else { unreachable!("a quota is a quota") };
    let used = &body.status.as_ref().unwrap().used;
    assert_eq!((used["pods"].as_str(), used["requests.memory"].as_str()), ("1", "64Mi"));
}

/// One step of a random life of a namespace.
#[derive(Debug, Clone)]
enum Move {
    Create(u8, u8, u32),
    Resize(u8, u32),
    Phase(u8, u8),
    Bind(u8),
    Delete(u8),
    Quota(u8, u64),
    Unquota(u8),
    Exchange(u8, u8),
}

fn a_move() -> impl Strategy<Value = Move> {
    prop_oneof![
        4 => (0..6u8, 0..3u8, 0..400u32).prop_map(|(name, class, cpu)| Move::Create(name, class, cpu)),
        1 => (0..6u8, 0..400u32).prop_map(|(name, cpu)| Move::Resize(name, cpu)),
        2 => (0..6u8, 0..3u8).prop_map(|(name, phase)| Move::Phase(name, phase)),
        1 => (0..6u8).prop_map(Move::Bind),
        2 => (0..6u8).prop_map(Move::Delete),
        1 => (0..2u8, 0..900u64).prop_map(|(name, hard)| Move::Quota(name, hard)),
        1 => (0..2u8).prop_map(Move::Unquota),
        1 => (0..6u8, 0..6u8).prop_map(|(gone, new)| Move::Exchange(gone, new)),
    ]
}

const CLASSES: [&str; 3] = ["process", "microvm", "wasm"];
const PHASES: [&str; 3] = ["Running", "Succeeded", "Failed"];

fn operation(cluster: &Cluster, step: &Move) -> Option<Operation> {
    let name = |number: &u8| format!("p{number}");
    let stored = |name: &str| cluster.state.get(&key(name)).map(|record| record.object.clone());
    Some(match step {
        Move::Create(number, class, cpu) => {
            let object = sized(&name(number), CLASSES[usize::from(*class)], *cpu, 16);
            cluster.admitted(admin(), create(object))
        }
        Move::Resize(number, cpu) => cluster.admitted(admin(), update(sized(&name(number), "process", *cpu, 32))),
        Move::Phase(number, phase) => {
            let object = with_phase(stored(&name(number))?, PHASES[usize::from(*phase)]);
            cluster.admitted(servers(), update_status(object))
        }
        Move::Bind(number) => cluster.admitted(servers(), bind(&name(number), "n1")),
        Move::Delete(number) => {
            let mut operation = cluster.admitted(agent(), proven(&key(&name(number))));
            operation.preconditions = pinned_uid(&format!("uid-default-p{number}"));
            let bound = cluster.state.get(&key(&name(number)))?.is_terminating();
            if bound { operation } else { cluster.admitted(admin(), delete(&key(&name(number)))) }
        }
        Move::Quota(number, hard) => {
            let cpu = format!("{hard}m");
            let object = quota(&format!("q{number}"), &[("requests.cpu", &cpu), ("pods.microvm", "2"), ("pods", "4")]);
            let exists = cluster.state.get(&object.key()?).is_some();
            cluster.admitted(admin(), if exists { update(object) } else { create(object) })
        }
        Move::Unquota(number) => {
            cluster.admitted(admin(), delete(&Key::new(Kind::ResourceQuota, "default", format!("q{number}"))))
        }
        Move::Exchange(gone, new) => {
            let inner = |action| Operation { caller: None, ..cluster.admitted(admin(), action) };
            let actions = [delete(&key(&name(gone))), create(sized(&name(new), "microvm", 100, 16))];
            let txn = Txn { success: actions.map(inner).to_vec(), ..Default::default() };
            Operation { caller: Some(admin()), action: Some(Action::Txn(txn)), ..Operation::default() }
        }
    })
}

fn all_used(state: &State) -> BTreeMap<Counted, u128> {
    state.ledger().used.get("default").cloned().unwrap_or_default()
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(96))]

    #[test]
    fn counts_are_those_of_a_recount_and_of_a_restart(moves in vec(a_move(), 1..80)) {
        let mut cluster = Cluster::new();
        for step in &moves {
            let Some(operation) = operation(&cluster, step) else { continue };
            let may_grow = matches!(step, Move::Create(..) | Move::Resize(..) | Move::Exchange(..));
            let before = all_used(&cluster.state);
            cluster.apply(operation);
            let after = all_used(&cluster.state);
            let objects = Kind::ALL.into_iter().flat_map(|kind| cluster.state.list(kind, Some("default")));
            prop_assert_eq!(&after, &recount(objects.map(|record| &record.object)));
            let rules = cluster.state.ledger().rules.get("default").cloned().unwrap_or_default();
            for (what, hard) in rules.values().flat_map(|rule| &rule.hard).filter(|_| may_grow) {
                let held = |used: &BTreeMap<Counted, u128>| used.get(what).copied().unwrap_or_default();
                prop_assert!(held(&after) <= u128::from(*hard).max(held(&before)), "{} after {:?}", what, step);
            }
        }
        let mut loader = Loader::new(&header(&cluster.state), Limits::default()).unwrap();
        for row in rows(&cluster.state) {
            loader.row(&row.key, row.value.unwrap()).unwrap();
        }
        let loaded = loader.finish().unwrap();
        prop_assert_eq!(all_used(&loaded), all_used(&cluster.state));
        prop_assert_eq!(loaded.ledger().rules.get("default"), cluster.state.ledger().rules.get("default"));
    }
}
