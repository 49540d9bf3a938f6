//! Linearizability by witness: the revisions that the registry told are taken for the order of all changes, and must
//! explain every answer. O(n log n), for whole runs.
//!
//! Checked: no revision stands for two changes; the order respects real time, over all objects; no read was made before
//! something that it must have seen, or after something that it cannot have seen; each object's changes follow one
//! another as they may; each answer shows the object as it was. Changes whose outcome nobody knows may fill a gap, each
//! at most once.

use std::collections::{BTreeMap, HashMap, HashSet};

use super::{Verdict, invalid};
use crate::history::{Action, Answer, Operation, Version};

/// What is known to have been so at a revision.
#[derive(Debug, Clone, Copy)]
enum Evidence<'a> {
    /// The object was changed.
    Change(&'a Operation),
    /// Somebody saw it.
    Seen(Version, &'a Operation),
    /// Somebody saw that it is not there.
    Absent(&'a Operation),
}

/// The judgement of a whole history.
#[must_use]
pub fn check(operations: &[Operation]) -> Verdict {
    match Judge::new(operations).and_then(|judge| judge.judge()) {
        Ok(()) => Verdict::Valid,
        Err(verdict) => verdict,
    }
}

struct Judge<'a> {
    operations: &'a [Operation],
    /// Every change whose revision is known, by it.
    changes: BTreeMap<u64, &'a Operation>,
    /// The revisions of each object's changes, ascending.
    by_key: HashMap<&'a str, Vec<u64>>,
    spares: HashMap<&'a str, Spares>,
    clock: RealTime,
}

impl<'a> Evidence<'a> {
    fn operation(&self) -> &'a Operation {
        match *self {
            Self::Change(operation) | Self::Seen(_, operation) | Self::Absent(operation) => operation,
        }
    }
}

impl<'a> Judge<'a> {
    fn new(operations: &'a [Operation]) -> Result<Self, Verdict> {
        let changes = known_changes(operations)?;
        let mut by_key: HashMap<&str, Vec<u64>> = HashMap::new();
        for (revision, operation) in &changes {
            by_key.entry(&operation.key).or_default().push(*revision);
        }
        let clock = RealTime::new(operations, &changes);
        let spares = Spares::by_key(operations, &changes);
        Ok(Self { operations, changes, by_key, spares, clock })
    }

    fn judge(&self) -> Result<(), Verdict> {
        self.check_order_of_changes()?;
        let mut evidence: HashMap<&str, Vec<(u64, Evidence)>> = HashMap::new();
        for (revision, operation) in &self.changes {
            evidence.entry(&operation.key).or_default().push((*revision, Evidence::Change(operation)));
        }
        for operation in self.operations {
            if let Some((at, seen)) = self.check_answer(operation)? {
                evidence.entry(&operation.key).or_default().push((at, seen));
            }
        }
        for (key, mut evidence) in evidence {
            // Stable: what was seen at a revision comes after the change of that revision.
            evidence.sort_by_key(|(at, _)| *at);
            self.walk(key, &evidence)?;
        }
        Ok(())
    }

    /// No change may come before one that had ended when it began.
    fn check_order_of_changes(&self) -> Result<(), Verdict> {
        let mut earliest_end: Option<&Operation> = None;
        for operation in self.changes.values().rev() {
            if let Some(later) = earliest_end.filter(|later| later.ended_ns() < operation.began_ns) {
                return Err(invalid(
                    "a change began after another had ended, and has the lower revision",
                    [later, *operation],
                ));
            }
            if earliest_end.is_none_or(|later| operation.ended_ns() < later.ended_ns()) {
                earliest_end = Some(operation);
            }
        }
        Ok(())
    }

    /// What an answer shows, and at which revision; an error when no revision can be that.
    fn check_answer(&self, operation: &'a Operation) -> Result<Option<(u64, Evidence<'a>)>, Verdict> {
        let Some(answer) = operation.answer() else { return Ok(None) };
        if !answer.fits(&operation.action) {
            return Err(invalid("that is no answer to what was asked", [operation]));
        }
        let (low, high) = self.clock.bounds(operation);
        match *answer {
            Answer::Changed { .. } => Ok(None),
            Answer::Read { found, at } if at > 0 => {
                if at < low {
                    return Err(invalid(format!("a read at {at} began when {low} had been told"), [operation]));
                }
                if at >= high {
                    return Err(invalid(format!("a read at {at} ended before {high} was begun"), [operation]));
                }
                match found {
                    Some(version) if version.revision > at => {
                        Err(invalid("a read saw what was changed after it", [operation]))
                    }
                    Some(version) => Ok(Some((at, Evidence::Seen(version, operation)))),
                    None => Ok(Some((at, Evidence::Absent(operation)))),
                }
            }
            Answer::Read { found: Some(Version { revision: current, .. }), .. }
            | Answer::Exists { current }
            | Answer::Conflict { current } => self.check_was_current(operation, current, low, high).map(|()| None),
            Answer::Read { found: None, .. } | Answer::Absent => {
                self.check_was_absent(operation, low, high).map(|()| None)
            }
        }
    }

