//! Carries out what the lifecycle asks for.

use std::{sync::Arc, time::Duration};

use boss_proto::{
    ids::Uid,
    intent::{PodPhase, Reason},
    v1,
};
use tokio_util::sync::CancellationToken;

use super::{Engine, is_deleting};
use crate::{
    agent::{
        events::Severity,
        intent::{self, Refusal},
        pod::Pod,
        status,
    },
    sandbox::{
        files::{Exit, ExitKind},
        lifecycle::{Effect, Event, Phase, step},
        restart::{self, Verdict},
    },
};

/// Longest pause between two looks for what a container names.
const LOOK_PAUSE_MAX: Duration = Duration::from_secs(10);

impl Engine {
    /// Something ran, or did not even start, and is over.
    pub(super) fn handle_end(&mut self, uid: &Uid, exit: Exit) {
        let Some(pod) = self.pods.get_mut(uid) else { return };
        pod.running = None;
        pod.last_exit = Some(exit.clone());
        if pod.phase.is_leaving() {
            return;
        }
        match restart::decide(pod.restart_policy, &exit, pod.failures) {
            Verdict::Final => {
                let is_known = self.wanted.get(uid).is_some_and(|pod| PodPhase::of(pod).is_terminal());
                self.apply(uid, Event::EndedForGood);
                if !exit.is_success() && !is_known {
                    self.emit(uid, Severity::Warning, "Failed", describe(&exit));
                }
            }
            Verdict::Restart { after, failures } => {
                pod.failures = failures;
                pod.backoff = after;
                self.apply(uid, Event::EndedForNow);
                let message = format!("{}; starting again in {after:?}", describe(&exit));
                self.emit(uid, Severity::Warning, "BackOff", message);
            }
        }
    }

    pub(super) fn apply(&mut self, uid: &Uid, event: Event) {
        let Some(pod) = self.pods.get_mut(uid) else { return };
        let (phase, effects) = step(pod.phase, event);
        tracing::debug!(pod = %uid, attempt = pod.attempt, from = ?pod.phase, ?event, to = ?phase, "step");
        pod.phase = phase;
        if phase != Phase::Preparing {
            pod.preparing = None;
        }
        if phase == Phase::Ended {
            self.parts.board.end(uid);
        }
        for effect in effects {
            self.perform(uid, effect);
        }
    }

    pub(super) fn perform(&mut self, uid: &Uid, effect: Effect) {
        let Some(pod) = self.pods.get_mut(uid) else { return };
        match effect {
            Effect::Prepare => self.prepare(uid),
            Effect::Start => self.deeds.start(pod),
            Effect::WatchForEnd => self.deeds.watch_for_end(pod),
            Effect::ArmBackoff => self.deeds.wait_for_backoff(pod),
            Effect::Stop => self.deeds.stop(pod, self.parts.providers.runtimes()),
            Effect::Remove => self.deeds.remove(pod, self.parts.providers.runtimes()),
            Effect::Report => self.report(uid),
            Effect::Release => self.leave(uid),
        }
    }

    /// Makes the next execution. What the node cannot do at all ends the pod here.
    fn prepare(&mut self, uid: &Uid) {
        let Some(wanted) = self.wanted.get(uid).cloned() else { return };
        let refused = self.check_room(uid, &wanted).err();
        let Some(pod) = self.pods.get_mut(uid) else { return };
        pod.attempt += 1;
        let spec = wanted.spec.clone().unwrap_or_default();
        let planned = refused.map_or_else(|| self.parts.providers.choose(&spec), Err).and_then(|runtime| {
            let sandbox = intent::sandbox(&wanted, pod.id(), self.parts.node.as_str(), pod.failures)?;
            Ok((runtime, sandbox))
        });
        match planned {
            Ok((runtime, sandbox)) => {
                if let Some(dir) = runtime.log_dir(&sandbox.id) {
                    self.parts.board.begin(uid, sandbox.id.clone(), dir);
                }
                pod.runtime = Some(runtime);
                pod.spec = Some(sandbox);
                self.prepare_after(uid, &wanted, Duration::ZERO);
            }
            Err(refusal) => {
                let message = format!("{}: {}", refusal.reason, refusal.message);
                pod.refusal = Some(refusal);
                self.apply(uid, Event::EndedForGood);
                self.emit(uid, Severity::Warning, "Failed", message);
            }
        }
    }

