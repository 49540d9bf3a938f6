//! Each bad input, and what good input becomes.

mod agents;
mod given;
mod policies;
mod rights;

use std::sync::LazyLock;

use boss_base::sealing::KeyRing;
use boss_proto::{
    limits::{CONFIG_KEY_LEN_MAX, ENV_SOURCES_MAX},
    manifest,
    object::Resource,
    raft::v1::Command,
};
use boss_raft::state::{Outcome, Position, State, apply};

use super::*;
use crate::auth::{AUTHENTICATED_GROUP, Method, NODES_GROUP, Role};

/// Objects of manifests that leave the version out, as all here do.
fn parse(manifests: &str) -> Vec<Object> {
    let lines = manifests.lines().map(|line| match line.strip_prefix("kind: ") {
        Some(kind) => format!("apiVersion: boss.dev/v1\nkind: {kind}\n"),
        None => format!("{line}\n"),
    });
    manifest::from_yaml(&lines.collect::<String>()).unwrap()
}

/// A registry with what the manifests say, stored by the servers themselves.
fn registry(manifests: &str) -> View {
    let mut state = State::default();
    let mut index = 0;
    let caller = log::Caller { uid: "server:1".into(), groups: vec![SERVERS_GROUP.into()], ..Default::default() };
    for mut object in parse(manifests) {
        index += 1;
        object.metadata_mut().unwrap().uid = format!("uid-{index}");
        let node = bound_node(&mut object);
        propose(&mut state, index, &caller, Proposed::Create(log::Create { object: Some(object.clone()) }));
        if !node.is_empty() {
            index += 1;
            let bind = log::Bind {
                pod: Some(object.key().unwrap().to_proto()),
                pod_uid: object.metadata().unwrap().uid.clone(),
                node_name: node,
                provider: "process".into(),
                reason: String::new(),
            };
            propose(&mut state, index, &caller, Proposed::Bind(bind));
        }
    }
    state.view()
}

/// Manifests of tests may say where a pod runs; the registry wants that bound.
fn bound_node(object: &mut Object) -> String {
    match object.body.as_mut() {
        Some(v1::object::Body::Pod(pod)) => std::mem::take(&mut pod.spec.as_mut().unwrap().node_name),
        _ => String::new(),
    }
}

fn propose(state: &mut State, index: u64, caller: &log::Caller, action: Proposed) {
    let operation =
        Operation { caller: Some(caller.clone()), leader_term: Some(1), action: Some(action), ..Default::default() };
    let command = Command { format: 1, proposed_at_ms: index, operations: vec![operation] };
    let applied = apply(state, Position { term: 1, index }, &command);
    assert!(matches!(applied.outcomes[0], Outcome::Written { .. }), "{:?}", applied.outcomes);
}

const CLUSTER: &str = r#"
kind: Namespace
metadata: {name: default}
---
kind: ClusterRole
metadata: {name: admin}
rules: [{verbs: ["*"], resources: ["*"]}]
---
kind: ClusterRoleBinding
metadata: {name: admins}
roleRef: {kind: ClusterRole, name: admin}
subjects: [{kind: Group, name: "system:admins"}]
---
kind: ClusterRole
metadata: {name: "system:node"}
rules:
  - {verbs: ["*"], resources: ["*"]}
---
kind: ClusterRoleBinding
metadata: {name: "system:nodes"}
roleRef: {kind: ClusterRole, name: "system:node"}
subjects: [{kind: Group, name: "system:nodes"}]
---
kind: ClusterRole
metadata: {name: role-writer}
rules:
  - {verbs: ["create", "update"], resources: ["roles", "rolebindings", "clusterroles", "clusterrolebindings"]}
  - {verbs: ["get"], resources: ["pods"]}
---
kind: ClusterRoleBinding
metadata: {name: role-writers}
roleRef: {kind: ClusterRole, name: role-writer}
subjects: [{kind: User, name: rita}]
---
kind: Node
metadata: {name: n1, labels: {"boss.dev/pool": a}}
status:
  conditions: [{type: Ready, status: "True"}]
  allocatable: {cpu: "4", memory: 4Gi}
  runtimeCapabilities:
    providers:
      - {name: process, classes: [process], healthy: true, isolationLevels: [sharedHost], networkModes: [host],
         artifactTypes: [Executable]}
