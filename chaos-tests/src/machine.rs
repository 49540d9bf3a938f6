//! Runs one server or agent with its configuration file and keeps its log. Knows no cluster.

use std::{fs::OpenOptions, io::Write, path::PathBuf, process::Command};

use nix::sys::signal::Signal;

use crate::{
    binaries,
    clock::WallClock,
    cluster::{STOP_DEADLINE, or_fail},
    net::Place,
    proc,
    process::{Exit, Process},
    run_folder::RunFolder,
};

/// One program with its configuration, running or not. Dropped, it is killed.
pub struct Machine {
    name: String,
    kind: &'static str,
    program: PathBuf,
    bug: Option<&'static str>,
    order: Option<String>,
    config: PathBuf,
    place: Option<Place>,
    clock: Option<WallClock>,
    process: Option<Process>,
}

impl Machine {
    /// One that is down.
    #[must_use]
    pub fn new(name: &str, program: &'static str, config: PathBuf) -> Self {
        let kind = program;
        let program = binaries::find(program).unwrap_or_else(|error| panic!("{error}"));
        Self {
            name: name.to_owned(),
            kind,
            program,
            bug: None,
            order: None,
            config,
            place: None,
            clock: None,
            process: None,
        }
    }

    /// From its next start on it is of the build with deliberate bugs, and has this one.
    pub fn infect(&mut self, bug: &'static str) {
        self.program = binaries::find_bugged(self.kind).unwrap_or_else(|error| panic!("{error}"));
        self.bug = Some(bug);
    }

    /// At its next start it is of the build with deliberate bugs, and dies when it reaches a point for so many a time.
    pub fn doom(&mut self, point: &str, times: u64) {
        self.program = binaries::find_bugged(self.kind).unwrap_or_else(|error| panic!("{error}"));
        self.order = Some(format!("{point}@{times}"));
    }

    /// What its log is called.
    #[must_use]
    pub fn name(&self) -> &str {
        &self.name
    }

    /// From its next start on it runs in this network.
    pub fn move_to(&mut self, place: Option<Place>) {
        self.place = place;
    }

    /// From its next start on it has this wall clock.
    pub fn wear(&mut self, clock: WallClock) {
        self.clock = Some(clock);
    }

    /// Its wall clock; none when it has that of this machine.
    #[must_use]
    pub fn clock(&self) -> Option<&WallClock> {
        self.clock.as_ref()
    }

    /// Kills it; it has no chance to do anything.
    pub fn kill(&mut self) {
        self.process = None;
    }

    /// Its process; `None` while it is down.
    #[must_use]
    pub fn running(&self) -> Option<&Process> {
        self.process.as_ref()
    }

    /// Starts it; it must be down. What it writes goes to the log of its name.
    pub fn start(&mut self, folder: &RunFolder, args: &[&str]) {
        assert!(self.process.as_ref().is_none_or(|process| !process.is_running()), "{} runs already", self.name);
        self.process = Some(self.spawn(folder, args));
        self.order = None;
    }

    /// Starts the same once more, beside what runs.
    #[must_use]
    pub fn start_twice(&self, folder: &RunFolder) -> Process {
        self.spawn(folder, &[])
    }

    fn spawn(&self, folder: &RunFolder, args: &[&str]) -> Process {
        let log = folder.log(&self.name);
        let mut output = OpenOptions::new().create(true).append(true).open(&log).expect("the log can be opened");
        writeln!(output, "==== start of {} {args:?}", self.name).expect("the log can be written");
        let mut command = match &self.place {
            Some(place) => place.command(&self.program),
            None => Command::new(&self.program),
        };
        command.arg("--config").arg(&self.config).args(args);
        without_boss_variables(&mut command).env(proc::RUN_VARIABLE, folder.path()).env("RUST_BACKTRACE", "1");
        if let Some(clock) = &self.clock {
            clock.give(&mut command);
        }
        if let Some(bug) = self.bug {
            command.env(boss_base::bugs::VARIABLE, bug);
        }
        if let Some(order) = &self.order {
            command.env(boss_base::failpoints::VARIABLE, order);
        }
        command.stdin(std::process::Stdio::null());
        command.stdout(output.try_clone().expect("a descriptor is free")).stderr(output);
        let process = Process::spawn(&mut command);
        process.unwrap_or_else(|error| panic!("{} does not start: {error}", self.name))
    }

    /// Asks it to stop and waits until it has.
    pub async fn stop(&mut self) -> Exit {
        let process = self.process.take().unwrap_or_else(|| panic!("{} is not running", self.name));
        process.signal(Signal::SIGTERM);
        or_fail(process.wait(STOP_DEADLINE).await)
    }
}

/// Removes what would override a configuration file.
pub fn without_boss_variables(command: &mut Command) -> &mut Command {
    for (name, _) in std::env::vars_os() {
        if name.as_encoded_bytes().starts_with(b"BOSS_") {
            command.env_remove(name);
        }
    }
    command
}
