//! Who did what, kept in files of this server that show when somebody changes them: every write that was applied, every
//! call that was refused, and reads if they are wanted. Callers only put a record into a bounded queue; one thread
//! writes. Knows no transport.

mod reading;
mod record;
mod subject;
mod writer;

use std::{
    path::PathBuf,
    sync::{
        Arc, Mutex, PoisonError,
        atomic::{AtomicBool, AtomicU64, Ordering},
    },
    time::Duration,
};

use boss_base::{
    clock::Clock,
    journal::{Bounds, Head},
    tasks::{OnExit, Tasks},
};
use boss_proto::{kind::Kind, raft::v1::Command, v1::AuditState};
use boss_raft::{
    Exporter,
    state::{Outcome, Position},
};
use futures_util::future::BoxFuture;
use tokio::sync::{mpsc, watch};

use self::{reading::Desk, record::Item, writer::Writer};
pub use self::{
    reading::{LAST_MAX, Query, READERS_MAX, Records},
    record::Call,
    subject::Subject,
};
use crate::metric_definitions as metric;

/// Records that wait for the disk: a second of many, at some hundred bytes each.
const QUEUE_MAX: usize = 16 * 1024;
/// Of those, for the entries that are about to be applied.
const ENTRIES_AT_ONCE: usize = 256;
/// Between two looks whether there is room again.
const ROOM_RETRY: Duration = Duration::from_millis(5);

/// How much of a call is kept.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub enum Level {
    /// Nothing.
    None,
    /// Who did what to which object, and what came of it.
    #[default]
    Metadata,
    /// With the objects that writes bring.
    Request,
}

impl std::str::FromStr for Level {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, String> {
        match text {
            "none" => Ok(Self::None),
            "metadata" => Ok(Self::Metadata),
            "request" => Ok(Self::Request),
            other => Err(format!("{other:?} is no level: use none, metadata or request")),
        }
    }
}

/// What to do when records cannot be written.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub enum WhenFull {
    /// Go on, and count what is lost.
    #[default]
    Drop,
    /// Do nothing that could not be kept.
    Block,
}

impl std::str::FromStr for WhenFull {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, String> {
        match text {
            "drop" => Ok(Self::Drop),
            "block" => Ok(Self::Block),
            other => Err(format!("{other:?} is nothing to do about a full disk: use drop or block")),
        }
    }
}

/// What is kept, and where.
#[derive(Debug, Clone, PartialEq)]
pub struct Settings {
    /// How much.
    pub level: Level,
    /// Reads that were allowed, too.
    pub reads: bool,
    /// The folder of the files.
    pub directory: PathBuf,
    /// How large they may become.
    pub bounds: Bounds,
    /// What to do when they cannot be written.
    pub when_full: WhenFull,
    /// Kinds whose content is never kept.
    pub redact: Vec<Kind>,
}

/// Some files of a usual size.
const BOUNDS: Bounds = Bounds { file_bytes: 64 << 20, files_max: 16 };

impl Settings {
    /// What is kept when nobody says otherwise, in this folder.
    #[must_use]
    pub fn in_folder(directory: PathBuf) -> Self {
        Self {
            level: Level::default(),
            reads: false,
            directory,
            bounds: BOUNDS,
            when_full: WhenFull::default(),
            redact: Vec::new(),
        }
    }
}

/// Takes records. Cheap to clone; without settings it takes none.
#[derive(Debug, Clone, Default)]
pub struct Audit(Option<Arc<Shared>>);

#[derive(Debug)]
struct Shared {
    level: Level,
    reads: bool,
    when_full: WhenFull,
    queue: mpsc::Sender<Item>,
    /// Up to here entries are in the files, or were given up.
    exported: watch::Sender<Position>,
    state: Arc<State>,
    desk: Desk,
}

/// What the writer tells.
#[derive(Debug, Default)]
struct State {
    head: Mutex<(String, Head)>,
    problem: Mutex<String>,
    failing: AtomicBool,
    dropped: AtomicU64,
    /// The last entry that found no place in the queue.
    given_up: Mutex<Position>,
}

impl Audit {
    /// Opens the files and begins to write.
    pub fn start(settings: Settings, clock: Arc<dyn Clock>, tasks: &Tasks) -> std::io::Result<Self> {
        if settings.level == Level::None {
            return Ok(Self(None));
        }
        let (queue, items) = mpsc::channel(QUEUE_MAX);
        let state = Arc::new(State::default());
        let Settings { level, reads, when_full, .. } = settings;
        let desk = Desk::new(settings.directory.clone(), tasks.clone());
        let (writer, last) = Writer::open(settings, items, Arc::clone(&state), clock)?;
        let exported = watch::Sender::new(last);
        tasks.spawn_on_thread("audit", OnExit::StopProcess, writer.run(exported.clone(), tasks.token()))?;
        Ok(Self(Some(Arc::new(Shared { level, reads, when_full, queue, exported, state, desk }))))
    }