---
kind: Pod
metadata: {name: mine, namespace: default}
spec: {nodeName: n1, sandboxClass: process, containers: [{name: main, command: [sleep]}]}
---
kind: Pod
metadata: {name: theirs, namespace: default}
spec: {sandboxClass: process, containers: [{name: main, command: [sleep]}]}
"#;

fn identity(role: Role, username: &str, groups: &[&str]) -> Identity {
    let groups = groups.iter().copied().chain([AUTHENTICATED_GROUP]).map(str::to_owned).collect();
    Identity {
        username: username.into(),
        uid: format!("user:{username}"),
        groups,
        method: Method::Token,
        role,
        expires_at: u64::MAX,
        token_id: "t".into(),
        certificate_serial: String::new(),
        generation: 0,
        bound_to: Vec::new(),
        credential: boss_proto::peer::v1::Credential::default(),
    }
}

fn admin() -> Identity {
    identity(Role::User, "admin", &["system:admins"])
}

fn agent() -> Identity {
    identity(Role::Node("n1".into()), "system:node:n1", &[NODES_GROUP])
}

fn object(yaml: &str) -> Object {
    parse(yaml).remove(0)
}

fn try_create(who: &Identity, yaml: &str) -> Result<Object, Refusal> {
    let write = Write::Create(v1::CreateRequest { object: Some(object(yaml)), ..Default::default() });
    let operation = admit(&registry(CLUSTER), who, write, stamp())?;
    match operation.action {
        Some(Proposed::Create(create)) => Ok(create.object.unwrap()),
        other => panic!("{other:?}"),
    }
}

fn try_update(who: &Identity, yaml: &str) -> Result<Operation, Refusal> {
    let write = Write::Update(v1::UpdateRequest { object: Some(object(yaml)), ..Default::default() });
    admit(&registry(CLUSTER), who, write, stamp())
}

fn try_update_status(who: &Identity, yaml: &str) -> Result<Operation, Refusal> {
    let write = Write::UpdateStatus(v1::UpdateRequest { object: Some(object(yaml)), ..Default::default() });
    admit(&registry(CLUSTER), who, write, stamp())
}

fn try_delete(who: &Identity, kind: &str, namespace: &str, name: &str, proven: bool) -> Result<Operation, Refusal> {
    let key = v1::ObjectKey { kind: kind.into(), namespace: namespace.into(), name: name.into() };
    let delete = v1::DeleteRequest { key: Some(key), absence_proven: proven, ..Default::default() };
    let write = Write::Delete(delete);
    admit(&registry(CLUSTER), who, write, stamp())
}

#[track_caller]
fn check_invalid(yaml: &str, field: &str) {
    match try_create(&admin(), yaml) {
        Err(Refusal::Invalid(problems)) => {
            assert!(problems.iter().any(|problem| problem.field == field), "{field} is not among {problems:?}");
        }
        other => panic!("expected {field} to be invalid, got {other:?}"),
    }
}

fn pod(spec: &str) -> String {
    format!("kind: Pod\nmetadata: {{name: web}}\nspec: {{{spec}}}")
}

fn container(fields: &str) -> String {
    pod(&format!("containers: [{{command: [sleep], {fields}}}]"))
}

#[track_caller]
fn check_forbidden<T: std::fmt::Debug>(result: Result<T, Refusal>, part: &str) {
    match result {
        Err(Refusal::Forbidden { reason }) => assert!(reason.contains(part), "{reason:?} lacks {part:?}"),
        other => panic!("expected a refusal, got {other:?}"),
    }
}

#[test]
fn a_small_manifest_gets_its_defaults() {
    let created = try_create(&admin(), &pod("containers: [{command: [sleep, '9']}]")).unwrap();
    let pod = v1::Pod::from_object(&created).unwrap();
    let (metadata, spec) = (pod.metadata.as_ref().unwrap(), pod.spec.as_ref().unwrap());
    assert_eq!((metadata.namespace.as_str(), metadata.uid.as_str()), ("default", "fresh"));
    assert_eq!((spec.sandbox_class.as_str(), spec.isolation.as_str()), ("process", "sharedHost"));
    assert_eq!(spec.network.as_ref().unwrap().mode, "host");
    assert_eq!((spec.restart_policy.as_str(), spec.termination_grace_period_seconds), ("Never", Some(30)));
    assert_eq!(spec.containers[0].name, "main");
}

