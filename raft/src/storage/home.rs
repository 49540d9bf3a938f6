//! Where generations of the store are: one folder each, and a file that names the one that counts. A generation is
//! written whole beside the current one and takes its place by the replacement of that file. Knows no rows.

use std::{
    fs,
    io::{self, ErrorKind},
    path::{Path, PathBuf},
};

use boss_base::files;

use super::{
    sled_store::SledStorage,
    store::{Storage, StoreError},
};
use crate::failpoints::failpoint;

/// Names the generation that counts. Without it nothing in the folder counts.
const POINTER: &str = "current";
/// A number and a line end.
const POINTER_BYTES_MAX: usize = 64;

/// Makes generations of a store and says which one counts.
pub trait Home: Send + 'static {
    /// What is kept in it.
    type Store: Storage;

    /// A new, empty generation beside the current one. One that was made before and not adopted is gone.
    fn fresh(&mut self) -> Result<Self::Store, StoreError>;

    /// Makes the generation that `fresh` made last the one that counts, durably; it must have been flushed.
    fn adopt(&mut self) -> Result<(), StoreError>;

    /// Removes every generation but the current one. What cannot be removed is tried again by the next call.
    fn clean(&mut self);

    /// Size of the current generation on disk.
    fn store_bytes(&self) -> u64;
}

/// Generations of sled in a directory.
#[derive(Debug)]
pub struct SledHome {
    directory: PathBuf,
    current: Option<u64>,
    /// Highest number that was used.
    highest: u64,
}

impl SledHome {
    /// Reads which generation counts; makes the directory when it is missing.
    pub fn open(directory: &Path) -> io::Result<Self> {
        files::create_private_directory(directory)?;
        files::sync_directory(directory.parent().unwrap_or(Path::new(".")))?;
        let current = read_pointer(&directory.join(POINTER))?;
        let numbers = fs::read_dir(directory)?.filter_map(|entry| parse_folder(&entry.ok()?.file_name()));
        let highest = numbers.chain(current).max().unwrap_or_default();
        Ok(Self { directory: directory.to_owned(), current, highest })
    }

    /// Opens the generation that counts, if there is one.
    pub fn open_current(&self) -> Result<Option<SledStorage>, StoreError> {
        let Some(current) = self.current else { return Ok(None) };
        let folder = self.folder(current);
        if !folder.is_dir() {
            return Err(StoreError::Corrupt(format!("{} is missing", folder.display())));
        }
        SledStorage::open(&folder).map(Some)
    }

    /// An empty store that counts; whatever was there is gone.
    pub fn start_over(&mut self) -> Result<SledStorage, StoreError> {
        let store = self.fresh()?;
        self.adopt()?;
        self.clean();
        Ok(store)
    }

    /// Where the generation that counts is.
    #[must_use]
    pub fn current_folder(&self) -> Option<PathBuf> {
        self.current.map(|current| self.folder(current))
    }

    fn folder(&self, generation: u64) -> PathBuf {
        self.directory.join(format!("{generation:08}"))
    }
}

impl Home for SledHome {
    type Store = SledStorage;

    fn fresh(&mut self) -> Result<SledStorage, StoreError> {
        if self.current != Some(self.highest) {
            remove(&self.folder(self.highest)).map_err(StoreError::Io)?;
        }
        // Never the folder of one that was just closed: sled may hold its lock a little longer.
        self.highest += 1;
        let folder = self.folder(self.highest);
        remove(&folder).map_err(StoreError::Io)?;
        SledStorage::open(&folder)
    }

    fn adopt(&mut self) -> Result<(), StoreError> {
        // sled's flush is no fsync: without this a power cut could leave a name for files that are not there.
        sync_tree(&self.folder(self.highest)).map_err(StoreError::Io)?;
        failpoint!("store.home.synced");
        files::sync_directory(&self.directory).map_err(StoreError::Io)?;
        failpoint!("store.home.listed");
        let text = format!("{}\n", self.highest);
        files::write_atomic(&self.directory.join(POINTER), text.as_bytes(), files::PRIVATE).map_err(StoreError::Io)?;
        failpoint!("store.home.pointed");
        self.current = Some(self.highest);
        Ok(())
    }

    fn clean(&mut self) {
        let keep = self.current_folder();
        for entry in fs::read_dir(&self.directory).into_iter().flatten().flatten() {
            let path = entry.path();
            if Some(&path) == keep.as_ref() || entry.file_name() == POINTER {
                continue;
            }
            if let Err(error) = remove(&path) {
                tracing::warn!(path = %path.display(), %error, "a leftover of the store could not be removed");
            }
            failpoint!("store.home.cleaned");
        }
    }

    fn store_bytes(&self) -> u64 {
        self.current_folder().map_or(0, |folder| directory_bytes(&folder))
    }
}

fn read_pointer(path: &Path) -> io::Result<Option<u64>> {
    match files::read_bounded(path, POINTER_BYTES_MAX) {
        // One that cannot be read names nothing: the store is rebuilt.
        Ok(bytes) => Ok(std::str::from_utf8(&bytes).ok().and_then(|text| text.trim().parse().ok())),
        Err(error) if matches!(error.kind(), ErrorKind::NotFound | ErrorKind::FileTooLarge) => Ok(None),
        Err(error) => Err(error),
    }
}

fn parse_folder(name: &std::ffi::OsStr) -> Option<u64> {
    name.to_str().and_then(|name| name.parse().ok())
}

/// Removes a file or a folder with all that is in it; it may be gone already.
fn remove(path: &Path) -> io::Result<()> {
    let removed = if path.is_dir() { fs::remove_dir_all(path) } else { fs::remove_file(path) };
    match removed {
        Err(error) if error.kind() == ErrorKind::NotFound => Ok(()),
        removed => removed,
    }
}

fn sync_tree(folder: &Path) -> io::Result<()> {
    for entry in fs::read_dir(folder)? {
        let entry = entry?;
        if entry.file_type()?.is_dir() {
            sync_tree(&entry.path())?;
        } else {
            match fs::File::open(entry.path()) {
                Ok(file) => file.sync_all()?,
                // sled replaces files of its own while it runs.
                Err(error) if error.kind() == ErrorKind::NotFound => {}
                Err(error) => return Err(error),
            }
        }
    }
    files::sync_directory(folder)
}

/// Size of all files below; what cannot be read counts nothing.
pub(super) fn directory_bytes(path: &Path) -> u64 {
    let Ok(entries) = fs::read_dir(path) else { return 0 };
    entries
        .flatten()
        .map(|entry| match entry.metadata() {
            Ok(metadata) if metadata.is_dir() => directory_bytes(&entry.path()),
            Ok(metadata) => metadata.len(),
            Err(_) => 0,
        })
        .sum()
}

#[cfg(test)]
mod tests;
