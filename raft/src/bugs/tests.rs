//! Random work on the state machine alone keeps its promises, and with each bug that it can show it breaks one.

use std::collections::BTreeMap;

use boss_proto::{
    ids::Revision,
    raft::v1::{Operation, Txn, operation::Action},
    v1::{self, Compare, compare::Condition},
};
use proptest::{
    collection::vec,
    prelude::*,
    test_runner::{Config, TestError, TestRunner},
};

use super::{Bug, with};
use crate::state::{Outcome, Rejection, testing::*};

/// The registry forgets no request id so soon.
const LATER_MS: u64 = 2_000;

#[derive(Debug, Clone)]
enum Step {
    Create(u8),
    /// With the object's revision, or with one that it had before.
    Write(u8, bool),
    /// Both in one transaction.
    Both(u8, u8),
    Bind(u8),
    /// An earlier request once more, after a while.
    Again(u8),
}

fn a_step() -> impl Strategy<Value = Step> {
    let name = || 0..3_u8;
    prop_oneof![
        name().prop_map(Step::Create),
        (name(), any::<bool>()).prop_map(|(name, stale)| Step::Write(name, stale)),
        (name(), name()).prop_map(|(one, other)| Step::Both(one, other)),
        name().prop_map(Step::Bind),
        any::<u8>().prop_map(Step::Again),
    ]
}

/// What whoever works with it knows.
struct Known {
    cluster: Cluster,
    revisions: BTreeMap<String, Revision>,
    bound: Vec<String>,
    requests: Vec<(Operation, Revision)>,
    values: u64,
}

fn named(name: u8) -> String {
    format!("p{name}")
}

impl Known {
    fn labelled(&mut self, name: &str) -> v1::Object {
        self.values += 1;
        let mut object = pod(name);
        let value = self.values.to_string();
        object.metadata_mut().unwrap().labels.insert("value".to_owned(), value);
        object
    }

    fn take(&mut self, step: &Step) -> Result<(), String> {
        match step {
            Step::Create(name) => self.create(&named(*name)),
            Step::Write(name, stale) => self.write(&named(*name), *stale),
            Step::Both(one, other) => self.both(&named(*one), &named(*other)),
            Step::Bind(name) => self.bind(&named(*name)),
            Step::Again(number) => self.again(usize::from(*number)),
        }
    }

    fn create(&mut self, name: &str) -> Result<(), String> {
        let nonce = u8::try_from(self.requests.len() + 1).unwrap();
        let seen = self.cluster.state.revision().0;
        let object = self.labelled(name);
        let operation =
            Operation { request_id: request(seen, nonce), ..self.cluster.admitted(admin(), create(object)) };
        match (self.cluster.apply(operation.clone()), self.revisions.contains_key(name)) {
            (Outcome::Written { revision, .. }, false) => {
                self.revisions.insert(name.to_owned(), revision);
                self.requests.push((operation, revision));
                Ok(())
            }
            (Outcome::Rejected(Rejection::AlreadyExists { .. }), true) => Ok(()),
            (other, there) => Err(format!("{name} was there: {there}, and its creation gave {other:?}")),
        }
    }

    fn write(&mut self, name: &str, stale: bool) -> Result<(), String> {
        let Some(now) = self.revisions.get(name).copied() else { return Ok(()) };
        let seen = if stale { Revision(now.0 - 1) } else { now };
        let object = self.labelled(name);
        let operation =
            Operation { preconditions: pinned_revision(seen), ..self.cluster.admitted(admin(), update(object)) };
        match (self.cluster.apply(operation), stale) {
            (Outcome::Written { revision, .. }, false) => {
                self.revisions.insert(name.to_owned(), revision);
                Ok(())
            }
            (Outcome::Rejected(Rejection::Conflict { .. }), true) => Ok(()),
            (other, _) => Err(format!("{name} is at {now}, and a write from {seen} gave {other:?}")),
        }
    }

