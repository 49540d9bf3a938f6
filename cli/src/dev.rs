//! A cluster on this machine: starts, watches and stops the processes of a cluster's folder. Speaks no gRPC; whether
//! the cluster works is asked by the command that uses this.

use std::{
    io,
    path::{Path, PathBuf},
    process::ExitStatus,
};

mod binaries;
mod health;
mod local;
mod process;
mod records;

pub use binaries::Binaries;
pub use health::{Health, ready};
pub use local::{Local, Member, Role, Stopped, members, set_formed, stop};
pub use records::Lock;

use crate::{context, provision};

/// A local cluster cannot be started or stopped.
#[derive(Debug, thiserror::Error)]
pub enum Error {
    /// The folder.
    #[error(transparent)]
    Provision(#[from] provision::Error),
    /// All of its processes are there already.
    #[error("already running: {}", names.join(", "))]
    Running {
        /// The folder.
        directory: PathBuf,
        /// Which.
        names: Vec<String>,
    },
    /// Another bossctl starts or stops it right now.
    #[error("another bossctl is starting or stopping the cluster in {}", directory.display())]
    Busy {
        /// The folder.
        directory: PathBuf,
    },
    /// What was asked for is not what the folder holds.
    #[error("the cluster in {} has {has}, not {wanted}", directory.display())]
    OtherShape {
        /// The folder.
        directory: PathBuf,
        /// What it has.
        has: String,
        /// What was asked for.
        wanted: String,
    },
    /// Something else listens where a server wants to.
    #[error("{address} is in use, {server} cannot listen there")]
    PortInUse {
        /// Where.
        address: String,
        /// Who wants it.
        server: String,
        /// The folder was there before, so its ports cannot be chosen any more.
        kept: bool,
    },
    /// A program is missing.
    #[error("cannot find {name} in {}", looked_in.iter().map(|path| path.display().to_string()).collect::<Vec<_>>().join(", "))]
    NoBinary {
        /// Which.
        name: &'static str,
        /// Where.
        looked_in: Vec<PathBuf>,
    },
    /// A program did not start.
    #[error("cannot start {name}")]
    Spawn {
        /// Which process.
        name: String,
        /// Why.
        #[source]
        source: io::Error,
    },
    /// A process ended that should run.
    #[error("{name} ended ({}); the last lines of {}:\n{}", ending(.status.as_ref()), log.display(), indent(last_lines))]
    Died {
        /// Which.
        name: String,
        /// How; unknown for a process that another bossctl started.
        status: Option<ExitStatus>,
        /// Its log.
        log: PathBuf,
        /// The end of it.
        last_lines: Vec<String>,
    },
    /// It runs, but does not work in time.
    #[error("{what} after {seconds} s; logs: {}", logs.iter().map(|path| path.display().to_string()).collect::<Vec<_>>().join(", "))]
    NotReady {
        /// What is missing.
        what: String,
        /// How long was waited.
        seconds: u64,
        /// Where to look.
        logs: Vec<PathBuf>,
    },
    /// Processes that not even SIGKILL ended in time.
    #[error("still there after SIGKILL: {}", names.join(", "))]
    StillThere {
        /// Which.
        names: Vec<String>,
    },
    /// The list of processes cannot be understood.
    #[error("{}: {problem}", path.display())]
    Corrupt {
        /// The file.
        path: PathBuf,
        /// What is wrong.
        problem: String,
    },
    /// Reading or writing failed.
    #[error("{}", path.display())]
    Io {
        /// The file.
        path: PathBuf,
        /// Why.
        #[source]
        source: io::Error,
    },
}

/// What to type for another `bossctl dev` command on the same folder.
#[must_use]
pub fn command_line(verb: &str, directory: &Path) -> String {
    let default = context::home_folder().map(|home| home.join("dev")).map(|path| path.canonicalize().unwrap_or(path));
    match default {
        Ok(default) if default == directory => format!("bossctl dev {verb}"),
        _ => format!("bossctl dev {verb} --dir {}", directory.display()),
    }
}

fn ending(status: Option<&ExitStatus>) -> String {
    status.map_or_else(|| "exit status unknown".to_owned(), ToString::to_string)
}

fn indent(lines: &[String]) -> String {
    if lines.is_empty() {
        return "    (empty)".to_owned();
    }
    lines.iter().map(|line| format!("    {line}")).collect::<Vec<_>>().join("\n")
}
