//! A provider in memory, for tests of what uses providers. Its programs are words: `sleep` runs until it is stopped,
//! `stubborn` only until it is killed, `exit N` ends at once, anything else does not start.

use std::{
    collections::BTreeMap,
    path::PathBuf,
    sync::{
        Mutex,
        atomic::{AtomicBool, Ordering},
    },
    time::Duration,
};

use boss_proto::{
    intent::{ArtifactType, Isolation, NetworkMode, Reason, SandboxClass},
    v1,
};
use futures_util::future::BoxFuture;
use tokio::sync::watch;

use crate::{
    runtime::{Error, Runtime, Status},
    sandbox::{
        SandboxId, Spec, Values,
        files::{Exit, ExitKind, Running},
    },
};

/// The provider.
#[derive(Debug)]
pub struct FakeRuntime {
    sandboxes: Mutex<BTreeMap<SandboxId, Sandbox>>,
    /// Counts changes, so that waiters look again.
    changes: watch::Sender<u64>,
    /// Whether the next probe finds something wrong.
    is_sick: AtomicBool,
}

#[derive(Debug)]
struct Sandbox {
    spec: Spec,
    status: Status,
    values: Values,
}

impl Default for FakeRuntime {
    fn default() -> Self {
        Self { sandboxes: Mutex::default(), changes: watch::Sender::new(0), is_sick: AtomicBool::new(false) }
    }
}

impl FakeRuntime {
    /// Has the next probe find something wrong, and only that one.
    pub fn fail_next_probe(&self) {
        self.is_sick.store(true, Ordering::Relaxed);
    }

    /// Ends a running sandbox as if by itself.
    pub fn end(&self, id: &SandboxId, how: ExitKind) {
        self.change(id, |sandbox| {
            if let Status::Running(running) = &sandbox.status {
                let started_at_us = running.started_at_us;
                sandbox.status = Status::Ended(Exit { how, started_at_us, finished_at_us: started_at_us + 1 });
            }
        });
    }

    /// What a sandbox was given when it was started.
    pub fn given(&self, id: &SandboxId) -> Option<Values> {
        self.lock().get(id).map(|sandbox| sandbox.values.clone())
    }

    fn change<T>(&self, id: &SandboxId, act: impl FnOnce(&mut Sandbox) -> T) -> Option<T> {
        let result = self.lock().get_mut(id).map(act);
        self.changes.send_modify(|count| *count += 1);
        result
    }

    fn lock(&self) -> std::sync::MutexGuard<'_, BTreeMap<SandboxId, Sandbox>> {
        self.sandboxes.lock().expect("no holder panics")
    }

    fn status_now(&self, id: &SandboxId) -> Status {
        self.lock().get(id).map_or(Status::Absent, |sandbox| sandbox.status.clone())
    }

    fn start_now(&self, id: &SandboxId) -> Result<Running, Error> {
        let missing = Error::sandbox(Reason::StartFailed, format!("sandbox {id} was not prepared"));
        self.change(id, |sandbox| {
            match &sandbox.status {
                Status::Running(running) => return Ok(running.clone()),
                Status::Ended(Exit { how: ExitKind::NotStarted { message, .. }, .. }) => {
                    return Err(Error::sandbox(Reason::StartFailed, message.clone()));
                }
                Status::Ended(_) => return Err(Error::sandbox(Reason::StartFailed, "it is over")),
                Status::Prepared | Status::Absent => {}
            }
            let running = Running { pid: 1, start_ticks: 1, started_at_us: 1 };
            let ended = |how| Status::Ended(Exit { how, started_at_us: 1, finished_at_us: 2 });
            sandbox.status = match &*sandbox.spec.program {
                "sleep" | "stubborn" => Status::Running(running.clone()),
                "exit" => {
                    let code = sandbox.spec.args.first().and_then(|code| code.parse().ok()).unwrap_or(0);
                    ended(ExitKind::Code(code))
                }
                other => {
                    let message = format!("cannot start {other:?}");
                    let reason = Reason::StartFailed.to_string();
                    sandbox.status = ended(ExitKind::NotStarted { reason, message: message.clone() });
                    return Err(Error::sandbox(Reason::StartFailed, message));
                }
            };
            Ok(running)
        })
        .unwrap_or(Err(missing))
    }
}

