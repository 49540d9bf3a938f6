//! Watches: the whole selection first if asked for, then every event after a revision, in order, once. A watch is a
//! cursor that its reader pulls; it has no queue, so that a slow reader costs nobody anything and expires by itself.

mod initial;
mod selection;

use std::{
    collections::VecDeque,
    pin::Pin,
    sync::Arc,
    task::{Context, Poll},
    time::Duration,
};

use boss_base::{
    bugs::{self, Bug},
    cached,
};
use boss_proto::{
    ids::{NodeName, Revision},
    kind::Kind,
    selector::{Field, Selector},
    v1::watch_event::Type,
};
use boss_raft::{
    Interest, Watcher,
    state::{Record, View},
};
use futures_util::Stream;
use tokio::time::Sleep;

use self::initial::Initial;
pub(super) use self::selection::Departures;
use super::{Error, Reads, Rights, Shared, open::OpenWatch};
use crate::{admission::check_credential, auth::Identity, metric_definitions as metric};

/// An idle watch looks at its credential and hears how far the registry has come so often. Rights are also looked at
/// before anything is told.
const BOOKMARK_INTERVAL: Duration = Duration::from_secs(5);

/// Looks at parts of the list and at events without anything to tell, before others get their turn.
const TURNS_MAX: usize = 16;

/// What a caller wants to follow.
#[derive(Debug, Clone)]
pub struct WatchQuery {
    /// Of which kind.
    pub kind: Kind,
    /// Of one namespace, or of all.
    pub namespace: Option<String>,
    /// One name only.
    pub name: Option<String>,
    /// Which of them.
    pub selector: Selector,
    /// Events after it; `None` begins with the list.
    pub from: Option<Revision>,
}

/// What a watcher hears.
#[derive(Debug, Clone)]
pub enum Delivery {
    /// Something happened to a selected object, or it came into or left the selection.
    Event {
        /// As the watcher sees it.
        kind: Type,
        /// The object; for what is gone, its last selected state.
        record: Arc<Record>,
        /// Of the change; of the list for what was there before.
        revision: Revision,
    },
    /// Everything up to this revision was delivered.
    Bookmark {
        /// Where to go on from.
        revision: Revision,
        /// The initial list is complete.
        initial_list_end: bool,
    },
}

impl Reads {
    /// Opens a watch, authorised at a linearizable view.
    pub async fn watch(&self, identity: Arc<Identity>, query: WatchQuery) -> Result<Watch, Error> {
        let open = self.0.watches.open()?;
        let view = self.0.confirmed().await?;
        let rights = Rights {
            identity,
            verb: "watch",
            kind: query.kind,
            namespace: query.namespace.clone().unwrap_or_default(),
            name: query.name.clone().unwrap_or_default(),
        };
        rights.check(&view, &query.selector)?;
        let floor = view.history().floor();
        if let Some(from) = query.from.filter(|from| *from < floor && !bugs::on(Bug::ExpiredSwallowed)) {
            tracing::debug!(%from, %floor, "watch begins before the history");
            return Err(Error::Expired { current: view.revision() });
        }
        Watch::new(self.0.clone(), open, rights, query, &view)
    }
}

/// An open watch: a stream that ends after its first error.
pub struct Watch {
    shared: Arc<Shared>,
    _open: OpenWatch,
    rights: Rights,
    selector: Selector,
    watcher: Watcher,
    initial: Option<Initial>,
    pending: VecDeque<Delivery>,
    /// Revision of the rules that the rights were last checked against.
    checked_epoch: u64,
    /// How often the server had lost contact when the watch was opened.
    losses: u64,
    /// The last position that the reader has heard of.
    told: Revision,
    /// Set anew only when it goes off: an event costs no timer.
    alarm: Pin<Box<Sleep>>,
    ended: bool,
}

impl Watch {
    fn new(
        shared: Arc<Shared>,
        open: OpenWatch,
        rights: Rights,
        query: WatchQuery,
        view: &View,
    ) -> Result<Self, Error> {
        let from = query.from.unwrap_or_else(|| view.revision());
        let node = query.selector.fields.exact(Field::NodeName).filter(|node| !node.is_empty());
        let interest = Interest {
            kind: query.kind,
            namespace: query.namespace.clone(),
            node: node.map(NodeName::from),
            name: query.name.clone(),
        };
        let initial = query.from.is_none().then(|| Initial::new(from, query.clone()));
        let mut watch = Self {
            watcher: shared.raft.watch(interest, from),
            checked_epoch: view.admission_epoch(&rights.namespace),
            losses: shared.contact.losses(),
            told: from,
            selector: query.selector,
            initial: None,
            pending: VecDeque::new(),
            alarm: Box::pin(tokio::time::sleep(BOOKMARK_INTERVAL)),
            ended: false,
            _open: open,
            shared,
            rights,
        };
        if let Some(initial) = initial {
            watch.take_part(initial, view)?;
        }
        Ok(watch)
    }

