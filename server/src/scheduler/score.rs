//! How good a node is for a pod. The order of the fields is the policy; less is better. Knows no other node.

use std::fmt;

use boss_proto::{
    ids::NodeName,
    intent::{SandboxClass, TaintEffect},
    v1::{Node, PodSpec, Provider},
};
use boss_raft::state::feasible::{Amounts, term_matches, tolerates};

use super::cluster::Candidate;

/// The node with the least score gets the pod. Ties are broken by the node's name, so that the decision is a
/// function of the model alone.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord)]
pub struct Score {
    /// What the pod or the node's owner would rather avoid: untolerated PreferNoSchedule taints and the weights of
    /// preferred affinity terms that do not hold. Wishes of people come before speed.
    pub avoided: u32,
    /// Expected microseconds to ready, rounded up to a power of two: a few per cent between two measurements are
    /// noise and must not send every pod to one node.
    pub ready_in_us: u64,
    /// How full the node's scarcest resource will be, in thousandths.
    pub pressure: u64,
    /// Pods on the node.
    pub spread: u32,
    /// Last resort.
    pub node: NodeName,
}

impl Score {
    /// Scores one provider of a node that fits.
    pub(super) fn of(pod: &PodSpec, name: &NodeName, candidate: &Candidate<'_>, provider: &Provider) -> Self {
        Self {
            avoided: avoided(pod, candidate.node),
            ready_in_us: ready_in_us(pod, candidate, provider),
            pressure: pressure(pod, candidate),
            spread: candidate.used.pods,
            node: name.clone(),
        }
    }
}

impl fmt::Display for Score {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "ready in about {} us, pressure {}/1000, {} pods", self.ready_in_us, self.pressure, self.spread)?;
        if self.avoided > 0 { write!(f, ", avoided by {}", self.avoided) } else { Ok(()) }
    }
}

/// One untolerated PreferNoSchedule taint weighs as much as the heaviest preferred term.
const TAINT_WEIGHT: u32 = 100;

fn avoided(pod: &PodSpec, node: &Node) -> u32 {
    let taints = node.spec.iter().flat_map(|spec| &spec.taints);
    let soft = taints.filter(|taint| taint.effect == TaintEffect::PreferNoSchedule.as_str());
    let disliked = soft.filter(|taint| !tolerates(pod, taint)).count();
    let taints = u32::try_from(disliked).unwrap_or(u32::MAX).saturating_mul(TAINT_WEIGHT);
    let terms = pod.affinity.iter().flat_map(|affinity| &affinity.preferred);
    let missed = terms.filter(|term| term.preference.as_ref().is_some_and(|wish| !term_matches(wish, node)));
    missed.map(|term| term.weight).fold(taints, u32::saturating_add)
}

/// Before a provider has measured a start: by class, from what such sandboxes usually take.
fn usual_start_us(pod: &PodSpec) -> u64 {
    match SandboxClass::resolve(pod) {
        Ok(SandboxClass::Process) | Err(_) => 2_000,
        Ok(SandboxClass::Wasm) => 1_000,
        Ok(SandboxClass::Container) => 100_000,
        Ok(SandboxClass::Microvm) => 500_000,
        Ok(SandboxClass::Vm | SandboxClass::Remote) => 5_000_000,
    }
}

/// Each sandbox that the node still has to start comes first.
fn ready_in_us(pod: &PodSpec, candidate: &Candidate<'_>, provider: &Provider) -> u64 {
    let measured = u64::from(provider.start_latency_us);
    let start = if measured == 0 { usual_start_us(pod) } else { measured };
    let queue = u64::from(candidate.starting) + 1;
    start.saturating_mul(queue).checked_next_power_of_two().unwrap_or(u64::MAX)
}

fn pressure(pod: &PodSpec, candidate: &Candidate<'_>) -> u64 {
    let status = candidate.node.status.as_ref();
    let allocatable = status.and_then(|status| status.allocatable.as_ref().or(status.capacity.as_ref()));
    let have = allocatable.map(Amounts::read).unwrap_or_default().named();
    let taken = candidate.used.amounts.plus(Amounts::requested(pod)).named();
    let shares = have.iter().zip(taken).filter(|((_, have), _)| *have > 0);
    let thousandths = shares.map(|((_, have), (_, taken))| u128::from(taken) * 1_000 / u128::from(*have));
    u64::try_from(thousandths.max().unwrap_or(0)).unwrap_or(u64::MAX)
}