    fn both(&mut self, one: &str, other: &str) -> Result<(), String> {
        if one == other || !self.revisions.contains_key(one) || !self.revisions.contains_key(other) {
            return Ok(());
        }
        let compare = [one, other].map(|name| Compare {
            key: Some(key(name).to_proto()),
            condition: Some(Condition::ResourceVersion(self.revisions[name].0)),
        });
        let objects = [one, other].map(|name| self.labelled(name));
        let inner = |object| Operation { caller: None, ..self.cluster.admitted(admin(), update(object)) };
        let txn = Txn { compare: compare.to_vec(), success: objects.map(inner).to_vec(), failure: Vec::new() };
        let operation = Operation { caller: Some(admin()), action: Some(Action::Txn(txn)), ..Operation::default() };
        let outcome = self.cluster.apply(operation);
        let Outcome::Txn { succeeded: true, revision, .. } = outcome else {
            return Err(format!("a transaction of {one} and {other} gave {outcome:?}"));
        };
        for name in [one, other] {
            let now = self.cluster.state.get(&key(name)).map(|record| record.revision);
            if now != Some(revision) {
                return Err(format!("a transaction at {revision} left {name} at {now:?}"));
            }
            self.revisions.insert(name.to_owned(), revision);
        }
        Ok(())
    }

    fn bind(&mut self, name: &str) -> Result<(), String> {
        if !self.revisions.contains_key(name) {
            return Ok(());
        }
        let was_bound = self.bound.iter().any(|bound| bound == name);
        match (self.cluster.act(servers(), bind(name, "n1")), was_bound) {
            (Outcome::Written { revision, .. }, false) => {
                self.revisions.insert(name.to_owned(), revision);
                self.bound.push(name.to_owned());
                Ok(())
            }
            (Outcome::Rejected(Rejection::AlreadyBound { .. }), true)
            | (Outcome::Rejected(Rejection::Infeasible { .. }), false) => Ok(()),
            (other, _) => Err(format!("{name} was bound: {was_bound}, and binding it gave {other:?}")),
        }
    }

    fn again(&mut self, number: usize) -> Result<(), String> {
        let Some((operation, revision)) = self.requests.get(number % self.requests.len().max(1)).cloned() else {
            return Ok(());
        };
        self.cluster.now_ms += LATER_MS;
        self.create("meanwhile").ok();
        match self.cluster.apply(operation) {
            Outcome::Written { revision: again, .. } if again == revision => Ok(()),
            other => Err(format!("a request had its effect at {revision}, and asked again gave {other:?}")),
        }
    }
}

/// The shortest work that breaks a promise, and which.
fn broken_promise() -> Option<(Vec<Step>, String)> {
    let config = Config { cases: 64, failure_persistence: None, ..Config::default() };
    let result = TestRunner::new_with_rng(
        config,
        proptest::test_runner::TestRng::deterministic_rng(proptest::test_runner::RngAlgorithm::ChaCha),
    )
    .run(&vec(a_step(), 1..40), |steps| {
        let (cluster, revisions) = (Cluster::new(), BTreeMap::new());
        let mut known = Known { cluster, revisions, bound: Vec::new(), requests: Vec::new(), values: 0 };
        steps.iter().try_for_each(|step| known.take(step)).map_err(TestCaseError::fail)
    });
    match result {
        Ok(()) => None,
        Err(TestError::Fail(why, steps)) => Some((steps, why.to_string())),
        Err(other) => panic!("{other}"),
    }
}

#[test]
fn random_work_on_the_state_machine_keeps_its_promises() {
    assert!(broken_promise().is_none(), "{:?}", broken_promise());
}

#[test]
fn random_work_finds_each_bug_that_the_state_machine_alone_can_show() {
    let shown = [
        (Bug::HalfTxn, "a transaction"),
        (Bug::DoubleBind, "was bound: true"),
        (Bug::RequestForgotten, "asked again"),
        (Bug::PreconditionIgnored, "a write from"),
    ];
    for (bug, promise) in shown {
        let (steps, why) = with(bug, broken_promise).unwrap_or_else(|| panic!("{bug:?} was not found"));
        assert!(why.contains(promise), "{bug:?}: {why}");
        assert!(steps.len() <= 4, "{bug:?}: {steps:?} can be shorter");
    }
}
