//! Whether a pod can run on a node, from committed fields only: the one function that the scheduler and apply share.
//! Knows no score, no heartbeat, no other node.

mod amounts;
mod providers;
mod rejected;
mod selectors;

use boss_proto::{
    intent::TaintEffect,
    v1::{Node, PodSpec, Provider, Taint},
};

pub use self::{
    amounts::{Amounts, Used},
    rejected::Rejected,
    selectors::term_matches,
};

/// Label that `spec.region` asks for.
pub const REGION_LABEL: &str = "topology.boss.dev/region";

/// Whether the pod fits the node beside what uses it already; otherwise every reason why not.
pub fn feasible(pod: &PodSpec, node: &Node, used: &Used) -> Result<(), Vec<Rejected>> {
    providers_for(pod, node, used).map(|_| ())
}

/// The providers of the node that could run the pod, in the node's order, at least one; otherwise every reason why
/// not.
pub fn providers_for<'n>(pod: &PodSpec, node: &'n Node, used: &Used) -> Result<Vec<&'n Provider>, Vec<Rejected>> {
    let mut rejected = Vec::new();
    check_node(node, &mut rejected);
    check_taints(pod, node, &mut rejected);
    selectors::check(pod, node, &mut rejected);
    amounts::check(pod, node, used, &mut rejected);
    let providers = providers::fitting(pod, node, used, &mut rejected);
    if rejected.is_empty() { Ok(providers) } else { Err(rejected) }
}

/// Reasons in one line, for people.
#[must_use]
pub fn explain(rejected: &[Rejected]) -> String {
    rejected.iter().map(ToString::to_string).collect::<Vec<_>>().join("; ")
}

fn check_node(node: &Node, rejected: &mut Vec<Rejected>) {
    if node.spec.as_ref().is_some_and(|spec| spec.unschedulable) {
        rejected.push(Rejected::Unschedulable);
    }
    if node.metadata.as_ref().is_some_and(|metadata| metadata.deletion_timestamp.is_some()) {
        rejected.push(Rejected::Leaving);
    }
    let ready = node.status.iter().flat_map(|status| &status.conditions).find(|condition| condition.r#type == "Ready");
    if ready.is_none_or(|condition| condition.status != "True") {
        rejected.push(Rejected::NotReady);
    }
}

fn check_taints(pod: &PodSpec, node: &Node, rejected: &mut Vec<Rejected>) {
    let taints = node.spec.iter().flat_map(|spec| &spec.taints);
    let hard = taints.filter(|taint| taint.effect != TaintEffect::PreferNoSchedule.as_str());
    for taint in hard.filter(|taint| !tolerates(pod, taint)) {
        let shown = if taint.value.is_empty() { taint.key.clone() } else { format!("{}={}", taint.key, taint.value) };
        rejected.push(Rejected::Taint { taint: format!("{shown}:{}", taint.effect) });
    }
}

/// Whether the pod puts up with the taint.
#[must_use]
pub fn tolerates(pod: &PodSpec, taint: &Taint) -> bool {
    pod.tolerations.iter().any(|toleration| {
        let effect = toleration.effect.is_empty() || toleration.effect == taint.effect;
        let exists = toleration.operator == "Exists";
        let key = toleration.key == taint.key || (exists && toleration.key.is_empty());
        effect && key && (exists || toleration.value == taint.value)
    })
}

#[cfg(test)]
mod tests;
