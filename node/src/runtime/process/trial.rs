//! Finds out whether this machine can run processes, by running one from start to end.

use std::sync::atomic::Ordering;

use boss_proto::{
    intent::{ArtifactType, Isolation, NetworkMode, Reason, SandboxClass},
    v1,
};

use super::ProcessRuntime;
use crate::{
    runtime::{Error, Runtime},
    sandbox::{SandboxId, Spec, Values, spec::Limits},
};

impl ProcessRuntime {
    /// Runs a program of our own from start to end, and takes the time.
    async fn trial(&self) -> Result<(), Error> {
        let id = SandboxId { uid: "probe".to_owned(), attempt: 1 };
        self.remove_now(&id).await?;
        let spec = trial_spec(id.clone(), self.settings.own_program.display().to_string());
        self.prepare_now(&spec)?;
        let result = match self.start_new(&id, &Values::default()).await {
            Ok(_) => self.wait_now(&id).await,
            Err(error) => Err(error),
        };
        self.remove_now(&id).await?;
        match result? {
            exit if exit.is_success() => Ok(()),
            exit => Err(Error::sandbox(Reason::StartFailed, format!("a trial run failed: {:?}", exit.how))),
        }
    }

    pub(super) async fn probe_now(&self) -> v1::Provider {
        let trial = self.trial().await;
        v1::Provider {
            name: self.name().to_owned(),
            classes: vec![SandboxClass::Process.to_string()],
            healthy: trial.is_ok(),
            reason: trial.err().map(|error| error.to_string()).unwrap_or_default(),
            version: env!("CARGO_PKG_VERSION").to_owned(),
            artifact_types: vec![ArtifactType::Executable.to_string()],
            network_modes: vec![NetworkMode::Host.to_string()],
            isolation_levels: vec![Isolation::SharedHost.to_string()],
            start_latency_us: self.start_latency_us.load(Ordering::Relaxed),
            concurrency_max: self.settings.concurrency_max,
            devices: Vec::new(),
        }
    }
}

fn trial_spec(id: SandboxId, program: String) -> Spec {
    Spec {
        id,
        generation: 0,
        namespace: String::new(),
        name: "probe".to_owned(),
        container: String::new(),
        program,
        args: vec!["--version".to_owned()],
        env: Vec::new(),
        given: Vec::new(),
        working_dir: None,
        rlimits: Vec::new(),
        limits: Limits::default(),
        restart_policy: "Never".to_owned(),
        failures_before: 0,
    }
}
