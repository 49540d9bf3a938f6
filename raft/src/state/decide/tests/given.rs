//! What a pod's sandbox is given of secrets and config maps: its author must be able to read it at the write's own place
//! in the log, whatever admission thought.

use boss_proto::raft::v1::Txn;

use super::*;

fn ann() -> Caller {
    caller("user:ann", "ann", &["devs"])
}

fn rule(verbs: &[&str], resource: &str, names: &[&str]) -> v1::PolicyRule {
    let words = |words: &[&str]| words.iter().map(|word| (*word).to_owned()).collect();
    v1::PolicyRule {
        verbs: words(verbs),
        resources: words(&[resource]),
        resource_names: words(names),
        ..v1::PolicyRule::default()
    }
}

/// A pod that takes a key of secret `s` and all of config map `m`.
fn taking(name: &str) -> v1::Object {
    let mut object = pod(name);
    let Some(v1::object::Body::Pod(pod)) = &mut object.body else { unreachable!("it is a pod") };
    let container = &mut pod.spec.as_mut().unwrap().containers[0];
    let reference = v1::KeyReference { name: "s".into(), key: "k".into(), optional: true };
    let value_from = Some(v1::EnvVarSource { secret_key_ref: Some(reference), config_map_key_ref: None });
    container.env = vec![v1::EnvVar { name: "S".into(), value_from, ..v1::EnvVar::default() }];
    let whole = v1::ObjectNameReference { name: "m".into(), optional: true };
    container.env_from = vec![v1::EnvFromSource { config_map_ref: Some(whole), ..v1::EnvFromSource::default() }];
    object
}

/// A cluster in which ann runs pods and reads what the rules say.
fn cluster(rules: Vec<v1::PolicyRule>) -> Cluster {
    let mut cluster = Cluster::new();
    let rules = [vec![rule(&["create", "update", "get", "delete"], "pods", &[])], rules].concat();
    let role = v1::Role { metadata: meta("default", "runner"), rules, ..v1::Role::default() };
    cluster.must(servers(), create(role.into_object()));
    let subjects = vec![v1::Subject { kind: "User".into(), name: "ann".into(), ..v1::Subject::default() }];
    let role_ref = Some(v1::RoleRef { kind: "Role".into(), name: "runner".into() });
    let metadata = meta("default", "runner");
    let binding = v1::RoleBinding { metadata, role_ref, subjects, ..Default::default() };
    cluster.must(servers(), create(binding.into_object()));
    cluster
}

fn reads() -> Vec<v1::PolicyRule> {
    vec![rule(&["get"], "secrets", &["s"]), rule(&["get"], "configmaps", &["m"])]
}

#[track_caller]
fn check_refused(outcome: Outcome, part: &str) {
    match rejection(outcome) {
        Rejection::Forbidden { reason } => assert!(reason.contains(part), "{reason:?} lacks {part:?}"),
        other => panic!("expected a refusal, got {other:?}"),
    }
}

#[test]
fn who_may_read_what_a_pod_is_given_may_create_it() {
    cluster(reads()).must(ann(), create(taking("a")));
}

#[test]
fn who_may_not_read_it_creates_no_such_pod() {
    check_refused(cluster(reads()[1..].to_vec()).act(ann(), create(taking("a"))), "secrets \"s\"");
    check_refused(cluster(reads()[..1].to_vec()).act(ann(), create(taking("a"))), "configmaps \"m\"");
    let other = vec![rule(&["get"], "secrets", &["t"]), rule(&["list", "watch"], "secrets", &[]), reads().remove(1)];
    check_refused(cluster(other).act(ann(), create(taking("a"))), "secrets \"s\"");
    cluster(Vec::new()).must(ann(), create(pod("a")));
}

#[test]
fn a_right_that_was_withdrawn_before_the_write_counts_no_more() {
    let mut cluster = cluster(reads());
    let late = cluster.admitted(ann(), create(taking("a")));
    let key = Key::new(Kind::Role, "default", "runner");
    let mut role = v1::Role::from_object(&cluster.state.get(&key).unwrap().object).unwrap().clone();
    role.rules.retain(|rule| rule.resources != ["secrets"]);
    cluster.must(servers(), update(role.into_object()));
    check_refused(cluster.apply(late), "secrets \"s\"");
}

#[test]
fn who_changes_what_runs_must_be_able_to_read_what_it_is_given() {
    let mut cluster = cluster(Vec::new());
    let stored = cluster.must(admin(), create(taking("a")));
    let changed = edited(&stored, |pod| pod.spec.as_mut().unwrap().containers[0].command = vec!["env".into()]);
    check_refused(cluster.act(ann(), update(changed)), "the pod is given");
    let labelled = edited(&stored, |pod| {
        pod.metadata.as_mut().unwrap().labels.insert("a".into(), "b".into());
    });
    cluster.must(ann(), update(labelled));
    let plain = cluster.must(ann(), create(pod("b")));
    let Some(v1::object::Body::Pod(taking)) = taking("b").body else { unreachable!("it is a pod") };
    let given = edited(&plain, |pod| pod.spec = taking.spec);
    check_refused(cluster.act(ann(), update(given)), "the pod is given");
}

#[test]
fn no_list_of_a_transaction_gives_more() {
    let mut cluster = cluster(Vec::new());
    for succeeds in [true, false] {
        let inner = Operation { caller: None, ..cluster.admitted(ann(), create(taking("a"))) };
        let (success, failure) = if succeeds { (vec![inner], vec![]) } else { (vec![], vec![inner]) };
        let txn = Action::Txn(Txn { compare: Vec::new(), success, failure });
        check_refused(cluster.act(ann(), txn), "the pod is given");
    }
}
