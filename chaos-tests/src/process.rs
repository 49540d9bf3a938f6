//! Child processes that are always reaped and never outlive their owner. Knows nothing of what they do.
//!
//! The test process makes itself the reaper of all its descendants, so that a sandbox whose monitor was killed becomes
//! our child and can be found. One thread waits for every child: nobody else may wait, so every command of this
//! crate is started here.

use std::{
    collections::HashMap,
    io,
    process::{ChildStdin, Command},
    sync::{Condvar, LazyLock, Mutex, PoisonError},
    time::Duration,
};

use nix::{
    errno::Errno,
    sys::{
        prctl,
        signal::{Signal, kill},
        wait::{WaitStatus, waitpid},
    },
    unistd::Pid,
};

use crate::{proc::ProcessId, wait};

/// How a process ended.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Exit {
    /// By itself, with this code.
    Code(i32),
    /// By a signal.
    Signal(Signal),
}

/// A running or ended child.
#[derive(Debug)]
pub struct Process {
    id: ProcessId,
    // Closed with this, if it is a pipe: the child then reads the end of its input.
    _stdin: Option<ChildStdin>,
}

#[derive(Default)]
struct Table {
    // `None` while it runs.
    exits: HashMap<i32, Option<Exit>>,
}

struct Reaper {
    table: Mutex<Table>,
    changed: Condvar,
}

static REAPER: LazyLock<&'static Reaper> = LazyLock::new(|| {
    // Without it orphans go to init, and all that is lost is that they are found a little later by their folder.
    prctl::set_child_subreaper(true).ok();
    let reaper: &'static Reaper =
        Box::leak(Box::new(Reaper { table: Mutex::new(Table::default()), changed: Condvar::new() }));
    std::thread::spawn(|| reaper.run());
    reaper
});

impl Reaper {
    fn run(&self) {
        loop {
            match waitpid(None, None) {
                Ok(WaitStatus::Exited(pid, code)) => self.record(pid, Exit::Code(code)),
                Ok(WaitStatus::Signaled(pid, signal, _)) => self.record(pid, Exit::Signal(signal)),
                Err(Errno::ECHILD) => self.wait_for_a_child(),
                _ => {}
            }
        }
    }

    fn lock(&self) -> std::sync::MutexGuard<'_, Table> {
        self.table.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn record(&self, pid: Pid, exit: Exit) {
        // Orphans that became ours are not in the table and need no entry.
        if let Some(entry) = self.lock().exits.get_mut(&pid.as_raw()) {
            *entry = Some(exit);
        }
        self.changed.notify_all();
    }

    fn wait_for_a_child(&self) {
        let none_runs = |table: &mut Table| table.exits.values().all(Option::is_some);
        drop(self.changed.wait_while(self.lock(), none_runs).unwrap_or_else(PoisonError::into_inner));
    }
}

/// Begins to wait for children, if nobody does yet; the first process that is started does the same.
pub fn watch_children() {
    LazyLock::force(&REAPER);
}

impl Process {
    /// Starts it in a process group of its own, so that a Ctrl-C at the terminal reaches the tests only.
    pub fn spawn(command: &mut Command) -> io::Result<Self> {
        use std::os::unix::process::CommandExt;
        let reaper = *REAPER;
        // The lock is held from before the start, so that the reaper cannot see the end before the entry is there.
        let mut table = reaper.lock();
        let child = command.process_group(0).spawn()?;
        let pid = i32::try_from(child.id()).map_err(io::Error::other)?;
        // A process that already ended is a zombie, which still has its start time: nobody reaps it before we unlock.
        let id = ProcessId::of(pid).unwrap_or(ProcessId { pid, start_ticks: 0 });
        table.exits.insert(pid, None);
        drop(table);
        reaper.changed.notify_all();
        Ok(Self { id, _stdin: child.stdin })
    }

    /// Number and start time.
    #[must_use]
    pub fn id(&self) -> ProcessId {
        self.id
    }

    /// How it ended; `None` while it runs.
    #[must_use]
    pub fn exit(&self) -> Option<Exit> {
        REAPER.lock().exits.get(&self.id.pid).copied().flatten()
    }

    /// Whether it has not ended yet.
    #[must_use]
    pub fn is_running(&self) -> bool {
        self.exit().is_none()
    }

    /// Sends a signal, if it still runs.
    pub fn signal(&self, signal: Signal) {
        // Under the lock the number cannot have been reaped and given to another process.
        let table = REAPER.lock();
        if table.exits.get(&self.id.pid) == Some(&None) {
            kill(Pid::from_raw(self.id.pid), signal).ok();
        }
    }

    /// Waits for its end.
    pub async fn wait(&self, deadline: Duration) -> Result<Exit, wait::TimedOut> {
        wait::until(format!("process {} ends", self.id.pid), deadline, async || self.exit().ok_or("it runs")).await
    }

    /// Waits for its end on this thread; for what ends soon.
    #[must_use]
    pub fn end(&self) -> Exit {
        let reaper = *REAPER;
        let runs = |table: &mut Table| table.exits.get(&self.id.pid) == Some(&None);
        let table = reaper.changed.wait_while(reaper.lock(), runs).unwrap_or_else(PoisonError::into_inner);
        // Its entry is there until this value is dropped.
        table.exits.get(&self.id.pid).copied().flatten().unwrap_or(Exit::Signal(Signal::SIGKILL))
    }

    /// Kills it and waits until it is reaped.
    pub fn kill_now(&self) {
        self.signal(Signal::SIGKILL);
        let _ = self.end();
    }
}

impl Drop for Process {
    fn drop(&mut self) {
        self.kill_now();
        REAPER.lock().exits.remove(&self.id.pid);
    }
}

/// Kills a process that is not a child started here. Says whether there was one.
pub fn kill_process(id: ProcessId, signal: Signal) -> bool {
    id.is_alive() && kill(Pid::from_raw(id.pid), signal).is_ok()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[tokio::test]
    async fn the_exit_code_of_a_child_is_seen() {
        let process = Process::spawn(Command::new("sh").args(["-c", "exit 7"])).expect("sh starts");
        assert_eq!(process.wait(Duration::from_secs(10)).await, Ok(Exit::Code(7)));
    }

    #[tokio::test]
    async fn a_dropped_process_is_gone() {
        let process = Process::spawn(Command::new("sleep").arg("60")).expect("sleep starts");
        let id = process.id();
        assert!(id.is_alive());
        drop(process);
        assert!(!id.is_alive());
    }

    #[tokio::test]
    async fn an_orphan_becomes_ours() {
        let process = Process::spawn(Command::new("sh").args(["-c", "sleep 61 & exit 0"])).expect("sh starts");
        assert_eq!(process.wait(Duration::from_secs(10)).await, Ok(Exit::Code(0)));
        let orphans = crate::proc::descendants(&[std::process::id().cast_signed()]);
        let orphan = orphans.iter().find(|stat| crate::proc::command_line(stat.id.pid) == "sleep 61");
        assert!(kill_process(orphan.expect("it has us as its parent now").id, Signal::SIGKILL));
    }
}
