//! Linearizability by search, one object at a time: tries to put its operations into an order that real time allows and
//! that explains every answer (Wing and Gong, with Lowe's memory of what was tried). Operations of unknown outcome may
//! take effect at any time after they began, or never. Believes no revision but as the name of a version.

use std::{
    collections::{BTreeMap, HashMap, HashSet},
    hash::{BuildHasher, RandomState},
};

use super::{Explanation, Verdict, invalid};
use crate::history::{Action, Answer, Operation};

/// How much to try. In steps, not in time, so that a verdict does not depend on the machine.
#[derive(Debug, Clone, Copy)]
pub struct Budget {
    /// For one object; some ten million are a second.
    pub steps: u64,
}

impl Default for Budget {
    fn default() -> Self {
        Self { steps: 200_000_000 }
    }
}

/// Operations of the longest explained order that an explanation shows.
const SHOWN: usize = 12;

/// The judgement of a whole history.
#[must_use]
pub fn check(operations: &[Operation], budget: Budget) -> Verdict {
    let mut by_key: BTreeMap<&str, Vec<&Operation>> = BTreeMap::new();
    for operation in operations {
        by_key.entry(&operation.key).or_default().push(operation);
    }
    let verdicts = by_key.values().map(|operations| check_object(operations, budget));
    verdicts.fold(Verdict::Valid, Verdict::and)
}

fn check_object(operations: &[&Operation], budget: Budget) -> Verdict {
    let revisions = match Revisions::new(operations) {
        Ok(revisions) => revisions,
        Err(verdict) => return verdict,
    };
    // A read without an answer changes nothing and shows nothing.
    let useful: Vec<&Operation> = operations
        .iter()
        .filter(|operation| operation.answer().is_some() || operation.action != Action::Read)
        .copied()
        .collect();
    Search::new(&useful, &revisions).run(budget)
}

/// At which revision each value was written, as far as anybody was told.
struct Revisions(HashMap<u64, u64>);

impl Revisions {
    fn new(operations: &[&Operation]) -> Result<Self, Verdict> {
        let mut known: HashMap<u64, u64> = HashMap::new();
        for operation in operations {
            let told = match (operation.answer(), &operation.action) {
                (
                    Some(Answer::Changed { revision }),
                    Action::Create { value } | Action::Cas { value, .. } | Action::Write { value },
                ) => (*value, *revision),
                (Some(Answer::Read { found: Some(version), .. }), _) => (version.value, version.revision),
                _ => continue,
            };
            if known.insert(told.0, told.1).is_some_and(|before| before != told.1) {
                return Err(invalid(format!("the value {} has two revisions", told.0), [*operation]));
            }
        }
        Ok(Self(known))
    }

    /// Whether the object's version can be the one of this revision. Of a value that nobody saw, no revision is known.
    fn may_be(&self, value: u64, revision: u64) -> bool {
        self.0.get(&value).is_none_or(|known| *known == revision)
    }

    fn is(&self, value: u64, revision: u64) -> bool {
        self.0.get(&value) == Some(&revision)
    }

    /// The state after the operation, if it can have been done in this one with this answer. `None` is no object.
    fn step(&self, state: Option<u64>, operation: &Operation) -> Option<Option<u64>> {
        let Some(answer) = operation.answer() else { return self.effect(state, &operation.action) };
        match (answer, &operation.action) {
            (Answer::Changed { .. }, action) => self.effect(state, action),
            (Answer::Read { found, .. }, Action::Read) => {
                (state == found.map(|version| version.value)).then_some(state)
            }
            (Answer::Exists { current }, Action::Create { .. }) => {
                state.is_some_and(|value| self.may_be(value, *current)).then_some(state)
            }
            (Answer::Conflict { current }, Action::Cas { from, .. }) => {
                state.is_some_and(|value| from != current && self.may_be(value, *current)).then_some(state)
            }
            (Answer::Absent, Action::Cas { .. } | Action::Write { .. } | Action::Delete) => {
                state.is_none().then_some(state)
            }
            _ => None,
        }
    }

    fn effect(&self, state: Option<u64>, action: &Action) -> Option<Option<u64>> {
        match *action {
            Action::Create { value } => state.is_none().then_some(Some(value)),
            Action::Cas { from, value } => state.filter(|now| self.is(*now, from)).map(|_| Some(value)),
            Action::Write { value } => state.map(|_| Some(value)),
            Action::Delete => state.map(|_| None),
            Action::Read => None,
        }
    }
}

/// A begin or an end, linked to its neighbours among those that are left.
#[derive(Clone, Copy)]
struct Entry {
    operation: usize,
    is_end: bool,
    before: usize,
    after: usize,
}

struct Search<'a> {
    operations: &'a [&'a Operation],
    revisions: &'a Revisions,
    /// Entry 0 stands before all others; the last one behind them.
    entries: Vec<Entry>,
    begin_of: Vec<usize>,
    end_of: Vec<Option<usize>>,
    done: Vec<u64>,
    answered_left: usize,
    tried: HashSet<(Option<u64>, u64, u64)>,
    hashers: [RandomState; 2],
}