#[test]
fn an_alias_becomes_the_class_that_it_means() {
    let created = try_create(&admin(), &pod("runtimeClass: Firecracker, containers: [{image: x}]")).unwrap();
    let spec = v1::Pod::from_object(&created).unwrap().spec.clone().unwrap();
    assert_eq!((spec.sandbox_class.as_str(), spec.runtime_class.as_str()), ("microvm", ""));
    assert_eq!(spec.isolation, "hardwareVirtualized");
}

#[test]
fn defaults_are_the_same_the_second_time() {
    let mut once = try_create(&admin(), &pod("containers: [{command: [sleep]}], tolerations: [{key: a}]")).unwrap();
    let before = once.clone();
    defaults::fill(&mut once);
    assert_eq!(once, before);
}

#[test]
fn class_problems_have_their_stable_reasons() {
    let reason = |yaml: &str| match try_create(&admin(), yaml) {
        Err(Refusal::Invalid(problems)) => problems[0].reason.map(boss_proto::intent::Reason::as_str),
        other => panic!("{other:?}"),
    };
    let containers = "containers: [{command: [x]}]";
    assert_eq!(reason(&pod(&format!("sandboxClass: jail, {containers}"))), Some("UnsupportedClass"));
    let both = format!("sandboxClass: vm, runtimeClass: wasm, {containers}");
    assert_eq!(reason(&pod(&both)), Some("InvalidSpec"));
}

#[test]
fn every_wrong_field_of_a_pod_is_named() {
    let ok = "containers: [{command: [sleep]}]";
    check_invalid("kind: Pod\nmetadata: {name: web}", "spec");
    check_invalid("kind: Pod\nmetadata: {name: Web}\nspec: {}", "metadata.name");
    check_invalid("kind: Pod\nmetadata: {name: web, namespace: A_b}\nspec: {}", "metadata.namespace");
    check_invalid(&pod("containers: []"), "spec.containers");
    check_invalid(&pod("containers: [{command: [a]}, {name: b, command: [b]}]"), "spec.containers");
    check_invalid(&pod("containers: [{args: [a]}]"), "spec.containers[0].command");
    check_invalid(&pod(&format!("isolation: tight, {ok}")), "spec.isolation");
    check_invalid(&pod(&format!("network: {{mode: pigeon}}, {ok}")), "spec.network.mode");
    check_invalid(&pod(&format!("restartPolicy: Sometimes, {ok}")), "spec.restartPolicy");
    check_invalid(&pod(&format!("terminationGracePeriodSeconds: 3601, {ok}")), "spec.terminationGracePeriodSeconds");
    check_invalid(&pod(&format!("resources: {{requests: {{cpu: lots}}}}, {ok}")), "spec.resources.requests.cpu");
    let above = "resources: {requests: {memory: 2Gi}, limits: {memory: 1Gi}}";
    check_invalid(&pod(&format!("{above}, {ok}")), "spec.resources.requests.memory");
    check_invalid(&pod(&format!("artifact: {{type: Paper, path: /x}}, {ok}")), "spec.artifact.type");
    check_invalid(&pod(&format!("artifact: {{type: Executable}}, {ok}")), "spec.artifact");
    check_invalid(&pod(&format!("nodeSelector: {{'-a': b}}, {ok}")), "spec.nodeSelector[\"-a\"]");
    check_invalid(&pod(&format!("region: 'a b', {ok}")), "spec.region");
    check_invalid(&pod(&format!("tolerations: [{{key: a, operator: Near}}], {ok}")), "spec.tolerations[0].operator");
    check_invalid(&pod(&format!("tolerations: [{{key: a, effect: Wild}}], {ok}")), "spec.tolerations[0].effect");
    let term = "affinity: {required: [{matchExpressions: [{key: a, operator: In}]}]}";
    check_invalid(&pod(&format!("{term}, {ok}")), "spec.affinity.required[0].matchExpressions[0].values");
    let weight = "affinity: {preferred: [{weight: 0, preference: {matchExpressions: [{key: a, operator: Exists}]}}]}";
    check_invalid(&pod(&format!("{weight}, {ok}")), "spec.affinity.preferred[0].weight");
    check_invalid(&pod(&format!("security: {{hostDevices: [/etc/passwd]}}, {ok}")), "spec.security.hostDevices[0]");
    check_invalid(&pod(&format!("security: {{hostDevices: [/dev/../x]}}, {ok}")), "spec.security.hostDevices[0]");
}

