//! Giving a pod its node, once in its life.

use boss_proto::{
    ids::NodeName,
    intent::{PodPhase, SandboxClass},
    key::Key,
    kind::Kind,
    raft::v1::Bind,
    v1::{self, Node, PodSpec, object::Body},
};

use super::{Answer, Case, Refused, Verdict, fields, invalid, uid_mismatch};
use crate::{
    bugs::{self, Bug},
    state::{
        annotations, feasible,
        outcome::{Outcome, Rejection},
        record::Record,
    },
};

pub(super) fn decide(case: &Case<'_>, bind: &Bind) -> Refused<Verdict> {
    let stored = case.stored()?;
    let spec = check_pod(stored, bind)?;
    let node_name = NodeName::new(&*bind.node_name);
    let node = case.registry.get(&Key::cluster(Kind::Node, &*bind.node_name)).and_then(|record| record.node());
    let node = node.ok_or_else(|| infeasible(format!("node {node_name} does not exist")))?;
    let provider = check_fit(case, spec, node, bind)?;
    let mut object = stored.object.clone();
    write_binding(case, bind, spec, &provider, &mut object);
    case.put(object, Answer::Written)
}

fn check_pod<'r>(stored: &'r Record, bind: &Bind) -> Refused<&'r PodSpec> {
    let pod = stored.pod().ok_or_else(|| invalid("pod", "is no pod", ""))?;
    if bind.pod_uid != stored.metadata().uid {
        return Err(uid_mismatch(stored));
    }
    if let Some(node) = stored.bound_to().filter(|_| !bugs::on(Bug::DoubleBind)) {
        return Err(Outcome::Rejected(Rejection::AlreadyBound { node }));
    }
    if stored.is_terminating() {
        return Err(infeasible("the pod is being deleted".to_owned()));
    }
    if PodPhase::of(pod).is_terminal() {
        return Err(infeasible("the pod has ended".to_owned()));
    }
    pod.spec.as_ref().ok_or_else(|| invalid("spec", "is missing", ""))
}

/// The provider that is to run the pod: the one that the scheduler chose, which must be able to.
fn check_fit(case: &Case<'_>, spec: &PodSpec, node: &Node, bind: &Bind) -> Refused<String> {
    let used = case.registry.used_on(&NodeName::new(&*bind.node_name));
    let fitting =
        feasible::providers_for(spec, node, &used).map_err(|rejected| infeasible(feasible::explain(&rejected)))?;
    let chosen = fitting.iter().find(|provider| bind.provider.is_empty() || provider.name == bind.provider);
    match chosen {
        Some(provider) => Ok(provider.name.clone()),
        None => Err(infeasible(format!("provider {} of the node cannot run the pod", bind.provider))),
    }
}

fn write_binding(case: &Case<'_>, bind: &Bind, spec: &PodSpec, provider: &str, object: &mut v1::Object) {
    let class = SandboxClass::resolve(spec).map(SandboxClass::as_str).unwrap_or_default();
    let now = fields::timestamp(case.registry.time_ms());
    if let Some(metadata) = object.metadata_mut() {
        let mut annotate = |key: &str, value: &str| metadata.annotations.insert(key.to_owned(), value.to_owned());
        annotate(annotations::RESOLVED_CLASS, class);
        annotate(annotations::PROVIDER, provider);
        annotate(annotations::SCHEDULING_REASON, &bind.reason);
    }
    let Some(Body::Pod(pod)) = object.body.as_mut() else { return };
    pod.spec.get_or_insert_default().node_name.clone_from(&bind.node_name);
    let status = pod.status.get_or_insert_default();
    class.clone_into(&mut status.class);
    provider.clone_into(&mut status.provider);
    status.scheduled_at = Some(now);
    status.reason.clear();
    status.message.clear();
    let scheduled = v1::Condition {
        r#type: "PodScheduled".to_owned(),
        status: "True".to_owned(),
        reason: "Bound".to_owned(),
        message: bind.reason.clone(),
        last_transition_time: Some(now),
        observed_generation: pod.metadata.as_ref().map_or(0, |metadata| metadata.generation),
    };
    fields::keep_condition(&[scheduled], &mut status.conditions, "PodScheduled");
}

fn infeasible(reason: String) -> Outcome {
    Outcome::Rejected(Rejection::Infeasible { reason })
}
