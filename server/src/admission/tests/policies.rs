//! Policies, profiles and limits on the way of a write through admission.

use super::*;

/// The cluster with more in it, as the servers have stored it.
fn with(manifests: &str) -> View {
    registry(&format!("{CLUSTER}---\n{manifests}"))
}

fn create(view: &View, who: &Identity, yaml: &str) -> Result<Operation, Refusal> {
    let write = Write::Create(v1::CreateRequest { object: Some(object(yaml)), ..Default::default() });
    admit(view, who, write, stamp())
}

fn created(operation: Operation) -> Object {
    match operation.action {
        Some(Proposed::Create(create)) => create.object.unwrap(),
        other => panic!("{other:?}"),
    }
}

const POD: &str = "kind: Pod\nmetadata: {name: new, namespace: default}\nspec: {containers: [{command: [a]}]}";

#[track_caller]
fn policies_refuse<T: std::fmt::Debug>(result: Result<T, Refusal>) -> String {
    match result {
        Err(Refusal::Policies(findings)) => findings[0].message.clone(),
        other => panic!("expected policies to refuse it, got {other:?}"),
    }
}

#[test]
fn a_policy_refuses_and_the_log_keeps_what_others_said() {
    let view = with(
        "kind: AdmissionPolicy
metadata: {name: named}
spec: {match: {kinds: [Pod]}, validations: [{expression: \"object.metadata.name != 'bad'\", message: bad name}]}
---
kind: AdmissionPolicy
metadata: {name: telling}
spec: {action: warn, match: {kinds: [Pod]}, validations: [{expression: 'false', message: old form}]}",
    );
    assert_eq!(policies_refuse(create(&view, &admin(), &POD.replace("new", "bad"))), "bad name");
    let operation = create(&view, &admin(), POD).unwrap();
    assert_eq!(warnings(&operation), ["policy telling: old form"]);
    let admitted = operation.admitted.unwrap();
    assert!(admitted.allowed_by.contains("admins"), "{admitted:?}");
    assert_eq!(admitted.policies[0].result, "warned");
}

#[test]
fn what_a_policy_makes_of_an_object_is_validated_like_any_write() {
    let patching = |patch: &str| {
        with(&format!(
            "kind: AdmissionPolicy\nmetadata: {{name: m}}\nspec: {{match: {{kinds: [Pod]}}, mutations: [{{expression: {patch:?}}}]}}"
        ))
    };
    let labelled = created(create(&patching("{'metadata': {'labels': {'by': 'policy'}}}"), &admin(), POD).unwrap());
    assert_eq!(labelled.metadata().unwrap().labels["by"], "policy");
    let wrong = create(&patching("{'metadata': {'labels': {'by': 'no value!'}}}"), &admin(), POD);
    assert!(matches!(wrong, Err(Refusal::Invalid(_))), "{wrong:?}");
    let security = create(&patching("{'spec': {'isolation': 'perfect'}}"), &admin(), POD);
    assert!(matches!(security, Err(Refusal::Invalid(_))), "{security:?}");
}

#[test]
fn a_role_that_a_policy_writes_cannot_give_more_than_its_author_has() {
    let view = with(
        "kind: AdmissionPolicy
metadata: {name: m}
spec:
  match: {kinds: [Role]}
  mutations: [{expression: \"{'rules': [{'verbs': ['*'], 'resources': ['*']}]}\"}]",
    );
    let rita = identity(Role::User, "rita", &[]);
    let role = "kind: Role\nmetadata: {name: r, namespace: default}\nrules: [{verbs: [get], resources: [pods]}]";
    assert!(matches!(create(&view, &rita, role), Err(Refusal::Forbidden { .. })));
}

#[test]
fn policies_see_deletes_and_status_writes_when_they_ask_for_them() {
    let view = with(
        "kind: AdmissionPolicy
metadata: {name: kept}
spec:
  match: {kinds: [Pod], operations: [delete, status], includeSystem: true}
  validations: [{expression: \"oldObject.metadata.name != 'mine'\", message: kept}]",
    );
    let key = v1::ObjectKey { kind: "Pod".into(), namespace: "default".into(), name: "mine".into() };
    let delete = Write::Delete(v1::DeleteRequest { key: Some(key), ..Default::default() });
    assert_eq!(policies_refuse(admit(&view, &admin(), delete, stamp())), "kept");
    let status = object("kind: Pod\nmetadata: {name: mine, namespace: default}\nstatus: {phase: Running}");
    let status = Write::UpdateStatus(v1::UpdateRequest { object: Some(status), ..Default::default() });
    assert_eq!(policies_refuse(admit(&view, &agent(), status, stamp())), "kept");
}

#[test]
fn a_policy_over_everything_locks_nobody_out() {
    let view = with(
        "kind: AdmissionPolicy
metadata: {name: never}
spec: {match: {operations: [create, update, status, delete], includeSystem: true}, validations: [{expression: 'false'}]}",
    );
    policies_refuse(create(&view, &admin(), POD));
    let key = v1::ObjectKey { kind: "AdmissionPolicy".into(), namespace: String::new(), name: "never".into() };
    let delete = Write::Delete(v1::DeleteRequest { key: Some(key), ..Default::default() });
    assert!(admit(&view, &admin(), delete, stamp()).is_ok());
}

#[test]
fn a_wrong_policy_is_refused_when_it_is_written() {
    check_invalid(
        "kind: AdmissionPolicy\nmetadata: {name: p}\nspec: {validations: [{expression: 'objct.x'}]}",
        "spec.validations[0].expression",
    );
}

#[test]
fn a_config_map_that_policies_looked_at_is_bound_to_the_revision_they_saw() {
    let update = "kind: ConfigMap\nmetadata: {name: c, namespace: default}\ndata: {a: b}";
    let stored = "kind: ConfigMap\nmetadata: {name: c, namespace: default}";
    let write = || Write::Update(v1::UpdateRequest { object: Some(object(update)), ..Default::default() });
    assert!(admit(&with(stored), &admin(), write(), stamp()).unwrap().any_revision);
    let policy = "kind: AdmissionPolicy\nmetadata: {name: p}\nspec: {validations: [{expression: 'oldObject != null'}]}";
    let view = with(&format!("{stored}\n---\n{policy}"));
    assert!(!admit(&view, &admin(), write(), stamp()).unwrap().any_revision);
}

#[test]
fn a_namespace_enforces_the_profile_of_its_label() {
    let view = with(
        "kind: Namespace
metadata: {name: hard, labels: {boss.dev/enforce: restricted}}
---
kind: Namespace
metadata: {name: soft, labels: {boss.dev/warn: baseline}}",
    );
    let message = policies_refuse(create(&view, &admin(), &POD.replace("default", "hard")));
    assert!(message.contains("spec.isolation"), "{message}");
    let operation = create(&view, &admin(), &POD.replace("default", "soft")).unwrap();
    assert!(warnings(&operation)[0].starts_with("policy profile:baseline: spec.isolation"));
    assert!(create(&view, &admin(), POD).is_ok());
    let hardened = "kind: Pod
metadata: {name: p, namespace: hard}
spec: {sandboxClass: container, security: {readonlyRootfs: true}, containers: [{image: a}]}";
    assert!(create(&view, &admin(), hardened).is_ok());
}

#[test]
fn a_range_gives_and_bounds_what_pods_ask_for() {
    let view = with(
        "kind: LimitRange
metadata: {name: r, namespace: default}
spec: {limits: [{type: Container, defaultRequest: {cpu: 100m}, defaultLimit: {cpu: 200m}, max: {cpu: '1'}}]}",
    );
    let pod = created(create(&view, &admin(), POD).unwrap());
    let Some(v1::object::Body::Pod(pod)) = pod.body else { panic!("it is a pod") };
    let resources = pod.spec.unwrap().containers[0].resources.clone().unwrap();
    assert_eq!(resources.requests.unwrap().cpu, "100m");
    let greedy = POD.replace("{command: [a]}", "{command: [a], resources: {limits: {cpu: '2'}}}");
    match create(&view, &admin(), &greedy) {
        Err(Refusal::Invalid(problems)) => assert_eq!(problems[0].field, "spec.containers[0].resources.limits.cpu"),
        other => panic!("{other:?}"),
    }
}

#[test]
fn a_changed_policy_is_compiled_anew() {
    let policy = |name: &str| {
        format!(
            "kind: AdmissionPolicy\nmetadata: {{name: p}}\nspec: {{validations: [{{expression: \"object.metadata.name != '{name}'\"}}]}}"
        )
    };
    let policies = Policies::default();
    let stamp = Stamp { policies: &policies, ..stamp() };
    let write = || Write::Create(v1::CreateRequest { object: Some(object(POD)), ..Default::default() });
    assert!(admit(&with(&policy("other")), &admin(), write(), stamp).is_ok());
    // Another namespace before it: the policy's revision is another one.
    let later = with(&format!("kind: Namespace\nmetadata: {{name: n}}\n---\n{}", policy("new")));
    policies_refuse(admit(&later, &admin(), write(), stamp));
}
