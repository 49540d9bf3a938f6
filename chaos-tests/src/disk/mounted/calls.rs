//! What the kernel asks of a file system, call by call. Each is one question to the store.

use std::{
    ffi::OsStr,
    path::Path,
    sync::{PoisonError, atomic::Ordering},
    time::SystemTime,
};

use fuser::{
    BsdFileFlags, FileHandle, Filesystem, FopenFlags, Generation, INodeNo, LockOwner, OpenFlags, RenameFlags,
    ReplyAttr, ReplyCreate, ReplyData, ReplyDirectory, ReplyEmpty, ReplyEntry, ReplyOpen, ReplyStatfs, ReplyWrite,
    Request, TimeOrNow, WriteFlags,
};
use nix::libc;

use super::{
    super::{
        store::{Change, Store},
        translate::{PAGE_BYTES, described, file_type, inside, meta, outside, time},
    },
    Listing, Mounted, NOT_CACHED, answer,
};

/// Files that a disk can have: more than anybody makes.
const FILES: u64 = 1 << 20;
/// Of one name.
const NAME_BYTES: u32 = 255;

impl Filesystem for Mounted {
    fn lookup(&self, _: &Request, parent: INodeNo, name: &OsStr, reply: ReplyEntry) {
        self.entry(parent, reply, |store, parent| store.lookup(parent, name));
    }

    fn getattr(&self, _: &Request, ino: INodeNo, _: Option<FileHandle>, reply: ReplyAttr) {
        match self.with(ino, |store, ino| Ok(described(store, &store.attributes(ino)?))) {
            Ok(attr) => reply.attr(&NOT_CACHED, &attr),
            Err(errno) => reply.error(errno),
        }
    }

    fn setattr(
        &self,
        _: &Request,
        ino: INodeNo,
        mode: Option<u32>,
        user: Option<u32>,
        group: Option<u32>,
        size: Option<u64>,
        _: Option<TimeOrNow>,
        modified: Option<TimeOrNow>,
        _: Option<SystemTime>,
        _: Option<FileHandle>,
        _: Option<SystemTime>,
        _: Option<SystemTime>,
        _: Option<SystemTime>,
        _: Option<BsdFileFlags>,
        reply: ReplyAttr,
    ) {
        let mode = mode.map(|mode| u16::try_from(mode & 0o7777).unwrap_or_default());
        let change = Change { mode, user, group, size, modified: modified.map(time) };
        let changed = self.with(ino, |store, ino| {
            let attributes = store.change(ino, &change)?;
            Ok(described(store, &attributes))
        });
        match changed {
            Ok(attr) => reply.attr(&NOT_CACHED, &attr),
            Err(errno) => reply.error(errno),
        }
    }

    fn readlink(&self, _: &Request, ino: INodeNo, reply: ReplyData) {
        match self.with(ino, |store, ino| store.target(ino)) {
            Ok(target) => reply.data(target.as_os_str().as_encoded_bytes()),
            Err(errno) => reply.error(errno),
        }
    }

    fn mknod(&self, req: &Request, parent: INodeNo, name: &OsStr, mode: u32, umask: u32, _: u32, reply: ReplyEntry) {
        if mode & libc::S_IFMT != libc::S_IFREG {
            reply.error(fuser::Errno::EPERM);
            return;
        }
        self.entry(parent, reply, |store, parent| store.make_file(parent, name, meta(req, mode, umask, store.now)));
    }

    fn mkdir(&self, req: &Request, parent: INodeNo, name: &OsStr, mode: u32, umask: u32, reply: ReplyEntry) {
        self.entry(parent, reply, |store, parent| store.make_folder(parent, name, meta(req, mode, umask, store.now)));
    }

    fn symlink(&self, req: &Request, parent: INodeNo, name: &OsStr, target: &Path, reply: ReplyEntry) {
        self.entry(parent, reply, |store, parent| {
            store.make_link(parent, name, target.to_owned(), meta(req, 0o777, 0, store.now))
        });
    }

    fn unlink(&self, _: &Request, parent: INodeNo, name: &OsStr, reply: ReplyEmpty) {
        answer(reply, self.with(parent, |store, parent| store.remove_file(parent, name)));
    }

    fn rmdir(&self, _: &Request, parent: INodeNo, name: &OsStr, reply: ReplyEmpty) {
        answer(reply, self.with(parent, |store, parent| store.remove_folder(parent, name)));
    }

    fn rename(
        &self,
        _: &Request,
        parent: INodeNo,
        name: &OsStr,
        to: INodeNo,
        to_name: &OsStr,
        flags: RenameFlags,
        reply: ReplyEmpty,
    ) {
        let replace = !flags.contains(RenameFlags::RENAME_NOREPLACE);
        if !RenameFlags::RENAME_NOREPLACE.contains(flags) {
            reply.error(fuser::Errno::EINVAL);
            return;
        }
        answer(
            reply,
            self.with(parent, |store, parent| {
                let to = inside(store, to)?;
                store.rename((parent, name), (to, to_name), replace)
            }),
        );
    }

    fn open(&self, _: &Request, ino: INodeNo, _: OpenFlags, reply: ReplyOpen) {
        match self.with(ino, Store::open) {
            Ok(()) => reply.opened(FileHandle(0), FopenFlags::FOPEN_DIRECT_IO),
            Err(errno) => reply.error(errno),
        }
    }

