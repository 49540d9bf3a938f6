//! The registry in memory: ordered, copy-on-write, with its indexes and its running hash. Knows how to change
//! consistently, not what may change: that is `decide`.

use std::{
    ops::{Bound, Deref},
    sync::Arc,
};

use boss_proto::{
    ids::{Incarnation, NodeName, Revision},
    key::Key,
    kind::Kind,
    raft::v1::Caller,
};
use rpds::RedBlackTreeMapSync;

use super::{
    apply::Position,
    credentials::Revocations,
    digest::Digest,
    feasible::Used,
    history::{Event, EventId, Expired, Found, History, Interest},
    indexes::Indexes,
    limits::Limits,
    nodes::ByNode,
    objects::Objects,
    outcome::Rejection,
    owners::Owners,
    params::Params,
    quota::{self, Counted, Ledger},
    rbac,
    record::Record,
    requests::{self, Effect, RequestKey, Requests},
};

/// One thing that apply changed: what the store behind it has to write.
#[derive(Debug, Clone, PartialEq)]
pub enum Change {
    /// The object is now this one, or gone.
    Object {
        /// Where.
        key: Key,
        /// What stands there now.
        now: Option<Arc<Record>>,
    },
    /// The history has this event more.
    Event(Arc<Event>),
    /// The history has this event no more.
    EventEvicted {
        /// Of the event.
        id: EventId,
        /// Whether it held the object before it.
        has_previous: bool,
    },
    /// An effect is remembered.
    Request(RequestKey, Arc<Effect>),
    /// An effect is forgotten.
    RequestEvicted(RequestKey),
    /// The admission epoch of a namespace (empty: of all) moved, or is forgotten with the namespace.
    Epoch {
        /// Name of the namespace.
        namespace: String,
        /// Revision of the change.
        revision: Option<Revision>,
    },
}

/// The registry at one place of the log. Cloning costs a handful of reference counts.
#[derive(Debug, Clone, Default)]
pub struct Registry {
    objects: Objects,
    pods: ByNode,
    owners: Owners,
    indexes: Indexes,
    ledger: Ledger,
    history: History,
    requests: Requests,
    epochs: Epochs,
    rules: rbac::Rules,
    revocations: Revocations,
    params: Params,
    pub(super) revision: Revision,
    pub(super) applied: Position,
    pub(super) time_ms: u64,
    pub(super) incarnation: Incarnation,
    digest: Digest,
    limits: Limits,
}

type Epochs = Ordered<String, Revision>;

/// An ordered persistent map with a `Default`, which the library's sync form has not.
#[derive(Debug, Clone)]
struct Ordered<K: Ord, V>(RedBlackTreeMapSync<K, V>);

impl<K: Ord, V> Default for Ordered<K, V> {
    fn default() -> Self {
        Self(RedBlackTreeMapSync::new_sync())
    }
}

impl Registry {
    /// Revision of the last write.
    #[must_use]
    pub fn revision(&self) -> Revision {
        self.revision
    }

    /// Term and index of the last entry applied.
    #[must_use]
    pub fn applied(&self) -> Position {
        self.applied
    }

    /// Index of the last entry applied.
    #[must_use]
    pub fn applied_index(&self) -> u64 {
        self.applied.index
    }

    /// Registry time in milliseconds since the epoch: never goes back, moves with commands only.
    #[must_use]
    pub fn time_ms(&self) -> u64 {
        self.time_ms
    }

    /// The life of the cluster that it belongs to. Tokens of another one are refused.
    #[must_use]
    pub fn incarnation(&self) -> Incarnation {
        self.incarnation
    }

    /// Hash of everything in it: equal state, equal hash, on every server.
    #[must_use]
    pub fn hash(&self) -> Digest {
        self.digest.plus(Digest::of(&[
            b"registry",
            &self.revision.0.to_le_bytes(),
            &self.time_ms.to_le_bytes(),
            &self.history.floor().0.to_le_bytes(),
            &self.requests.floor().0.to_le_bytes(),
            &self.incarnation.0.to_le_bytes(),
        ]))
    }

