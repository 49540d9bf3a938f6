//! Pods as users write them, and what a provider is told.

use super::*;

fn pod(spec: v1::PodSpec) -> v1::Pod {
    let metadata = v1::ObjectMeta {
        namespace: "default".into(),
        name: "web".into(),
        uid: "u".into(),
        generation: 3,
        ..v1::ObjectMeta::default()
    };
    v1::Pod { metadata: Some(metadata), spec: Some(spec), ..v1::Pod::default() }
}

fn id() -> SandboxId {
    SandboxId { uid: "u".into(), attempt: 2 }
}

fn container() -> v1::Container {
    v1::Container { name: "main".into(), command: vec!["prog".into(), "a".into()], ..v1::Container::default() }
}

fn with(container: v1::Container) -> v1::Pod {
    pod(v1::PodSpec { containers: vec![container], ..v1::PodSpec::default() })
}

fn process() -> v1::Provider {
    v1::Provider {
        name: "process".into(),
        healthy: true,
        artifact_types: vec!["Executable".into()],
        network_modes: vec!["host".into()],
        isolation_levels: vec!["sharedHost".into(), "namespaced".into()],
        ..v1::Provider::default()
    }
}

#[test]
fn command_args_and_environment_are_taken_over() {
    let mut container = container();
    container.args = vec!["b".into()];
    container.env = vec![v1::EnvVar { name: "X".into(), value: "1=2".into(), ..v1::EnvVar::default() }];
    container.working_dir = "/srv".into();
    let spec = sandbox(&with(container), id(), "n1", 4).unwrap();
    assert_eq!((&*spec.program, &*spec.args), ("prog", &["a".to_owned(), "b".to_owned()][..]));
    assert_eq!((spec.generation, spec.failures_before, spec.working_dir.as_deref()), (3, 4, Some("/srv")));
    let get = |name: &str| spec.env.iter().rfind(|(found, _)| found == name).map(|(_, value)| value.as_str());
    assert_eq!((get("X"), get("BOSS_NODE_NAME"), get("BOSS_POD_NAME")), (Some("1=2"), Some("n1"), Some("web")));
    assert!(get("PATH").is_some());
}

#[test]
fn without_a_command_the_artifact_is_the_program() {
    let artifact = |path: &str, uri: &str| v1::PodSpec {
        artifact: Some(v1::Artifact { path: path.into(), uri: uri.into(), ..v1::Artifact::default() }),
        ..v1::PodSpec::default()
    };
    assert_eq!(sandbox(&pod(artifact("/bin/x", "")), id(), "n", 0).unwrap().program, "/bin/x");
    assert_eq!(sandbox(&pod(artifact("", "file:///bin/y")), id(), "n", 0).unwrap().program, "/bin/y");
    assert_eq!(sandbox(&pod(artifact("", "https://x")), id(), "n", 0).unwrap_err().reason, Reason::InvalidSpec);
}

#[test]
fn a_container_s_limits_win_over_the_pod_s() {
    let resources = |cpu: &str, memory: &str| {
        let list = v1::ResourceList { cpu: cpu.into(), memory: memory.into(), ..v1::ResourceList::default() };
        Some(v1::Resources { requests: Some(list.clone()), limits: Some(list) })
    };
    let mut spec = v1::PodSpec { resources: resources("2", "1Gi"), ..v1::PodSpec::default() };
    spec.containers = vec![container()];
    let of = |spec: &v1::PodSpec| sandbox(&pod(spec.clone()), id(), "n", 0).map(|spec| spec.limits);
    assert_eq!(of(&spec).unwrap().cpu_millis_max, Some(2_000));
    spec.containers[0].resources = resources("500m", "");
    let limits = of(&spec).unwrap();
    assert_eq!(
        (limits.cpu_millis_max, limits.cpu_millis_requested, limits.memory_bytes_max),
        (Some(500), Some(500), None)
    );
    spec.containers[0].resources = resources("lots", "");
    assert!(of(&spec).unwrap_err().message.contains("cpu"));
}

