//! The limits of single calls that write, each at the limit and one above it: what is refused names the limit.

use boss_proto::{
    ids::Revision,
    limits::{
        CONTAINERS_MAX, DELETE_COLLECTION_MAX, FIELD_MANAGER_LEN_MAX, GRACE_PERIOD_SECONDS_MAX, TXN_OPERATIONS_MAX,
    },
    manifest,
    v1::{
        ApplyRequest, Compare, Container, DeleteCollectionRequest, DeleteRequest, GetRequest, RequestId, TxnOperation,
        TxnRequest, compare::Condition, object::Body, txn_operation::Operation,
    },
};
use futures_util::future::join_all;
use tonic::{Code, Status};

use crate::support::*;

fn config_map(name: &str) -> boss_proto::v1::Object {
    object(&format!("kind: ConfigMap\nmetadata: {{name: {name}, namespace: default}}"))
}

#[track_caller]
fn check_names_limit(status: &Status, field: &str, limit: usize) {
    assert_eq!(status.code(), Code::InvalidArgument, "{status}");
    let told = info(status);
    assert!(told.field.starts_with(field), "{field}: {told:?}");
    let words = format!("{} {}", status.message(), told.hint);
    assert!(words.contains(&limit.to_string()), "{words}");
}

/// So many comparisons and operations; the lists share the bound.
fn txn(count: usize) -> TxnRequest {
    let absent = |number: usize| Compare {
        key: Some(key("ConfigMap", "default", &format!("t{number}"))),
        condition: Some(Condition::Exists(false)),
    };
    let get = |number: usize| {
        let key = Some(key("ConfigMap", "default", &format!("t{number}")));
        TxnOperation { operation: Some(Operation::Get(GetRequest { key, ..GetRequest::default() })) }
    };
    let third = count / 3;
    TxnRequest {
        compare: (0..third).map(absent).collect(),
        success: (0..third).map(get).collect(),
        failure: (0..count - 2 * third).map(get).collect(),
        request_id: Some(RequestId::random(Revision(0))),
        ..TxnRequest::default()
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_call_at_its_limits_is_done_and_one_above_is_refused_with_the_limit() {
    let cluster = Cluster::start(1).await;
    let mut registry = cluster.admin(0);

    registry.txn(txn(TXN_OPERATIONS_MAX)).await.unwrap();
    let status = registry.txn(txn(TXN_OPERATIONS_MAX + 1)).await.unwrap_err();
    check_names_limit(&status, "txn", TXN_OPERATIONS_MAX);

    let managed_by = |len: usize| ApplyRequest {
        manifest: manifest::to_json(&config_map("managed")).into(),
        request_id: Some(RequestId::random(Revision(0))),
        field_manager: "m".repeat(len),
        ..ApplyRequest::default()
    };
    registry.apply(managed_by(FIELD_MANAGER_LEN_MAX)).await.unwrap();
    let status = registry.apply(managed_by(FIELD_MANAGER_LEN_MAX + 1)).await.unwrap_err();
    check_names_limit(&status, "fieldManager", FIELD_MANAGER_LEN_MAX);

    let with_grace = |seconds: u32| {
        let mut pod = pod(&format!("grace-{seconds}"), "");
        if let Some(Body::Pod(pod)) = &mut pod.body {
            pod.spec.get_or_insert_default().termination_grace_period_seconds = Some(seconds);
        }
        pod
    };
    create(&mut registry, with_grace(GRACE_PERIOD_SECONDS_MAX)).await.unwrap();
    let status = create(&mut registry, with_grace(GRACE_PERIOD_SECONDS_MAX + 1)).await.unwrap_err();
    check_names_limit(&status, "spec.terminationGracePeriodSeconds", GRACE_PERIOD_SECONDS_MAX as usize);
    let deletion = |seconds: u32| DeleteRequest {
        key: Some(key("Pod", "default", &format!("grace-{GRACE_PERIOD_SECONDS_MAX}"))),
        request_id: Some(RequestId::random(Revision(0))),
        grace_period_seconds: Some(seconds),
        ..DeleteRequest::default()
    };
    let status = registry.delete(deletion(GRACE_PERIOD_SECONDS_MAX + 1)).await.unwrap_err();
    check_names_limit(&status, "gracePeriodSeconds", GRACE_PERIOD_SECONDS_MAX as usize);
    registry.delete(deletion(GRACE_PERIOD_SECONDS_MAX)).await.unwrap();

    let mut crowded = pod("crowded", "");
    if let Some(Body::Pod(pod)) = &mut crowded.body {
        let container =
            |number| Container { name: format!("c{number}"), command: vec!["true".to_owned()], ..Container::default() };
        pod.spec.get_or_insert_default().containers = (0..=CONTAINERS_MAX).map(container).collect();
    }
    let status = create(&mut registry, crowded).await.unwrap_err();
    check_names_limit(&status, "spec.containers", CONTAINERS_MAX);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn one_call_deletes_no_more_than_its_limit_and_says_that_there_are_more() {
    let cluster = Cluster::start(1).await;
    let names: Vec<String> = (0..=DELETE_COLLECTION_MAX).map(|number| format!("d-{number}")).collect();
    for some in names.chunks(100) {
        let created =
            join_all(some.iter().map(async |name| create(&mut cluster.admin(0), config_map(name)).await)).await;
        created.into_iter().for_each(|result| drop(result.unwrap()));
    }
    let mut registry = cluster.admin(0);
    let request = DeleteCollectionRequest {
        kind: "ConfigMap".to_owned(),
        namespace: "default".to_owned(),
        limit: u32::MAX,
        ..DeleteCollectionRequest::default()
    };
    let first = registry.delete_collection(request.clone()).await.unwrap().into_inner();
    assert_eq!((first.items.len(), first.more), (DELETE_COLLECTION_MAX, true));
    let rest = registry.delete_collection(request).await.unwrap().into_inner();
    assert_eq!((rest.items.len(), rest.more), (1, false));
}