    /// Whether anything is kept.
    #[must_use]
    pub fn is_on(&self) -> bool {
        self.0.is_some()
    }

    /// Whether calls that were allowed and changed nothing are kept.
    #[must_use]
    pub fn keeps_reads(&self) -> bool {
        self.0.as_ref().is_some_and(|shared| shared.reads)
    }

    /// Why nothing may be done now; `None` while records can be written, or may be lost.
    #[must_use]
    pub fn blocks(&self) -> Option<String> {
        let shared = self.0.as_ref().filter(|shared| shared.when_full == WhenFull::Block)?;
        let stuck = shared.state.failing.load(Ordering::Relaxed) || shared.queue.capacity() < ENTRIES_AT_ONCE;
        stuck.then(|| format!("the audit cannot be written: {}", shared.state.problem()))
    }

    /// Keeps a call.
    pub fn call(&self, call: Call) {
        let Some(shared) = &self.0 else { return };
        if shared.queue.try_send(Item::Call(Box::new(call))).is_err() {
            shared.state.drop_records(1);
        }
    }

    /// What the files hold; `None` when too many read them already, or there are none.
    #[must_use]
    pub fn records(&self, query: Query) -> Option<Records> {
        self.0.as_ref()?.desk.open(query)
    }

    /// For consensus: takes what is applied.
    #[must_use]
    pub fn exporter(&self) -> Option<Arc<dyn Exporter>> {
        self.0.clone().map(|shared| shared as Arc<dyn Exporter>)
    }

    /// How far it is.
    #[must_use]
    pub fn state(&self) -> Option<AuditState> {
        let shared = self.0.as_ref()?;
        let (chain, Head { sequence, hash }) = shared.state.head();
        Some(AuditState {
            chain,
            sequence,
            hash,
            dropped: shared.state.dropped.load(Ordering::Relaxed),
            problem: shared.state.problem(),
            exported_index: shared.exported.borrow().index,
        })
    }
}

impl Exporter for Shared {
    fn begins_after(&self, at: Position) {
        // What a snapshot brought, or what was applied before there were files, never passed here.
        if at > *self.exported.borrow() && self.queue.try_send(Item::Gap(at)).is_err() {
            self.state.drop_records(1);
            self.state.give_up(at);
        }
    }

    fn applied(&self, at: Position, command: Option<&Arc<Command>>, outcomes: &[Outcome]) {
        let item = Item::entry(at, command, outcomes, self.level);
        if self.queue.try_send(item).is_err() {
            self.state.drop_records(outcomes.len() as u64);
            self.state.give_up(at);
        }
    }

    fn exported(&self) -> watch::Receiver<Position> {
        self.exported.subscribe()
    }

    fn room(&self) -> BoxFuture<'_, ()> {
        Box::pin(async {
            while self.when_full == WhenFull::Block && self.queue.capacity() < ENTRIES_AT_ONCE {
                tokio::time::sleep(ROOM_RETRY).await;
            }
        })
    }
}

impl State {
    fn head(&self) -> (String, Head) {
        self.head.lock().unwrap_or_else(PoisonError::into_inner).clone()
    }

    fn set_head(&self, chain: &str, head: &Head) {
        *self.head.lock().unwrap_or_else(PoisonError::into_inner) = (chain.to_owned(), head.clone());
    }

    fn problem(&self) -> String {
        self.problem.lock().unwrap_or_else(PoisonError::into_inner).clone()
    }

    fn set_problem(&self, problem: String) {
        self.failing.store(!problem.is_empty(), Ordering::Relaxed);
        *self.problem.lock().unwrap_or_else(PoisonError::into_inner) = problem;
    }

    fn give_up(&self, at: Position) {
        let mut given_up = self.given_up.lock().unwrap_or_else(PoisonError::into_inner);
        *given_up = at.max(*given_up);
    }

    fn given_up(&self) -> Position {
        *self.given_up.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn drop_records(&self, count: u64) {
        self.dropped.fetch_add(count, Ordering::Relaxed);
        metrics::counter!(metric::AUDIT_DROPPED).increment(count);
    }
}

#[cfg(test)]
mod tests;
