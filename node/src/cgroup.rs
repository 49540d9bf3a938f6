//! Control groups: finds out what this machine has (v1, v2 or both) and turns limits into files to write.
//! Knows no process and starts none.
//!
//! Joining costs: writing to `cgroup.procs` takes a global lock that waits for an RCU grace period (about 18 ms
//! per group, measured). A single thread that writes itself into v1's `tasks` skips that lock (0.5 ms).
//! So sandboxes join only groups that limit something, and v1 groups through `tasks`.

use std::{
    fs, io,
    path::{Path, PathBuf},
};

use serde::{Deserialize, Serialize};

use crate::sandbox::spec::Limits;

/// One group to make and join, with what to write into it before.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Group {
    /// Its folder.
    pub dir: PathBuf,
    /// The file through which a process joins.
    pub join: String,
    /// File names and contents.
    pub settings: Vec<(String, String)>,
}

/// A thread joins by writing 0 here, without the lock that `cgroup.procs` takes.
const JOIN_V1: &str = "tasks";
/// v2 has no such way for one thread.
const JOIN_V2: &str = "cgroup.procs";

/// The controllers that sandboxes can be limited by.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub enum Controller {
    /// Processor time.
    Cpu,
    /// Memory.
    Memory,
    /// Number of tasks.
    Pids,
}

impl Controller {
    /// All of them.
    pub const ALL: [Controller; 3] = [Controller::Cpu, Controller::Memory, Controller::Pids];

    /// Its name in the kernel.
    #[must_use]
    pub fn as_str(self) -> &'static str {
        match self {
            Controller::Cpu => "cpu",
            Controller::Memory => "memory",
            Controller::Pids => "pids",
        }
    }
}

/// Where groups can be made on this machine.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Layout {
    /// One parent per v1 controller.
    v1: Vec<(Controller, PathBuf)>,
    /// The parent on v2, with the controllers that work there.
    v2: Option<(PathBuf, Vec<Controller>)>,
}

impl Layout {
    /// Tries it out: makes the parent groups called `name` below the agent's own groups and keeps those that work.
    #[must_use]
    pub fn probe(name: &str) -> Self {
        let mounts = fs::read_to_string("/proc/self/mountinfo").unwrap_or_default();
        let own = fs::read_to_string("/proc/self/cgroup").unwrap_or_default();
        let mut layout = Self::default();
        for mount in parse_mounts(&mounts) {
            match mount.version {
                Version::V1 => layout.probe_v1(&mount, &own, name),
                Version::V2 => layout.probe_v2(&mount, &own, name),
            }
        }
        layout
    }

    /// The controllers that sandboxes can be limited by here.
    #[must_use]
    pub fn controllers(&self) -> Vec<Controller> {
        Controller::ALL.into_iter().filter(|controller| self.has(*controller)).collect()
    }

    fn has(&self, controller: Controller) -> bool {
        self.v1.iter().any(|(found, _)| *found == controller)
            || self.v2.as_ref().is_some_and(|(_, found)| found.contains(&controller))
    }

    /// The groups that keep `sandbox` within `limits`, as far as this machine can.
    #[must_use]
    pub fn plan(&self, sandbox: &str, limits: &Limits) -> Vec<Group> {
        let mut groups = Vec::new();
        for (controller, parent) in &self.v1 {
            let settings = v1_settings(*controller, limits);
            if !settings.is_empty() {
                groups.push(Group { dir: parent.join(sandbox), join: JOIN_V1.into(), settings });
            }
        }
        if let Some((parent, controllers)) = &self.v2 {
            let settings: Vec<_> = controllers
                .iter()
                .filter(|controller| !self.v1.iter().any(|(found, _)| found == *controller))
                .flat_map(|controller| v2_settings(*controller, limits))
                .collect();
            if !settings.is_empty() {
                groups.push(Group { dir: parent.join(sandbox), join: JOIN_V2.into(), settings });
            }
        }
        groups
    }

