//! Runs `bossctl` as a user would, and keeps what it said. Interprets nothing.

use std::{
    ffi::OsStr,
    fs::{self, File},
    io::Write,
    path::{Path, PathBuf},
    process::{Command, Stdio},
    time::Duration,
};

use crate::{
    binaries,
    cluster::{Cluster, or_fail},
    machine::without_boss_variables,
    proc,
    process::{Exit, Process},
};

/// No command of a test may take longer.
const DEADLINE: Duration = Duration::from_secs(90);

/// What a command left behind.
#[derive(Debug, Clone)]
pub struct Output {
    /// Its exit code; -1 if a signal ended it.
    pub code: i32,
    /// What programs read.
    pub stdout: String,
    /// What people read.
    pub stderr: String,
}

/// A command that still runs.
pub struct Running {
    process: Process,
    stdout: PathBuf,
    stderr: PathBuf,
}

/// A place for commands to run in: their output files and the context they use.
pub struct Bossctl {
    run: PathBuf,
    scratch: tempfile::TempDir,
    config: PathBuf,
}

impl Bossctl {
    /// As the administrator of a cluster of this harness.
    #[must_use]
    pub fn of(cluster: &Cluster) -> Self {
        Self::with_config(cluster.folder(), &cluster.layout().context_path())
    }

    /// With a context file of one's own; `run` is the folder of the run.
    #[must_use]
    pub fn with_config(run: &Path, config: &Path) -> Self {
        let scratch = tempfile::tempdir_in(run).expect("the run's folder is writable");
        Self { run: run.to_owned(), scratch, config: config.to_owned() }
    }

    /// Runs a command to its end.
    pub async fn run<S: AsRef<OsStr>>(&self, args: &[S]) -> Output {
        self.start(args, None).end().await
    }

    /// Runs a command to its end with this on its standard input.
    pub async fn run_with_input<S: AsRef<OsStr>>(&self, args: &[S], input: &str) -> Output {
        self.start(args, Some(input)).end().await
    }

    /// Runs a command that must succeed, and gives its standard output.
    pub async fn succeed<S: AsRef<OsStr> + std::fmt::Debug>(&self, args: &[S]) -> String {
        let output = self.run(args).await;
        assert_eq!(output.code, 0, "bossctl {args:?} failed: {}{}", output.stdout, output.stderr);
        output.stdout
    }

    /// Starts a command.
    pub fn start<S: AsRef<OsStr>>(&self, args: &[S], input: Option<&str>) -> Running {
        let file = |name: &str| tempfile::Builder::new().prefix(name).tempfile_in(self.scratch.path());
        let keep = |name: &str| file(name).and_then(|file| Ok(file.keep()?)).expect("the run's folder is writable");
        let ((stdout, stdout_path), (stderr, stderr_path)) = (keep("out"), keep("err"));
        let program = binaries::find("bossctl").unwrap_or_else(|error| panic!("{error}"));
        let mut command = Command::new(program);
        without_boss_variables(&mut command)
            .args(args)
            .env("BOSS_CONFIG", &self.config)
            .env("HOME", self.scratch.path())
            .env(proc::RUN_VARIABLE, &self.run)
            .current_dir(self.scratch.path())
            .stdin(self.input(input))
            .stdout(stdout)
            .stderr(stderr);
        let process = Process::spawn(&mut command).unwrap_or_else(|error| panic!("bossctl does not start: {error}"));
        Running { process, stdout: stdout_path, stderr: stderr_path }
    }

    fn input(&self, text: Option<&str>) -> Stdio {
        let Some(text) = text else { return Stdio::null() };
        let path = self.scratch.path().join("stdin");
        let written = File::create(&path).and_then(|mut file| file.write_all(text.as_bytes()));
        written.expect("the run's folder is writable");
        File::open(path).expect("the file was just written").into()
    }
}

impl Running {
    /// What it wrote so far.
    #[must_use]
    pub fn stdout(&self) -> String {
        fs::read_to_string(&self.stdout).unwrap_or_default()
    }

    /// What it told people so far.
    #[must_use]
    pub fn stderr(&self) -> String {
        fs::read_to_string(&self.stderr).unwrap_or_default()
    }

    /// The process.
    #[must_use]
    pub fn process(&self) -> &Process {
        &self.process
    }

    /// Waits for its end.
    pub async fn end(self) -> Output {
        let code = match or_fail(self.process.wait(DEADLINE).await) {
            Exit::Code(code) => code,
            Exit::Signal(_) => -1,
        };
        Output { code, stdout: self.stdout(), stderr: self.stderr() }
    }
}