    /// The object was at this revision at some moment of the operation.
    fn check_was_current(&self, operation: &Operation, current: u64, low: u64, high: u64) -> Result<(), Verdict> {
        let revisions = self.by_key.get(operation.key.as_str()).map_or(&[][..], Vec::as_slice);
        let Ok(at) = revisions.binary_search(&current) else {
            // Then it is a change whose outcome nobody knows, of this same object, and of no other.
            if !self.changes.contains_key(&current) && self.may_be_unknown(operation) {
                return Ok(());
            }
            return Err(invalid(format!("nobody changed {} at {current}", operation.key), [operation]));
        };
        let next = revisions.get(at + 1).copied().unwrap_or(u64::MAX);
        if current < high && next > low {
            return Ok(());
        }
        Err(invalid(format!("{} was at {current} only before or after that", operation.key), [operation]))
    }

    /// The object was not there at some moment of the operation.
    fn check_was_absent(&self, operation: &Operation, low: u64, high: u64) -> Result<(), Verdict> {
        let revisions = self.by_key.get(operation.key.as_str()).map_or(&[][..], Vec::as_slice);
        // Between the change before `low` and `high`: absent at the start, or after any delete within.
        let before = revisions.partition_point(|revision| *revision <= low);
        let absent_at_low = before == 0 || self.is_delete(revisions[before - 1]);
        let deleted_within = revisions[before..].iter().take_while(|at| **at < high).any(|at| self.is_delete(*at));
        if absent_at_low || deleted_within || self.may_be_unknown(operation) {
            return Ok(());
        }
        Err(invalid(format!("{} was there all the time", operation.key), [operation]))
    }

    fn is_delete(&self, revision: u64) -> bool {
        self.changes.get(&revision).is_some_and(|operation| operation.action == Action::Delete)
    }

    /// Whether some change of the object whose outcome nobody knows had begun by then.
    fn may_be_unknown(&self, operation: &Operation) -> bool {
        self.clock.unknown.get(&operation.key).is_some_and(|began| *began < operation.ended_ns())
    }

