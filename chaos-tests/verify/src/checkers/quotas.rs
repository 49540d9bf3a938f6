//! A quota is a bank: at no revision is there more than it allows, and nobody is refused while there is room. Knows no
//! cluster.

use std::collections::{BTreeMap, BTreeSet};

use super::{Verdict, broken};
use crate::history::{Call, Called, Reply};

/// How many objects there may be at once: few, so that clients meet at the bound.
pub const HARD: usize = 6;

/// All that was asked about one object.
#[derive(Default)]
struct Object<'a> {
    take: Option<&'a Called>,
    frees: Vec<&'a Called>,
}

/// The judgement of all calls in a namespace whose quota allows [`HARD`] objects with names that are used once. Unknown if
/// nobody met the bound, or nobody got room again after it.
#[must_use]
pub fn check(calls: &[Called]) -> Verdict {
    let mut objects: BTreeMap<&str, Object> = BTreeMap::new();
    for called in calls {
        match &called.call {
            Call::Take { name } => objects.entry(name).or_default().take = Some(called),
            Call::Free { name } => objects.entry(name).or_default().frees.push(called),
            _ => {}
        }
    }
    let judged = nothing_is_lost(&objects)
        .and_then(|()| never_above(&objects))
        .and_then(|()| no_list_above(calls))
        .and_then(|()| refused_only_when_full(calls, &objects));
    match judged {
        Err(problem) => broken(problem),
        Ok(()) if was_full_and_free_again(calls) => Verdict::Valid,
        Ok(()) => Verdict::Unknown(format!("of {} objects none was taken after the quota was full", objects.len())),
    }
}

impl Object<'_> {
    /// The revisions between which it was certainly there; none if nobody knows that it ever was.
    fn certain(&self) -> Option<(u64, u64)> {
        let from = self.take?.revision()?;
        // What may be gone at any time is not certain at all.
        let is_certain = self.frees.iter().all(|free| free.reply.is_some());
        let until = self.frees.iter().filter_map(|free| free.revision()).min().unwrap_or(u64::MAX);
        is_certain.then_some((from, until))
    }

    /// Whether it can have been there at any time from one to another, in nanoseconds.
    fn was_possible(&self, from_ns: u64, until_ns: u64) -> bool {
        let Some(take) = self.take else { return false };
        let was_made = !matches!(take.reply, Some((_, Reply::Full))) && take.began_ns < until_ns;
        let is_gone = self.frees.iter().any(|free| free.revision().is_some() && free.ended_ns() < from_ns);
        was_made && !is_gone
    }
}

fn nothing_is_lost(objects: &BTreeMap<&str, Object<'_>>) -> Result<(), String> {
    for (name, object) in objects {
        let taken = object.take.is_some_and(|take| take.revision().is_some());
        let absent = object.frees.iter().find(|free| matches!(free.reply, Some((_, Reply::Absent))));
        // Another one that was not answered may have freed it.
        let explained = object.frees.iter().any(|free| free.reply.is_none() || free.revision().is_some());
        if let (true, Some(absent), false) = (taken, absent, explained) {
            return Err(format!("{name} was there and nobody freed it, but process {} found none", absent.process));
        }
        if object.take.is_some_and(|take| matches!(take.reply, Some((_, Reply::Exists)))) {
            return Err(format!("{name} was taken twice under one request id"));
        }
    }
    Ok(())
}

/// Goes through the log with all that was certainly there.
fn never_above(objects: &BTreeMap<&str, Object<'_>>) -> Result<(), String> {
    let mut steps: Vec<(u64, i64, &str)> = Vec::new();
    for (name, object) in objects {
        let Some((from, until)) = object.certain() else { continue };
        steps.push((from, 1, name));
        steps.push((until, -1, name));
    }
    // Each revision is one write: no two steps are at the same one, but those that never end.
    steps.sort_unstable();
    let mut there: BTreeSet<&str> = BTreeSet::new();
    for (revision, step, name) in steps {
        if step < 0 {
            there.remove(name);
            continue;
        }
        there.insert(name);
        if there.len() > HARD {
            return Err(format!("{} objects at revision {revision}, the quota allows {HARD}: {there:?}", there.len()));
        }
    }
    Ok(())
}

fn no_list_above(calls: &[Called]) -> Result<(), String> {
    for called in calls {
        if let (Call::Count, Some((_, Reply::Members { revision, names }))) = (&called.call, &called.reply)
            && names.len() > HARD
        {
            return Err(format!("a list of revision {revision} has {} objects, the quota allows {HARD}", names.len()));
        }
    }
    Ok(())
}

fn refused_only_when_full(calls: &[Called], objects: &BTreeMap<&str, Object<'_>>) -> Result<(), String> {
    for called in calls {
        let (Call::Take { name }, Some((ended_ns, Reply::Full))) = (&called.call, &called.reply) else { continue };
        let possible = objects.values().filter(|object| object.was_possible(called.began_ns, *ended_ns)).count();
        if possible < HARD {
            return Err(format!(
                "{name} was refused for want of room, asked at {} ns, when there were {possible} objects at most and the \
                 quota allows {HARD}",
                called.began_ns
            ));
        }
    }
    Ok(())
}

