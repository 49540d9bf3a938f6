//! Takes over what an earlier agent left. Decides nothing about it before the registry's list is here.

use std::{sync::Arc, time::Duration};

use boss_base::bugs::{self, Bug};
use boss_proto::intent::RestartPolicy;

use super::Engine;
use crate::{
    agent::pod::Pod,
    runtime::{self, Runtime, Status},
    sandbox::{
        SandboxId,
        lifecycle::{Effect, Phase},
    },
};

impl Engine {
    /// Takes over what an earlier agent left: what runs goes on running. Nothing is decided about it before the
    /// registry's list is here.
    pub async fn adopt(&mut self) -> Result<(), runtime::Error> {
        if bugs::on(Bug::SecondSandbox) {
            return Ok(());
        }
        for runtime in self.parts.providers.runtimes().to_vec() {
            // In order of attempts: a later one takes over, and the end of the one before becomes the last end.
            for id in runtime.list().await? {
                self.adopt_one(&runtime, id).await?;
            }
        }
        self.count_running();
        Ok(())
    }

    async fn adopt_one(&mut self, runtime: &Arc<dyn Runtime>, id: SandboxId) -> Result<(), runtime::Error> {
        let Some(spec) = runtime.spec(&id).await? else {
            // A start that never came to be, or a power cut took its file: nothing can be told of it.
            runtime.stop(&id, Duration::ZERO).await?;
            return runtime.remove(&id).await;
        };
        let status = runtime.status(&id).await?;
        let uid = id.pod_uid();
        if let Some(dir) = runtime.log_dir(&id) {
            self.parts.board.begin(&uid, id.clone(), dir);
        }
        let pod = self.pods.entry(uid.clone()).or_insert_with(|| Pod::new(uid));
        pod.attempt = id.attempt;
        pod.failures = spec.failures_before;
        pod.restart_policy = spec.restart_policy.parse().unwrap_or(RestartPolicy::Never);
        pod.runtime = Some(Arc::clone(runtime));
        pod.spec = Some(spec);
        pod.running = None;
        pod.is_unwatched = !matches!(status, Status::Prepared | Status::Absent);
        pod.phase = if pod.is_unwatched { Phase::Running } else { Phase::Waiting };
        match status {
            Status::Running(running) => {
                tracing::info!(sandbox = %id, pid = running.pid, "adopted a running sandbox");
                pod.first_started_at_us = running.started_at_us;
                pod.running = Some(running);
            }
            Status::Ended(exit) => pod.last_exit = Some(exit),
            Status::Prepared | Status::Absent => {}
        }
        Ok(())
    }

    /// From the first list on, what was adopted lives like everything else.
    pub(super) fn watch_adopted(&mut self) {
        let mut uids = Vec::new();
        for pod in self.pods.values_mut() {
            if std::mem::take(&mut pod.is_unwatched) {
                uids.push((pod.uid.clone(), pod.running.is_some()));
            }
        }
        for (uid, is_running) in uids {
            if is_running {
                self.report(&uid);
            }
            self.perform(&uid, Effect::WatchForEnd);
        }
    }
}
