//! The launcher process: one thread, one loop, no runtime. Knows sandboxes only as folders.

use std::{
    fs::File,
    io::{self, Read, Write},
    os::{
        fd::{AsFd, OwnedFd},
        unix::{
            net::{UnixListener, UnixStream},
            process::CommandExt,
        },
    },
    path::Path,
    process::{Command, ExitCode, Stdio},
};

use nix::sys::{
    signal::{SigSet, Signal},
    signalfd::{SfdFlags, SignalFd},
};
use rustix::{
    event::{PollFd, PollFlags, poll},
    process::{WaitOptions, setsid, wait},
};

use crate::{
    launcher::message::{Launch, Launched},
    sandbox::{Values, control::short_socket_path, files},
    wire,
};

/// Serves the agent on standard input until it hangs up.
pub fn run() -> ExitCode {
    match serve() {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => {
            // The launcher has no log of its own; the agent's standard error is all there is.
            let _ = writeln!(io::stderr(), "boss-node launcher: {error}");
            ExitCode::FAILURE
        }
    }
}

fn serve() -> io::Result<()> {
    // A session of its own: Ctrl-C is for the agent, which then hangs up.
    let _ = setsid();
    let signals = block_signals()?;
    let mut agent = UnixStream::from(io::stdin().as_fd().try_clone_to_owned()?);
    let mut decoder = wire::Decoder::default();
    let mut chunk = [0; 4096];
    loop {
        let mut waiting = [PollFd::new(&agent, PollFlags::IN), PollFd::new(&signals, PollFlags::IN)];
        retry_interrupted(|| poll(&mut waiting, None))?;
        let (called, signalled) = (!waiting[0].revents().is_empty(), !waiting[1].revents().is_empty());
        if signalled {
            while let Ok(Some(_)) = signals.read_signal() {}
            reap();
        }
        if called {
            match agent.read(&mut chunk) {
                Ok(0) => return Ok(()),
                Ok(length) => decoder.push(&chunk[..length]),
                Err(error) if error.kind() == io::ErrorKind::ConnectionReset => return Ok(()),
                Err(error) => return Err(error),
            }
            while let Some(launch) = decoder.decode::<Launch>()? {
                let result = launch_monitor(&launch.dir, &launch.values).map_err(|error| error.to_string());
                agent.write_all(&wire::encode(&Launched { id: launch.id, result })?)?;
            }
        }
    }
}

/// The socket is bound here, before the monitor runs, so that the agent can connect at once and finds it or its end.
/// What the sandbox is given is the monitor's standard output: a file in memory, which the monitor lets go once it is read.
fn launch_monitor(dir: &Path, values: &Values) -> io::Result<u32> {
    let folder = File::open(dir)?;
    match std::fs::remove_file(dir.join(files::SOCKET)) {
        Err(error) if error.kind() != io::ErrorKind::NotFound => return Err(error),
        _ => {}
    }
    let listener = UnixListener::bind(short_socket_path(&folder))?;
    let given = if values.is_empty() { Stdio::null() } else { Stdio::from(values.to_file()?) };
    let monitor = Command::new("/proc/self/exe")
        .arg0("boss-node")
        .arg("monitor")
        .arg("--dir")
        .arg(dir)
        .current_dir("/")
        .stdin(Stdio::from(OwnedFd::from(listener)))
        .stdout(given)
        .stderr(Stdio::null())
        .spawn()?;
    Ok(monitor.id())
}

fn block_signals() -> io::Result<SignalFd> {
    let mut set = SigSet::empty();
    for signal in [Signal::SIGCHLD, Signal::SIGINT, Signal::SIGTERM, Signal::SIGHUP] {
        set.add(signal);
    }
    set.thread_block()?;
    Ok(SignalFd::with_flags(&set, SfdFlags::SFD_NONBLOCK | SfdFlags::SFD_CLOEXEC)?)
}

fn reap() {
    while let Ok(Some(_)) = wait(WaitOptions::NOHANG) {}
}

fn retry_interrupted<T>(mut call: impl FnMut() -> rustix::io::Result<T>) -> io::Result<T> {
    loop {
        match call() {
            Err(rustix::io::Errno::INTR) => {}
            other => return Ok(other?),
        }
    }
}
