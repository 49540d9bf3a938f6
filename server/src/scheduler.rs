//! Chooses a node and a provider for a pod, and says why. Pure: knows no clock, no network, no storage, no runtime.

pub mod cluster;
mod explain;
pub mod queue;
mod score;

use boss_proto::{ids::NodeName, v1::PodSpec};
use boss_raft::state::feasible::{Rejected, providers_for};

pub use self::{cluster::Cluster, score::Score};

/// Where a pod goes.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Placement {
    /// The node.
    pub node: NodeName,
    /// The provider there.
    pub provider: String,
    /// What decided; the least score of all nodes that fit.
    pub score: Score,
    /// How many nodes fit.
    pub fitting: usize,
}

impl Placement {
    /// The decision in one line, for the pod's annotation and event.
    #[must_use]
    pub fn reason(&self) -> String {
        let (node, provider) = (&self.node, &self.provider);
        format!("best of {} that fit: node {node}, provider {provider} ({})", self.fitting, self.score)
    }
}

/// No node can take the pod.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct NoFit {
    /// Every node with all its reasons, by name.
    pub rejected: Vec<(NodeName, Vec<Rejected>)>,
}

/// The best node for the pod by what the model knows, assumed placements included; or every node's reasons.
pub fn place(cluster: &Cluster, pod: &PodSpec) -> Result<Placement, NoFit> {
    let mut best: Option<(Score, &str)> = None;
    let mut fitting = 0;
    let mut rejected = Vec::new();
    for (name, candidate) in cluster.candidates() {
        match providers_for(pod, candidate.node, candidate.used) {
            Err(reasons) => rejected.push((name.clone(), reasons)),
            Ok(providers) => {
                fitting += 1;
                let scored = providers
                    .into_iter()
                    .map(|provider| (Score::of(pod, name, &candidate, provider), provider.name.as_str()));
                best = best.into_iter().chain(scored).min();
            }
        }
    }
    match best {
        Some((score, provider)) => {
            Ok(Placement { node: score.node.clone(), provider: provider.to_owned(), score, fitting })
        }
        None => Err(NoFit { rejected }),
    }
}

#[cfg(test)]
pub(crate) mod tests;
