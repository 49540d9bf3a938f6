//! Transactions: compares, one revision for all, all or nothing.

use boss_proto::{
    key::Key,
    raft::v1::{Caller, Operation, Read, Txn, operation::Action},
    v1::{Compare, compare::Condition},
};

use crate::state::{EventKind, Interest, Outcome, Part, Rejection, testing::*};

fn exists(name: &str, wanted: bool) -> Compare {
    Compare { key: Some(key(name).to_proto()), condition: Some(Condition::Exists(wanted)) }
}

fn read(name: &str) -> Action {
    Action::Read(Read { key: Some(key(name).to_proto()) })
}

fn txn(cluster: &Cluster, who: Caller, compare: Vec<Compare>, success: Vec<Action>, failure: Vec<Action>) -> Operation {
    let inner = |action| Operation { caller: None, ..cluster.admitted(who.clone(), action) };
    let success = success.into_iter().map(inner).collect();
    let failure = failure.into_iter().map(inner).collect();
    let action = Some(Action::Txn(Txn { compare, success, failure }));
    Operation { caller: Some(who.clone()), action, request_id: request(0, 1), ..Operation::default() }
}

#[track_caller]
fn done(outcome: Outcome) -> (bool, u64, Vec<Part>) {
    match outcome {
        Outcome::Txn { succeeded, revision, results } => (succeeded, revision.0, results),
        other => panic!("expected a transaction, got {other:?}"),
    }
}

#[track_caller]
fn refused(outcome: Outcome) -> Rejection {
    match outcome {
        Outcome::Rejected(rejection) => rejection,
        other => panic!("expected a refusal, got {other:?}"),
    }
}

#[test]
fn all_of_one_list_happens_in_one_revision() {
    let mut cluster = Cluster::new();
    cluster.must(admin(), create(pod("old")));
    let before = cluster.state.revision();
    let operation = txn(
        &cluster,
        admin(),
        vec![exists("old", true), exists("new", false)],
        vec![create(pod("new")), delete(&key("old")), read("none")],
        vec![create(pod("never"))],
    );
    let (succeeded, revision, results) = done(cluster.apply(operation));
    assert!(succeeded && revision == before.next().0);
    assert!(
        matches!(&results[..], [Part::Written(_), Part::Deleted { gone: true, .. }, Part::Read(None)]),
        "{results:?}"
    );
    let events = cluster.state.events_after(before, &Interest::in_kind(boss_proto::kind::Kind::Pod), 1).unwrap().events;
    let told: Vec<_> = events.iter().map(|event| (event.revision.0, event.kind, event.key().name.as_str())).collect();
    assert_eq!(told, [(revision, EventKind::Added, "new"), (revision, EventKind::Deleted, "old")], "never split");
    assert_eq!(cluster.state.revision(), before.next());
}

#[test]
fn the_other_list_happens_when_a_comparison_fails() {
    let mut cluster = Cluster::new();
    let made = cluster.must(admin(), create(pod("a")));
    for (condition, holds) in [
        (Condition::Exists(true), true),
        (Condition::Exists(false), false),
        (Condition::ResourceVersion(made.revision.0), true),
        (Condition::ResourceVersion(0), false),
        (Condition::Uid(made.uid().to_string()), true),
        (Condition::Uid("another".to_owned()), false),
    ] {
        let compare = Compare { key: Some(key("a").to_proto()), condition: Some(condition.clone()) };
        let operation = txn(&cluster, admin(), vec![compare], vec![read("a")], vec![read("a"), read("b")]);
        let (succeeded, _, results) = done(cluster.apply(Operation { request_id: None, ..operation }));
        assert_eq!((succeeded, results.len()), (holds, if holds { 1 } else { 2 }), "{condition:?}");
    }
}

#[test]
fn one_refusal_undoes_all_and_names_its_operation() {
    let mut cluster = Cluster::new();
    cluster.must(admin(), create(pod("taken")));
    let before = cluster.state.hash();
    let operation = txn(&cluster, admin(), vec![], vec![create(pod("free")), create(pod("taken"))], vec![]);
    match refused(cluster.apply(operation)) {
        Rejection::InTxn { index: 1, key: found, rejection } => {
            assert_eq!(found, key("taken"));
            assert!(matches!(*rejection, Rejection::AlreadyExists { .. }));
        }
        other => panic!("{other:?}"),
    }
    assert!(cluster.state.get(&key("free")).is_none());
    assert_eq!(before, cluster.state.hash());
    assert_eq!(cluster.state.requests().len(), 0, "a refusal is no effect");
}

