//! From a pod to what a provider is told. Pure: knows no process, no clock, no registry.

use boss_proto::{
    intent::{ArtifactType, Isolation, NetworkMode, Reason, RestartPolicy, SandboxClass},
    limits::GRACE_PERIOD_SECONDS_DEFAULT,
    quantity::{Amounts, BadField},
    v1,
};
use std::time::Duration;

use crate::sandbox::{
    SandboxId, Spec,
    spec::{Limits, Rlimit},
};

/// The grace that a deletion asked for, in seconds; it overrides the pod's own.
pub const DELETION_GRACE_ANNOTATION: &str = "boss.dev/deletion-grace-period-seconds";

/// Where programs are looked up unless the pod says otherwise.
const DEFAULT_PATH: &str = "/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin";

/// Why this node cannot run a pod, whatever the policy: the pod has failed.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Refusal {
    /// A stable word.
    pub reason: Reason,
    /// What exactly, and what would do.
    pub message: String,
}

impl Refusal {
    fn new(reason: Reason, message: impl Into<String>) -> Self {
        Self { reason, message: message.into() }
    }
}

/// The class that the pod asks for.
pub fn class(spec: &v1::PodSpec) -> Result<SandboxClass, Refusal> {
    use boss_proto::intent::ClassProblem;
    SandboxClass::resolve(spec).map_err(|problem| match problem {
        ClassProblem::Unsupported { .. } => Refusal::new(Reason::UnsupportedClass, problem.to_string()),
        ClassProblem::Disagree { .. } => Refusal::new(Reason::InvalidSpec, problem.to_string()),
    })
}

/// Whether `provider` can run a pod of its class like this.
pub fn check_provider(spec: &v1::PodSpec, provider: &v1::Provider) -> Result<(), Refusal> {
    let name = &provider.name;
    if !provider.healthy {
        let message = format!("provider {name} is not healthy: {}", provider.reason);
        return Err(Refusal::new(Reason::ProviderUnavailable, message));
    }
    check_artifact(spec, provider)?;
    check_isolation(spec, provider)?;
    let mode = spec.network.as_ref().map(|network| network.mode.as_str()).unwrap_or_default();
    if !mode.is_empty() && !provider.network_modes.iter().any(|found| found == mode) {
        let problem = match mode.parse::<NetworkMode>() {
            Ok(_) => format!("provider {name} has no network mode {mode}, only {}", provider.network_modes.join(", ")),
            Err(error) => error.to_string(),
        };
        return Err(Refusal::new(Reason::InvalidSpec, problem));
    }
    Ok(())
}

