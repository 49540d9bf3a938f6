//! Writing and reading objects.

use boss_proto::ids::Revision;
use boss_proto::v1::{CreateRequest, DeleteRequest, GetRequest, ListRequest, Preconditions, RequestId};
use tonic::Code;

use crate::support::*;

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn an_object_lives_from_create_to_delete() {
    let cluster = Cluster::start(1).await;
    let mut registry = cluster.admin(0);
    // No pod: the scheduler would write to it too.
    let account = object("kind: ServiceAccount\nmetadata: {name: web, labels: {app: web}}");
    let created = create(&mut registry, account.clone()).await.unwrap();
    let stored = created.object.unwrap();
    let metadata = stored.metadata().unwrap().clone();
    assert_eq!((metadata.namespace.as_str(), metadata.generation), ("default", 1));
    assert_eq!(metadata.resource_version, created.revision);
    assert!(!metadata.uid.is_empty() && metadata.creation_timestamp.is_some());

    let place = key("ServiceAccount", "default", "web");
    assert_eq!(get(&mut registry, place.clone()).await.unwrap().metadata().unwrap().uid, metadata.uid);

    let mut changed = stored.clone();
    changed.metadata_mut().unwrap().labels.insert("tier".into(), "front".into());
    let updated = update(&mut registry, changed.clone()).await.unwrap();
    assert!(updated.revision > created.revision);

    let info = check_reason(update(&mut registry, changed).await, "CONFLICT");
    assert!(info.current_revision >= updated.revision);
    check_reason(create(&mut registry, account).await, "ALREADY_EXISTS");

    let other_uid = DeleteRequest {
        key: Some(place.clone()),
        preconditions: Some(Preconditions { resource_version: None, uid: Some("other".into()) }),
        ..Default::default()
    };
    check_reason(registry.delete(other_uid).await, "CONFLICT");
    assert!(delete(&mut registry, place.clone()).await.unwrap());
    check_reason(get(&mut registry, place.clone()).await, "NOT_FOUND");
    check_reason(delete(&mut registry, place).await, "NOT_FOUND");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_request_sent_twice_has_one_effect() {
    let cluster = Cluster::start(1).await;
    let mut registry = cluster.admin(0);
    let request = CreateRequest {
        object: Some(pod("once", "")),
        request_id: Some(RequestId::random(Revision(0))),
        ..Default::default()
    };
    let first = registry.create(request.clone()).await.unwrap().into_inner();
    let second = registry.create(request.clone()).await.unwrap().into_inner();
    assert_eq!(first.revision, second.revision);
    assert_eq!(first.object.unwrap().metadata().unwrap().uid, second.object.unwrap().metadata().unwrap().uid);
    // The id belongs to the caller that used it first: for another one it is new.
    let mut other = cluster.registry(0, Some(cluster.token("root", &["system:admins"])));
    check_reason(other.create(request).await, "ALREADY_EXISTS");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn bad_input_changes_nothing_and_names_the_field() {
    let cluster = Cluster::start(1).await;
    let mut registry = cluster.admin(0);
    let before = revision(&mut registry).await;
    let bad = |yaml: &str| object(&format!("kind: Pod\nmetadata: {{name: web}}\n{yaml}"));
    let info = check_reason(create(&mut registry, bad("spec: {containers: [{}]}")).await, "INVALID");
    assert_eq!(info.field, "spec.containers[0].command");
    let unknown = "spec: {sandboxClass: jail, containers: [{command: [x]}]}";
    check_reason(create(&mut registry, bad(unknown)).await, "UnsupportedClass");
    let disagree = "spec: {sandboxClass: vm, runtimeClass: wasm, containers: [{command: [x]}]}";
    check_reason(create(&mut registry, bad(disagree)).await, "InvalidSpec");
    let mut big = pod("big", "");
    big.metadata_mut().unwrap().annotations.insert("a".into(), "x".repeat(60 * 1024));
    let Some(boss_proto::v1::object::Body::Pod(body)) = big.body.as_mut() else { panic!("a pod") };
    body.spec.as_mut().unwrap().containers[0].args.push("x".repeat(40 * 1024));
    check_reason(create(&mut registry, big).await, "TOO_LARGE");
    let elsewhere =
        object("kind: Pod\nmetadata: {name: web, namespace: nowhere}\nspec: {containers: [{command: [x]}]}");
    check_reason(create(&mut registry, elsewhere).await, "NAMESPACE_MISSING");
    check_reason(registry.create(CreateRequest::default()).await, "INVALID");
    check_reason(registry.get(GetRequest { key: Some(key("Ghost", "", "x")), ..Default::default() }).await, "INVALID");
    let list = |request: ListRequest| {
        let mut registry = registry.clone();
        async move { registry.list(request).await }
    };
    let unknown_kind = ListRequest { kind: "Ghost".into(), ..Default::default() };
    check_reason(list(unknown_kind).await, "INVALID");
    let labels = ListRequest { kind: "Pod".into(), label_selector: "a in (".into(), ..Default::default() };
    assert_eq!(check_reason(list(labels).await, "INVALID").field, "labelSelector");
    let fields = ListRequest { kind: "Pod".into(), field_selector: "spec.colour=red".into(), ..Default::default() };
    assert_eq!(check_reason(list(fields).await, "INVALID").field, "fieldSelector");
    let token = ListRequest { kind: "Pod".into(), page_token: "x".into(), ..Default::default() };
    assert_eq!(check_reason(list(token).await, "INVALID").field, "pageToken");
    assert_eq!(revision(&mut registry).await, before);
}

async fn revision(registry: &mut Registry) -> u64 {
    let request = ListRequest { kind: "Pod".into(), ..Default::default() };
    registry.list(request).await.unwrap().into_inner().revision
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn pages_are_of_one_revision_whatever_is_written_between() {
    let cluster = Cluster::start(1).await;
    let mut registry = cluster.admin(0);
    for index in 0..7 {
        create(&mut registry, pod(&format!("p{index}"), "app: paged")).await.unwrap();
    }
    let mut request = ListRequest {
        kind: "Pod".into(),
        namespace: "default".into(),
        label_selector: "app=paged".into(),
        limit: 3,
        ..Default::default()
    };
    let mut names = Vec::new();
    let mut revisions = Vec::new();
    loop {
        let page = registry.list(request.clone()).await.unwrap().into_inner();
        names.extend(page.items.iter().map(|item| item.metadata().unwrap().name.clone()));
        revisions.push(page.revision);
        if page.next_page_token.is_empty() {
            break;
        }
        request.page_token = page.next_page_token;
        create(&mut registry, pod(&format!("p1{}", revisions.len()), "app: paged")).await.unwrap();
        let gone = key("Pod", "default", &format!("p{}", 6 - revisions.len()));
        assert!(delete(&mut registry, gone).await.unwrap());
    }
    assert_eq!(names, ["p0", "p1", "p2", "p3", "p4", "p5", "p6"]);
    assert!(revisions.windows(2).all(|pair| pair[0] == pair[1]), "{revisions:?}");

    let other_list = ListRequest { label_selector: "app=other".into(), ..request.clone() };
    assert_eq!(check_reason(registry.list(other_list).await, "INVALID").field, "pageToken");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn selectors_choose_what_a_list_shows() {
    let cluster = Cluster::start(1).await;
    let mut registry = cluster.admin(0);
    create(&mut registry, object("kind: Namespace\nmetadata: {name: other}")).await.unwrap();
    create(&mut registry, pod("a", "app: x")).await.unwrap();
    create(&mut registry, pod("b", "app: y")).await.unwrap();
    let mut elsewhere = pod("c", "app: x");
    elsewhere.metadata_mut().unwrap().namespace = "other".into();
    create(&mut registry, elsewhere).await.unwrap();
    let list = |namespace: &str, labels: &str, fields: &str| {
        let mut registry = registry.clone();
        let request = ListRequest {
            kind: "Pod".into(),
            namespace: namespace.into(),
            label_selector: labels.into(),
            field_selector: fields.into(),
            ..Default::default()
        };
        async move {
            let items = registry.list(request).await.unwrap().into_inner().items;
            items.iter().map(|item| item.metadata().unwrap().name.clone()).collect::<Vec<_>>()
        }
    };
    assert_eq!(list("", "app=x", "").await, ["a", "c"]);
    assert_eq!(list("default", "app", "").await, ["a", "b"]);
    assert_eq!(list("", "app in (y)", "").await, ["b"]);
    assert_eq!(list("", "", "metadata.name=c").await, ["c"]);
    assert_eq!(list("", "", "status.phase=Pending,metadata.namespace!=other").await, ["a", "b"]);
    assert!(list("", "", "spec.nodeName=n1").await.is_empty());
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_local_read_waits_for_the_revision_that_it_asks_for() {
    let cluster = Cluster::start(1).await;
    let mut registry = cluster.admin(0);
    let created = create(&mut registry, pod("web", "")).await.unwrap();
    let local = |min_revision: u64| GetRequest {
        at_revision: None,
        key: Some(key("Pod", "default", "web")),
        consistency: boss_proto::v1::Consistency::Local.into(),
        min_revision,
    };
    assert!(registry.get(local(created.revision)).await.is_ok());
    let status = registry.get(local(created.revision + 1_000_000)).await.unwrap_err();
    assert_eq!((status.code(), info(&status).reason.as_str()), (Code::Unavailable, "BEHIND"));
}
