//! What the log holds, in memory: where each entry lies, the latest entries themselves, vote and marks.
//! Pure: knows no file and no thread.

use std::collections::VecDeque;

use openraft::EntryPayload;

use super::record::Summary;
use crate::types::{Entry, LogId, Vote};

/// What a cached entry weighs beside its bytes: the decoded command and the slots around it.
const ENTRY_OVERHEAD_BYTES: usize = 256;
/// What an operation weighs beside its bytes: about 350 for itself, 400 for an object of a small kind, a node of 550 for each
/// map that is not empty, and its caller. An estimate: the allocator is not asked.
const OPERATION_OVERHEAD_BYTES: usize = 1_536;

/// Where the frame of an entry lies on disk.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Place {
    /// First sequence of the segment, which is its name.
    pub(super) segment: u64,
    pub(super) offset: u64,
    pub(super) frame_bytes: u32,
}

#[derive(Debug, Clone, Copy)]
struct Slot {
    term: u64,
    /// Unset until the entry is durable.
    place: Option<Place>,
}

/// One entry of a read: at hand, or to be fetched.
#[derive(Debug, Clone)]
pub(super) enum Found {
    Cached(Entry),
    OnDisk(LogId, Place),
}

/// An entry that does not follow the last one.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[error("entry {found} does not follow the last one, {expected} does")]
pub(super) struct Hole {
    pub(super) found: u64,
    pub(super) expected: u64,
}

/// See the file's head.
#[derive(Debug, Default)]
pub(super) struct Index {
    pub(super) vote: Option<Vote>,
    pub(super) committed: Option<LogId>,
    purged: Option<LogId>,
    last: Option<LogId>,
    /// Index of the first slot.
    first: u64,
    slots: VecDeque<Slot>,
    /// The latest entries; ends where the slots end.
    cache: VecDeque<Entry>,
    cache_bytes: usize,
    cache_bytes_max: usize,
}

impl Index {
    pub(super) fn new(cache_bytes_max: usize) -> Self {
        Self { cache_bytes_max, ..Self::default() }
    }

    pub(super) fn purged(&self) -> Option<LogId> {
        self.purged
    }

    pub(super) fn last(&self) -> Option<LogId> {
        self.last
    }

    /// Whether this very entry is here, or was until a snapshot took its place.
    pub(super) fn holds(&self, id: LogId) -> bool {
        if self.purged.is_some_and(|purged| id.index <= purged.index) {
            return true;
        }
        let at = id.index.checked_sub(self.first).and_then(|at| usize::try_from(at).ok());
        // A term has one leader, and that one gives an index to one entry only.
        at.and_then(|at| self.slots.get(at)).is_some_and(|slot| slot.term == id.leader_id.term)
    }

    /// Index of the first entry that is held.
    #[cfg(test)]
    pub(super) fn first(&self) -> u64 {
        self.first
    }

    /// What a new segment opens with.
    pub(super) fn summary(&self) -> Summary {
        Summary { vote: self.vote, committed: self.committed, purged: self.purged, last: self.last }
    }

    /// Starts from the summary that opens the oldest segment.
    pub(super) fn begin(&mut self, summary: Summary) {
        self.vote = summary.vote;
        self.committed = summary.committed;
        self.purged = summary.purged;
        self.last = summary.last;
        self.first = next(summary.last);
    }

    /// A new entry, not durable yet.
    pub(super) fn append(&mut self, entry: Entry) -> Result<(), Hole> {
        self.push(entry.log_id, None)?;
        self.cache_bytes += weight(&entry);
        self.cache.push_back(entry);
        Ok(())
    }

    /// An entry that was found on disk.
    pub(super) fn append_found(&mut self, id: LogId, place: Place) -> Result<(), Hole> {
        self.push(id, Some(place))
    }

    fn push(&mut self, id: LogId, place: Option<Place>) -> Result<(), Hole> {
        // The first entry ever may have any index: the one that forms the cluster has 0, tests begin elsewhere.
        let expected = next(self.last);
        if id.index != expected && (self.last.is_some() || self.purged.is_some()) {
            return Err(Hole { found: id.index, expected });
        }
        if self.slots.is_empty() {
            self.first = id.index;
        }
        self.slots.push_back(Slot { term: id.leader_id.term, place });
        self.last = Some(id);
        Ok(())
    }

