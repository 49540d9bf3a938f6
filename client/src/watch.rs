//! Watches that go on: over servers that die and connections that break, without a gap or a repeat.

mod resume;

use std::sync::Arc;

use boss_base::backoff::Backoff;
use boss_proto::{
    ids::Revision,
    v1::{self, watch_event::Type},
};
use futures_util::Stream;
use tokio_util::sync::ReusableBoxFuture;
use tonic::{Request, Status, Streaming};

use crate::{
    Deadlines, Error, Query,
    call::{ROUND_DELAY_MAX, ROUND_DELAY_MIN},
    client::{Shared, registry},
    error::{Detail, Failed},
    servers::Picked,
};
use resume::Resume;

/// What a watch tells.
#[derive(Debug, Clone, PartialEq)]
pub enum Item {
    /// The whole list: at the start, and again when the registry's history no longer reaches back to where we were.
    /// Forget what you knew.
    Restarted {
        /// All objects of the query.
        objects: Vec<v1::Object>,
        /// The registry's revision at which they were read.
        revision: Revision,
    },
    /// One object changed.
    Event {
        /// How.
        kind: EventKind,
        /// As it is now; its last state when it was deleted.
        object: v1::Object,
        /// Of the change.
        revision: Revision,
    },
    /// Everything up to this revision was told.
    Bookmark(Revision),
    /// No server can be reached now, once per interruption. The watch goes on trying when asked for the next item.
    Interrupted(Error),
}

/// How an object changed.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum EventKind {
    /// It is new, or new to the query.
    Added,
    /// It is another version.
    Modified,
    /// It is gone, or gone from the query.
    Deleted,
}

impl EventKind {
    fn from_proto(kind: i32) -> Option<Self> {
        match Type::try_from(kind).ok()? {
            Type::Unspecified => None,
            Type::Added => Some(Self::Added),
            Type::Modified => Some(Self::Modified),
            Type::Deleted => Some(Self::Deleted),
        }
    }
}

/// A watch. It moves only while [`Watch::next`] is awaited.
pub struct Watch {
    shared: Arc<Shared>,
    deadlines: Deadlines,
    query: Query,
    resume: Resume,
    state: State,
    backoff: Backoff,
    /// Failed attempts since the last message.
    failures: usize,
}

/// `Sync`, unlike a plain boxed future, so that tasks may hold references to a watch over a wait.
type Opening = ReusableBoxFuture<'static, (Picked, Result<Messages, Failed>)>;
type Messages = Streaming<v1::WatchResponse>;

/// Kept over calls of `next`, so that a caller that stops waiting and comes back does not start again.
enum State {
    Closed,
    Opening(Opening),
    Open { server: Picked, messages: Box<Messages> },
}

impl Watch {
    pub(crate) fn new(shared: Arc<Shared>, deadlines: Deadlines, query: Query, after: Option<Revision>) -> Self {
        Self {
            shared,
            deadlines,
            query,
            resume: Resume::new(after),
            state: State::Closed,
            backoff: Backoff::new(ROUND_DELAY_MIN, ROUND_DELAY_MAX),
            failures: 0,
        }
    }

    /// Where a new watch would go on: everything up to here was told, if not more.
    #[must_use]
    pub fn position(&self) -> Option<Revision> {
        self.resume.after()
    }

    /// The next item. May be dropped and called again without loss.
    ///
    /// # Errors
    /// What trying again cannot mend: a missing right, bad credentials, a query that is not valid. Asking again
    /// tries again.
    pub async fn next(&mut self) -> Result<Item, Error> {
        loop {
            let failed = match &mut self.state {
                State::Closed => {
                    self.state = State::Opening(self.open());
                    continue;
                }
                State::Opening(opening) => match opening.await {
                    (server, Ok(messages)) => {
                        self.state = State::Open { server, messages: Box::new(messages) };
                        continue;
                    }
                    (server, Err(failed)) => (server, failed),
                },
                State::Open { server, messages } => match messages.message().await {
                    Ok(Some(message)) => match self.handle_message(message)? {
                        Some(item) => return Ok(item),
                        None => continue,
                    },
                    Ok(None) => (server.clone(), Failed::Lost(Detail::new("the server ended the watch"))),
                    Err(status) => (server.clone(), server.judge(&status)),
                },
            };
            if let Some(item) = self.handle_failure(&failed.0, failed.1)? {
                return Ok(item);
            }
        }
    }