    /// One object's life, in the order of revisions.
    fn walk(&self, key: &str, evidence: &[(u64, Evidence<'a>)]) -> Result<(), Verdict> {
        let mut spares = self.spares.get(key).cloned().unwrap_or_default();
        let deadlines = deadlines(evidence);
        let mut state: Option<Version> = None;
        let mut last: Option<&Operation> = None;
        for ((revision, evidence), deadline) in evidence.iter().zip(deadlines) {
            let operation = evidence.operation();
            let fits = match *evidence {
                Evidence::Seen(version, _) => state == Some(version),
                Evidence::Absent(_) => state.is_none() || Spares::take(&mut spares.deletes, deadline),
                Evidence::Change(_) => match operation.action {
                    Action::Create { .. } => state.is_none() || Spares::take(&mut spares.deletes, deadline),
                    Action::Cas { from, .. } => state.is_some_and(|version| version.revision == from),
                    Action::Write { .. } | Action::Delete => {
                        state.is_some() || Spares::take(&mut spares.creates, deadline)
                    }
                    Action::Read => false,
                },
            };
            if !fits {
                let problem =
                    format!("{key} at {revision}: the answer does not follow from what was before, {state:?}");
                return Err(invalid(problem, last.into_iter().chain([operation])));
            }
            state = match *evidence {
                Evidence::Seen(..) => state,
                Evidence::Absent(_) => None,
                Evidence::Change(_) => value_of(&operation.action).map(|value| Version { value, revision: *revision }),
            };
            last = Some(operation);
        }
        Ok(())
    }
}

fn value_of(action: &Action) -> Option<u64> {
    match *action {
        Action::Create { value } | Action::Cas { value, .. } | Action::Write { value } => Some(value),
        Action::Read | Action::Delete => None,
    }
}

/// Changes whose revision was told to who made them, or to who saw their value.
fn known_changes(operations: &[Operation]) -> Result<BTreeMap<u64, &Operation>, Verdict> {
    let mut changes: BTreeMap<u64, &Operation> = BTreeMap::new();
    let mut add = |revision: u64, operation| match changes.insert(revision, operation) {
        Some(other) if !std::ptr::eq(other, operation) => {
            Err(invalid(format!("revision {revision} stands for two changes"), [other, operation]))
        }
        _ => Ok(()),
    };
    let mut writers: HashMap<(&str, u64), &Operation> = HashMap::new();
    for operation in operations {
        if let Some(value) = value_of(&operation.action) {
            writers.insert((&operation.key, value), operation);
        }
        if let Some(Answer::Changed { revision }) = operation.answer() {
            add(*revision, operation)?;
        }
    }
    for operation in operations {
        let Some(Answer::Read { found: Some(version), .. }) = operation.answer() else { continue };
        let Some(writer) = writers.get(&(operation.key.as_str(), version.value)) else {
            return Err(invalid(format!("nobody wrote the value {}", version.value), [operation]));
        };
        match writer.answer() {
            Some(Answer::Changed { revision }) if *revision == version.revision => {}
            None => add(version.revision, writer)?,
            Some(_) => {
                let problem = format!("the value {} was not written at {}", version.value, version.revision);
                return Err(invalid(problem, [*writer, operation]));
            }
        }
    }
    Ok(changes)
}

/// Which revisions an operation must and can have seen, by its begin and end.
struct RealTime {
    /// By end: the highest revision told until then.
    told: Vec<(u64, u64)>,
    /// By begin, backwards: the lowest revision of what began from then on.
    begun: Vec<(u64, u64)>,
    /// When the first change of each object whose outcome nobody knows began.
    unknown: HashMap<String, u64>,
}

impl RealTime {
    fn new(operations: &[Operation], changes: &BTreeMap<u64, &Operation>) -> Self {
        let mut told: Vec<(u64, u64)> = operations
            .iter()
            .filter_map(|operation| match operation.answer()? {
                Answer::Changed { revision } => Some((operation.ended_ns(), *revision)),
                Answer::Read { found, at } => {
                    let seen = found.map_or(0, |version| version.revision);
                    Some((operation.ended_ns(), seen.max(*at)))
                }
                Answer::Exists { current } | Answer::Conflict { current } => Some((operation.ended_ns(), *current)),
                Answer::Absent => None,
            })
            .collect();
        told.sort_unstable();
        let mut highest = 0;
        for (_, revision) in &mut told {
            highest = highest.max(*revision);
            *revision = highest;
        }
        let mut begun: Vec<(u64, u64)> =
            changes.iter().map(|(revision, change)| (change.began_ns, *revision)).collect();
        begun.sort_unstable();
        let mut lowest = u64::MAX;
        for (_, revision) in begun.iter_mut().rev() {
            lowest = lowest.min(*revision);
            *revision = lowest;
        }
        let mut unknown: HashMap<String, u64> = HashMap::new();
        for operation in operations.iter().filter(|operation| operation.answer().is_none()) {
            if operation.action != Action::Read {
                let began = unknown.entry(operation.key.clone()).or_insert(operation.began_ns);
                *began = operation.began_ns.min(*began);
            }
        }
        Self { told, begun, unknown }
    }

    /// What it saw is at least the first and below the second.
    fn bounds(&self, operation: &Operation) -> (u64, u64) {
        let told = self.told.partition_point(|(ended, _)| *ended < operation.began_ns);
        let begun = self.begun.partition_point(|(began, _)| *began <= operation.ended_ns());
        let low = told.checked_sub(1).map_or(0, |last| self.told[last].1);
        (low, self.begun.get(begun).map_or(u64::MAX, |(_, revision)| *revision))
    }
}

/// When changes began whose outcome nobody knows and whose effect nobody saw: they may fill the gaps of one object's
/// life, each once.
#[derive(Debug, Clone, Default)]
struct Spares {
    deletes: Vec<u64>,
    creates: Vec<u64>,
}

impl Spares {
    fn by_key<'a>(operations: &'a [Operation], changes: &BTreeMap<u64, &Operation>) -> HashMap<&'a str, Self> {
        let seen: HashSet<*const Operation> = changes.values().map(|change| std::ptr::from_ref(*change)).collect();
        let mut by_key: HashMap<&str, Self> = HashMap::new();
        let unseen =
            |operation: &&Operation| operation.answer().is_none() && !seen.contains(&std::ptr::from_ref(*operation));
        for operation in operations.iter().filter(unseen) {
            let spares = by_key.entry(&operation.key).or_default();
            match operation.action {
                Action::Delete => spares.deletes.push(operation.began_ns),
                Action::Create { .. } => spares.creates.push(operation.began_ns),
                Action::Read | Action::Cas { .. } | Action::Write { .. } => {}
            }
        }
        for spares in by_key.values_mut() {
            spares.deletes.sort_unstable_by(|a, b| b.cmp(a));
            spares.creates.sort_unstable_by(|a, b| b.cmp(a));
        }
        by_key
    }

    /// One fills a gap if it began before anything after the gap had ended. Deadlines only grow from gap to gap, so to
    /// take the one that began first is always right.
    fn take(began: &mut Vec<u64>, deadline: u64) -> bool {
        if began.last().is_some_and(|began| *began < deadline) { began.pop().is_some() } else { false }
    }
}

/// For each piece of evidence: the first end of it and of all that follows.
fn deadlines(evidence: &[(u64, Evidence<'_>)]) -> Vec<u64> {
    let mut first = u64::MAX;
    let mut deadlines: Vec<u64> = evidence
        .iter()
        .rev()
        .map(|(_, evidence)| {
            first = first.min(evidence.operation().ended_ns());
            first
        })
        .collect();
    deadlines.reverse();
    deadlines
}
