//! What a log is opened with, whose it must be, and why it cannot be used. Knows no record.

use std::{
    fs::File,
    io,
    path::{Path, PathBuf},
};

use boss_proto::ids::{ClusterId, ServerId};

use super::segment::{self, Owner};
use crate::disk::Room;

/// Where the log is and how large its parts are.
#[derive(Debug, Clone)]
pub struct Options {
    /// The directory; created when missing.
    pub dir: PathBuf,
    /// Whose log it must be.
    pub owner: Owner,
    /// Size of one segment file, in bytes.
    pub segment_bytes: u64,
    /// Bytes of recent entries kept in memory.
    pub cache_bytes: usize,
    /// The room on its disk; its reserve is given up for what must be written.
    pub room: Room,
}

/// Why a log cannot be used. Nothing was changed.
#[derive(Debug, thiserror::Error)]
pub enum OpenError {
    /// The file system refused.
    #[error("{}", path.display())]
    Io {
        /// File or directory.
        path: PathBuf,
        /// What it said.
        #[source]
        source: io::Error,
    },
    /// Another process has it open.
    #[error("{} is in use by another process", path.display())]
    Locked {
        /// The directory.
        path: PathBuf,
    },
    /// It belongs to another cluster.
    #[error("{} belongs to cluster {found}, this server to {expected}", path.display())]
    WrongCluster {
        /// The file.
        path: PathBuf,
        /// Its cluster.
        found: ClusterId,
        /// This server's cluster.
        expected: ClusterId,
    },
    /// It belongs to another server.
    #[error("{} belongs to server {found}, this is server {expected}", path.display())]
    WrongServer {
        /// The file.
        path: PathBuf,
        /// Its server.
        found: ServerId,
        /// This server.
        expected: ServerId,
    },
    /// A newer build wrote it.
    #[error("{} has format {found}, this build knows up to {known}", path.display())]
    NewerFormat {
        /// The file.
        path: PathBuf,
        /// Its format.
        found: u32,
        /// The newest known format.
        known: u32,
    },
    /// Something that was durable is damaged or missing. The server must be replaced under a fresh id.
    #[error("{} is damaged at byte {offset}: {problem}", path.display())]
    Corrupt {
        /// File or directory.
        path: PathBuf,
        /// Where.
        offset: u64,
        /// What is wrong.
        problem: String,
    },
}

impl OpenError {
    pub(super) fn io(path: &Path) -> impl FnOnce(io::Error) -> Self {
        let path = path.to_owned();
        move |source| Self::Io { path, source }
    }
}

/// Makes the directory when it is missing, so that neither it nor what it will hold can vanish with the power.
pub(super) fn make_directory(dir: &Path) -> Result<(), OpenError> {
    let missing: Vec<&Path> = dir.ancestors().take_while(|dir| !dir.as_os_str().is_empty() && !dir.exists()).collect();
    std::fs::create_dir_all(dir).map_err(OpenError::io(dir))?;
    for made in missing {
        let parent = made.parent().filter(|parent| !parent.as_os_str().is_empty()).unwrap_or(Path::new("."));
        segment::sync_dir(parent).map_err(OpenError::io(parent))?;
    }
    Ok(())
}

/// Held for as long as the log is open.
pub(super) fn lock(dir: &Path) -> Result<File, OpenError> {
    let path = dir.join("LOCK");
    let file = File::options().create(true).truncate(false).write(true).open(&path).map_err(OpenError::io(&path))?;
    match file.try_lock() {
        Ok(()) => Ok(file),
        Err(std::fs::TryLockError::WouldBlock) => Err(OpenError::Locked { path: dir.to_owned() }),
        Err(std::fs::TryLockError::Error(source)) => Err(OpenError::Io { path, source }),
    }
}