    /// The limits that were asked for and that nothing here can keep.
    #[must_use]
    pub fn missing(&self, limits: &Limits) -> Vec<Controller> {
        let wanted = |controller: &Controller| !v2_settings(*controller, limits).is_empty();
        Controller::ALL.into_iter().filter(wanted).filter(|controller| !self.has(*controller)).collect()
    }

    fn probe_v1(&mut self, mount: &Mount, own: &str, name: &str) {
        for controller in Controller::ALL {
            if mount.options.split(',').any(|option| option == controller.as_str()) {
                let parent = existing_base(mount, own_path(own, controller.as_str())).join(name);
                if make_parent(&parent).is_ok() {
                    // Made again with the first group in it.
                    let _ = fs::remove_dir(&parent);
                    self.v1.push((controller, parent));
                }
            }
        }
    }

    fn probe_v2(&mut self, mount: &Mount, own: &str, name: &str) {
        let base = existing_base(mount, own_path(own, ""));
        let parent = base.join(name);
        if make_parent(&parent).is_err() {
            return;
        }
        let offered = fs::read_to_string(base.join("cgroup.controllers")).unwrap_or_default();
        let offered: Vec<&str> = offered.split_ascii_whitespace().collect();
        let works = |controller: &Controller| {
            let switch = format!("+{}", controller.as_str());
            offered.contains(&controller.as_str())
                && fs::write(base.join("cgroup.subtree_control"), &switch).is_ok()
                && fs::write(parent.join("cgroup.subtree_control"), &switch).is_ok()
        };
        let controllers: Vec<Controller> = Controller::ALL.into_iter().filter(works).collect();
        if controllers.is_empty() {
            let _ = fs::remove_dir(&parent);
        } else {
            self.v2 = Some((parent, controllers));
        }
    }
}

/// Makes a group and writes its settings. One that is there already is used.
pub fn create(group: &Group) -> io::Result<()> {
    let tell = |path: &Path, error: io::Error| io::Error::new(error.kind(), format!("{}: {error}", path.display()));
    make_with_parent(&group.dir).map_err(|error| tell(&group.dir, error))?;
    for (name, value) in &group.settings {
        let path = group.dir.join(name);
        fs::write(&path, value).map_err(|error| tell(&path, error))?;
    }
    Ok(())
}

/// The parent may go between the making of both, with its last group: then it is made again.
fn make_with_parent(dir: &Path) -> io::Result<()> {
    const TRIES: usize = 10;
    let mut made = fs::create_dir_all(dir);
    for _ in 1..TRIES {
        match &made {
            Err(error) if error.kind() == io::ErrorKind::NotFound => made = fs::create_dir_all(dir),
            _ => break,
        }
    }
    made
}

/// The processes in a group; none if there is no such group.
#[must_use]
pub fn members(dir: &Path) -> Vec<u32> {
    let text = fs::read_to_string(dir.join("cgroup.procs")).unwrap_or_default();
    text.lines().filter_map(|line| line.parse().ok()).collect()
}

/// Whether the kernel killed something in these groups for want of memory.
#[must_use]
pub fn ran_out_of_memory(groups: &[Group]) -> bool {
    groups.iter().any(|group| {
        ["memory.oom_control", "memory.events"].iter().any(|name| {
            let text = fs::read_to_string(group.dir.join(name)).unwrap_or_default();
            text.lines().any(|line| line.strip_prefix("oom_kill ").is_some_and(|count| count.trim() != "0"))
        })
    })
}

/// Removes a group that has no members any more; one that is not there is fine. A v1 parent goes with its last group,
/// so that clusters leave nothing behind; on v2 the parent holds which controllers work.
pub fn remove(group: &Group) -> io::Result<()> {
    match fs::remove_dir(&group.dir) {
        Err(error) if error.kind() != io::ErrorKind::NotFound => return Err(error),
        _ => {}
    }
    if group.join == JOIN_V1
        && let Some(parent) = group.dir.parent()
    {
        let _ = fs::remove_dir(parent);
    }
    Ok(())
}

