//! Deleting: at once where nothing has to happen first, else by a deletion timestamp that others see.

use std::sync::Arc;

use boss_proto::{
    ids::Uid,
    key::Key,
    kind::Kind,
    raft::v1::Delete,
    v1::{self, object::Body},
};

use super::{Answer, Case, Refused, Verdict, fields, forbidden, invalid};
use crate::state::{
    annotations, finalizers, outcome::Outcome, rbac::SERVERS_GROUP, record::Record, registry::Registry,
};

pub(super) fn decide(case: &Case<'_>, delete: &Delete) -> Refused<Verdict> {
    let stored = case.stored()?;
    if delete.absence_proven {
        check_proof(case, stored)?;
    }
    let mut object = stored.object.clone();
    mark(case, delete, &mut object);
    if may_go_now(case.registry, &object) {
        return case.remove(object);
    }
    if object == stored.object {
        let record = stored.clone();
        return Ok(Verdict::Nothing(Outcome::Deleted { revision: record.revision, record, gone: false }));
    }
    case.put(object, Answer::Marked)
}

/// Only the node that ran the sandbox can know that nothing is left of it, and only of a pod that is to go.
fn check_proof(case: &Case<'_>, stored: &Arc<Record>) -> Refused<()> {
    let Some(node) = stored.bound_to() else {
        return Err(invalid("absenceProven", "is for pods that are bound to a node", ""));
    };
    let agent = format!("system:node:{node}");
    if case.caller.username != agent && !case.caller_is_in(SERVERS_GROUP) {
        return Err(forbidden(&format!("only {agent} may say that nothing is left of the sandbox")));
    }
    let pinned = case.operation.preconditions.as_ref().is_some_and(|wanted| wanted.uid.is_some());
    if !pinned {
        return Err(invalid("preconditions.uid", "is missing", "say of which pod the absence was proven"));
    }
    if !stored.is_terminating() {
        return Err(invalid("absenceProven", "the pod is not being deleted", ""));
    }
    Ok(())
}

/// What the object looks like once its deletion was asked for.
fn mark(case: &Case<'_>, delete: &Delete, object: &mut v1::Object) {
    let is_pod = case.key.kind == Kind::Pod;
    let finalizer = finalizer_of(case.registry, delete, object);
    if let Some(metadata) = object.metadata_mut() {
        if let Some(finalizer) = finalizer {
            // The last word counts: what was asked for before is given up.
            metadata.finalizers.retain(|other| ![finalizers::FOREGROUND, finalizers::ORPHAN].contains(&&**other));
            metadata.finalizers.push(finalizer.to_owned());
        }
        if metadata.deletion_timestamp.is_none() {
            metadata.deletion_timestamp = Some(fields::timestamp(case.registry.time_ms()));
        }
        if is_pod && delete.absence_proven {
            metadata.annotations.insert(annotations::ABSENCE_PROVEN.to_owned(), "true".to_owned());
        }
        if let Some(seconds) = delete.grace_period_seconds.filter(|_| is_pod && !delete.absence_proven) {
            shorten_grace(metadata, seconds);
        }
    }
    if let Some(Body::Namespace(namespace)) = object.body.as_mut() {
        "Terminating".clone_into(&mut namespace.status.get_or_insert_default().phase);
    }
}

/// What the dependents are to do before the object may go; nothing when there are none.
fn finalizer_of(registry: &Registry, delete: &Delete, object: &v1::Object) -> Option<&'static str> {
    let finalizer = match delete.propagation() {
        v1::Propagation::Background => return None,
        v1::Propagation::Foreground => finalizers::FOREGROUND,
        v1::Propagation::Orphan => finalizers::ORPHAN,
    };
    let uid = Uid::new(&*object.metadata()?.uid);
    registry.owners().dependents(&uid).next().map(|_| finalizer)
}

/// A later delete may shorten the grace, never lengthen it.
fn shorten_grace(metadata: &mut v1::ObjectMeta, seconds: u32) {
    let asked = metadata.annotations.get(annotations::DELETION_GRACE_PERIOD).and_then(|text| text.parse::<u32>().ok());
    if asked.is_none_or(|before| seconds < before) {
        metadata.annotations.insert(annotations::DELETION_GRACE_PERIOD.to_owned(), seconds.to_string());
    }
}

/// Whether an object whose deletion was asked for has nothing left to wait for.
pub(super) fn may_go_now(registry: &Registry, object: &v1::Object) -> bool {
    let Some(metadata) = object.metadata() else { return true };
    if !metadata.finalizers.is_empty() {
        return false;
    }
    match &object.body {
        Some(Body::Namespace(_)) => registry.namespace_is_empty(&metadata.name),
        Some(Body::Pod(pod)) => {
            let node = pod.spec.as_ref().map_or("", |spec| &spec.node_name);
            node.is_empty()
                || metadata.annotations.contains_key(annotations::ABSENCE_PROVEN)
                || registry.get(&Key::cluster(Kind::Node, node)).is_none()
        }
        _ => true,
    }
}
