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