#[test]
fn every_wrong_field_of_a_container_is_named() {
    check_invalid(&container("name: Main"), "spec.containers[0].name");
    check_invalid(&container("workingDir: here"), "spec.containers[0].workingDir");
    check_invalid(&container("env: [{name: 1A}]"), "spec.containers[0].env[0].name");
    check_invalid(&container("env: [{name: A}, {name: A}]"), "spec.containers[0].env[1].name");
    check_invalid(&container("env: [{name: A, value: \"x\\0\"}]"), "spec.containers[0].env[0].value");
    check_invalid(&container("args: [\"x\\0\"]"), "spec.containers[0].args[0]");
    check_invalid(&container("rlimits: [{type: files, soft: 1, hard: 1}]"), "spec.containers[0].rlimits[0].type");
    check_invalid(&container("rlimits: [{type: nofile, soft: 2, hard: 1}]"), "spec.containers[0].rlimits[0].soft");
    check_invalid(&container("resources: {limits: {memory: 1Q}}"), "spec.containers[0].resources.limits.memory");
    check_invalid(&container("wasm: {path: /x}"), "spec.containers[0].wasm");
}

#[test]
fn every_wrong_field_of_the_metadata_is_named() {
    let with = |metadata: &str| format!("kind: ServiceAccount\nmetadata: {{name: a, {metadata}}}");
    check_invalid(&with("resourceVersion: 7"), "metadata.resourceVersion");
    check_invalid(&with("labels: {'a b': c}"), "metadata.labels[\"a b\"]");
    check_invalid(&with("labels: {a: '-'}"), "metadata.labels[\"a\"]");
    check_invalid(&with("annotations: {'/': c}"), "metadata.annotations[\"/\"]");
    check_invalid(&with("finalizers: ['a b']"), "metadata.finalizers[0]");
    check_invalid(&with("finalizers: [a, a]"), "metadata.finalizers[1]");
    check_invalid(&with("ownerReferences: [{kind: Ghost, name: x, uid: y}]"), "metadata.ownerReferences[0].kind");
    check_invalid(&with("ownerReferences: [{kind: Pod, name: x}]"), "metadata.ownerReferences[0].uid");
    check_invalid("kind: Namespace\nmetadata: {namespace: x, name: a}", "metadata.namespace");
    let many: Vec<String> = (0..65).map(|index| format!("l{index}: x")).collect();
    check_invalid(&with(&format!("labels: {{{}}}", many.join(", "))), "metadata.labels");
}

#[test]
fn every_wrong_field_of_the_other_kinds_is_named() {
    let role = |rules: &str| format!("kind: Role\nmetadata: {{name: r}}\nrules: [{rules}]");
    check_invalid(&role("{resources: [pods]}"), "rules[0].verbs");
    check_invalid(&role("{verbs: [get]}"), "rules[0].resources");
    check_invalid(&role("{verbs: [Get], resources: [pods]}"), "rules[0].verbs[0]");
    check_invalid(&role("{verbs: [get], resources: [pod]}"), "rules[0].resources[0]");
    check_invalid(&role("{verbs: [get], nonResourcePaths: [/metrics]}"), "rules[0].nonResourcePaths");
    let binding = |text: &str| format!("kind: ClusterRoleBinding\nmetadata: {{name: b}}\n{text}");
    check_invalid(&binding("subjects: []"), "roleRef");
    check_invalid(&binding("roleRef: {kind: Role, name: x}"), "roleRef.kind");
    let subject = |text: &str| binding(&format!("roleRef: {{kind: ClusterRole, name: admin}}\nsubjects: [{{{text}}}]"));
    check_invalid(&subject("kind: Robot, name: x"), "subjects[0].kind");
    check_invalid(&subject("kind: User"), "subjects[0].name");
    check_invalid(&subject("kind: ServiceAccount, name: x"), "subjects[0].namespace");
    check_invalid(
        "kind: Node\nmetadata: {name: n}\nspec: {taints: [{key: a, effect: Never}]}",
        "spec.taints[0].effect",
    );
    check_invalid("kind: Event\nmetadata: {name: e}\nreason: X\ntype: Normal", "involvedObject");
    let event = "kind: Event\nmetadata: {name: e}\ninvolvedObject: {kind: Pod, name: p}";
    check_invalid(&format!("{event}\nreason: not a word\ntype: Normal"), "reason");
    check_invalid(&format!("{event}\nreason: X\ntype: Loud"), "type");
}

