//! A watcher is a cursor into the shared history, woken by notification; it has no queue of its own, so a slow one
//! slows nobody. Knows no filter beyond kind, namespace, node and name.

use std::sync::Arc;

use boss_proto::ids::Revision;
use tokio::sync::watch;
use tokio_util::sync::CancellationToken;

use crate::{
    state::{Event, Interest},
    storage::{Applied, Published},
};

/// Events that one call returns at most: what a caller must hold and encode before it looks at its own back-pressure.
const EVENTS_MAX: usize = 256;

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
    published: Published,
    applied: watch::Receiver<Applied>,
    interest: Interest,
    position: Revision,
    stopping: CancellationToken,
}

impl Watcher {
    pub(crate) fn new(published: Published, interest: Interest, from: Revision, stopping: CancellationToken) -> Self {
        let applied = published.applied();
        Self { published, applied, interest, position: from, stopping }
    }

    /// Waits for the next events that concern the watcher; never empty. May be dropped and called again: the
    /// position moves only when events are returned or when there were none.
    pub async fn next(&mut self) -> Result<Vec<Arc<Event>>, WatchError> {
        loop {
            // Seen before the look: what is applied after it wakes this watcher again.
            self.applied.mark_unchanged();
            let found = self.published.events(&self.interest, self.position, EVENTS_MAX);
            let found = found.map_err(|expired| WatchError::Expired { current: expired.current })?;
            self.position = found.position;
            if !found.events.is_empty() {
                return Ok(found.events);
            }
            tokio::select! {
                biased;
                () = self.stopping.cancelled() => return Err(WatchError::Closed),
                changed = self.applied.changed() => changed.map_err(|_| WatchError::Closed)?,
            }
        }
    }

    /// Up to here everything was delivered: what a bookmark says.
    #[must_use]
    pub fn position(&self) -> Revision {
        self.position
    }
}
