//! Starts the state machine from what is on disk: the store when it can be believed, else the newest snapshot that
//! can, else nothing; openraft applies the rest from the log.

use std::{
    io,
    panic::{AssertUnwindSafe, catch_unwind},
    path::{Path, PathBuf},
    sync::Arc,
    time::Duration,
};

use boss_base::tasks::{OnExit, Tasks};
use boss_proto::ids::{ClusterId, ServerId};
use tokio::sync::watch;

use super::{
    home::{Home, SledHome},
    mailbox::Mailbox,
    meta::{BadMeta, FORMAT, Meta, Place},
    published::Published,
    sled_store::SledStorage,
    snapshot::{self, BadSnapshot, Directory, SnapshotFile},
    state_machine::{Parts, StateMachine},
    store::{Storage, StoreError},
    writer::{self, StoreLimits, Writer},
};
use crate::{
    config::Store,
    export::{Exporter, durable_and_exported},
    state::{Limits, State, rows::Loader},
    types::LogId,
};

/// How long the lock of a process that was just killed may stay.
const LOCK_WAIT_MAX: Duration = Duration::from_secs(10);
const LOCK_RETRY_INTERVAL: Duration = Duration::from_millis(50);

/// What a state machine is made from.
#[derive(Clone)]
pub struct OpenOptions {
    /// Directory of the server's data; the state machine makes `state` and `snapshots` in it.
    pub dir: PathBuf,
    /// The cluster that the data must belong to.
    pub cluster_id: ClusterId,
    /// This server.
    pub server_id: ServerId,
    /// The last entry that the log has durably. The log must be open already.
    pub durable_log: watch::Receiver<Option<LogId>>,
    /// Owner of the threads.
    pub tasks: Tasks,
    /// Bounds of the state; the same on every server.
    pub limits: Limits,
    /// Bounds of the store behind it.
    pub store: StoreLimits,
    /// Keeps what is applied elsewhere, too.
    pub exporter: Option<Arc<dyn Exporter>>,
    /// Where the state is kept behind apply.
    pub kept_in: Store,
}

/// The state cannot be used. Nothing was deleted.
#[derive(Debug, thiserror::Error)]
pub enum OpenError {
    /// The log lacks entries that this server had once acknowledged.
    #[error(
        "server {server} has lost part of its log: its state is at entry {state}, its log ends at {log}. \
         It must not vote any more: remove it from the cluster and add it under a fresh id with an empty data folder"
    )]
    StoreAheadOfLog {
        /// This server.
        server: ServerId,
        /// Last entry in the state.
        state: u64,
        /// Last entry in the log and the snapshots.
        log: u64,
    },
    /// What was purged from the log is in no snapshot that can be read.
    #[error(
        "{path}: the log begins after entry {log}, but no snapshot that is whole reaches there (the state is at entry \
         {state}): one is damaged or missing. Remove this server from the cluster and add it under a fresh id with an \
         empty data folder"
    )]
    SnapshotLost {
        /// Where snapshots are.
        path: PathBuf,
        /// Last entry in what could be restored; 0 when that is nothing.
        state: u64,
        /// Last entry that was purged.
        log: u64,
    },
    /// The data is another cluster's.
    #[error("{path} belongs to cluster {found}, this server to {expected}: check the data folder and the cluster id")]
    ForeignCluster {
        /// What was read.
        path: PathBuf,
        /// In the data.
        found: String,
        /// Of this server.
        expected: String,
    },
    /// A newer build wrote it.
    #[error("{path} has format {found}, which this build does not know: start a newer one")]
    NewerFormat {
        /// What was read.
        path: PathBuf,
        /// In the data.
        found: u32,
    },
    /// Another server runs on it.
    #[error("{path} is in use by another process")]
    Locked {
        /// What was opened.
        path: PathBuf,
    },
    /// The disk says no.
    #[error("{path} cannot be read or written")]
    Io {
        /// What was opened.
        path: PathBuf,
        /// Why.
        #[source]
        source: io::Error,
    },
    /// Reading it failed inside Boss.
    #[error("reading the state failed inside Boss")]
    Internal,
}