    /// The bounds that it keeps.
    #[must_use]
    pub fn limits(&self) -> &Limits {
        &self.limits
    }

    /// Number of objects.
    #[must_use]
    pub fn len(&self) -> usize {
        self.objects.len()
    }

    /// Whether there is no object.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.objects.is_empty()
    }

    /// One object.
    #[must_use]
    pub fn get(&self, key: &Key) -> Option<&Arc<Record>> {
        self.objects.get(key)
    }

    /// Every object, in key order.
    pub fn iter(&self) -> impl Iterator<Item = &Arc<Record>> {
        self.objects.iter()
    }

    /// Objects of a kind, of one namespace or of all, in key order.
    pub fn list(&self, kind: Kind, namespace: Option<&str>) -> impl Iterator<Item = &Arc<Record>> + use<'_> {
        self.list_from(Bound::Included(Key::new(kind, namespace.unwrap_or(""), "")), kind, namespace)
    }

    /// The rest of a list after one of its keys.
    pub fn list_after(
        &self,
        after: &Key,
        kind: Kind,
        namespace: Option<&str>,
    ) -> impl Iterator<Item = &Arc<Record>> + use<'_> {
        let start = Key::new(kind, namespace.unwrap_or(""), "");
        let start = if *after < start { Bound::Included(start) } else { Bound::Excluded(after.clone()) };
        self.list_from(start, kind, namespace)
    }

    fn list_from(
        &self,
        start: Bound<Key>,
        kind: Kind,
        namespace: Option<&str>,
    ) -> impl Iterator<Item = &Arc<Record>> + use<'_> {
        let namespace = namespace.map(str::to_owned);
        let inside =
            move |key: &Key| key.kind == kind && namespace.as_ref().is_none_or(|namespace| *namespace == key.namespace);
        self.objects.range((start, Bound::Unbounded)).take_while(move |record| inside(&record.key))
    }

    /// Objects of a range of keys.
    pub(super) fn objects_in(
        &self,
        range: (Bound<Key>, Bound<Key>),
    ) -> impl Iterator<Item = (&Key, &Arc<Record>)> + use<'_> {
        self.objects.range(range).map(|record| (&record.key, record))
    }

    /// Pods of a node in a range of keys.
    pub(super) fn pods_on_node_in(
        &self,
        node: &NodeName,
        range: (Bound<Key>, Bound<Key>),
    ) -> impl Iterator<Item = (&Key, &Arc<Record>)> + use<'_> {
        self.pods.get(node).into_iter().flat_map(move |entry| entry.pods.range(range.clone()))
    }

    pub(super) fn indexes(&self) -> &Indexes {
        &self.indexes
    }

    /// Pods bound to a node, in key order.
    pub fn pods_on_node(&self, node: &NodeName) -> impl Iterator<Item = &Arc<Record>> + use<'_> {
        self.pods.get(node).into_iter().flat_map(|entry| entry.pods.values())
    }

    /// What the pods bound to a node take, those that have ended aside.
    #[must_use]
    pub fn used_on(&self, node: &NodeName) -> Used {
        self.pods.get(node).map(|entry| entry.used.clone()).unwrap_or_default()
    }

    /// How much of something a namespace holds, by what quotas count.
    #[must_use]
    pub fn held_in(&self, namespace: &str, what: Counted) -> u128 {
        self.ledger.used(namespace, what)
    }

    /// A quota as readers see it, with what of it is used now; `None` for other objects.
    #[must_use]
    pub fn quota_with_use(&self, record: &Record) -> Option<Record> {
        self.ledger.shown(record)
    }

    #[cfg(test)]
    pub(super) fn ledger(&self) -> &Ledger {
        &self.ledger
    }

    pub(super) fn check_quota<'a>(
        &self,
        namespace: &str,
        steps: impl Iterator<Item = quota::Step<'a>>,
    ) -> Result<(), Rejection> {
        self.ledger.check(namespace, steps)
    }

    /// Who names whom as owner.
    #[must_use]
    pub fn owners(&self) -> &Owners {
        &self.owners
    }

    /// Whether the caller has the right.
    #[must_use]
    pub fn authorize(&self, caller: &Caller, attributes: &rbac::Attributes<'_>) -> rbac::Decision {
        if let Err(withdrawn) = self.check_credential(caller.into()) {
            return rbac::Decision { allowed: false, reason: withdrawn.to_string().into() };
        }
        self.rules.authorize(caller, attributes)
    }

    pub(super) fn revocations(&self) -> &Revocations {
        &self.revocations
    }

    /// All roles and bindings.
    #[must_use]
    pub fn rules(&self) -> &rbac::Rules {
        &self.rules
    }

    /// Revision of the last change of RBAC or of the namespace that admission of its objects depends on. For
    /// cluster-scoped objects the namespace is empty.
    #[must_use]
    pub fn admission_epoch(&self, namespace: &str) -> u64 {
        let of = |name: &str| self.epochs.0.get(name).map_or(0, |revision| revision.0);
        of("").max(of(namespace))
    }

    /// Every admission epoch with its namespace.
    pub(super) fn epochs(&self) -> impl Iterator<Item = (&String, &Revision)> {
        self.epochs.0.iter()
    }

    /// The watch history.
    #[must_use]
    pub fn history(&self) -> &History {
        &self.history
    }

    /// About `max` events of interest after `revision`, oldest first; the events of one revision stay together.
    pub fn events_after(&self, revision: Revision, interest: &Interest, max: usize) -> Result<Found, Expired> {
        self.history.after(revision, interest, max, self.revision)
    }

    /// Remembered effects of request ids.
    #[must_use]
    pub fn requests(&self) -> &Requests {
        &self.requests
    }

    /// Whether no object lives in the namespace.
    #[must_use]
    pub fn namespace_is_empty(&self, namespace: &str) -> bool {
        let kinds = Kind::ALL.into_iter().filter(|kind| kind.is_namespaced());
        kinds.into_iter().all(|kind| self.list(kind, Some(namespace)).next().is_none())
    }

    // Changes. Each keeps the indexes and the hash in step; `apply` is the only caller beside the loader.

    pub(super) fn put_object(&mut self, record: Arc<Record>) {
        let key = record.key.clone();
        self.replace_object(&key, Some(record));
    }

    /// What stands at a key from now on; returns what stood there before.
    pub(super) fn replace_object(&mut self, key: &Key, now: Option<Arc<Record>>) -> Option<Arc<Record>> {
        let previous = match &now {
            Some(record) => self.objects.insert(record.clone()),
            None => self.objects.remove(key),
        };
        if let Some(previous) = &previous {
            self.digest = self.digest.minus(previous.digest());
            self.pods.remove(previous);
            self.owners.remove(previous);
        }
        self.indexes.change(key, previous.as_deref(), now.as_deref());
        self.ledger.change(key, previous.as_deref(), now.as_deref());
        if let Some(record) = &now {
            self.digest = self.digest.plus(record.digest());
            self.pods.add(record);
            self.owners.add(record);
        }
        previous
    }

    pub(super) fn note_owners(&mut self, before: Option<&Record>, now: Option<&Record>, revision: Revision) {
        self.owners.note(before, now, revision);
    }

    pub(super) fn change_rules(&mut self, before: Option<&Record>, now: Option<&Record>) {
        self.rules.change(before, now);
        self.revocations.change(before, now);
        self.params.change(before, now);
    }

    /// See [`Params::reach`].
    pub(super) fn params_reach<'k>(&self, key: &'k Key) -> Option<&'k str> {
        self.params.reach(key)
    }

    pub(super) fn put_event(&mut self, event: Arc<Event>) {
        self.digest = self.digest.plus(event.digest());
        self.history.push(event);
    }

    pub(super) fn put_request(&mut self, key: RequestKey, effect: Arc<Effect>) {
        self.digest = self.digest.plus(requests::digest(key, &effect));
        self.requests.remember(key, effect);
    }

    pub(super) fn put_epoch(&mut self, namespace: &str, revision: Option<Revision>) {
        if let Some(previous) = self.epochs.0.get(namespace) {
            self.digest = self.digest.minus(epoch_digest(namespace, *previous));
            self.epochs.0.remove_mut(namespace);
        }
        if let Some(revision) = revision {
            self.digest = self.digest.plus(epoch_digest(namespace, revision));
            self.epochs.0.insert_mut(namespace.to_owned(), revision);
        }
    }

    pub(super) fn set_floors(&mut self, history: Revision, requests: Revision) {
        self.history.set_floor(history);
        self.requests.set_floor(requests);
    }

    /// Forgets the events up to `upto`.
    pub(super) fn compact(&mut self, upto: Revision, changes: &mut Vec<Change>) {
        while let Some(event) = self.history.evict_upto(upto) {
            self.digest = self.digest.minus(event.digest());
            changes.push(Change::EventEvicted { id: event.id(), has_previous: event.previous.is_some() });
        }
    }

    /// Brings history and requests back under their bounds at the registry's time.
    pub(super) fn evict(&mut self, changes: &mut Vec<Change>) {
        while let Some(event) = self.history.evict(self.time_ms, &self.limits) {
            self.digest = self.digest.minus(event.digest());
            changes.push(Change::EventEvicted { id: event.id(), has_previous: event.previous.is_some() });
        }
        while let Some((key, effect)) = self.requests.evict(self.time_ms, &self.limits) {
            self.digest = self.digest.minus(requests::digest(key, &effect));
            changes.push(Change::RequestEvicted(key));
        }
    }
}

