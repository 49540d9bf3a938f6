//! Credentials that end, at exactly one place of the log.

use boss_proto::{
    raft::v1::{Operation, operation::Action},
    v1::{self, ObjectMeta, ServiceAccount},
};
use proptest::{collection::vec, prelude::*};

use super::*;
use crate::state::{
    Outcome, Rejection,
    rows::{Loader, header, rows},
    testing::{Cluster, admin, create, delete, meta, namespace, pod, servers, update},
};

fn with_token(id: &str, generation: u64) -> Caller {
    Caller { token_id: id.to_owned(), subject_generation: generation, ..admin() }
}

fn revocation(spec: RevocationSpec) -> Object {
    let name = Target::of(&spec).map(Target::revocation_name).unwrap_or_default();
    let metadata = ObjectMeta { name, uid: "u".to_owned(), ..ObjectMeta::default() };
    Revocation { metadata: Some(metadata), spec: Some(spec), ..Revocation::default() }.into_object()
}

fn of_token(id: &str) -> Object {
    revocation(RevocationSpec { token_id: id.to_owned(), ..RevocationSpec::default() })
}

fn of_subject(uid: &str, generation: u64) -> Object {
    revocation(RevocationSpec { subject: uid.to_owned(), generation, ..RevocationSpec::default() })
}

fn withdrawn(outcome: &Outcome) -> bool {
    matches!(outcome, Outcome::Rejected(Rejection::Withdrawn(_)))
}

#[test]
fn a_write_that_was_admitted_before_a_revocation_and_ordered_after_it_is_refused() {
    let mut cluster = Cluster::new();
    let admitted = cluster.admitted(with_token("t1", 5), create(pod("late")));
    let other = cluster.admitted(with_token("t2", 5), create(pod("other")));
    cluster.must(admin(), create(of_token("t1")));
    assert!(withdrawn(&cluster.apply(admitted)));
    assert!(matches!(cluster.apply(other), Outcome::Written { .. }), "another token of the same user still counts");
}

#[test]
fn a_revocation_counts_within_its_own_entry_from_the_next_operation_on() {
    let mut cluster = Cluster::new();
    let revoke = cluster.admitted(admin(), create(of_token("t1")));
    let before = cluster.admitted(with_token("t1", 5), create(pod("before")));
    let after = cluster.admitted(with_token("t1", 5), create(pod("after")));
    let outcomes = cluster.apply_all(vec![before, revoke, after]).outcomes;
    assert!(matches!(outcomes[0], Outcome::Written { .. }) && withdrawn(&outcomes[2]), "{outcomes:?}");
}

#[test]
fn a_transaction_of_a_revoked_credential_is_refused_whole() {
    let mut cluster = Cluster::new();
    let inner = Operation { caller: None, ..cluster.admitted(admin(), create(pod("x"))) };
    let txn = boss_proto::raft::v1::Txn { success: vec![inner], ..Default::default() };
    let operation = cluster.admitted(with_token("t1", 5), Action::Txn(txn));
    cluster.must(admin(), create(of_token("t1")));
    assert!(withdrawn(&cluster.apply(operation)));
}

#[test]
fn a_request_that_was_done_is_not_told_to_who_lost_the_credential() {
    let mut cluster = Cluster::new();
    let request_id = crate::state::testing::request(0, 1);
    let first = Operation { request_id, ..cluster.admitted(with_token("t1", 5), create(pod("x"))) };
    assert!(matches!(cluster.apply(first.clone()), Outcome::Written { .. }));
    cluster.must(admin(), create(of_token("t1")));
    assert!(withdrawn(&cluster.apply(first)));
}

#[test]
fn a_subject_s_older_generations_end_and_newer_ones_count() {
    let mut cluster = Cluster::new();
    cluster.must(servers(), create(of_subject("user:admin", 10)));
    assert_eq!(cluster.state.subject_generation("user:admin"), 10);
    for (generation, ends) in [(0, true), (9, true), (10, false), (11, false)] {
        let outcome = cluster.act(with_token("t", generation), create(namespace(&format!("n{generation}"))));
        assert_eq!(withdrawn(&outcome), ends, "generation {generation}: {outcome:?}");
    }
}

