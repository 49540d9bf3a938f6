//! Names on a disk: what is made, renamed, removed and open. Pure.

use std::{collections::BTreeMap, ffi::OsStr, path::PathBuf};

use nix::errno::Errno;

use super::{
    content::Content,
    store::{Attributes, Body, Change, Ino, Kind, Meta, Node, Store},
};

/// Of one name.
const NAME_BYTES_MAX: usize = 255;

impl Store {
    /// Changes what there is about it.
    pub fn change(&mut self, ino: Ino, change: &Change) -> Result<Attributes, Errno> {
        self.faults.may_change()?;
        if let Some(size) = change.size {
            self.resize(ino, size)?;
        }
        let now = self.now;
        let meta = &mut self.live.get_mut(&ino).ok_or(Errno::ESTALE)?.meta;
        meta.mode = change.mode.unwrap_or(meta.mode);
        meta.owner = (change.user.unwrap_or(meta.owner.0), change.group.unwrap_or(meta.owner.1));
        meta.modified = change.modified.unwrap_or(if change.size.is_some() { now } else { meta.modified });
        self.dirty.entry(ino).or_default();
        self.attributes(ino)
    }

    /// An empty file.
    pub fn make_file(&mut self, parent: Ino, name: &OsStr, meta: Meta) -> Result<Attributes, Errno> {
        self.make(parent, name, Body::File(Content::default()), meta)
    }

    /// An empty folder.
    pub fn make_folder(&mut self, parent: Ino, name: &OsStr, meta: Meta) -> Result<Attributes, Errno> {
        self.make(parent, name, Body::Folder(BTreeMap::new()), meta)
    }

    /// A link to this.
    pub fn make_link(&mut self, parent: Ino, name: &OsStr, target: PathBuf, meta: Meta) -> Result<Attributes, Errno> {
        self.make(parent, name, Body::Link(target), meta)
    }

    fn make(&mut self, parent: Ino, name: &OsStr, body: Body, meta: Meta) -> Result<Attributes, Errno> {
        self.faults.may_change()?;
        if name.len() > NAME_BYTES_MAX {
            return Err(Errno::ENAMETOOLONG);
        }
        if self.entries_of(parent)?.contains_key(name) {
            return Err(Errno::EEXIST);
        }
        let ino = self.next;
        self.next += 1;
        self.live.insert(ino, Node { body, meta });
        self.set_entry(parent, name, Some(ino))?;
        self.attributes(ino)
    }

    /// What the name stands for from now on.
    fn set_entry(&mut self, parent: Ino, name: &OsStr, ino: Option<Ino>) -> Result<(), Errno> {
        let now = self.now;
        let node = self.live.get_mut(&parent).ok_or(Errno::ESTALE)?;
        let Body::Folder(entries) = &mut node.body else { return Err(Errno::ENOTDIR) };
        match ino {
            Some(ino) => entries.insert(name.to_owned(), ino),
            None => entries.remove(name),
        };
        node.meta.modified = now;
        self.dirty.entry(parent).or_default();
        Ok(())
    }

    /// Removes a file or link.
    pub fn remove_file(&mut self, parent: Ino, name: &OsStr) -> Result<(), Errno> {
        self.faults.may_change()?;
        let found = self.lookup(parent, name)?;
        if found.kind == Kind::Folder {
            return Err(Errno::EISDIR);
        }
        self.set_entry(parent, name, None)?;
        self.let_go(found.ino);
        Ok(())
    }

    /// Removes an empty folder.
    pub fn remove_folder(&mut self, parent: Ino, name: &OsStr) -> Result<(), Errno> {
        self.faults.may_change()?;
        let found = self.lookup(parent, name)?;
        if !self.entries_of(found.ino)?.is_empty() {
            return Err(Errno::ENOTEMPTY);
        }
        self.set_entry(parent, name, None)?;
        self.let_go(found.ino);
        Ok(())
    }

    /// Gives something another name, in place of what had it.
    pub fn rename(&mut self, from: (Ino, &OsStr), to: (Ino, &OsStr), replace: bool) -> Result<(), Errno> {
        self.faults.may_change()?;
        let moved = self.lookup(from.0, from.1)?;
        if to.1.len() > NAME_BYTES_MAX {
            return Err(Errno::ENAMETOOLONG);
        }
        let there = match self.lookup(to.0, to.1) {
            Ok(there) => Some(there),
            Err(Errno::ENOENT) => None,
            Err(errno) => return Err(errno),
        };
        if let Some(there) = &there {
            if there.ino == moved.ino {
                return Ok(());
            }
            self.may_replace(&moved, there, replace)?;
        }
        self.set_entry(from.0, from.1, None)?;
        self.set_entry(to.0, to.1, Some(moved.ino))?;
        if from.0 != to.0 {
            self.dirty.entry(from.0).or_default().with.insert(to.0);
            self.dirty.entry(to.0).or_default().with.insert(from.0);
        }
        if let Some(there) = there {
            self.let_go(there.ino);
        }
        Ok(())
    }

    fn may_replace(&self, moved: &Attributes, there: &Attributes, replace: bool) -> Result<(), Errno> {
        match (moved.kind == Kind::Folder, there.kind == Kind::Folder) {
            _ if !replace => Err(Errno::EEXIST),
            (true, false) => Err(Errno::ENOTDIR),
            (false, true) => Err(Errno::EISDIR),
            (true, true) if !self.entries_of(there.ino)?.is_empty() => Err(Errno::ENOTEMPTY),
            _ => Ok(()),
        }
    }

    /// It has no name any more.
    fn let_go(&mut self, ino: Ino) {
        if self.opened.contains_key(&ino) {
            self.orphans.insert(ino);
        } else {
            self.forget(ino);
        }
    }

    fn forget(&mut self, ino: Ino) {
        if let Some(Node { body: Body::File(content), .. }) = self.live.remove(&ino) {
            self.taken -= content.room();
        }
        self.dirty.remove(&ino);
        self.sweep();
    }

    /// Somebody has it open.
    pub fn open(&mut self, ino: Ino) -> Result<(), Errno> {
        self.node(ino)?;
        *self.opened.entry(ino).or_default() += 1;
        Ok(())
    }

    /// And not any more.
    pub fn close(&mut self, ino: Ino) {
        let Some(count) = self.opened.get_mut(&ino) else { return };
        *count -= 1;
        if *count == 0 {
            self.opened.remove(&ino);
            if self.orphans.remove(&ino) {
                self.forget(ino);
            }
        }
    }
}
