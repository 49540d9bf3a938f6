//! A copy of some objects that follows the registry, for code that decides from what is, not from what happened.

use std::{
    collections::BTreeMap,
    sync::{Arc, PoisonError, RwLock},
    time::Duration,
};

use boss_base::{
    backoff::Backoff,
    tasks::{OnExit, Tasks},
};
use boss_proto::{ids::Revision, key::Key, object::Resource, v1};
use tokio::sync::watch;

use crate::{
    Client, Query, Watch,
    watch::{EventKind, Item},
};

/// Between tries when the watch is refused outright.
const REFUSED_DELAY_MIN: Duration = Duration::from_secs(1);
/// The longest of these.
const REFUSED_DELAY_MAX: Duration = Duration::from_secs(30);

/// The objects of a query as they were last told. Clones share them; each notices changes for itself.
pub struct Informer<K> {
    objects: Arc<RwLock<Objects<K>>>,
    progress: watch::Receiver<Progress>,
}

type Objects<K> = BTreeMap<Key, Arc<K>>;

/// What moves when something changed.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
struct Progress {
    changes: u64,
    revision: Option<Revision>,
}

impl<K> Clone for Informer<K> {
    fn clone(&self) -> Self {
        Self { objects: Arc::clone(&self.objects), progress: self.progress.clone() }
    }
}

impl<K: Resource + Send + Sync + 'static> Informer<K> {
    /// Follows the objects of `query`, which must be of kind `K`, for as long as `tasks` live.
    #[must_use]
    pub fn start(client: &Client, query: Query, tasks: &Tasks) -> Self {
        debug_assert_eq!(query.kind, K::KIND, "a query of this kind");
        let name = format!("informer {}", query.kind.plural());
        let (sender, progress) = watch::channel(Progress::default());
        let objects = Arc::default();
        let follower = Follower { objects: Arc::clone(&objects), progress: sender, watch: client.watch(query) };
        let (token, clock) = (tasks.token(), Arc::clone(client.clock()));
        tasks.spawn(name, OnExit::Log, async move {
            token.run_until_cancelled(follower.run(clock)).await;
        });
        Self { objects, progress }
    }

    /// The object with this key, if it is there.
    #[must_use]
    pub fn get(&self, key: &Key) -> Option<Arc<K>> {
        self.read().get(key).cloned()
    }

    /// All objects, in key order.
    #[must_use]
    pub fn list(&self) -> Vec<Arc<K>> {
        self.read().values().cloned().collect()
    }

    /// The revision up to which everything is in; `None` before the first list.
    #[must_use]
    pub fn revision(&self) -> Option<Revision> {
        self.progress.borrow().revision
    }

    /// Waits for the first list.
    pub async fn synced(&mut self) {
        let synced = self.progress.wait_for(|progress| progress.revision.is_some()).await.is_ok();
        if !synced {
            // The informer was stopped: nothing will come any more.
            std::future::pending::<()>().await;
        }
    }

    /// Waits until objects have changed since the last call on this clone.
    pub async fn changed(&mut self) {
        if self.progress.changed().await.is_err() {
            std::future::pending::<()>().await;
        }
    }

    fn read(&self) -> std::sync::RwLockReadGuard<'_, Objects<K>> {
        self.objects.read().unwrap_or_else(PoisonError::into_inner)
    }
}

struct Follower<K> {
    objects: Arc<RwLock<Objects<K>>>,
    progress: watch::Sender<Progress>,
    watch: Watch,
}

impl<K: Resource> Follower<K> {
    async fn run(mut self, clock: Arc<dyn boss_base::clock::Clock>) {
        let mut backoff = Backoff::new(REFUSED_DELAY_MIN, REFUSED_DELAY_MAX);
        loop {
            match self.watch.next().await {
                Ok(item) => {
                    backoff.reset();
                    self.handle_item(item);
                }
                Err(error) => {
                    tracing::warn!(%error, kind = %K::KIND, "cannot watch, trying again");
                    tokio::time::sleep(backoff.next_delay(&*clock)).await;
                }
            }
        }
    }

    fn handle_item(&self, item: Item) {
        match item {
            Item::Restarted { objects, revision } => {
                let objects = objects.into_iter().filter_map(typed).collect();
                *self.write() = objects;
                self.report(revision, true);
            }
            Item::Event { kind, object, revision } => {
                self.apply(kind, object);
                self.report(revision, true);
            }
            Item::Bookmark(revision) => self.report(revision, false),
            Item::Interrupted(error) => tracing::info!(%error, kind = %K::KIND, "watch interrupted"),
        }
    }

    fn apply(&self, kind: EventKind, object: v1::Object) {
        let Some((key, object)) = typed(object) else { return };
        match kind {
            EventKind::Added | EventKind::Modified => self.write().insert(key, object),
            EventKind::Deleted => self.write().remove(&key),
        };
    }

    fn report(&self, revision: Revision, changed: bool) {
        self.progress.send_if_modified(|progress| {
            progress.revision = Some(revision);
            progress.changes += u64::from(changed);
            changed
        });
    }

    fn write(&self) -> std::sync::RwLockWriteGuard<'_, Objects<K>> {
        self.objects.write().unwrap_or_else(PoisonError::into_inner)
    }
}

/// An object of another kind cannot come from a query for this one; it is left out.
fn typed<K: Resource>(object: v1::Object) -> Option<(Key, Arc<K>)> {
    let key = object.key()?;
    Some((key, Arc::new(K::try_from_object(object).ok()?)))
}
