//! What goes wrong on a disk, and when. Pure.

use std::{path::Path, time::Duration};

use nix::errno::Errno;

use super::store::Ino;

/// Something that fails a few times.
#[derive(Debug, Clone, Default)]
struct Failing {
    /// Only what lies in here; everything when it is empty.
    within: String,
    times: u32,
}

/// All that is wrong.
#[derive(Debug, Default)]
pub(super) struct Faults {
    read_only: bool,
    syncs: Failing,
    drops: bool,
    writes: Failing,
    delay: Duration,
    flips: Vec<Flip>,
    /// How often something went wrong because of this.
    fired: u64,
}

/// One bit that reads wrong.
#[derive(Debug, Clone, Copy)]
pub(super) struct Flip {
    pub(super) ino: Ino,
    pub(super) offset: u64,
    pub(super) bit: u8,
}

/// A sync that has failed.
#[derive(Debug, Clone, Copy)]
pub(super) struct SyncFailed {
    /// What was to be synced is not tried again.
    pub(super) drops: bool,
}

impl Failing {
    /// Whether it fails now.
    fn strike(&mut self, path: Option<&Path>) -> bool {
        let hit = self.times > 0 && path.is_some_and(|path| path.starts_with(&self.within));
        self.times -= u32::from(hit);
        hit
    }
}

impl Faults {
    pub(super) fn fired(&self) -> u64 {
        self.fired
    }

    pub(super) fn delay(&self) -> Duration {
        self.delay
    }

    pub(super) fn set_delay(&mut self, delay: Duration) {
        self.delay = delay;
    }

    pub(super) fn set_read_only(&mut self, read_only: bool) {
        self.read_only = read_only;
    }

    pub(super) fn fail_syncs(&mut self, within: &str, times: u32, drops: bool) {
        (self.syncs, self.drops) = (Failing { within: within.to_owned(), times }, drops);
    }

    pub(super) fn fail_writes(&mut self, within: &str, times: u32) {
        self.writes = Failing { within: within.to_owned(), times };
    }

    pub(super) fn add_flip(&mut self, flip: Flip) {
        self.flips.push(flip);
    }

    /// All is well again; what was lost stays lost.
    pub(super) fn heal(&mut self) {
        *self = Self { fired: self.fired, ..Self::default() };
    }

    /// Whether something waits for a file of some name.
    pub(super) fn are_armed(&self) -> bool {
        self.syncs.times > 0 || self.writes.times > 0
    }

    pub(super) fn may_change(&mut self) -> Result<(), Errno> {
        self.fired += u64::from(self.read_only);
        if self.read_only { Err(Errno::EROFS) } else { Ok(()) }
    }

    pub(super) fn on_sync(&mut self, path: Option<&Path>) -> Result<(), SyncFailed> {
        if !self.syncs.strike(path) {
            return Ok(());
        }
        self.fired += 1;
        Err(SyncFailed { drops: self.drops })
    }

    pub(super) fn on_write(&mut self, path: Option<&Path>) -> Result<(), Errno> {
        if !self.writes.strike(path) {
            return Ok(());
        }
        self.fired += 1;
        Err(Errno::EIO)
    }

    /// Turns the bits that read wrong.
    pub(super) fn flip(&mut self, ino: Ino, offset: u64, bytes: &mut [u8]) {
        for flip in self.flips.iter().filter(|flip| flip.ino == ino) {
            let at = flip.offset.checked_sub(offset).and_then(|at| usize::try_from(at).ok());
            if let Some(byte) = at.and_then(|at| bytes.get_mut(at)) {
                *byte ^= 1 << flip.bit;
                self.fired += 1;
            }
        }
    }
}
