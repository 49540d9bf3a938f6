//! Index of pods by node, with what they take. Derived from the objects, so not stored.

use std::sync::Arc;

use boss_proto::{ids::NodeName, intent::PodPhase, key::Key};
use rpds::{HashTrieMapSync, RedBlackTreeMapSync};

use super::{annotations, feasible::Used, record::Record};

/// Pods of one node.
#[derive(Debug, Clone)]
pub(super) struct NodePods {
    pub(super) pods: RedBlackTreeMapSync<Key, Arc<Record>>,
    pub(super) used: Used,
}

/// Pods of all nodes.
#[derive(Debug, Clone)]
pub(super) struct ByNode(HashTrieMapSync<NodeName, NodePods>);

impl Default for ByNode {
    fn default() -> Self {
        Self(HashTrieMapSync::new_sync())
    }
}

impl ByNode {
    pub(super) fn get(&self, node: &NodeName) -> Option<&NodePods> {
        self.0.get(node)
    }

    pub(super) fn remove(&mut self, record: &Record) {
        let Some(node) = record.bound_to() else { return };
        let Some(entry) = self.0.get_mut(&node) else { return };
        entry.pods.remove_mut(&record.key);
        if let Some((spec, provider)) = taking(record) {
            entry.used.remove(spec, provider);
        }
        if entry.pods.is_empty() {
            self.0.remove_mut(&node);
        }
    }

    pub(super) fn add(&mut self, record: &Arc<Record>) {
        let Some(node) = record.bound_to() else { return };
        if !self.0.contains_key(&node) {
            let empty = NodePods { pods: RedBlackTreeMapSync::new_sync(), used: Used::default() };
            self.0.insert_mut(node.clone(), empty);
        }
        let entry = self.0.get_mut(&node).expect("inserted when it was missing");
        entry.pods.insert_mut(record.key.clone(), record.clone());
        if let Some((spec, provider)) = taking(record) {
            entry.used.add(spec, provider);
        }
    }
}

/// What the pod takes from its node: nothing once it has ended.
fn taking(record: &Record) -> Option<(&boss_proto::v1::PodSpec, &str)> {
    let pod = record.pod()?;
    if PodPhase::of(pod).is_terminal() {
        return None;
    }
    let provider = record.metadata().annotations.get(annotations::PROVIDER).map_or("", String::as_str);
    Some((pod.spec.as_ref()?, provider))
}
