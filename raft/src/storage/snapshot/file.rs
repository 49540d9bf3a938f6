//! A snapshot file in hand. One that was received and never got its name goes with its last owner.

use std::{
    io,
    path::{Path, PathBuf},
    sync::Arc,
};

use boss_base::{files::AsyncFile, tasks::Blocking};

/// A whole snapshot on disk.
#[derive(Debug, Clone)]
pub struct SnapshotFile {
    path: Arc<PathBuf>,
    bytes: u64,
    blocking: Blocking,
    _temporary: Option<Arc<Temporary>>,
}

/// Removes the file of this name when it is dropped. Renamed by then, there is none.
#[derive(Debug)]
pub(super) struct Temporary {
    path: PathBuf,
    blocking: Blocking,
}

impl Temporary {
    pub(super) fn at(path: &Path, blocking: Blocking) -> Self {
        Self { path: path.to_owned(), blocking }
    }
}

impl Drop for Temporary {
    fn drop(&mut self) {
        // The next start removes what this cannot.
        let _ = std::fs::remove_file(&self.path);
    }
}

impl SnapshotFile {
    pub(in crate::storage) fn at(path: PathBuf, blocking: Blocking) -> io::Result<Self> {
        let bytes = std::fs::metadata(&path)?.len();
        Ok(Self { path: Arc::new(path), bytes, blocking, _temporary: None })
    }

    /// One that has no name yet, and may never get one: a snapshot that is older than the state is not installed.
    pub(super) fn received(temporary: Temporary, bytes: u64) -> Self {
        let (path, blocking) = (temporary.path.clone(), temporary.blocking);
        Self { path: Arc::new(path), bytes, blocking, _temporary: Some(Arc::new(temporary)) }
    }

    /// Stands where a snapshot has to be named and there is none; cannot be opened.
    pub(in crate::storage) fn none() -> Self {
        Self { path: Arc::default(), bytes: 0, blocking: Blocking::Threads, _temporary: None }
    }

    /// Opens it for reading from its start. What is open stays readable when the file is replaced.
    pub async fn open(&self) -> io::Result<AsyncFile> {
        AsyncFile::open(&self.path, self.blocking).await
    }

    /// Its size in bytes; never 0.
    #[expect(clippy::len_without_is_empty, reason = "a snapshot has at least its header")]
    #[must_use]
    pub fn len(&self) -> u64 {
        self.bytes
    }

    pub(crate) fn path(&self) -> &PathBuf {
        &self.path
    }
}
