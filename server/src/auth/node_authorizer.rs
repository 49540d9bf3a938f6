//! What the agent of a node may read, beyond what its role says: its own node, the pods that are bound to it, and the
//! secrets and config maps that containers of those name, one by one. Everybody else passes. Pure.

use boss_proto::{
    ids::NodeName,
    key::Key,
    kind::Kind,
    references,
    selector::{Field, Selector},
};
use boss_raft::state::{Record, View};

use super::Identity;

/// What of a kind somebody wants to see.
#[derive(Debug, Clone, Copy)]
pub struct Scope<'a> {
    /// The kind.
    pub kind: Kind,
    /// One name only; empty for all.
    pub name: &'a str,
    /// What of it.
    pub selector: &'a Selector,
}

/// One object that somebody wants to see.
#[derive(Debug, Clone, Copy)]
pub struct Sight<'a> {
    /// The registry as it is now, whatever is looked at.
    pub view: &'a View,
    /// Where the object stands.
    pub key: &'a Key,
    /// What is to be shown of it, if it is there.
    pub record: Option<&'a Record>,
    /// Not as it is now, but as it was.
    pub is_past: bool,
}

/// One object.
pub fn check_get(identity: &Identity, sight: Sight<'_>) -> Result<(), String> {
    let Sight { view, key, record, is_past } = sight;
    let Some(node) = identity.node() else { return Ok(()) };
    let allowed = match key.kind {
        Kind::Node => key.name == node.as_str(),
        // Nothing to see is nothing to hide only for what could have been bound to this node.
        Kind::Pod => record.is_none_or(|record| record.bound_to().as_ref() == Some(node)),
        // What a name meant before may be none of its pods' business.
        Kind::Secret | Kind::ConfigMap => !is_past && is_given_to_pod_of(node, key, view),
        _ => false,
    };
    if allowed { Ok(()) } else { Err(refusal(node, &format!("read {key}"))) }
}

/// Whether a pod that is bound to the node names the object.
fn is_given_to_pod_of(node: &NodeName, key: &Key, view: &View) -> bool {
    let mut pods = view.pods_on_node(node).filter(|record| record.key.namespace == key.namespace);
    pods.any(|record| {
        let spec = record.pod().and_then(|pod| pod.spec.as_ref());
        spec.is_some_and(|spec| references::names(spec, key.kind, &key.name))
    })
}

/// A list or watch.
pub fn check_many(identity: &Identity, scope: Scope<'_>) -> Result<(), String> {
    let Some(node) = identity.node() else { return Ok(()) };
    let only_itself = Some(node.as_str());
    let allowed = match scope.kind {
        Kind::Node => scope.name == node.as_str() || scope.selector.fields.exact(Field::Name) == only_itself,
        Kind::Pod => scope.selector.fields.exact(Field::NodeName) == only_itself,
        _ => false,
    };
    let hint = match scope.kind {
        Kind::Pod => format!(" without the field selector spec.nodeName={node}"),
        Kind::Node => format!(" without the field selector metadata.name={node}"),
        _ => String::new(),
    };
    if allowed { Ok(()) } else { Err(refusal(node, &format!("read {}{hint}", scope.kind.plural()))) }
}

fn refusal(node: &NodeName, what: &str) -> String {
    format!("the agent of node {node} may not {what}")
}
