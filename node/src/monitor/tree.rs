//! The sandbox's process tree: kill all of it, reap all of it, know when nothing is left.
//!
//! The monitor is a child subreaper, so whoever loses its parent becomes our child: when wait(2) says that we have
//! no child, nothing of the sandbox is left. That is the proof of absence, with or without control groups.

use std::{fs, io};

use rustix::process::{
    Pid, PidfdFlags, Signal, WaitOptions, WaitStatus, kill_process_group, pidfd_open, pidfd_send_signal, wait,
};

use crate::{
    cgroup,
    sandbox::proc_stat::{self, ProcStat},
};

/// What a round of reaping found.
pub(super) struct Reaped {
    /// How the main process ended, if it did in this round.
    pub(super) main: Option<WaitStatus>,
    /// Nothing of the sandbox is left.
    pub(super) none_left: bool,
}

/// Takes the exit status of everything that ended.
pub(super) fn reap(main: Pid) -> io::Result<Reaped> {
    let mut reaped = Reaped { main: None, none_left: false };
    loop {
        match wait(WaitOptions::NOHANG) {
            Ok(Some((pid, status))) if pid == main => reaped.main = Some(status),
            Ok(Some(_)) => {}
            Ok(None) => return Ok(reaped),
            Err(rustix::io::Errno::CHILD) => {
                reaped.none_left = true;
                return Ok(reaped);
            }
            Err(rustix::io::Errno::INTR) => {}
            Err(error) => return Err(error.into()),
        }
    }
}

/// Asks the main process's group to end.
pub(super) fn terminate(main: Pid) {
    // It may be gone by now: then that is what was wanted.
    let _ = kill_process_group(main, Signal::TERM);
}

/// SIGKILL for all that lives below this process. New ones may be forked meanwhile: call again until none is left.
pub(super) fn kill_all(groups: &[cgroup::Group]) {
    for group in groups {
        // v2 kills a whole group at once; elsewhere there is no such file.
        let _ = fs::write(group.dir.join("cgroup.kill"), "1");
    }
    let this = std::process::id();
    let mut parents = vec![this];
    while let Some(parent) = parents.pop() {
        for child in children(parent) {
            kill_child(child, parent);
            parents.push(child);
        }
    }
}

/// Through a pidfd, with a second look at the parent: a pid that was read may by now be somebody else's.
fn kill_child(pid: u32, parent: u32) {
    let Some(target) = i32::try_from(pid).ok().and_then(Pid::from_raw) else { return };
    let Ok(pidfd) = pidfd_open(target, PidfdFlags::empty()) else { return };
    if let Ok(Some(stat)) = ProcStat::read(pid)
        && stat.parent == parent
    {
        let _ = pidfd_send_signal(&pidfd, Signal::KILL);
    }
}

fn children(parent: u32) -> Vec<u32> {
    let Ok(threads) = fs::read_dir(format!("/proc/{parent}/task")) else { return Vec::new() };
    let mut found = Vec::new();
    for thread in threads.flatten() {
        match fs::read_to_string(thread.path().join("children")) {
            Ok(text) => found.extend(text.split_ascii_whitespace().filter_map(|pid| pid.parse::<u32>().ok())),
            Err(_) => return scan_for_children(parent),
        }
    }
    found
}

/// For kernels without /proc/PID/task/TID/children.
fn scan_for_children(parent: u32) -> Vec<u32> {
    let is_child = |pid: &u32| matches!(ProcStat::read(*pid), Ok(Some(stat)) if stat.parent == parent);
    proc_stat::all_pids().unwrap_or_default().into_iter().filter(is_child).collect()
}
