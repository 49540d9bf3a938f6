//! Random commands: what must hold whatever they are.

mod params;
mod processes;

use boss_proto::{
    ids::Revision,
    key::Key,
    kind::Kind,
    raft::v1::{Delete, Operation, Read, Txn, operation::Action},
    v1::{Compare, compare::Condition},
};
use proptest::{collection::vec, prelude::*};

use crate::state::{
    EventKind, Interest, Limits, Outcome, State, View,
    rows::{Loader, header, rows},
    testing::*,
};

/// One step of a random history over a few names.
#[derive(Debug, Clone)]
pub(crate) enum Step {
    Create(u8),
    Label(u8, u8),
    Bind(u8),
    Delete(u8, bool),
    Role(u8),
    Txn(u8, u8),
    Repeat,
    Wait(u16),
}

pub(crate) fn step() -> impl Strategy<Value = Step> {
    prop_oneof![
        (0..6u8).prop_map(Step::Create),
        (0..6u8, 0..3u8).prop_map(|(name, value)| Step::Label(name, value)),
        (0..6u8).prop_map(Step::Bind),
        (0..6u8, any::<bool>()).prop_map(|(name, proven)| Step::Delete(name, proven)),
        (0..2u8).prop_map(Step::Role),
        (0..6u8, 0..6u8).prop_map(|(one, other)| Step::Txn(one, other)),
        Just(Step::Repeat),
        (0..2_000u16).prop_map(Step::Wait),
    ]
}

pub(crate) fn small() -> Limits {
    Limits {
        history_events_max: 20,
        requests_max: 6,
        request_age_max_ms: 3_000,
        history_age_max_ms: 20_000,
        ..Limits::default()
    }
}

/// Runs the steps; the operations, the outcomes and the views after each entry.
pub(crate) struct Run {
    pub(crate) cluster: Cluster,
    last: Option<Operation>,
    outcomes: Vec<Outcome>,
    pub(crate) views: Vec<View>,
}

impl Run {
    pub(crate) fn of(steps: &[Step], limits: Limits) -> Self {
        let cluster = Cluster::with_limits(limits);
        let views = vec![cluster.state.view()];
        let mut run = Self { cluster, last: None, outcomes: Vec::new(), views };
        for (number, step) in steps.iter().enumerate() {
            run.step(number, step);
        }
        run
    }

    fn step(&mut self, number: usize, step: &Step) {
        let Some(mut operation) = self.operation(step) else { return };
        if !matches!(step, Step::Repeat) {
            operation.request_id = request(self.cluster.state.revision().0, u8::try_from(number % 256).unwrap());
        }
        self.last = Some(operation.clone());
        let outcome = self.cluster.apply(operation);
        self.outcomes.push(outcome);
        self.views.push(self.cluster.state.view());
    }

    fn operation(&mut self, step: &Step) -> Option<Operation> {
        let name = |name: &u8| format!("p{name}");
        Some(match step {
            Step::Create(pod_name) => self.cluster.admitted(admin(), create(pod(&name(pod_name)))),
            Step::Label(pod_name, value) => {
                let mut object = self.cluster.state.get(&key(&name(pod_name)))?.object.clone();
                object.metadata_mut()?.labels.insert("v".to_owned(), value.to_string());
                self.cluster.admitted(admin(), update(object))
            }
            Step::Bind(pod_name) => self.cluster.admitted(servers(), bind(&name(pod_name), "n1")),
            Step::Delete(pod_name, proven) => {
                let key = Some(key(&name(pod_name)).to_proto());
                let action = Action::Delete(Delete { key, absence_proven: *proven, ..Delete::default() });
                let mut operation = self.cluster.admitted(if *proven { agent() } else { admin() }, action);
                operation.preconditions = pinned_uid(&format!("uid-default-p{pod_name}"));
                operation
            }
            Step::Role(number) => {
                let key = Key::cluster(Kind::ClusterRoleBinding, format!("b{number}"));
                match self.cluster.state.get(&key) {
                    Some(_) => self.cluster.admitted(servers(), delete(&key)),
                    None => self.cluster.admitted(servers(), create(binding(&key.name, "others"))),
                }
            }
            Step::Txn(one, other) => {
                let (one, other) = (name(one), name(other));
                let compare = Compare { key: Some(key(&one).to_proto()), condition: Some(Condition::Exists(true)) };
                let inner = |action| Operation { caller: None, ..self.cluster.admitted(admin(), action) };
                let read = Action::Read(Read { key: Some(key(&other).to_proto()) });
                let txn = Txn {
                    compare: vec![compare],
                    success: [delete(&key(&one)), create(pod(&other))].map(inner).to_vec(),
                    failure: [create(pod(&one)), read].map(inner).to_vec(),
                };
                Operation { caller: Some(admin()), action: Some(Action::Txn(txn)), ..Operation::default() }
            }
            Step::Repeat => self.last.clone()?,
            Step::Wait(millis) => {
                self.cluster.now_ms += u64::from(*millis);
                return None;
            }
        })
    }
}