#[test]
fn what_the_kernel_would_cut_is_refused() {
    let mut bad = Vec::new();
    for change in [
        |c: &mut v1::Container| c.command = vec!["a\0b".into()],
        |c: &mut v1::Container| c.args = vec!["\0".into()],
        |c: &mut v1::Container| c.env = vec![v1::EnvVar { name: "A=B".into(), ..v1::EnvVar::default() }],
        |c: &mut v1::Container| c.env = vec![v1::EnvVar { value: "x".into(), ..v1::EnvVar::default() }],
        |c: &mut v1::Container| c.working_dir = "/\0".into(),
    ] {
        let mut container = container();
        change(&mut container);
        bad.push(sandbox(&with(container), id(), "n", 0).unwrap_err().reason);
    }
    assert_eq!(bad, [Reason::InvalidSpec; 5]);
}

#[test]
fn more_than_one_container_is_refused() {
    let spec = v1::PodSpec { containers: vec![container(), container()], ..v1::PodSpec::default() };
    assert_eq!(sandbox(&pod(spec), id(), "n", 0).unwrap_err().reason, Reason::InvalidSpec);
}

#[test]
fn a_provider_is_checked_part_by_part() {
    let check = |change: fn(&mut v1::PodSpec, &mut v1::Provider)| {
        let (mut spec, mut provider) = (v1::PodSpec::default(), process());
        change(&mut spec, &mut provider);
        check_provider(&spec, &provider).err().map(|refusal| refusal.reason)
    };
    let artifact = |kind: &str| Some(v1::Artifact { r#type: kind.into(), ..v1::Artifact::default() });
    assert_eq!(check(|_, _| {}), None);
    assert_eq!(check(|spec, _| spec.isolation = "namespaced".into()), None);
    assert_eq!(check(|spec, _| spec.isolation = "kernelIsolated".into()), Some(Reason::IsolationMismatch));
    assert_eq!(check(|spec, _| spec.isolation = "cosy".into()), Some(Reason::IsolationMismatch));
    assert_eq!(check(|_, provider| provider.healthy = false), Some(Reason::ProviderUnavailable));
    let network = v1::PodSpec { network: Some(v1::Network { mode: "nat".into() }), ..v1::PodSpec::default() };
    assert_eq!(check_provider(&network, &process()).unwrap_err().reason, Reason::InvalidSpec);
    let wasm = v1::PodSpec { artifact: artifact("WasmModule"), ..v1::PodSpec::default() };
    assert_eq!(check_provider(&wasm, &process()).unwrap_err().reason, Reason::UnsupportedArtifact);
}

#[test]
fn the_class_and_its_problems_have_stable_reasons() {
    let of = |sandbox: &str, runtime: &str| {
        class(&v1::PodSpec { sandbox_class: sandbox.into(), runtime_class: runtime.into(), ..v1::PodSpec::default() })
            .map_err(|refusal| refusal.reason)
    };
    assert_eq!(of("", ""), Ok(SandboxClass::Process));
    assert_eq!(of("metal", "process"), Ok(SandboxClass::Process));
    assert_eq!(of("teapot", ""), Err(Reason::UnsupportedClass));
    assert_eq!(of("process", "wasm"), Err(Reason::InvalidSpec));
}

#[test]
fn a_deletion_s_grace_wins_over_the_pod_s_own() {
    let mut pod = with(container());
    assert_eq!(grace(&pod), Duration::from_secs(30));
    pod.spec.as_mut().unwrap().termination_grace_period_seconds = Some(7);
    assert_eq!(grace(&pod), Duration::from_secs(7));
    let annotations = &mut pod.metadata.as_mut().unwrap().annotations;
    annotations.insert(DELETION_GRACE_ANNOTATION.to_owned(), "0".to_owned());
    assert_eq!(grace(&pod), Duration::ZERO);
}
