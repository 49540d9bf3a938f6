//! Following objects.

use boss_proto::v1::{WatchRequest, WatchResponse, watch_event::Type, watch_response::Body};
use tonic::{Code, Streaming};

use crate::support::*;

fn pods() -> WatchRequest {
    WatchRequest { kind: "Pod".into(), namespace: "default".into(), ..Default::default() }
}

async fn open(registry: &mut Registry, request: WatchRequest) -> Streaming<WatchResponse> {
    registry.watch(request).await.unwrap().into_inner()
}

/// The next event, with bookmarks passed over.
async fn next(events: &mut Streaming<WatchResponse>) -> (Type, String, u64) {
    let waiting = async {
        loop {
            if let Some(Body::Event(event)) = events.message().await.unwrap().unwrap().body {
                let name = event.object.as_ref().unwrap().metadata().unwrap().name.clone();
                return (event.r#type(), name, event.revision);
            }
        }
    };
    tokio::time::timeout(PATIENCE, waiting).await.expect("an event")
}

/// Everything up to the end of the initial list, and the revision of its bookmark.
async fn initial_list(events: &mut Streaming<WatchResponse>) -> (Vec<String>, u64) {
    let mut names = Vec::new();
    loop {
        match events.message().await.unwrap().unwrap().body.unwrap() {
            Body::Event(event) => {
                assert_eq!(event.r#type(), Type::Added);
                names.push(event.object.unwrap().metadata().unwrap().name.clone());
            }
            Body::Bookmark(bookmark) => {
                assert!(bookmark.initial_list_end);
                return (names, bookmark.revision);
            }
        }
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_watch_begins_with_the_list_and_goes_on_without_a_gap() {
    let cluster = Cluster::start(1).await;
    let mut registry = cluster.admin(0);
    // No pods: the scheduler would write to them too.
    let account = |name: &str| object(&format!("kind: ServiceAccount\nmetadata: {{name: {name}}}"));
    for name in ["a", "b"] {
        create(&mut registry, account(name)).await.unwrap();
    }
    let accounts = WatchRequest { kind: "ServiceAccount".into(), namespace: "default".into(), ..Default::default() };
    let mut events = open(&mut registry, accounts).await;
    let (names, revision) = initial_list(&mut events).await;
    assert_eq!(names, ["a", "b"]);
    let created = create(&mut registry, account("c")).await.unwrap();
    assert!(created.revision > revision);
    assert_eq!(next(&mut events).await, (Type::Added, "c".into(), created.revision));
    assert!(delete(&mut registry, key("ServiceAccount", "default", "a")).await.unwrap());
    let (kind, name, deleted) = next(&mut events).await;
    assert_eq!((kind, name.as_str()), (Type::Deleted, "a"));
    assert!(deleted > created.revision);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_watch_resumes_after_a_revision() {
    let cluster = Cluster::start(1).await;
    let mut registry = cluster.admin(0);
    let role = |name: &str| {
        object(&format!("kind: Role\nmetadata: {{name: {name}}}\nrules: [{{verbs: [get], resources: [pods]}}]"))
    };
    let first = create(&mut registry, role("r1")).await.unwrap();
    let second = create(&mut registry, role("r2")).await.unwrap();
    let third = create(&mut registry, role("r3")).await.unwrap();
    let request = WatchRequest { kind: "Role".into(), from_revision: Some(first.revision), ..Default::default() };
    let mut events = open(&mut registry, request.clone()).await;
    assert_eq!(next(&mut events).await, (Type::Added, "r2".into(), second.revision));
    assert_eq!(next(&mut events).await, (Type::Added, "r3".into(), third.revision));
    let one = WatchRequest { name: "r3".into(), ..request };
    let mut events = open(&mut registry, one).await;
    assert_eq!(next(&mut events).await.1, "r3");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn objects_come_into_a_selection_and_leave_it() {
    let cluster = Cluster::start(1).await;
    let mut registry = cluster.admin(0);
    let account = |labels: &str| object(&format!("kind: ServiceAccount\nmetadata: {{name: s, labels: {{{labels}}}}}"));
    let request = WatchRequest { kind: "ServiceAccount".into(), label_selector: "app=x".into(), ..Default::default() };
    let mut events = open(&mut registry, request).await;
    assert!(initial_list(&mut events).await.0.is_empty());
    create(&mut registry, account("app: y")).await.unwrap();
    let entered = update(&mut registry, account("app: x")).await.unwrap();
    assert_eq!(next(&mut events).await, (Type::Added, "s".into(), entered.revision));
    let changed = update(&mut registry, account("app: x, b: c")).await.unwrap();
    assert_eq!(next(&mut events).await, (Type::Modified, "s".into(), changed.revision));
    let left = update(&mut registry, account("app: z")).await.unwrap();
    assert_eq!(next(&mut events).await, (Type::Deleted, "s".into(), left.revision));
    update(&mut registry, account("app: w")).await.unwrap();
    let again = update(&mut registry, account("app: x")).await.unwrap();
    assert_eq!(next(&mut events).await, (Type::Added, "s".into(), again.revision));
    delete(&mut registry, key("ServiceAccount", "default", "s")).await.unwrap();
    assert_eq!(next(&mut events).await.0, Type::Deleted);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_watch_is_cut_when_its_right_is_taken_away() {
    let cluster = Cluster::start(1).await;
    let mut admin = cluster.admin(0);
    let binding = "kind: ClusterRoleBinding\nmetadata: {name: ann}\nroleRef: {kind: ClusterRole, name: view}\nsubjects: [{kind: User, name: ann}]";
    create(&mut admin, object(binding)).await.unwrap();
    let mut ann = cluster.registry(0, Some(cluster.token("ann", &[])));
    let mut events = open(&mut ann, pods()).await;
    initial_list(&mut events).await;
    delete(&mut admin, key("ClusterRoleBinding", "", "ann")).await.unwrap();
    create(&mut admin, pod("secret", "")).await.unwrap();
    let waiting = async {
        loop {
            match events.message().await {
                Ok(Some(message)) => assert!(!matches!(message.body, Some(Body::Event(_))), "{message:?}"),
                Ok(None) => panic!("it must say why"),
                Err(status) => break status,
            }
        }
    };
    let status = tokio::time::timeout(PATIENCE, waiting).await.unwrap();
    assert_eq!(status.code(), Code::PermissionDenied);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn an_idle_watch_hears_how_far_the_registry_has_come() {
    let cluster = Cluster::start(1).await;
    let mut registry = cluster.admin(0);
    let request = WatchRequest { kind: "ServiceAccount".into(), ..Default::default() };
    let mut events = open(&mut registry, request).await;
    let (_, revision) = initial_list(&mut events).await;
    let elsewhere = create(&mut registry, object("kind: Namespace\nmetadata: {name: elsewhere}")).await.unwrap();
    let waiting = async {
        loop {
            match events.message().await.unwrap().unwrap().body.unwrap() {
                Body::Bookmark(bookmark) if bookmark.revision >= elsewhere.revision => break bookmark,
                Body::Bookmark(_) => {}
                Body::Event(event) => panic!("nothing happened to it: {event:?}"),
            }
        }
    };
    let bookmark = tokio::time::timeout(PATIENCE, waiting).await.unwrap();
    assert!(bookmark.revision > revision && !bookmark.initial_list_end);
}