impl Runtime for FakeRuntime {
    fn name(&self) -> &'static str {
        "fake"
    }

    fn class(&self) -> SandboxClass {
        SandboxClass::Process
    }

    fn probe(&self) -> BoxFuture<'_, v1::Provider> {
        Box::pin(async move {
            v1::Provider {
                name: "fake".to_owned(),
                classes: vec![SandboxClass::Process.to_string()],
                healthy: !self.is_sick.swap(false, Ordering::Relaxed),
                artifact_types: vec![ArtifactType::Executable.to_string()],
                network_modes: vec![NetworkMode::Host.to_string()],
                isolation_levels: vec![Isolation::SharedHost.to_string()],
                ..v1::Provider::default()
            }
        })
    }

    fn prepare<'a>(&'a self, spec: &'a Spec) -> BoxFuture<'a, Result<(), Error>> {
        Box::pin(async move {
            let fresh = || Sandbox { spec: spec.clone(), status: Status::Prepared, values: Values::default() };
            self.lock().entry(spec.id.clone()).or_insert_with(fresh);
            Ok(())
        })
    }

    fn start<'a>(&'a self, id: &'a SandboxId, values: &'a Values) -> BoxFuture<'a, Result<Running, Error>> {
        Box::pin(async {
            self.change(id, |sandbox| sandbox.values = values.clone());
            self.start_now(id)
        })
    }

    fn wait<'a>(&'a self, id: &'a SandboxId) -> BoxFuture<'a, Result<Exit, Error>> {
        Box::pin(async move {
            let mut changes = self.changes.subscribe();
            loop {
                match self.status_now(id) {
                    Status::Ended(exit) => return Ok(exit),
                    Status::Absent => {
                        return Err(Error::sandbox(Reason::StatusUnknown, format!("no sandbox {id}")));
                    }
                    _ => {}
                }
                if changes.changed().await.is_err() {
                    return Err(Error::Broken("the provider is gone".to_owned()));
                }
            }
        })
    }

    fn stop<'a>(&'a self, id: &'a SandboxId, _grace: Duration) -> BoxFuture<'a, Result<(), Error>> {
        Box::pin(async move {
            let stubborn = self.lock().get(id).is_some_and(|sandbox| sandbox.spec.program == "stubborn");
            let number = if stubborn { 9 } else { 15 };
            self.end(id, ExitKind::Signal { number, out_of_memory: false });
            Ok(())
        })
    }

    fn remove<'a>(&'a self, id: &'a SandboxId) -> BoxFuture<'a, Result<(), Error>> {
        Box::pin(async move {
            if matches!(self.status_now(id), Status::Running(_)) {
                return Err(Error::sandbox(Reason::RemoveFailed, format!("sandbox {id} still runs")));
            }
            self.lock().remove(id);
            Ok(())
        })
    }

    fn status<'a>(&'a self, id: &'a SandboxId) -> BoxFuture<'a, Result<Status, Error>> {
        Box::pin(async { Ok(self.status_now(id)) })
    }

    fn list(&self) -> BoxFuture<'_, Result<Vec<SandboxId>, Error>> {
        Box::pin(async { Ok(self.lock().keys().cloned().collect()) })
    }

    fn log_dir(&self, _id: &SandboxId) -> Option<PathBuf> {
        None
    }

    fn spec<'a>(&'a self, id: &'a SandboxId) -> BoxFuture<'a, Result<Option<Spec>, Error>> {
        Box::pin(async { Ok(self.lock().get(id).map(|sandbox| sandbox.spec.clone())) })
    }
}
