//! One disk as plain data: the files as processes see them, and beside them what would survive a power cut. Makes no
//! calls, and knows neither kernel nor server.
//!
//! The rules are the strict ones: the bytes of a file survive when the file was synced, its name when the folder was. A
//! file whose folder was synced and which itself never was is there and empty.

use std::{
    collections::{BTreeMap, BTreeSet},
    ffi::{OsStr, OsString},
    ops::Range,
    path::PathBuf,
    time::SystemTime,
};

use nix::errno::Errno;

use super::{
    content::{Content, PAGE, pages_of},
    faults::Faults,
};

/// Number of a file, folder or link; never used again.
pub type Ino = u64;
/// The folder that everything is in.
pub const ROOT: Ino = 1;
/// No file is longer: its pages are in one list.
const FILE_BYTES_MAX: u64 = 16 << 30;
/// Of one name.
const NAME_BYTES_MAX: usize = 255;

/// What there is about a file, folder or link.
#[derive(Debug, Clone)]
pub struct Meta {
    /// Its rights.
    pub mode: u16,
    /// Who owns it: user and group.
    pub owner: (u32, u32),
    /// When it was changed.
    pub modified: SystemTime,
}

/// What something is.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Kind {
    /// A file.
    File,
    /// A folder.
    Folder,
    /// A symbolic link.
    Link,
}

/// What `stat` tells.
#[derive(Debug, Clone)]
pub struct Attributes {
    /// Its number.
    pub ino: Ino,
    /// What it is.
    pub kind: Kind,
    /// Bytes.
    pub size: u64,
    /// Pages that take room.
    pub pages: u64,
    /// The rest.
    pub meta: Meta,
}

/// What `setattr` changes.
#[derive(Debug, Clone, Default)]
pub struct Change {
    /// Its rights.
    pub mode: Option<u16>,
    /// The user.
    pub user: Option<u32>,
    /// The group.
    pub group: Option<u32>,
    /// Bytes.
    pub size: Option<u64>,
    /// When it was changed.
    pub modified: Option<SystemTime>,
}

#[derive(Debug, Clone)]
pub(super) enum Body {
    File(Content),
    Folder(BTreeMap<OsString, Ino>),
    Link(PathBuf),
}

#[derive(Debug, Clone)]
pub(super) struct Node {
    pub(super) body: Body,
    pub(super) meta: Meta,
}

/// What of a file or folder no sync has covered.
#[derive(Debug, Clone, Default)]
pub(super) struct Dirty {
    /// Of a file.
    pub(super) pages: BTreeSet<usize>,
    /// The page that was written last.
    pub(super) last: Option<usize>,
    /// Folders that something moved to or from: both survive, or neither.
    pub(super) with: BTreeSet<Ino>,
}

/// A disk.
#[derive(Debug)]
pub struct Store {
    pub(super) live: BTreeMap<Ino, Node>,
    pub(super) durable: BTreeMap<Ino, Node>,
    pub(super) dirty: BTreeMap<Ino, Dirty>,
    /// Without a name, and open.
    orphans: BTreeSet<Ino>,
    opened: BTreeMap<Ino, u64>,
    next: Ino,
    /// Pages there is room for, and pages taken.
    room: u64,
    taken: u64,
    /// How often the power was cut.
    pub(super) lives: u64,
    pub(super) faults: Faults,
    /// What it is now, for what is changed.
    pub now: SystemTime,
}

impl Body {
    fn kind(&self) -> Kind {
        match self {
            Self::File(_) => Kind::File,
            Self::Folder(_) => Kind::Folder,
            Self::Link(_) => Kind::Link,
        }
    }

    /// As it is when a folder was synced, and this itself never was.
    pub(super) fn unsynced(&self) -> Self {
        match self {
            Self::File(_) => Self::File(Content::default()),
            Self::Folder(_) => Self::Folder(BTreeMap::new()),
            Self::Link(target) => Self::Link(target.clone()),
        }
    }
}

impl Store {
    /// An empty disk of so many bytes.
    #[must_use]
    pub fn new(bytes: u64) -> Self {
        let meta = Meta { mode: 0o700, owner: (0, 0), modified: SystemTime::UNIX_EPOCH };
        let root = Node { body: Body::Folder(BTreeMap::new()), meta };
        Self {
            live: [(ROOT, root.clone())].into(),
            durable: [(ROOT, root)].into(),
            dirty: BTreeMap::new(),
            orphans: BTreeSet::new(),
            opened: BTreeMap::new(),
            next: ROOT + 1,
            room: bytes / PAGE as u64,
            taken: 0,
            lives: 0,
            faults: Faults::default(),
            now: SystemTime::UNIX_EPOCH,
        }
    }

