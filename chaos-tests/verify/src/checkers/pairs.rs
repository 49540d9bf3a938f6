//! Transactions are whole and alone: both objects of a pair always hold the same, and each change began from what the one
//! before it left. Knows no cluster.

use std::collections::{BTreeMap, BTreeSet};

use super::{Verdict, broken};
use crate::history::{Call, Called, Reply};

/// The judgement of all calls on pairs.
#[must_use]
pub fn check(calls: &[Called]) -> Verdict {
    let judged = halves_agree(calls).and_then(|()| changes_chain(calls)).and_then(|()| looks_are_fresh(calls));
    match judged {
        Ok(()) => Verdict::Valid,
        Err(problem) => broken(problem),
    }
}

fn looks(calls: &[Called]) -> impl Iterator<Item = (&Called, u64, &[(u64, u64)])> {
    calls.iter().filter_map(|called| match &called.reply {
        Some((_, Reply::Pairs { revision, values })) => Some((called, *revision, values.as_slice())),
        _ => None,
    })
}

fn halves_agree(calls: &[Called]) -> Result<(), String> {
    for (called, revision, values) in looks(calls) {
        if let Some((pair, (left, right))) = values.iter().enumerate().find(|(_, (left, right))| left != right) {
            let process = called.process;
            return Err(format!("pair {pair} is {left} and {right} at revision {revision}, seen by process {process}"));
        }
    }
    Ok(())
}

struct Change {
    revision: u64,
    from: u64,
    value: u64,
}

fn changes_chain(calls: &[Called]) -> Result<(), String> {
    let mut done: BTreeMap<u64, Vec<Change>> = BTreeMap::new();
    let mut unknown: BTreeMap<u64, BTreeMap<u64, u64>> = BTreeMap::new();
    for called in calls {
        let Call::Set { pair, from, value } = called.call else { continue };
        match (called.revision(), &called.reply) {
            (Some(revision), _) => done.entry(pair).or_default().push(Change { revision, from, value }),
            // By what it leaves: what it began from.
            (None, None) => drop(unknown.entry(pair).or_default().insert(value, from)),
            (None, Some((_, reply @ (Reply::Absent | Reply::Exists)))) => {
                return Err(format!("nobody removes or makes pairs, but pair {pair} was answered with {reply:?}"));
            }
            (None, Some(_)) => {}
        }
    }
    for (pair, mut changes) in done {
        changes.sort_by_key(|change| change.revision);
        let unknown = unknown.remove(&pair).unwrap_or_default();
        let mut now = 0;
        for change in changes {
            if !leads_to(&unknown, now, change.from) {
                let Change { revision, from, value } = change;
                return Err(format!(
                    "pair {pair} was changed from {from} to {value} at revision {revision}, when it held {now}"
                ));
            }
            now = change.value;
        }
    }
    Ok(())
}

/// Whether changes that nobody knows of can have made `to` of `now`.
fn leads_to(unknown: &BTreeMap<u64, u64>, now: u64, to: u64) -> bool {
    let (mut at, mut seen) = (to, BTreeSet::new());
    while at != now {
        match unknown.get(&at) {
            Some(from) if seen.insert(at) => at = *from,
            _ => return false,
        }
    }
    true
}

/// A look that began after a change had been acknowledged is not of before it.
fn looks_are_fresh(calls: &[Called]) -> Result<(), String> {
    let mut acknowledged: Vec<(u64, u64)> =
        calls.iter().filter_map(|called| Some((called.ended_ns(), called.revision()?))).collect();
    acknowledged.sort_unstable();
    let mut highest = 0;
    for (_, revision) in &mut acknowledged {
        highest = highest.max(*revision);
        *revision = highest;
    }
    for (called, revision, _) in looks(calls) {
        let before = acknowledged.partition_point(|(ended, _)| *ended < called.began_ns);
        if let Some((_, told)) = before.checked_sub(1).map(|at| acknowledged[at])
            && told > revision
        {
            return Err(format!("a look of process {} at {revision} began when {told} had been told", called.process));
        }
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;

    fn set(at: u64, from: u64, value: u64, revision: Option<u64>) -> Called {
        let reply = revision.map(|revision| (at + 1, Reply::Done { revision }));
        Called { process: 1, call: Call::Set { pair: 0, from, value }, began_ns: at, reply }
    }

    fn look(at: u64, revision: u64, left: u64, right: u64) -> Called {
        let reply = Reply::Pairs { revision, values: vec![(left, right)] };
        Called { process: 2, call: Call::Look, began_ns: at, reply: Some((at + 1, reply)) }
    }

    #[test]
    fn a_chain_of_changes_is_good_also_with_unknown_ones_in_it() {
        let calls =
            [set(1, 0, 1, Some(5)), set(3, 1, 2, None), set(5, 2, 3, None), set(7, 3, 4, Some(9)), look(9, 9, 4, 4)];
        assert_eq!(check(&calls), Verdict::Valid);
    }

    #[test]
    fn half_a_transaction_a_lost_update_and_a_stale_look_are_noticed() {
        let bad = |calls: &[Called]| match check(calls) {
            Verdict::Invalid(explanation) => explanation.problem,
            other => panic!("{other:?}"),
        };
        assert!(bad(&[look(1, 5, 1, 2)]).contains("1 and 2"));
        assert!(bad(&[set(1, 0, 1, Some(5)), set(3, 0, 2, Some(6))]).contains("when it held 1"));
        assert!(bad(&[set(1, 0, 1, Some(5)), set(3, 9, 2, Some(6))]).contains("from 9"));
        assert!(bad(&[set(1, 0, 1, Some(5)), look(3, 4, 0, 0)]).contains("began when 5"));
    }
}
