//! Replacing an object's wanted part, or its status alone.

use boss_proto::{
    intent::SandboxClass,
    raft::v1::{Update, UpdateStatus},
    v1::{self, PodSpec, object::Body},
};

use super::{Answer, Case, Refused, Verdict, delete, fields, invalid, uid_mismatch};
use crate::state::{outcome::Outcome, record::Record};

/// Agents of nodes.
const NODES_GROUP: &str = "system:nodes";

pub(super) fn decide(case: &Case<'_>, update: &Update) -> Refused<Verdict> {
    let stored = case.stored()?;
    let mut object = update.object.clone().ok_or_else(|| invalid("object", "is missing", ""))?;
    check_uid(stored, &object)?;
    object.fill_type_meta();
    fields::clear_computed(&mut object);
    keep_what_updates_do_not_touch(stored, &mut object);
    check_immutable(stored, &object)?;
    check_finalizers(stored, &object)?;
    if object == stored.object {
        return Ok(Case::unchanged(stored));
    }
    if !fields::same_spec(&mut object, &stored.object)
        && let Some(metadata) = object.metadata_mut()
    {
        metadata.generation = metadata.generation.saturating_add(1);
    }
    if stored.is_terminating() && delete::may_go_now(case.registry, &object) {
        return case.remove(object);
    }
    case.check_quota(&object)?;
    case.put(object, Answer::Written)
}

pub(super) fn decide_status(case: &Case<'_>, update: &UpdateStatus) -> Refused<Verdict> {
    let stored = case.stored()?;
    let wanted = update.object.as_ref().ok_or_else(|| invalid("object", "is missing", ""))?;
    check_uid(stored, wanted)?;
    let mut object = stored.object.clone();
    if !fields::copy_status(wanted, &mut object) {
        return Err(invalid("status", &format!("{} has no status", case.key.kind), "use update"));
    }
    if case.caller_is_in(NODES_GROUP) {
        keep_what_agents_do_not_write(stored, &mut object);
    }
    if object == stored.object { Ok(Case::unchanged(stored)) } else { case.put(object, Answer::Written) }
}

/// An object that names a uid means that one, whatever else the name stands for now.
fn check_uid(stored: &Record, wanted: &v1::Object) -> Refused<()> {
    let uid = wanted.metadata().map_or("", |metadata| &metadata.uid);
    if uid.is_empty() || uid == stored.metadata().uid { Ok(()) } else { Err(uid_mismatch(stored)) }
}

fn keep_what_updates_do_not_touch(stored: &Record, object: &mut v1::Object) {
    fields::copy_status(&stored.object, object);
    if let Some(metadata) = object.metadata_mut() {
        fields::keep_owned_metadata(stored.metadata(), metadata);
    }
    // A manifest does not say where its pod runs: silence keeps the binding.
    if let (Some(Body::Pod(pod)), Some(node)) = (object.body.as_mut(), stored.bound_to()) {
        let spec = pod.spec.get_or_insert_default();
        if spec.node_name.is_empty() {
            node.as_str().clone_into(&mut spec.node_name);
        }
    }
}

/// Agents write what they see; readiness of nodes and the scheduling of pods is the leader's.
fn keep_what_agents_do_not_write(stored: &Record, object: &mut v1::Object) {
    match (&stored.object.body, object.body.as_mut()) {
        (Some(Body::Node(stored)), Some(Body::Node(node))) => {
            let conditions = stored.status.as_ref().map_or(&[][..], |status| &status.conditions);
            fields::keep_condition(conditions, &mut node.status.get_or_insert_default().conditions, "Ready");
        }
        (Some(Body::Pod(stored)), Some(Body::Pod(pod))) => {
            let Some(kept) = &stored.status else { return };
            let status = pod.status.get_or_insert_default();
            fields::keep_condition(&kept.conditions, &mut status.conditions, "PodScheduled");
            status.scheduled_at.clone_from(&kept.scheduled_at);
        }
        _ => {}
    }
}

fn check_finalizers(stored: &Record, object: &v1::Object) -> Refused<()> {
    let before = &stored.metadata().finalizers;
    let now = object.metadata().map_or(&[][..], |metadata| &metadata.finalizers);
    if stored.is_terminating() && now.iter().any(|finalizer| !before.contains(finalizer)) {
        return Err(invalid("metadata.finalizers", "cannot grow: the object is being deleted", "only remove some"));
    }
    Ok(())
}

fn check_immutable(stored: &Record, object: &v1::Object) -> Refused<()> {
    match (&stored.object.body, &object.body) {
        (Some(Body::Pod(before)), Some(Body::Pod(now))) => {
            let (before, now) = (before.spec.clone().unwrap_or_default(), now.spec.clone().unwrap_or_default());
            check_pod(&before, &now)
        }
        (Some(Body::RoleBinding(before)), Some(Body::RoleBinding(now))) if before.role_ref != now.role_ref => {
            Err(fixed("roleRef", "delete the binding and create it anew"))
        }
        (Some(Body::ClusterRoleBinding(before)), Some(Body::ClusterRoleBinding(now)))
            if before.role_ref != now.role_ref =>
        {
            Err(fixed("roleRef", "delete the binding and create it anew"))
        }
        _ => Ok(()),
    }
}

/// A bound pod keeps everything that its place was chosen by.
fn check_pod(before: &PodSpec, now: &PodSpec) -> Refused<()> {
    if before.node_name != now.node_name {
        return Err(invalid("spec.nodeName", "is set by binding only and never changes", "leave it out"));
    }
    if before.node_name.is_empty() {
        return Ok(());
    }
    let resources = |spec: &PodSpec| spec.containers.iter().map(|other| other.resources.clone()).collect::<Vec<_>>();
    let placed_by = [
        ("spec.sandboxClass", SandboxClass::resolve(before) != SandboxClass::resolve(now)),
        ("spec.artifact.type", artifact_type(before) != artifact_type(now)),
        ("spec.isolation", before.isolation != now.isolation),
        ("spec.resources", before.resources != now.resources),
        ("spec.network", before.network != now.network),
        ("spec.nodeSelector", before.node_selector != now.node_selector),
        ("spec.affinity", before.affinity != now.affinity),
        ("spec.region", before.region != now.region),
        ("spec.containers[].resources", resources(before) != resources(now)),
    ];
    match placed_by.iter().find(|(_, changed)| *changed) {
        Some((field, _)) => Err(fixed(field, "the pod is bound: delete it and create it anew")),
        None => Ok(()),
    }
}

fn artifact_type(spec: &PodSpec) -> &str {
    spec.artifact.as_ref().map_or("", |artifact| &artifact.r#type)
}

fn fixed(field: &str, hint: &str) -> Outcome {
    invalid(field, "cannot be changed", hint)
}