    /// How often the power was cut: what was open before is not any more.
    #[must_use]
    pub fn lives(&self) -> u64 {
        self.lives
    }

    /// Pages in all, and those that are free.
    #[must_use]
    pub fn room(&self) -> (u64, u64) {
        (self.room, self.room.saturating_sub(self.taken))
    }

    /// From now on it has room for so many bytes, whatever is on it.
    pub fn set_room(&mut self, bytes: u64) {
        self.room = bytes / PAGE as u64;
    }

    /// Nothing more fits.
    pub fn fill(&mut self) {
        self.room = self.taken;
    }

    fn node(&self, ino: Ino) -> Result<&Node, Errno> {
        self.live.get(&ino).ok_or(Errno::ESTALE)
    }

    fn entries_of(&self, ino: Ino) -> Result<&BTreeMap<OsString, Ino>, Errno> {
        match &self.node(ino)?.body {
            Body::Folder(entries) => Ok(entries),
            _ => Err(Errno::ENOTDIR),
        }
    }

    fn content_of(&mut self, ino: Ino) -> Result<&mut Content, Errno> {
        match self.live.get_mut(&ino).map(|node| &mut node.body) {
            Some(Body::File(content)) => Ok(content),
            Some(_) => Err(Errno::EISDIR),
            None => Err(Errno::ESTALE),
        }
    }

    /// What a name stands for.
    pub fn lookup(&self, parent: Ino, name: &OsStr) -> Result<Attributes, Errno> {
        let ino = *self.entries_of(parent)?.get(name).ok_or(Errno::ENOENT)?;
        self.attributes(ino)
    }

    /// What there is about it.
    pub fn attributes(&self, ino: Ino) -> Result<Attributes, Errno> {
        let node = self.node(ino)?;
        let (size, pages) = match &node.body {
            Body::File(content) => (content.size(), content.room()),
            Body::Folder(_) => (PAGE as u64, 1),
            Body::Link(target) => (target.as_os_str().len() as u64, 1),
        };
        Ok(Attributes { ino, kind: node.body.kind(), size, pages, meta: node.meta.clone() })
    }

    /// All names in a folder, with what they stand for.
    pub fn entries(&self, ino: Ino) -> Result<Vec<(OsString, Ino, Kind)>, Errno> {
        let entry = |(name, ino): (&OsString, &Ino)| Ok((name.clone(), *ino, self.node(*ino)?.body.kind()));
        self.entries_of(ino)?.iter().map(entry).collect()
    }

    /// Where a link points.
    pub fn target(&self, ino: Ino) -> Result<PathBuf, Errno> {
        match &self.node(ino)?.body {
            Body::Link(target) => Ok(target.clone()),
            _ => Err(Errno::EINVAL),
        }
    }

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

    fn resize(&mut self, ino: Ino, size: u64) -> Result<(), Errno> {
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
            if failed.drops {
                // As Linux does: the pages count as clean, and nobody will write them again.
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

    /// Where it is, from the root.
    #[must_use]
    pub fn path_of(&self, ino: Ino) -> Option<PathBuf> {
        self.files().into_iter().find(|(_, found)| *found == ino).map(|(path, _)| path)
    }

    /// Everything with a name, from the root.
    #[must_use]
    pub fn files(&self) -> Vec<(PathBuf, Ino)> {
        let mut found = Vec::new();
        let mut folders = vec![(PathBuf::new(), ROOT)];
        while let Some((path, folder)) = folders.pop() {
            for (name, ino) in self.entries_of(folder).into_iter().flatten() {
                let path = path.join(name);
                if self.entries_of(*ino).is_ok() {
                    folders.push((path.clone(), *ino));
                }
                found.push((path, *ino));
            }
        }
        found
    }

    /// All is as after a start: nothing open, what is live taken from what is durable.
    pub(super) fn begin_life(&mut self) {
        self.live = self.durable.clone();
        self.dirty.clear();
        self.opened.clear();
        self.orphans.clear();
        self.lives += 1;
        let room = |node: &Node| if let Body::File(content) = &node.body { content.room() } else { 0 };
        self.taken = self.live.values().map(room).sum();
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
