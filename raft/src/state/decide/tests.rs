//! Every rule by an example: a small cluster, one operation, what became of it.

mod given;

use boss_proto::{
    ids::{NodeName, Revision, Uid},
    key::Key,
    kind::Kind,
    object::Resource,
    raft::v1::{Caller, Delete, Operation, operation::Action},
    v1::{self, RequestId},
};

use crate::state::{Limits, Outcome, Record, Rejection, annotations, testing::*};

fn rejection(outcome: Outcome) -> Rejection {
    match outcome {
        Outcome::Rejected(rejection) => rejection,
        other => panic!("expected a refusal, got {other:?}"),
    }
}

fn field(outcome: Outcome) -> String {
    match rejection(outcome) {
        Rejection::Invalid { field, .. } => field,
        other => panic!("expected an invalid field, got {other:?}"),
    }
}

fn edited(record: &Record, edit: impl FnOnce(&mut v1::Pod)) -> v1::Object {
    let mut pod = record.pod().unwrap().clone();
    edit(&mut pod);
    pod.into_object()
}

// Creating.

#[test]
fn create_sets_what_only_apply_knows() {
    let mut cluster = Cluster::new();
    let before = cluster.state.revision();
    let record = cluster.must(admin(), create(pod("a")));
    let metadata = record.metadata();
    assert_eq!(record.revision, before.next());
    assert_eq!(metadata.resource_version, record.revision.0);
    assert_eq!(metadata.generation, 1);
    assert_eq!(metadata.creation_timestamp.unwrap().seconds, 1_700_000_000);
    assert_eq!(record.pod().unwrap().status.as_ref().unwrap().phase, "Pending");
    assert_eq!(cluster.state.get(&key("a")).map(|stored| &**stored), Some(&record));
}

#[test]
fn create_of_a_taken_name_is_refused() {
    let mut cluster = Cluster::new();
    let current = cluster.must(admin(), create(pod("a"))).revision;
    assert_eq!(rejection(cluster.act(admin(), create(pod("a")))), Rejection::AlreadyExists { current });
}

#[test]
fn create_needs_a_namespace_that_stays() {
    let mut cluster = Cluster::new();
    let elsewhere = |name: &str| {
        v1::Pod { metadata: meta("other", name), spec: Some(v1::PodSpec::default()), ..Default::default() }
            .into_object()
    };
    assert_eq!(
        rejection(cluster.act(admin(), create(elsewhere("a")))),
        Rejection::NamespaceMissing { namespace: "other".to_owned() }
    );
    cluster.must(admin(), create(namespace("other")));
    cluster.must(admin(), create(elsewhere("a")));
    cluster.must(admin(), delete(&Key::cluster(Kind::Namespace, "other")));
    assert_eq!(
        rejection(cluster.act(admin(), create(elsewhere("b")))),
        Rejection::NamespaceTerminating { namespace: "other".to_owned() }
    );
}

#[test]
fn create_refuses_a_node_name_and_a_missing_uid() {
    let mut cluster = Cluster::new();
    let record = cluster.must(admin(), create(pod("a")));
    let bound = edited(&record, |pod| {
        pod.metadata = meta("default", "b");
        pod.spec.as_mut().unwrap().node_name = "n1".to_owned();
    });
    assert_eq!(field(cluster.act(admin(), create(bound))), "spec.nodeName");
    let nobody = edited(&record, |pod| {
        pod.metadata.as_mut().unwrap().name = "c".to_owned();
        pod.metadata.as_mut().unwrap().uid.clear();
    });
    assert_eq!(field(cluster.act(admin(), create(nobody))), "metadata.uid");
}

#[test]
fn a_creator_cannot_claim_what_others_report() {
    let mut cluster = Cluster::new();
    let claimed = edited(&Record::new(pod("a")).unwrap(), |pod| {
        pod.status = Some(v1::PodStatus { phase: "Running".to_owned(), ..Default::default() });
    });
    assert_eq!(cluster.must(admin(), create(claimed)).pod().unwrap().status.as_ref().unwrap().phase, "Pending");
    let registered = cluster.must(agent(), create(node("n2")));
    assert!(registered.node().unwrap().status.as_ref().unwrap().conditions.is_empty());
}