    fn prepare_after(&mut self, uid: &Uid, wanted: &Arc<v1::Pod>, after: Duration) {
        let Some(pod) = self.pods.get_mut(uid) else { return };
        let called_off = CancellationToken::new();
        pod.preparing = Some(called_off.clone().drop_guard());
        self.deeds.prepare(pod, Arc::clone(wanted), after, called_off);
    }

    /// Looks again until what the container names is there: somebody may be about to create it.
    pub(super) fn wait_for(&mut self, uid: &Uid, missing: String) {
        let Some(wanted) = self.wanted.get(uid).cloned() else { return };
        let Some(pod) = self.pods.get_mut(uid) else { return };
        pod.looks = pod.looks.saturating_add(1);
        let after = restart::backoff(pod.looks).min(LOOK_PAUSE_MAX);
        let is_news = pod.missing.as_ref() != Some(&missing);
        pod.missing = Some(missing.clone());
        self.prepare_after(uid, &wanted, after);
        if is_news {
            self.report(uid);
            self.emit(uid, Severity::Warning, Reason::ConfigMissing.as_str(), missing);
        }
    }

    /// A provider may have a bound of its own.
    fn check_room(&self, uid: &Uid, wanted: &v1::Pod) -> Result<(), Refusal> {
        let spec = wanted.spec.clone().unwrap_or_default();
        let runtime = self.parts.providers.choose(&spec)?;
        let reports = self.parts.providers.reports();
        let most =
            reports.iter().find(|report| report.name == runtime.name()).map_or(0, |report| report.concurrency_max);
        let is_active = |pod: &&Pod| {
            let active = matches!(pod.phase, Phase::Preparing | Phase::Starting | Phase::Running | Phase::Stopping);
            active && pod.uid != *uid && pod.runtime.as_ref().is_some_and(|other| other.name() == runtime.name())
        };
        let active = self.pods.values().filter(is_active).count();
        if most == 0 || active < most as usize {
            return Ok(());
        }
        let message = format!("provider {} runs {active} sandboxes, its most", runtime.name());
        Err(Refusal { reason: Reason::InsufficientResources, message })
    }

    pub(super) fn report(&self, uid: &Uid) {
        let (Some(here), Some(wanted)) = (self.pods.get(uid), self.wanted.get(uid)) else { return };
        if is_deleting(wanted) && here.phase.is_leaving() {
            return;
        }
        let status = status::pod_status(&here.facts(wanted, &self.parts.host_ip));
        self.parts.reporter.submit(uid.clone(), Arc::clone(wanted), status);
    }

    /// Nothing is left here. The registry hears of it if the pod was deleted there; else the pod is forgotten.
    fn leave(&mut self, uid: &Uid) {
        self.parts.board.remove(uid);
        if self.wanted.contains_key(uid) {
            self.release(uid);
        } else {
            self.pods.remove(uid);
        }
    }

    pub(super) fn emit(&self, uid: &Uid, severity: Severity, reason: &str, message: impl Into<String>) {
        if let Some(pod) = self.wanted.get(uid) {
            self.parts.events.emit(pod, severity, reason, message);
        }
    }
}

fn describe(exit: &Exit) -> String {
    match &exit.how {
        ExitKind::Code(code) => format!("the sandbox exited with code {code}"),
        ExitKind::Signal { out_of_memory: true, .. } => "the kernel killed the sandbox at its memory limit".to_owned(),
        ExitKind::Signal { number, .. } => format!("the sandbox was ended by signal {number}"),
        ExitKind::NotStarted { reason, message } => format!("{reason}: {message}"),
        ExitKind::Lost { message } => message.clone(),
    }
}
