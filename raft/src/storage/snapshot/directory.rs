//! The directory of snapshot files: names, the newest, how many stay. Knows no contents.

use std::{
    fs::{self, File},
    io,
    path::{Path, PathBuf},
    sync::{
        Arc,
        atomic::{AtomicU64, Ordering},
    },
};

use boss_base::{files, tasks::Blocking};

use super::SnapshotFile;
use crate::{
    bugs::{self, Bug},
    failpoints::failpoint,
    types::LogId,
};

/// The newest, and one more in case that a transfer of it is under way or the newest cannot be read.
const KEPT: usize = 2;
const ENDING: &str = ".snapshot";
const TEMPORARY: &str = ".tmp";

/// Where snapshots are.
#[derive(Debug, Clone)]
pub(crate) struct Directory {
    path: Arc<PathBuf>,
    next_temporary: Arc<AtomicU64>,
    blocking: Blocking,
}

impl Directory {
    /// Makes the directory when it is missing and clears what a crash left half written.
    pub(crate) fn open(path: &Path, blocking: Blocking) -> io::Result<Self> {
        files::create_private_directory(path)?;
        for name in names(path)? {
            if name.ends_with(TEMPORARY) {
                fs::remove_file(path.join(name))?;
            }
        }
        // Nothing that the log may be purged up to is known to the kernel only: neither the newest name, which the
        // process may have been killed right after, nor the directory, which may be new.
        files::sync_directory(path)?;
        files::sync_directory(path.parent().unwrap_or(Path::new(".")))?;
        Ok(Self { path: Arc::new(path.to_owned()), next_temporary: Arc::default(), blocking })
    }

    /// Where its files are read and written.
    pub(crate) fn blocking(&self) -> Blocking {
        self.blocking
    }

    /// Whole snapshots, newest first.
    pub(crate) fn list(&self) -> io::Result<Vec<PathBuf>> {
        let mut names: Vec<_> = names(&self.path)?.into_iter().filter(|name| name.ends_with(ENDING)).collect();
        names.sort_unstable_by(|a, b| b.cmp(a));
        Ok(names.into_iter().map(|name| self.path.join(name)).collect())
    }

    /// A name that nothing else has, for a file that is being written.
    pub(crate) fn temporary(&self) -> PathBuf {
        self.path.join(format!("{}{TEMPORARY}", self.next_temporary.fetch_add(1, Ordering::Relaxed)))
    }

    /// Gives a written file its name, durably: file, then name. Older ones go. A file from elsewhere is copied.
    pub(crate) fn adopt(&self, written: &Path, log_id: Option<LogId>) -> io::Result<SnapshotFile> {
        if written.parent() != Some(&self.path) {
            let temporary = self.temporary();
            fs::copy(written, &temporary)?;
            return self.adopt(&temporary, log_id);
        }
        if bugs::on(Bug::PurgeBeforeSnapshot) {
            return SnapshotFile::at(written.to_owned(), self.blocking);
        }
        File::open(written)?.sync_all()?;
        failpoint!("snapshot.synced");
        let (index, term) = log_id.map_or((0, 0), |log_id| (log_id.index, log_id.leader_id.term));
        // Fixed width, so that the order of names is the order of entries.
        let path = self.path.join(format!("{index:020}-{term:020}{ENDING}"));
        fs::rename(written, &path)?;
        failpoint!("snapshot.renamed");
        files::sync_directory(&self.path)?;
        failpoint!("snapshot.listed");
        self.remove_old(&path);
        SnapshotFile::at(path, self.blocking)
    }

    /// Removes a file that did not become a snapshot; the next start removes what this cannot.
    pub(crate) fn discard(&self, written: &Path) {
        if written.parent() == Some(&self.path) && written.extension().is_some_and(|ending| ending == "tmp") {
            let _ = fs::remove_file(written);
        }
    }

    /// One that stays too long does no harm: the next adoption tries again. The one just adopted stays, also when an
    /// installation has overtaken it.
    fn remove_old(&self, adopted: &Path) {
        let old = self.list().unwrap_or_default().into_iter().skip(KEPT);
        for path in old.filter(|path| path != adopted) {
            if let Err(error) = fs::remove_file(&path) {
                tracing::warn!(path = %path.display(), %error, "an old snapshot could not be removed");
            }
            failpoint!("snapshot.old-removed");
        }
    }
}

fn names(path: &Path) -> io::Result<Vec<String>> {
    fs::read_dir(path)?.map(|entry| Ok(entry?.file_name().to_string_lossy().into_owned())).collect()
}
