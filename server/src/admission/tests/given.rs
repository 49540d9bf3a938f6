//! What pods are given of secrets and config maps: what their manifests may say, and who may write them.

use super::*;

/// ann runs pods and reads secret `mine` and every config map; nobody else but the administrator reads secrets.
const RUNNER: &str = r#"
---
kind: Role
metadata: {name: runner, namespace: default}
rules:
  - {verbs: ["*"], resources: ["pods"]}
  - {verbs: ["get"], resources: ["secrets"], resourceNames: ["mine"]}
  - {verbs: ["get"], resources: ["configmaps"]}
---
kind: RoleBinding
metadata: {name: runner, namespace: default}
roleRef: {kind: Role, name: runner}
subjects: [{kind: User, name: ann}]
---
kind: Pod
metadata: {name: given, namespace: default}
spec: {sandboxClass: process, isolation: sharedHost, network: {mode: host}, restartPolicy: Never,
       terminationGracePeriodSeconds: 30,
       containers: [{name: main, command: [sleep], envFrom: [{secretRef: {name: theirs}}]}]}
"#;

fn ann() -> Identity {
    identity(Role::User, "ann", &[])
}

fn view() -> View {
    registry(&format!("{}{RUNNER}", CLUSTER.trim_end()))
}

fn attempt(who: &Identity, write: Write) -> Result<Operation, Refusal> {
    admit(&view(), who, write, stamp())
}

fn creating(env: &str) -> Write {
    let object = object(&container(env));
    Write::Create(v1::CreateRequest { object: Some(object), ..Default::default() })
}

fn secret(name: &str) -> String {
    format!("env: [{{name: A, valueFrom: {{secretKeyRef: {{name: {name}, key: k}}}}}}]")
}

#[test]
fn an_author_gives_a_pod_what_he_may_read_himself() {
    attempt(&ann(), creating(&secret("mine"))).unwrap();
    attempt(&ann(), creating("envFrom: [{configMapRef: {name: m}}, {secretRef: {name: mine}}]")).unwrap();
    check_forbidden(attempt(&ann(), creating(&secret("theirs"))), "may not get secrets \"theirs\"");
    check_forbidden(attempt(&ann(), creating("envFrom: [{secretRef: {name: theirs, optional: true}}]")), "theirs");
    attempt(&admin(), creating(&secret("theirs"))).unwrap();
}

#[test]
fn no_way_of_writing_gives_more() {
    let taking = "spec: {sandboxClass: process, containers: [{name: main, command: [env], envFrom: [{secretRef: {name: theirs}}]}]}";
    let pod = |name: &str| object(&format!("kind: Pod\nmetadata: {{name: {name}}}\n{taking}"));
    let create = v1::CreateRequest { object: Some(pod("new")), ..Default::default() };
    let update = v1::UpdateRequest { object: Some(pod("theirs")), ..Default::default() };
    let key = Some(v1::ObjectKey { kind: "Pod".into(), namespace: "default".into(), name: "given".into() });
    let patch = |text: &str| {
        Write::Patch(v1::PatchRequest { key: key.clone(), merge_patch: text.to_owned().into(), ..Default::default() })
    };
    let manifest = |name: &str| {
        let mut object = pod(name);
        object.fill_type_meta();
        Write::Apply(v1::ApplyRequest {
            manifest: manifest::to_value(&object).to_string().into(),
            field_manager: "me".into(),
            ..Default::default()
        })
    };
    let txn = |operation| {
        let operation = v1::TxnOperation { operation: Some(operation) };
        Write::Txn(v1::TxnRequest { failure: vec![operation], ..Default::default() })
    };
    let mut generated = pod("new");
    let metadata = generated.metadata_mut().unwrap();
    (metadata.name, metadata.generate_name) = (String::new(), "new-".into());
    let ways = [
        Write::Create(v1::CreateRequest { dry_run: true, ..create.clone() }),
        Write::Create(v1::CreateRequest { object: Some(generated), ..Default::default() }),
        txn(v1::txn_operation::Operation::Create(create.clone())),
        txn(v1::txn_operation::Operation::Update(update.clone())),
        Write::Create(create),
        Write::Update(update),
        patch(
            r#"{"spec":{"containers":[{"name":"main","command":["env"],"envFrom":[{"secretRef":{"name":"theirs"}}]}]}}"#,
        ),
        manifest("new"),
        manifest("given"),
    ];
    for write in ways {
        let said = format!("{write:?}");
        match attempt(&ann(), write) {
            Err(Refusal::Forbidden { reason }) => assert!(reason.contains("\"theirs\""), "{said}: {reason}"),
            other => panic!("{said}: {other:?}"),
        }
    }
    attempt(&ann(), patch(r#"{"metadata":{"labels":{"a":"b"}}}"#)).expect("a label shows nothing");
}

#[test]
fn every_wrong_source_is_named() {
    check_invalid(&container("env: [{name: A, valueFrom: {}}]"), "spec.containers[0].env[0].valueFrom");
    let both = "env: [{name: A, valueFrom: {secretKeyRef: {name: s, key: k}, configMapKeyRef: {name: s, key: k}}}]";
    check_invalid(&container(both), "spec.containers[0].env[0].valueFrom");
    let beside = "env: [{name: A, value: x, valueFrom: {secretKeyRef: {name: s, key: k}}}]";
    check_invalid(&container(beside), "spec.containers[0].env[0].value");
    let of = |reference: &str| container(&format!("env: [{{name: A, valueFrom: {{secretKeyRef: {{{reference}}}}}}}]"));
    check_invalid(&of("key: k"), "spec.containers[0].env[0].valueFrom.secretKeyRef.name");
    check_invalid(&of("name: S, key: k"), "spec.containers[0].env[0].valueFrom.secretKeyRef.name");
    check_invalid(&of("name: s"), "spec.containers[0].env[0].valueFrom.secretKeyRef.key");
    check_invalid(&of("name: s, key: a/b"), "spec.containers[0].env[0].valueFrom.secretKeyRef.key");
    check_invalid(&container("envFrom: [{}]"), "spec.containers[0].envFrom[0]");
    check_invalid(&container("envFrom: [{secretRef: {}}]"), "spec.containers[0].envFrom[0].secretRef.name");
    check_invalid(&container("envFrom: [{prefix: a-, secretRef: {name: s}}]"), "spec.containers[0].envFrom[0].prefix");
    let many: Vec<_> = (0..=ENV_SOURCES_MAX).map(|index| format!("{{secretRef: {{name: s{index}}}}}")).collect();
    check_invalid(&container(&format!("envFrom: [{}]", many.join(", "))), "spec.containers");
    let most = many[1..].join(", ");
    try_create(&admin(), &container(&format!("envFrom: [{most}]"))).unwrap();
}

#[test]
fn a_pod_that_lists_its_secrets_names_no_others() {
    let listing = |list: &str, name: &str| {
        pod(&format!(
            "security: {{secrets: [{list}]}}, containers: [{{command: [a], envFrom: [{{secretRef: {{name: {name}}}}}], \
             env: [{{name: A, valueFrom: {{secretKeyRef: {{name: a, key: k}}}}}}]}}]"
        ))
    };
    try_create(&admin(), &listing("a, b", "b")).unwrap();
    try_create(&admin(), &listing("", "b")).unwrap();
    check_invalid(&listing("a", "b"), "spec.containers[0].envFrom[0].secretRef.name");
    check_invalid(&listing("b", "b"), "spec.containers[0].env[0].valueFrom.secretKeyRef.name");
}