#[test]
fn an_object_above_the_size_limit_is_refused() {
    let limits = Limits { object_bytes_max: 2_000, ..Limits::default() };
    let mut cluster = Cluster::with_limits(limits);
    let big = |bytes: usize| {
        let record = Record::new(pod("a")).unwrap();
        edited(&record, |pod| pod.spec.as_mut().unwrap().containers[0].args = vec!["x".repeat(bytes)])
    };
    let outcome = cluster.act(admin(), create(big(2_000)));
    assert!(matches!(rejection(outcome), Rejection::TooLarge { max: 2_000, bytes } if bytes > 2_000));
    cluster.must(admin(), create(big(1_000)));
}

// Updating.

#[test]
fn update_keeps_status_and_identity_and_counts_generations_of_the_spec() {
    let mut cluster = Cluster::new();
    let record = cluster.must(admin(), create(pod("a")));
    let labelled = cluster.must(
        admin(),
        update(edited(&record, |pod| {
            let metadata = pod.metadata.as_mut().unwrap();
            metadata.labels.insert("app".to_owned(), "web".to_owned());
            metadata.uid.clear();
            metadata.creation_timestamp = None;
            pod.status = None;
        })),
    );
    assert_eq!(labelled.metadata().generation, 1);
    assert_eq!(labelled.metadata().uid, record.metadata().uid);
    assert_eq!(labelled.metadata().creation_timestamp, record.metadata().creation_timestamp);
    assert_eq!(labelled.pod().unwrap().status, record.pod().unwrap().status);
    let changed = cluster.must(
        admin(),
        update(edited(&labelled, |pod| pod.spec.as_mut().unwrap().containers[0].args = vec!["x".to_owned()])),
    );
    assert_eq!(changed.metadata().generation, 2);
}

#[test]
fn an_update_that_changes_nothing_makes_no_revision() {
    let mut cluster = Cluster::new();
    let record = cluster.must(admin(), create(pod("a")));
    let before = cluster.state.revision();
    let again = cluster.must(admin(), update(edited(&record, |_| {})));
    assert_eq!((again.revision, cluster.state.revision()), (record.revision, before));
}

#[test]
fn stale_revision_and_foreign_uid_are_refused() {
    let mut cluster = Cluster::new();
    let record = cluster.must(admin(), create(pod("a")));
    let mut stale = cluster.admitted(admin(), update(edited(&record, |_| {})));
    stale.preconditions = pinned_revision(Revision(1));
    assert_eq!(rejection(cluster.apply(stale)), Rejection::Conflict { current: record.revision });
    let mut foreign = cluster.admitted(admin(), delete(&key("a")));
    foreign.preconditions = pinned_uid("other");
    assert_eq!(rejection(cluster.apply(foreign)), Rejection::UidMismatch { current: Uid::from("uid-default-a") });
    let other = edited(&record, |pod| pod.metadata.as_mut().unwrap().uid = "other".to_owned());
    assert_eq!(
        rejection(cluster.act(admin(), update(other))),
        Rejection::UidMismatch { current: Uid::from("uid-default-a") }
    );
    assert_eq!(rejection(cluster.act(admin(), delete(&key("b")))), Rejection::NotFound);
}

#[test]
fn what_a_bound_pod_was_placed_by_stays() {
    let mut cluster = Cluster::new();
    let bound = cluster.bound_pod("a");
    let moved = edited(&bound, |pod| pod.spec.as_mut().unwrap().node_name = "n2".to_owned());
    assert_eq!(field(cluster.act(admin(), update(moved))), "spec.nodeName");
    let bigger = edited(&bound, |pod| pod.spec.as_mut().unwrap().resources = Some(v1::Resources::default()));
    assert_eq!(field(cluster.act(admin(), update(bigger))), "spec.resources");
    let silent = edited(&bound, |pod| {
        pod.spec.as_mut().unwrap().node_name.clear();
        pod.metadata.as_mut().unwrap().annotations.clear();
    });
    let before = cluster.state.revision();
    cluster.must(admin(), update(silent));
    assert_eq!(cluster.state.revision(), before, "silence keeps the binding and what binding wrote");
}

