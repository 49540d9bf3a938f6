//! Disks of simulated servers: a batch is on the disk after a while, and what a crash comes before is lost. The bytes lie in
//! a file system in memory, which outlives the simulated server.

use std::{
    fs::File,
    io,
    os::unix::fs::FileExt,
    sync::{
        Arc,
        atomic::{AtomicU64, Ordering},
    },
    time::Duration,
};

use boss_raft::log::Disk;
use futures_util::future::BoxFuture;
use tokio::time::sleep;

/// What a sync takes on a disk that is well.
const SYNC_US: u64 = 1_500;

/// How long syncs of one server take now. Clones share it.
#[derive(Debug, Clone)]
pub(super) struct Speed(Arc<AtomicU64>);

impl Default for Speed {
    fn default() -> Self {
        Self(Arc::new(AtomicU64::new(SYNC_US)))
    }
}

impl Speed {
    pub(super) fn slow_down(&self, sync: Duration) {
        self.0.store(u64::try_from(sync.as_micros()).unwrap_or(u64::MAX), Ordering::SeqCst);
    }

    pub(super) fn recover(&self) {
        self.0.store(SYNC_US, Ordering::SeqCst);
    }
}

/// Until its turn has come a batch is only in the server's memory.
pub(super) struct SimulatedDisk(pub(super) Speed);

impl Disk for SimulatedDisk {
    fn write_at(&mut self, file: &File, bytes: &[u8], offset: u64) -> io::Result<()> {
        file.write_all_at(bytes, offset)
    }

    fn sync(&mut self, _file: &File) -> io::Result<()> {
        Ok(())
    }

    fn turn(&mut self) -> Option<BoxFuture<'static, ()>> {
        let takes = Duration::from_micros(self.0.0.load(Ordering::SeqCst));
        Some(Box::pin(sleep(takes)))
    }
}