#[test]
fn rights_are_asked_for_in_both_lists_and_before_anything_is_compared() {
    let mut cluster = Cluster::new();
    let nobody = || caller("user:x", "x", &[]);
    for (compare, success, failure) in [
        (vec![exists("secret", true)], vec![], vec![]),
        (vec![], vec![read("secret")], vec![]),
        (vec![], vec![], vec![create(pod("x"))]),
        (vec![], vec![delete(&key("secret"))], vec![]),
    ] {
        let operation = txn(&cluster, nobody(), compare, success, failure);
        assert!(matches!(refused(cluster.apply(operation)), Rejection::Forbidden { .. }));
    }
}

#[test]
fn what_makes_no_sense_inside_is_refused() {
    let mut cluster = Cluster::new();
    let twice = txn(&cluster, admin(), vec![], vec![create(pod("a")), create(pod("a"))], vec![]);
    assert!(matches!(refused(cluster.apply(twice)), Rejection::Invalid { .. }));
    let empty = txn(&cluster, admin(), vec![], vec![], vec![]);
    assert!(matches!(refused(cluster.apply(empty)), Rejection::Invalid { .. }));
    let inner = txn(&cluster, admin(), vec![exists("a", false)], vec![], vec![]);
    let nested = txn(&cluster, admin(), vec![], vec![inner.action.unwrap()], vec![]);
    assert!(matches!(refused(cluster.apply(nested)), Rejection::Invalid { .. }));
    let bound = txn(&cluster, admin(), vec![], vec![bind("a", "n1")], vec![]);
    assert!(matches!(refused(cluster.apply(bound)), Rejection::Invalid { .. }));
    let many = (0..129).map(|number| exists(&format!("a{number}"), true)).collect();
    let large = txn(&cluster, admin(), many, vec![], vec![]);
    assert!(matches!(refused(cluster.apply(large)), Rejection::Invalid { .. }));
}

#[test]
fn what_admission_saw_must_still_hold_inside() {
    let mut cluster = Cluster::new();
    let stored = cluster.must(admin(), create(pod("a")));
    let mut changed = stored.object.clone();
    changed.metadata_mut().unwrap().labels.insert("x".into(), "1".into());
    let operation = txn(&cluster, admin(), vec![], vec![update(changed.clone())], vec![]);
    changed.metadata_mut().unwrap().labels.insert("x".into(), "2".into());
    cluster.must(admin(), update(changed));
    assert_eq!(cluster.apply(operation), Outcome::Readmit);
}

#[test]
fn sent_again_it_has_no_second_effect_and_the_same_answer() {
    let mut cluster = Cluster::new();
    let operation = txn(&cluster, admin(), vec![exists("a", false)], vec![create(pod("a")), create(pod("b"))], vec![]);
    let first = cluster.apply(operation.clone());
    let revision = cluster.state.revision();
    assert_eq!(cluster.apply(operation.clone()), first, "though the comparison would fail now");
    assert_eq!(cluster.state.revision(), revision);
    // The id of a transaction is no good for another call, nor the other way round.
    let alone = Operation { request_id: operation.request_id, ..cluster.admitted(admin(), create(pod("a"))) };
    assert!(matches!(refused(cluster.apply(alone)), Rejection::Invalid { .. }));
}

#[test]
fn dependents_are_found_by_their_owner_and_hold_it_as_asked() {
    use boss_proto::v1::{OwnerReference, Propagation};
    let mut cluster = Cluster::new();
    let owner = cluster.must(admin(), create(pod("owner")));
    let mut child = pod("child");
    child.metadata_mut().unwrap().owner_references.push(OwnerReference {
        kind: "Pod".into(),
        name: "owner".into(),
        uid: owner.uid().to_string(),
        block_owner_deletion: true,
        ..Default::default()
    });
    cluster.must(admin(), create(child));
    let children =
        |cluster: &Cluster| -> Vec<Key> { cluster.state.owners().dependents(&owner.uid()).cloned().collect() };
    assert_eq!(children(&cluster), [key("child")]);
    let delete_owner = |propagation: Propagation| {
        let mut action = delete(&key("owner"));
        let Action::Delete(delete) = &mut action else { panic!("a delete") };
        delete.set_propagation(propagation);
        action
    };
    for (propagation, finalizer) in [
        (Propagation::Foreground, crate::state::finalizers::FOREGROUND),
        (Propagation::Orphan, crate::state::finalizers::ORPHAN),
    ] {
        let marked = cluster.must(admin(), delete_owner(propagation));
        assert_eq!(marked.metadata().finalizers, [finalizer], "the last word counts");
        assert_eq!(cluster.state.owners().waiting().collect::<Vec<_>>(), [&key("owner")]);
    }
    let mut released = cluster.state.get(&key("owner")).unwrap().object.clone();
    released.metadata_mut().unwrap().finalizers.clear();
    cluster.must(servers(), update(released));
    assert!(cluster.state.get(&key("owner")).is_none() && cluster.state.owners().waiting().next().is_none());
    cluster.must(admin(), delete(&key("child")));
    assert!(children(&cluster).is_empty());
}
