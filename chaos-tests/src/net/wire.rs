//! The wire of a host as a test holds it: a process between host and bridge ([`super::relay`]), and the way to tell it
//! how long it holds up what.

use std::{
    fs,
    io::{self, BufRead, BufReader, Write},
    os::unix::net::UnixStream,
    path::{Path, PathBuf},
    process::{Command, Stdio},
    time::Duration,
};

use super::{
    relay::Waiting,
    rules::Host,
    wires::{self, End},
};
use crate::{binaries, proc, process::Process, wait};

/// It is laid at once, and answers at once, but the machine may be busy.
const DEADLINE: Duration = Duration::from_secs(30);

/// A process with both ends. Dropped, it is gone with its interfaces.
pub struct Wire {
    socket: PathBuf,
    _process: Process,
}

impl Wire {
    /// Makes both ends where this is called.
    pub(super) async fn lay(run: &Path, host: Host) -> io::Result<Self> {
        let program = binaries::find("boss-relay").map_err(io::Error::other)?;
        let socket = run.join(format!("{}.socket", host.port()));
        let ends = [End::Host, End::Bridge].map(|end| wires::end(host, end));
        let mut command = Command::new(program);
        command.args(["--host-end", &ends[0], "--bridge-end", &ends[1]]).arg("--socket").arg(&socket);
        let process = Process::spawn(command.env(proc::RUN_VARIABLE, run).stdin(Stdio::null()))?;
        let wire = Self { socket, _process: process };
        let laid = wait::until(format!("{host} has a wire"), DEADLINE, async || {
            let there = fs::read_to_string("/proc/thread-self/net/dev").map_err(|error| error.to_string())?;
            let is_there = |end: &String| there.contains(&format!("{end}:"));
            wait::holds(ends.iter().all(is_there), "it is on its way")?;
            wire.hold_up(Waiting::default()).map_err(|error| error.to_string())
        });
        laid.await.map_err(io::Error::other)?;
        Ok(wire)
    }

    /// From now on what the host sends to servers waits so long.
    pub fn hold_up(&self, waiting: Waiting) -> io::Result<()> {
        let mut stream = UnixStream::connect(&self.socket)?;
        stream.set_read_timeout(Some(DEADLINE))?;
        let text = serde_json::to_string(&waiting).map_err(io::Error::other)?;
        writeln!(stream, "{text}")?;
        let mut answer = String::new();
        match BufReader::new(stream).read_line(&mut answer)? {
            0 => Err(io::Error::other("the wire has not understood")),
            _ => Ok(()),
        }
    }
}
