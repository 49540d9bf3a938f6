//! Starts monitors through a small single-threaded process, because a process with threads must not fork.
//!
//! `main` starts the launcher before there is a thread; the agent talks to it over a socket pair. The launcher ends
//! when the agent's end closes; the monitors live on.

mod message;
mod process;

use std::{
    io,
    os::{
        fd::OwnedFd,
        unix::{net::UnixStream as StdUnixStream, process::CommandExt},
    },
    path::Path,
    process::{Command, Stdio},
};

use boss_base::failpoints;
use tokio::{
    io::{AsyncReadExt, AsyncWriteExt},
    net::UnixStream,
    sync::Mutex,
};

use crate::{sandbox::Values, wire};
use message::{Launch, Launched};

pub use process::run;

/// Starts the launcher. Call it before the first thread; `exe` is boss-node itself.
/// The launcher holds `lock` as long as it lives, so that no second agent comes while it may still start something.
pub fn start(exe: &Path, lock: OwnedFd) -> io::Result<StdUnixStream> {
    let (ours, theirs) = StdUnixStream::pair()?;
    Command::new(exe)
        .arg0("boss-node")
        .arg("launcher")
        .stdin(Stdio::from(OwnedFd::from(theirs)))
        .stdout(Stdio::from(lock))
        .stderr(Stdio::inherit())
        .spawn()?;
    Ok(ours)
}

/// Why a monitor was not started.
#[derive(Debug, thiserror::Error)]
pub enum LaunchError {
    /// This one failed; others may work.
    #[error("the monitor could not be started: {0}")]
    Failed(String),
    /// The launcher is gone: nothing can be started until the agent is restarted.
    #[error("the launcher process is gone; the agent must be restarted")]
    Gone(#[source] io::Error),
}

/// The agent's end.
#[derive(Debug)]
pub struct Launcher {
    // One at a time: a launch takes about a millisecond, and the answers come in order.
    connection: Mutex<Connection>,
}

#[derive(Debug)]
struct Connection {
    stream: UnixStream,
    decoder: wire::Decoder,
    next_id: u64,
}

impl Launcher {
    /// Takes over what [`start`] gave; needs a runtime.
    pub fn attach(stream: StdUnixStream) -> io::Result<Self> {
        stream.set_nonblocking(true)?;
        let stream = UnixStream::from_std(stream)?;
        Ok(Self { connection: Mutex::new(Connection { stream, decoder: wire::Decoder::default(), next_id: 1 }) })
    }

    /// Starts the monitor of the sandbox in `dir`; its socket is there when this returns, and it has its
    /// values. Gives the monitor's pid.
    pub async fn launch(&self, dir: &Path, values: &Values) -> Result<u32, LaunchError> {
        let mut connection = self.connection.lock().await;
        let id = connection.next_id;
        connection.next_id += 1;
        let launch = Launch { id, dir: dir.to_owned(), values: values.clone() };
        failpoints::reach("sandbox.launching");
        let answer = connection.ask(&launch).await.map_err(LaunchError::Gone)?;
        failpoints::reach("sandbox.launched");
        answer.result.map_err(LaunchError::Failed)
    }
}

impl Connection {
    async fn ask(&mut self, launch: &Launch) -> io::Result<Launched> {
        self.stream.write_all(&wire::encode(launch)?).await?;
        let mut chunk = [0; 4096];
        loop {
            match self.decoder.decode::<Launched>()? {
                Some(answer) if answer.id == launch.id => return Ok(answer),
                // The answer to a call whose caller went away.
                Some(_) => continue,
                None => {}
            }
            match self.stream.read(&mut chunk).await? {
                0 => return Err(io::ErrorKind::UnexpectedEof.into()),
                length => self.decoder.push(&chunk[..length]),
            }
        }
    }
}