/// A state with its place in the log.
pub(super) type Restored = (State, Place);

impl StateMachine {
    /// Restores the state and starts the thread that writes the store behind it, if there is one.
    pub async fn open(options: OpenOptions) -> Result<(Self, Published), OpenError> {
        let snapshots = options.dir.join("snapshots");
        let directory =
            Directory::open(&snapshots, options.tasks.blocking()).map_err(|source| io_error(&snapshots, source))?;
        match options.kept_in {
            Store::Sled => Self::open_beside_sled(options, directory).await,
            Store::None => Self::open_alone(options, directory).await,
        }
    }

    /// From the newest snapshot that is whole; nothing is written behind apply.
    async fn open_alone(options: OpenOptions, directory: Directory) -> Result<(Self, Published), OpenError> {
        let read = {
            let (directory, options) = (directory.clone(), options.clone());
            move || newest_whole(list_snapshots(&directory, &options)?, &options)
        };
        let found = options.tasks.run_blocking("restore", read).await.map_err(|_| OpenError::Internal)??;
        let ((state, place), snapshot) = found;
        // Nobody takes anything out of it.
        let writer = Mailbox::new(0);
        writer.close();
        let parts = Parts { state, place, directory, store_path: options.dir.join("state"), writer, snapshot };
        Ok(Self::assemble(options, parts))
    }

    async fn open_beside_sled(options: OpenOptions, directory: Directory) -> Result<(Self, Published), OpenError> {
        let store_path = options.dir.join("state");
        let (home, storage) = open_store(&options.tasks, &store_path).await?;
        let read = {
            let (directory, options, path) = (directory.clone(), options.clone(), store_path.clone());
            move || restore(home, storage, &directory, &options, &path)
        };
        let found = options.tasks.run_blocking("restore", read).await.map_err(|_| OpenError::Internal)??;
        let mailbox = Mailbox::new(options.store.waiting_bytes_max);
        let writer = Writer::new(writer::Parts {
            home: found.home,
            storage: found.storage,
            cluster_id: options.cluster_id.clone(),
            durable: durable_and_exported(options.durable_log.clone(), options.exporter.as_ref(), &options.tasks),
            mailbox: mailbox.for_writer(),
            token: options.tasks.token(),
            runtime: tokio::runtime::Handle::current(),
            limits: options.store,
        });
        options
            .tasks
            .spawn_thread("store-writer", OnExit::Log, || writer.run())
            .map_err(|source| io_error(&store_path, source))?;
        let (state, place) = found.restored;
        let parts = Parts { state, place, directory, store_path, writer: mailbox, snapshot: found.snapshot };
        let (machine, published) = Self::assemble(options, parts);
        if found.store_is_stale {
            machine.replace_store();
        }
        Ok((machine, published))
    }
}

struct Found {
    home: SledHome,
    storage: SledStorage,
    restored: Restored,
    /// Whether the store holds something else than the restored state.
    store_is_stale: bool,
    snapshot: Option<FoundSnapshot>,
}

fn restore(
    mut home: SledHome,
    storage: SledStorage,
    directory: &Directory,
    options: &OpenOptions,
    store_path: &Path,
) -> Result<Found, OpenError> {
    let snapshots = list_snapshots(directory, options)?;
    let covered = snapshots.first().and_then(|(place, _)| place.log_id);
    let (storage, stored) = match load(&storage, options) {
        Ok(stored) => (storage, stored),
        Err(Unusable::Refuse(problem)) => return Err(problem.at(store_path)),
        Err(Unusable::Rebuild(problem)) => {
            tracing::warn!(path = %store_path.display(), problem, "the store behind the registry is rebuilt");
            drop(storage);
            (home.start_over().map_err(|error| store_error(store_path, error))?, None)
        }
    };
    if let Some((_, place)) = &stored {
        check_not_ahead(place, covered, options)?;
    }
    match stored {
        // Its snapshot is not read whole: whoever installs it checks it.
        Some(restored) if index(restored.1.log_id) >= index(covered) => {
            Ok(Found { home, storage, restored, store_is_stale: false, snapshot: snapshots.into_iter().next() })
        }
        _ => {
            let (restored, snapshot) = newest_whole(snapshots, options)?;
            let store_is_stale = snapshot.is_some();
            Ok(Found { home, storage, restored, store_is_stale, snapshot })
        }
    }
}

