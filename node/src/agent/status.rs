//! What a pod's status says, from what the agent knows. Pure: knows no registry and no clock.

use boss_proto::{
    intent::{PodPhase, Reason, SandboxState},
    v1::{self, ContainerRunning, ContainerState, ContainerStatus, ContainerTerminated, ContainerWaiting},
};
use pbjson_types::Timestamp;

use crate::{
    agent::intent::Refusal,
    sandbox::{
        SandboxId,
        files::{Exit, ExitKind, Running},
        lifecycle::Phase,
    },
};

/// Everything that a status is made from.
#[derive(Debug, Clone, Default)]
pub struct Facts {
    /// Where the pod stands.
    pub phase: Option<Phase>,
    /// The current execution, once there is one.
    pub id: Option<SandboxId>,
    /// Generation of the spec that it was made from.
    pub generation: u32,
    /// Name of the container.
    pub container: String,
    /// Class and provider that run it.
    pub class: String,
    /// Provider that runs it.
    pub provider: String,
    /// Address of this node.
    pub host_ip: String,
    /// The current execution, while it runs.
    pub running: Option<Running>,
    /// How the latest execution that is over ended.
    pub last_exit: Option<Exit>,
    /// Why nothing is run at all.
    pub refusal: Option<Refusal>,
    /// What the container names and is not there yet.
    pub missing: Option<String>,
    /// When the first execution that this agent knows of started, Unix microseconds.
    pub first_started_at_us: u64,
}

/// The status. What the server owns (conditions, times of scheduling) is left empty: see [`merge`].
#[must_use]
pub fn pod_status(facts: &Facts) -> v1::PodStatus {
    let (phase, state) = phases(facts);
    let (reason, message) = reason(facts);
    let attempt = facts.id.as_ref().map_or(0, |id| id.attempt);
    v1::PodStatus {
        phase: phase.to_string(),
        sandbox_state: state.to_string(),
        reason: reason.clone(),
        message: message.clone(),
        host_ip: facts.host_ip.clone(),
        start_time: timestamp(facts.first_started_at_us),
        sandbox_id: facts.id.as_ref().map(SandboxId::to_string).unwrap_or_default(),
        class: facts.class.clone(),
        provider: facts.provider.clone(),
        container_statuses: vec![container_status(facts, attempt, &reason, &message)],
        observed_generation: facts.generation,
        attempt,
        runtime_ready_at: timestamp(facts.running.as_ref().map_or(0, |running| running.started_at_us)),
        ..v1::PodStatus::default()
    }
}

/// Our status with what the server owns in the one that stands.
#[must_use]
pub fn merge(mut ours: v1::PodStatus, standing: Option<&v1::PodStatus>) -> v1::PodStatus {
    if let Some(standing) = standing {
        ours.conditions = standing.conditions.clone();
        ours.scheduled_at = standing.scheduled_at;
        ours.pod_ip = standing.pod_ip.clone();
        ours.data_plane_ready_at = standing.data_plane_ready_at;
        // A pod that ran keeps what it knew of its start.
        ours.start_time = ours.start_time.or(standing.start_time);
        ours.runtime_ready_at = ours.runtime_ready_at.or(standing.runtime_ready_at);
    }
    ours
}

fn phases(facts: &Facts) -> (PodPhase, SandboxState) {
    let never_ran = facts.last_exit.as_ref().is_some_and(|exit| matches!(exit.how, ExitKind::NotStarted { .. }));
    match facts.phase.unwrap_or(Phase::Waiting) {
        Phase::Waiting => (PodPhase::Pending, SandboxState::Pending),
        Phase::Preparing => (PodPhase::Pending, SandboxState::Preparing),
        Phase::Starting => (PodPhase::Pending, SandboxState::Starting),
        Phase::Running => (PodPhase::Running, SandboxState::Running),
        Phase::BackingOff if never_ran => (PodPhase::Pending, SandboxState::Failed),
        Phase::BackingOff => (PodPhase::Running, SandboxState::Exited),
        Phase::Ended => ended(facts),
        Phase::Stopping => (PodPhase::Running, SandboxState::Stopping),
        Phase::Removing | Phase::Gone => (ended(facts).0, SandboxState::Removed),
    }
}

