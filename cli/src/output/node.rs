//! Nodes in tables.

use std::collections::BTreeSet;

use boss_proto::v1;

use super::age;

pub(super) const HEADERS: (&[&str], &[&str]) =
    (&["NAME", "STATUS", "CLASSES", "AGE", "VERSION"], &["CPU", "MEMORY", "ADDRESS", "KERNEL", "PROVIDERS"]);

pub(super) fn cells(node: &v1::Node, wide: bool, now: u64) -> Vec<String> {
    let metadata = node.metadata.clone().unwrap_or_default();
    let status = node.status.clone().unwrap_or_default();
    let info = status.node_info.clone().unwrap_or_default();
    let created = metadata.creation_timestamp.as_ref().map(|time| time.seconds);
    let mut cells = vec![metadata.name.clone(), state(node), classes(&status), age(created, now), info.agent_version];
    if wide {
        let room = status.allocatable.clone().unwrap_or_default();
        cells.extend([room.cpu, room.memory, status.addresses.join(","), info.kernel, providers(&status)]);
    }
    cells
}

/// Whether it may be given pods, as far as its health goes.
#[must_use]
pub fn node_is_ready(node: &v1::Node) -> bool {
    ready_status(node) == Some("True")
}

fn ready_status(node: &v1::Node) -> Option<&str> {
    let conditions = node.status.as_ref().map_or(&[][..], |status| &status.conditions);
    conditions.iter().find(|condition| condition.r#type == "Ready").map(|condition| &*condition.status)
}

/// Ready, NotReady or Unknown, and whether new pods are kept away.
pub(super) fn state(node: &v1::Node) -> String {
    let word = match ready_status(node) {
        Some("True") => "Ready",
        Some("False") => "NotReady",
        _ => "Unknown",
    };
    let closed = node.spec.as_ref().is_some_and(|spec| spec.unschedulable);
    if closed { format!("{word},SchedulingDisabled") } else { word.to_owned() }
}

/// What it can run now.
fn classes(status: &v1::NodeStatus) -> String {
    let healthy = providers_of(status).iter().filter(|provider| provider.healthy);
    let classes: BTreeSet<&str> = healthy.flat_map(|provider| provider.classes.iter().map(String::as_str)).collect();
    classes.into_iter().collect::<Vec<_>>().join(",")
}

/// All of them; those that are not healthy with an exclamation mark.
fn providers(status: &v1::NodeStatus) -> String {
    let mark = |provider: &v1::Provider| format!("{}{}", provider.name, if provider.healthy { "" } else { "!" });
    providers_of(status).iter().map(mark).collect::<Vec<_>>().join(",")
}

pub(super) fn providers_of(status: &v1::NodeStatus) -> &[v1::Provider] {
    status.runtime_capabilities.as_ref().map_or(&[], |capabilities| &capabilities.providers)
}
