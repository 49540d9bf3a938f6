//! Watches: the whole selection first if asked for, then every event after a revision, in order, once. A watch is a
//! cursor that its reader pulls; it has no queue, so that a slow reader costs nobody anything and expires by itself.

mod selection;

use std::{collections::VecDeque, sync::Arc, time::Duration};

use boss_proto::{
    ids::{NodeName, Revision},
    key::Key,
    kind::Kind,
    selector::{Field, Selector},
    v1::watch_event::Type,
};
use boss_raft::{
    Interest, Watcher,
    state::{Event, Record, View},
};
use futures_util::Stream;

use super::{Error, OpenWatch, Reads, Rights, Shared};
use crate::{auth::Identity, metric_definitions as metric};

/// How often rights, credentials and contact of an idle watch are looked at again. Rights are also looked at before
/// anything is told.
const CHECK_INTERVAL: Duration = Duration::from_secs(2);
/// An idle watch hears how far the registry has come after so long.
const BOOKMARK_INTERVAL: Duration = Duration::from_secs(5);
/// Objects of the initial list that are prepared at once.
const INITIAL_CHUNK: usize = 128;

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
        let open = self.open_watch()?;
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
        if let Some(from) = query.from.filter(|from| *from < floor) {
            tracing::debug!(%from, %floor, "watch begins before the history");
            return Err(Error::Expired { current: view.revision() });
        }
        Ok(Watch::new(self.0.clone(), open, rights, query, view))
    }
}

/// An open watch.
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
    /// The last position that the reader has heard of.
    told: Revision,
    told_at: Duration,
}

/// What is left of the initial list.
struct Initial {
    view: View,
    query: WatchQuery,
    after: Option<Key>,
}

impl Watch {
    fn new(shared: Arc<Shared>, open: OpenWatch, rights: Rights, query: WatchQuery, view: View) -> Self {
        let from = query.from.unwrap_or_else(|| view.revision());
        let node = query.selector.fields.exact(Field::NodeName).filter(|node| !node.is_empty());
        let interest = Interest {
            kind: query.kind,
            namespace: query.namespace.clone(),
            node: node.map(NodeName::from),
            name: query.name.clone(),
        };
        Self {
            watcher: shared.raft.watch(interest, from),
            checked_epoch: view.admission_epoch(&rights.namespace),
            told: from,
            told_at: shared.clock.monotonic(),
            selector: query.selector.clone(),
            initial: query.from.is_none().then_some(Initial { view, query, after: None }),
            pending: VecDeque::new(),
            _open: open,
            shared,
            rights,
        }
    }

    /// As a stream; it ends after its first error.
    pub fn into_stream(self) -> impl Stream<Item = Result<Delivery, Error>> + Send {
        futures_util::stream::unfold(Some(self), |watch| async move {
            let mut watch = watch?;
            match watch.next().await {
                Ok(delivery) => Some((Ok(delivery), Some(watch))),
                Err(error) => Some((Err(error), None)),
            }
        })
    }

    /// The next thing to tell. Cancelling it loses nothing.
    pub async fn next(&mut self) -> Result<Delivery, Error> {
        loop {
            if let Some(delivery) = self.pending.pop_front() {
                self.note(&delivery);
                return Ok(delivery);
            }
            if self.initial.is_some() {
                self.check_rights()?;
                self.continue_initial_list();
                continue;
            }
            tokio::select! {
                events = self.watcher.next() => {
                    let events = events?;
                    self.check_rights()?;
                    self.take(&events);
                }
                () = tokio::time::sleep(CHECK_INTERVAL) => self.look_around().await?,
            }
        }
    }

    fn take(&mut self, events: &[Arc<Event>]) {
        let selected = events.iter().filter_map(|event| selection::seen(event, &self.selector));
        self.pending.extend(selected);
    }

    fn note(&mut self, delivery: &Delivery) {
        let revision = match delivery {
            Delivery::Event { revision, .. } => {
                metrics::counter!(metric::WATCH_EVENTS).increment(1);
                *revision
            }
            Delivery::Bookmark { revision, .. } => *revision,
        };
        self.told = self.told.max(revision);
        self.told_at = self.shared.clock.monotonic();
    }

    async fn look_around(&mut self) -> Result<(), Error> {
        self.check_rights()?;
        self.check_contact().await?;
        let position = self.watcher.position();
        let idle = self.shared.clock.monotonic().saturating_sub(self.told_at);
        if position > self.told && idle >= BOOKMARK_INTERVAL {
            self.pending.push_back(Delivery::Bookmark { revision: position, initial_list_end: false });
        }
        Ok(())
    }

    /// A watch on a server that is cut off would be silent for ever, and could not learn that its right is gone. The
    /// first watch that finds it too long ago asks, for all of them.
    async fn check_contact(&self) -> Result<(), Error> {
        if self.shared.contact.is_fresh() || self.shared.confirmed().await.is_ok() {
            return Ok(());
        }
        if self.shared.contact.is_lost() { Err(Error::NoLeader) } else { Ok(()) }
    }

    /// Rights can be taken away and credentials end while the stream is open.
    fn check_rights(&mut self) -> Result<(), Error> {
        self.shared.authenticator.check_not_expired(&self.rights.identity)?;
        let view = self.shared.raft.view();
        let epoch = view.admission_epoch(&self.rights.namespace);
        if epoch != self.checked_epoch {
            self.rights.check_roles(&view)?;
            self.checked_epoch = epoch;
        }
        Ok(())
    }

    fn continue_initial_list(&mut self) {
        let Some(mut initial) = self.initial.take() else { return };
        let revision = initial.view.revision();
        let (records, last) = initial.chunk();
        let added = |record: Arc<Record>| Delivery::Event { kind: Type::Added, revision: record.revision, record };
        self.pending.extend(records.into_iter().map(added));
        match last {
            Some(last) => {
                initial.after = Some(last);
                self.initial = Some(initial);
            }
            None => self.pending.push_back(Delivery::Bookmark { revision, initial_list_end: true }),
        }
    }
}

impl Initial {
    /// Selected objects of the next part of the list, and the last key looked at unless the list is through.
    fn chunk(&self) -> (Vec<Arc<Record>>, Option<Key>) {
        let namespace = self.query.namespace.as_deref();
        let mut records: Box<dyn Iterator<Item = &Arc<Record>> + Send> = match &self.after {
            Some(after) => Box::new(self.view.list_after(after, self.query.kind, namespace)),
            None => Box::new(self.view.list(self.query.kind, namespace)),
        };
        let chunk: Vec<_> = records.by_ref().take(INITIAL_CHUNK).cloned().collect();
        let last = if chunk.len() == INITIAL_CHUNK { chunk.last().map(|record| record.key.clone()) } else { None };
        let wanted = |record: &Arc<Record>| {
            self.query.name.as_ref().is_none_or(|name| *name == record.key.name)
                && self.query.selector.matches(&record.object)
        };
        (chunk.into_iter().filter(wanted).collect(), last)
    }
}
