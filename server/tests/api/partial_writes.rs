//! Patches, applies, dry runs and generated names.

use boss_proto::{
    ids::Revision,
    manifest,
    v1::{ApplyRequest, CreateRequest, Object, PatchRequest, RequestId, WriteResponse},
};
use serde_json::{Value, json};
use tonic::Status;

use crate::support::*;

const ACCOUNT: (&str, &str) = ("ServiceAccount", "acc");

async fn patch(registry: &mut Registry, kind: &str, name: &str, patch: Value) -> Result<Object, Status> {
    let namespace = if kind == "Namespace" || kind == "Node" { "" } else { "default" };
    let request = PatchRequest {
        key: Some(key(kind, namespace, name)),
        merge_patch: patch.to_string().into(),
        request_id: Some(RequestId::random(Revision(0))),
        ..Default::default()
    };
    registry.patch(request).await.map(|response| response.into_inner().object.unwrap())
}

fn application(manager: &str, manifest: &Value) -> ApplyRequest {
    ApplyRequest {
        manifest: manifest.to_string().into(),
        field_manager: manager.to_owned(),
        request_id: Some(RequestId::random(Revision(0))),
        ..Default::default()
    }
}

async fn apply(registry: &mut Registry, manager: &str, manifest: &Value) -> Result<WriteResponse, Status> {
    registry.apply(application(manager, manifest)).await.map(tonic::Response::into_inner)
}

fn account(labels: Value) -> Value {
    json!({"apiVersion": "boss.dev/v1", "kind": ACCOUNT.0, "metadata": {"name": ACCOUNT.1, "labels": labels}})
}

