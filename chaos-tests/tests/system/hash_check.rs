//! A server whose state was changed at rest, in a way that its own disk does not show, is found and healed.

use boss_chaos_tests::{
    cluster::{Cluster, Spec},
    http, wait,
};
use boss_proto::{ids::ServerId, object::Resource, v1};

#[path = "../../../raft/tests/cluster/flip.rs"]
mod flip;

fn namespace(name: &str) -> v1::Namespace {
    let metadata = v1::ObjectMeta { name: name.to_owned(), ..Default::default() };
    v1::Namespace { metadata: Some(metadata), ..Default::default() }
}

async fn labels_at(cluster: &Cluster, id: u64) -> usize {
    let found: v1::Namespace = cluster.admin_at(id).get("", "a").await.expect("it answers");
    found.metadata().map_or(0, |metadata| metadata.labels.len())
}

/// The server's line in the status that `through` gives.
async fn notice(cluster: &Cluster, through: u64, id: u64) -> (String, Vec<String>) {
    let status = cluster.admin_at(through).status().await.expect("it answers");
    let line = status.servers.into_iter().find(|server| server.id == id).expect("it is a member");
    (line.notice, status.alarms)
}

#[tokio::test(flavor = "multi_thread")]
async fn a_server_with_another_state_is_found_healed_and_tells_why() {
    let mut cluster = Cluster::start(Spec { nodes: 0, ..Spec::default() }).await;
    cluster.admin().create(namespace("a")).await.expect("the cluster works");
    let leader = cluster.leader().await;
    let odd = cluster.server_ids().find(|id| *id != leader).expect("there are three");
    cluster.assert_states_are_equal().await;
    cluster.stop_server(odd).await;
    let folder = cluster.layout().server_directory(cluster.addresses(odd)).join("data");
    tokio::task::spawn_blocking(move || flip::label_namespace(&folder, "a", ServerId(odd)))
        .await
        .expect("it is changed");
    cluster.start_server(odd);
    cluster.wait_for_server(odd).await;
    assert_eq!(labels_at(&cluster, odd).await, 1, "nothing on its own disk shows the change");
    let process = cluster.server(odd).expect("it runs").id();

    // Asked of any server: the leader compares.
    let check = cluster.client(odd).check_hashes().await.expect("it compares");
    assert_eq!(check.verdict, "odd", "{check:?}");
    let differs = check.servers.iter().filter(|server| server.hash != check.agreed_hash);
    assert_eq!(differs.map(|server| server.id).collect::<Vec<_>>(), [odd], "{check:?}");

    let healed = || async {
        let (notice, alarms) = notice(&cluster, leader, odd).await;
        wait::holds(notice.contains("replaced"), format!("{notice:?} {alarms:?}"))
    };
    cluster.wait("the odd server has another state", async || healed().await).await;
    cluster.wait_for_server(odd).await;
    assert_eq!(cluster.server(odd).expect("it runs").id(), process, "the same process began anew");
    assert_eq!(labels_at(&cluster, odd).await, 0, "it shows what the majority has");
    let (said, alarms) = notice(&cluster, leader, odd).await;
    assert!(said.contains("differed from the majority's"), "{said}");
    assert!(alarms.iter().any(|alarm| alarm.starts_with(&format!("server {odd}:"))), "{alarms:?}");
    let metrics = http::get(&cluster.addresses(odd).http, "/metrics").await.expect("it answers").1;
    assert!(metrics.lines().any(|line| line == "boss_raft_state_replaced 1"), "{metrics}");
    let check = cluster.client(leader).check_hashes().await.expect("it compares");
    assert_eq!(check.verdict, "agreed", "{check:?}");
    cluster.assert_states_are_equal().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn differing_states_without_a_majority_are_an_alarm_and_everything_goes_on() {
    let mut cluster = Cluster::start(Spec { nodes: 0, ..Spec::default() }).await;
    cluster.admin().create(namespace("a")).await.expect("the cluster works");
    cluster.assert_states_are_equal().await;
    for id in [1, 2] {
        cluster.stop_server(id).await;
        let folder = cluster.layout().server_directory(cluster.addresses(id)).join("data");
        tokio::task::spawn_blocking(move || flip::label_namespace(&folder, "a", ServerId(id))).await.expect("changed");
        cluster.start_server(id);
        cluster.wait_for_server(id).await;
    }
    let leader = cluster.leader().await;
    let check = cluster.client(leader).check_hashes().await.expect("it compares");
    assert_eq!((check.verdict.as_str(), check.agreed_hash.as_str()), ("no-majority", ""), "{check:?}");
    let leader = cluster.leader().await;
    let follower = cluster.server_ids().find(|id| *id != leader).expect("there are three");
    let (_, alarms) = notice(&cluster, follower, leader).await;
    assert!(alarms.iter().any(|alarm| alarm.contains("none of them has a majority")), "{alarms:?}");
    let ready = http::get(&cluster.addresses(leader).http, "/readyz").await.expect("it answers");
    assert!(ready.0 == 200 && ready.1.contains("none of them has a majority"), "{ready:?}");
    for id in cluster.server_ids() {
        cluster.wait_for_server(id).await;
        assert!(cluster.server(id).is_some_and(|process| process.exit().is_none()), "server {id} runs");
    }
    cluster.client(leader).create(namespace("b").into_object()).await.expect("writes go on");
}
