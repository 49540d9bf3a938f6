//! Between what the kernel says and what a [`Store`] knows. Pure, but for the time of day.

use std::time::{Duration, SystemTime};

use boss_base::clock::{Clock, SystemClock};
use fuser::{FileAttr, FileType, INodeNo, Request, TimeOrNow};
use nix::errno::Errno;

use super::{
    content::PAGE,
    store::{Attributes, Ino, Kind, Meta, ROOT, Store},
};

/// Numbers of files differ between lives, so that nobody takes one of now for one of before.
const LIFE_SHIFT: u32 = 40;
const BLOCKS_OF_PAGE: u64 = PAGE as u64 / 512;
pub(super) const PAGE_BYTES: u32 = PAGE as u32;

pub(super) fn now() -> SystemTime {
    SystemTime::UNIX_EPOCH + Duration::from_millis(SystemClock.unix_millis())
}

pub(super) fn error(errno: Errno) -> fuser::Errno {
    fuser::Errno::from_i32(errno as i32)
}

/// The number by which the kernel knows it in this life.
pub(super) fn outside(lives: u64, ino: Ino) -> u64 {
    if ino == ROOT { ROOT } else { lives << LIFE_SHIFT | ino }
}

pub(super) fn inside(store: &Store, ino: INodeNo) -> Result<Ino, Errno> {
    let ino = u64::from(ino);
    if ino == ROOT {
        return Ok(ROOT);
    }
    let (life, ino) = (ino >> LIFE_SHIFT, ino & ((1 << LIFE_SHIFT) - 1));
    if life == store.lives() { Ok(ino) } else { Err(Errno::ESTALE) }
}

pub(super) fn file_type(kind: Kind) -> FileType {
    match kind {
        Kind::File => FileType::RegularFile,
        Kind::Folder => FileType::Directory,
        Kind::Link => FileType::Symlink,
    }
}

pub(super) fn described(store: &Store, attributes: &Attributes) -> FileAttr {
    let time = attributes.meta.modified;
    FileAttr {
        ino: INodeNo(outside(store.lives(), attributes.ino)),
        size: attributes.size,
        blocks: attributes.pages * BLOCKS_OF_PAGE,
        atime: time,
        mtime: time,
        ctime: time,
        crtime: time,
        kind: file_type(attributes.kind),
        perm: attributes.meta.mode,
        nlink: if attributes.kind == Kind::Folder { 2 } else { 1 },
        uid: attributes.meta.owner.0,
        gid: attributes.meta.owner.1,
        rdev: 0,
        blksize: PAGE_BYTES,
        flags: 0,
    }
}

pub(super) fn meta(request: &Request, mode: u32, umask: u32, now: SystemTime) -> Meta {
    let mode = u16::try_from(mode & !umask & 0o7777).unwrap_or_default();
    Meta { mode, owner: (request.uid(), request.gid()), modified: now }
}

pub(super) fn time(time: TimeOrNow) -> SystemTime {
    match time {
        TimeOrNow::SpecificTime(time) => time,
        TimeOrNow::Now => now(),
    }
}
