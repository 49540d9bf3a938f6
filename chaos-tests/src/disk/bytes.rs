//! Bytes of files on a disk: what is read, written, reserved and synced. Pure.

use std::{ops::Range, path::PathBuf};

use nix::errno::Errno;

use super::{
    content::{Content, PAGE, pages_of},
    store::{Body, Ino, Store},
};

/// No file is longer: its pages are in one list.
const FILE_BYTES_MAX: u64 = 16 << 30;

impl Store {
    fn content_of(&mut self, ino: Ino) -> Result<&mut Content, Errno> {
        match self.live.get_mut(&ino).map(|node| &mut node.body) {
            Some(Body::File(content)) => Ok(content),
            Some(_) => Err(Errno::EISDIR),
            None => Err(Errno::ESTALE),
        }
    }

    pub(super) fn resize(&mut self, ino: Ino, size: u64) -> Result<(), Errno> {
        if size > FILE_BYTES_MAX {
            return Err(Errno::EFBIG);
        }
        let content = self.content_of(ino)?;
        let before = content.room();
        let changed = content.resize(size);
        let freed = before - content.room();
        self.taken -= freed;
        self.dirty.entry(ino).or_default().pages.extend(changed);
        Ok(())
    }

    /// The bytes there, fewer at the end.
    pub fn read(&mut self, ino: Ino, offset: u64, length: usize) -> Result<Vec<u8>, Errno> {
        let mut bytes = self.content_of(ino)?.read(offset, length);
        self.faults.flip(ino, offset, &mut bytes);
        Ok(bytes)
    }

    /// Writes what there is room for, and returns how much that was.
    pub fn write(&mut self, ino: Ino, offset: u64, bytes: &[u8]) -> Result<usize, Errno> {
        self.faults.may_change()?;
        let path = self.path_if_armed(ino);
        self.faults.on_write(path.as_deref())?;
        if offset.saturating_add(bytes.len() as u64) > FILE_BYTES_MAX {
            return Err(Errno::EFBIG);
        }
        let free = self.room().1;
        let now = self.now;
        let content = self.content_of(ino)?;
        let fits = fitting(content, offset, bytes.len(), free).ok_or(Errno::ENOSPC)?;
        let before = content.room();
        content.write(offset, &bytes[..fits]);
        let pages = pages_of(offset..offset + fits as u64);
        let taken = content.room() - before;
        self.taken += taken;
        let dirty = self.dirty.entry(ino).or_default();
        dirty.last = pages.clone().next_back();
        dirty.pages.extend(pages);
        if let Some(node) = self.live.get_mut(&ino) {
            node.meta.modified = now;
        }
        Ok(fits)
    }

    /// Reserves room for these bytes, and makes the file as long unless its size is to stay.
    pub fn allocate(&mut self, ino: Ino, bytes: Range<u64>, keep_size: bool) -> Result<(), Errno> {
        self.faults.may_change()?;
        if bytes.end > FILE_BYTES_MAX {
            return Err(Errno::EFBIG);
        }
        let free = self.room().1;
        let content = self.content_of(ino)?;
        let holes: Vec<usize> = content.holes(pages_of(bytes.clone())).collect();
        if holes.len() as u64 > free {
            return Err(Errno::ENOSPC);
        }
        for page in &holes {
            content.reserve(*page);
        }
        if !keep_size && bytes.end > content.size() {
            content.resize(bytes.end);
        }
        self.taken += holes.len() as u64;
        self.dirty.entry(ino).or_default().pages.extend(holes);
        Ok(())
    }

    /// Makes a file's bytes or a folder's names durable, or fails as it was told to.
    pub fn sync(&mut self, ino: Ino) -> Result<(), Errno> {
        if !self.dirty.contains_key(&ino) {
            return Ok(());
        }
        self.faults.may_change()?;
        let path = self.path_if_armed(ino);
        if let Err(failed) = self.faults.on_sync(path.as_deref()) {
            if failed.drops && self.content_of(ino).is_ok() {
                // As Linux does with pages, not with names: they count as clean, and nobody will write them again.
                self.dirty.remove(&ino);
            }
            return Err(Errno::EIO);
        }
        self.settle(ino);
        Ok(())
    }

    /// Where it is, if anything is to happen to something of some name; it takes a search.
    fn path_if_armed(&self, ino: Ino) -> Option<PathBuf> {
        if self.faults.are_armed() { self.path_of(ino) } else { None }
    }
}

/// How much of so many bytes fits; none when nothing does.
fn fitting(content: &Content, offset: u64, length: usize, free: u64) -> Option<usize> {
    let end = offset + length as u64;
    let free = usize::try_from(free).unwrap_or(usize::MAX);
    let Some(page) = content.holes(pages_of(offset..end)).nth(free) else { return Some(length) };
    let fits = (page as u64 * PAGE as u64).saturating_sub(offset);
    usize::try_from(fits).ok().filter(|fits| *fits > 0)
}
