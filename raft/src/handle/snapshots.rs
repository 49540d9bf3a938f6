//! Snapshots on demand: of everything acknowledged so far, for people and for servers that replace their state.

use std::{io, time::Duration};

use boss_base::files::AsyncFile;
use boss_proto::ids::{Incarnation, Revision};

use super::Handle;
use crate::{
    reads::ReadError,
    storage::{SnapshotFile, snapshot},
};

/// A snapshot of a large registry on a slow disk fits into it.
const SNAPSHOT_TIMEOUT: Duration = Duration::from_secs(10 * 60);
/// The core takes one order at a time and forgets others: it is told again so often.
const ASK_INTERVAL: Duration = Duration::from_secs(1);

/// A snapshot, open for reading from its start.
#[derive(Debug)]
pub struct OpenSnapshot {
    /// The last entry in it.
    pub index: u64,
    /// The revision of the registry.
    pub revision: Revision,
    /// The life of the cluster.
    pub incarnation: Incarnation,
    /// Hash of the state.
    pub state_hash: String,
    /// Size of the file.
    pub bytes: u64,
    /// What can be read even when a newer snapshot takes its place.
    pub file: AsyncFile,
}

/// Why there is no snapshot.
#[derive(Debug, thiserror::Error)]
pub enum SnapshotError {
    /// It could not be found out what was acknowledged so far.
    #[error(transparent)]
    Read(#[from] ReadError),
    /// It was not written in time.
    #[error("no snapshot was written within {SNAPSHOT_TIMEOUT:?}")]
    Timeout,
    /// It cannot be read.
    #[error("the snapshot cannot be read")]
    Io(#[from] io::Error),
}

impl Handle {
    /// A snapshot with every write acknowledged before this call, on any server.
    pub async fn save_snapshot(&self) -> Result<OpenSnapshot, SnapshotError> {
        let index = self.linearizable().await?.applied_index();
        let file = self.snapshot_at(index).await?;
        self.open_snapshot(file).await
    }

    /// A snapshot file that reaches at least to an entry that this server has applied.
    pub(crate) async fn snapshot_at(&self, index: u64) -> Result<SnapshotFile, SnapshotError> {
        let mut newest = self.0.published.snapshot();
        let written = async {
            loop {
                if let Some((Some(id), file)) = self.0.published.current_snapshot()
                    && id.index >= index
                {
                    return Ok(file);
                }
                self.0.raft.trigger().snapshot().await.map_err(|_| ReadError::ShuttingDown)?;
                let _ = tokio::time::timeout(ASK_INTERVAL, newest.changed()).await;
            }
        };
        tokio::time::timeout(SNAPSHOT_TIMEOUT, written).await.unwrap_or(Err(SnapshotError::Timeout))
    }

    /// Runs something until this server stops.
    pub(crate) fn spawn(&self, name: &'static str, work: impl Future<Output = ()> + Send + 'static) {
        super::start::spawn(&self.0.tasks, name, boss_base::tasks::OnExit::Log, work);
    }

    async fn open_snapshot(&self, file: SnapshotFile) -> Result<OpenSnapshot, SnapshotError> {
        let opened = file.open().await?;
        let (path, cluster_id) = (file.path().clone(), self.0.cluster_id.clone());
        let read = move || snapshot::describe(&path, &cluster_id);
        let described = self.0.tasks.run_blocking("describe-snapshot", read).await.map_err(io::Error::other)?;
        let header = described.map_err(io::Error::other)?;
        Ok(OpenSnapshot {
            index: header.applied_index,
            revision: Revision(header.revision),
            incarnation: Incarnation(header.incarnation),
            state_hash: crate::state::Digest::from_bytes(&header.hash).unwrap_or_default().to_string(),
            bytes: file.len(),
            file: opened,
        })
    }
}
