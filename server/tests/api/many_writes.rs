//! Transactions, collections, owners, and streams of writes.

use boss_proto::{
    ids::Revision,
    v1::{
        Compare, CreateRequest, DeleteCollectionRequest, DeleteRequest, GetRequest, Object, OwnerReference,
        Propagation, RequestId, StreamedWrite, TxnOperation, TxnRequest, UpdateRequest, WriteStreamRequest,
        compare::Condition, streamed_result::Outcome, streamed_write::Operation as Streamed,
        txn_operation::Operation as Inner,
    },
};
use tokio_stream::StreamExt;

use crate::support::*;

fn account(name: &str) -> Object {
    object(&format!("kind: ServiceAccount\nmetadata: {{name: {name}, labels: {{app: x}}}}"))
}

fn place(name: &str) -> boss_proto::v1::ObjectKey {
    key("ServiceAccount", "default", name)
}

fn created(name: &str) -> TxnOperation {
    let request = CreateRequest { object: Some(account(name)), ..Default::default() };
    TxnOperation { operation: Some(Inner::Create(request)) }
}

fn got(name: &str) -> TxnOperation {
    TxnOperation { operation: Some(Inner::Get(GetRequest { key: Some(place(name)), ..Default::default() })) }
}

fn absent(name: &str) -> Compare {
    Compare { key: Some(place(name)), condition: Some(Condition::Exists(false)) }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_transaction_is_one_revision_wherever_it_is_sent() {
    let cluster = Cluster::start(3).await;
    for index in 0..3 {
        let mut registry = cluster.admin(index);
        let (one, two) = (format!("a{index}"), format!("b{index}"));
        let request = TxnRequest {
            compare: vec![absent(&one)],
            success: vec![created(&one), created(&two)],
            failure: vec![got(&one)],
            request_id: Some(RequestId::random(Revision(0))),
            ..Default::default()
        };
        let dry = registry.txn(TxnRequest { dry_run: true, ..request.clone() }).await.unwrap().into_inner();
        assert!(dry.succeeded);
        check_reason(get(&mut registry, place(&one)).await, "NOT_FOUND");
        let first = registry.txn(request.clone()).await.unwrap().into_inner();
        assert!(first.succeeded && first.results.len() == 2, "{first:?}");
        for name in [&one, &two] {
            let stored = get(&mut registry, place(name)).await.unwrap();
            assert_eq!(stored.metadata().unwrap().resource_version, first.revision);
        }
        assert_eq!(registry.txn(request.clone()).await.unwrap().into_inner(), first, "sent again");
        let other = TxnRequest { request_id: Some(RequestId::random(Revision(0))), ..request };
        let second = registry.txn(other).await.unwrap().into_inner();
        assert!(!second.succeeded && second.results.len() == 1, "{second:?}");
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_transaction_opens_no_door_that_its_operations_would_not() {
    let cluster = Cluster::start(1).await;
    let mut admin = cluster.admin(0);
    create(&mut admin, account("secret")).await.unwrap();
    let role = "kind: Role\nmetadata: {name: r}\nrules: [{verbs: [create, delete], resources: [serviceaccounts]}]";
    create(&mut admin, object(role)).await.unwrap();
    let binding =
        "kind: RoleBinding\nmetadata: {name: r}\nroleRef: {kind: Role, name: r}\nsubjects: [{kind: User, name: u}]";
    create(&mut admin, object(binding)).await.unwrap();
    let mut user = cluster.registry(0, Some(cluster.token("u", &[])));
    let delete = TxnOperation {
        operation: Some(Inner::Delete(DeleteRequest { key: Some(place("secret")), ..Default::default() })),
    };
    let update = TxnOperation {
        operation: Some(Inner::Update(UpdateRequest { object: Some(account("secret")), ..Default::default() })),
    };
    let forbidden = [
        TxnRequest { success: vec![got("secret")], ..Default::default() },
        TxnRequest { success: vec![created("new")], failure: vec![got("secret")], ..Default::default() },
        TxnRequest { success: vec![update], ..Default::default() },
        TxnRequest { compare: vec![absent("secret")], ..Default::default() },
        // It may delete, but the answer would show what it may not read.
        TxnRequest { success: vec![delete], ..Default::default() },
    ];
    for request in forbidden {
        check_reason(user.txn(request.clone()).await, "FORBIDDEN");
        check_reason(user.txn(TxnRequest { dry_run: true, ..request }).await, "FORBIDDEN");
    }
    user.txn(TxnRequest { success: vec![created("mine")], ..Default::default() }).await.unwrap();
    let twice = TxnRequest { success: vec![created("x"), created("x")], ..Default::default() };
    check_reason(user.txn(twice).await, "INVALID");
    let many = TxnRequest { success: (0..129).map(|n| created(&format!("m{n}"))).collect(), ..Default::default() };
    check_reason(user.txn(many).await, "INVALID");
    let most = TxnRequest { success: (0..128).map(|n| created(&format!("m{n}"))).collect(), ..Default::default() };
    assert_eq!(user.txn(most).await.unwrap().into_inner().results.len(), 128);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_collection_is_deleted_page_by_page() {
    let cluster = Cluster::start(1).await;
    let mut registry = cluster.admin(0);
    for number in 0..5 {
        create(&mut registry, account(&format!("a{number}"))).await.unwrap();
    }
    create(&mut registry, object("kind: ServiceAccount\nmetadata: {name: kept}")).await.unwrap();
    let request = DeleteCollectionRequest {
        kind: "ServiceAccount".into(),
        namespace: "default".into(),
        label_selector: "app=x".into(),
        limit: 3,
        ..Default::default()
    };
    let dry = DeleteCollectionRequest { dry_run: true, ..request.clone() };
    assert_eq!(registry.delete_collection(dry).await.unwrap().into_inner().items.len(), 3);
    let mut user = cluster.registry(0, Some(cluster.token("u", &[])));
    check_reason(user.delete_collection(request.clone()).await, "FORBIDDEN");
    let first = registry.delete_collection(request.clone()).await.unwrap().into_inner();
    assert!(first.items.len() == 3 && first.more && first.items.iter().all(|item| item.gone), "{first:?}");
    let second = registry.delete_collection(request).await.unwrap().into_inner();
    assert!(second.items.len() == 2 && !second.more, "{second:?}");
    get(&mut registry, place("kept")).await.unwrap();
}

async fn family(registry: &mut Registry, name: &str, block: bool) -> String {
    let owner = create(registry, account(name)).await.unwrap().object.unwrap();
    let uid = owner.metadata().unwrap().uid.clone();
    for number in 0..2 {
        let mut child = account(&format!("{name}-{number}"));
        let metadata = child.metadata_mut().unwrap();
        // The first child takes its time to go.
        if number == 0 {
            metadata.finalizers.push("example.com/slow".into());
        }
        metadata.owner_references.push(OwnerReference {
            kind: "ServiceAccount".into(),
            name: name.into(),
            uid: uid.clone(),
            block_owner_deletion: block,
            ..Default::default()
        });
        create(registry, child).await.unwrap();
    }
    uid
}

async fn delete_by(registry: &mut Registry, name: &str, propagation: Propagation) -> bool {
    let request = DeleteRequest { key: Some(place(name)), propagation: propagation.into(), ..Default::default() };
    registry.delete(request).await.unwrap().into_inner().gone
}

async fn until_gone(registry: &Registry, name: &str) {
    eventually(name, || {
        let mut registry = registry.clone();
        async move { get(&mut registry, place(name)).await.is_err() }
    })
    .await;
}

async fn release(registry: &mut Registry, name: &str) {
    let mut held = get(registry, place(name)).await.unwrap();
    held.metadata_mut().unwrap().finalizers.clear();
    update(registry, held).await.unwrap();
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn dependents_go_after_before_or_without_their_owner() {
    let cluster = Cluster::start(1).await;
    let mut registry = cluster.admin(0);

    family(&mut registry, "back", false).await;
    assert!(delete_by(&mut registry, "back", Propagation::Background).await);
    until_gone(&registry, "back-1").await;
    assert!(get(&mut registry, place("back-0")).await.unwrap().metadata().unwrap().deletion_timestamp.is_some());
    release(&mut registry, "back-0").await;
    check_reason(get(&mut registry, place("back-0")).await, "NOT_FOUND");

    family(&mut registry, "front", true).await;
    assert!(!delete_by(&mut registry, "front", Propagation::Foreground).await);
    until_gone(&registry, "front-1").await;
    get(&mut registry, place("front")).await.expect("it waits for the child that takes its time");
    eventually("an event that says what the deletion waits for", || {
        let mut registry = registry.clone();
        async move {
            let request = boss_proto::v1::ListRequest { kind: "Event".into(), ..Default::default() };
            let events = registry.list(request).await.unwrap().into_inner().items;
            events.iter().any(|event| {
                let text = boss_proto::manifest::to_json(event);
                text.contains("DeletionBlocked") && text.contains("front-0")
            })
        }
    })
    .await;
    release(&mut registry, "front-0").await;
    until_gone(&registry, "front").await;

    family(&mut registry, "orphan", false).await;
    assert!(!delete_by(&mut registry, "orphan", Propagation::Orphan).await);
    until_gone(&registry, "orphan").await;
    for name in ["orphan-0", "orphan-1"] {
        let left = get(&mut registry, place(name)).await.unwrap();
        assert!(
            left.metadata().unwrap().owner_references.is_empty()
                && left.metadata().unwrap().deletion_timestamp.is_none()
        );
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn owners_that_cannot_be_seen_are_refused_and_finalizers_hold() {
    let cluster = Cluster::start(1).await;
    let mut registry = cluster.admin(0);
    create(&mut registry, object("kind: Namespace\nmetadata: {name: other}")).await.unwrap();
    let elsewhere = create(&mut registry, object("kind: ServiceAccount\nmetadata: {name: o, namespace: other}")).await;
    let uid = elsewhere.unwrap().object.unwrap().metadata().unwrap().uid.clone();
    let owned = |kind: &str| {
        let mut child = object(&format!("kind: {kind}\nmetadata: {{name: child}}"));
        let reference =
            OwnerReference { kind: "ServiceAccount".into(), name: "o".into(), uid: uid.clone(), ..Default::default() };
        child.metadata_mut().unwrap().owner_references.push(reference);
        child
    };
    let info = check_reason(create(&mut registry, owned("ServiceAccount")).await, "INVALID");
    assert_eq!(info.field, "metadata.ownerReferences[0].uid");
    let info = check_reason(create(&mut registry, owned("Namespace")).await, "INVALID");
    assert_eq!(info.field, "metadata.ownerReferences[0].kind");

    let held = object("kind: ServiceAccount\nmetadata: {name: held, finalizers: [example.com/a, example.com/b]}");
    create(&mut registry, held).await.unwrap();
    assert!(!delete(&mut registry, place("held")).await.unwrap());
    let mut stored = get(&mut registry, place("held")).await.unwrap();
    stored.metadata_mut().unwrap().finalizers.push("example.com/c".into());
    check_reason(update(&mut registry, stored.clone()).await, "INVALID");
    stored.metadata_mut().unwrap().finalizers = vec!["example.com/b".into()];
    update(&mut registry, stored).await.unwrap();
    release(&mut registry, "held").await;
    check_reason(get(&mut registry, place("held")).await, "NOT_FOUND");
}

fn streamed(sequence: u64, operation: Streamed) -> StreamedWrite {
    StreamedWrite { sequence, return_object: false, operation: Some(operation) }
}

fn config(name: &str, value: &str) -> Object {
    object(&format!("kind: ConfigMap\nmetadata: {{name: {name}}}\ndata: {{v: \"{value}\"}}"))
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn writes_of_a_stream_are_answered_in_order_and_fail_alone() {
    let cluster = Cluster::start(3).await;
    for index in 0..3 {
        let mut registry = cluster.admin(index);
        let name = format!("c{index}");
        let put = |value: u64| UpdateRequest { object: Some(config(&name, &value.to_string())), ..Default::default() };
        let mut writes = vec![
            streamed(1, Streamed::Create(CreateRequest { object: Some(config(&name, "0")), ..Default::default() })),
            streamed(2, Streamed::Create(CreateRequest { object: Some(config(&name, "0")), ..Default::default() })),
            streamed(
                3,
                Streamed::Create(CreateRequest {
                    object: Some(object("kind: Pod\nmetadata: {name: x}")),
                    ..Default::default()
                }),
            ),
        ];
        writes.extend((4..1_004).map(|sequence| streamed(sequence, Streamed::Update(put(sequence)))));
        let messages: Vec<_> = writes.chunks(100).map(|chunk| WriteStreamRequest { writes: chunk.to_vec() }).collect();
        let answers = registry.write_stream(tokio_stream::iter(messages)).await.unwrap().into_inner();
        let answers: Vec<_> = answers.map(|answer| answer.unwrap().results).collect::<Vec<_>>().await.concat();
        let sequences: Vec<u64> = answers.iter().map(|answer| answer.sequence).collect();
        assert_eq!(sequences, (1..1_004).collect::<Vec<_>>());
        let refused = |index: usize| match &answers[index].outcome {
            Some(Outcome::Refused(refusal)) => refusal.info.clone().unwrap().reason,
            other => panic!("{other:?}"),
        };
        assert_eq!((refused(1), refused(2)), ("ALREADY_EXISTS".to_owned(), "INVALID".to_owned()));
        let revisions: Vec<u64> =
            answers.iter().map(|answer| answer.revision).filter(|revision| *revision > 0).collect();
        assert_eq!(revisions.len(), 1_001);
        assert!(revisions.is_sorted(), "writes of one object take effect in their order");
        let stored = get(&mut registry, key("ConfigMap", "default", &name)).await.unwrap();
        let text = boss_proto::manifest::to_json(&stored);
        assert!(text.contains("1003"), "{text}");
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_stream_asks_for_the_right_to_each_write_and_ends_with_bad_numbers() {
    let cluster = Cluster::start(1).await;
    let mut user = cluster.registry(0, Some(cluster.token("u", &[])));
    let create = |sequence| {
        streamed(sequence, Streamed::Create(CreateRequest { object: Some(config("x", "1")), ..Default::default() }))
    };
    let message = WriteStreamRequest { writes: vec![create(1), create(2)] };
    let answers = user.write_stream(tokio_stream::iter([message])).await.unwrap().into_inner();
    let answers: Vec<_> = answers.map(|answer| answer.unwrap().results).collect::<Vec<_>>().await.concat();
    for answer in &answers {
        let Some(Outcome::Refused(refusal)) = &answer.outcome else { panic!("{answer:?}") };
        assert_eq!(refusal.info.as_ref().unwrap().reason, "FORBIDDEN");
    }
    assert_eq!(answers.len(), 2);
    let mut admin = cluster.admin(0);
    let message = WriteStreamRequest { writes: vec![create(2), create(1)] };
    let mut answers = admin.write_stream(tokio_stream::iter([message])).await.unwrap().into_inner();
    let mut last = None;
    while let Some(answer) = answers.next().await {
        last = Some(answer);
    }
    check_reason(last.expect("an answer"), "INVALID");
    let mut nobody = cluster.registry(0, None);
    let none = tokio_stream::iter(Vec::<WriteStreamRequest>::new());
    assert_eq!(nobody.write_stream(none).await.unwrap_err().code(), tonic::Code::Unauthenticated);
}
