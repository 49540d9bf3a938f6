//! Objects that tests create. Small on purpose: what a test is about, it sets itself.

use std::{env, path::PathBuf};

use boss_proto::v1;
use boss_verify::records;
pub use boss_verify::records::{name_of, namespace};

/// The namespace that every cluster has.
pub const NAMESPACE: &str = "default";

/// Where the manifests of the documentation lie. Asked at run time: a test that another checkout of these sources
/// built in a shared target folder must not read that checkout's files.
#[must_use]
pub fn examples() -> PathBuf {
    let package = env::var_os("CARGO_MANIFEST_DIR").map_or_else(|| env!("CARGO_MANIFEST_DIR").into(), PathBuf::from);
    package.join("../docs/examples")
}

/// The path of one of them.
#[must_use]
pub fn example(name: &str) -> String {
    examples().join(name).display().to_string()
}

/// Name and namespace.
#[must_use]
pub fn metadata(name: &str) -> v1::ObjectMeta {
    v1::ObjectMeta { name: name.to_owned(), namespace: NAMESPACE.to_owned(), ..v1::ObjectMeta::default() }
}

/// A process pod that runs `command`, with a short grace period.
#[must_use]
pub fn pod(name: &str, command: &[&str]) -> v1::Pod {
    let container = v1::Container {
        name: "main".to_owned(),
        command: command.iter().map(ToString::to_string).collect(),
        ..v1::Container::default()
    };
    let spec = v1::PodSpec {
        sandbox_class: "process".to_owned(),
        termination_grace_period_seconds: Some(2),
        containers: vec![container],
        ..v1::PodSpec::default()
    };
    v1::Pod { metadata: Some(metadata(name)), spec: Some(spec), ..v1::Pod::default() }
}

/// A process pod that runs a line of shell.
#[must_use]
pub fn shell_pod(name: &str, script: &str) -> v1::Pod {
    pod(name, &["/bin/sh", "-c", script])
}

/// A pod that no node can take: it asks for more processors than there are. It never runs, so it costs nothing.
#[must_use]
pub fn parked_pod(name: &str) -> v1::Pod {
    with_requests(pod(name, &["true"]), "100000", "")
}

/// The same pod with requests for cores and memory; an empty text asks for none.
#[must_use]
pub fn with_requests(mut pod: v1::Pod, cpu: &str, memory: &str) -> v1::Pod {
    let requests = v1::ResourceList { cpu: cpu.to_owned(), memory: memory.to_owned(), ..v1::ResourceList::default() };
    let spec = pod.spec.get_or_insert_default();
    spec.resources = Some(v1::Resources { requests: Some(requests), ..v1::Resources::default() });
    pod
}

/// The same pod with a restart policy.
#[must_use]
pub fn with_restart_policy(mut pod: v1::Pod, policy: &str) -> v1::Pod {
    policy.clone_into(&mut pod.spec.get_or_insert_default().restart_policy);
    pod
}

/// A service account with a label: a small object that nothing acts on, for tests that only write.
#[must_use]
pub fn record(name: &str, value: &str) -> v1::ServiceAccount {
    records::record(NAMESPACE, name, value)
}

/// A role that allows `verbs` on `resources` in the default namespace, and its binding to a user.
#[must_use]
pub fn role_for(user: &str, verbs: &[&str], resources: &[&str]) -> (v1::Role, v1::RoleBinding) {
    let words = |words: &[&str]| words.iter().map(ToString::to_string).collect();
    let rule = v1::PolicyRule { verbs: words(verbs), resources: words(resources), ..v1::PolicyRule::default() };
    let role = v1::Role { metadata: Some(metadata(user)), rules: vec![rule], ..v1::Role::default() };
    let binding = v1::RoleBinding {
        metadata: Some(metadata(user)),
        role_ref: Some(v1::RoleRef { kind: "Role".to_owned(), name: user.to_owned() }),
        subjects: vec![v1::Subject { kind: "User".to_owned(), name: user.to_owned(), ..v1::Subject::default() }],
        ..v1::RoleBinding::default()
    };
    (role, binding)
}
