//! Snapshot files: one state in one file, fsynced before anything relies on it. Knows no consensus.

mod directory;
mod file;
mod format;
#[cfg(any(test, fuzzing))]
pub mod fuzz;
mod receive;

use std::io;

pub(crate) use self::directory::Directory;
pub(crate) use self::format::{read, read_any, read_meta, write};
pub(crate) use self::receive::{CutOff, Incoming};
pub use self::{
    file::SnapshotFile,
    receive::{SnapshotReceiver, Transfer},
};

/// A file that is no whole snapshot of this cluster.
#[derive(Debug, thiserror::Error)]
pub enum BadSnapshot {
    /// Torn, changed or no snapshot at all.
    #[error("the snapshot is damaged: {0}")]
    Damaged(String),
    /// Of another cluster.
    #[error("the snapshot belongs to cluster {found}, this server to {expected}")]
    ForeignCluster {
        /// In the file.
        found: String,
        /// Of this server.
        expected: String,
    },
    /// Of a newer build.
    #[error("the snapshot has format {found}, which this build does not know")]
    NewerFormat {
        /// In the file.
        found: u32,
    },
    /// The disk says no.
    #[error("the snapshot cannot be read")]
    Io(#[from] io::Error),
}

impl From<super::meta::BadMeta> for BadSnapshot {
    fn from(bad: super::meta::BadMeta) -> Self {
        use super::meta::BadMeta;
        match bad {
            BadMeta::Unreadable(problem) => Self::Damaged(problem),
            BadMeta::ForeignCluster { found, expected } => {
                Self::ForeignCluster { found, expected: expected.to_string() }
            }
            BadMeta::NewerFormat { found } => Self::NewerFormat { found },
        }
    }
}

impl From<crate::state::rows::BadRows> for BadSnapshot {
    fn from(bad: crate::state::rows::BadRows) -> Self {
        Self::Damaged(bad.to_string())
    }
}

/// The numbers of the state in a snapshot.
pub(crate) fn describe(
    path: &std::path::Path,
    cluster_id: &boss_proto::ids::ClusterId,
) -> Result<crate::state::rows::Header, BadSnapshot> {
    Ok(read_meta(path, cluster_id)?.header()?.clone())
}

#[cfg(test)]
mod tests;
