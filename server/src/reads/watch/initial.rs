//! The list at the start of a watch, prepared in parts as fast as its reader takes them. It holds no view, only a
//! revision: a reader that never goes on must not keep the registry of that moment in memory.

use std::sync::Arc;

use boss_proto::{ids::Revision, key::Key};
use boss_raft::state::{PastError, Record, View};

use super::WatchQuery;

/// Objects that are looked at for one part.
const LOOKED_AT_MAX: usize = 128;
/// Encoded bytes of one part: what a reader that stops reading keeps in memory.
const PART_BYTES_MAX: usize = 256 * 1024;

/// What is left of the list.
pub(super) struct Initial {
    revision: Revision,
    query: WatchQuery,
    after: Option<Key>,
}

/// Selected objects of one part.
pub(super) struct Part {
    pub(super) records: Vec<Arc<Record>>,
    /// Whether another part follows.
    pub(super) more: bool,
}

impl Initial {
    pub(super) fn new(revision: Revision, query: WatchQuery) -> Self {
        Self { revision, query, after: None }
    }

    /// Of the whole list.
    pub(super) fn revision(&self) -> Revision {
        self.revision
    }

    /// The next part, from any view that is not older than the list.
    pub(super) fn part(&mut self, view: &View) -> Result<Part, PastError> {
        let WatchQuery { kind, namespace, name, selector, .. } = &self.query;
        let mut part = Part { records: Vec::new(), more: false };
        let (mut looked_at, mut bytes, mut last) = (0, 0, None);
        let after = self.after.as_ref();
        for record in view.candidates_at(self.revision, *kind, namespace.as_deref(), selector, after)? {
            if looked_at == LOOKED_AT_MAX || bytes >= PART_BYTES_MAX {
                part.more = true;
                break;
            }
            looked_at += 1;
            last = Some(&record.key);
            let named = name.as_ref().is_none_or(|name| *name == record.key.name);
            if named && selector.matches(&record.object) {
                bytes += record.encoded.len();
                part.records.push(record.clone());
            }
        }
        self.after = last.cloned().or(self.after.take());
        Ok(part)
    }
}
