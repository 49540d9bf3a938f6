//! What the monitor does between the start and the end of its sandbox.

use std::{
    fs::File,
    io::{self, Read},
    time::Duration,
};

use nix::sys::signalfd::SignalFd;
use rustix::{
    event::{PollFd, PollFlags, Timespec, poll},
    process::{Pid, WaitStatus},
};

use crate::{
    cgroup,
    logs::{record::Stream, writer::LogWriter},
    monitor::{control::Server, spawn::Child, time, tree},
    sandbox::{
        control::Request,
        files::{Exit, ExitKind, Plan},
    },
};

/// SIGTERM to the monitor itself means that the machine goes down: the sandbox gets this long.
const SHUTDOWN_GRACE: Duration = Duration::from_secs(10);
/// Between two rounds of killing what survives or is forked anew.
const KILL_ROUND: Duration = Duration::from_millis(10);
/// A process outside the sandbox may have been given its output; it is not waited for longer than this.
const DRAIN_MAX: Duration = Duration::from_millis(500);
/// What a pipe holds by default.
const READ_BYTES: usize = 64 * 1024;

pub(super) struct EventLoop<'a> {
    plan: &'a Plan,
    main: Pid,
    started_at_us: u64,
    pipes: Vec<Pipe>,
    log: LogWriter,
    server: &'a mut Server,
    signals: &'a SignalFd,
    stage: Stage,
    status: Option<WaitStatus>,
}

struct Pipe {
    stream: Stream,
    file: File,
}

/// Running -> Terminating -> Killing -> Draining -> over; each may be skipped, none is gone back to.
#[derive(Clone, Copy)]
enum Stage {
    /// The main process runs.
    Running,
    /// It was asked to end.
    Terminating { deadline: Duration },
    /// Everything left is killed, again and again.
    Killing,
    /// Nothing is left; the pipes may still hold output.
    Draining { deadline: Duration },
}

impl<'a> EventLoop<'a> {
    pub(super) fn new(
        plan: &'a Plan,
        child: Child,
        log: LogWriter,
        server: &'a mut Server,
        signals: &'a SignalFd,
    ) -> Self {
        let pipes = vec![
            Pipe { stream: Stream::Stdout, file: child.stdout },
            Pipe { stream: Stream::Stderr, file: child.stderr },
        ];
        let started_at_us = child.running.started_at_us;
        let (main, stage, status) = (child.pid, Stage::Running, None);
        Self { plan, main, started_at_us, pipes, log, server, signals, stage, status }
    }

    /// Until nothing of the sandbox is left and its output is in the log.
    pub(super) fn run(mut self) -> io::Result<Exit> {
        let mut buffer = vec![0; READ_BYTES];
        loop {
            let ready = self.wait()?;
            self.read_pipes(&ready, &mut buffer);
            self.handle_signals();
            self.handle_requests();
            let reaped = tree::reap(self.main)?;
            self.status = self.status.or(reaped.main);
            if self.advance(reaped.none_left) {
                self.log.finish(time::unix_micros());
                self.server.log_grew();
                return Ok(self.exit());
            }
        }
    }

    /// Moves to the next stage when it is time; true when all is over.
    fn advance(&mut self, none_left: bool) -> bool {
        let now = time::boottime();
        match self.stage {
            Stage::Terminating { deadline } if now >= deadline => self.stage = Stage::Killing,
            // Whatever the main process leaves behind belongs to the sandbox and ends with it.
            Stage::Running | Stage::Terminating { .. } if self.status.is_some() => self.stage = Stage::Killing,
            _ => {}
        }
        if matches!(self.stage, Stage::Killing) {
            if none_left {
                self.stage = Stage::Draining { deadline: now + DRAIN_MAX };
            } else {
                tree::kill_all(&self.plan.cgroups);
            }
        }
        match self.stage {
            Stage::Draining { deadline } => self.pipes.is_empty() || now >= deadline,
            _ => false,
        }
    }

    fn wait(&mut self) -> io::Result<Vec<bool>> {
        let timeout = self.timeout().map(|left| Timespec {
            tv_sec: i64::try_from(left.as_secs()).unwrap_or(i64::MAX),
            tv_nsec: i64::from(left.subsec_nanos()),
        });
        let pipes = self.pipes.iter().map(|pipe| PollFd::new(&pipe.file, PollFlags::IN));
        let signals = std::iter::once(PollFd::new(self.signals, PollFlags::IN));
        let mut waiting: Vec<PollFd<'_>> = pipes.chain(signals).chain(self.server.poll_fds()).collect();
        match poll(&mut waiting, timeout.as_ref()) {
            Ok(_) | Err(rustix::io::Errno::INTR) => {}
            Err(error) => return Err(error.into()),
        }
        Ok(waiting.iter().take(self.pipes.len()).map(|fd| !fd.revents().is_empty()).collect())
    }

    fn timeout(&self) -> Option<Duration> {
        match self.stage {
            Stage::Running => None,
            Stage::Killing => Some(KILL_ROUND),
            Stage::Terminating { deadline } | Stage::Draining { deadline } => {
                Some(deadline.saturating_sub(time::boottime()))
            }
        }
    }

    fn read_pipes(&mut self, ready: &[bool], buffer: &mut [u8]) {
        let now = time::unix_micros();
        let (log, mut at, mut grew) = (&mut self.log, 0, false);
        self.pipes.retain_mut(|pipe| {
            let is_ready = ready.get(at).copied().unwrap_or(false);
            at += 1;
            if !is_ready {
                return true;
            }
            match pipe.file.read(buffer) {
                Ok(0) => false,
                Ok(length) => {
                    log.append(pipe.stream, &buffer[..length], now);
                    grew = true;
                    true
                }
                Err(error) => matches!(error.kind(), io::ErrorKind::WouldBlock | io::ErrorKind::Interrupted),
            }
        });
        if grew {
            self.server.log_grew();
        }
    }

    fn handle_signals(&mut self) {
        while let Ok(Some(signal)) = self.signals.read_signal() {
            if signal.ssi_signo == Signals::TERM {
                self.stop(SHUTDOWN_GRACE);
            }
        }
    }

    fn handle_requests(&mut self) {
        for request in self.server.receive() {
            match request {
                Request::Stop { grace_ms } => self.stop(Duration::from_millis(grace_ms)),
                // The server keeps that to itself.
                Request::Follow => {}
            }
        }
    }

    fn stop(&mut self, grace: Duration) {
        let wanted = time::boottime().saturating_add(grace);
        match self.stage {
            Stage::Running => {
                tree::terminate(self.main);
                self.stage = Stage::Terminating { deadline: wanted };
            }
            Stage::Terminating { deadline } => self.stage = Stage::Terminating { deadline: deadline.min(wanted) },
            Stage::Killing | Stage::Draining { .. } => {}
        }
    }

    fn exit(&self) -> Exit {
        let how = match self.status {
            Some(status) => match (status.exit_status(), status.terminating_signal()) {
                (Some(code), _) => ExitKind::Code(code),
                (None, Some(number)) => {
                    ExitKind::Signal { number, out_of_memory: cgroup::ran_out_of_memory(&self.plan.cgroups) }
                }
                (None, None) => ExitKind::Lost { message: format!("unknown wait status {}", status.as_raw()) },
            },
            None => ExitKind::Lost { message: "somebody else took the exit status".to_owned() },
        };
        Exit { how, started_at_us: self.started_at_us, finished_at_us: time::unix_micros() }
    }
}

struct Signals;

impl Signals {
    const TERM: u32 = nix::libc::SIGTERM as u32;
}
