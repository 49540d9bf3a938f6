//! A watcher is a cursor into the shared history, woken when something happened that concerns it; it has no queue of
//! its own, so a slow one slows nobody. Knows no filter beyond kind, namespace, node and name.

mod fanout;

use std::{
    sync::Arc,
    task::{Context, Poll, ready},
};

use boss_proto::ids::Revision;

pub(crate) use self::fanout::Fanout;
use self::fanout::Seat;
use crate::{
    state::{Event, Interest, View},
    storage::Published,
};

/// Events that one look takes at most: what a watcher that does not go on reading may hold.
const EVENTS_MAX: usize = 64;

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
    seat: Seat,
    position: Revision,
    /// Whether everything up to the last look was taken.
    caught_up: bool,
}

impl Watcher {
    pub(crate) fn new(published: Published, fanout: &Fanout, interest: Interest, from: Revision) -> Self {
        Self { published, seat: fanout.seat(interest), position: from, caught_up: false }
    }

    /// Waits for the next events that concern the watcher; never empty. May be dropped and called again: the
    /// position moves only when events are returned or when there were none.
    pub async fn next(&mut self) -> Result<Vec<Arc<Event>>, WatchError> {
        std::future::poll_fn(|cx| {
            loop {
                ready!(self.poll_news(cx))?;
                let events = self.take(&self.published.view())?;
                if !events.is_empty() {
                    return Poll::Ready(Ok(events));
                }
            }
        })
        .await
    }

    /// Ready when there may be something to [`Watcher::take`].
    pub fn poll_news(&mut self, cx: &mut Context<'_>) -> Poll<Result<(), WatchError>> {
        let news = self.seat.poll_news(cx);
        if self.seat.is_closed() {
            return Poll::Ready(Err(WatchError::Closed));
        }
        match news {
            // The events in between concern others: they need not be looked through.
            Poll::Ready(after) if self.caught_up => self.position = self.position.max(after),
            Poll::Pending if self.caught_up => return Poll::Pending,
            Poll::Ready(_) | Poll::Pending => {}
        }
        self.caught_up = false;
        Poll::Ready(Ok(()))
    }

    /// The next events in a view, a bounded number of them; none when there are none up to it. When there may be
    /// more, the next [`Watcher::poll_news`] is ready.
    pub fn take(&mut self, view: &View) -> Result<Vec<Arc<Event>>, WatchError> {
        let found = view.events_after(self.position, self.seat.interest(), EVENTS_MAX);
        let found = found.map_err(|expired| WatchError::Expired { current: expired.current })?;
        self.caught_up = !found.more;
        self.position = self.position.max(found.position);
        Ok(found.events)
    }

    /// Up to here everything was delivered: what a bookmark says.
    #[must_use]
    pub fn position(&mut self) -> Revision {
        if self.caught_up
            && let Some(quiet) = self.seat.quiet_until()
        {
            self.position = self.position.max(quiet);
        }
        self.position
    }
}
