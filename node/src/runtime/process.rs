//! The process provider: each sandbox is a process of the host under a monitor of its own.

mod lost;
mod strays;
mod sweep;
mod trial;

use std::{
    fs, io,
    path::{Path, PathBuf},
    sync::{
        Arc,
        atomic::{AtomicU32, Ordering},
    },
    time::Duration,
};

use boss_base::{clock::Clock, failpoints};
use boss_proto::{
    intent::{Reason, SandboxClass},
    v1,
};
use futures_util::future::BoxFuture;

use crate::{
    cgroup::{self, Layout},
    launcher::{LaunchError, Launcher},
    runtime::{Error, Runtime, Status},
    sandbox::{
        SandboxId, Spec, Values,
        control::{self, Connection, Report, Request},
        files::{self, Ended, Exit, ExitKind, FORMAT, LogBounds, Plan, Running, State},
    },
};

/// The variable by which a process that lost its monitor is still recognised as part of its sandbox.
pub const SANDBOX_ID_VARIABLE: &str = "BOSS_SANDBOX_ID";

/// A monitor answers from memory; one that takes longer hangs.
const ANSWER_MAX: Duration = Duration::from_secs(10);
/// After the grace period the monitor kills until nothing is left; this long it is waited for before the stop counts
/// as failed, to be tried again.
const KILL_MAX: Duration = Duration::from_secs(20);

/// What the provider is made from.
pub struct Settings {
    /// Folder of all its sandboxes.
    pub root: PathBuf,
    /// Starts its monitors.
    pub launcher: Arc<Launcher>,
    /// Where limits can be set.
    pub cgroups: Layout,
    /// Bounds of each sandbox's log.
    pub log: LogBounds,
    /// Tasks of one sandbox that names no limit; 0 means no limit.
    pub tasks_max: u64,
    /// Sandboxes at once; 0 means no bound.
    pub concurrency_max: u32,
    /// The program to start as a trial: boss-node itself.
    pub own_program: PathBuf,
    /// Time.
    pub clock: Arc<dyn Clock>,
}

/// The provider.
pub struct ProcessRuntime {
    settings: Settings,
    /// Of the latest start, in microseconds; 0 before the first.
    start_latency_us: AtomicU32,
}

impl ProcessRuntime {
    /// A provider that keeps its sandboxes in `settings.root`.
    #[must_use]
    pub fn new(settings: Settings) -> Self {
        Self { settings, start_latency_us: AtomicU32::new(0) }
    }

    /// The folder of a sandbox, whether it exists or not.
    #[must_use]
    pub fn dir(&self, id: &SandboxId) -> PathBuf {
        self.settings.root.join(id.relative_dir())
    }

    fn plan(&self, spec: &Spec) -> Plan {
        let mut spec = spec.clone();
        spec.limits.tasks_max = spec.limits.tasks_max.or(Some(self.settings.tasks_max).filter(|tasks| *tasks > 0));
        spec.env.push((SANDBOX_ID_VARIABLE.to_owned(), spec.id.to_string()));
        let cgroups = self.settings.cgroups.plan(&spec.id.to_string(), &spec.limits);
        Plan { format: FORMAT, spec, cgroups, log: self.settings.log }
    }

    fn prepare_now(&self, spec: &Spec) -> Result<(), Error> {
        let failed = |error: io::Error| {
            Error::sandbox(Reason::CreateFailed, format!("cannot make the sandbox's folder: {error}"))
        };
        let dir = self.dir(&spec.id);
        if files::read::<Plan>(&dir, files::PLAN).map_err(failed)?.is_some() {
            return Ok(());
        }
        let missing = self.settings.cgroups.missing(&spec.limits);
        if !missing.is_empty() {
            let names: Vec<&str> = missing.iter().map(|controller| controller.as_str()).collect();
            tracing::warn!(sandbox = %spec.id, controllers = names.join(","), "limits are not enforced: this machine lacks the controllers");
        }
        boss_base::files::create_private_directory(&dir).map_err(failed)?;
        files::write_for_this_boot(&dir, files::PLAN, &self.plan(spec)).map_err(failed)
    }

    async fn start_new(&self, id: &SandboxId, values: &Values) -> Result<Running, Error> {
        let dir = self.dir(id);
        let began = self.settings.clock.monotonic();
        self.settings.launcher.launch(&dir, values).await.map_err(|error| match error {
            LaunchError::Failed(_) => Error::sandbox(Reason::StartFailed, error.to_string()),
            LaunchError::Gone(_) => Error::Broken(error.to_string()),
        })?;
        let running = self.first_news(id, &dir).await?;
        let took = self.settings.clock.monotonic().saturating_sub(began);
        self.start_latency_us.store(u32::try_from(took.as_micros()).unwrap_or(u32::MAX), Ordering::Relaxed);
        Ok(running)
    }

