//! Turns what is wanted and what is here into what to do. Pure: knows no process, no clock, no registry.

use std::collections::BTreeMap;

use boss_base::bugs::{self, Bug};
use boss_proto::ids::Uid;

use crate::sandbox::lifecycle::Phase;

/// What the registry says of one pod that is bound to this node.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct Wanted {
    /// Its deletion was asked for.
    pub deleting: bool,
    /// Its status says that nothing more will happen.
    pub terminal: bool,
}

/// How much of the registry's list has come.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum List {
    /// Not all: that a pod is missing from it means nothing.
    Incomplete,
    /// All of it.
    Complete,
}

/// What to do about one pod.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Action {
    /// Run it.
    Begin(Uid),
    /// Stop it and remove what is left.
    Stop(Uid),
    /// Nothing of it is here: tell the registry.
    Release(Uid),
    /// The registry does not list it. Ask once more, and stop it if it is really gone.
    ConfirmVanished(Uid),
}

/// Compares and decides. Safe to run at any time and again.
#[must_use]
pub fn reconcile(wanted: &BTreeMap<Uid, Wanted>, here: &BTreeMap<Uid, Phase>, list: List) -> Vec<Action> {
    let mut actions: Vec<Action> =
        wanted.iter().filter_map(|(uid, wanted)| for_wanted(uid, *wanted, here.get(uid).copied())).collect();
    if list == List::Complete {
        let unlisted = here.iter().filter(|(uid, phase)| !wanted.contains_key(*uid) && !phase.is_leaving());
        actions.extend(unlisted.map(|(uid, _)| Action::ConfirmVanished(uid.clone())));
    }
    actions
}

fn for_wanted(uid: &Uid, wanted: Wanted, phase: Option<Phase>) -> Option<Action> {
    match (phase, wanted.deleting) {
        (None, true) => Some(Action::Release(uid.clone())),
        // Ended here before, and its folder is lost or the node was made anew: it does not run twice.
        (None, false) if wanted.terminal => None,
        (None | Some(Phase::Waiting), false) => Some(Action::Begin(uid.clone())),
        (Some(Phase::Running), true) if bugs::on(Bug::OrphanSandbox) => Some(Action::Release(uid.clone())),
        (Some(phase), true) if !phase.is_leaving() => Some(Action::Stop(uid.clone())),
        _ => None,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn check(wanted: Option<Wanted>, phase: Option<Phase>, list: List, expected: Option<fn(Uid) -> Action>) {
        let uid = Uid::from("u");
        let here = phase.map(|phase| (uid.clone(), phase)).into_iter().collect();
        let map = wanted.map(|wanted| (uid.clone(), wanted)).into_iter().collect();
        let expected: Vec<Action> = expected.map(|action| action(uid)).into_iter().collect();
        assert_eq!(reconcile(&map, &here, list), expected, "{wanted:?} {phase:?} {list:?}");
    }

    const WANTED: Wanted = Wanted { deleting: false, terminal: false };
    const DELETING: Wanted = Wanted { deleting: true, terminal: false };
    const TERMINAL: Wanted = Wanted { deleting: false, terminal: true };

    #[test]
    fn a_wanted_pod_is_begun_once() {
        check(Some(WANTED), None, List::Complete, Some(Action::Begin));
        check(Some(WANTED), Some(Phase::Waiting), List::Incomplete, Some(Action::Begin));
        for phase in Phase::ALL.into_iter().filter(|phase| *phase != Phase::Waiting) {
            check(Some(WANTED), Some(phase), List::Complete, None);
        }
    }

    #[test]
    fn a_pod_that_ended_before_does_not_run_again() {
        check(Some(TERMINAL), None, List::Complete, None);
    }

    #[test]
    fn a_deleted_pod_is_stopped_once_and_released_when_nothing_is_here() {
        check(Some(DELETING), None, List::Complete, Some(Action::Release));
        for phase in Phase::ALL {
            let expected: Option<fn(Uid) -> Action> = if phase.is_leaving() { None } else { Some(Action::Stop) };
            check(Some(DELETING), Some(phase), List::Complete, expected);
        }
    }

    #[test]
    fn an_unlisted_sandbox_is_touched_only_after_the_whole_list() {
        for phase in Phase::ALL {
            check(None, Some(phase), List::Incomplete, None);
            let expected: Option<fn(Uid) -> Action> =
                if phase.is_leaving() { None } else { Some(Action::ConfirmVanished) };
            check(None, Some(phase), List::Complete, expected);
        }
    }
}