#[test]
fn a_revoked_certificate_ends_and_others_of_its_owner_do_not() {
    let mut cluster = Cluster::new();
    let by = |serial: &str| Caller { certificate_serial: serial.to_owned(), ..admin() };
    let spec = RevocationSpec { certificate_serial: "0a1b".to_owned(), ..RevocationSpec::default() };
    cluster.must(admin(), create(revocation(spec)));
    assert!(withdrawn(&cluster.act(by("0a1b"), create(namespace("a")))));
    assert!(matches!(cluster.act(by("0a1c"), create(namespace("a"))), Outcome::Written { .. }));
}

#[test]
fn a_token_ends_with_the_very_object_that_it_is_bound_to() {
    let mut cluster = Cluster::new();
    let account = || ServiceAccount { metadata: meta("default", "bot"), ..ServiceAccount::default() }.into_object();
    let stored = cluster.must(admin(), create(account()));
    let bound_to = vec![v1::ObjectReference {
        kind: "ServiceAccount".to_owned(),
        namespace: "default".to_owned(),
        name: "bot".to_owned(),
        uid: stored.metadata().uid.clone(),
    }];
    let bot = Caller { bound_to, ..admin() };
    assert!(matches!(cluster.act(bot.clone(), create(namespace("a"))), Outcome::Written { .. }));
    cluster.must(admin(), delete(&stored.key));
    assert!(withdrawn(&cluster.act(bot.clone(), create(namespace("b")))));
    let mut again = account();
    again.metadata_mut().unwrap().uid = "another".to_owned();
    cluster.must(admin(), create(again));
    assert!(withdrawn(&cluster.act(bot, create(namespace("b")))), "a new object of the name is not the old one");
}

#[test]
fn everybody_may_end_the_credential_that_he_calls_with_and_no_other() {
    let mut cluster = Cluster::new();
    let nobody = Caller { uid: "user:x".to_owned(), username: "x".to_owned(), groups: vec![], ..with_token("mine", 5) };
    let other = cluster.act(nobody.clone(), create(of_token("yours")));
    assert!(matches!(other, Outcome::Rejected(Rejection::Forbidden { .. })), "{other:?}");
    let all = cluster.act(nobody.clone(), create(of_subject("user:x", 10)));
    assert!(matches!(all, Outcome::Rejected(Rejection::Forbidden { .. })), "{all:?}");
    cluster.must(nobody.clone(), create(of_token("mine")));
    assert!(withdrawn(&cluster.act(nobody, create(of_token("mine")))));
}

#[test]
fn a_credential_counts_again_when_its_revocation_is_taken_back() {
    let mut cluster = Cluster::new();
    let stored = cluster.must(admin(), create(of_token("t1")));
    cluster.must(admin(), delete(&stored.key));
    assert!(matches!(cluster.act(with_token("t1", 5), create(pod("x"))), Outcome::Written { .. }));
}

#[test]
fn a_revocation_has_the_one_name_that_follows_from_what_it_revokes() {
    let mut cluster = Cluster::new();
    let mut object = of_token("t1");
    object.metadata_mut().unwrap().name = "mine".to_owned();
    let outcome = cluster.act(admin(), create(object));
    assert!(matches!(&outcome, Outcome::Rejected(Rejection::Invalid { field, .. }) if field == "metadata.name"));
    let nothing = revocation(RevocationSpec::default());
    assert!(matches!(cluster.act(admin(), create(nothing)), Outcome::Rejected(Rejection::Invalid { .. })));
    // The same object cannot come to stand for something else.
    cluster.must(admin(), create(of_token("t1")));
    let mut other = of_token("t2");
    other.metadata_mut().unwrap().name = Target::Token("t1").revocation_name();
    assert!(matches!(cluster.act(admin(), update(other)), Outcome::Rejected(Rejection::Invalid { .. })));
}

#[test]
fn clear_text_of_a_secret_never_gets_into_the_state() {
    let mut cluster = Cluster::new();
    let sealed = v1::Sealed { key_id: "k".to_owned(), wrapped_key: "w".into(), ciphertext: "c".into() };
    let secret = |data: &[(&str, &str)], sealed: Option<v1::Sealed>| {
        let data = data.iter().map(|(key, value)| ((*key).to_owned(), value.to_string().into())).collect();
        v1::Secret { metadata: meta("default", "s"), data, sealed, ..v1::Secret::default() }.into_object()
    };
    for bad in [secret(&[("a", "b")], None), secret(&[], None), secret(&[("a", "b")], Some(sealed.clone()))] {
        let outcome = cluster.act(servers(), create(bad));
        assert!(matches!(outcome, Outcome::Rejected(Rejection::Invalid { .. })), "{outcome:?}");
    }
    cluster.must(admin(), create(secret(&[], Some(sealed))));
}

