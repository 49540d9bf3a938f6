//! Starts the sandbox's main process. The only place with unsafe code: what runs between fork and exec.

use std::{
    fs::File,
    io::{self, Read},
    os::{
        fd::{AsFd, OwnedFd},
        unix::process::CommandExt,
    },
    process::{Command, Stdio},
};

use boss_proto::intent::Reason;
use nix::sys::{
    prctl,
    signal::{SigHandler, SigSet, Signal},
};
use rustix::{
    pipe::{PipeFlags, pipe_with},
    process::{Pid, Resource, Rlimit, chdir, setrlimit, setsid},
};

use crate::{
    cgroup,
    monitor::time,
    runtime::process::SANDBOX_ID_VARIABLE,
    sandbox::{
        Values,
        files::{Plan, Running},
        proc_stat::ProcStat,
        spec,
    },
};

/// A started sandbox.
pub(super) struct Child {
    pub(super) pid: Pid,
    pub(super) running: Running,
    /// Non-blocking.
    pub(super) stdout: File,
    /// Non-blocking.
    pub(super) stderr: File,
}

/// Why nothing was started.
#[derive(Debug)]
pub(super) struct NotStarted {
    pub(super) reason: Reason,
    pub(super) message: String,
}

/// The steps between fork and exec, in order; each is one byte on the pipe that reports a failure.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Step {
    Session = 1,
    Signals,
    Cgroup,
    Rlimit,
    WorkingDir,
    Privileges,
    Descriptors,
}

/// Starts what the plan says. When this gives a child, exec has worked.
pub(super) fn spawn(plan: &Plan, values: &Values) -> Result<Child, NotStarted> {
    let groups = plan.cgroups.iter().map(join_file).collect::<Result<Vec<_>, _>>()?;
    let rlimits = plan.spec.rlimits.iter().map(parse_rlimit).collect::<Result<Vec<_>, _>>()?;
    let (stdout, stdout_end) = output_pipe()?;
    let (stderr, stderr_end) = output_pipe()?;
    let (failed_step, failed_step_end) = pipe_with(PipeFlags::CLOEXEC).map_err(no_pipe)?;
    let mut command = Command::new(&plan.spec.program);
    command
        .args(&plan.spec.args)
        .env_clear()
        .envs(plan.spec.env.iter().map(|(name, value)| (name, value)))
        // By its id what has lost its monitor is found: nobody gives another one.
        .envs(values.iter().filter(|(name, _)| *name != SANDBOX_ID_VARIABLE))
        .stdin(Stdio::null())
        .stdout(stdout_end)
        .stderr(stderr_end);
    let setup = Setup { groups, rlimits, working_dir: plan.spec.working_dir.clone(), failed_step: failed_step_end };
    run_before_exec(&mut command, setup);
    let spawned = command.spawn();
    // Drops our copy of the reporting end, or the read below would wait for ever.
    drop(command);
    let child = spawned.map_err(|error| explain(plan, read_step(failed_step), &error))?;
    let started_at_us = time::unix_micros();
    let pid = child.id();
    let start_ticks = ProcStat::read(pid).ok().flatten().map_or(0, |stat| stat.start_ticks);
    Ok(Child {
        pid: Pid::from_raw(i32::try_from(pid).expect("the kernel's pids are below 2^22"))
            .expect("a child's pid is not 0"),
        running: Running { pid, start_ticks, started_at_us },
        stdout: stdout.into(),
        stderr: stderr.into(),
    })
}

/// What the child does to itself before it becomes the program. Made before the fork: nothing allocates after it.
struct Setup {
    groups: Vec<File>,
    rlimits: Vec<(Resource, Rlimit)>,
    working_dir: Option<String>,
    failed_step: OwnedFd,
}

impl Setup {
    fn apply(&self) -> io::Result<()> {
        self.step(Step::Session, || Ok(setsid().map(|_| ())?))?;
        self.step(Step::Signals, reset_signals)?;
        for group in &self.groups {
            self.step(Step::Cgroup, || Ok(rustix::io::write(group, b"0").map(|_| ())?))?;
        }
        for (resource, limit) in &self.rlimits {
            self.step(Step::Rlimit, || Ok(setrlimit(*resource, *limit)?))?;
        }
        if let Some(dir) = &self.working_dir {
            self.step(Step::WorkingDir, || Ok(chdir(dir.as_str())?))?;
        }
        self.step(Step::Privileges, || {
            prctl::set_no_new_privs()?;
            // A sandbox without its monitor would run unseen.
            Ok(prctl::set_pdeathsig(Signal::SIGKILL)?)
        })?;
        self.step(Step::Descriptors, close_others_on_exec)
    }

    fn step(&self, step: Step, act: impl FnOnce() -> io::Result<()>) -> io::Result<()> {
        act().inspect_err(|_| {
            let _ = rustix::io::write(&self.failed_step, &[step as u8]);
        })
    }
}

#[expect(unsafe_code, reason = "pre_exec is the only way to act between fork and exec")]
fn run_before_exec(command: &mut Command, setup: Setup) {
    // SAFETY: the monitor has one thread, so no lock is held by a thread that the fork left behind; apply() makes
    // system calls on values that were made before the fork.
    unsafe { command.pre_exec(move || setup.apply()) };
}

