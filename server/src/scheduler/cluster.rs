//! The scheduler's model of the cluster: nodes and what pods take of them, kept from events and from placements that
//! are assumed but not committed yet. Knows no score.

use std::{
    collections::{BTreeMap, HashMap},
    sync::Arc,
};

use boss_proto::{
    ids::NodeName,
    intent::PodPhase,
    key::Key,
    v1::{Node, PodSpec},
};
use boss_raft::state::{Record, annotations, feasible::Used};

use super::Placement;

/// Nodes and what is taken of them.
#[derive(Debug, Default)]
pub struct Cluster {
    nodes: BTreeMap<NodeName, Arc<Record>>,
    /// By node name, whether the node exists or not: a pod may be heard of before its node.
    usage: HashMap<NodeName, Usage>,
    held: HashMap<Key, Held>,
}

/// What the pods of one node take.
#[derive(Debug, Default)]
struct Usage {
    used: Used,
    starting: u32,
}

/// One pod that takes part of a node.
#[derive(Debug)]
struct Held {
    record: Arc<Record>,
    node: NodeName,
    provider: String,
    starting: bool,
}

/// A node as a placement sees it.
#[derive(Debug, Clone, Copy)]
pub struct Candidate<'a> {
    /// The object.
    pub node: &'a Node,
    /// What is taken.
    pub used: &'a Used,
    /// Pods bound to it that do not run yet.
    pub starting: u32,
}

static NOTHING_USED: std::sync::LazyLock<Used> = std::sync::LazyLock::new(Used::default);

impl Cluster {
    /// Every node, by name.
    pub(super) fn candidates(&self) -> impl Iterator<Item = (&NodeName, Candidate<'_>)> {
        self.nodes.iter().filter_map(|(name, record)| Some((name, self.view(name, record)?)))
    }

    /// One node.
    #[must_use]
    pub fn candidate(&self, name: &NodeName) -> Option<Candidate<'_>> {
        self.view(name, self.nodes.get(name)?)
    }

    /// How many nodes there are.
    #[must_use]
    pub fn node_count(&self) -> usize {
        self.nodes.len()
    }

    fn view<'a>(&'a self, name: &NodeName, record: &'a Record) -> Option<Candidate<'a>> {
        let usage = self.usage.get(name);
        Some(Candidate {
            node: record.node()?,
            used: usage.map_or(&*NOTHING_USED, |usage| &usage.used),
            starting: usage.map_or(0, |usage| usage.starting),
        })
    }

    /// A node is new or has changed.
    pub fn set_node(&mut self, record: Arc<Record>) {
        self.nodes.insert(NodeName::new(&*record.key.name), record);
    }

    /// A node is gone. What its pods take is kept: they are still bound to the name.
    pub fn remove_node(&mut self, name: &NodeName) {
        self.nodes.remove(name);
    }

    /// A pod is new or has changed. Says which node has more room than before, if one has.
    pub fn set_pod(&mut self, record: Arc<Record>) -> Option<NodeName> {
        let freed = self.release(&record.key);
        if let Some(held) = Held::of(record) {
            let still = freed.as_ref() == Some(&held.node);
            self.hold(held);
            return freed.filter(|_| !still);
        }
        freed
    }

    /// A pod is gone. Says which node has more room than before, if one has.
    pub fn remove_pod(&mut self, key: &Key) -> Option<NodeName> {
        self.release(key)
    }

    /// Counts a placement before it is committed; the event of its commit replaces it.
    pub fn assume(&mut self, pod: Arc<Record>, placement: &Placement) {
        self.release(&pod.key);
        let (node, provider) = (placement.node.clone(), placement.provider.clone());
        self.hold(Held { record: pod, node, provider, starting: true });
    }

    /// The node that the pod is on, as committed or assumed.
    #[must_use]
    pub fn node_of(&self, key: &Key) -> Option<&NodeName> {
        self.held.get(key).map(|held| &held.node)
    }

    fn hold(&mut self, held: Held) {
        let usage = self.usage.entry(held.node.clone()).or_default();
        usage.used.add(held.spec(), &held.provider);
        usage.starting += u32::from(held.starting);
        self.held.insert(held.record.key.clone(), held);
    }

    fn release(&mut self, key: &Key) -> Option<NodeName> {
        let held = self.held.remove(key)?;
        if let Some(usage) = self.usage.get_mut(&held.node) {
            usage.used.remove(held.spec(), &held.provider);
            usage.starting = usage.starting.saturating_sub(u32::from(held.starting));
            if usage.used.pods == 0 {
                self.usage.remove(&held.node);
            }
        }
        Some(held.node)
    }
}

impl Held {
    /// What a committed pod takes: nothing before it is bound and after it has ended.
    fn of(record: Arc<Record>) -> Option<Self> {
        let node = record.bound_to()?;
        let pod = record.pod()?;
        let phase = PodPhase::of(pod);
        if phase.is_terminal() {
            return None;
        }
        let provider = record.metadata().annotations.get(annotations::PROVIDER).cloned().unwrap_or_default();
        Some(Self { node, provider, starting: phase == PodPhase::Pending, record })
    }

    fn spec(&self) -> &PodSpec {
        static EMPTY: std::sync::LazyLock<PodSpec> = std::sync::LazyLock::new(PodSpec::default);
        self.record.pod().and_then(|pod| pod.spec.as_ref()).unwrap_or(&EMPTY)
    }
}
