//! The folder of one run: configuration, data and logs of its processes. Cleans up after runs that were killed.

use std::{
    env, fs, io,
    path::{Path, PathBuf},
    process::{Command, Stdio},
    time::Duration,
};

use nix::sys::signal::Signal;

use crate::{
    binaries, nemesis,
    proc::{self, ProcessId},
    process::{Process, kill_process},
};

/// Set it to put the runs elsewhere, on another disk for example.
const FOLDER_VARIABLE: &str = "BOSS_CHAOS_DIR";
/// Set it to keep the folders of successful runs too.
const KEEP_VARIABLE: &str = "BOSS_CHAOS_KEEP";
/// Folders of failed runs are removed by later runs after this time.
const KEPT_FOR: Duration = Duration::from_secs(24 * 60 * 60);

/// Removed when dropped, unless it is to be kept.
#[derive(Debug)]
pub struct RunFolder {
    path: PathBuf,
    keep: bool,
    _janitor: Option<Process>,
}

impl RunFolder {
    /// Makes a fresh one, and ends what earlier runs left behind.
    pub fn create() -> io::Result<Self> {
        let root = root();
        fs::create_dir_all(&root)?;
        remove_stale(&root);
        // Short names: the path of a Unix socket has at most 107 bytes.
        let path = tempfile::Builder::new().prefix("r").rand_bytes(5).tempdir_in(&root)?.keep();
        let own = ProcessId::of(own_pid()).ok_or_else(|| io::Error::other("/proc does not know this process"))?;
        fs::write(path.join("owner"), format!("{} {}", own.pid, own.start_ticks))?;
        fs::create_dir(path.join("logs"))?;
        let janitor = start_janitor(&path)?;
        Ok(Self { path, keep: env::var_os(KEEP_VARIABLE).is_some(), _janitor: janitor })
    }

    /// Where it is.
    #[must_use]
    pub fn path(&self) -> &Path {
        &self.path
    }

    /// The log of the process called `name`.
    #[must_use]
    pub fn log(&self, name: &str) -> PathBuf {
        self.path.join("logs").join(format!("{name}.log"))
    }

    /// Leaves it where it is, for someone to look at.
    pub fn keep(&mut self) {
        self.keep = true;
    }

    /// The last lines of every log.
    #[must_use]
    pub fn log_tails(&self, lines: usize) -> String {
        let mut logs: Vec<PathBuf> =
            fs::read_dir(self.path.join("logs")).into_iter().flatten().flatten().map(|entry| entry.path()).collect();
        logs.sort();
        logs.iter().map(|log| format!("---- {} (last {lines} lines)\n{}\n", log.display(), tail(log, lines))).collect()
    }
}

impl Drop for RunFolder {
    fn drop(&mut self) {
        clean_up(&self.path);
        if !self.keep {
            fs::remove_dir_all(&self.path).ok();
        }
    }
}

/// Ends all processes of the run in this folder, and removes their control groups. The folder itself stays.
pub fn clean_up(run: &Path) {
    nemesis::groups::thaw_groups_of(run);
    kill_processes_of(run);
    remove_groups_of(run);
    nemesis::groups::remove_groups_of(run);
}

/// The janitor cleans up when this process dies without being able to: it reads the other end of a pipe from us.
/// Without it, as in a build of the library alone, the next run does that.
fn start_janitor(run: &Path) -> io::Result<Option<Process>> {
    let Ok(program) = binaries::find("boss-janitor") else { return Ok(None) };
    Process::spawn(Command::new(program).arg(run).stdin(Stdio::piped()).stdout(Stdio::null())).map(Some)
}

/// The folder that all runs of this machine share, for their folders and port locks.
#[must_use]
pub fn root() -> PathBuf {
    env::var_os(FOLDER_VARIABLE)
        .map_or_else(|| env::temp_dir().join(format!("boss-chaos-{}", nix::unistd::getuid())), PathBuf::from)
}

fn own_pid() -> i32 {
    std::process::id().cast_signed()
}

fn tail(log: &Path, lines: usize) -> String {
    let text = String::from_utf8_lossy(&fs::read(log).unwrap_or_default()).into_owned();
    let all: Vec<&str> = text.lines().collect();
    all[all.len().saturating_sub(lines)..].join("\n")
}

fn remove_stale(root: &Path) {
    for entry in fs::read_dir(root).into_iter().flatten().flatten() {
        let path = entry.path();
        let Some(owner) = owner_of(&path) else { continue };
        if owner.is_alive() {
            continue;
        }
        clean_up(&path);
        let age = entry.metadata().and_then(|meta| meta.modified()).ok().and_then(|time| time.elapsed().ok());
        if age.is_none_or(|age| age > KEPT_FOR) {
            fs::remove_dir_all(&path).ok();
        }
    }
}

fn owner_of(run: &Path) -> Option<ProcessId> {
    let text = fs::read_to_string(run.join("owner")).ok()?;
    let (pid, start_ticks) = text.split_once(' ')?;
    Some(ProcessId { pid: pid.parse().ok()?, start_ticks: start_ticks.parse().ok()? })
}

/// Removes the control groups that the sandboxes of a run were in: the plan of each says which.
fn remove_groups_of(run: &Path) {
    for plan in files_called("spec.json", run) {
        let plan: serde_json::Value =
            fs::read(plan).ok().and_then(|bytes| serde_json::from_slice(&bytes).ok()).unwrap_or_default();
        let groups = plan["cgroups"].as_array().into_iter().flatten();
        for folder in groups.filter_map(|group| group["dir"].as_str()) {
            // Only an empty group can be removed, so nothing else can be hit.
            fs::remove_dir(folder).ok();
        }
    }
}

fn files_called(name: &str, folder: &Path) -> Vec<PathBuf> {
    let mut found = Vec::new();
    for entry in fs::read_dir(folder).into_iter().flatten().flatten() {
        match entry.file_type() {
            Ok(kind) if kind.is_dir() => found.extend(files_called(name, &entry.path())),
            Ok(_) if entry.file_name() == name => found.push(entry.path()),
            _ => {}
        }
    }
    found
}

/// Ends every process of a run, and all below them. Twice, because one may start another
/// between the look and the signal.
fn kill_processes_of(run: &Path) {
    for _ in 0..2 {
        let ours: Vec<_> = proc::of_run(run).into_iter().filter(|stat| stat.id.pid != own_pid()).collect();
        let roots: Vec<i32> = ours.iter().map(|stat| stat.id.pid).collect();
        for stat in ours.iter().chain(&proc::descendants(&roots)) {
            kill_process(stat.id, Signal::SIGKILL);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::process::Exit;

    #[tokio::test]
    async fn processes_of_a_run_end_with_its_folder() {
        let folder = RunFolder::create().expect("a folder can be made");
        let mut command = Command::new("sleep");
        command.arg("60").env(proc::RUN_VARIABLE, folder.path());
        let process = Process::spawn(&mut command).expect("sleep starts");
        let path = folder.path().to_owned();
        drop(folder);
        assert_eq!(process.wait(Duration::from_secs(10)).await, Ok(Exit::Signal(Signal::SIGKILL)));
        assert!(!path.exists());
    }
}
