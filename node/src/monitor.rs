//! One small process per sandbox that outlives the agent: it starts the sandbox, owns its output and its exit status,
//! and stops it. One thread, poll(2), no runtime. Knows no pod, no policy, no network.

mod control;
mod event_loop;
mod spawn;
mod time;
mod tree;

use std::{
    fs::File,
    io,
    os::fd::AsFd,
    path::{Path, PathBuf},
    process::ExitCode,
};

use boss_proto::intent::Reason;
use nix::{
    sys::{
        prctl,
        signal::{SigSet, Signal},
        signalfd::{SfdFlags, SignalFd},
    },
    unistd::dup2_stdout,
};
use rustix::process::setsid;

use crate::{
    cgroup,
    logs::writer::LogWriter,
    sandbox::{
        Values,
        control::Report,
        files::{self, Ended, Exit, ExitKind, FORMAT, Plan, State},
        proc_stat,
    },
};
use control::Server;
use event_loop::EventLoop;
use spawn::NotStarted;

/// Runs the sandbox in `dir` from its start to its proven end. Standard input is the control socket, already bound.
#[must_use]
pub fn run(dir: &Path) -> ExitCode {
    match monitor(dir) {
        Ok(()) => ExitCode::SUCCESS,
        // Nobody reads our standard error. Without an exit file the agent finds out that the sandbox is lost.
        Err(_) => ExitCode::FAILURE,
    }
}

fn monitor(dir: &Path) -> io::Result<()> {
    let signals = detach()?;
    let mut server = Server::from_stdin()?;
    let plan: Plan = files::read(dir, files::PLAN)?.ok_or(io::ErrorKind::NotFound)?;
    let outcome = start_and_wait(dir, &plan, &mut server, &signals);
    let exit = match outcome {
        Ok(exit) => exit,
        Err(NotStarted { reason, message }) => Exit {
            how: ExitKind::NotStarted { reason: reason.to_string(), message },
            started_at_us: 0,
            finished_at_us: time::unix_micros(),
        },
    };
    for group in &plan.cgroups {
        // A group that cannot be removed is empty and harmless; the agent sweeps it with the folder.
        let _ = cgroup::remove(group);
    }
    files::write(dir, files::EXIT, &Ended { format: FORMAT, fence: plan.spec.fence(), exit: exit.clone() })?;
    server.broadcast(Report::Ended(exit));
    Ok(())
}

fn start_and_wait(dir: &Path, plan: &Plan, server: &mut Server, signals: &SignalFd) -> Result<Exit, NotStarted> {
    let failed = |what: &str, error: io::Error| NotStarted {
        reason: Reason::CreateFailed,
        message: format!("{what} in {}: {error}", dir.display()),
    };
    if plan.format != FORMAT {
        let message = format!("the plan has format {}, this monitor knows {FORMAT}", plan.format);
        return Err(NotStarted { reason: Reason::CreateFailed, message });
    }
    let log = LogWriter::create(PathBuf::from(dir), plan.spec.id.attempt, plan.log)
        .map_err(|error| failed("cannot make the log", error))?;
    let values = take_values(plan).map_err(|error| failed("cannot take what the sandbox is given", error))?;
    let child = spawn::spawn(plan, &values)?;
    drop(values);
    let running = child.running.clone();
    server.broadcast(Report::Running(running.clone()));
    // The report goes first: whoever waits for it can also learn it from this process, as long as it lives.
    let state = State { format: FORMAT, fence: plan.spec.fence(), boot_id: proc_stat::boot_id(), running };
    // Without the file an agent that lost the socket, too, cannot tell that this ran; it still finds the socket.
    let _ = files::write_for_this_boot(dir, files::STATE, &state);
    EventLoop::new(plan, child, log, server, signals).run().map_err(|error| failed("the monitor failed", error))
}

/// What the sandbox is given, if the plan says that it is. Nothing of it is left afterwards where another process could
/// look.
fn take_values(plan: &Plan) -> io::Result<Values> {
    if plan.spec.given.is_empty() {
        return Ok(Values::default());
    }
    let values = Values::from_file(&File::from(io::stdout().as_fd().try_clone_to_owned()?))?;
    dup2_stdout(File::options().write(true).open("/dev/null")?)?;
    if values.names().ne(&plan.spec.given) {
        return Err(io::Error::new(io::ErrorKind::InvalidData, "they are other ones than the plan says"));
    }
    Ok(values)
}

/// Own session, adoptive parent of all orphans below, signals as events.
fn detach() -> io::Result<SignalFd> {
    let _ = setsid();
    prctl::set_name(c"boss-monitor")?;
    prctl::set_child_subreaper(true)?;
    let mut set = SigSet::empty();
    for signal in [Signal::SIGCHLD, Signal::SIGINT, Signal::SIGTERM, Signal::SIGHUP] {
        set.add(signal);
    }
    set.thread_set_mask()?;
    Ok(SignalFd::with_flags(&set, SfdFlags::SFD_NONBLOCK | SfdFlags::SFD_CLOEXEC)?)
}
