//! A snapshot that arrives in chunks from another server, into a file of its own until it is whole. One that was cut off
//! stays for a while: the sender goes on from there. Knows no call.

use std::{
    io,
    path::Path,
    sync::{Arc, Mutex, MutexGuard, PoisonError},
};

use boss_base::{files::AsyncFile, tasks::Blocking};
use boss_proto::ids::ServerId;

use super::{SnapshotFile, file::Temporary};
use crate::{failpoints::failpoint, types::LogId};

/// A snapshot on its way in. Dropped before its end, it leaves nothing behind.
#[derive(Debug)]
pub struct SnapshotReceiver {
    file: AsyncFile,
    temporary: Temporary,
    bytes: u64,
    checksum: crc32fast::Hasher,
}

impl SnapshotReceiver {
    pub(crate) async fn begin(path: &Path, blocking: Blocking) -> io::Result<Self> {
        let file = AsyncFile::create_new(path, blocking).await?;
        let temporary = Temporary::at(path, blocking);
        Ok(Self { file, temporary, bytes: 0, checksum: crc32fast::Hasher::new() })
    }

    /// Bytes from its start that are there.
    #[must_use]
    pub fn received(&self) -> u64 {
        self.bytes
    }

    /// Takes the next bytes.
    pub async fn write_chunk(&mut self, chunk: &[u8]) -> io::Result<()> {
        self.file.write_all(chunk).await?;
        self.bytes += chunk.len() as u64;
        self.checksum.update(chunk);
        failpoint!("snapshot.received-chunk");
        Ok(())
    }

    /// Makes ready for the next bytes after a write that was given up in the middle.
    pub(crate) async fn go_on(&mut self) -> io::Result<()> {
        self.file.cut_to(self.bytes).await
    }

    /// Ends it, if everything came as it was sent. What is in it is checked when it is installed.
    pub async fn finish(mut self, bytes: u64, crc32: u32) -> io::Result<SnapshotFile> {
        if self.bytes != bytes || self.checksum.clone().finalize() != crc32 {
            let problem = format!("{} bytes arrived of {bytes}, or others than were sent", self.bytes);
            return Err(io::Error::new(io::ErrorKind::InvalidData, problem));
        }
        self.file.sync_all().await?;
        failpoint!("snapshot.received");
        Ok(SnapshotFile::received(self.temporary, self.bytes))
    }
}

/// Which file is meant. Another server may pack the same state otherwise, so the sender is part of it.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Transfer {
    /// Who sends it.
    pub from: ServerId,
    /// The last entry in it.
    pub last: Option<LogId>,
    /// Size of the file.
    pub bytes: u64,
}

/// What is left of the transfer that was cut off last; one at most. Clones share it.
#[derive(Debug, Clone, Default)]
pub(crate) struct CutOff(Arc<Mutex<Kept>>);

#[derive(Debug, Default)]
struct Kept {
    file: Option<(Transfer, SnapshotReceiver)>,
    /// The last entry applied here: a snapshot up to it is of no use any more.
    reached: u64,
}

impl CutOff {
    /// Bytes from the start of the file that are there.
    pub(crate) fn received(&self, transfer: Transfer) -> u64 {
        let kept = self.lock();
        kept.file.as_ref().filter(|(other, _)| *other == transfer).map_or(0, |(_, receiver)| receiver.received())
    }

    /// What was kept of the transfer, if it goes on exactly here.
    pub(crate) fn take(&self, transfer: Transfer, offset: u64) -> Option<SnapshotReceiver> {
        let mut kept = self.lock();
        let fits =
            kept.file.as_ref().is_some_and(|(other, receiver)| *other == transfer && receiver.received() == offset);
        if fits { kept.file.take().map(|(_, receiver)| receiver) } else { None }
    }

    /// Forgets what was kept: it is of no use any more, or its room is needed.
    pub(crate) fn clear(&self) {
        // Removes a file: not under the lock.
        let file = self.lock().file.take();
        drop(file);
    }

    /// This server has come so far, by whatever way: what was kept of snapshots up to there goes, now and later.
    pub(crate) fn reached(&self, index: u64) {
        let mut kept = self.lock();
        kept.reached = kept.reached.max(index);
        let reached = kept.reached;
        let outdated = kept.file.take_if(|(transfer, _)| transfer.ends_by(reached));
        drop(kept);
        drop(outdated);
    }

    fn keep(&self, transfer: Transfer, receiver: SnapshotReceiver) {
        let mut kept = self.lock();
        let outdated = if transfer.ends_by(kept.reached) {
            Some((transfer, receiver))
        } else {
            kept.file.replace((transfer, receiver))
        };
        drop(kept);
        drop(outdated);
    }

    fn lock(&self) -> MutexGuard<'_, Kept> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Transfer {
    fn ends_by(&self, index: u64) -> bool {
        self.last.is_none_or(|last| last.index <= index)
    }
}

/// A transfer under way. Dropped in the middle, whatever ended it, what came stays for the next attempt: a call whose
/// connection breaks is not told so, it is dropped.
#[derive(Debug)]
pub(crate) struct Incoming {
    transfer: Transfer,
    cut_off: CutOff,
    /// Taken when nothing can be gone on with.
    receiver: Option<SnapshotReceiver>,
}

impl Incoming {
    pub(crate) fn new(transfer: Transfer, receiver: SnapshotReceiver, cut_off: CutOff) -> Self {
        Self { transfer, cut_off, receiver: Some(receiver) }
    }

    /// Takes the next bytes. After an error nothing is left of it.
    pub(crate) async fn write_chunk(&mut self, chunk: &[u8]) -> io::Result<()> {
        // It stays where it is: this call, too, is dropped when the connection breaks.
        let receiver = self.receiver.as_mut().ok_or(io::ErrorKind::BrokenPipe)?;
        let written = receiver.write_chunk(chunk).await;
        if written.is_err() {
            self.receiver = None;
        }
        written
    }

    /// Ends it, if everything came as it was sent; else nothing is left of it.
    pub(crate) async fn finish(mut self, bytes: u64, crc32: u32) -> io::Result<SnapshotFile> {
        let receiver = self.receiver.take().ok_or(io::ErrorKind::BrokenPipe)?;
        receiver.finish(bytes, crc32).await
    }

    /// What came is of no use.
    pub(crate) fn discard(mut self) {
        self.receiver = None;
    }
}

impl Drop for Incoming {
    fn drop(&mut self) {
        if let Some(receiver) = self.receiver.take().filter(|receiver| receiver.received() > 0) {
            let Transfer { from, bytes, .. } = self.transfer;
            tracing::info!(%from, received = receiver.received(), bytes, "a snapshot was cut off");
            self.cut_off.keep(self.transfer, receiver);
        }
    }
}
