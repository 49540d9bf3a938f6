//! The past, rebuilt from the history, is what was recorded then.

use std::{collections::BTreeMap, sync::Arc};

use boss_proto::selector::Selector;
use proptest::{collection::vec, prelude::*};

use super::*;
use crate::state::{
    Limits, View,
    apply::tests::{Run, Step, small, step},
    testing::key,
};

fn everything(kind: Kind) -> Selector {
    Selector::parse(kind, "", "").unwrap()
}

/// The whole of a kind, as the present view shows what was at `revision`.
fn then(now: &View, revision: Revision, kind: Kind) -> Result<Vec<Arc<Record>>, PastError> {
    Ok(now.candidates_at(revision, kind, None, &everything(kind), None)?.cloned().collect())
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(64))]

    #[test]
    fn the_past_is_what_was_recorded_then(steps in vec(step(), 1..80)) {
        let run = Run::of(&steps, small());
        let now = run.cluster.state.view();
        for view in &run.views {
            for kind in [Kind::Pod, Kind::ClusterRoleBinding, Kind::Namespace] {
                let recorded: Vec<_> = view.list(kind, None).cloned().collect();
                match then(&now, view.revision(), kind) {
                    Ok(shown) => prop_assert_eq!(&shown, &recorded),
                    Err(_) => prop_assert!(view.revision() < now.history().floor()),
                }
                for name in 0..6u8 {
                    let key = key(&format!("p{name}"));
                    if let Ok(shown) = now.get_at(&key, view.revision()) {
                        prop_assert_eq!(shown, view.get(&key));
                    }
                }
            }
        }
    }

    #[test]
    fn pages_of_the_past_make_the_whole(steps in vec(step(), 1..60), at in 0..60usize, page in 1..4usize) {
        let run = Run::of(&steps, Limits::default());
        let now = run.cluster.state.view();
        let view = &run.views[at.min(run.views.len() - 1)];
        let mut pages = Vec::new();
        loop {
            let after = pages.last().map(|last: &Arc<Record>| last.key.clone());
            let rest = now.candidates_at(view.revision(), Kind::Pod, None, &everything(Kind::Pod), after.as_ref());
            let before = pages.len();
            pages.extend(rest.unwrap().take(page).cloned());
            if pages.len() == before {
                break;
            }
        }
        prop_assert_eq!(pages, view.list(Kind::Pod, None).cloned().collect::<Vec<_>>());
    }

    #[test]
    fn a_selection_of_the_past_is_what_was_selected_then(steps in vec(step(), 1..60), at in 0..60usize) {
        let run = Run::of(&steps, Limits::default());
        let now = run.cluster.state.view();
        let view = &run.views[at.min(run.views.len() - 1)];
        for fields in ["spec.nodeName=n1", "spec.nodeName=", "status.phase=Pending", "metadata.name=p1"] {
            let selector = Selector::parse(Kind::Pod, "", fields).unwrap();
            let shown = now.candidates_at(view.revision(), Kind::Pod, None, &selector, None).unwrap();
            let shown: BTreeMap<_, _> =
                shown.filter(|record| selector.matches(&record.object)).map(|record| (&record.key, record)).collect();
            let wanted = view.list(Kind::Pod, None).filter(|record| selector.matches(&record.object));
            prop_assert_eq!(shown, wanted.map(|record| (&record.key, record)).collect(), "{}", fields);
        }
    }
}

#[test]
fn an_object_that_was_deleted_and_made_again_is_shown_as_each_of_them() {
    let steps = [Step::Create(0), Step::Delete(0, false), Step::Create(0), Step::Label(0, 1)];
    let run = Run::of(&steps, Limits::default());
    let now = run.cluster.state.view();
    let [made, gone, again, labelled] = [1, 2, 3, 4].map(|step: usize| run.views[step].revision());
    let at = |revision| now.get_at(&key("p0"), revision).unwrap().map(|record| record.revision);
    assert_eq!([at(made), at(gone), at(again), at(labelled)], [Some(made), None, Some(again), Some(labelled)]);
    assert_eq!(at(Revision(made.0 - 1)), None);
}

#[test]
fn what_is_not_kept_and_what_is_to_come_cannot_be_shown() {
    let steps: Vec<_> = (0..60u8).map(|number| Step::Label(0, number % 3)).collect();
    let steps: Vec<_> = [Step::Create(0)].into_iter().chain(steps).collect();
    let now = Run::of(&steps, small()).cluster.state.view();
    let (floor, current) = (now.history().floor(), now.revision());
    assert!(now.get_at(&key("p0"), floor).is_ok());
    assert_eq!(now.get_at(&key("p0"), Revision(floor.0 - 1)), Err(PastError::Expired { current }));
    assert_eq!(now.get_at(&key("p0"), current.next()), Err(PastError::Ahead { current }));
}