fn was_full_and_free_again(calls: &[Called]) -> bool {
    let told = |wanted: fn(&Reply) -> bool| {
        calls
            .iter()
            .filter(move |called| matches!(called.call, Call::Take { .. }))
            .filter_map(move |called| called.reply.as_ref().filter(|(_, reply)| wanted(reply)).map(|(at_ns, _)| *at_ns))
    };
    let full = told(|reply| *reply == Reply::Full).min();
    let last = told(|reply| matches!(reply, Reply::Done { .. })).max();
    full.zip(last).is_some_and(|(full, last)| full < last)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn called(began_ns: u64, call: Call, reply: Option<Reply>) -> Called {
        Called { process: began_ns, call, began_ns, reply: reply.map(|reply| (began_ns + 1, reply)) }
    }

    fn take(at: u64, reply: Option<Reply>) -> Called {
        called(at, Call::Take { name: format!("q-{at}") }, reply)
    }

    fn free(at: u64, taken_at: u64, reply: Option<Reply>) -> Called {
        called(at, Call::Free { name: format!("q-{taken_at}") }, reply)
    }

    fn done(revision: u64) -> Option<Reply> {
        Some(Reply::Done { revision })
    }

    fn count(at: u64, revision: u64, of: usize) -> Called {
        let names = (0..of).map(|number| format!("q-{number}")).collect();
        called(at, Call::Count, Some(Reply::Members { revision, names }))
    }

    /// As many as there may be: `q-0` at revision 1 and so on.
    fn full() -> Vec<Called> {
        (0..HARD as u64).map(|number| take(10 * number, done(number + 1))).collect()
    }

    fn and(more: &[Called]) -> Vec<Called> {
        [&full()[..], more].concat()
    }

    #[track_caller]
    fn says(calls: &[Called], problem: &str) {
        match check(calls) {
            Verdict::Invalid(explanation) => assert!(explanation.problem.contains(problem), "{explanation}"),
            other => panic!("expected {problem:?}, got {other:?}"),
        }
    }

    #[test]
    fn a_full_quota_refuses_and_has_room_again_after_a_delete() {
        let good = and(&[
            take(100, Some(Reply::Full)),
            count(105, 8, HARD),
            free(110, 0, done(9)),
            take(120, done(10)),
            take(130, Some(Reply::Full)),
        ]);
        assert_eq!(check(&good), Verdict::Valid);
    }

    #[test]
    fn one_more_than_the_quota_allows_is_found_in_the_log_and_in_lists() {
        says(&and(&[take(100, done(20))]), "7 objects at revision 20");
        says(&and(&[count(100, 9, HARD + 1)]), "a list of revision 9 has 7 objects");
        // One before it was freed, by the log, makes it no more than there may be.
        let freed = and(&[take(90, Some(Reply::Full)), free(100, 0, done(19)), take(101, done(20))]);
        assert_eq!(check(&freed), Verdict::Valid);
        says(&and(&[free(100, 0, done(21)), take(101, done(20))]), "7 objects at revision 20");
    }

    #[test]
    fn a_refusal_while_there_is_room_is_found() {
        let room = and(&[free(100, 0, done(9)), take(110, Some(Reply::Full)), take(120, done(11))]);
        says(&room, "when there were 5 objects at most");
        // Freed meanwhile: it may have been asked before.
        let mut meanwhile = free(100, 0, done(9));
        meanwhile.reply = Some((111, Reply::Done { revision: 9 }));
        let calls = and(&[meanwhile, take(110, Some(Reply::Full)), take(120, done(11))]);
        assert_eq!(check(&calls), Verdict::Valid);
    }

    #[test]
    fn what_nobody_knows_may_be_there_or_not() {
        // Not answered: it may be gone, so one more is no proof, and it may be there, so a refusal is none either.
        let free_unknown = and(&[take(95, Some(Reply::Full)), free(100, 0, None), take(110, done(20))]);
        assert_eq!(check(&free_unknown), Verdict::Valid);
        let mut calls = full();
        calls[0] = take(0, None);
        calls.extend([take(100, Some(Reply::Full)), free(110, 10, done(9)), take(120, done(10))]);
        assert_eq!(check(&calls), Verdict::Valid);
    }

    #[test]
    fn an_object_that_was_lost_or_made_twice_is_found() {
        says(&and(&[free(100, 0, Some(Reply::Absent))]), "q-0 was there and nobody freed it");
        let freed = and(&[
            take(90, Some(Reply::Full)),
            free(100, 0, None),
            free(110, 0, Some(Reply::Absent)),
            take(120, done(20)),
        ]);
        assert_eq!(check(&freed), Verdict::Valid);
        says(&[take(0, Some(Reply::Exists))], "taken twice");
    }

    #[test]
    fn a_run_that_never_met_the_bound_says_nothing() {
        assert!(matches!(check(&full()), Verdict::Unknown(_)));
        assert!(matches!(check(&and(&[take(100, Some(Reply::Full))])), Verdict::Unknown(_)));
        assert!(matches!(check(&[]), Verdict::Unknown(_)));
    }
}
