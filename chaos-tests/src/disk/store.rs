//! One disk as plain data: the files as processes see them, and beside them what would survive a power cut. Makes no
//! calls, and knows neither kernel nor server.
//!
//! The rules are the strict ones: the bytes of a file survive when the file was synced, its name when the folder was. A
//! file whose folder was synced and which itself never was is there and empty.

use std::{
    collections::{BTreeMap, BTreeSet},
    ffi::{OsStr, OsString},
    path::PathBuf,
    time::SystemTime,
};

use nix::errno::Errno;

use super::{
    content::{Content, PAGE},
    faults::Faults,
};

/// Number of a file, folder or link; never used again.
pub type Ino = u64;
/// The folder that everything is in.
pub const ROOT: Ino = 1;

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
    pub(super) orphans: BTreeSet<Ino>,
    pub(super) opened: BTreeMap<Ino, u64>,
    pub(super) next: Ino,
    /// Pages there is room for, and pages taken.
    room: u64,
    pub(super) taken: u64,
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

    pub(super) fn node(&self, ino: Ino) -> Result<&Node, Errno> {
        self.live.get(&ino).ok_or(Errno::ESTALE)
    }

    pub(super) fn entries_of(&self, ino: Ino) -> Result<&BTreeMap<OsString, Ino>, Errno> {
        match &self.node(ino)?.body {
            Body::Folder(entries) => Ok(entries),
            _ => Err(Errno::ENOTDIR),
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