    /// The next thing to tell, as far as it is there.
    fn poll_delivery(&mut self, cx: &mut Context<'_>) -> Poll<Result<Delivery, Error>> {
        for _ in 0..TURNS_MAX {
            if let Some(delivery) = self.pending.pop_front() {
                self.note(&delivery);
                return Poll::Ready(Ok(delivery));
            }
            if let Some(initial) = self.initial.take() {
                self.check(&self.shared.raft.view())?;
                let kept = self.shared.pages.find(initial.revision());
                let view = kept.unwrap_or_else(|| self.shared.raft.view());
                self.take_part(initial, &view)?;
            } else if self.watcher.poll_news(cx)?.is_ready() {
                self.take_events()?;
            } else if self.alarm.as_mut().poll(cx).is_ready() {
                self.alarm.set(tokio::time::sleep(BOOKMARK_INTERVAL));
                self.look_around()?;
            } else {
                return Poll::Pending;
            }
        }
        cx.waker().wake_by_ref();
        Poll::Pending
    }

    #[expect(clippy::cast_precision_loss, reason = "histograms are floats")]
    fn take_events(&mut self) -> Result<(), Error> {
        // Rights and events of one view: a right that was taken away covers nothing that came after.
        let view = self.shared.raft.view();
        self.check(&view)?;
        let behind = view.revision().0.saturating_sub(self.watcher.position().0);
        let events = self.watcher.take(&view).inspect_err(|_| cached!(counter metric::WATCHES_EXPIRED).increment(1))?;
        if !events.is_empty() {
            cached!(histogram metric::WATCH_LAG_REVISIONS).record(behind as f64);
        }
        let seen = events.iter().filter_map(|event| selection::seen(event, &self.selector, &self.shared.departures));
        self.pending.extend(seen);
        Ok(())
    }

    fn note(&mut self, delivery: &Delivery) {
        let revision = match delivery {
            Delivery::Event { revision, .. } => {
                self.shared.watch_events.increment(1);
                *revision
            }
            Delivery::Bookmark { revision, .. } => *revision,
        };
        self.told = self.told.max(revision);
    }

    fn look_around(&mut self) -> Result<(), Error> {
        self.check(&self.shared.raft.view())?;
        let ahead = if bugs::on(Bug::BookmarkAhead) { 16 } else { 0 };
        let revision = Revision(self.watcher.position().0 + ahead);
        if revision > self.told {
            self.pending.push_back(Delivery::Bookmark { revision, initial_list_end: false });
        }
        Ok(())
    }

    /// Rights can be taken away, credentials end and contact be lost while the stream is open.
    fn check(&mut self, view: &View) -> Result<(), Error> {
        self.shared.authenticator.check_not_expired(&self.rights.identity)?;
        // A server that is cut off cannot learn of revocations.
        if self.shared.contact.losses() != self.losses {
            return Err(Error::NoLeader);
        }
        check_credential(view, &self.rights.identity)?;
        let epoch = view.admission_epoch(&self.rights.namespace);
        if epoch != self.checked_epoch {
            self.rights.check_roles(view)?;
            self.checked_epoch = epoch;
        }
        Ok(())
    }

    fn take_part(&mut self, mut initial: Initial, view: &View) -> Result<(), Error> {
        let part = initial.part(view)?;
        let added = |record: Arc<Record>| Delivery::Event { kind: Type::Added, revision: record.revision, record };
        self.pending.extend(part.records.into_iter().map(added));
        if !part.more {
            self.pending.push_back(Delivery::Bookmark { revision: initial.revision(), initial_list_end: true });
            return Ok(());
        }
        if view.revision() == initial.revision() {
            self.shared.pages.keep(view);
        }
        self.initial = Some(initial);
        Ok(())
    }
}

impl Stream for Watch {
    type Item = Result<Delivery, Error>;

    fn poll_next(self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<Option<Self::Item>> {
        let watch = self.get_mut();
        if watch.ended {
            return Poll::Ready(None);
        }
        let polled = watch.poll_delivery(cx);
        watch.ended = matches!(polled, Poll::Ready(Err(_)));
        polled.map(Some)
    }
}