fn v1_settings(controller: Controller, limits: &Limits) -> Vec<(String, String)> {
    let mut settings = Vec::new();
    match controller {
        Controller::Cpu => {
            if let Some(millis) = limits.cpu_millis_max {
                settings.push(("cpu.cfs_period_us".into(), CPU_PERIOD_US.to_string()));
                settings.push(("cpu.cfs_quota_us".into(), quota_us(millis).to_string()));
            }
            if let Some(millis) = limits.cpu_millis_requested {
                settings.push(("cpu.shares".into(), (millis * 1024 / 1000).clamp(2, 262_144).to_string()));
            }
        }
        Controller::Memory => {
            if let Some(bytes) = limits.memory_bytes_max {
                settings.push(("memory.limit_in_bytes".into(), bytes.to_string()));
            }
        }
        Controller::Pids => {
            if let Some(tasks) = limits.tasks_max {
                settings.push(("pids.max".into(), tasks.to_string()));
            }
        }
    }
    settings
}

fn v2_settings(controller: Controller, limits: &Limits) -> Vec<(String, String)> {
    let mut settings = Vec::new();
    match controller {
        Controller::Cpu => {
            if let Some(millis) = limits.cpu_millis_max {
                settings.push(("cpu.max".into(), format!("{} {CPU_PERIOD_US}", quota_us(millis))));
            }
            if let Some(millis) = limits.cpu_millis_requested {
                settings.push(("cpu.weight".into(), (millis / 10).clamp(1, 10_000).to_string()));
            }
        }
        Controller::Memory => {
            if let Some(bytes) = limits.memory_bytes_max {
                settings.push(("memory.max".into(), bytes.to_string()));
            }
        }
        Controller::Pids => {
            if let Some(tasks) = limits.tasks_max {
                settings.push(("pids.max".into(), tasks.to_string()));
            }
        }
    }
    settings
}

const CPU_PERIOD_US: u64 = 100_000;

/// The kernel refuses quotas below a millisecond.
fn quota_us(millis: u64) -> u64 {
    (millis.saturating_mul(CPU_PERIOD_US) / 1000).max(1_000)
}

fn make_parent(parent: &Path) -> io::Result<()> {
    fs::create_dir_all(parent)?;
    // A folder can be made in many places; only in a real group is this file there.
    fs::metadata(parent.join("cgroup.procs")).map(|_| ())
}

/// The agent's own group, or the mount itself when a namespace hides it.
fn existing_base(mount: &Mount, own: Option<&str>) -> PathBuf {
    let relative = own.unwrap_or("/").trim_start_matches('/');
    let base = mount.point.join(relative);
    if base.join("cgroup.procs").exists() { base } else { mount.point.clone() }
}

/// From lines like `4:memory:/system.slice`; v2's line has no controller.
fn own_path<'a>(text: &'a str, controller: &str) -> Option<&'a str> {
    text.lines().find_map(|line| {
        let mut parts = line.splitn(3, ':').skip(1);
        let (controllers, path) = (parts.next()?, parts.next()?);
        controllers.split(',').any(|found| found == controller).then_some(path)
    })
}

#[derive(Debug, PartialEq, Eq)]
enum Version {
    V1,
    V2,
}

#[derive(Debug, PartialEq, Eq)]
struct Mount {
    version: Version,
    point: PathBuf,
    options: String,
}

fn parse_mounts(mountinfo: &str) -> Vec<Mount> {
    let parse = |line: &str| {
        let (front, back) = line.split_once(" - ")?;
        let point = PathBuf::from(front.split(' ').nth(4)?);
        let mut back = back.split(' ');
        let version = match back.next()? {
            "cgroup" => Version::V1,
            "cgroup2" => Version::V2,
            _ => return None,
        };
        Some(Mount { version, point, options: back.nth(1)?.to_owned() })
    };
    mountinfo.lines().filter_map(parse).collect()
}

#[cfg(test)]
#[path = "cgroup_tests.rs"]
mod tests;