    fn create(&self, req: &Request, parent: INodeNo, name: &OsStr, mode: u32, umask: u32, _: i32, reply: ReplyCreate) {
        let created = self.with(parent, |store, parent| {
            let made = store.make_file(parent, name, meta(req, mode, umask, store.now))?;
            store.open(made.ino)?;
            Ok(described(store, &made))
        });
        match created {
            Ok(attr) => {
                reply.created(&NOT_CACHED, &attr, Generation(0), FileHandle(0), FopenFlags::FOPEN_DIRECT_IO);
            }
            Err(errno) => reply.error(errno),
        }
    }

    fn release(
        &self,
        _: &Request,
        ino: INodeNo,
        _: FileHandle,
        _: OpenFlags,
        _: Option<LockOwner>,
        _: bool,
        reply: ReplyEmpty,
    ) {
        answer(
            reply,
            self.with(ino, |store, ino| {
                store.close(ino);
                Ok(())
            }),
        );
    }

    fn flush(&self, _: &Request, _: INodeNo, _: FileHandle, _: LockOwner, reply: ReplyEmpty) {
        reply.ok();
    }

    fn read(
        &self,
        _: &Request,
        ino: INodeNo,
        _: FileHandle,
        offset: u64,
        size: u32,
        _: OpenFlags,
        _: Option<LockOwner>,
        reply: ReplyData,
    ) {
        match self.with(ino, |store, ino| store.read(ino, offset, size as usize)) {
            Ok(bytes) => reply.data(&bytes),
            Err(errno) => reply.error(errno),
        }
    }

    fn write(
        &self,
        _: &Request,
        ino: INodeNo,
        _: FileHandle,
        offset: u64,
        data: &[u8],
        _: WriteFlags,
        flags: OpenFlags,
        _: Option<LockOwner>,
        reply: ReplyWrite,
    ) {
        let written = self.with(ino, |store, ino| {
            let written = store.write(ino, offset, data)?;
            if flags.0 & libc::O_DSYNC != 0 {
                store.sync(ino)?;
            }
            Ok(written)
        });
        match written {
            Ok(count) => reply.written(u32::try_from(count).unwrap_or(u32::MAX)),
            Err(errno) => reply.error(errno),
        }
    }

    fn fallocate(
        &self,
        _: &Request,
        ino: INodeNo,
        _: FileHandle,
        offset: u64,
        length: u64,
        mode: i32,
        reply: ReplyEmpty,
    ) {
        if mode & !libc::FALLOC_FL_KEEP_SIZE != 0 {
            reply.error(fuser::Errno::EOPNOTSUPP);
            return;
        }
        let (bytes, keep) = (offset..offset.saturating_add(length), mode & libc::FALLOC_FL_KEEP_SIZE != 0);
        answer(reply, self.with(ino, |store, ino| store.allocate(ino, bytes, keep)));
    }

    fn fsync(&self, _: &Request, ino: INodeNo, _: FileHandle, _: bool, reply: ReplyEmpty) {
        self.sync(ino, reply);
    }

    fn fsyncdir(&self, _: &Request, ino: INodeNo, _: FileHandle, _: bool, reply: ReplyEmpty) {
        self.sync(ino, reply);
    }

    fn opendir(&self, _: &Request, ino: INodeNo, _: OpenFlags, reply: ReplyOpen) {
        let entries = self.with(ino, |store, ino| {
            let lives = store.lives();
            let entries = store.entries(ino)?.into_iter();
            Ok(entries.map(|(name, ino, kind)| (name, outside(lives, ino), file_type(kind))).collect::<Listing>())
        });
        match entries {
            Ok(entries) => {
                let handle = self.handles.fetch_add(1, Ordering::Relaxed);
                self.folders.lock().unwrap_or_else(PoisonError::into_inner).insert(handle, entries);
                reply.opened(FileHandle(handle), FopenFlags::empty());
            }
            Err(errno) => reply.error(errno),
        }
    }

    fn readdir(&self, _: &Request, _: INodeNo, handle: FileHandle, offset: u64, mut reply: ReplyDirectory) {
        let folders = self.folders.lock().unwrap_or_else(PoisonError::into_inner);
        let entries = folders.get(&handle.0).map_or(&[][..], Vec::as_slice);
        let rest = entries.iter().enumerate().skip(usize::try_from(offset).unwrap_or(usize::MAX));
        for (number, (name, ino, kind)) in rest {
            if reply.add(INodeNo(*ino), number as u64 + 1, *kind, name) {
                break;
            }
        }
        reply.ok();
    }

    fn releasedir(&self, _: &Request, _: INodeNo, handle: FileHandle, _: OpenFlags, reply: ReplyEmpty) {
        self.folders.lock().unwrap_or_else(PoisonError::into_inner).remove(&handle.0);
        reply.ok();
    }

    fn statfs(&self, _: &Request, _: INodeNo, reply: ReplyStatfs) {
        let (room, free) = self.lock().room();
        reply.statfs(room, free, free, FILES, FILES, PAGE_BYTES, NAME_BYTES, PAGE_BYTES);
    }
}
