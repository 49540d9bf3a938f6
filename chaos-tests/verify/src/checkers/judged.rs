//! What all clients together were told, judged promise by promise. Pure.

use super::{Verdict, broken, linearizable, pairs, quotas, refusals, revocations, rights, sets, watches};
use crate::history::{Call, Called, Event, Operation, calls, operations};

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
    let mut judged = vec![
        say("registers are linearizable", linearizable(&operations)),
        say("watches are ordered, unique and complete", of_watches(&operations, told)),
        say("sets are complete, and retries done once", sets::check(&calls)),
        say("transactions are whole and alone", pairs::check(&calls)),
        say("nothing is refused without reason", refusals::check(events)),
    ];
    // Not every run has clients of these, and what nobody asked is not judged.
    for (promise, is_asked, check) in OF_IDENTITY {
        if calls.iter().any(|called| is_asked(&called.call)) {
            judged.push(say(promise, check(&calls)));
        }
    }
    judged
}

type OfIdentity = (&'static str, fn(&Call) -> bool, fn(&[Called]) -> Verdict);

/// Promises of identity and admission, with the calls that ask for them.
const OF_IDENTITY: [OfIdentity; 3] = [
    ("a revoked credential counts nowhere", |call| matches!(call, Call::Show { .. }), revocations::check),
    (
        "nothing is done without a right at its own place in the log",
        |call| matches!(call, Call::Act { .. }),
        rights::check,
    ),
    ("nobody gets above a quota, and deletes make room", |call| matches!(call, Call::Take { .. }), quotas::check),
];

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