    /// Forgets every entry after `keep`. Returns what is the last entry then; `None` when nothing is after `keep`.
    pub(super) fn truncate_after(&mut self, keep: Option<LogId>) -> Option<Option<LogId>> {
        let keep = keep.max(self.purged);
        if next(keep) >= next(self.last) {
            return None;
        }
        let end = next(keep);
        while self.end() > end && self.slots.pop_back().is_some() {
            if let Some(entry) = self.cache.pop_back() {
                self.cache_bytes -= weight(&entry);
            }
        }
        self.last = keep;
        if self.slots.is_empty() {
            self.first = end;
        }
        Some(keep)
    }

    /// Forgets every entry up to and including `upto`.
    pub(super) fn purge(&mut self, upto: LogId) {
        let first = upto.index + 1;
        while self.first < first && self.slots.pop_front().is_some() {
            self.first += 1;
        }
        self.first = self.first.max(first);
        while self.cache.front().is_some_and(|entry| entry.log_id.index < self.first) {
            self.pop_cached();
        }
        self.purged = self.purged.max(Some(upto));
        if self.last.is_none_or(|last| last.index < upto.index) {
            self.last = Some(upto);
        }
    }

    /// The entry is durable now. Says nothing of an entry that was cut off in the meantime.
    pub(super) fn place(&mut self, id: LogId, place: Place) {
        let Some(at) = id.index.checked_sub(self.first) else { return };
        let Ok(at) = usize::try_from(at) else { return };
        if let Some(slot) = self.slots.get_mut(at).filter(|slot| slot.term == id.leader_id.term) {
            slot.place = Some(place);
        }
    }

    /// Lets go of the oldest cached entries that can be read from disk, down to the bound.
    pub(super) fn evict(&mut self) {
        while self.cache_bytes > self.cache_bytes_max {
            let at = self.slots.len() - self.cache.len();
            if self.slots.get(at).is_none_or(|slot| slot.place.is_none()) {
                return;
            }
            self.pop_cached();
        }
    }

    /// The oldest segment that a held entry lies in.
    pub(super) fn oldest_segment(&self) -> Option<u64> {
        // Entries lie in the order of their indexes, but a cut and rewritten one lies later; the first is the oldest.
        self.slots.iter().find_map(|slot| slot.place).map(|place| place.segment)
    }

    /// The entries of `start..end` that are held, oldest first, up to about `bytes_max` but at least one.
    pub(super) fn read(&self, start: u64, end: u64, bytes_max: usize) -> Vec<Found> {
        let mut found = Vec::new();
        let mut bytes = 0;
        for index in start.max(self.first)..end.min(self.end()) {
            let item = self.find(index);
            bytes += match &item {
                Found::Cached(entry) => weight(entry),
                Found::OnDisk(_, place) => place.frame_bytes as usize + ENTRY_OVERHEAD_BYTES,
            };
            if bytes > bytes_max && !found.is_empty() {
                break;
            }
            found.push(item);
        }
        found
    }

    /// The greatest index up to which entries may go so that at most `entries` and `bytes` of those up to `upto` stay.
    pub(super) fn purge_bound(&self, upto: u64, entries: u64, bytes: u64) -> Option<u64> {
        let mut kept_bytes = 0;
        let mut index = upto.min(self.end().checked_sub(1)?);
        let mut kept = 0;
        while index >= self.first {
            let at = usize::try_from(index - self.first).ok()?;
            kept_bytes += self.slots.get(at)?.place.map_or(0, |place| u64::from(place.frame_bytes));
            if kept >= entries || kept_bytes > bytes {
                return Some(index);
            }
            kept += 1;
            index = index.checked_sub(1)?;
        }
        None
    }

    /// Bytes on disk of the entries after `index`.
    pub(super) fn bytes_after(&self, index: u64) -> u64 {
        let skip = usize::try_from((index + 1).saturating_sub(self.first)).unwrap_or(usize::MAX);
        let places = self.slots.iter().skip(skip).filter_map(|slot| slot.place);
        places.map(|place| u64::from(place.frame_bytes)).sum()
    }

    /// Index after the last entry.
    pub(super) fn end(&self) -> u64 {
        self.first + self.slots.len() as u64
    }

    #[cfg(test)]
    pub(super) fn cached(&self) -> usize {
        self.cache.len()
    }

    fn find(&self, index: u64) -> Found {
        let at = usize::try_from(index - self.first).expect("a held entry's position fits");
        let uncached = self.slots.len() - self.cache.len();
        let slot = self.slots[at];
        match (at.checked_sub(uncached).and_then(|at| self.cache.get(at)), slot.place) {
            (Some(entry), _) => Found::Cached(entry.clone()),
            (None, Some(place)) => Found::OnDisk(LogId::new_term_index(slot.term, index), place),
            (None, None) => unreachable!("an entry leaves the cache only when it has a place"),
        }
    }

