//! Labels of the node against the pod's selector, affinity and region.

use std::collections::BTreeMap;

use boss_proto::v1::{LabelRequirement, Node, NodeSelectorTerm, PodSpec};

use super::{REGION_LABEL, Rejected};

type Labels = BTreeMap<String, String>;

pub(super) fn check(pod: &PodSpec, node: &Node, rejected: &mut Vec<Rejected>) {
    let none = Labels::new();
    let labels = node.metadata.as_ref().map_or(&none, |metadata| &metadata.labels);
    for (key, wanted) in &pod.node_selector {
        if labels.get(key) != Some(wanted) {
            rejected.push(Rejected::Selector { key: key.clone(), wanted: wanted.clone() });
        }
    }
    if !pod.region.is_empty() && labels.get(REGION_LABEL) != Some(&pod.region) {
        rejected.push(Rejected::Region { wanted: pod.region.clone() });
    }
    let required = pod.affinity.as_ref().map_or(&[][..], |affinity| &affinity.required);
    if !required.is_empty() && !required.iter().any(|term| term_holds(term, labels)) {
        rejected.push(Rejected::Affinity);
    }
}

/// Whether the node's labels fulfil one term of an affinity.
#[must_use]
pub fn term_matches(term: &NodeSelectorTerm, node: &Node) -> bool {
    let none = Labels::new();
    term_holds(term, node.metadata.as_ref().map_or(&none, |metadata| &metadata.labels))
}

/// A term without requirements matches nothing.
fn term_holds(term: &NodeSelectorTerm, labels: &Labels) -> bool {
    !term.match_expressions.is_empty() && term.match_expressions.iter().all(|requirement| holds(requirement, labels))
}

fn holds(requirement: &LabelRequirement, labels: &Labels) -> bool {
    let value = labels.get(&requirement.key);
    let listed = value.is_some_and(|value| requirement.values.contains(value));
    match requirement.operator.as_str() {
        "In" => listed,
        "NotIn" => !listed,
        "Exists" => value.is_some(),
        "DoesNotExist" => value.is_none(),
        // Admission refuses other words; what slipped through matches nothing.
        _ => false,
    }
}
