//! What the engine keeps of one pod. Decides nothing.

use std::{sync::Arc, time::Duration};

use boss_proto::{ids::Uid, intent::RestartPolicy, v1};
use tokio::sync::Mutex;
use tokio_util::sync::DropGuard;

use crate::{
    agent::{
        intent::{self, Refusal},
        status::Facts,
    },
    runtime::Runtime,
    sandbox::{
        SandboxId, Spec, Values,
        files::{Exit, Running},
        lifecycle::Phase,
    },
};

/// One pod on this node.
pub(super) struct Pod {
    pub(super) uid: Uid,
    pub(super) phase: Phase,
    /// The current execution; 0 before the first.
    pub(super) attempt: u32,
    /// Quick failures in a row before the current execution.
    pub(super) failures: u32,
    /// Who runs it; the choice is made anew for each execution.
    pub(super) runtime: Option<Arc<dyn Runtime>>,
    pub(super) spec: Option<Spec>,
    /// What the next execution is given, from when it is ready until it is started.
    pub(super) values: Values,
    /// What the container names and is not there; the pod waits for it.
    pub(super) missing: Option<String>,
    /// How often that was looked for in vain.
    pub(super) looks: u32,
    /// Calls the preparing off when it is dropped.
    pub(super) preparing: Option<DropGuard>,
    pub(super) running: Option<Running>,
    pub(super) last_exit: Option<Exit>,
    pub(super) refusal: Option<Refusal>,
    pub(super) first_started_at_us: u64,
    /// Wait before the next execution.
    pub(super) backoff: Duration,
    /// How long it may take to end; of the stop that is under way, if one is.
    pub(super) grace: Duration,
    pub(super) restart_policy: RestartPolicy,
    /// Found on disk at the start of the agent, and nobody waits for its end yet.
    pub(super) is_unwatched: bool,
    /// What the provider does for this pod is done one after the other.
    pub(super) serial: Arc<Mutex<()>>,
}

impl Pod {
    pub(super) fn new(uid: Uid) -> Self {
        Self {
            uid,
            phase: Phase::Waiting,
            attempt: 0,
            failures: 0,
            runtime: None,
            spec: None,
            values: Values::default(),
            missing: None,
            looks: 0,
            preparing: None,
            running: None,
            last_exit: None,
            refusal: None,
            first_started_at_us: 0,
            backoff: Duration::ZERO,
            grace: Duration::from_secs(boss_proto::limits::GRACE_PERIOD_SECONDS_DEFAULT.into()),
            restart_policy: RestartPolicy::Never,
            is_unwatched: false,
            serial: Arc::default(),
        }
    }

    pub(super) fn id(&self) -> SandboxId {
        SandboxId::new(&self.uid, self.attempt)
    }

    /// Takes over what the pod's object says of stopping and restarting.
    pub(super) fn learn(&mut self, pod: &v1::Pod) {
        self.restart_policy = pod.spec.as_ref().map_or(RestartPolicy::Never, intent::restart_policy);
        if !self.phase.is_leaving() {
            self.grace = intent::grace(pod);
        }
    }

    pub(super) fn facts(&self, pod: &v1::Pod, host_ip: &str) -> Facts {
        let metadata = pod.metadata.as_ref();
        let container = pod.spec.as_ref().and_then(|spec| spec.containers.first());
        Facts {
            phase: Some(self.phase),
            id: (self.attempt > 0).then(|| self.id()),
            generation: self
                .spec
                .as_ref()
                .map_or_else(|| metadata.map_or(0, |metadata| metadata.generation), |spec| spec.generation),
            container: container.map(|container| container.name.clone()).unwrap_or_default(),
            class: self.runtime.as_ref().map(|runtime| runtime.class().to_string()).unwrap_or_else(|| {
                let spec = pod.spec.as_ref().map(intent::class);
                spec.and_then(Result::ok).map(|class| class.to_string()).unwrap_or_default()
            }),
            provider: self.runtime.as_ref().map(|runtime| runtime.name().to_owned()).unwrap_or_default(),
            host_ip: host_ip.to_owned(),
            running: self.running.clone(),
            last_exit: self.last_exit.clone(),
            refusal: self.refusal.clone(),
            missing: self.missing.clone(),
            first_started_at_us: self.first_started_at_us,
        }
    }
}
