//! What agent and monitor say to each other over the sandbox's socket, and the agent's end of it.
//!
//! On connecting, the monitor says how things stand; then each change, and for followers that the log grew.
//! The end of the stream means that the monitor is gone: `exit.json` then tells the rest.

use std::{
    io,
    os::fd::AsRawFd,
    path::{Path, PathBuf},
};

use serde::{Deserialize, Serialize};
use tokio::{
    io::{AsyncReadExt, AsyncWriteExt},
    net::UnixStream,
};

use crate::{
    sandbox::files::{self, Exit, Running},
    wire,
};

/// From agent to monitor.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub enum Request {
    /// SIGTERM now, SIGKILL for the whole tree after the grace period. A second one can only shorten it.
    Stop {
        /// Milliseconds.
        grace_ms: u64,
    },
    /// Say from now on that the log grew.
    Follow,
}

/// From monitor to agent.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub enum Report {
    /// The monitor is there, the sandbox not yet.
    Starting,
    /// It runs.
    Running(Running),
    /// It is over, nothing of it is left, and the exit file says so too.
    Ended(Exit),
    /// The log grew.
    LogGrew,
}

/// A Unix socket's address has room for 107 bytes only; through the folder's descriptor any path fits.
/// The folder must stay open while the path is used.
pub fn short_socket_path(dir: &impl AsRawFd) -> PathBuf {
    PathBuf::from(format!("/proc/self/fd/{}/{}", dir.as_raw_fd(), files::SOCKET))
}

/// The agent's end.
#[derive(Debug)]
pub struct Connection {
    stream: UnixStream,
    decoder: wire::Decoder,
}

impl Connection {
    /// Connects to the monitor of the sandbox in `dir`. See [`means_no_monitor`] for its errors.
    pub async fn open(dir: &Path) -> io::Result<Self> {
        let folder = std::fs::File::open(dir)?;
        let stream = UnixStream::connect(short_socket_path(&folder)).await?;
        Ok(Self { stream, decoder: wire::Decoder::default() })
    }

    /// Sends one request.
    pub async fn send(&mut self, request: &Request) -> io::Result<()> {
        self.stream.write_all(&wire::encode(request)?).await
    }

    /// The next report; `None` once the monitor is gone. Safe to drop half-way.
    pub async fn next(&mut self) -> io::Result<Option<Report>> {
        let mut chunk = [0; 4096];
        loop {
            if let Some(report) = self.decoder.decode()? {
                return Ok(Some(report));
            }
            match self.stream.read(&mut chunk).await {
                Ok(0) => return Ok(None),
                Ok(length) => self.decoder.push(&chunk[..length]),
                // A monitor that was killed with unread requests resets instead of closing.
                Err(error) if error.kind() == io::ErrorKind::ConnectionReset => return Ok(None),
                Err(error) => return Err(error),
            }
        }
    }
}

/// Whether the error of [`Connection::open`] says that no monitor is there. One that ended before it took the connection
/// resets it.
#[must_use]
pub fn means_no_monitor(error: &io::Error) -> bool {
    use io::ErrorKind::{ConnectionRefused, ConnectionReset, NotFound};
    matches!(error.kind(), NotFound | ConnectionRefused | ConnectionReset)
}

#[cfg(test)]
mod tests {
    use std::os::unix::net::{UnixListener, UnixStream};

    use super::*;

    #[test]
    fn a_monitor_that_ends_before_it_takes_a_connection_is_none() {
        let dir = tempfile::tempdir().unwrap();
        let listener = UnixListener::bind(dir.path().join("s")).unwrap();
        let connected = UnixStream::connect(dir.path().join("s")).unwrap();
        drop(listener);
        let error = connected.take_error().unwrap().expect("it was never taken");
        assert!(means_no_monitor(&error), "{error:?}");
    }
}
