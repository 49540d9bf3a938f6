//! What a manifest need not say. Defaults depend on the object alone, so that the same manifest always means the same.

use std::collections::btree_map::Entry;

use boss_proto::{
    intent::{Isolation, NetworkMode, RestartPolicy, SandboxClass},
    limits::GRACE_PERIOD_SECONDS_DEFAULT,
    v1::{self, Object, object::Body},
};

/// Name of a container that has none.
const CONTAINER_NAME: &str = "main";
/// Type of a secret that says none.
const SECRET_TYPE: &str = "Opaque";

/// Fills what is left out. What is wrong stays as it is, for validation to name.
pub(super) fn fill(object: &mut Object) {
    match object.body.as_mut() {
        Some(Body::Pod(pod)) => pod.spec.iter_mut().for_each(fill_pod),
        Some(Body::Node(node)) => {
            node.spec.get_or_insert_default();
        }
        Some(Body::AdmissionPolicy(policy)) => policy.spec.iter_mut().for_each(fill_policy),
        Some(Body::Event(event)) => event.count = event.count.max(1),
        Some(Body::Secret(secret)) => {
            fill_secret(secret);
            default(&mut secret.r#type, SECRET_TYPE);
        }
        Some(
            Body::Namespace(_)
            | Body::ConfigMap(_)
            | Body::CertificateSigningRequest(_)
            | Body::ResourceQuota(_)
            | Body::LimitRange(_)
            | Body::AuditHead(_)
            | Body::ControlPlane(_)
            | Body::ServiceAccount(_)
            | Body::SigningKey(_)
            | Body::SealingKey(_)
            | Body::Revocation(_)
            | Body::Role(_)
            | Body::ClusterRole(_)
            | Body::RoleBinding(_)
            | Body::ClusterRoleBinding(_),
        )
        | None => {}
    }
}

/// Writes what a manifest says as the registry says it: aliases by their names, items that have none by the usual one.
/// Adds nothing that the manifest does not speak of.
pub(super) fn normalize(object: &mut Object) {
    match object.body.as_mut() {
        Some(Body::Pod(pod)) => pod.spec.iter_mut().for_each(normalize_pod),
        Some(Body::Secret(secret)) => fill_secret(secret),
        _ => {}
    }
}

/// Texts are another way to write bytes. What is in both is named by validation.
fn fill_secret(secret: &mut v1::Secret) {
    let texts = std::mem::take(&mut secret.string_data);
    for (key, text) in texts {
        match secret.data.entry(key) {
            Entry::Vacant(place) => {
                place.insert(text.into());
            }
            Entry::Occupied(taken) => {
                secret.string_data.insert(taken.key().clone(), text);
            }
        }
    }
}

fn normalize_pod(spec: &mut v1::PodSpec) {
    let says_class = !spec.sandbox_class.is_empty() || !spec.runtime_class.is_empty();
    if says_class && let Ok(class) = SandboxClass::resolve(spec) {
        class.as_str().clone_into(&mut spec.sandbox_class);
        spec.runtime_class.clear();
    }
    for container in &mut spec.containers {
        default(&mut container.name, CONTAINER_NAME);
    }
}

fn fill_pod(spec: &mut v1::PodSpec) {
    if let Ok(class) = SandboxClass::resolve(spec) {
        class.as_str().clone_into(&mut spec.sandbox_class);
        spec.runtime_class.clear();
        default(&mut spec.isolation, isolation_of(class).as_str());
        default(&mut spec.network.get_or_insert_default().mode, network_of(class).as_str());
    }
    default(&mut spec.restart_policy, RestartPolicy::Never.as_str());
    spec.termination_grace_period_seconds.get_or_insert(GRACE_PERIOD_SECONDS_DEFAULT);
    for container in &mut spec.containers {
        default(&mut container.name, CONTAINER_NAME);
    }
    for toleration in &mut spec.tolerations {
        default(&mut toleration.operator, "Equal");
    }
}

fn fill_policy(spec: &mut v1::AdmissionPolicySpec) {
    default(&mut spec.action, "deny");
    default(&mut spec.failure_policy, "fail");
    let matching = spec.r#match.get_or_insert_default();
    if matching.operations.is_empty() {
        matching.operations = vec!["create".to_owned(), "update".to_owned()];
    }
}

fn default(field: &mut String, value: &str) {
    if field.is_empty() {
        value.clone_into(field);
    }
}

/// The least isolation of each class: what all of its providers give.
fn isolation_of(class: SandboxClass) -> Isolation {
    match class {
        SandboxClass::Process | SandboxClass::Remote => Isolation::SharedHost,
        SandboxClass::Container => Isolation::Namespaced,
        SandboxClass::Wasm => Isolation::RuntimeSandboxed,
        SandboxClass::Microvm | SandboxClass::Vm => Isolation::HardwareVirtualized,
    }
}

/// What each class gives without anybody's help.
fn network_of(class: SandboxClass) -> NetworkMode {
    match class {
        SandboxClass::Process => NetworkMode::Host,
        SandboxClass::Container
        | SandboxClass::Wasm
        | SandboxClass::Microvm
        | SandboxClass::Vm
        | SandboxClass::Remote => NetworkMode::None,
    }
}