    /// What became of a start.
    async fn first_news(&self, id: &SandboxId, dir: &Path) -> Result<Running, Error> {
        let news = match Connection::open(dir).await {
            Ok(mut connection) => standing(&mut connection).await.map_err(unknown)?,
            Err(error) if control::means_no_monitor(&error) => None,
            Err(error) => return Err(unknown(error)),
        };
        match news {
            Some(Report::Running(running)) => Ok(running),
            Some(Report::Ended(exit)) => self.started_and_ended(id, exit),
            _ => match self.read_exit(id)? {
                Some(exit) => self.started_and_ended(id, exit),
                None => Err(Error::sandbox(Reason::StartFailed, "the sandbox's monitor ended without a word")),
            },
        }
    }

    /// It was so quick that it is over already: still a start that worked, unless it was none.
    fn started_and_ended(&self, id: &SandboxId, exit: Exit) -> Result<Running, Error> {
        if let ExitKind::NotStarted { reason, message } = exit.how {
            return Err(Error::Sandbox { reason: reason.parse().unwrap_or(Reason::StartFailed), message });
        }
        let state: Option<State> = files::read(&self.dir(id), files::STATE).map_err(unknown)?;
        let unnamed = Running { pid: 0, start_ticks: 0, started_at_us: exit.started_at_us };
        Ok(state.map_or(unnamed, |state| state.running))
    }

    fn read_exit(&self, id: &SandboxId) -> Result<Option<Exit>, Error> {
        match files::read::<Ended>(&self.dir(id), files::EXIT) {
            Ok(ended) => Ok(ended.map(|ended| ended.exit)),
            // It is written when nothing is left, so that much is sure.
            Err(error) if files::is_damaged(&error) => {
                let how = ExitKind::Lost { message: format!("the exit file is damaged: {error}") };
                Ok(Some(Exit { how, started_at_us: 0, finished_at_us: 0 }))
            }
            Err(error) => Err(unknown(error)),
        }
    }

    async fn status_now(&self, id: &SandboxId) -> Result<Status, Error> {
        let dir = self.dir(id);
        if !dir.join(files::PLAN).exists() {
            return Ok(Status::Absent);
        }
        if let Some(exit) = self.read_exit(id)? {
            return Ok(Status::Ended(exit));
        }
        match Connection::open(&dir).await {
            Ok(mut connection) => match standing(&mut connection).await.map_err(unknown)? {
                Some(Report::Running(running)) => return Ok(Status::Running(running)),
                Some(Report::Ended(exit)) => return Ok(Status::Ended(exit)),
                _ => {}
            },
            Err(error) if control::means_no_monitor(&error) => {}
            Err(error) => return Err(unknown(error)),
        }
        // No monitor: it ended while we looked, or was never started, or lost its monitor.
        match self.read_exit(id)? {
            Some(exit) => Ok(Status::Ended(exit)),
            None if dir.join(files::SOCKET).exists() => self.bury_lost(id).await.map(Status::Ended),
            None => Ok(Status::Prepared),
        }
    }

    async fn wait_now(&self, id: &SandboxId) -> Result<Exit, Error> {
        loop {
            match Connection::open(&self.dir(id)).await {
                // Until the monitor is gone: then the exit file is final.
                Ok(mut connection) => while connection.next().await.map_err(unknown)?.is_some() {},
                Err(error) if control::means_no_monitor(&error) => {}
                Err(error) => return Err(unknown(error)),
            }
            match self.status_now(id).await? {
                Status::Ended(exit) => return Ok(exit),
                Status::Running(_) => {}
                Status::Absent | Status::Prepared => {
                    return Err(Error::sandbox(Reason::StatusUnknown, format!("sandbox {id} does not run")));
                }
            }
        }
    }

    async fn stop_now(&self, id: &SandboxId, grace: Duration) -> Result<(), Error> {
        if !matches!(self.status_now(id).await?, Status::Running(_)) {
            return Ok(());
        }
        failpoints::reach("sandbox.stopping");
        let asked = async {
            let mut connection = Connection::open(&self.dir(id)).await?;
            let grace_ms = u64::try_from(grace.as_millis()).unwrap_or(u64::MAX);
            connection.send(&Request::Stop { grace_ms }).await?;
            while connection.next().await?.is_some() {}
            io::Result::Ok(())
        };
        match tokio::time::timeout(grace.saturating_add(KILL_MAX), asked).await {
            Ok(Ok(())) => {}
            // It ended between the two looks; the next one tells.
            Ok(Err(error)) => {
                tracing::debug!(sandbox = %id, %error, "the monitor went away while it was asked to stop")
            }
            Err(_) => return Err(Error::sandbox(Reason::StopFailed, "processes of the sandbox survive SIGKILL")),
        }
        failpoints::reach("sandbox.stopped");
        match self.status_now(id).await? {
            Status::Running(_) => Err(Error::sandbox(Reason::StopFailed, "the sandbox still runs")),
            _ => Ok(()),
        }
    }

