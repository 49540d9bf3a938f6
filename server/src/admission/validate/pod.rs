//! What a pod may ask for. Whether any node can give it is the scheduler's question.

mod container;
mod sources;

use boss_proto::{
    intent::{
        ArtifactType, ClassProblem, Isolation, NetworkMode, PodPhase, Reason, RestartPolicy, SandboxClass,
        SandboxState, TaintEffect,
    },
    labels,
    limits::{CONTAINERS_MAX, GRACE_PERIOD_SECONDS_MAX},
    quantity::Amounts,
    v1::{self, NodeAffinity, NodeSelectorTerm, Pod, PodSpec, PodStatus, Resources, Security},
};

use super::{Report, check_conditions};

/// Rules of a new pod, or of an update.
pub(super) fn check(pod: &Pod, report: &mut Report) {
    let Some(spec) = &pod.spec else {
        report.add("spec", "is missing", "say at least which containers to run");
        return;
    };
    let class = check_class(spec, report);
    report.word::<Isolation>("spec.isolation", &spec.isolation);
    report.word::<RestartPolicy>("spec.restartPolicy", &spec.restart_policy);
    if let Some(network) = &spec.network {
        report.word::<NetworkMode>("spec.network.mode", &network.mode);
    }
    if let Some(artifact) = &spec.artifact {
        check_artifact(artifact, report);
    }
    check_resources("spec.resources", spec.resources.as_ref(), report);
    check_security(spec.security.as_ref(), report);
    check_placement(spec, report);
    check_grace_period(spec, report);
    check_containers(spec, class, report);
    sources::check(spec, report);
}

/// A bound pod is what it was created as: its node has begun to make it real.
pub(super) fn check_change(stored: &Pod, new: &mut Pod, report: &mut Report) {
    let (Some(stored), Some(new)) = (&stored.spec, &mut new.spec) else { return };
    if new.node_name.is_empty() {
        // Manifests do not say where the pod was placed.
        new.node_name.clone_from(&stored.node_name);
    }
    if new.node_name != stored.node_name {
        report.add("spec.nodeName", "is set by binding only and never changes", "leave it out");
    } else if !stored.node_name.is_empty() && new != stored {
        report.add("spec", "cannot change once the pod is bound to a node", "delete the pod and create it again");
    }
}

/// Rules of a reported status.
pub(super) fn check_status(status: Option<&PodStatus>, report: &mut Report) {
    let Some(status) = status else {
        report.add("status", "is missing", "");
        return;
    };
    report.word::<PodPhase>("status.phase", &status.phase);
    report.word::<SandboxState>("status.sandboxState", &status.sandbox_state);
    report.word::<SandboxClass>("status.class", &status.class);
    check_conditions(&status.conditions, report);
    for (index, container) in status.container_statuses.iter().enumerate() {
        report.check(format!("status.containerStatuses[{index}].name"), labels::check_name(&container.name));
    }
}

fn check_class(spec: &PodSpec, report: &mut Report) -> Option<SandboxClass> {
    match SandboxClass::resolve(spec) {
        Ok(class) => Some(class),
        Err(ClassProblem::Unsupported { field, source }) => {
            report.add_reason(Reason::UnsupportedClass, field, source);
            None
        }
        Err(ClassProblem::Disagree { sandbox, runtime }) => {
            let problem = ClassProblem::Disagree { sandbox, runtime };
            report.add_reason(Reason::InvalidSpec, "spec.runtimeClass", problem);
            None
        }
    }
}

fn check_artifact(artifact: &v1::Artifact, report: &mut Report) {
    if artifact.r#type.is_empty() {
        report.add("spec.artifact.type", "is empty", format!("use one of {}", ArtifactType::WORDS.join(", ")));
    }
    report.word::<ArtifactType>("spec.artifact.type", &artifact.r#type);
    if artifact.uri.is_empty() && artifact.image.is_empty() && artifact.path.is_empty() {
        report.add("spec.artifact", "names nothing", "set one of uri, image and path");
    }
    for (name, text) in [("uri", &artifact.uri), ("image", &artifact.image), ("path", &artifact.path)] {
        check_text(&format!("spec.artifact.{name}"), text, report);
    }
}

fn check_security(security: Option<&Security>, report: &mut Report) {
    let Some(security) = security else { return };
    for (index, device) in security.host_devices.iter().enumerate() {
        let field = format!("spec.security.hostDevices[{index}]");
        if !device.starts_with("/dev/") || device.split('/').any(|part| part == "..") {
            report.add(&*field, format!("{device:?} is no path below /dev"), "");
        }
        check_text(&field, device, report);
    }
    if !security.syscall_policy.is_empty() {
        report.check("spec.security.syscallPolicy", labels::check_value(&security.syscall_policy));
    }
    for (index, secret) in security.secrets.iter().enumerate() {
        report.check(format!("spec.security.secrets[{index}]"), labels::check_name(secret));
    }
}

