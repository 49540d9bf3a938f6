//! A server that is cut off from every leader shows nothing for long: it could not learn that a right is gone.

use boss_proto::v1::{Consistency, GetRequest, WatchRequest};
use tonic::Code;

use crate::support::*;

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_cut_off_server_refuses_local_reads_and_ends_its_watches() {
    let mut cluster = Cluster::start(3).await;
    let mut registry = cluster.admin(0);
    let local = GetRequest {
        key: Some(key("Namespace", "", "default")),
        consistency: Consistency::Local.into(),
        ..Default::default()
    };
    let watch = WatchRequest { kind: "Namespace".into(), ..Default::default() };
    let mut events = registry.watch(watch).await.unwrap().into_inner();
    registry.get(local.clone()).await.unwrap();
    for server in cluster.running.drain(1..) {
        server.shutdown.cancel();
        server.ended.await.unwrap().unwrap();
    }
    let status = tokio::time::timeout(PATIENCE, async {
        loop {
            match events.message().await {
                Ok(message) => assert!(message.is_some(), "it must say why"),
                Err(status) => break status,
            }
        }
    });
    let status = status.await.expect("the watch goes on without a leader");
    assert_eq!((status.code(), info(&status).reason.as_str()), (Code::Unavailable, "NO_LEADER"));
    check_reason(registry.get(local).await, "NO_LEADER");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_server_that_has_just_started_shows_nothing_before_it_has_heard_from_a_leader() {
    let mut cluster = Cluster::start(3).await;
    for server in cluster.running.drain(..) {
        server.shutdown.cancel();
        server.ended.await.unwrap().unwrap();
    }
    let alone = cluster.run(0).await.unwrap();
    let local = GetRequest {
        key: Some(key("Namespace", "", "default")),
        consistency: Consistency::Local.into(),
        ..Default::default()
    };
    check_reason(cluster.admin(0).get(local).await, "NO_LEADER");
    drop(alone);
}