#[test]
fn a_binding_of_rights_keeps_its_role() {
    let mut cluster = Cluster::new();
    let v1::Object { body: Some(v1::object::Body::ClusterRoleBinding(mut other)) } = binding("admins", "x") else {
        unreachable!()
    };
    other.role_ref.as_mut().unwrap().name = "view".to_owned();
    assert_eq!(field(cluster.act(admin(), update(other.into_object()))), "roleRef");
}

#[test]
fn a_status_update_touches_the_status_alone() {
    let mut cluster = Cluster::new();
    let bound = cluster.bound_pod("a");
    let record = cluster.must(
        agent(),
        update_status(edited(&bound, |pod| {
            pod.spec.as_mut().unwrap().node_name = "n9".to_owned();
            pod.metadata.as_mut().unwrap().labels.insert("x".to_owned(), "y".to_owned());
            pod.status = Some(v1::PodStatus { phase: "Running".to_owned(), ..Default::default() });
        })),
    );
    let status = record.pod().unwrap().status.clone().unwrap();
    assert_eq!(status.phase, "Running");
    assert!(status.scheduled_at.is_some(), "when it was scheduled is not the agent's to forget");
    assert!(status.conditions.iter().any(|condition| condition.r#type == "PodScheduled"));
    assert_eq!(record.bound_to(), Some(NodeName::from("n1")));
    assert!(record.metadata().labels.is_empty());
    let role = v1::Role { metadata: meta("default", "r"), ..Default::default() }.into_object();
    cluster.must(admin(), create(role.clone()));
    assert_eq!(field(cluster.act(admin(), update_status(role))), "status");
}

#[test]
fn an_agent_does_not_decide_that_its_node_is_ready() {
    let mut cluster = Cluster::new();
    let v1::Object { body: Some(v1::object::Body::Node(mut wanted)) } = node("n1") else { unreachable!() };
    let status = wanted.status.as_mut().unwrap();
    status.conditions[0].status = "False".to_owned();
    status.addresses = vec!["10.0.0.1".to_owned()];
    let record = cluster.must(agent(), update_status(wanted.into_object()));
    let status = record.node().unwrap().status.as_ref().unwrap();
    assert_eq!((status.conditions[0].status.as_str(), status.addresses.len()), ("True", 1));
}

// Deleting.

#[test]
fn an_unbound_pod_goes_at_once() {
    let mut cluster = Cluster::new();
    cluster.must(admin(), create(pod("a")));
    assert!(matches!(cluster.act(admin(), delete(&key("a"))), Outcome::Deleted { gone: true, .. }));
    assert_eq!(cluster.state.get(&key("a")), None);
}

#[test]
fn a_bound_pod_goes_when_its_agent_has_proven_its_absence() {
    let mut cluster = Cluster::new();
    cluster.bound_pod("a");
    assert_eq!(field(with_uid(&mut cluster, agent(), "a")), "absenceProven");
    let asked = cluster.act(admin(), delete(&key("a")));
    assert!(matches!(&asked, Outcome::Deleted { gone: false, record, .. } if record.is_terminating()));
    let before = cluster.state.revision();
    assert!(matches!(cluster.act(admin(), delete(&key("a"))), Outcome::Deleted { gone: false, .. }));
    assert_eq!(cluster.state.revision(), before, "asking again changes nothing");
    assert!(matches!(rejection(with_uid(&mut cluster, admin(), "a")), Rejection::Forbidden { .. }));
    assert_eq!(field(cluster.act(agent(), proven(&key("a")))), "preconditions.uid");
    assert!(matches!(with_uid(&mut cluster, agent(), "a"), Outcome::Deleted { gone: true, .. }));
    assert_eq!(cluster.state.pods_on_node(&NodeName::from("n1")).count(), 0);
}

fn with_uid(cluster: &mut Cluster, caller: Caller, name: &str) -> Outcome {
    let mut operation = cluster.admitted(caller, proven(&key(name)));
    operation.preconditions = pinned_uid(&format!("uid-default-{name}"));
    cluster.apply(operation)
}

#[test]
fn a_pod_of_a_node_that_is_gone_goes_at_once() {
    let mut cluster = Cluster::new();
    cluster.bound_pod("a");
    cluster.must(admin(), delete(&Key::cluster(Kind::Node, "n1")));
    assert!(matches!(cluster.act(admin(), delete(&key("a"))), Outcome::Deleted { gone: true, .. }));
}

#[test]
fn a_shorter_grace_replaces_a_longer_one() {
    let mut cluster = Cluster::new();
    cluster.bound_pod("a");
    let grace = |seconds| {
        Action::Delete(Delete {
            propagation: 0,
            key: Some(key("a").to_proto()),
            grace_period_seconds: Some(seconds),
            absence_proven: false,
        })
    };
    for (asked, kept) in [(20, "20"), (5, "5"), (30, "5")] {
        let record = cluster.must(admin(), grace(asked));
        assert_eq!(record.metadata().annotations[annotations::DELETION_GRACE_PERIOD], kept);
    }
}

#[test]
fn finalizers_hold_an_object_and_their_last_removal_lets_it_go() {
    let mut cluster = Cluster::new();
    let mut held = pod("a");
    held.metadata_mut().unwrap().finalizers = vec!["x/y".to_owned()];
    cluster.must(admin(), create(held));
    let marked = cluster.must(admin(), delete(&key("a")));
    assert!(marked.is_terminating());
    let grown = edited(&marked, |pod| pod.metadata.as_mut().unwrap().finalizers.push("z/z".to_owned()));
    assert_eq!(field(cluster.act(admin(), update(grown))), "metadata.finalizers");
    let released = edited(&marked, |pod| pod.metadata.as_mut().unwrap().finalizers.clear());
    assert!(matches!(cluster.act(admin(), update(released)), Outcome::Deleted { gone: true, .. }));
}

#[test]
fn a_namespace_terminates_and_goes_when_it_is_empty() {
    let mut cluster = Cluster::new();
    cluster.must(admin(), create(pod("a")));
    let place = Key::cluster(Kind::Namespace, "default");
    let marked = cluster.must(admin(), delete(&place));
    let v1::Object { body: Some(v1::object::Body::Namespace(namespace)) } = &marked.object else { unreachable!() };
    assert_eq!(namespace.status.as_ref().unwrap().phase, "Terminating");
    cluster.must(admin(), delete(&key("a")));
    assert!(matches!(cluster.act(admin(), delete(&place)), Outcome::Deleted { gone: true, .. }));
}

// Binding.

#[test]
fn binding_writes_the_node_and_why() {
    let mut cluster = Cluster::new();
    let record = cluster.bound_pod("a");
    let pod = record.pod().unwrap();
    assert_eq!(pod.spec.as_ref().unwrap().node_name, "n1");
    assert_eq!(pod.metadata.as_ref().unwrap().annotations[annotations::RESOLVED_CLASS], "process");
    assert_eq!(pod.metadata.as_ref().unwrap().annotations[annotations::PROVIDER], "process");
    assert_eq!(pod.metadata.as_ref().unwrap().annotations[annotations::SCHEDULING_REASON], "only node");
    assert_eq!(pod.metadata.as_ref().unwrap().generation, 1);
    assert_eq!(pod.status.as_ref().unwrap().conditions[0].r#type, "PodScheduled");
    assert_eq!(cluster.state.used_on(&NodeName::from("n1")).pods, 1);
}

#[test]
fn a_pod_is_bound_once_and_only_where_it_fits() {
    let mut cluster = Cluster::new();
    cluster.bound_pod("a");
    assert_eq!(
        rejection(cluster.act(servers(), bind("a", "n1"))),
        Rejection::AlreadyBound { node: NodeName::from("n1") }
    );
    cluster.must(admin(), create(pod("b")));
    assert!(matches!(rejection(cluster.act(servers(), bind("b", "n2"))), Rejection::Infeasible { .. }));
    cluster.must(servers(), bind("b", "n1"));
    cluster.must(admin(), create(pod("c")));
    let full = rejection(cluster.act(servers(), bind("c", "n1")));
    assert!(full.to_string().contains("full with 2"), "{full}");
    let ended = cluster.state.get(&key("a")).unwrap().clone();
    let ended = edited(&ended, |pod| pod.status.as_mut().unwrap().phase = "Succeeded".to_owned());
    cluster.must(agent(), update_status(ended));
    cluster.must(servers(), bind("c", "n1"));
}

#[test]
fn binding_another_uid_is_refused() {
    let mut cluster = Cluster::new();
    cluster.must(admin(), create(pod("a")));
    let Action::Bind(mut other) = bind("a", "n1") else { unreachable!() };
    other.pod_uid = "other".to_owned();
    assert!(matches!(rejection(cluster.act(servers(), Action::Bind(other))), Rejection::UidMismatch { .. }));
}

// Rights, terms, admission.

#[test]
fn a_right_that_was_taken_away_before_the_entry_is_no_right() {
    let mut cluster = Cluster::new();
    let operation = cluster.admitted(admin(), create(pod("a")));
    cluster.must(servers(), delete(&Key::cluster(Kind::ClusterRoleBinding, "admins")));
    assert!(
        matches!(rejection(cluster.apply(operation)), Rejection::Forbidden { reason } if reason.contains("create"))
    );
}

#[test]
fn the_loops_of_a_deposed_leader_are_refused() {
    let mut cluster = Cluster::new();
    let mut operation = cluster.admitted(servers(), create(pod("a")));
    operation.leader_term = Some(2);
    assert_eq!(rejection(cluster.apply(operation.clone())), Rejection::StaleLeader { proposed: 2, entry: 1 });
    operation.leader_term = Some(1);
    operation.admission_epoch = 0;
    assert!(matches!(cluster.apply(operation), Outcome::Written { .. }));
}

#[test]
fn what_admission_saw_must_still_hold() {
    let mut cluster = Cluster::new();
    let record = cluster.must(admin(), create(pod("a")));
    let rights_moved = cluster.admitted(admin(), update(edited(&record, |_| {})));
    cluster.must(admin(), create(binding("more", "others")));
    assert_eq!(cluster.apply(rights_moved), Outcome::Readmit);
    let labelled = |value: &str| {
        update(edited(&record, |pod| {
            pod.metadata.as_mut().unwrap().labels.insert("v".to_owned(), value.to_owned());
        }))
    };
    let object_moved = cluster.admitted(admin(), labelled("1"));
    let mut object_pinned = object_moved.clone();
    object_pinned.preconditions = pinned_revision(record.revision);
    let current = cluster.must(admin(), labelled("2")).revision;
    assert_eq!(cluster.apply(object_moved), Outcome::Readmit);
    assert_eq!(rejection(cluster.apply(object_pinned)), Rejection::Conflict { current });
}

// Request ids.

#[test]
fn a_repeated_request_has_one_effect_and_the_same_answer() {
    let mut cluster = Cluster::new();
    let mut operation = cluster.admitted(admin(), create(pod("a")));
    operation.request_id = request(cluster.state.revision().0, 1);
    let first = cluster.apply(operation.clone());
    let revision = cluster.state.revision();
    cluster.must(admin(), delete(&key("a")));
    assert_eq!(cluster.apply(operation.clone()), first, "also after the object went");
    assert_eq!(cluster.state.revision(), revision.next());
    operation.caller = Some(servers());
    assert_ne!(cluster.apply(operation), first, "the id of another caller is another id");
}

#[test]
fn a_repeated_request_is_authorised_first() {
    let mut cluster = Cluster::new();
    let mut operation = cluster.admitted(admin(), create(pod("a")));
    operation.request_id = request(cluster.state.revision().0, 1);
    cluster.apply(operation.clone());
    cluster.must(servers(), delete(&Key::cluster(Kind::ClusterRoleBinding, "admins")));
    assert!(matches!(rejection(cluster.apply(operation)), Rejection::Forbidden { .. }));
}

#[test]
fn a_forgotten_request_is_refused_and_a_fresh_one_is_not() {
    let mut cluster = Cluster::with_limits(Limits { requests_max: 1, ..Limits::default() });
    let seen = cluster.state.revision().0;
    let mut first = cluster.admitted(admin(), create(pod("a")));
    first.request_id = request(seen, 1);
    cluster.apply(first.clone());
    let mut second = cluster.admitted(admin(), create(pod("b")));
    second.request_id = request(cluster.state.revision().0, 2);
    cluster.apply(second);
    assert!(matches!(rejection(cluster.apply(first)), Rejection::RequestExpired { .. }));
    let mut fresh = cluster.admitted(admin(), create(pod("c")));
    fresh.request_id = request(cluster.state.revision().0, 3);
    assert!(matches!(cluster.apply(fresh), Outcome::Written { .. }));
}

#[test]
fn an_id_used_for_another_object_or_without_bits_is_refused() {
    let mut cluster = Cluster::new();
    let mut first = cluster.admitted(admin(), create(pod("a")));
    first.request_id = request(0, 1);
    cluster.apply(first);
    let mut other = cluster.admitted(admin(), create(pod("b")));
    other.request_id = request(0, 1);
    assert_eq!(field(cluster.apply(other.clone())), "requestId");
    other.request_id = Some(RequestId::default());
    assert_eq!(field(cluster.apply(other)), "requestId.nonce");
}

// Together.

#[test]
fn operations_of_one_entry_fail_alone() {
    let mut cluster = Cluster::new();
    let operations = vec![
        cluster.admitted(admin(), create(pod("a"))),
        cluster.admitted(admin(), delete(&key("missing"))),
        Operation::default(),
        cluster.admitted(admin(), create(pod("b"))),
    ];
    let before = cluster.state.revision().0;
    let outcomes = cluster.apply_all(operations).outcomes;
    assert!(matches!(&outcomes[0], Outcome::Written { revision, .. } if revision.0 == before + 1));
    assert_eq!(rejection(outcomes[1].clone()), Rejection::NotFound);
    assert_eq!(field(outcomes[2].clone()), "caller");
    assert!(matches!(&outcomes[3], Outcome::Written { revision, .. } if revision.0 == before + 2));
}

#[test]
fn registry_time_never_goes_back() {
    let mut cluster = Cluster::new();
    cluster.now_ms -= 10_000;
    let record = cluster.must(admin(), create(pod("a")));
    assert_eq!(record.metadata().creation_timestamp.unwrap().seconds, 1_700_000_000);
    assert_eq!(cluster.state.time_ms(), START_MS);
}

#[test]
fn a_panic_discards_its_operation_alone_and_is_counted() {
    let mut cluster = Cluster::new();
    let broken = cluster.admitted(caller("user:x", PANICKING, &["system:servers"]), create(pod("a")));
    let fine = cluster.admitted(admin(), create(pod("b")));
    let (before, hash) = (cluster.state.revision(), cluster.state.hash());
    assert_eq!(rejection(cluster.apply(broken.clone())), Rejection::Internal);
    assert_eq!((cluster.state.revision(), cluster.state.hash(), cluster.state.panics()), (before, hash, 1));
    let outcomes = cluster.apply_all(vec![broken, fine]).outcomes;
    assert!(matches!(outcomes[1], Outcome::Written { .. }));
}
