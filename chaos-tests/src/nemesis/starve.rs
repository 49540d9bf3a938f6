//! A small part of a processor for a process, by a control group. Knows no server.

use std::{
    fs, io,
    path::{Path, PathBuf},
};

/// Where the controller of processor time is mounted, in the layouts that systems have.
const MOUNTS: [&str; 2] = ["/sys/fs/cgroup/cpu", "/sys/fs/cgroup/cpu,cpuacct"];
/// The share is of this time, in microseconds. Long, so that a starved process stands still noticeably.
const PERIOD_US: u32 = 100_000;
/// The kernel takes no smaller quota, in microseconds.
const QUOTA_MIN_US: u32 = 1_000;

/// A group with one process and its children. Dropped, they are free again.
pub(super) struct Group {
    path: PathBuf,
    parent: PathBuf,
}

impl Group {
    /// Gives a process no more than so many of a thousand parts of one processor.
    pub(super) fn create(run: &Path, id: u64, pid: i32, share: u32) -> io::Result<Self> {
        let parent = MOUNTS.iter().map(Path::new).find(|path| path.join("tasks").exists());
        let parent = parent.ok_or_else(|| io::Error::other("no control groups of version 1 with processor time"))?;
        let path = parent.join(name(run, id));
        fs::create_dir_all(&path)?;
        let group = Self { path, parent: parent.to_owned() };
        fs::write(group.path.join("cpu.cfs_period_us"), PERIOD_US.to_string())?;
        fs::write(group.path.join("cpu.cfs_quota_us"), quota_us(share).to_string())?;
        fs::write(group.path.join("cgroup.procs"), pid.to_string())?;
        Ok(group)
    }
}

impl Drop for Group {
    fn drop(&mut self) {
        let inside = fs::read_to_string(self.path.join("cgroup.procs")).unwrap_or_default();
        for pid in inside.lines() {
            fs::write(self.parent.join("cgroup.procs"), pid).ok();
        }
        fs::remove_dir(&self.path).ok();
    }
}

/// Removes what a run that was killed has left; only empty groups can be removed, so nothing else can be hit.
pub(crate) fn remove_groups_of(run: &Path) {
    let prefix = prefix(run);
    for parent in MOUNTS {
        for entry in fs::read_dir(parent).into_iter().flatten().flatten() {
            if entry.file_name().as_encoded_bytes().starts_with(prefix.as_bytes()) {
                fs::remove_dir(entry.path()).ok();
            }
        }
    }
}

fn prefix(run: &Path) -> String {
    let run = run.file_name().unwrap_or_default().to_string_lossy();
    format!("boss-chaos-{run}-")
}

fn name(run: &Path, id: u64) -> String {
    format!("{}{id}", prefix(run))
}

fn quota_us(share: u32) -> u32 {
    (PERIOD_US / 1_000 * share).max(QUOTA_MIN_US)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_share_is_of_one_processor_and_never_nothing() {
        assert_eq!([0, 50, 1_000].map(quota_us), [1_000, 5_000, 100_000]);
    }
}
