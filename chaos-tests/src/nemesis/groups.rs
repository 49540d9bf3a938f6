//! Control groups around processes: a small part of a processor, or none at all until they are let go. Knows no server.

use std::{
    fs, io,
    path::{Path, PathBuf},
};

use tokio::time::{Instant, sleep};

/// Where the controller of processor time is mounted, in the layouts that systems have.
const CPU: [&str; 2] = ["/sys/fs/cgroup/cpu", "/sys/fs/cgroup/cpu,cpuacct"];
/// The same of the freezer.
const FREEZER: [&str; 1] = ["/sys/fs/cgroup/freezer"];
/// The share is of this time, in microseconds. Long, so that a starved process stands still noticeably.
const PERIOD_US: u32 = 100_000;
/// The kernel takes no smaller quota, in microseconds.
const QUOTA_MIN_US: u32 = 1_000;
/// What the freezer is told and tells.
const STATE: &str = "freezer.state";
/// A process in a system call is frozen when that ends.
const FREEZING: std::time::Duration = std::time::Duration::from_secs(5);
const LOOK: std::time::Duration = std::time::Duration::from_millis(5);

/// Why processes cannot be starved here; none when they can.
pub(super) fn why_no_starving() -> Option<String> {
    let why = "no control groups of version 1 with processor time";
    mounted(&CPU).err().map(|_| why.to_owned())
}

/// Why processes cannot be frozen here; none when they can.
pub(super) fn why_no_freezing() -> Option<String> {
    let why = "no control groups of version 1 with a freezer";
    mounted(&FREEZER).err().map(|_| why.to_owned())
}

fn mounted(places: &[&str]) -> io::Result<PathBuf> {
    let found = places.iter().map(PathBuf::from).find(|path| path.join("tasks").exists());
    found.ok_or_else(|| io::Error::other(format!("no control groups of version 1 at {}", places.join(" or "))))
}

/// A group of processes and their children. Dropped, they are free again.
pub(super) struct Group {
    path: PathBuf,
    parent: PathBuf,
}

impl Group {
    /// Gives a process no more than so many of a thousand parts of one processor.
    pub(super) fn starve(run: &Path, id: u64, pid: i32, share: u32) -> io::Result<Self> {
        let group = Self::create(mounted(&CPU)?, &name(run, &format!("starved-{id}")))?;
        fs::write(group.path.join("cpu.cfs_period_us"), PERIOD_US.to_string())?;
        fs::write(group.path.join("cpu.cfs_quota_us"), quota_us(share).to_string())?;
        group.take(&[pid])?;
        Ok(group)
    }

    /// Lets none of these processes run any further. A signal reaches them when they are let go.
    pub(super) async fn freeze(run: &Path, what: &str, pids: &[i32]) -> io::Result<Self> {
        let group = Self::create(mounted(&FREEZER)?, &name(run, what))?;
        group.take(pids)?;
        fs::write(group.path.join(STATE), "FROZEN")?;
        let until = Instant::now() + FREEZING;
        while fs::read_to_string(group.path.join(STATE))?.trim() != "FROZEN" {
            if Instant::now() > until {
                return Err(io::Error::other("some of them cannot be frozen"));
            }
            sleep(LOOK).await;
        }
        Ok(group)
    }

    fn create(parent: PathBuf, name: &str) -> io::Result<Self> {
        let path = parent.join(name);
        fs::create_dir_all(&path)?;
        Ok(Self { path, parent })
    }

    fn take(&self, pids: &[i32]) -> io::Result<()> {
        pids.iter().try_for_each(|pid| fs::write(self.path.join("cgroup.procs"), pid.to_string()))
    }
}

impl Drop for Group {
    fn drop(&mut self) {
        thaw(&self.path);
        let inside = fs::read_to_string(self.path.join("cgroup.procs")).unwrap_or_default();
        for pid in inside.lines() {
            fs::write(self.parent.join("cgroup.procs"), pid).ok();
        }
        fs::remove_dir(&self.path).ok();
    }
}

fn thaw(group: &Path) {
    let state = group.join(STATE);
    if state.exists() {
        fs::write(state, "THAWED").ok();
    }
}

/// Lets go what a run that was killed has frozen: else it could not even be killed.
pub(crate) fn thaw_groups_of(run: &Path) {
    groups_of(run).iter().for_each(|group| thaw(group));
}

/// Removes what a run that was killed has left; only empty groups can be removed, so nothing else can be hit.
pub(crate) fn remove_groups_of(run: &Path) {
    for group in groups_of(run) {
        fs::remove_dir(group).ok();
    }
}

fn groups_of(run: &Path) -> Vec<PathBuf> {
    let prefix = prefix(run);
    let all = CPU.iter().chain(&FREEZER).flat_map(|parent| fs::read_dir(parent).into_iter().flatten().flatten());
    let ours = all.filter(|entry| entry.file_name().as_encoded_bytes().starts_with(prefix.as_bytes()));
    ours.map(|entry| entry.path()).collect()
}

fn prefix(run: &Path) -> String {
    let run = run.file_name().unwrap_or_default().to_string_lossy();
    format!("boss-chaos-{run}-")
}

fn name(run: &Path, what: &str) -> String {
    format!("{}{what}", prefix(run))
}

fn quota_us(share: u32) -> u32 {
    (PERIOD_US / 1_000 * share).max(QUOTA_MIN_US)
}

#[cfg(test)]
mod tests {
    use std::process::Command;

    use super::*;
    use crate::{proc::Stat, process::Process};

    #[test]
    fn a_share_is_of_one_processor_and_never_nothing() {
        assert_eq!([0, 50, 1_000].map(quota_us), [1_000, 5_000, 100_000]);
    }

    #[tokio::test]
    async fn a_frozen_process_uses_no_time_until_it_is_let_go() {
        if why_no_freezing().is_some() || !nix::unistd::geteuid().is_root() {
            return;
        }
        let run = tempfile::tempdir().expect("a folder can be made");
        let busy = Process::spawn(Command::new("sh").args(["-c", "while :; do :; done"])).expect("it starts");
        let used = || Stat::read(busy.id().pid).expect("it runs").cpu_ticks;
        let works = async |from: u64| {
            while used() <= from {
                sleep(LOOK).await;
            }
        };
        works(0).await;
        let group = Group::freeze(run.path(), "one", &[busy.id().pid]).await.expect("root may do this");
        let before = used();
        // Longer than the clock that counts is coarse.
        sleep(10 * LOOK).await;
        assert_eq!(used(), before);
        drop(group);
        works(before).await;
        assert!(groups_of(run.path()).is_empty());
    }
}