impl<'a> Search<'a> {
    fn new(operations: &'a [&'a Operation], revisions: &'a Revisions) -> Self {
        let mut times: Vec<(u64, bool, usize)> = Vec::with_capacity(operations.len() * 2);
        for (number, operation) in operations.iter().enumerate() {
            times.push((operation.began_ns, false, number));
            if operation.answer().is_some() {
                times.push((operation.ended_ns(), true, number));
            }
        }
        // What begins at the moment in which another ends is concurrent with it: `false` sorts first.
        times.sort_unstable();
        let last = times.len() + 1;
        let mut entries = vec![Entry { operation: usize::MAX, is_end: false, before: 0, after: 1 }];
        let (mut begin_of, mut end_of) = (vec![0; operations.len()], vec![None; operations.len()]);
        for (at, (_, is_end, operation)) in (1..).zip(times) {
            entries.push(Entry { operation, is_end, before: at - 1, after: at + 1 });
            if is_end { end_of[operation] = Some(at) } else { begin_of[operation] = at }
        }
        entries.push(Entry { operation: usize::MAX, is_end: true, before: last - 1, after: last });
        let answered_left = operations.iter().filter(|operation| operation.answer().is_some()).count();
        let done = vec![0; operations.len().div_ceil(64)];
        let hashers = [RandomState::new(), RandomState::new()];
        Self { operations, revisions, entries, begin_of, end_of, done, answered_left, tried: HashSet::new(), hashers }
    }

    fn run(mut self, budget: Budget) -> Verdict {
        let mut order: Vec<(usize, Option<u64>)> = Vec::new();
        let mut longest: Vec<usize> = Vec::new();
        let mut stuck_at = None;
        let mut state = None;
        let mut at = self.entries[0].after;
        let mut steps = 0;
        while self.answered_left > 0 {
            steps += 1;
            if steps > budget.steps {
                return Verdict::Unknown(format!("gave up on {} after {steps} steps", self.operations[0].key));
            }
            let entry = self.entries[at];
            if !entry.is_end {
                let next = self.revisions.step(state, self.operations[entry.operation]);
                if let Some(next) = next.filter(|next| self.is_new(entry.operation, *next)) {
                    order.push((entry.operation, state));
                    state = next;
                    self.take_out(entry.operation);
                    at = self.entries[0].after;
                } else {
                    at = entry.after;
                }
                continue;
            }
            // An operation has ended that found no place: something before it stands wrongly.
            if order.len() > longest.len() || stuck_at.is_none() {
                longest = order.iter().map(|(operation, _)| *operation).collect();
                stuck_at = self.operations.get(entry.operation).copied();
            }
            let Some((operation, before)) = order.pop() else { return self.explain(&longest, stuck_at) };
            state = before;
            self.put_back(operation);
            at = self.entries[self.begin_of[operation]].after;
        }
        Verdict::Valid
    }

    fn explain(&self, longest: &[usize], stuck_at: Option<&Operation>) -> Verdict {
        let shown = &longest[longest.len().saturating_sub(SHOWN)..];
        let key = &self.operations[0].key;
        let problem = format!(
            "no order of the operations on {key} explains their answers; {} of {} can be explained, and the last one \
             shown cannot follow",
            longest.len(),
            self.operations.len()
        );
        let operations = shown.iter().map(|number| self.operations[*number]).chain(stuck_at).cloned().collect();
        Verdict::Invalid(Explanation { problem, operations })
    }

    /// Whether this set of done operations with this state was not tried before. Sets are told apart by two hashes.
    fn is_new(&mut self, operation: usize, state: Option<u64>) -> bool {
        self.flip(operation);
        let [first, second] = [0, 1].map(|which| self.hashers[which].hash_one(&self.done));
        self.flip(operation);
        self.tried.insert((state, first, second))
    }

    fn flip(&mut self, operation: usize) {
        self.done[operation / 64] ^= 1 << (operation % 64);
    }

    fn take_out(&mut self, operation: usize) {
        self.flip(operation);
        self.unlink(self.begin_of[operation]);
        if let Some(end) = self.end_of[operation] {
            self.unlink(end);
            self.answered_left -= 1;
        }
    }

    fn put_back(&mut self, operation: usize) {
        self.flip(operation);
        if let Some(end) = self.end_of[operation] {
            self.link(end);
            self.answered_left += 1;
        }
        self.link(self.begin_of[operation]);
    }

    fn unlink(&mut self, at: usize) {
        let Entry { before, after, .. } = self.entries[at];
        self.entries[before].after = after;
        self.entries[after].before = before;
    }

    fn link(&mut self, at: usize) {
        let Entry { before, after, .. } = self.entries[at];
        self.entries[before].after = at;
        self.entries[after].before = at;
    }
}