#[test]
fn keys_are_written_by_the_leader_only_and_annotated_by_others() {
    let mut cluster = Cluster::new();
    let key = |annotation: &str| {
        let annotations = [("boss.dev/rotate".to_owned(), annotation.to_owned())].into();
        let metadata = meta("", "k").map(|metadata| ObjectMeta { annotations, ..metadata });
        v1::SealingKey { metadata, spec: Some(v1::SealingKeySpec::default()), ..Default::default() }
    };
    let forbidden = |outcome: Outcome| matches!(outcome, Outcome::Rejected(Rejection::Forbidden { .. }));
    assert!(forbidden(cluster.act(admin(), create(key("").into_object()))));
    let leaders = Operation { leader_term: Some(1), ..cluster.admitted(servers(), create(key("").into_object())) };
    let Outcome::Written { record, .. } = cluster.apply(leaders) else { panic!("the leader may") };
    cluster.must(admin(), update(key("now").into_object()));
    let retired = v1::SealingKeySpec { phase: "Retired".to_owned(), ..Default::default() };
    assert!(forbidden(
        cluster.act(admin(), update(v1::SealingKey { spec: Some(retired), ..key("now") }.into_object()))
    ));
    assert!(forbidden(cluster.act(admin(), delete(&record.key))));
}

/// What a random history does.
#[derive(Debug, Clone)]
enum Step {
    Revoke(u8),
    TakeBack(u8),
    RevokeSubject(u64),
    Write(u8, u64),
}

fn any_step() -> impl Strategy<Value = Step> {
    prop_oneof![
        (0..3_u8).prop_map(Step::Revoke),
        (0..3_u8).prop_map(Step::TakeBack),
        (1..5_u64).prop_map(Step::RevokeSubject),
        (0..3_u8, 0..6_u64).prop_map(|(token, generation)| Step::Write(token, generation)),
    ]
}

proptest! {
    #[test]
    fn no_write_lands_whose_credential_was_revoked_before_it(steps in vec(any_step(), 1..60)) {
        let mut cluster = Cluster::new();
        let (mut revoked, mut floor) = ([false; 3], 0);
        // Everything is admitted before anything is ordered: only apply can tell.
        let admitted: Vec<_> = steps.iter().enumerate().map(|(index, step)| match step {
            Step::Write(token, generation) => {
                let caller = with_token(&format!("t{token}"), *generation);
                Some(cluster.admitted(caller, create(namespace(&format!("n{index}")))))
            }
            _ => None,
        }).collect();
        for (step, admitted) in steps.iter().zip(admitted) {
            match step {
                Step::Revoke(token) => {
                    cluster.act(servers(), create(of_token(&format!("t{token}"))));
                    revoked[usize::from(*token)] = true;
                }
                Step::TakeBack(token) => {
                    let id = format!("t{token}");
                    cluster.act(servers(), delete(&Target::Token(&id).revocation_key()));
                    revoked[usize::from(*token)] = false;
                }
                Step::RevokeSubject(generation) => {
                    let object = of_subject("user:admin", *generation);
                    if floor == 0 {
                        cluster.act(servers(), create(object));
                    } else {
                        cluster.act(servers(), update(object));
                    }
                    floor = *generation;
                }
                Step::Write(token, generation) => {
                    let outcome = cluster.apply(admitted.unwrap());
                    let ended = revoked[usize::from(*token)] || *generation < floor;
                    prop_assert_eq!(withdrawn(&outcome), ended, "{:?}", outcome);
                }
            }
        }
        // What is loaded decides as what was applied.
        let mut loader = Loader::new(&header(&cluster.state), *cluster.state.limits()).unwrap();
        for row in rows(&cluster.state) {
            loader.row(&row.key, row.value.unwrap()).unwrap();
        }
        let loaded = loader.finish().unwrap();
        for token in 0..3_u8 {
            for generation in 0..6 {
                let caller = with_token(&format!("t{token}"), generation);
                prop_assert_eq!(loaded.check_credential((&caller).into()), cluster.state.check_credential((&caller).into()));
            }
        }
    }
}
