//! How much room the file system of the data folder has, and a reserve that is given up when it has none, so that
//! votes stay durable. Knows no log and no peers.
//!
//! Half of the configured reserve is a file of that size, the other half a mark for the free space beside it. Below
//! either the disk counts as full, and it has room again once the file is back and twice the mark is free.

mod level;
mod reserve;

use std::{
    io,
    path::{Path, PathBuf},
    sync::{Arc, Mutex, MutexGuard, PoisonError},
    time::Duration,
};

use boss_base::tasks::Tasks;
use tokio::sync::watch;

pub use level::Level;

use crate::metric_definitions::{DISK_FREE_BYTES, DISK_FULL};
use level::{Seen, next};
use reserve::Reserve;

/// How often the free space is looked at. Within it a disk can lose some 500 MB, and what the log needs is
/// preallocated.
const LOOK_INTERVAL: Duration = Duration::from_millis(250);

/// The room of one file system. Clones share it.
#[derive(Debug, Clone)]
pub struct Room(Arc<Inner>);

#[derive(Debug)]
struct Inner {
    /// `None` for a file system that is never full.
    folder: Option<Folder>,
    level: watch::Sender<Level>,
    free: watch::Sender<u64>,
}

#[derive(Debug)]
struct Folder {
    path: PathBuf,
    reserve_bytes: u64,
    reserve: Mutex<Reserve>,
}

impl Folder {
    fn reserve(&self) -> MutexGuard<'_, Reserve> {
        // It is a flag and a path: no half change can be seen.
        self.reserve.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Room {
    /// The room around `folder`, of which `reserve_bytes` are kept back. Touches nothing before the first
    /// [`Room::look`].
    #[must_use]
    pub fn new(folder: &Path, reserve_bytes: u64) -> Self {
        let reserve = Mutex::new(Reserve::at(&folder.join("reserve"), reserve_bytes / 2));
        Self::with(Some(Folder { path: folder.to_owned(), reserve_bytes, reserve }))
    }

    /// Room without end, for logs that nobody watches.
    #[must_use]
    pub fn unlimited() -> Self {
        Self::with(None)
    }

    fn with(folder: Option<Folder>) -> Self {
        Self(Arc::new(Inner { folder, level: watch::Sender::new(Level::Enough), free: watch::Sender::new(u64::MAX) }))
    }

    /// Whether there is room, and every change of it.
    #[must_use]
    pub fn level(&self) -> watch::Receiver<Level> {
        self.0.level.subscribe()
    }

    /// Whether nothing that can be put off may be written now.
    #[must_use]
    pub fn is_full(&self) -> bool {
        *self.0.level.borrow() == Level::Full
    }

    /// Bytes that were free when last looked at, without the reserve.
    #[must_use]
    pub fn free_bytes(&self) -> u64 {
        *self.0.free.borrow()
    }

    /// Gives the reserve back to the file system. `false` when it was given up before: then there is nothing left.
    pub fn give_up_reserve(&self) -> bool {
        let Some(folder) = &self.0.folder else { return false };
        let given_up = folder.reserve().give_up();
        self.set(Level::Full);
        given_up
    }

    /// Looks at the free space, takes the reserve back when it fits, and says whether there is room. Blocks.
    pub fn look(&self) -> io::Result<Level> {
        let Some(folder) = &self.0.folder else { return Ok(Level::Enough) };
        let mut reserve = folder.reserve();
        let mut free = free_bytes(&folder.path)?;
        if !reserve.is_held() && free >= folder.reserve_bytes && reserve.take()? {
            free = free_bytes(&folder.path)?;
        }
        let seen = Seen { free, reserve_held: reserve.is_held() };
        drop(reserve);
        self.0.free.send_replace(free);
        let before = *self.0.level.borrow();
        let level = next(before, seen, folder.reserve_bytes);
        self.set(level);
        self.report(free);
        Ok(level)
    }

    /// Looks again and again until the tasks end.
    pub(crate) async fn keep_looking(self, tasks: Tasks) {
        let mut looks = tokio::time::interval(LOOK_INTERVAL);
        looks.set_missed_tick_behavior(tokio::time::MissedTickBehavior::Delay);
        loop {
            looks.tick().await;
            let room = self.clone();
            // On a thread for blocking work: a disk that hangs must not take a worker with it.
            match tasks.run_blocking("disk-look", move || room.look()).await {
                Ok(Ok(_)) => {}
                Ok(Err(error)) => tracing::warn!(%error, "the free space of the data folder cannot be read"),
                Err(_) => return,
            }
        }
    }

    fn set(&self, level: Level) {
        let changed = self.0.level.send_if_modified(|before| std::mem::replace(before, level) != level);
        if !changed {
            return;
        }
        let folder = self.0.folder.as_ref().map(|folder| folder.path.display());
        let (free, folder) = (self.free_bytes(), folder.as_ref().map(tracing::field::display));
        match level {
            Level::Full => {
                tracing::warn!(folder, free, "the disk is full: this server takes no writes until it has room")
            }
            Level::Enough => tracing::info!(folder, free, "the disk has room again"),
        }
    }

    #[expect(clippy::cast_precision_loss, reason = "gauges are floats")]
    fn report(&self, free: u64) {
        metrics::gauge!(DISK_FREE_BYTES).set(free as f64);
        metrics::gauge!(DISK_FULL).set(if self.is_full() { 1.0 } else { 0.0 });
    }
}

/// Whether an error says that a disk or a quota is full.
#[must_use]
pub fn says_full(error: &io::Error) -> bool {
    matches!(error.kind(), io::ErrorKind::StorageFull | io::ErrorKind::QuotaExceeded)
}

/// What processes without privileges may still take.
fn free_bytes(folder: &Path) -> io::Result<u64> {
    let figures = rustix::fs::statvfs(folder)?;
    Ok(figures.f_bavail.saturating_mul(figures.f_frsize))
}

#[cfg(test)]
mod tests {
    use tempfile::TempDir;

    use super::*;

    #[test]
    fn the_reserve_is_taken_given_up_and_taken_back() {
        const RESERVE: u64 = 64 * 1024;
        let folder = TempDir::new().unwrap();
        let room = Room::new(folder.path(), RESERVE);
        let size = || std::fs::metadata(folder.path().join("reserve")).map(|file| file.len()).ok();
        assert_eq!((room.look().unwrap(), size()), (Level::Enough, Some(RESERVE / 2)));
        assert!(room.give_up_reserve());
        assert_eq!((room.is_full(), size()), (true, None));
        assert!(!room.give_up_reserve());
        assert_eq!((room.look().unwrap(), size()), (Level::Enough, Some(RESERVE / 2)));
    }

    #[test]
    fn a_reserve_that_does_not_fit_is_not_begun() {
        let folder = TempDir::new().unwrap();
        let room = Room::new(folder.path(), 1 << 60);
        assert_eq!(room.look().unwrap(), Level::Full);
        assert!(!folder.path().join("reserve").exists());
    }

    #[test]
    fn a_reserve_of_another_size_is_replaced() {
        let folder = TempDir::new().unwrap();
        std::fs::write(folder.path().join("reserve"), b"short").unwrap();
        let room = Room::new(folder.path(), 1 << 16);
        assert_eq!(room.look().unwrap(), Level::Enough);
        assert_eq!(std::fs::metadata(folder.path().join("reserve")).unwrap().len(), 1 << 15);
    }
}
