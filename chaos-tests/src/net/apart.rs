//! Threads that run on a machine of their own, as far as network and mounts go. Has unsafe code: what changes the
//! namespace of a thread.

use std::{
    fs::File,
    io,
    os::fd::AsRawFd,
    path::{Path, PathBuf},
    process::Command,
    thread,
};

use nix::{errno::Errno, libc};
use tokio::runtime::{Builder, Runtime};

use crate::process::{self, Exit, Process};

/// What must be installed, and where Debian has it.
const TOOLS: [(&str, &str); 5] =
    [("ip", "iproute2"), ("tc", "iproute2"), ("nft", "nftables"), ("nsenter", "util-linux"), ("unshare", "util-linux")];

/// Why this machine or user cannot have hosts of its own; none when it can.
#[must_use]
pub fn why_not() -> Option<String> {
    if !nix::unistd::geteuid().is_root() {
        return Some("network namespaces need root".to_owned());
    }
    let path = std::env::var_os("PATH").unwrap_or_default();
    let is_there = |tool: &str| std::env::split_paths(&path).any(|folder| folder.join(tool).is_file());
    let missing = TOOLS.iter().find(|(tool, _)| !is_there(tool));
    missing.map(|(tool, package)| format!("there is no {tool}: install {package}, or run `make deps`"))
}

/// Runs this on a thread with an empty network and mounts that nobody else sees; also what it starts runs there.
pub fn on_own_machine<T: Send>(work: impl AsyncFnOnce() -> T + Send) -> io::Result<T> {
    on_thread(|| {
        // Its thread must not be in there: it goes on after this.
        process::watch_children();
        enter_own_namespaces()?;
        make_mounts_private()?;
        // Worker threads are made by this one, so they are where it is.
        let runtime = Builder::new_multi_thread().enable_all().build()?;
        Ok(block_on(&runtime, work))
    })
}

/// Runs this on a thread of its own in the place of another process.
pub fn in_place<T: Send>(place: &Place, work: impl AsyncFnOnce() -> T + Send) -> io::Result<T> {
    on_thread(|| {
        place.enter()?;
        let runtime = Builder::new_current_thread().enable_all().build()?;
        Ok(block_on(&runtime, work))
    })
}

fn block_on<T>(runtime: &Runtime, work: impl AsyncFnOnce() -> T) -> T {
    runtime.block_on(work())
}

fn on_thread<T: Send>(work: impl FnOnce() -> io::Result<T> + Send) -> io::Result<T> {
    thread::scope(|scope| scope.spawn(work).join()).unwrap_or_else(|panic| std::panic::resume_unwind(panic))
}

/// The network that a process is in.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Place {
    path: PathBuf,
}

impl Place {
    /// Of this process; good as long as it runs.
    #[must_use]
    pub fn of(pid: i32) -> Self {
        Self { path: PathBuf::from(format!("/proc/{pid}/ns/net")) }
    }

    /// A command line that does this there.
    #[must_use]
    pub fn command_line(&self, words: &[&str]) -> Vec<String> {
        let enter = ["nsenter".to_owned(), format!("--net={}", self.path.display()), "--".to_owned()];
        enter.into_iter().chain(words.iter().map(ToString::to_string)).collect()
    }

    /// The command that starts this program there, in the same process.
    #[must_use]
    pub fn command(&self, program: &Path) -> Command {
        let words = self.command_line(&[]);
        let mut command = Command::new(&words[0]);
        command.args(&words[1..]).arg(program);
        command
    }

    #[expect(unsafe_code, reason = "nix has setns only behind a feature that all other crates would be built with")]
    fn enter(&self) -> io::Result<()> {
        let file = File::open(&self.path)?;
        // SAFETY: the descriptor is open, and the call changes nothing but the namespace of this thread.
        Errno::result(unsafe { libc::setns(file.as_raw_fd(), libc::CLONE_NEWNET) })?;
        Ok(())
    }
}

#[expect(unsafe_code, reason = "nix has unshare only behind a feature that all other crates would be built with")]
fn enter_own_namespaces() -> io::Result<()> {
    // SAFETY: the call takes flags only, and changes nothing but the namespaces of this thread.
    Errno::result(unsafe { libc::unshare(libc::CLONE_NEWNET | libc::CLONE_NEWNS) })?;
    Ok(())
}

fn make_mounts_private() -> io::Result<()> {
    run(Command::new("mount").args(["--make-rprivate", "/"]))
}

/// Runs a tool that ends soon.
pub(crate) fn run(command: &mut Command) -> io::Result<()> {
    let process = Process::spawn(command)?;
    match process.end() {
        Exit::Code(0) => Ok(()),
        exit => Err(io::Error::other(format!("{command:?} ended with {exit:?}"))),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_machine_of_its_own_sees_no_network_of_others() {
        if let Some(why) = why_not() {
            assert!(!nix::unistd::geteuid().is_root(), "root must be able to test this: {why}");
            return;
        }
        let links = on_own_machine(async || std::fs::read_to_string("/proc/thread-self/net/dev"));
        let links = links.expect("root may do this").expect("it can be read");
        assert_eq!(links.lines().filter(|line| line.contains(':')).count(), 1, "only the loopback: {links}");
    }
}