fn ended(facts: &Facts) -> (PodPhase, SandboxState) {
    match (&facts.refusal, &facts.last_exit) {
        (Some(_), _) => (PodPhase::Failed, SandboxState::Failed),
        (None, Some(exit)) if exit.is_success() => (PodPhase::Succeeded, SandboxState::Exited),
        (None, Some(Exit { how: ExitKind::NotStarted { .. }, .. })) => (PodPhase::Failed, SandboxState::Failed),
        (None, _) => (PodPhase::Failed, SandboxState::Exited),
    }
}

/// Of the pod: only what keeps it from being as wanted.
fn reason(facts: &Facts) -> (String, String) {
    if let Some(refusal) = &facts.refusal {
        return (refusal.reason.to_string(), refusal.message.clone());
    }
    if let (Some(Phase::Preparing), Some(missing)) = (facts.phase, &facts.missing) {
        return (Reason::ConfigMissing.to_string(), missing.clone());
    }
    match (facts.phase, &facts.last_exit) {
        (Some(Phase::Ended | Phase::BackingOff), Some(exit)) if !exit.is_success() => {
            let terminated = terminated(exit);
            // An ordinary exit code needs no stable reason beside the container's own.
            let stable = matches!(exit.how, ExitKind::NotStarted { .. });
            (if stable { terminated.reason } else { String::new() }, terminated.message)
        }
        _ => Default::default(),
    }
}

fn container_status(facts: &Facts, attempt: u32, reason: &str, message: &str) -> ContainerStatus {
    let last = facts
        .last_exit
        .as_ref()
        .map(|exit| ContainerState { terminated: Some(terminated(exit)), ..ContainerState::default() });
    let waiting = |reason: &str, message: &str| {
        let waiting = ContainerWaiting { reason: reason.to_owned(), message: message.to_owned() };
        Some(ContainerState { waiting: Some(waiting), ..ContainerState::default() })
    };
    let (state, last_state) = match facts.phase.unwrap_or(Phase::Waiting) {
        Phase::Running | Phase::Stopping if facts.running.is_some() => {
            let started_at = timestamp(facts.running.as_ref().map_or(0, |running| running.started_at_us));
            let running = Some(ContainerRunning { started_at });
            (Some(ContainerState { running, ..ContainerState::default() }), last)
        }
        Phase::Ended | Phase::Removing | Phase::Gone if last.is_some() => (last, None),
        Phase::BackingOff => (waiting("BackOff", message), last),
        _ => (waiting(reason, message), last),
    };
    ContainerStatus {
        name: facts.container.clone(),
        state,
        last_state,
        restart_count: attempt.saturating_sub(1),
        pid: facts.running.as_ref().map_or(0, |running| running.pid),
    }
}

fn terminated(exit: &Exit) -> ContainerTerminated {
    let (exit_code, signal, reason, message) = match &exit.how {
        ExitKind::Code(0) => (0, 0, "Completed".to_owned(), String::new()),
        ExitKind::Code(code) => (*code, 0, "Error".to_owned(), format!("exited with code {code}")),
        ExitKind::Signal { number, out_of_memory } => {
            let number = u32::try_from(*number).unwrap_or(0);
            let code = 128 + i32::try_from(number).unwrap_or(0);
            let (reason, message) = match out_of_memory {
                true => ("OutOfMemory", "killed by the kernel: it reached its memory limit".to_owned()),
                false => ("Signalled", format!("ended by signal {number}")),
            };
            (code, number, reason.to_owned(), message)
        }
        ExitKind::NotStarted { reason, message } => (-1, 0, reason.clone(), message.clone()),
        ExitKind::Lost { message } => (-1, 0, "Lost".to_owned(), message.clone()),
    };
    ContainerTerminated {
        exit_code,
        signal,
        reason,
        message,
        started_at: timestamp(exit.started_at_us),
        finished_at: timestamp(exit.finished_at_us),
    }
}

/// Unix microseconds as they travel; 0 is none.
#[must_use]
pub fn timestamp(unix_us: u64) -> Option<Timestamp> {
    let seconds = i64::try_from(unix_us / 1_000_000).ok()?;
    let nanos = i32::try_from(unix_us % 1_000_000 * 1_000).ok()?;
    (unix_us > 0).then_some(Timestamp { seconds, nanos })
}

#[cfg(test)]
mod tests {
    use super::*;