#[test]
fn keys_of_config_maps_are_file_names_and_there_once() {
    let map = |text: &str| format!("kind: ConfigMap\nmetadata: {{name: m}}\n{text}");
    let longest = "k".repeat(CONFIG_KEY_LEN_MAX);
    try_create(&admin(), &map(&format!("data: {{a-b_c.D1: x, {longest}: y}}\nbinaryData: {{b: AAE=}}"))).unwrap();
    check_invalid(&map("data: {'': x}"), r#"data[""]"#);
    check_invalid(&map("data: {..: x}"), r#"data[".."]"#);
    check_invalid(&map("data: {a/b: x}"), r#"data["a/b"]"#);
    check_invalid(&map("binaryData: {ä: AAE=}"), r#"binaryData["ä"]"#);
    check_invalid(&map(&format!("data: {{{longest}k: y}}")), &format!(r#"data["{longest}k"]"#));
    check_invalid(&map("data: {a: x}\nbinaryData: {a: AAE=}"), r#"binaryData["a"]"#);
}

#[test]
fn all_wrong_fields_are_named_at_once() {
    let Err(Refusal::Invalid(problems)) = try_create(&admin(), &pod("isolation: x, restartPolicy: y, containers: []"))
    else {
        panic!("it is invalid");
    };
    assert_eq!(problems.len(), 3, "{problems:?}");
}

#[test]
fn an_object_above_the_limit_is_refused() {
    let mut big = object(&container("name: main"));
    let Some(v1::object::Body::Pod(pod)) = big.body.as_mut() else { panic!("it is a pod") };
    pod.spec.as_mut().unwrap().containers[0].args.push("x".repeat(OBJECT_BYTES_MAX));
    let write = Write::Create(v1::CreateRequest { object: Some(big), ..Default::default() });
    let result = admit(&registry(CLUSTER), &admin(), write, stamp());
    assert!(matches!(result, Err(Refusal::TooLarge { .. })), "{result:?}");
}

#[test]
fn envelopes_that_are_empty_or_of_another_version_are_refused() {
    let view = registry(CLUSTER);
    let admit_object = |object| {
        let write = Write::Create(v1::CreateRequest { object, ..Default::default() });
        admit(&view, &admin(), write, stamp())
    };
    assert!(matches!(admit_object(None), Err(Refusal::Invalid(_))));
    assert!(matches!(admit_object(Some(Object { body: None })), Err(Refusal::Invalid(_))));
    let no_metadata = v1::Pod::default().into_object();
    assert!(matches!(admit_object(Some(no_metadata)), Err(Refusal::Invalid(_))));
    let mut other = object("kind: Namespace\nmetadata: {name: x}");
    if let Some(v1::object::Body::Namespace(namespace)) = other.body.as_mut() {
        namespace.api_version = "v2".into();
    }
    assert!(matches!(admit_object(Some(other)), Err(Refusal::Invalid(_))));
}

#[test]
fn a_request_id_has_sixteen_random_bytes() {
    let view = registry(CLUSTER);
    let with = |nonce: &'static [u8]| {
        let request_id = Some(RequestId { seen_revision: 0, nonce: bytes::Bytes::from_static(nonce) });
        let write = Write::Create(v1::CreateRequest {
            object: Some(object("kind: Namespace\nmetadata: {name: x}")),
            request_id,
            ..Default::default()
        });
        admit(&view, &admin(), write, stamp())
    };
    assert!(with(b"0123456789abcdef").is_ok());
    assert!(matches!(with(b"short"), Err(Refusal::Invalid(_))));
}

#[test]
fn admission_records_what_it_saw() {
    let view = registry(CLUSTER);
    let stored = view.get(&Key::new(Kind::Pod, "default", "theirs")).unwrap().revision;
    let operation = try_update(
        &admin(),
        "kind: Pod\nmetadata: {name: theirs, resourceVersion: 3, uid: u}\nspec: {containers: [{command: [sleep]}]}",
    )
    .unwrap();
    assert_eq!(operation.admitted_revision, stored.0);
    assert_eq!(operation.admission_epoch, view.admission_epoch("default"));
    assert_eq!(operation.preconditions, Some(Preconditions { resource_version: Some(3), uid: Some("u".into()) }));
    assert_eq!(operation.leader_term, None);
}

#[test]
fn a_bound_pod_keeps_its_spec_and_its_node() {
    let same = "kind: Pod\nmetadata: {name: mine}\nspec: {containers: [{command: [sleep]}]}";
    // The stored pod came without admission, so that it lacks the defaults; what matters here is the binding.
    assert!(matches!(try_update(&admin(), same), Err(Refusal::Invalid(_))));
    let moved = "kind: Pod\nmetadata: {name: mine}\nspec: {nodeName: n2, containers: [{command: [sleep]}]}";
    let Err(Refusal::Invalid(problems)) = try_update(&admin(), moved) else { panic!("it cannot move") };
    assert_eq!(problems[0].field, "spec.nodeName");
}

#[test]
fn without_a_role_nothing_is_allowed() {
    let nobody = identity(Role::User, "nobody", &[]);
    check_forbidden(try_create(&nobody, "kind: Namespace\nmetadata: {name: x}"), "may not create namespaces");
    check_forbidden(try_update(&nobody, "kind: Namespace\nmetadata: {name: default}"), "may not update namespaces");
    check_forbidden(try_update_status(&nobody, "kind: Pod\nmetadata: {name: mine}\nstatus: {}"), "pods/status");
    check_forbidden(try_delete(&nobody, "Pod", "default", "mine", false), "may not delete pods");
}

#[test]
fn rights_come_before_validation() {
    let nobody = identity(Role::User, "nobody", &[]);
    check_forbidden(try_create(&nobody, &pod("containers: []")), "may not create pods");
}

#[test]
fn nobody_gives_what_they_do_not_have() {
    let rita = identity(Role::User, "rita", &[]);
    let role = |rule: &str| format!("kind: ClusterRole\nmetadata: {{name: r}}\nrules: [{rule}]");
    try_create(&rita, &role("{verbs: [get], resources: [pods]}")).unwrap();
    try_create(&rita, &role("{verbs: [get], resources: [pods], resourceNames: [a]}")).unwrap();
    check_forbidden(try_create(&rita, &role("{verbs: [delete], resources: [pods]}")), "delete pods");
    check_forbidden(try_create(&rita, &role("{verbs: ['*'], resources: [pods]}")), "* pods");
    check_forbidden(try_create(&rita, &role("{verbs: [get], resources: ['*']}")), "get *");
    check_forbidden(try_create(&rita, &role("{verbs: [get], resources: ['pods/log']}")), "get pods/log");
    check_forbidden(try_create(&rita, &role("{verbs: [get], nonResourcePaths: ['/x']}")), "get /x");
    let binding = |role: &str| {
        format!(
            "kind: ClusterRoleBinding\nmetadata: {{name: b}}\nroleRef: {{kind: ClusterRole, name: '{role}'}}\nsubjects: [{{kind: User, name: rita}}]"
        )
    };
    check_forbidden(try_create(&rita, &binding("admin")), "which you do not have");
    check_forbidden(try_create(&rita, &binding("absent")), "does not exist");
    try_create(&rita, &binding("role-writer")).unwrap();
    try_create(&admin(), &binding("absent")).unwrap();
}

#[test]
fn a_status_is_checked_too() {
    let result = try_update_status(&admin(), "kind: Pod\nmetadata: {name: mine}\nstatus: {phase: Flying}");
    assert!(matches!(result, Err(Refusal::Invalid(problems)) if problems[0].field == "status.phase"));
    let twice =
        "kind: Node\nmetadata: {name: n1}\nstatus: {conditions: [{type: A, status: 'True'}, {type: A, status: Maybe}]}";
    let Err(Refusal::Invalid(problems)) = try_update_status(&admin(), twice) else { panic!("it is invalid") };
    assert_eq!(problems.len(), 2);
    let result = try_update_status(&admin(), "kind: Role\nmetadata: {name: r}");
    assert!(matches!(result, Err(Refusal::Invalid(_))));
}

/// The vault of a server without keys: no test here writes a secret.
static VAULT: LazyLock<Vault> = LazyLock::new(|| Vault::with_keys("c1".into(), KeyRing::default()));

/// Each test has a registry of its own, so it has policies of its own.
fn stamp() -> Stamp<'static> {
    let policies = Box::leak(Box::default());
    Stamp { uid: &|| Uid::new("fresh"), now_ms: 1_000, attempt: 0, vault: &VAULT, policies }
}