    /// The same as a stream. It ends never, or with the error that trying again cannot mend.
    pub fn into_stream(self) -> impl Stream<Item = Result<Item, Error>> + Send {
        futures_util::stream::unfold(Some(self), |watch| async move {
            let mut watch = watch?;
            match watch.next().await {
                Ok(item) => Some((Ok(item), Some(watch))),
                Err(error) => Some((Err(error), None)),
            }
        })
    }

    fn handle_message(&mut self, message: v1::WatchResponse) -> Result<Option<Item>, Error> {
        self.failures = 0;
        self.backoff.reset();
        self.resume.accept(message)
    }

    /// What to tell the caller about it, if anything.
    fn handle_failure(&mut self, server: &Picked, failed: Failed) -> Result<Option<Item>, Error> {
        self.state = State::Closed;
        self.resume.disconnect();
        let error = match failed {
            Failed::Refused { error: Error::Expired { .. }, .. } => {
                self.resume.restart();
                self.failures += 1;
                return Ok(None);
            }
            Failed::Refused { error: error @ Error::Unauthenticated(_), .. } => {
                return if self.shared.shown.renew() { Ok(None) } else { Err(error) };
            }
            Failed::Refused { error, retry: false, .. } => return Err(error),
            Failed::Refused { error, retry: true, .. } => error,
            Failed::NotReached { detail, untrusted: true } => Error::Untrusted(detail),
            Failed::NotReached { detail, untrusted: false } | Failed::Lost(detail) => Error::Unavailable(detail),
        };
        tracing::debug!(%error, kind = %self.query.kind, "watch interrupted, going on elsewhere");
        self.shared.servers.leave(server);
        self.failures += 1;
        if self.failures.is_multiple_of(self.shared.servers.len()) {
            self.shared.trouble.notify_one();
        }
        Ok((self.failures == self.shared.servers.len()).then_some(Item::Interrupted(error)))
    }

    /// Asks the preferred server, after a while when all have failed us.
    fn open(&mut self) -> Opening {
        let servers = self.shared.servers.len();
        let whole_round_failed = self.failures > 0 && self.failures.is_multiple_of(servers);
        let delay = whole_round_failed.then(|| self.backoff.next_delay(&*self.shared.clock));
        let (shared, attempt) = (Arc::clone(&self.shared), self.deadlines.attempt);
        let message = watch_request(&self.query, self.resume.after());
        ReusableBoxFuture::new(async move {
            if let Some(delay) = delay {
                tokio::time::sleep(delay).await;
            }
            let picked = shared.servers.pick();
            let mut request = Request::new(message);
            shared.shown.sign(&mut request);
            let result = tokio::time::timeout(attempt, registry(picked.channel()).watch(request)).await;
            let result: Result<_, Status> = match result {
                Ok(result) => result,
                Err(_elapsed) => {
                    let problem = format!("{} did not answer within {attempt:?}", picked.address());
                    return (picked, Err(Failed::Lost(Detail::new(problem))));
                }
            };
            let result = result.map(tonic::Response::into_inner).map_err(|status| picked.judge(&status));
            (picked, result)
        })
    }
}

fn watch_request(query: &Query, after: Option<Revision>) -> v1::WatchRequest {
    v1::WatchRequest {
        kind: query.kind.to_string(),
        namespace: query.namespace.clone(),
        label_selector: query.labels.clone(),
        field_selector: query.fields.clone(),
        from_revision: after.map(|revision| revision.0),
        name: query.name.clone(),
    }
}
