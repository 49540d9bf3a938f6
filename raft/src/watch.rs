//! A watcher is a cursor into the shared history, woken by notification; it has no queue of its own.

use std::sync::Arc;

use boss_proto::ids::Revision;

use crate::state::Event;

/// Why a watcher has ended.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum WatchError {
    /// The history no longer reaches back to the position: list again.
    #[error("the history no longer holds what follows the position; the current revision is {current}")]
    Expired {
        /// Where to list and go on from.
        current: Revision,
    },
    /// The server is stopping.
    #[error("the server is shutting down")]
    Closed,
}

/// Yields the events after a revision, in order, once.
pub struct Watcher {
    position: Revision,
}

impl Watcher {
    /// Waits for the next events that concern the watcher; never empty.
    pub async fn next(&mut self) -> Result<Vec<Arc<Event>>, WatchError> {
        unimplemented!()
    }

    /// Up to here everything was delivered: what a bookmark says.
    #[must_use]
    pub fn position(&self) -> Revision {
        self.position
    }
}
