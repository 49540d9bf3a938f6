//! What the agent of a node may write, beyond what its role says: itself, its pods' status, events about them.
//! Everybody else passes.

use boss_proto::{
    ids::NodeName,
    key::Key,
    kind::Kind,
    v1::{self, Object, object::Body},
};

use super::Refusal;
use crate::auth::Identity;

/// Labels under it say what Boss or its operators think of a node; an agent must not say it of itself.
const RESERVED_LABELS: &str = "boss.dev/";

/// An agent creates its own node and events.
pub(super) fn create(identity: &Identity, key: &Key, object: &Object) -> Result<(), Refusal> {
    let Some(node) = identity.node() else { return Ok(()) };
    match &object.body {
        Some(Body::Node(new)) => {
            check_own_node(node, key)?;
            check_node_change(None, new)
        }
        Some(Body::Event(_)) => Ok(()),
        _ => Err(forbidden(node, format!("create {}", key.kind.plural()))),
    }
}

/// An agent updates the free part of its own node.
pub(super) fn update(identity: &Identity, key: &Key, stored: &Object, new: &Object) -> Result<(), Refusal> {
    let Some(node) = identity.node() else { return Ok(()) };
    match (&stored.body, &new.body) {
        (Some(Body::Node(stored)), Some(Body::Node(new))) => {
            check_own_node(node, key)?;
            check_node_change(Some(stored), new)
        }
        (Some(Body::Event(_)), Some(Body::Event(_))) => Ok(()),
        _ => Err(forbidden(node, format!("update {}", key.kind.plural()))),
    }
}

/// An agent reports on its own node and on the pods that are bound to it.
pub(super) fn update_status(identity: &Identity, key: &Key, stored: &Object) -> Result<(), Refusal> {
    let Some(node) = identity.node() else { return Ok(()) };
    match &stored.body {
        Some(Body::Node(_)) => check_own_node(node, key),
        Some(Body::Pod(pod)) => check_own_pod(node, pod),
        _ => Err(forbidden(node, format!("update the status of {}", key.kind.plural()))),
    }
}

/// An agent removes a pod of its own once nothing of it is left. A pod that is gone already is for apply to name.
pub(super) fn delete(
    identity: &Identity,
    key: &Key,
    stored: Option<&Object>,
    absence_proven: bool,
) -> Result<(), Refusal> {
    let Some(node) = identity.node() else { return Ok(()) };
    if key.kind != Kind::Pod || !absence_proven {
        return Err(forbidden(node, format!("delete {}, except a pod whose absence it has proven", key.kind.plural())));
    }
    match stored.map(|stored| &stored.body) {
        Some(Some(Body::Pod(pod))) => check_own_pod(node, pod),
        _ => Ok(()),
    }
}

fn check_own_node(node: &NodeName, key: &Key) -> Result<(), Refusal> {
    if key.name == node.as_str() { Ok(()) } else { Err(forbidden(node, format!("write node {}", key.name))) }
}

fn check_own_pod(node: &NodeName, pod: &v1::Pod) -> Result<(), Refusal> {
    let bound_to = pod.spec.as_ref().map_or("", |spec| &spec.node_name);
    if bound_to == node.as_str() {
        Ok(())
    } else {
        Err(forbidden(node, "write a pod that is not bound to it".to_owned()))
    }
}

/// Whoever could change these of itself could draw pods to itself or have others deleted.
fn check_node_change(stored: Option<&v1::Node>, new: &v1::Node) -> Result<(), Refusal> {
    let spec = |node: &v1::Node| node.spec.clone().unwrap_or_default();
    if stored.map(spec).unwrap_or_default() != spec(new) {
        return Err(Refusal::Forbidden {
            reason: "an agent may not change its node's taints or schedulability".to_owned(),
        });
    }
    let empty = v1::ObjectMeta::default();
    let before = stored.and_then(|stored| stored.metadata.as_ref()).unwrap_or(&empty);
    let now = new.metadata.as_ref().unwrap_or(&empty);
    if before.owner_references != now.owner_references || before.finalizers != now.finalizers {
        return Err(Refusal::Forbidden {
            reason: "an agent may not change its node's owners or finalizers".to_owned(),
        });
    }
    let reserved = |metadata: &v1::ObjectMeta| {
        let labels = metadata.labels.iter().filter(|(key, _)| key.starts_with(RESERVED_LABELS));
        labels.map(|(key, value)| (key.clone(), value.clone())).collect::<Vec<_>>()
    };
    if reserved(before) != reserved(now) {
        let reason = format!("an agent may not change its node's labels under {RESERVED_LABELS}");
        return Err(Refusal::Forbidden { reason });
    }
    Ok(())
}

fn forbidden(node: &NodeName, what: String) -> Refusal {
    Refusal::Forbidden { reason: format!("the agent of node {node} may not {what}") }
}
