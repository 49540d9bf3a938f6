//! Ends sandboxes whose folder was lost while they ran. Nobody could adopt, stop or find them any more, and the agent that
//! finds its folder empty starts their pods anew: two of them would run.

use std::{
    ffi::OsStr,
    fs,
    os::unix::ffi::OsStrExt,
    path::{Path, PathBuf},
};

use rustix::process::{Pid, PidfdFlags, Signal, pidfd_open, pidfd_send_signal};

use super::{ProcessRuntime, sweep, unknown};
use crate::{
    runtime::Error,
    sandbox::{SandboxId, files, proc_stat},
};

impl ProcessRuntime {
    /// To be called once, before anything is adopted or started.
    pub async fn end_strays(&self) -> Result<(), Error> {
        for pid in proc_stat::all_pids().map_err(unknown)? {
            let Some(dir) = monitored_by(pid).filter(|dir| self.is_lost(dir)) else { continue };
            let Some(id) = id_of(&dir) else { continue };
            tracing::warn!(sandbox = %id, "its folder is gone, so it is ended: its pod starts anew");
            // Its processes end with their monitor, or are found by their mark.
            kill_monitor(pid, &dir);
            sweep::kill_until_absent(&id, None, &[]).await?;
        }
        Ok(())
    }

    fn is_lost(&self, dir: &Path) -> bool {
        dir.starts_with(&self.settings.root) && !dir.join(files::PLAN).exists()
    }
}

/// The folder of the sandbox of which this process is the monitor; none when it is none, or sees other files than we do
/// under that name.
fn monitored_by(pid: u32) -> Option<PathBuf> {
    let line = fs::read(format!("/proc/{pid}/cmdline")).ok()?;
    let mut words = line.split(|byte| *byte == 0).skip(1);
    let is_monitor = words.next()? == b"monitor" && words.next()? == b"--dir";
    let dir = PathBuf::from(OsStr::from_bytes(words.next()?));
    let mounts = |who: &str| fs::read_link(format!("/proc/{who}/ns/mnt")).ok();
    (is_monitor && mounts(&pid.to_string())? == mounts("self")?).then_some(dir)
}

fn id_of(dir: &Path) -> Option<SandboxId> {
    let attempt = dir.file_name()?.to_str()?.parse().ok()?;
    let uid = dir.parent()?.file_name()?.to_str()?.to_owned();
    Some(SandboxId { uid, attempt })
}

/// The pidfd is taken first and the command line read again: the pid may by now be somebody else's.
fn kill_monitor(pid: u32, dir: &Path) {
    let Some(target) = i32::try_from(pid).ok().and_then(Pid::from_raw) else { return };
    let Ok(pidfd) = pidfd_open(target, PidfdFlags::empty()) else { return };
    if monitored_by(pid).as_deref() == Some(dir) {
        // Gone already is what was wanted.
        let _ = pidfd_send_signal(&pidfd, Signal::KILL);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_folder_tells_which_sandbox_it_is_of() {
        let id = SandboxId { uid: "u-1".to_owned(), attempt: 3 };
        assert_eq!(id_of(&Path::new("/state/sandboxes").join(id.relative_dir())), Some(id));
        assert_eq!(id_of(Path::new("/state/sandboxes/u-1/x")), None);
    }

    #[test]
    fn a_process_that_is_no_monitor_monitors_nothing() {
        assert_eq!(monitored_by(std::process::id()), None);
    }
}