    fn pop_cached(&mut self) {
        if let Some(entry) = self.cache.pop_front() {
            self.cache_bytes -= weight(&entry);
        }
    }
}

fn next(id: Option<LogId>) -> u64 {
    id.map_or(0, |id| id.index + 1)
}

/// The bytes of a command count twice, once encoded and once decoded, with what is around each of its operations.
fn weight(entry: &Entry) -> usize {
    let bytes = match &entry.payload {
        EntryPayload::Normal(proposal) => {
            2 * proposal.encoded().len() + proposal.command().operations.len() * OPERATION_OVERHEAD_BYTES
        }
        EntryPayload::Blank | EntryPayload::Membership(_) => 0,
    };
    bytes + ENTRY_OVERHEAD_BYTES
}

#[cfg(test)]
mod tests {
    use super::*;

    fn id(index: u64) -> LogId {
        LogId::new_term_index(1, index)
    }

    fn entry(index: u64) -> Entry {
        Entry { log_id: id(index), payload: EntryPayload::Blank }
    }

    fn place(offset: u64) -> Place {
        Place { segment: 1, offset, frame_bytes: 100 }
    }

    fn filled(count: u64) -> Index {
        let mut index = Index::new(usize::MAX);
        for i in 0..count {
            index.append(entry(i)).unwrap();
        }
        index
    }

    #[test]
    fn a_hole_is_refused() {
        let mut index = filled(3);
        assert_eq!(index.append(entry(4)), Err(Hole { found: 4, expected: 3 }));
    }

    #[test]
    fn an_entry_is_held_by_index_and_term_and_after_its_purge() {
        let mut index = filled(4);
        index.purge(id(1));
        let held: Vec<bool> = (0..6).map(|at| index.holds(id(at))).collect();
        assert_eq!(held, [true, true, true, true, false, false]);
        assert!(!index.holds(LogId::new_term_index(2, 3)), "another leader's entry at the same place");
    }

    #[test]
    fn only_durable_entries_leave_the_cache() {
        let mut index = filled(4);
        index.cache_bytes_max = 0;
        index.evict();
        assert_eq!(index.cached(), 4);
        index.place(id(0), place(0));
        index.place(id(1), place(100));
        index.evict();
        assert_eq!(index.cached(), 2);
        let found = index.read(0, 10, usize::MAX);
        assert!(matches!(found[..], [Found::OnDisk(..), Found::OnDisk(..), Found::Cached(_), Found::Cached(_)]));
    }

    #[test]
    fn a_purge_beyond_the_end_moves_the_end() {
        let mut index = filled(3);
        index.purge(id(9));
        assert_eq!((index.first(), index.last(), index.purged()), (10, Some(id(9)), Some(id(9))));
        index.append(entry(10)).unwrap();
        assert_eq!(index.read(0, 20, usize::MAX).len(), 1);
    }

    #[test]
    fn a_place_of_an_entry_that_was_replaced_is_ignored() {
        let mut index = filled(3);
        index.truncate_after(Some(id(1)));
        index.append(Entry { log_id: LogId::new_term_index(2, 2), payload: EntryPayload::Blank }).unwrap();
        index.place(id(2), place(0));
        assert!(matches!(index.read(2, 3, usize::MAX)[..], [Found::Cached(_)]));
        index.cache_bytes_max = 0;
        index.evict();
        assert_eq!(index.cached(), 3);
    }

    #[test]
    fn the_keep_window_is_the_smaller_of_both_bounds() {
        let mut index = filled(10);
        for i in 0..10 {
            index.place(id(i), place(i * 100));
        }
        assert_eq!(index.purge_bound(9, 4, u64::MAX), Some(5));
        assert_eq!(index.purge_bound(9, 100, 250), Some(7));
        assert_eq!(index.purge_bound(9, 100, u64::MAX), None);
        assert_eq!(index.purge_bound(5, 4, u64::MAX), Some(1));
    }

    #[test]
    fn a_read_is_bounded_but_never_empty() {
        let index = filled(10);
        assert_eq!(index.read(2, 9, 1).len(), 1);
        assert_eq!(index.read(2, 9, 3 * ENTRY_OVERHEAD_BYTES).len(), 3);
        assert_eq!(index.read(8, 99, usize::MAX).len(), 2);
    }
}