fn check_placement(spec: &PodSpec, report: &mut Report) {
    for (key, value) in &spec.node_selector {
        let result = labels::check_key(key).and(labels::check_value(value));
        report.check(format!("spec.nodeSelector[{key:?}]"), result);
    }
    report.check("spec.region", labels::check_value(&spec.region));
    for (index, toleration) in spec.tolerations.iter().enumerate() {
        check_toleration(index, toleration, report);
    }
    if let Some(affinity) = &spec.affinity {
        check_affinity(affinity, report);
    }
}

fn check_toleration(index: usize, toleration: &v1::Toleration, report: &mut Report) {
    let field = |name: &str| format!("spec.tolerations[{index}].{name}");
    report.word::<TaintEffect>(field("effect"), &toleration.effect);
    match toleration.operator.as_str() {
        "Equal" => {
            report.check(field("key"), labels::check_key(&toleration.key));
            report.check(field("value"), labels::check_value(&toleration.value));
        }
        "Exists" => {
            if !toleration.key.is_empty() {
                report.check(field("key"), labels::check_key(&toleration.key));
            }
            if !toleration.value.is_empty() {
                report.add(field("value"), "is set, but Exists takes any value", "leave it out");
            }
        }
        other => report.add(field("operator"), format!("is {other:?}"), "use Equal or Exists"),
    }
}

fn check_affinity(affinity: &NodeAffinity, report: &mut Report) {
    for (index, term) in affinity.required.iter().enumerate() {
        check_term(&format!("spec.affinity.required[{index}]"), term, report);
    }
    for (index, preferred) in affinity.preferred.iter().enumerate() {
        let field = format!("spec.affinity.preferred[{index}]");
        if !(1..=100).contains(&preferred.weight) {
            report.add(format!("{field}.weight"), format!("is {}", preferred.weight), "use 1 to 100");
        }
        match &preferred.preference {
            Some(term) => check_term(&format!("{field}.preference"), term, report),
            None => report.add(format!("{field}.preference"), "is missing", ""),
        }
    }
}

fn check_term(field: &str, term: &NodeSelectorTerm, report: &mut Report) {
    if term.match_expressions.is_empty() {
        report.add(format!("{field}.matchExpressions"), "is empty", "a term needs at least one requirement");
    }
    for (index, requirement) in term.match_expressions.iter().enumerate() {
        let field = |name: &str| format!("{field}.matchExpressions[{index}].{name}");
        report.check(field("key"), labels::check_key(&requirement.key));
        let takes_values = match requirement.operator.as_str() {
            "In" | "NotIn" => true,
            "Exists" | "DoesNotExist" => false,
            other => {
                report.add(field("operator"), format!("is {other:?}"), "use In, NotIn, Exists or DoesNotExist");
                continue;
            }
        };
        if takes_values == requirement.values.is_empty() {
            let problem = if takes_values { "is empty" } else { "must be empty" };
            report.add(field("values"), format!("{problem} with {}", requirement.operator), "");
        }
        for value in &requirement.values {
            report.check(field("values"), labels::check_value(value));
        }
    }
}

fn check_grace_period(spec: &PodSpec, report: &mut Report) {
    if let Some(seconds) = spec.termination_grace_period_seconds.filter(|seconds| *seconds > GRACE_PERIOD_SECONDS_MAX) {
        let problem = format!("is {seconds}, the longest is {GRACE_PERIOD_SECONDS_MAX}");
        report.add("spec.terminationGracePeriodSeconds", problem, "");
    }
}

fn check_containers(spec: &PodSpec, class: Option<SandboxClass>, report: &mut Report) {
    match spec.containers.len() {
        0 => report.add("spec.containers", "is empty", "say what to run"),
        count if count > CONTAINERS_MAX => {
            let problem =
                format!("has {count} containers, but no provider can run more than {CONTAINERS_MAX} in one pod");
            report.add("spec.containers", problem, "make a pod of each");
        }
        _ => {}
    }
    for (index, container) in spec.containers.iter().enumerate() {
        container::check(&format!("spec.containers[{index}]"), container, class, report);
    }
}

fn check_resources(field: &str, resources: Option<&Resources>, report: &mut Report) {
    let Some(resources) = resources else { return };
    let mut parse = |name: &str, list: Option<&v1::ResourceList>| {
        let list = list?;
        match Amounts::try_from(list) {
            Ok(amounts) => Some(amounts),
            Err(bad) => {
                report.add(format!("{field}.{name}.{}", bad.field), bad.source, "write it like 500m, 2, 64Mi or 1G");
                None
            }
        }
    };
    let requests = parse("requests", resources.requests.as_ref());
    let limits = parse("limits", resources.limits.as_ref());
    let (Some(requests), Some(limits)) = (requests, limits) else { return };
    for ((name, requested), (_, limit)) in requests.fields().into_iter().zip(limits.fields()) {
        if limit != 0 && requested > limit {
            report.add(format!("{field}.requests.{name}"), "is more than the limit", "");
        }
    }
}

/// Texts reach system calls, where a zero byte ends them.
fn check_text(field: &str, text: &str, report: &mut Report) {
    if text.contains('\0') {
        report.add(field, "has a zero byte in it", "");
    }
}
