//! Who waits and who is next: fair between levels, and within a level between subjects. Knows no time and no task.

use std::{
    collections::{HashMap, VecDeque},
    hash::{BuildHasher, RandomState},
};

/// Who comes before whom when there are not enough places.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum Level {
    /// The cluster itself: always next.
    System,
    /// Agents of nodes: before users, but every fourth place goes to a user who waits.
    Nodes,
    /// Everybody else.
    Users,
    /// What makes room, whoever asks: it has places of its own besides.
    Deletes,
}

impl Level {
    /// All of them.
    pub const ALL: [Self; 4] = [Self::System, Self::Nodes, Self::Users, Self::Deletes];

    /// As metrics name it.
    #[must_use]
    pub fn as_str(self) -> &'static str {
        match self {
            Self::System => "system",
            Self::Nodes => "nodes",
            Self::Users => "users",
            Self::Deletes => "deletes",
        }
    }
}

/// Places given to nodes in a row while a user waits.
const NODES_IN_A_ROW_MAX: u32 = 3;
/// Subjects are counted by the hash of their id: a bounded table instead of one that grows with its callers.
const SHARDS: usize = 256;

/// How much there is of everything.
#[derive(Debug, Clone, Copy)]
pub struct Bounds {
    /// Places.
    pub in_flight_max: usize,
    /// Of those, for one subject at most: the rest is there at once for whoever else comes.
    pub in_flight_per_subject_max: usize,
    /// Further places, for deletes alone.
    pub deletes_reserved: usize,
    /// Calls of one level that wait.
    pub queued_max: usize,
    /// Of those, of one subject.
    pub queued_per_subject_max: usize,
}

/// Where a call counts while it has its turn.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Seat {
    /// An ordinary place of this shard.
    Shared(usize),
    /// One of those for deletes.
    Reserved,
}

/// What becomes of a call that arrives.
#[derive(Debug, PartialEq, Eq)]
pub(super) enum Arrival<T> {
    /// It has its turn now.
    Go(Seat, T),
    /// It waits; if it took the place of another in the queue, that one is refused.
    Waits { evicted: Option<T> },
    /// There is no room, also not to wait.
    Refused(T),
}

struct Flow<T> {
    waiting: VecDeque<(u64, T)>,
    shard: usize,
}

/// Subjects of one level, in the order of their turns.
struct Flows<T> {
    by_subject: HashMap<String, Flow<T>>,
    turns: VecDeque<String>,
    waiting: usize,
}

impl<T> Default for Flows<T> {
    fn default() -> Self {
        Self { by_subject: HashMap::new(), turns: VecDeque::new(), waiting: 0 }
    }
}

/// Calls in their turn and calls that wait. `T` is whatever wakes a call.
pub(super) struct Queue<T> {
    bounds: Bounds,
    hasher: RandomState,
    in_flight: usize,
    reserved: usize,
    by_shard: Box<[usize; SHARDS]>,
    levels: [Flows<T>; 4],
    nodes_in_a_row: u32,
}

impl<T> Queue<T> {
    pub(super) fn new(bounds: Bounds) -> Self {
        Self {
            bounds,
            hasher: RandomState::new(),
            in_flight: 0,
            reserved: 0,
            by_shard: Box::new([0; SHARDS]),
            levels: [Flows::default(), Flows::default(), Flows::default(), Flows::default()],
            nodes_in_a_row: 0,
        }
    }

    pub(super) fn waiting(&self, level: Level) -> usize {
        self.levels[level as usize].waiting
    }

    /// A call comes; `ticket` must be unique among those that wait.
    pub(super) fn arrive(&mut self, level: Level, subject: &str, ticket: u64, wake: T) -> Arrival<T> {
        let shard = self.shard(subject);
        // Nobody overtakes who waits; who waits although there are places has all that one subject may have.
        if self.has_place(shard) && self.nobody_waits(level, subject) {
            return Arrival::Go(self.sit(shard), wake);
        }
        if level == Level::Deletes && self.has_reserve() && self.levels[level as usize].waiting == 0 {
            self.reserved += 1;
            return Arrival::Go(Seat::Reserved, wake);
        }
        let bounds = self.bounds;
        let flows = &mut self.levels[level as usize];
        let own = flows.by_subject.get(subject).map_or(0, |flow| flow.waiting.len());
        if own >= bounds.queued_per_subject_max {
            return Arrival::Refused(wake);
        }
        let mut evicted = None;
        if flows.waiting >= bounds.queued_max {
            match flows.shorten_longest(own) {
                Some(longest) => evicted = Some(longest),
                None => return Arrival::Refused(wake),
            }
        }
        flows.push(subject, shard, ticket, wake);
        Arrival::Waits { evicted }
    }

