//! Shows a [`Store`] to the kernel as a file system. Translates, and decides nothing.
//!
//! Nothing is cached on the way: every call of a process comes here, so that what a process has seen is what the store
//! did, and nothing of a life before a power cut is remembered.

mod calls;

use std::{
    collections::BTreeMap,
    ffi::OsString,
    io,
    path::Path,
    sync::{Arc, Mutex, MutexGuard, PoisonError, atomic::AtomicU64},
    thread,
    time::Duration,
};

use fuser::{Config, FileType, Generation, INodeNo, MountOption, ReplyEmpty, ReplyEntry, Session, SessionACL};
use nix::errno::Errno;

use super::{
    store::{Attributes, Ino, Store},
    translate::{described, error, inside, now},
};

/// The kernel asks again each time.
const NOT_CACHED: Duration = Duration::ZERO;

/// Shows this store in a folder until it is unmounted.
pub fn run(store: Arc<Mutex<Store>>, folder: &Path) -> io::Result<()> {
    let mut config = Config::default();
    config.mount_options =
        vec![MountOption::FSName("boss-disk".to_owned()), MountOption::DefaultPermissions, MountOption::NoDev];
    config.acl = SessionACL::All;
    Session::new(Mounted { store, folders: Mutex::default(), handles: AtomicU64::new(1) }, folder, &config)?.run()
}

type Listing = Vec<(OsString, u64, FileType)>;

struct Mounted {
    store: Arc<Mutex<Store>>,
    /// Folders that are being read: each reader sees them as they were when it began.
    folders: Mutex<BTreeMap<u64, Listing>>,
    handles: AtomicU64,
}

impl Mounted {
    fn lock(&self) -> MutexGuard<'_, Store> {
        let mut store = self.store.lock().unwrap_or_else(PoisonError::into_inner);
        store.now = now();
        store
    }

    /// Something about a file, in this life.
    fn with<T>(&self, ino: INodeNo, what: impl FnOnce(&mut Store, Ino) -> Result<T, Errno>) -> Result<T, fuser::Errno> {
        let mut store = self.lock();
        let ino = inside(&store, ino).map_err(error)?;
        what(&mut store, ino).map_err(error)
    }

    fn entry(
        &self,
        parent: INodeNo,
        reply: ReplyEntry,
        what: impl FnOnce(&mut Store, Ino) -> Result<Attributes, Errno>,
    ) {
        let found = self.with(parent, |store, parent| what(store, parent).map(|found| described(store, &found)));
        match found {
            Ok(attr) => reply.entry(&NOT_CACHED, &attr, Generation(0)),
            Err(errno) => reply.error(errno),
        }
    }

    /// A sync takes as long as this disk is slow, and others do not wait for it.
    fn sync(&self, ino: INodeNo, reply: ReplyEmpty) {
        let delay = self.lock().faults.delay();
        let store = Arc::clone(&self.store);
        let work = move || {
            let mut store = store.lock().unwrap_or_else(PoisonError::into_inner);
            answer(reply, inside(&store, ino).and_then(|ino| store.sync(ino)).map_err(error));
        };
        if delay.is_zero() {
            work();
            return;
        }
        thread::spawn(move || {
            #[expect(clippy::disallowed_methods, reason = "this is what a slow disk does")]
            thread::sleep(delay);
            work();
        });
    }
}

fn answer(reply: ReplyEmpty, outcome: Result<(), fuser::Errno>) {
    match outcome {
        Ok(()) => reply.ok(),
        Err(errno) => reply.error(errno),
    }
}
