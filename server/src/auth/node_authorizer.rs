//! What the agent of a node may read, beyond what its role says: its own node and the pods that are bound to it.
//! Everybody else passes. Pure.

use boss_proto::{
    ids::NodeName,
    key::Key,
    kind::Kind,
    selector::{Field, Selector},
};
use boss_raft::state::Record;

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

/// One object. `record` is what stands under the key.
pub fn check_get(identity: &Identity, key: &Key, record: Option<&Record>) -> Result<(), String> {
    let Some(node) = identity.node() else { return Ok(()) };
    let allowed = match key.kind {
        Kind::Node => key.name == node.as_str(),
        // Nothing to see is nothing to hide only for what could have been bound to this node.
        Kind::Pod => record.is_none_or(|record| record.bound_to().as_ref() == Some(node)),
        _ => false,
    };
    if allowed { Ok(()) } else { Err(refusal(node, &format!("read {key}"))) }
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
