//! What one object takes of what quotas count. Knows no namespace and no quota.

use boss_proto::{
    intent::{PodPhase, SandboxClass},
    v1::{Object, Pod, PodSpec, ResourceList, object::Body},
};

use super::counted::{Counted, Resource};
use crate::state::feasible::Amounts;

/// What is taken, each once and never nothing.
pub(super) type Measure = Vec<(Counted, u64)>;

/// What the object takes.
pub(super) fn measure(object: &Object) -> Measure {
    let Some(kind) = object.kind() else { return Measure::new() };
    let mut measure = vec![(Counted::Objects(kind), 1)];
    if let Some(spec) = running(object) {
        measure.push((Counted::Pods, 1));
        measure.extend(SandboxClass::resolve(spec).ok().map(|class| (Counted::PodsOf(class), 1)));
        measure.extend(amounts(Amounts::requested(spec), Counted::Requests));
        measure.extend(amounts(Amounts::limited(spec), Counted::Limits));
    }
    measure
}

fn amounts(amounts: Amounts, counted: fn(Resource) -> Counted) -> impl Iterator<Item = (Counted, u64)> {
    let named = Resource::ALL.into_iter().zip(amounts.named());
    named.map(move |(resource, (_, amount))| (counted(resource), amount)).filter(|(_, amount)| *amount > 0)
}

/// The specification of a pod that has not ended.
fn running(object: &Object) -> Option<&PodSpec> {
    let pod = pod(object)?;
    pod.spec.as_ref().filter(|_| !PodPhase::of(pod).is_terminal())
}

fn pod(object: &Object) -> Option<&Pod> {
    match &object.body {
        Some(Body::Pod(pod)) => Some(pod),
        _ => None,
    }
}

/// Whether the two take the same, told without adding anything up: most writes are of this sort.
pub(super) fn same_measure(before: Option<&Object>, now: Option<&Object>) -> bool {
    match (before, now) {
        (None, None) => true,
        (Some(before), Some(now)) => running(before) == running(now),
        _ => false,
    }
}

/// The field that a pod must fill when a quota counts this; `None` when it has, or need not.
pub(super) fn needs_a_word_about(what: Counted, object: &Object) -> Option<String> {
    let (list, resource) = match what {
        Counted::Requests(resource @ (Resource::Cpu | Resource::Memory)) => ("requests", resource),
        Counted::Limits(resource @ (Resource::Cpu | Resource::Memory)) => ("limits", resource),
        _ => return None,
    };
    let spec = running(object)?;
    let resources = spec.resources.iter().chain(spec.containers.iter().flat_map(|container| &container.resources));
    let said = resources.into_iter().any(|resources| {
        let asked = resources.requests.as_ref().filter(|_| list == "requests");
        // A limit stands in for a missing request.
        asked.into_iter().chain(&resources.limits).any(|list| !text(list, resource).is_empty())
    });
    (!said).then(|| format!("spec.containers[0].resources.{list}.{}", resource.as_str()))
}

fn text(list: &ResourceList, resource: Resource) -> &str {
    match resource {
        Resource::Cpu => &list.cpu,
        Resource::Memory => &list.memory,
        Resource::Disk => &list.disk,
        Resource::EphemeralStorage => &list.ephemeral_storage,
        Resource::Gpu => &list.gpu,
        Resource::NetworkBandwidth => &list.network_bandwidth,
    }
}
