//! Tells open streams when a credential may have ended before its time: they ask then whether theirs is still good.
//! Carries no list of what was revoked; the registry has it.

use std::{sync::Arc, time::Duration};

use boss_proto::{ids::Revision, kind::Kind};
use boss_raft::{
    Handle, Interest, WatchError, Watcher,
    state::{Event, EventKind},
};
use tokio::sync::watch;

use super::{Authenticator, Error, Identity};

/// Streams are not asked more often than that because objects come and go to which other tokens are bound.
const QUIET: Duration = Duration::from_millis(200);
/// Clocks may be set meanwhile: how long a stream waits at most before it looks at its end again.
const LOOK_INTERVAL_MAX: Duration = Duration::from_secs(3_600);
/// Objects that tokens can be bound to.
const BINDING: [Kind; 3] = [Kind::ServiceAccount, Kind::SigningKey, Kind::Pod];

/// Where streams hear of it. Cheap to clone.
#[derive(Clone)]
pub struct Ends {
    revoked: watch::Sender<()>,
    unbound: watch::Sender<()>,
}

impl Default for Ends {
    fn default() -> Self {
        Self { revoked: watch::Sender::new(()), unbound: watch::Sender::new(()) }
    }
}

impl Ends {
    /// Follows the registry; never ends by itself.
    pub async fn follow(self, raft: Handle) {
        tokio::join!(self.follow_revocations(&raft), self.follow_bindings(&raft));
    }

    /// Told whenever something may have been revoked.
    pub(crate) fn revocations(&self) -> watch::Receiver<()> {
        self.revoked.subscribe()
    }

    async fn follow_revocations(&self, raft: &Handle) {
        let mut watcher = follow(raft, Kind::Revocation);
        loop {
            if next(raft, Kind::Revocation, &mut watcher).await.is_none_or(|events| !events.is_empty()) {
                self.revoked.send_replace(());
            }
        }
    }

    async fn follow_bindings(&self, raft: &Handle) {
        let mut watchers = BINDING.map(|kind| (kind, follow(raft, kind)));
        loop {
            let [one, two, three] = &mut watchers;
            let events = tokio::select! {
                events = next(raft, one.0, &mut one.1) => events,
                events = next(raft, two.0, &mut two.1) => events,
                events = next(raft, three.0, &mut three.1) => events,
            };
            let gone = |events: &Vec<Arc<Event>>| events.iter().any(|event| event.kind == EventKind::Deleted);
            if events.as_ref().is_none_or(gone) {
                self.unbound.send_replace(());
                tokio::time::sleep(QUIET).await;
            }
        }
    }

    /// Resolves when the identity's credential counts no more, with the reason.
    pub async fn wait(&self, authenticator: &Authenticator, identity: &Identity) -> Error {
        let (mut revoked, mut unbound) = (self.revoked.subscribe(), self.unbound.subscribe());
        loop {
            if let Err(error) =
                authenticator.check_not_expired(identity).and_then(|()| authenticator.check_counts(identity))
            {
                return error;
            }
            let left = authenticator.time_left(identity).min(LOOK_INTERVAL_MAX);
            // The senders live as long as the gate, which has this stream.
            tokio::select! {
                _ = revoked.changed() => {}
                _ = unbound.changed(), if !identity.bound_to.is_empty() => {}
                () = tokio::time::sleep(left) => {}
            }
        }
    }
}

fn follow(raft: &Handle, kind: Kind) -> Watcher {
    raft.watch(Interest::in_kind(kind), raft.view().revision())
}

/// The next events of the kind; `None` when there may have been any.
async fn next(raft: &Handle, kind: Kind, watcher: &mut Watcher) -> Option<Vec<Arc<Event>>> {
    match watcher.next().await {
        Ok(events) => Some(events),
        Err(WatchError::Expired { current }) => {
            *watcher = raft.watch(Interest::in_kind(kind), Revision(current.0));
            None
        }
        // The server stops, and this task with it.
        Err(WatchError::Closed) => std::future::pending().await,
    }
}
