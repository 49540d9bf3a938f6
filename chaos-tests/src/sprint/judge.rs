//! All judges of a sprint, each promise by its own. Pure.

use super::{Bindings, Closing, Judged, Options, Watches, Work};
use crate::{
    checkers::{self, Verdict, coverage, journals::Execution, judged},
    history::{Event, What},
    nemesis::Step,
    sample::Sample,
};

/// Answers before, during and after the faults; fewer say nothing.
pub(super) const ANSWERED_EACH: usize = 30;

/// What a sprint has seen.
#[derive(Debug, Clone)]
pub struct Seen {
    /// The history.
    pub events: Vec<Event>,
    /// What servers said of themselves.
    pub samples: Vec<Sample>,
    /// The faults that were planned.
    pub steps: Vec<Step>,
    /// What watches of registers told.
    pub watches: Watches,
    /// What a watch of pods told.
    pub bound: Bindings,
    /// What agents wrote down of sandboxes.
    pub executions: Vec<Execution>,
    /// At the end.
    pub closing: Closing,
}

impl Seen {
    /// How many operations were answered.
    #[must_use]
    pub fn answered(&self) -> usize {
        self.events.iter().filter(|event| matches!(event.what, What::Ok { .. } | What::Reply { .. })).count()
    }
}

/// The judgement of everything.
#[must_use]
pub(super) fn all(options: &Options, seen: &Seen) -> Vec<Judged> {
    let mut judged = judged::of_clients(&seen.events, &seen.watches);
    let mut say = |promise, verdict| judged.push(Judged { promise, verdict });
    say("a term has one leader", checkers::terms::check(&seen.samples));
    say("what is committed is committed once", checkers::entries::check(&seen.closing.entries));
    say("equal states at equal indexes", checkers::states::check(&seen.closing.states, options.servers));
    if options.nodes > 0 {
        say("a pod is bound once", checkers::bindings::check(&seen.bound));
        say("no pod is lost, doubled or left behind", checkers::pods::check(&seen.closing.pods));
        if options.work.contains(&Work::Pods) {
            say("a pod has one sandbox at a time", checkers::journals::check(&seen.executions));
        }
    }
    if options.work.contains(&Work::Backup) {
        let nothing = || Verdict::Unknown("nothing was restored".to_owned());
        let verdict = seen.closing.restored.as_ref().map(|restored| checkers::restored::check(&seen.events, restored));
        say("a restored cluster has the state of its snapshot", verdict.unwrap_or_else(nothing));
    }
    say("nothing grows", checkers::growth::check(&seen.samples));
    say("everything comes back", back(&seen.closing));
    let wanted = coverage::Wanted { answered_each: ANSWERED_EACH, faults: seen.steps.len() };
    say("enough was seen", coverage(options, seen, wanted));
    judged
}

fn coverage(options: &Options, seen: &Seen, wanted: coverage::Wanted) -> Verdict {
    if options.families.is_empty() {
        return Verdict::Valid;
    }
    if seen.steps.is_empty() {
        return Verdict::Unknown("there was room for no fault".to_owned());
    }
    coverage::count(&seen.events).judge(wanted)
}

fn back(closing: &Closing) -> Verdict {
    match &closing.problems[..] {
        [] => Verdict::Valid,
        problems => checkers::broken(problems.join("; ")),
    }
}
