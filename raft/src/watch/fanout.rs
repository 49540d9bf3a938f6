//! Which watchers an event concerns, so that it wakes only those. Nothing waits here: a watcher that does not look is
//! a flag that stays up. Knows no consensus and keeps no event.

use std::{
    collections::HashMap,
    sync::{
        Arc, Mutex, PoisonError,
        atomic::{AtomicBool, AtomicU64, Ordering},
    },
    task::{Context, Poll},
};

use boss_proto::{
    ids::{NodeName, Revision},
    kind::Kind,
};
use futures_util::task::AtomicWaker;
use metrics::Counter;

use crate::{
    bugs::{self, Bug},
    metric_definitions::WATCHERS_WOKEN,
    state::{Event, Interest, View},
    storage::Published,
};

/// Wakes watchers. Clones share them.
#[derive(Clone)]
pub(crate) struct Fanout(Arc<Shared>);

struct Shared {
    index: Mutex<Index>,
    /// Whom the events up to this revision concern was woken.
    told: AtomicU64,
    closed: AtomicBool,
    woken: Counter,
}

#[derive(Default)]
struct Index {
    kinds: HashMap<Kind, OfKind>,
    /// Given to watchers; never given twice.
    next_id: u64,
}

/// Watchers of one kind, each in the narrowest place that all its events lead to.
#[derive(Default)]
struct OfKind {
    by_node: HashMap<NodeName, Waiting>,
    by_name: HashMap<String, Waiting>,
    by_namespace: HashMap<String, Waiting>,
    everything: Waiting,
}

type Waiting = HashMap<u64, Arc<Signal>>;

/// Whether there may be something new for one watcher.
struct Signal {
    interest: Interest,
    /// [`DOWN`], or one more than the revision up to which there is nothing new.
    news_after: AtomicU64,
    waker: AtomicWaker,
}

/// No news for a watcher.
const DOWN: u64 = 0;

impl Signal {
    /// Tells of news after `revision`. One that is up already stays as it is: it reaches back further.
    fn raise(&self, revision: Revision) {
        let up = revision.0.saturating_add(1);
        if self.news_after.compare_exchange(DOWN, up, Ordering::AcqRel, Ordering::Acquire).is_ok() {
            self.waker.wake();
        }
    }

    fn take(&self) -> Option<Revision> {
        match self.news_after.swap(DOWN, Ordering::AcqRel) {
            DOWN => None,
            up => Some(Revision(up - 1)),
        }
    }
}

/// One watcher's place; it is given back when dropped.
pub(crate) struct Seat {
    fanout: Fanout,
    id: u64,
    signal: Arc<Signal>,
}

impl Fanout {
    pub(crate) fn new() -> Self {
        let woken = metrics::counter!(WATCHERS_WOKEN);
        let (told, closed) = (AtomicU64::new(0), AtomicBool::new(false));
        Self(Arc::new(Shared { index: Mutex::default(), told, closed, woken }))
    }

    /// Wakes whom each event after `position` concerns; ends when nothing more is published. No watcher may have looked
    /// before that position was taken.
    pub(crate) async fn run(&self, published: &Published, mut position: Revision) {
        let mut applied = published.applied();
        loop {
            applied.mark_unchanged();
            let view = published.view();
            self.tell(&view, position);
            position = view.revision();
            self.0.told.store(position.0, Ordering::Release);
            if applied.changed().await.is_err() {
                return;
            }
        }
    }

    /// Wakes whom the events after `position` concern.
    fn tell(&self, view: &View, position: Revision) {
        if view.revision() == position {
            return;
        }
        if position < view.history().floor() {
            // What happened in between is not known here; whoever asks is told that it has expired.
            return self.wake_all();
        }
        let index = self.index();
        let woken = view.history().all_after(position).map(|event| index.wake(event, position)).sum();
        self.0.woken.increment(woken);
    }

    /// Has every watcher look around.
    pub(crate) fn wake_all(&self) {
        let index = self.index();
        let kinds = index.kinds.values();
        kinds.flat_map(OfKind::all).flat_map(HashMap::values).for_each(|signal| signal.raise(Revision::ZERO));
    }

    /// Ends every watch.
    pub(crate) fn close(&self) {
        self.0.closed.store(true, Ordering::Release);
        self.wake_all();
    }

