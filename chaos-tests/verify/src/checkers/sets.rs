//! A set is what was added and not removed: lists are complete and of one moment, and a call that is asked again under the
//! same request id is done once and answered as it was. Knows no cluster.

use std::collections::{BTreeMap, BTreeSet};

use super::{Verdict, broken};
use crate::history::{Call, Called, Reply};

/// What is known of a member.
#[derive(Default)]
struct Member<'a> {
    add: Option<&'a Called>,
    remove: Option<&'a Called>,
}

/// The judgement of all calls on a set whose names are unique, each with one remove at most.
#[must_use]
pub fn check(calls: &[Called]) -> Verdict {
    match judge(calls) {
        Ok(()) => Verdict::Valid,
        Err(problem) => broken(problem),
    }
}

fn judge(calls: &[Called]) -> Result<(), String> {
    let mut members: BTreeMap<&str, Member> = BTreeMap::new();
    let mut revisions: BTreeMap<u64, &Called> = BTreeMap::new();
    for called in calls {
        match &called.call {
            Call::Add { name } => members.entry(name).or_default().add = Some(called),
            Call::Remove { name } => members.entry(name).or_default().remove = Some(called),
            _ => continue,
        }
        check_once(called)?;
        if let Some(other) = called.revision().and_then(|revision| revisions.insert(revision, called)) {
            return Err(format!("two calls were done in one revision: {other:?} and {called:?}"));
        }
    }
    for called in calls {
        if let (Call::List, Some((_, Reply::Members { revision, names }))) = (&called.call, &called.reply) {
            check_list(called, *revision, names, &members).map_err(|problem| format!("{problem}; {}", told(called)))?;
        }
    }
    Ok(())
}

/// Nobody else uses the name: who is told that it was there already has done it himself, and is told otherwise.
fn check_once(called: &Called) -> Result<(), String> {
    match (&called.call, &called.reply) {
        (Call::Add { name }, Some((_, Reply::Exists))) => Err(format!("{name} was added twice under one request id")),
        (Call::Remove { name }, Some((_, Reply::Absent))) => {
            Err(format!("{name} was removed twice under one request id, or was lost before"))
        }
        _ => Ok(()),
    }
}

fn check_list(
    list: &Called,
    revision: u64,
    names: &[String],
    members: &BTreeMap<&str, Member<'_>>,
) -> Result<(), String> {
    let listed: BTreeSet<&str> = names.iter().map(String::as_str).collect();
    if listed.len() < names.len() {
        return Err("the list names a member twice".to_owned());
    }
    if let Some(name) = listed.iter().find(|name| !members.contains_key(**name)) {
        return Err(format!("nobody added {name}"));
    }
    for (name, member) in members {
        let must = member.is_surely_there(list, revision);
        match (listed.contains(name), must) {
            (false, Some(true)) => return Err(format!("{name} is missing at revision {revision}")),
            (true, Some(false)) => return Err(format!("{name} is there at revision {revision}")),
            _ => {}
        }
    }
    Ok(())
}

impl Member<'_> {
    /// Whether it belongs to a list of this revision; none when nobody knows.
    fn is_surely_there(&self, list: &Called, revision: u64) -> Option<bool> {
        let add = has_happened(self.add?, list, revision);
        let remove = self.remove.map_or(Some(false), |remove| has_happened(remove, list, revision));
        match (add, remove) {
            (Some(false), _) | (_, Some(true)) => Some(false),
            (Some(true), Some(false)) => Some(true),
            _ => None,
        }
    }
}

/// Whether a call shows in a list: by its revision if it is known, else by what ended before what began.
fn has_happened(called: &Called, list: &Called, revision: u64) -> Option<bool> {
    match called.revision() {
        Some(done) => Some(done <= revision || called.ended_ns() < list.began_ns),
        None if called.began_ns > list.ended_ns() => Some(false),
        None => None,
    }
}

fn told(called: &Called) -> String {
    let Called { process, began_ns, .. } = called;
    format!("the list of process {process} that began at {began_ns} ns and ended at {} ns", called.ended_ns())
}

#[cfg(test)]
mod tests {
    use super::*;

    fn called(at: u64, call: Call, reply: Option<Reply>) -> Called {
        Called { process: at, call, began_ns: at, reply: reply.map(|reply| (at + 1, reply)) }
    }

    fn add(at: u64, name: &str, revision: Option<u64>) -> Called {
        called(at, Call::Add { name: name.into() }, revision.map(|revision| Reply::Done { revision }))
    }

    fn remove(at: u64, name: &str, revision: Option<u64>) -> Called {
        called(at, Call::Remove { name: name.into() }, revision.map(|revision| Reply::Done { revision }))
    }

    fn list(at: u64, revision: u64, names: &[&str]) -> Called {
        let names = names.iter().map(ToString::to_string).collect();
        called(at, Call::List, Some(Reply::Members { revision, names }))
    }

    fn problem(calls: &[Called]) -> String {
        match check(calls) {
            Verdict::Invalid(explanation) => explanation.problem,
            other => panic!("{other:?}"),
        }
    }

    #[test]
    fn a_set_that_behaves_is_good_and_unknown_calls_may_have_happened() {
        let before = [add(1, "a", Some(5)), add(3, "b", None), add(5, "c", Some(7)), remove(7, "a", Some(9))];
        for names in [["b", "c"].as_slice(), &["c"]] {
            let calls = [&before[..], &[list(10, 9, names)]].concat();
            assert!(check(&calls).is_valid(), "{names:?}");
        }
        let unknown = [add(1, "a", Some(5)), remove(3, "a", None), list(5, 5, &[]), list(7, 5, &["a"])];
        assert!(check(&unknown).is_valid());
    }

    #[test]
    fn what_is_lost_comes_back_or_was_never_there_is_noticed() {
        let a = add(1, "a", Some(5));
        assert!(problem(&[a.clone(), list(4, 6, &[])]).contains("a is missing"));
        assert!(problem(&[a.clone(), list(4, 4, &[])]).contains("a is missing"), "a stale list");
        assert!(problem(&[a.clone(), remove(4, "a", Some(6)), list(7, 6, &["a"])]).contains("a is there"));
        assert!(problem(&[list(1, 4, &["a"]), add(9, "a", Some(5))]).contains("a is there"), "before its time");
        assert!(problem(&[list(1, 4, &["x"])]).contains("nobody added x"));
        assert!(problem(&[a, list(4, 6, &["a", "a"])]).contains("twice"));
    }

    #[test]
    fn a_forgotten_request_id_is_noticed() {
        let again = called(1, Call::Add { name: "a".into() }, Some(Reply::Exists));
        assert!(problem(&[again]).contains("added twice"));
        let again = called(3, Call::Remove { name: "a".into() }, Some(Reply::Absent));
        assert!(problem(&[add(1, "a", Some(5)), again]).contains("removed twice"));
        assert!(problem(&[add(1, "a", Some(5)), add(1, "b", Some(5))]).contains("one revision"));
    }
}
