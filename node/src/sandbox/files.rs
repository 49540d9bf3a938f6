//! The files of one sandbox's folder, shared by agent and monitor. Knows their format, not when they are written.
//!
//! `spec.json` (agent, before the start), `control.sock` (launcher), `state.json` (monitor, once it runs),
//! `exit.json` (monitor, when all is over; the only one that must survive a power cut), `log.N` (monitor).

use std::{
    fs,
    io::{self, Write},
    os::unix::fs::OpenOptionsExt,
    path::Path,
};

use serde::{Deserialize, Serialize, de::DeserializeOwned};

use crate::{
    cgroup,
    sandbox::{Fence, Spec},
};

/// Version of all files here; a higher one was written by a newer agent.
pub const FORMAT: u32 = 1;
/// What the monitor reads.
pub const PLAN: &str = "spec.json";
/// That it runs.
pub const STATE: &str = "state.json";
/// How it ended.
pub const EXIT: &str = "exit.json";
/// Where the monitor listens.
pub const SOCKET: &str = "control.sock";

/// What the monitor is to do.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Plan {
    /// [`FORMAT`].
    pub format: u32,
    /// What to run.
    pub spec: Spec,
    /// Control groups to make and join.
    pub cgroups: Vec<cgroup::Group>,
    /// Bounds of the log.
    pub log: LogBounds,
}

/// How much of the output is kept.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
pub struct LogBounds {
    /// One segment file.
    pub segment_bytes_max: u64,
    /// Segment files; the oldest goes when a new one is needed.
    pub segments_max: u32,
}

impl Default for LogBounds {
    fn default() -> Self {
        Self { segment_bytes_max: 4 * 1024 * 1024, segments_max: 4 }
    }
}

/// A running execution.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Running {
    /// Process id of the sandbox's main process.
    pub pid: u32,
    /// Its start time in clock ticks since boot; with the pid it names the process for ever.
    pub start_ticks: u64,
    /// Unix time in microseconds.
    pub started_at_us: u64,
}

/// `state.json`.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct State {
    /// [`FORMAT`].
    pub format: u32,
    /// Which execution.
    pub fence: Fence,
    /// The boot it belongs to: after another boot it is surely gone.
    pub boot_id: String,
    /// What runs.
    pub running: Running,
}

/// `exit.json`.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Ended {
    /// [`FORMAT`].
    pub format: u32,
    /// Which execution.
    pub fence: Fence,
    /// How it went.
    pub exit: Exit,
}

/// How an execution ended.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Exit {
    /// What happened.
    pub how: ExitKind,
    /// When it had started, Unix time in microseconds; 0 if it never did.
    pub started_at_us: u64,
    /// When it had ended, Unix time in microseconds.
    pub finished_at_us: u64,
}

/// What happened at the end.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub enum ExitKind {
    /// It exited by itself.
    Code(i32),
    /// A signal ended it.
    Signal {
        /// Number of the signal.
        number: i32,
        /// The kernel killed it for memory.
        out_of_memory: bool,
    },
    /// It never ran.
    NotStarted {
        /// A stable reason: `StartFailed`, `PermissionDenied`, `CreateFailed`, `InvalidSpec`.
        reason: String,
        /// What failed and what to look at.
        message: String,
    },
    /// Its monitor is gone without a word; nothing of it runs any more.
    Lost {
        /// What is known.
        message: String,
    },
}

impl Exit {
    /// Whether it ran and exited with 0.
    #[must_use]
    pub fn is_success(&self) -> bool {
        self.how == ExitKind::Code(0)
    }

    /// How long it ran, in microseconds.
    #[must_use]
    pub fn ran_for_us(&self) -> u64 {
        match self.started_at_us {
            0 => 0,
            started => self.finished_at_us.saturating_sub(started),
        }
    }
}

/// Writes a file so that it is there whole or not at all, also after a power cut.
pub fn write<T: Serialize>(dir: &Path, name: &str, value: &T) -> io::Result<()> {
    boss_base::files::write_atomic(&dir.join(name), &serde_json::to_vec(value)?, boss_base::files::PRIVATE)
}

/// Writes a file so that no reader sees a part of it. It may be lost in a power cut: for what means nothing after one,
/// because nothing runs any more. A sync here would stand in the way of each start.
pub fn write_for_this_boot<T: Serialize>(dir: &Path, name: &str, value: &T) -> io::Result<()> {
    let temporary = dir.join(format!("{name}.new"));
    let mut file = fs::File::options().write(true).create(true).truncate(true).mode(0o600).open(&temporary)?;
    file.write_all(&serde_json::to_vec(value)?)?;
    fs::rename(&temporary, dir.join(name))
}

/// Whether an error of [`read`] says that the file is there and makes no sense, as after a power cut.
#[must_use]
pub fn is_damaged(error: &io::Error) -> bool {
    matches!(error.kind(), io::ErrorKind::InvalidData | io::ErrorKind::UnexpectedEof)
}

/// Reads one; `None` when it is not there.
pub fn read<T: DeserializeOwned>(dir: &Path, name: &str) -> io::Result<Option<T>> {
    match fs::read(dir.join(name)) {
        Ok(bytes) => Ok(Some(serde_json::from_slice(&bytes)?)),
        Err(error) if error.kind() == io::ErrorKind::NotFound => Ok(None),
        Err(error) => Err(error),
    }
}
