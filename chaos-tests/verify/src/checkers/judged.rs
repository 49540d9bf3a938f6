//! What all clients together were told, judged promise by promise. Pure.

use super::{Verdict, broken, linearizable, pairs, refusals, sets, watches};
use crate::history::{Event, Operation, calls, operations};

/// One promise and whether it was kept.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Judged {
    /// Which promise.
    pub promise: &'static str,
    /// Whether.
    pub verdict: Verdict,
}

/// The judgement of the clients' history and of watches of all registers, each from before the first operation until
/// after the last.
#[must_use]
pub fn of_clients(events: &[Event], told: &[Result<Vec<watches::Told>, String>]) -> Vec<Judged> {
    let (operations, calls) = match (operations(events), calls(events)) {
        (Ok(operations), Ok(calls)) => (operations, calls),
        (Err(bad), _) | (_, Err(bad)) => {
            return vec![Judged { promise: "the history has its form", verdict: Verdict::Unknown(bad.to_string()) }];
        }
    };
    let say = |promise, verdict| Judged { promise, verdict };
    vec![
        say("registers are linearizable", linearizable(&operations)),
        say("watches are ordered, unique and complete", of_watches(&operations, told)),
        say("sets are complete, and retries done once", sets::check(&calls)),
        say("transactions are whole and alone", pairs::check(&calls)),
        say("nothing is refused without reason", refusals::check(events)),
    ]
}

fn of_watches(operations: &[Operation], watches: &[Result<Vec<watches::Told>, String>]) -> Verdict {
    let mut whole = Vec::new();
    for watch in watches {
        match watch {
            Ok(told) => whole.push(told),
            Err(problem) => return broken(problem.clone()),
        }
    }
    let each = whole.iter().try_for_each(|told| watches::check(operations, told));
    let agree = whole.windows(2).try_for_each(|pair| watches::agree(pair[0], pair[1]));
    match each.and(agree) {
        Ok(()) => Verdict::Valid,
        Err(problem) => broken(problem.to_string()),
    }
}