    /// A call ends; whoever is next has its turn now.
    pub(super) fn leave(&mut self, seat: Seat) -> Option<(Level, Seat, T)> {
        match seat {
            Seat::Shared(shard) => {
                self.in_flight -= 1;
                self.by_shard[shard] -= 1;
                self.next()
            }
            Seat::Reserved => {
                self.reserved -= 1;
                let (_, wake) = self.levels[Level::Deletes as usize].pop(|_| true)?;
                self.reserved += 1;
                Some((Level::Deletes, Seat::Reserved, wake))
            }
        }
    }

    /// A call that waits goes away; `false` when it does not wait any more.
    pub(super) fn cancel(&mut self, level: Level, subject: &str, ticket: u64) -> bool {
        self.levels[level as usize].remove(subject, ticket)
    }

    fn next(&mut self) -> Option<(Level, Seat, T)> {
        if self.in_flight >= self.bounds.in_flight_max {
            return None;
        }
        for level in self.order() {
            let (by_shard, max) = (&self.by_shard, self.bounds.in_flight_per_subject_max);
            let Some((shard, wake)) = self.levels[level as usize].pop(|shard| by_shard[shard] < max) else { continue };
            self.nodes_in_a_row = if level == Level::Nodes { self.nodes_in_a_row + 1 } else { 0 };
            return Some((level, self.sit(shard), wake));
        }
        None
    }

    fn order(&self) -> [Level; 4] {
        if self.nodes_in_a_row < NODES_IN_A_ROW_MAX {
            [Level::System, Level::Nodes, Level::Users, Level::Deletes]
        } else {
            [Level::System, Level::Users, Level::Nodes, Level::Deletes]
        }
    }

    fn has_place(&self, shard: usize) -> bool {
        self.in_flight < self.bounds.in_flight_max && self.by_shard[shard] < self.bounds.in_flight_per_subject_max
    }

    fn has_reserve(&self) -> bool {
        self.reserved < self.bounds.deletes_reserved
    }

    fn nobody_waits(&self, level: Level, subject: &str) -> bool {
        !self.levels[level as usize].by_subject.contains_key(subject)
    }

    fn sit(&mut self, shard: usize) -> Seat {
        self.in_flight += 1;
        self.by_shard[shard] += 1;
        Seat::Shared(shard)
    }

    fn shard(&self, subject: &str) -> usize {
        // The remainder is below SHARDS, which is a usize.
        usize::try_from(self.hasher.hash_one(subject) % SHARDS as u64).unwrap_or_default()
    }
}

impl<T> Flows<T> {
    fn push(&mut self, subject: &str, shard: usize, ticket: u64, wake: T) {
        if !self.by_subject.contains_key(subject) {
            self.turns.push_back(subject.to_owned());
            self.by_subject.insert(subject.to_owned(), Flow { waiting: VecDeque::new(), shard });
        }
        if let Some(flow) = self.by_subject.get_mut(subject) {
            flow.waiting.push_back((ticket, wake));
            self.waiting += 1;
        }
    }

    /// The oldest call of the first subject in turn whose shard `may` go on; that subject goes to the end of the line.
    fn pop(&mut self, may: impl Fn(usize) -> bool) -> Option<(usize, T)> {
        let by_subject = &self.by_subject;
        let free = |subject: &String| by_subject.get(subject).is_some_and(|flow| may(flow.shard));
        let subject = self.turns.remove(self.turns.iter().position(free)?)?;
        let flow = self.by_subject.get_mut(&subject)?;
        let (shard, (_, wake)) = (flow.shard, flow.waiting.pop_front()?);
        if flow.waiting.is_empty() {
            self.by_subject.remove(&subject);
        } else {
            self.turns.push_back(subject);
        }
        self.waiting -= 1;
        Some((shard, wake))
    }

    fn remove(&mut self, subject: &str, ticket: u64) -> bool {
        let Some(flow) = self.by_subject.get_mut(subject) else { return false };
        let Some(at) = flow.waiting.iter().position(|(other, _)| *other == ticket) else { return false };
        flow.waiting.remove(at);
        self.waiting -= 1;
        self.forget_if_empty(subject);
        true
    }

    /// The newest call of the subject with the most of them, if those are more than `own` and one.
    fn shorten_longest(&mut self, own: usize) -> Option<T> {
        let longest = self.by_subject.iter().max_by_key(|(_, flow)| flow.waiting.len());
        let subject = longest.filter(|(_, flow)| flow.waiting.len() > own + 1).map(|(subject, _)| subject.clone())?;
        let (_, wake) = self.by_subject.get_mut(&subject)?.waiting.pop_back()?;
        self.waiting -= 1;
        self.forget_if_empty(&subject);
        Some(wake)
    }

    fn forget_if_empty(&mut self, subject: &str) {
        if self.by_subject.get(subject).is_some_and(|flow| flow.waiting.is_empty()) {
            self.by_subject.remove(subject);
            self.turns.retain(|other| other != subject);
        }
    }
}

#[cfg(test)]
#[path = "queue_tests.rs"]
mod tests;