fn reload(state: &State, limits: Limits) -> State {
    let mut loader = Loader::new(&header(state), limits).unwrap();
    for row in rows(state) {
        loader.row(&row.key, row.value.unwrap()).unwrap();
    }
    loader.finish().unwrap()
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(64))]

    #[test]
    fn the_same_commands_give_the_same_outcomes_and_hash(steps in vec(step(), 1..60)) {
        let (one, two) = (Run::of(&steps, small()), Run::of(&steps, small()));
        prop_assert_eq!(&one.outcomes, &two.outcomes);
        prop_assert_eq!(one.cluster.state.hash(), two.cluster.state.hash());
    }

    #[test]
    fn a_state_from_rows_is_the_same_state_and_goes_on_the_same_way(
        steps in vec(step(), 1..60),
        more in vec(step(), 1..20),
    ) {
        let mut run = Run::of(&steps, small());
        let loaded = reload(&run.cluster.state, small());
        prop_assert_eq!(loaded.hash(), run.cluster.state.hash());
        let mut twin = Run {
            cluster: Cluster { state: loaded, ..run.cluster },
            last: run.last.clone(),
            outcomes: run.outcomes.clone(),
            views: Vec::new(),
        };
        run.cluster = Cluster {
            state: run.views.last().unwrap().to_state(),
            log: Vec::new(),
            index: twin.cluster.index,
            now_ms: twin.cluster.now_ms,
        };
        for (number, step) in more.iter().enumerate() {
            run.step(number, step);
            twin.step(number, step);
        }
        prop_assert_eq!(&run.outcomes, &twin.outcomes);
        prop_assert_eq!(run.cluster.state.hash(), twin.cluster.state.hash());
    }

    #[test]
    fn revisions_grow_by_one_with_each_write_and_never_without(steps in vec(step(), 1..60)) {
        let run = Run::of(&steps, small());
        let mut last = run.views[0].revision();
        for (outcome, view) in run.outcomes.iter().zip(&run.views[1..]) {
            if let Outcome::Written { revision, .. }
            | Outcome::Deleted { revision, .. }
            | Outcome::Txn { revision, .. } = outcome
                && *revision > last
            {
                prop_assert_eq!(*revision, last.next());
                last = *revision;
            }
            prop_assert_eq!(view.revision(), last);
        }
    }

    #[test]
    fn the_events_after_a_view_lead_to_the_present(steps in vec(step(), 1..60), from in 0..60usize) {
        let run = Run::of(&steps, small());
        let now = &run.cluster.state;
        let view = &run.views[from.min(run.views.len() - 1)];
        let interest = Interest::in_kind(Kind::Pod);
        match now.events_after(view.revision(), &interest, usize::MAX) {
            Err(_) => prop_assert!(view.revision() < now.history().floor()),
            Ok(found) => {
                let events = found.events;
                let mut pods: std::collections::BTreeMap<_, _> =
                    view.list(Kind::Pod, None).map(|record| (record.key.clone(), record.clone())).collect();
                let mut last = (view.revision(), u32::MAX);
                for event in events {
                    prop_assert!((event.revision, event.ordinal) > last);
                    last = (event.revision, event.ordinal);
                    let before = match event.kind {
                        EventKind::Deleted => pods.remove(event.key()),
                        EventKind::Added | EventKind::Modified => pods.insert(event.key().clone(), event.record.clone()),
                    };
                    prop_assert_eq!(before, event.previous.clone());
                }
                let present: Vec<_> = now.list(Kind::Pod, None).cloned().collect();
                prop_assert_eq!(pods.into_values().collect::<Vec<_>>(), present);
            }
        }
    }

    #[test]
    fn a_view_never_changes(steps in vec(step(), 1..40)) {
        let run = Run::of(&steps, small());
        for view in &run.views {
            let again = reload(&view.to_state(), small());
            prop_assert_eq!(again.hash(), view.hash());
        }
    }
}

#[test]
fn history_and_requests_stay_within_their_bounds() {
    let steps: Vec<_> =
        (0..200u8).map(|number| if number % 2 == 0 { Step::Create(0) } else { Step::Delete(0, false) }).collect();
    let run = Run::of(&steps, small());
    assert_eq!(run.cluster.state.history().len(), small().history_events_max);
    assert_eq!(run.cluster.state.requests().len(), small().requests_max);
    let floor = run.cluster.state.history().floor();
    let interest = Interest::in_kind(Kind::Pod);
    assert!(run.cluster.state.events_after(floor, &interest, 1).is_ok());
    let expired = run.cluster.state.events_after(Revision(floor.0 - 1), &interest, 1).unwrap_err();
    assert_eq!(expired.current, run.cluster.state.revision());
}

#[test]
fn a_row_that_was_changed_or_lost_is_noticed() {
    let state = Cluster::new().state;
    let mut lost = Loader::new(&header(&state), Limits::default()).unwrap();
    for row in rows(&state).skip(1) {
        lost.row(&row.key, row.value.unwrap()).unwrap();
    }
    assert!(lost.finish().is_err());
    let mut broken = Loader::new(&header(&state), Limits::default()).unwrap();
    assert!(broken.row(b"1/registry/pods/a/b", b"no object".as_slice().into()).is_err());
    assert!(broken.row(b"9", bytes::Bytes::new()).is_err());
    assert!(broken.row(b"", bytes::Bytes::new()).is_err());
}