fn labels(object: &Object) -> Value {
    manifest::to_value(object)["metadata"]["labels"].clone()
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_patch_changes_what_it_names_and_nothing_else() {
    let cluster = Cluster::start(1).await;
    let mut registry = cluster.admin(0);
    create(&mut registry, object("kind: ServiceAccount\nmetadata: {name: acc, labels: {a: \"1\", b: \"1\"}}"))
        .await
        .unwrap();
    let patched = patch(&mut registry, ACCOUNT.0, ACCOUNT.1, json!({"metadata": {"labels": {"a": null, "c": "2"}}}));
    let patched = patched.await.unwrap();
    assert_eq!(labels(&patched), json!({"b": "1", "c": "2"}));
    assert!(patched.metadata().unwrap().managed_fields.is_empty(), "nobody has applied it");

    let stale = json!({"metadata": {"resourceVersion": "1", "labels": {"x": "y"}}});
    check_reason(patch(&mut registry, ACCOUNT.0, ACCOUNT.1, stale).await, "CONFLICT");
    let current = patched.metadata().unwrap().resource_version.to_string();
    let pinned = json!({"metadata": {"resourceVersion": current, "labels": {"x": "y"}}});
    patch(&mut registry, ACCOUNT.0, ACCOUNT.1, pinned).await.unwrap();
    check_reason(patch(&mut registry, ACCOUNT.0, "missing", json!({})).await, "NOT_FOUND");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn bad_patches_are_refused_with_the_field() {
    let cluster = Cluster::start(1).await;
    let mut registry = cluster.admin(0);
    create(&mut registry, object("kind: ServiceAccount\nmetadata: {name: acc}")).await.unwrap();
    create(&mut registry, pod("web", "")).await.unwrap();
    for (kind, name, bad, field) in [
        ("ServiceAccount", "acc", json!({"metadata": {"lables": {}}}), "metadata.lables"),
        ("ServiceAccount", "acc", json!({"metadata": {"labels": {"a": 1}}}), "metadata.labels.a"),
        ("ServiceAccount", "acc", json!({"metadata": {"name": "other"}}), "metadata.name"),
        ("ServiceAccount", "acc", json!({"status": {"x": 1}}), "status"),
        ("ServiceAccount", "acc", json!([1]), "mergePatch"),
        ("Pod", "web", json!({"spec": {"nodeName": "n1"}}), "spec.nodeName"),
        ("Pod", "web", json!({"spec": {"containers": [{"name": "main"}]}}), "spec.containers[0].command"),
    ] {
        let info = check_reason(patch(&mut registry, kind, name, bad.clone()).await, "INVALID");
        assert_eq!(info.field, field, "{bad}");
    }
    let big = json!({"metadata": {"annotations": {"a": "x".repeat(120 * 1024)}}});
    check_reason(patch(&mut registry, "ServiceAccount", "acc", big).await, "TOO_LARGE");
    let mut nobody = cluster.registry(0, Some(cluster.token("nobody", &[])));
    check_reason(patch(&mut nobody, "ServiceAccount", "acc", json!({})).await, "FORBIDDEN");
    check_reason(apply(&mut nobody, "m", &account(json!({}))).await, "FORBIDDEN");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn applying_owns_fields_conflicts_name_them_and_force_takes_them() {
    let cluster = Cluster::start(1).await;
    let mut registry = cluster.admin(0);
    let first = apply(&mut registry, "one", &account(json!({"a": "1", "b": "1"}))).await.unwrap();
    let again = apply(&mut registry, "one", &account(json!({"a": "1", "b": "1"}))).await.unwrap();
    assert_eq!(first.revision, again.revision, "the same manifest changes nothing");

    let other = account(json!({"a": "2", "c": "2"}));
    let info = check_reason(apply(&mut registry, "two", &other).await, "FIELD_CONFLICT");
    assert_eq!(info.field, "metadata.labels.a");
    let forced = ApplyRequest { force: true, ..application("two", &other) };
    let forced = registry.apply(forced).await.unwrap().into_inner().object.unwrap();
    assert_eq!(labels(&forced), json!({"a": "2", "b": "1", "c": "2"}));

    // What the first one no longer speaks of goes, if it is still its own.
    let left = apply(&mut registry, "one", &account(json!({}))).await.unwrap().object.unwrap();
    assert_eq!(labels(&left), json!({"a": "2", "c": "2"}));

    // Other writes own what they change.
    patch(&mut registry, ACCOUNT.0, ACCOUNT.1, json!({"metadata": {"labels": {"c": "3"}}})).await.unwrap();
    let status = apply(&mut registry, "two", &other).await.unwrap_err();
    assert!(status.message().contains("admin") && info_of(&status).field == "metadata.labels.c", "{status:?}");
    check_reason(apply(&mut registry, "", &other).await, "INVALID");
    let unknown = json!({"apiVersion": "boss.dev/v1", "kind": "ServiceAccount", "metadata": {"name": "x"}, "spce": {}});
    assert_eq!(check_reason(apply(&mut registry, "m", &unknown).await, "INVALID").field, "spce");
}

fn info_of(status: &Status) -> boss_proto::v1::ErrorInfo {
    info(status)
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn an_applied_pod_keeps_its_defaults_and_its_containers_by_name() {
    let cluster = Cluster::start(1).await;
    let mut registry = cluster.admin(0);
    let pod = |command: &str, label: &str| {
        json!({
            "apiVersion": "boss.dev/v1", "kind": "Pod", "metadata": {"name": "web", "labels": {"v": label}},
            "spec": {"runtimeClass": "process", "containers": [{"command": [command]}]},
        })
    };
    apply(&mut registry, "m", &pod("sleep", "1")).await.unwrap();
    let second = apply(&mut registry, "m", &pod("true", "2")).await.unwrap().object.unwrap();
    let value = manifest::to_value(&second);
    assert_eq!(value["spec"]["containers"][0]["command"], json!(["true"]));
    assert_eq!(value["spec"]["containers"][0]["name"], "main");
    assert_eq!((&value["spec"]["sandboxClass"], &value["spec"]["restartPolicy"]), (&json!("process"), &json!("Never")));
    let fields = &value["metadata"]["managedFields"][0]["fields"];
    assert_eq!(fields, "metadata{labels{v}},spec{containers{[main]{.,command,name}},sandboxClass}");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_dry_run_does_everything_but_the_commit() {
    let cluster = Cluster::start(3).await;
    for index in 0..3 {
        let mut registry = cluster.admin(index);
        let before = revision(&mut registry).await;
        let request = CreateRequest { object: Some(pod("dry", "")), dry_run: true, ..Default::default() };
        let would = registry.create(request.clone()).await.unwrap().into_inner().object.unwrap();
        let would = manifest::to_value(&would);
        assert_eq!((&would["spec"]["restartPolicy"], &would["status"]["phase"]), (&json!("Never"), &json!("Pending")));
        assert_eq!(would["metadata"]["resourceVersion"], (before + 1).to_string());
        let bad = CreateRequest { object: Some(object("kind: Pod\nmetadata: {name: x}")), ..request.clone() };
        check_reason(registry.create(bad).await, "INVALID");
        let missing = object("kind: ServiceAccount\nmetadata: {name: x, namespace: nowhere}");
        check_reason(registry.create(CreateRequest { object: Some(missing), ..request }).await, "NAMESPACE_MISSING");
        assert_eq!(revision(&mut registry).await, before);
        check_reason(get(&mut registry, key("Pod", "default", "dry")).await, "NOT_FOUND");
    }
}

async fn revision(registry: &mut Registry) -> u64 {
    let request = boss_proto::v1::ListRequest { kind: "ConfigMap".to_owned(), ..Default::default() };
    registry.list(request).await.unwrap().into_inner().revision
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn generated_names_differ_and_a_repeated_request_finds_its_own() {
    let cluster = Cluster::start(1).await;
    let mut registry = cluster.admin(0);
    let mut names = std::collections::BTreeSet::new();
    for _ in 0..20 {
        let request = CreateRequest {
            object: Some(object("kind: ServiceAccount\nmetadata: {generateName: job-}")),
            request_id: Some(RequestId::random(Revision(0))),
            ..Default::default()
        };
        let first = registry.create(request.clone()).await.unwrap().into_inner();
        let again = registry.create(request).await.unwrap().into_inner();
        assert_eq!(first.revision, again.revision);
        let name = first.object.unwrap().metadata().unwrap().name.clone();
        assert!(name.starts_with("job-") && name.len() == 9, "{name}");
        names.insert(name);
    }
    assert_eq!(names.len(), 20);
    let long = format!("kind: ServiceAccount\nmetadata: {{generateName: {}}}", "a".repeat(60));
    let bad = create(&mut registry, object(&long)).await;
    assert_eq!(check_reason(bad, "INVALID").field, "metadata.generateName");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_patch_and_an_apply_sent_again_have_one_effect() {
    let cluster = Cluster::start(1).await;
    let mut registry = cluster.admin(0);
    let request = application("m", &account(json!({"a": "1"})));
    let first = registry.apply(request.clone()).await.unwrap().into_inner();
    // Somebody changes it meanwhile: a second application would be a conflict.
    let changed =
        patch(&mut registry, ACCOUNT.0, ACCOUNT.1, json!({"metadata": {"labels": {"a": "2"}}})).await.unwrap();
    assert_eq!(registry.apply(request).await.unwrap().into_inner().revision, first.revision);
    let stored = get(&mut registry, key(ACCOUNT.0, "default", ACCOUNT.1)).await.unwrap();
    assert_eq!(labels(&stored), labels(&changed));
    let request = PatchRequest {
        key: Some(key(ACCOUNT.0, "default", ACCOUNT.1)),
        merge_patch: json!({"metadata": {"labels": {"p": "1"}}}).to_string().into(),
        request_id: Some(RequestId::random(Revision(0))),
        ..Default::default()
    };
    let first = registry.patch(request.clone()).await.unwrap().into_inner();
    delete(&mut registry, key(ACCOUNT.0, "default", ACCOUNT.1)).await.unwrap();
    assert_eq!(registry.patch(request).await.unwrap().into_inner().revision, first.revision, "though it is gone");
}
