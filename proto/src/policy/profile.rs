//! The built-in profiles for pods, chosen by a label of their namespace. Every field that a pod has is classified in
//! [`FIELDS`]: a new one fails a test until somebody has said what it can be used for. Knows no expression.

use std::{fmt, str::FromStr};

use crate::{
    intent::{Isolation, NetworkMode, SandboxClass},
    v1::{Artifact, Container, Namespace, Network, Pod, PodSpec, Security},
};

/// Label of a namespace: pods that the profile forbids are refused.
pub const ENFORCE_LABEL: &str = "boss.dev/enforce";
/// Label of a namespace: whoever writes pods that the profile forbids is told.
pub const WARN_LABEL: &str = "boss.dev/warn";
/// Label of a namespace: pods that the profile forbids stand in the audit.
pub const AUDIT_LABEL: &str = "boss.dev/audit";

/// How much pods may ask of their host.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub enum Profile {
    /// Everything.
    Privileged,
    /// Nothing by which a sandbox is known to become its host.
    Baseline,
    /// Only what hardened workloads need.
    Restricted,
}

impl Profile {
    /// As labels say it.
    #[must_use]
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Privileged => "privileged",
            Self::Baseline => "baseline",
            Self::Restricted => "restricted",
        }
    }

    /// What a label of the namespace asks for: `None` when it is not there. A word that is none means the strictest: a
    /// slip of the pen must not open what was to be closed.
    #[must_use]
    pub fn of(namespace: &Namespace, label: &str) -> Option<Self> {
        let said = namespace.metadata.as_ref()?.labels.get(label)?;
        Some(said.parse().unwrap_or(Self::Restricted))
    }
}

impl fmt::Display for Profile {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.as_str())
    }
}

impl FromStr for Profile {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, String> {
        let all = [Self::Privileged, Self::Baseline, Self::Restricted];
        let found = all.into_iter().find(|profile| profile.as_str() == text);
        found.ok_or_else(|| format!("{text:?} is no profile: use privileged, baseline or restricted"))
    }
}

/// What a field can be used for.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Class {
    /// Nothing that concerns the host.
    Harmless,
    /// It holds fields that are classified by themselves.
    Parts,
    /// Both profiles judge it.
    Judged,
    /// Only the restricted profile does.
    JudgedIfRestricted,
}

/// Every field that a pod has, by its path in manifests.
pub const FIELDS: &[(&str, Class)] = &[
    // Process and remote sandboxes share their host; what that means is judged by isolation and network.
    ("spec.sandboxClass", Class::Judged),
    ("spec.runtimeClass", Class::Judged),
    ("spec.artifact", Class::Parts),
    ("spec.artifact.type", Class::Judged),
    ("spec.artifact.uri", Class::Judged),
    ("spec.artifact.image", Class::Harmless),
    // A file of the host.
    ("spec.artifact.path", Class::Judged),
    ("spec.isolation", Class::Judged),
    ("spec.resources", Class::Parts),
    ("spec.resources.requests", Class::Harmless),
    ("spec.resources.limits", Class::Harmless),
    ("spec.network", Class::Parts),
    ("spec.network.mode", Class::Judged),
    ("spec.security", Class::Parts),
    ("spec.security.privileged", Class::Judged),
    ("spec.security.readonlyRootfs", Class::JudgedIfRestricted),
    ("spec.security.allowHostAccess", Class::Judged),
    ("spec.security.allowHostNetwork", Class::Judged),
    ("spec.security.hostDevices", Class::Judged),
    ("spec.security.syscallPolicy", Class::Judged),
    // Which secrets a pod may name is a question of rights.
    ("spec.security.secrets", Class::Harmless),
    ("spec.nodeSelector", Class::Harmless),
    // To bear a taint is to run where others may not.
    ("spec.tolerations", Class::JudgedIfRestricted),
    ("spec.affinity", Class::Harmless),
    ("spec.region", Class::Harmless),
    ("spec.restartPolicy", Class::Harmless),
    ("spec.terminationGracePeriodSeconds", Class::Harmless),
    ("spec.containers", Class::Parts),
    ("spec.containers[].name", Class::Harmless),
    ("spec.containers[].image", Class::Harmless),
    ("spec.containers[].command", Class::Harmless),
    ("spec.containers[].args", Class::Harmless),
    // What may be taken from secrets is a question of the author's rights to them.
    ("spec.containers[].env", Class::Harmless),
    ("spec.containers[].envFrom", Class::Harmless),
    ("spec.containers[].workingDir", Class::Harmless),
    ("spec.containers[].resources", Class::Parts),
    ("spec.containers[].resources.requests", Class::Harmless),
    ("spec.containers[].resources.limits", Class::Harmless),
    ("spec.containers[].wasm", Class::Parts),
    // A file of the host.
    ("spec.containers[].wasm.path", Class::Judged),
    ("spec.containers[].wasm.entrypoint", Class::Harmless),
    // Bounds that the kernel raises for nobody without a capability.
    ("spec.containers[].rlimits", Class::Harmless),
    // Only the scheduler writes it.
    ("spec.nodeName", Class::Harmless),
];