fn index(log_id: Option<LogId>) -> Option<u64> {
    log_id.map(|log_id| log_id.index)
}

fn check_not_ahead(stored: &Place, covered: Option<LogId>, options: &OpenOptions) -> Result<(), OpenError> {
    let log = index(*options.durable_log.borrow()).max(index(covered));
    let state = index(stored.log_id);
    if state > log {
        return Err(OpenError::StoreAheadOfLog {
            server: options.server_id,
            state: state.unwrap_or_default(),
            log: log.unwrap_or_default(),
        });
    }
    Ok(())
}

type FoundSnapshot = (Place, SnapshotFile);

/// Snapshots whose description can be read, newest first.
fn list_snapshots(directory: &Directory, options: &OpenOptions) -> Result<Vec<FoundSnapshot>, OpenError> {
    let paths = directory.list().map_err(|source| io_error(&options.dir, source))?;
    let mut found = Vec::new();
    for path in paths {
        let described = snapshot::read_meta(&path, &options.cluster_id)
            .and_then(|meta| Ok((meta.place()?, SnapshotFile::at(path.clone(), directory.blocking())?)));
        found.extend(unless_damaged(described, &path)?);
    }
    // By what is in them: somebody may have given them other names.
    found.sort_by_key(|(place, _)| std::cmp::Reverse(place.log_id));
    Ok(found)
}

/// The state of the newest snapshot that is whole; the empty state when there is none.
fn newest_whole(
    snapshots: Vec<FoundSnapshot>,
    options: &OpenOptions,
) -> Result<(Restored, Option<FoundSnapshot>), OpenError> {
    for (place, file) in snapshots {
        let read = snapshot::read(file.path(), &options.cluster_id, options.limits);
        if let Some(restored) = unless_damaged(read, file.path())? {
            return Ok((restored, Some((place, file))));
        }
    }
    Ok(((State::with_limits(options.limits), Place::default()), None))
}

/// A damaged snapshot is passed over; the log says whether the one before is enough.
fn unless_damaged<T>(read: Result<T, BadSnapshot>, path: &Path) -> Result<Option<T>, OpenError> {
    let path = path.to_owned();
    match read {
        Ok(found) => Ok(Some(found)),
        Err(BadSnapshot::Damaged(problem)) => {
            tracing::warn!(path = %path.display(), problem, "a damaged snapshot is passed over");
            Ok(None)
        }
        Err(BadSnapshot::ForeignCluster { found, expected }) => {
            Err(OpenError::ForeignCluster { path, found, expected })
        }
        Err(BadSnapshot::NewerFormat { found }) => Err(OpenError::NewerFormat { path, found }),
        Err(BadSnapshot::Io(source)) => Err(OpenError::Io { path, source }),
    }
}

/// Why the store is of no use.
enum Unusable {
    /// Delete it and build it anew.
    Rebuild(String),
    /// It is somebody else's: touch nothing.
    Refuse(Refusal),
}

enum Refusal {
    Meta(BadMeta),
    Io(io::Error),
}

impl Refusal {
    fn at(self, path: &Path) -> OpenError {
        let path = path.to_owned();
        match self {
            Self::Io(source) => OpenError::Io { path, source },
            Self::Meta(BadMeta::ForeignCluster { found, expected }) => {
                OpenError::ForeignCluster { path, found, expected: expected.to_string() }
            }
            Self::Meta(BadMeta::NewerFormat { found }) => OpenError::NewerFormat { path, found },
            Self::Meta(BadMeta::Unreadable(problem)) => OpenError::Io { path, source: io::Error::other(problem) },
        }
    }
}