/// Whoever started the agent may have blocked or ignored signals; a sandbox starts with none of that.
#[expect(unsafe_code, reason = "signal() is unsafe for what a handler may do")]
fn reset_signals() -> io::Result<()> {
    for signal in Signal::iterator().filter(|signal| !matches!(signal, Signal::SIGKILL | Signal::SIGSTOP)) {
        // SAFETY: the default action runs no code of ours.
        unsafe { nix::sys::signal::signal(signal, SigHandler::SigDfl) }?;
    }
    Ok(SigSet::empty().thread_set_mask()?)
}

/// Nothing but standard input, output and error reaches the program, whatever the agent inherited.
#[expect(unsafe_code, reason = "neither rustix nor nix has close_range")]
fn close_others_on_exec() -> io::Result<()> {
    // SAFETY: close_range takes three numbers; with this flag it closes nothing now, so that no descriptor that Rust
    // believes in goes away.
    let result =
        unsafe { nix::libc::syscall(nix::libc::SYS_close_range, 3_u32, u32::MAX, nix::libc::CLOSE_RANGE_CLOEXEC) };
    match result {
        0 => Ok(()),
        // Before Linux 5.11; all descriptors of ours are close-on-exec anyway.
        _ if matches!(io::Error::last_os_error().raw_os_error(), Some(nix::libc::ENOSYS | nix::libc::EINVAL)) => Ok(()),
        _ => Err(io::Error::last_os_error()),
    }
}

fn join_file(group: &cgroup::Group) -> Result<File, NotStarted> {
    let made = cgroup::create(group).and_then(|()| File::options().write(true).open(group.dir.join(&group.join)));
    made.map_err(|error| NotStarted {
        reason: reason_of(&error, Reason::CreateFailed),
        message: format!("cannot make the control group {}: {error}", group.dir.display()),
    })
}

fn output_pipe() -> Result<(OwnedFd, OwnedFd), NotStarted> {
    let (ours, theirs) = pipe_with(PipeFlags::CLOEXEC).map_err(no_pipe)?;
    rustix::io::ioctl_fionbio(ours.as_fd(), true).map_err(no_pipe)?;
    Ok((ours, theirs))
}

fn no_pipe(error: rustix::io::Errno) -> NotStarted {
    NotStarted { reason: Reason::CreateFailed, message: format!("cannot make a pipe: {error}") }
}

fn parse_rlimit(limit: &spec::Rlimit) -> Result<(Resource, Rlimit), NotStarted> {
    let resource = rlimit_resource(&limit.resource).ok_or_else(|| NotStarted {
        reason: Reason::InvalidSpec,
        message: format!("{:?} is not a resource of getrlimit(2)", limit.resource),
    })?;
    let bound = |value: u64| Some(value).filter(|value| *value != u64::MAX);
    Ok((resource, Rlimit { current: bound(limit.soft), maximum: bound(limit.hard) }))
}

/// The resource that a manifest means.
pub(crate) fn rlimit_resource(name: &str) -> Option<Resource> {
    Some(match name {
        "as" => Resource::As,
        "core" => Resource::Core,
        "cpu" => Resource::Cpu,
        "data" => Resource::Data,
        "fsize" => Resource::Fsize,
        "locks" => Resource::Locks,
        "memlock" => Resource::Memlock,
        "msgqueue" => Resource::Msgqueue,
        "nice" => Resource::Nice,
        "nofile" => Resource::Nofile,
        "nproc" => Resource::Nproc,
        "rss" => Resource::Rss,
        "rtprio" => Resource::Rtprio,
        "rttime" => Resource::Rttime,
        "sigpending" => Resource::Sigpending,
        "stack" => Resource::Stack,
        _ => return None,
    })
}

fn read_step(pipe: OwnedFd) -> Option<u8> {
    let mut step = [0];
    matches!(File::from(pipe).read(&mut step), Ok(1)).then_some(step[0])
}

/// What failed, in words that say where to look.
fn explain(plan: &Plan, step: Option<u8>, error: &io::Error) -> NotStarted {
    let is = |wanted: Step| step == Some(wanted as u8);
    let spec = &plan.spec;
    let (fallback, message) = if is(Step::WorkingDir) {
        let dir = spec.working_dir.as_deref().unwrap_or_default();
        (Reason::CreateFailed, format!("cannot use the working directory {dir:?}: {error}"))
    } else if is(Step::Rlimit) {
        let names: Vec<&str> = spec.rlimits.iter().map(|limit| limit.resource.as_str()).collect();
        (Reason::CreateFailed, format!("cannot set the rlimits {}: {error}", names.join(", ")))
    } else if is(Step::Cgroup) {
        (Reason::CreateFailed, format!("cannot join the control groups: {error}"))
    } else if step.is_some() {
        (Reason::CreateFailed, format!("cannot prepare the process: {error}"))
    } else if error.kind() == io::ErrorKind::NotFound && !spec.program.contains('/') {
        (Reason::StartFailed, format!("cannot start {:?}: not found in the PATH of the sandbox", spec.program))
    } else {
        (Reason::StartFailed, format!("cannot start {:?}: {error}", spec.program))
    };
    NotStarted { reason: reason_of(error, fallback), message }
}

fn reason_of(error: &io::Error, fallback: Reason) -> Reason {
    if error.kind() == io::ErrorKind::PermissionDenied { Reason::PermissionDenied } else { fallback }
}
