//! One process of a local cluster, held by a pidfd: a signal can never hit another process that got its number.
//! Knows no cluster.

use std::{
    fs, io,
    os::fd::OwnedFd,
    process::{Child, ExitStatus},
};

use rustix::process::{Pid, PidfdFlags, Signal, pidfd_open, pidfd_send_signal};
use tokio::io::{Interest, unix::AsyncFd};

use super::records::Record;

/// Where the kernel says when a process started, counted from the one after the program's name.
const START_TIME_FIELD: usize = 19;

/// A process that runs or ran.
#[derive(Debug)]
pub(super) struct Process {
    pub(super) record: Record,
    pidfd: AsyncFd<OwnedFd>,
    /// Only when we started it ourselves.
    child: Option<Child>,
}

impl Process {
    /// One that we have just started.
    pub(super) fn of_child(name: &str, child: Child) -> io::Result<Self> {
        // The pid is ours until the child is waited for, so neither of these can meet somebody else.
        let pidfd = open(child.id())?;
        let record = Record {
            name: name.to_owned(),
            pid: child.id(),
            start_ticks: start_ticks(child.id())?,
            boot_id: boot_id()?,
        };
        Ok(Self { record, pidfd, child: Some(child) })
    }

    /// One that another command started; `None` when it is gone.
    pub(super) fn of_record(record: &Record) -> io::Result<Option<Self>> {
        if boot_id()? != record.boot_id {
            return Ok(None);
        }
        let pidfd = match open(record.pid) {
            Err(error) if error.raw_os_error() == Some(rustix::io::Errno::SRCH.raw_os_error()) => return Ok(None),
            opened => opened?,
        };
        // Read after the pidfd was opened: if the time fits, the pidfd is that process's.
        match start_ticks(record.pid) {
            Ok(ticks) if ticks == record.start_ticks => {
                let process = Self { record: record.clone(), pidfd, child: None };
                Ok((!process.is_zombie()).then_some(process))
            }
            Ok(_) => Ok(None),
            Err(error) if error.kind() == io::ErrorKind::NotFound => Ok(None),
            Err(error) => Err(error),
        }
    }

    /// Sends a signal; a process that is gone is no error.
    pub(super) fn signal(&self, signal: Signal) -> io::Result<()> {
        match pidfd_send_signal(self.pidfd.get_ref(), signal) {
            Ok(()) | Err(rustix::io::Errno::SRCH) => Ok(()),
            Err(error) => Err(error.into()),
        }
    }

    /// Waits until it has ended; its status is known only of our own children.
    pub(super) async fn ended(&mut self) -> io::Result<Option<ExitStatus>> {
        let _ready = self.pidfd.ready(Interest::READABLE).await?;
        match &mut self.child {
            Some(child) => child.wait().map(Some),
            None => Ok(None),
        }
    }

    /// Whether we started it ourselves.
    pub(super) fn is_child(&self) -> bool {
        self.child.is_some()
    }

    /// Ended, but not waited for by its parent.
    fn is_zombie(&self) -> bool {
        stat(self.record.pid).is_ok_and(|fields| fields.starts_with(['Z', 'X']))
    }
}

fn open(pid: u32) -> io::Result<AsyncFd<OwnedFd>> {
    let pid = i32::try_from(pid).ok().and_then(Pid::from_raw);
    let pid = pid.ok_or_else(|| io::Error::new(io::ErrorKind::InvalidInput, "not a process id"))?;
    let pidfd = pidfd_open(pid, PidfdFlags::NONBLOCK)?;
    #[expect(
        deprecated,
        reason = "the replacement is unsafe; an OwnedFd keeps what it promises, its number stays its own"
    )]
    AsyncFd::with_interest(pidfd, Interest::READABLE)
}

fn start_ticks(pid: u32) -> io::Result<u64> {
    let bad =
        || io::Error::new(io::ErrorKind::InvalidData, "the kernel's description of the process is not understood");
    stat(pid)?.split(' ').nth(START_TIME_FIELD).and_then(|ticks| ticks.parse().ok()).ok_or_else(bad)
}

/// The fields after the program's name, which may itself contain spaces and parentheses.
fn stat(pid: u32) -> io::Result<String> {
    let text = fs::read_to_string(format!("/proc/{pid}/stat"))?;
    Ok(text.rsplit_once(") ").map_or(String::new(), |(_, fields)| fields.to_owned()))
}

fn boot_id() -> io::Result<String> {
    Ok(fs::read_to_string("/proc/sys/kernel/random/boot_id")?.trim().to_owned())
}

#[cfg(test)]
mod tests {
    use std::process::Command;

    use super::*;

    #[tokio::test]
    async fn a_process_is_found_by_its_record_signalled_and_seen_to_end() {
        let mut started = Process::of_child("x", Command::new("sleep").arg("60").spawn().unwrap()).unwrap();
        let found = Process::of_record(&started.record).unwrap().unwrap();
        found.signal(Signal::TERM).unwrap();
        let status = started.ended().await.unwrap().unwrap();
        assert_eq!(std::os::unix::process::ExitStatusExt::signal(&status), Some(15));
        assert!(Process::of_record(&started.record).unwrap().is_none());
        started.signal(Signal::KILL).unwrap();
    }

    #[tokio::test]
    async fn another_process_with_the_same_pid_is_never_taken_for_it() {
        let mut started = Process::of_child("x", Command::new("sleep").arg("60").spawn().unwrap()).unwrap();
        let older = Record { start_ticks: started.record.start_ticks - 1, ..started.record.clone() };
        assert!(Process::of_record(&older).unwrap().is_none());
        let before_reboot = Record { boot_id: "other".into(), ..started.record.clone() };
        assert!(Process::of_record(&before_reboot).unwrap().is_none());
        started.signal(Signal::KILL).unwrap();
        started.ended().await.unwrap();
    }
}