fn check_artifact(spec: &v1::PodSpec, provider: &v1::Provider) -> Result<(), Refusal> {
    let wanted = spec.artifact.as_ref().map(|artifact| artifact.r#type.as_str()).unwrap_or_default();
    if wanted.is_empty() || provider.artifact_types.iter().any(|found| found == wanted) {
        return Ok(());
    }
    let problem = match wanted.parse::<ArtifactType>() {
        Ok(_) => {
            let known = provider.artifact_types.join(", ");
            format!("provider {} cannot run artifacts of type {wanted}, only {known}", provider.name)
        }
        Err(error) => error.to_string(),
    };
    Err(Refusal::new(Reason::UnsupportedArtifact, problem))
}

fn check_isolation(spec: &v1::PodSpec, provider: &v1::Provider) -> Result<(), Refusal> {
    if spec.isolation.is_empty() {
        return Ok(());
    }
    let mismatch = |message: String| Refusal::new(Reason::IsolationMismatch, message);
    let least: Isolation = spec.isolation.parse().map_err(|error| mismatch(format!("{error}")))?;
    let best = provider.isolation_levels.iter().filter_map(|level| level.parse::<Isolation>().ok()).max();
    match best {
        Some(best) if best >= least => Ok(()),
        _ => {
            let best = best.map_or("nothing", Isolation::as_str);
            Err(mismatch(format!("the pod asks for {least} or more, provider {} gives {best}", provider.name)))
        }
    }
}

/// When to run it again.
#[must_use]
pub fn restart_policy(spec: &v1::PodSpec) -> RestartPolicy {
    spec.restart_policy.parse().unwrap_or(RestartPolicy::Never)
}

/// How long it may take to end by itself once it is asked to.
#[must_use]
pub fn grace(pod: &v1::Pod) -> Duration {
    let own = pod.spec.as_ref().and_then(|spec| spec.termination_grace_period_seconds);
    let annotations = pod.metadata.as_ref().map(|metadata| &metadata.annotations);
    let asked = annotations.and_then(|found| found.get(DELETION_GRACE_ANNOTATION)?.parse::<u32>().ok());
    Duration::from_secs(asked.or(own).unwrap_or(GRACE_PERIOD_SECONDS_DEFAULT).into())
}

/// What the provider is told for the execution `id` of `pod`.
pub fn sandbox(pod: &v1::Pod, id: SandboxId, node: &str, failures_before: u32) -> Result<Spec, Refusal> {
    let invalid = |message: &str| Refusal::new(Reason::InvalidSpec, message);
    let metadata = pod.metadata.clone().unwrap_or_default();
    let spec = pod.spec.as_ref().ok_or_else(|| invalid("the pod has no spec"))?;
    let none = v1::Container::default();
    let container = match &*spec.containers {
        [] => &none,
        [one] => one,
        _ => return Err(invalid("this node runs pods of one container only")),
    };
    let (program, mut args) = program(spec, container)?;
    args.extend(container.args.iter().cloned());
    check_no_nul(&program, &args, container)?;
    Ok(Spec {
        generation: metadata.generation,
        env: environment(&metadata, container, node, &id),
        given: Vec::new(),
        id,
        namespace: metadata.namespace,
        name: metadata.name,
        container: container.name.clone(),
        program,
        args,
        working_dir: Some(container.working_dir.clone()).filter(|dir| !dir.is_empty()),
        rlimits: container.rlimits.iter().map(rlimit).collect(),
        limits: limits(spec, container)?,
        restart_policy: restart_policy(spec).to_string(),
        failures_before,
    })
}

/// The command, else the artifact: what a program on the node is started from.
fn program(spec: &v1::PodSpec, container: &v1::Container) -> Result<(String, Vec<String>), Refusal> {
    if let Some((program, args)) = container.command.split_first().filter(|(program, _)| !program.is_empty()) {
        return Ok((program.clone(), args.to_vec()));
    }
    let artifact = spec.artifact.as_ref();
    let path = artifact.map(|artifact| artifact.path.as_str()).filter(|path| !path.is_empty());
    let uri = artifact.and_then(|artifact| artifact.uri.strip_prefix("file://"));
    match path.or(uri) {
        Some(program) => Ok((program.to_owned(), Vec::new())),
        None => Err(Refusal::new(
            Reason::InvalidSpec,
            "nothing to run: set spec.containers[0].command, or spec.artifact.path to a program on the node",
        )),
    }
}

/// The kernel takes texts up to the first NUL: what follows would silently be lost.
fn check_no_nul(program: &str, args: &[String], container: &v1::Container) -> Result<(), Refusal> {
    let env = container.env.iter().flat_map(|variable| [&variable.name, &variable.value]);
    let mut texts = args.iter().chain(env).map(String::as_str).chain([program, &container.working_dir]);
    if texts.any(|text| text.contains('\0')) {
        return Err(Refusal::new(Reason::InvalidSpec, "a command, argument, variable or path holds a NUL character"));
    }
    match container.env.iter().find(|variable| variable.name.is_empty() || variable.name.contains('=')) {
        Some(bad) => Err(Refusal::new(Reason::InvalidSpec, format!("{:?} cannot be the name of a variable", bad.name))),
        None => Ok(()),
    }
}

fn environment(
    metadata: &v1::ObjectMeta,
    container: &v1::Container,
    node: &str,
    id: &SandboxId,
) -> Vec<(String, String)> {
    let own = [
        ("PATH", DEFAULT_PATH),
        ("BOSS_POD_NAMESPACE", &metadata.namespace),
        ("BOSS_POD_NAME", &metadata.name),
        ("BOSS_POD_UID", &id.uid),
        ("BOSS_NODE_NAME", node),
    ];
    let own = own.into_iter().map(|(name, value)| (name.to_owned(), value.to_owned()));
    let said = container.env.iter().filter(|variable| variable.value_from.is_none());
    own.chain(said.map(|variable| (variable.name.clone(), variable.value.clone()))).collect()
}

fn rlimit(limit: &v1::Rlimit) -> Rlimit {
    Rlimit { resource: limit.r#type.clone(), soft: limit.soft, hard: limit.hard }
}

/// A container's own amounts win over the pod's.
fn limits(spec: &v1::PodSpec, container: &v1::Container) -> Result<Limits, Refusal> {
    let invalid = |error: BadField| Refusal::new(Reason::InvalidSpec, format!("resources: {error}"));
    let amounts = |pick: fn(&v1::Resources) -> Option<&v1::ResourceList>| {
        let own = container.resources.as_ref().and_then(pick);
        own.or(spec.resources.as_ref().and_then(pick)).map_or(Ok(Amounts::default()), Amounts::try_from)
    };
    let most = amounts(|resources| resources.limits.as_ref()).map_err(invalid)?;
    let asked = amounts(|resources| resources.requests.as_ref()).map_err(invalid)?;
    let set = |amount: u64| Some(amount).filter(|amount| *amount > 0);
    Ok(Limits {
        cpu_millis_max: set(most.cpu.0),
        cpu_millis_requested: set(asked.cpu.0),
        memory_bytes_max: set(most.memory.0),
        tasks_max: None,
    })
}

#[cfg(test)]
#[path = "intent_tests.rs"]
mod tests;