/// A field that a profile forbids as it is.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Violation {
    /// Its path.
    pub field: String,
    /// What is wrong with it.
    pub problem: String,
}

impl fmt::Display for Violation {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}: {}", self.field, self.problem)
    }
}

/// What of the pod, with its defaults, the profile forbids.
#[must_use]
pub fn check(profile: Profile, pod: &Pod) -> Vec<Violation> {
    let mut found = Vec::new();
    if let Some(spec) = pod.spec.as_ref().filter(|_| profile > Profile::Privileged) {
        check_spec(profile, spec, &mut |field, problem: &str| {
            found.push(Violation { field: field.to_owned(), problem: problem.to_owned() });
        });
    }
    found
}

type Note<'a> = dyn FnMut(&str, &str) + 'a;

fn check_spec(profile: Profile, spec: &PodSpec, note: &mut Note<'_>) {
    let restricted = profile == Profile::Restricted;
    check_isolation(restricted, spec, note);
    check_network(spec.network.as_ref(), note);
    check_security(restricted, &spec.security.clone().unwrap_or_default(), note);
    if let Some(artifact) = &spec.artifact {
        check_artifact(restricted, artifact, note);
    }
    if restricted && !spec.tolerations.is_empty() {
        note("spec.tolerations", "let the pod run where others may not");
    }
    for (index, container) in spec.containers.iter().enumerate() {
        check_container(index, container, note);
    }
}

/// Without an isolation of its own a pod has that of its class.
fn check_isolation(restricted: bool, spec: &PodSpec, note: &mut Note<'_>) {
    let class = SandboxClass::resolve(spec).ok();
    let shares = |class| matches!(class, SandboxClass::Process | SandboxClass::Remote);
    let isolation = match spec.isolation.parse::<Isolation>() {
        Ok(isolation) => isolation,
        Err(_) if class.is_some_and(|class| !shares(class)) => Isolation::Namespaced,
        Err(_) => Isolation::SharedHost,
    };
    if isolation == Isolation::SharedHost {
        note(
            "spec.isolation",
            "is sharedHost: the sandbox would see the host's files and processes; ask for namespaced or more",
        );
    } else if restricted && class.is_none_or(shares) {
        note("spec.sandboxClass", "is process or remote: use a class with a boundary of its own");
    }
}

fn check_network(network: Option<&Network>, note: &mut Note<'_>) {
    let Some(Network { mode }) = network else { return };
    if mode.parse() == Ok(NetworkMode::Host) {
        note("spec.network.mode", "is host: the sandbox would have the host's network");
    }
}

fn check_security(restricted: bool, security: &Security, note: &mut Note<'_>) {
    let Security {
        privileged,
        readonly_rootfs,
        allow_host_access,
        allow_host_network,
        host_devices,
        syscall_policy,
        secrets: _,
    } = security;
    if *privileged {
        note("spec.security.privileged", "is true");
    }
    if *allow_host_access {
        note("spec.security.allowHostAccess", "is true");
    }
    if *allow_host_network {
        note("spec.security.allowHostNetwork", "is true");
    }
    if !host_devices.is_empty() {
        note("spec.security.hostDevices", "names devices of the host");
    }
    if syscall_policy == "unconfined" {
        note("spec.security.syscallPolicy", "is unconfined");
    } else if restricted && !matches!(syscall_policy.as_str(), "" | "default") {
        note("spec.security.syscallPolicy", "is a profile of the node's own: use default");
    }
    if restricted && !readonly_rootfs {
        note("spec.security.readonlyRootfs", "is not true");
    }
}

fn check_artifact(restricted: bool, artifact: &Artifact, note: &mut Note<'_>) {
    let Artifact { r#type, uri, image: _, path } = artifact;
    if r#type == "Executable" {
        note("spec.artifact.type", "is Executable: a program of the host");
    }
    if !path.is_empty() {
        note("spec.artifact.path", "names a file of the host");
    }
    if uri.starts_with("file:") {
        note("spec.artifact.uri", "names a file of the host");
    } else if restricted && uri.starts_with("http:") {
        note("spec.artifact.uri", "is fetched without a proof of where it comes from");
    }
}

fn check_container(index: usize, container: &Container, note: &mut Note<'_>) {
    // Named one by one, so that a new field does not compile before somebody has looked here.
    let Container {
        name: _,
        image: _,
        command: _,
        args: _,
        env: _,
        env_from: _,
        working_dir: _,
        resources: _,
        wasm,
        rlimits: _,
    } = container;
    if wasm.as_ref().is_some_and(|wasm| wasm.path.starts_with('/')) {
        note(&format!("spec.containers[{index}].wasm.path"), "names a file of the host");
    }
}