    async fn remove_now(&self, id: &SandboxId) -> Result<(), Error> {
        let failed = |error: io::Error| Error::sandbox(Reason::RemoveFailed, error.to_string());
        let dir = self.dir(id);
        if matches!(self.status_now(id).await?, Status::Running(_)) {
            return Err(Error::sandbox(Reason::RemoveFailed, format!("sandbox {id} still runs")));
        }
        if let Some(plan) = read_if_whole::<Plan>(&dir, files::PLAN)? {
            for group in &plan.cgroups {
                cgroup::remove(group).map_err(failed)?;
            }
        }
        match fs::remove_dir_all(&dir) {
            Err(error) if error.kind() != io::ErrorKind::NotFound => return Err(failed(error)),
            _ => {}
        }
        // The pod's folder goes with its last attempt.
        if let Some(parent) = dir.parent() {
            let _ = fs::remove_dir(parent);
        }
        Ok(())
    }

    fn list_now(&self) -> io::Result<Vec<SandboxId>> {
        let mut found = Vec::new();
        for pod in folders(&self.settings.root)? {
            for attempt in folders(&self.settings.root.join(&pod))? {
                if let Ok(attempt) = attempt.parse() {
                    found.push(SandboxId { uid: pod.clone(), attempt });
                }
            }
        }
        found.sort();
        Ok(found)
    }
}

impl Runtime for ProcessRuntime {
    fn name(&self) -> &'static str {
        "process"
    }

    fn class(&self) -> SandboxClass {
        SandboxClass::Process
    }

    fn probe(&self) -> BoxFuture<'_, v1::Provider> {
        Box::pin(self.probe_now())
    }

    fn prepare<'a>(&'a self, spec: &'a Spec) -> BoxFuture<'a, Result<(), Error>> {
        Box::pin(async { self.prepare_now(spec) })
    }

    fn start<'a>(&'a self, id: &'a SandboxId, values: &'a Values) -> BoxFuture<'a, Result<Running, Error>> {
        Box::pin(async move {
            match self.status_now(id).await? {
                Status::Prepared => self.start_new(id, values).await,
                Status::Running(running) => Ok(running),
                Status::Ended(exit) => match self.started_and_ended(id, exit) {
                    Ok(_) => Err(Error::sandbox(Reason::StartFailed, format!("sandbox {id} is over"))),
                    Err(error) => Err(error),
                },
                Status::Absent => Err(Error::sandbox(Reason::StartFailed, format!("sandbox {id} was not prepared"))),
            }
        })
    }

    fn wait<'a>(&'a self, id: &'a SandboxId) -> BoxFuture<'a, Result<Exit, Error>> {
        Box::pin(self.wait_now(id))
    }

    fn stop<'a>(&'a self, id: &'a SandboxId, grace: Duration) -> BoxFuture<'a, Result<(), Error>> {
        Box::pin(self.stop_now(id, grace))
    }

    fn remove<'a>(&'a self, id: &'a SandboxId) -> BoxFuture<'a, Result<(), Error>> {
        Box::pin(self.remove_now(id))
    }

    fn status<'a>(&'a self, id: &'a SandboxId) -> BoxFuture<'a, Result<Status, Error>> {
        Box::pin(self.status_now(id))
    }

    fn list(&self) -> BoxFuture<'_, Result<Vec<SandboxId>, Error>> {
        Box::pin(async { self.list_now().map_err(unknown) })
    }

    fn log_dir(&self, id: &SandboxId) -> Option<PathBuf> {
        Some(self.dir(id))
    }

    fn spec<'a>(&'a self, id: &'a SandboxId) -> BoxFuture<'a, Result<Option<Spec>, Error>> {
        Box::pin(async move {
            let plan: Option<Plan> = read_if_whole(&self.dir(id), files::PLAN)?;
            Ok(plan.map(|plan| plan.spec))
        })
    }
}

/// A file that a power cut has damaged is as good as none.
fn read_if_whole<T: serde::de::DeserializeOwned>(dir: &Path, name: &str) -> Result<Option<T>, Error> {
    match files::read(dir, name) {
        Err(error) if files::is_damaged(&error) => {
            tracing::warn!(dir = %dir.display(), name, %error, "a damaged file is passed over");
            Ok(None)
        }
        other => other.map_err(unknown),
    }
}

/// What the monitor says once it is past the start; `None` when it is gone.
async fn standing(connection: &mut Connection) -> io::Result<Option<Report>> {
    let answer = async {
        loop {
            match connection.next().await? {
                Some(Report::Starting | Report::LogGrew) => {}
                other => return Ok(other),
            }
        }
    };
    match tokio::time::timeout(ANSWER_MAX, answer).await {
        Ok(answer) => answer,
        Err(_) => Err(io::Error::new(io::ErrorKind::TimedOut, "the sandbox's monitor does not answer")),
    }
}

fn unknown(error: io::Error) -> Error {
    Error::sandbox(Reason::StatusUnknown, format!("cannot read the sandbox's state: {error}"))
}

fn folders(dir: &Path) -> io::Result<Vec<String>> {
    match fs::read_dir(dir) {
        Ok(entries) => Ok(entries.filter_map(|entry| entry.ok()?.file_name().into_string().ok()).collect()),
        Err(error) if matches!(error.kind(), io::ErrorKind::NotFound | io::ErrorKind::NotADirectory) => Ok(Vec::new()),
        Err(error) => Err(error),
    }
}
