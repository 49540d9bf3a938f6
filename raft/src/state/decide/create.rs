//! Creating an object.

use boss_proto::{
    intent::PodPhase,
    key::Key,
    kind::Kind,
    raft::v1::Create,
    v1::{self, PodStatus, object::Body},
};

use super::{Answer, Case, Refused, Verdict, fields, invalid};
use crate::{
    bugs::{self, Bug},
    state::{
        annotations,
        outcome::{Outcome, Rejection},
        rbac::SERVERS_GROUP,
        registry::Registry,
    },
};

pub(super) fn decide(case: &Case<'_>, create: &Create) -> Refused<Verdict> {
    if let Some(stored) = case.stored {
        return Err(Outcome::Rejected(Rejection::AlreadyExists { current: stored.revision }));
    }
    check_namespace(case.registry, &case.key)?;
    let mut object = create.object.clone().ok_or_else(|| invalid("object", "is missing", ""))?;
    object.fill_type_meta();
    fields::clear_computed(&mut object);
    if let Some(metadata) = object.metadata_mut() {
        if metadata.uid.is_empty() {
            return Err(invalid("metadata.uid", "is empty", "the leader sets it before it proposes"));
        }
        metadata.generation = 1;
        let here_ms = u64::from(bugs::on(Bug::StateDiffers));
        metadata.creation_timestamp = Some(fields::timestamp(case.registry.time_ms() + here_ms));
        metadata.deletion_timestamp = None;
        metadata.annotations.retain(|key, _| !annotations::OWNED.contains(&&**key));
    }
    first_status(case, &mut object)?;
    case.check_quota(&object)?;
    case.put(object, Answer::Written)
}

/// The status that an object begins with. What others report later, a creator cannot claim.
fn first_status(case: &Case<'_>, object: &mut v1::Object) -> Refused<()> {
    let trusted = case.caller_is_in(SERVERS_GROUP);
    match object.body.as_mut() {
        Some(Body::Pod(pod)) => {
            if pod.spec.as_ref().is_some_and(|spec| !spec.node_name.is_empty()) {
                return Err(invalid("spec.nodeName", "is set by binding only", "use nodeSelector to choose a node"));
            }
            let phase = PodPhase::Pending.to_string();
            pod.status = Some(PodStatus { phase, ..PodStatus::default() });
        }
        Some(Body::Node(node)) if !trusted => {
            if let Some(status) = &mut node.status {
                status.conditions.retain(|condition| condition.r#type != "Ready");
            }
        }
        Some(Body::Namespace(namespace)) => "Active".clone_into(&mut namespace.status.get_or_insert_default().phase),
        _ => {}
    }
    Ok(())
}

fn check_namespace(registry: &Registry, key: &Key) -> Refused<()> {
    if !key.kind.is_namespaced() {
        return Ok(());
    }
    let namespace = key.namespace.clone();
    match registry.get(&Key::cluster(Kind::Namespace, &*namespace)) {
        None => Err(Outcome::Rejected(Rejection::NamespaceMissing { namespace })),
        Some(record) if record.is_terminating() => {
            Err(Outcome::Rejected(Rejection::NamespaceTerminating { namespace }))
        }
        Some(_) => Ok(()),
    }
}