fn epoch_digest(namespace: &str, revision: Revision) -> Digest {
    Digest::of(&[b"epoch", namespace.as_bytes(), &revision.0.to_le_bytes()])
}

/// An immutable registry at one place of the log; cloning costs one reference count.
#[derive(Debug, Clone, Default)]
pub struct View(Arc<Registry>);

impl View {
    /// A state that goes on from here.
    #[must_use]
    pub fn to_state(&self) -> State {
        State { registry: (*self.0).clone(), panics: 0 }
    }
}

impl Deref for View {
    type Target = Registry;

    fn deref(&self) -> &Registry {
        &self.0
    }
}

/// More writes than a cluster makes between a snapshot and its restore.
const REVISION_LEAP: u64 = 1_000_000_000;

/// The registry that apply changes.
#[derive(Debug, Clone, Default)]
pub struct State {
    pub(super) registry: Registry,
    panics: u64,
}

impl State {
    /// An empty registry with bounds of its own; every server of a cluster must use the same.
    #[must_use]
    pub fn with_limits(limits: Limits) -> Self {
        Self { registry: Registry { limits, ..Registry::default() }, panics: 0 }
    }

    /// The registry as it is now, for readers; later changes do not touch it.
    #[must_use]
    pub fn view(&self) -> View {
        View(Arc::new(self.registry.clone()))
    }

    /// Operations that were discarded because applying them panicked, since this process started.
    #[must_use]
    pub fn panics(&self) -> u64 {
        self.panics
    }

    pub(super) fn count_panic(&mut self) {
        self.panics += 1;
    }

    /// Begins another life of the cluster from this state. The history of the life before ends here and the revision
    /// leaps, so that whoever saw later revisions of that life finds them expired, not taken by other writes.
    pub fn begin_incarnation(&mut self, incarnation: Incarnation) {
        let registry = &mut self.registry;
        registry.incarnation = incarnation;
        registry.revision = Revision(registry.revision.0.saturating_add(REVISION_LEAP));
        while let Some(event) = registry.history.evict_upto(registry.revision) {
            registry.digest = registry.digest.minus(event.digest());
        }
        registry.history.set_floor(registry.revision);
    }

    /// Moves to an entry that holds no command.
    pub fn advance(&mut self, to: Position) {
        self.registry.applied = to;
    }
}

impl Deref for State {
    type Target = Registry;

    fn deref(&self) -> &Registry {
        &self.registry
    }
}