impl From<BadMeta> for Unusable {
    fn from(bad: BadMeta) -> Self {
        match bad {
            BadMeta::Unreadable(problem) => Self::Rebuild(problem),
            BadMeta::ForeignCluster { .. } | BadMeta::NewerFormat { .. } => Self::Refuse(Refusal::Meta(bad)),
        }
    }
}

impl From<StoreError> for Unusable {
    fn from(error: StoreError) -> Self {
        match error {
            StoreError::Io(error) => Self::Refuse(Refusal::Io(error)),
            StoreError::Corrupt(_) | StoreError::Locked | StoreError::TooLarge { .. } => {
                Self::Rebuild(error.to_string())
            }
        }
    }
}

/// The state in the store, if there is one and its hash agrees. sled may panic over bytes that it did not write.
fn load(storage: &impl Storage, options: &OpenOptions) -> Result<Option<Restored>, Unusable> {
    catch_unwind(AssertUnwindSafe(|| read(storage, options)))
        .unwrap_or_else(|_| Err(Unusable::Rebuild("reading it panicked".to_owned())))
}

fn read(storage: &impl Storage, options: &OpenOptions) -> Result<Option<Restored>, Unusable> {
    let Some(meta) = storage.meta()? else {
        let half_replaced = || Unusable::Rebuild("it was left half written".to_owned());
        return if storage.is_empty()? { Ok(None) } else { Err(half_replaced()) };
    };
    let meta = Meta::read(&meta, &options.cluster_id)?;
    if meta.format < FORMAT {
        // Nothing but its hash says that it is whole, and that was made in another way.
        return Err(Unusable::Rebuild(format!("it has the older format {}", meta.format)));
    }
    let corrupt = |problem: crate::state::rows::BadRows| StoreError::Corrupt(problem.to_string());
    let mut loader = Loader::new(meta.header()?, options.limits).map_err(corrupt)?;
    storage.scan(&mut |key, value| loader.row(key, value).map_err(corrupt))?;
    Ok(Some((loader.finish().map_err(corrupt)?, meta.place()?)))
}

/// Opens the store; waits for the lock of a process that has just died; replaces what cannot be opened.
async fn open_store(tasks: &Tasks, path: &Path) -> Result<(SledHome, SledStorage), OpenError> {
    let mut waited = Duration::ZERO;
    loop {
        let owned = path.to_owned();
        let opened =
            tasks.run_blocking("open-store", move || try_open_store(&owned)).await.map_err(|_| OpenError::Internal)?;
        match opened {
            Err(StoreError::Locked) if waited < LOCK_WAIT_MAX => {
                // Nothing tells when a lock goes.
                tokio::time::sleep(LOCK_RETRY_INTERVAL).await;
                waited += LOCK_RETRY_INTERVAL;
            }
            opened => return opened.map_err(|error| store_error(path, error)),
        }
    }
}

/// sled may panic over bytes that it did not write.
fn try_open_store(path: &Path) -> Result<(SledHome, SledStorage), StoreError> {
    let mut home = SledHome::open(path).map_err(StoreError::Io)?;
    let opened = catch_unwind(AssertUnwindSafe(|| home.open_current()))
        .unwrap_or_else(|_| Err(StoreError::Corrupt("opening it panicked".to_owned())));
    let storage = match opened {
        Ok(Some(storage)) => storage,
        Ok(None) => home.start_over()?,
        Err(StoreError::Corrupt(problem)) => {
            tracing::warn!(path = %path.display(), problem, "the store behind the registry is rebuilt");
            home.start_over()?
        }
        Err(error) => return Err(error),
    };
    // Only now: whoever holds the store's lock may be writing a generation.
    home.clean();
    Ok((home, storage))
}

fn store_error(path: &Path, error: StoreError) -> OpenError {
    match error {
        StoreError::Io(source) => io_error(path, source),
        StoreError::Locked => OpenError::Locked { path: path.to_owned() },
        other => io_error(path, io::Error::other(other.to_string())),
    }
}

fn io_error(path: &Path, source: io::Error) -> OpenError {
    OpenError::Io { path: path.to_owned(), source }
}
