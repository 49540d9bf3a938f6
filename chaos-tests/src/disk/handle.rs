//! A disk of ours as a test holds it: a process that shows it in a folder, and the way to tell it what to do.

use std::{
    fs,
    io::{self, BufRead, BufReader, Write},
    os::unix::{fs::MetadataExt, net::UnixStream},
    path::{Path, PathBuf},
    process::Command as Program,
    time::Duration,
};

use super::{Answer, Command};
use crate::{binaries, net::apart, proc, process::Process, wait};

/// It mounts at once, but the machine may be busy.
const MOUNT_DEADLINE: Duration = Duration::from_secs(30);
/// It answers at once, but the machine may be busy.
const ANSWER_DEADLINE: Duration = Duration::from_secs(30);

/// A mounted disk. Dropped, it is gone with all that was on it.
pub struct Disk {
    folder: PathBuf,
    socket: PathBuf,
    bytes: u64,
    // Dropped after it was unmounted.
    _process: Process,
}

impl Disk {
    /// An empty one of so many bytes in a folder that is there, for a run. Call it on a machine of one's own: who does
    /// not share its mounts does not see it.
    pub async fn mount(run: &Path, folder: &Path, bytes: u64) -> io::Result<Self> {
        let program = binaries::find("boss-disk").map_err(io::Error::other)?;
        let before = fs::metadata(folder)?.dev();
        let socket = tempfile::Builder::new().prefix("disk").rand_bytes(5).tempfile_in(run)?.into_temp_path();
        let socket = socket.with_extension("socket");
        let mut command = Program::new(program);
        command.arg("--folder").arg(folder).arg("--socket").arg(&socket).arg("--bytes").arg(bytes.to_string());
        let process = Process::spawn(command.env(proc::RUN_VARIABLE, run).stdin(std::process::Stdio::null()))?;
        let disk = Self { folder: folder.to_owned(), socket, bytes, _process: process };
        let mounted = wait::until(format!("a disk is at {}", folder.display()), MOUNT_DEADLINE, async || {
            let there = fs::metadata(folder).map_err(|error| error.to_string())?;
            wait::holds(there.dev() != before, "it is on its way")?;
            disk.tell(&Command::Look).map_err(|error| error.to_string())
        });
        mounted.await.map_err(io::Error::other)?;
        Ok(disk)
    }

    /// Where it is mounted.
    #[must_use]
    pub fn folder(&self) -> &Path {
        &self.folder
    }

    /// What it had room for at first.
    #[must_use]
    pub fn bytes(&self) -> u64 {
        self.bytes
    }

    /// Tells it what to do, and waits until it has.
    pub fn tell(&self, command: &Command) -> io::Result<Answer> {
        let mut stream = UnixStream::connect(&self.socket)?;
        stream.set_read_timeout(Some(ANSWER_DEADLINE))?;
        let text = serde_json::to_string(command).map_err(io::Error::other)?;
        writeln!(stream, "{text}")?;
        let mut answer = String::new();
        BufReader::new(stream).read_line(&mut answer)?;
        serde_json::from_str(&answer).map_err(io::Error::other)
    }
}

impl Drop for Disk {
    fn drop(&mut self) {
        // Also with files open: they belong to processes that are about to end.
        apart::run(Program::new("umount").arg("--lazy").arg(&self.folder)).ok();
    }
}
