//! Pods in tables.

use boss_proto::{
    intent::{PodPhase, SandboxClass},
    v1,
};

use super::age;

pub(super) const HEADERS: (&[&str], &[&str]) =
    (&["NAME", "STATUS", "RESTARTS", "AGE"], &["CLASS", "PROVIDER", "NODE", "SANDBOX-ID", "REASON"]);

pub(super) fn cells(pod: &v1::Pod, wide: bool, now: u64) -> Vec<String> {
    let metadata = pod.metadata.clone().unwrap_or_default();
    let status = pod.status.clone().unwrap_or_default();
    let spec = pod.spec.clone().unwrap_or_default();
    let created = metadata.creation_timestamp.as_ref().map(|time| time.seconds);
    let mut cells = vec![metadata.name.clone(), state(pod), restarts(&status).to_string(), age(created, now)];
    if wide {
        let class = if status.class.is_empty() { class(&spec) } else { status.class };
        cells.extend([class, status.provider, spec.node_name, status.sandbox_id, status.reason]);
    }
    cells
}

/// The phase, or that it is about to go.
pub(super) fn state(pod: &v1::Pod) -> String {
    let leaving = pod.metadata.as_ref().is_some_and(|metadata| metadata.deletion_timestamp.is_some());
    if leaving { "Terminating".to_owned() } else { PodPhase::of(pod).to_string() }
}

pub(super) fn restarts(status: &v1::PodStatus) -> u32 {
    status.container_statuses.iter().map(|container| container.restart_count).sum()
}

pub(super) fn class(spec: &v1::PodSpec) -> String {
    SandboxClass::resolve(spec).map_or_else(|_| String::new(), |class| class.to_string())
}