    pub(crate) fn is_closed(&self) -> bool {
        self.0.closed.load(Ordering::Acquire)
    }

    /// A place for a watcher, which is told at once to look.
    pub(crate) fn seat(&self, interest: Interest) -> Seat {
        let signal = Arc::new(Signal { interest, news_after: AtomicU64::new(1), waker: AtomicWaker::new() });
        let mut index = self.index();
        let id = index.next_id;
        index.next_id += 1;
        index.kinds.entry(signal.interest.kind).or_default().place(&signal.interest).insert(id, signal.clone());
        Seat { fanout: self.clone(), id, signal }
    }

    fn index(&self) -> std::sync::MutexGuard<'_, Index> {
        self.0.index.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Index {
    /// Tells whom the event concerns; everything up to `told` was told before. How many they are.
    fn wake(&self, event: &Event, told: Revision) -> u64 {
        let Some(kind) = self.kinds.get(&event.key().kind) else { return 0 };
        if bugs::on(Bug::LostWatchEvent) && event.revision.0.is_multiple_of(16) {
            return 0;
        }
        let key = event.key();
        let mut woken = 0;
        let nodes = event.nodes().filter_map(|node| kind.by_node.get(&node));
        let places = [kind.by_name.get(&key.name), kind.by_namespace.get(&key.namespace), Some(&kind.everything)];
        for signal in nodes.chain(places.into_iter().flatten()).flat_map(HashMap::values) {
            if signal.interest.matches(event) {
                signal.raise(told);
                woken += 1;
            }
        }
        woken
    }
}

impl OfKind {
    fn place(&mut self, interest: &Interest) -> &mut Waiting {
        match (&interest.node, &interest.name, &interest.namespace) {
            (Some(node), _, _) => self.by_node.entry(node.clone()).or_default(),
            (None, Some(name), _) => self.by_name.entry(name.clone()).or_default(),
            (None, None, Some(namespace)) => self.by_namespace.entry(namespace.clone()).or_default(),
            (None, None, None) => &mut self.everything,
        }
    }

    fn leave(&mut self, interest: &Interest, id: u64) {
        self.place(interest).remove(&id);
        match (&interest.node, &interest.name, &interest.namespace) {
            (Some(node), _, _) => drop_if_empty(&mut self.by_node, node),
            (None, Some(name), _) => drop_if_empty(&mut self.by_name, name),
            (None, None, Some(namespace)) => drop_if_empty(&mut self.by_namespace, namespace),
            (None, None, None) => {}
        }
    }

    fn all(&self) -> impl Iterator<Item = &Waiting> {
        let named = self.by_name.values().chain(self.by_namespace.values());
        self.by_node.values().chain(named).chain([&self.everything])
    }
}

fn drop_if_empty<K: std::hash::Hash + Eq>(places: &mut HashMap<K, Waiting>, key: &K) {
    if places.get(key).is_some_and(HashMap::is_empty) {
        places.remove(key);
    }
}

impl Seat {
    pub(crate) fn interest(&self) -> &Interest {
        &self.signal.interest
    }

    /// Ready once for any number of news since the last time, with the revision up to which there is nothing new for
    /// whoever had looked at everything by the last time.
    pub(crate) fn poll_news(&self, cx: &mut Context<'_>) -> Poll<Revision> {
        if let Some(after) = self.signal.take() {
            return Poll::Ready(after);
        }
        self.signal.waker.register(cx.waker());
        // News may have come before the waker was there.
        self.signal.take().map_or(Poll::Pending, Poll::Ready)
    }

    /// Up to here there is nothing new for whoever has looked at everything; `None` when there are news.
    pub(crate) fn quiet_until(&self) -> Option<Revision> {
        // In this order: who is told of an event is told before the revision moves.
        let told = self.fanout.0.told.load(Ordering::Acquire);
        let quiet = self.signal.news_after.load(Ordering::Acquire) == DOWN;
        quiet.then_some(Revision(told))
    }

    pub(crate) fn is_closed(&self) -> bool {
        self.fanout.is_closed()
    }
}

impl Drop for Seat {
    fn drop(&mut self) {
        if let Some(kind) = self.fanout.index().kinds.get_mut(&self.signal.interest.kind) {
            kind.leave(&self.signal.interest, self.id);
        }
    }
}

#[cfg(test)]
mod tests;
