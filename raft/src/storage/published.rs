//! What readers share: the newest view and how to wait for the next one. Knows no consensus.

use std::{
    io,
    path::PathBuf,
    sync::{Arc, Mutex, PoisonError},
};

use arc_swap::ArcSwap;
use boss_proto::ids::{Incarnation, Revision};
use tokio::sync::watch;

use super::{
    home::directory_bytes,
    mailbox::Mailbox,
    marks::{Mark, Marks},
    meta::Place,
    snapshot::{CutOff, Directory, SnapshotFile, SnapshotReceiver},
};
use crate::{state::View, types::LogId};

/// How far this server has applied.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct Applied {
    /// The last entry.
    pub log_id: Option<LogId>,
    /// The registry's revision after it.
    pub revision: Revision,
}

/// The readers' side of the state machine; clones share it.
#[derive(Clone)]
pub struct Published {
    pub(super) inner: Arc<Inner>,
}

/// The newest snapshot, shared with builders.
pub(super) type CurrentSnapshot = Arc<Mutex<Option<(Place, SnapshotFile)>>>;

pub(super) struct Inner {
    pub(super) view: ArcSwap<View>,
    pub(super) applied: watch::Sender<Applied>,
    pub(super) snapshot: watch::Sender<Option<LogId>>,
    pub(super) directory: Directory,
    pub(super) cut_off: CutOff,
    pub(super) marks: Marks,
    pub(super) current: CurrentSnapshot,
    pub(super) store_path: PathBuf,
    pub(super) writer: Mailbox,
}

impl Published {
    /// The registry as it is now.
    #[must_use]
    pub fn view(&self) -> View {
        View::clone(&self.inner.view.load())
    }

    /// Moves after each batch of entries, when the view already shows them.
    #[must_use]
    pub fn applied(&self) -> watch::Receiver<Applied> {
        self.inner.applied.subscribe()
    }

    /// The last entry in the newest fsynced snapshot: nothing after it may be purged from the log.
    #[must_use]
    pub fn snapshot(&self) -> watch::Receiver<Option<LogId>> {
        self.inner.snapshot.subscribe()
    }

    /// The newest snapshot and the entry that it ends with.
    #[must_use]
    pub fn current_snapshot(&self) -> Option<(Option<LogId>, SnapshotFile)> {
        let current = self.inner.current.lock().unwrap_or_else(PoisonError::into_inner);
        current.as_ref().map(|(place, file)| (place.log_id, file.clone()))
    }

    /// The latest hashes of the state that were noted, oldest first.
    #[must_use]
    pub fn marks(&self) -> Vec<Mark> {
        self.inner.marks.all()
    }

    /// Where snapshots are.
    pub(crate) fn snapshots(&self) -> &Directory {
        &self.inner.directory
    }

    /// Waits until the store has everything that was applied before the call and that the log has durably.
    pub async fn flush(&self) {
        self.inner.writer.flush().await;
    }

    /// Batches of entries that are applied and wait for the store.
    #[must_use]
    pub fn store_lag_batches(&self) -> usize {
        self.inner.writer.waiting()
    }

    /// Size of the store on disk.
    #[must_use]
    pub fn store_bytes(&self) -> u64 {
        directory_bytes(&self.inner.store_path)
    }

    /// Hash of the registry as it is now, for comparison between servers.
    #[must_use]
    pub fn state_hash(&self) -> String {
        self.inner.view.load().hash().to_string()
    }

    /// The life of the cluster that this server belongs to; none before it has applied anything.
    #[must_use]
    pub fn incarnation(&self) -> Option<Incarnation> {
        let joined = self.inner.applied.borrow().log_id.is_some();
        joined.then(|| self.inner.view.load().incarnation())
    }

    /// What is left of a snapshot that another server was sending.
    pub(crate) fn cut_off(&self) -> &CutOff {
        &self.inner.cut_off
    }

    /// Begins to take a snapshot in that another server sends.
    pub async fn receive_snapshot(&self) -> io::Result<SnapshotReceiver> {
        let directory = &self.inner.directory;
        SnapshotReceiver::begin(&directory.temporary(), directory.blocking()).await
    }

    /// Shows a new view to readers.
    pub(super) fn publish(&self, view: View, log_id: Option<LogId>) {
        let applied = Applied { log_id, revision: view.revision() };
        self.inner.view.store(Arc::new(view));
        self.inner.applied.send_replace(applied);
    }
}
