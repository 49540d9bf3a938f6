//! Hashes of the state right after entries that every server notes, so that states are compared at equal places. Knows
//! no other server.

use std::{
    collections::VecDeque,
    sync::{Mutex, PoisonError},
};

use openraft::EntryPayload;

use crate::{
    state::Digest,
    types::{Entry, LogId},
};

/// Every so many entries the hash is noted: one more hash of a few numbers, so that it costs nothing.
const EVERY_ENTRIES: u64 = 1_024;
/// Far more than a follower may be behind while it is asked for them.
const KEPT: usize = 64;

/// The state's hash right after an entry.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Mark {
    /// The entry.
    pub log_id: LogId,
    /// The hash.
    pub hash: Digest,
}

/// The latest marks of this process.
#[derive(Debug, Default)]
pub(super) struct Marks(Mutex<VecDeque<Mark>>);

impl Marks {
    /// Whether the state after this entry is noted. A command without operations asks for it.
    pub(super) fn wants(entry: &Entry) -> bool {
        let is_asked =
            matches!(&entry.payload, EntryPayload::Normal(proposal) if proposal.command().operations.is_empty());
        is_asked || entry.log_id.index.is_multiple_of(EVERY_ENTRIES)
    }

    pub(super) fn note(&self, mark: Mark) {
        let mut marks = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        marks.push_back(mark);
        while marks.len() > KEPT {
            marks.pop_front();
        }
    }

    /// Oldest first.
    pub(super) fn all(&self) -> Vec<Mark> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner).iter().copied().collect()
    }
}

#[cfg(test)]
mod tests {
    use boss_proto::raft::v1::{Command, Operation};

    use super::*;
    use crate::types::Proposal;

    fn entry(index: u64, operations: usize) -> Entry {
        let command = Command { format: 1, operations: vec![Operation::default(); operations], ..Command::default() };
        let payload = EntryPayload::Normal(Proposal::new(&command).unwrap());
        Entry { log_id: LogId::new_term_index(1, index), payload }
    }

    #[test]
    fn every_1024th_entry_and_each_that_asks_for_it_is_noted() {
        let noted: Vec<_> = (1..=3_000).filter(|index| Marks::wants(&entry(*index, 1))).collect();
        assert_eq!(noted, [1_024, 2_048]);
        assert!(Marks::wants(&entry(7, 0)));
    }

    #[test]
    fn only_the_latest_stay() {
        let marks = Marks::default();
        for index in 0..200 {
            marks.note(Mark { log_id: LogId::new_term_index(1, index), hash: Digest::default() });
        }
        let kept: Vec<_> = marks.all().iter().map(|mark| mark.log_id.index).collect();
        assert_eq!(kept, (200 - KEPT as u64..200).collect::<Vec<_>>());
    }
}