    fn facts(phase: Phase) -> Facts {
        Facts {
            phase: Some(phase),
            id: Some(SandboxId { uid: "u".into(), attempt: 3 }),
            container: "main".into(),
            ..Facts::default()
        }
    }

    fn exit(how: ExitKind) -> Option<Exit> {
        Some(Exit { how, started_at_us: 1_000_000, finished_at_us: 2_500_000 })
    }

    #[test]
    fn a_running_pod_shows_its_process_and_its_last_end() {
        let status = pod_status(&Facts {
            running: Some(Running { pid: 42, start_ticks: 1, started_at_us: 3_000_000 }),
            last_exit: exit(ExitKind::Signal { number: 9, out_of_memory: false }),
            ..facts(Phase::Running)
        });
        assert_eq!((&*status.phase, &*status.sandbox_state, &*status.reason), ("Running", "Running", ""));
        let container = &status.container_statuses[0];
        assert_eq!((container.pid, container.restart_count, &*container.name), (42, 2, "main"));
        let last = container.last_state.as_ref().unwrap().terminated.as_ref().unwrap();
        assert_eq!((last.signal, last.exit_code), (9, 137));
        assert!(container.state.as_ref().unwrap().running.is_some());
        assert_eq!((&*status.sandbox_id, status.attempt), ("u-3", 3));
    }

    #[test]
    fn phases_follow_from_how_it_ended() {
        let not_started = || exit(ExitKind::NotStarted { reason: "StartFailed".into(), message: "no".into() });
        let cases = [
            (Phase::Ended, exit(ExitKind::Code(0)), "Succeeded", "Exited", ""),
            (Phase::Ended, exit(ExitKind::Code(1)), "Failed", "Exited", ""),
            (Phase::Ended, not_started(), "Failed", "Failed", "StartFailed"),
            (Phase::BackingOff, not_started(), "Pending", "Failed", "StartFailed"),
            (Phase::BackingOff, exit(ExitKind::Code(1)), "Running", "Exited", ""),
            (Phase::BackingOff, exit(ExitKind::Code(0)), "Running", "Exited", ""),
        ];
        for (phase, last_exit, pod_phase, state, reason) in cases {
            let status = pod_status(&Facts { last_exit: last_exit.clone(), ..facts(phase) });
            let got = (&*status.phase, &*status.sandbox_state, &*status.reason);
            assert_eq!(got, (pod_phase, state, reason), "{phase:?} {last_exit:?}");
        }
    }

    #[test]
    fn a_refused_pod_has_failed_with_the_stable_reason() {
        let refusal = Some(Refusal { reason: Reason::IsolationMismatch, message: "too weak".into() });
        let status = pod_status(&Facts { refusal, ..facts(Phase::Ended) });
        assert_eq!((&*status.phase, &*status.reason, &*status.message), ("Failed", "IsolationMismatch", "too weak"));
    }

    #[test]
    fn a_pod_that_waits_for_a_secret_says_for_which() {
        let missing = Some("Secret db does not exist".to_owned());
        let status = pod_status(&Facts { missing: missing.clone(), ..facts(Phase::Preparing) });
        let got = (&*status.phase, &*status.sandbox_state, &*status.reason, &*status.message);
        assert_eq!(got, ("Pending", "Preparing", "ConfigMissing", "Secret db does not exist"));
        let waiting = status.container_statuses[0].state.as_ref().unwrap().waiting.as_ref().unwrap();
        assert_eq!((&*waiting.reason, &*waiting.message), ("ConfigMissing", "Secret db does not exist"));
        assert_eq!(pod_status(&Facts { missing, ..facts(Phase::Running) }).reason, "", "it is there by now");
    }

    #[test]
    fn what_the_server_owns_is_kept() {
        let standing = v1::PodStatus {
            conditions: vec![v1::Condition { r#type: "PodScheduled".into(), ..v1::Condition::default() }],
            scheduled_at: timestamp(5),
            phase: "Unknown".into(),
            ..v1::PodStatus::default()
        };
        let merged = merge(pod_status(&facts(Phase::Running)), Some(&standing));
        assert_eq!((merged.conditions.len(), merged.scheduled_at), (1, timestamp(5)));
        assert_eq!(merged.phase, "Running");
    }
}
