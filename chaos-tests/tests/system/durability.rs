//! Nothing that was acknowledged is ever lost.

use std::collections::BTreeMap;

use boss_chaos_tests::{
    api::Api,
    cluster::{Cluster, Spec},
    manifests::{name_of, record},
    wait,
    workload::{Acknowledged, Workload},
};
use boss_proto::{object::Resource, v1};
use futures_util::future::join_all;

#[tokio::test(flavor = "multi_thread")]
async fn nothing_acknowledged_is_lost_when_all_servers_are_killed_at_once() {
    let mut cluster = Cluster::start(Spec { nodes: 0, ..Spec::default() }).await;
    let mut all = Acknowledged::new();
    for round in 0..3 {
        let servers: Vec<Api> = cluster.server_ids().map(|id| cluster.admin_at(id)).collect();
        let workload = Workload::default();
        // Names differ between rounds by the writer's number.
        let writers = join_all((0..8).map(|writer| workload.write(round * 8 + writer, &servers)));
        let killer = async {
            cluster
                .wait("the writers are busy", async || {
                    wait::holds(workload.count() >= 200, format!("{} writes", workload.count()))
                })
                .await;
            cluster.kill_all_servers();
            workload.stop();
        };
        tokio::join!(writers, killer);
        all.extend(workload.acknowledged());
        for id in cluster.server_ids() {
            cluster.start_server(id);
        }
        for id in cluster.server_ids() {
            cluster.wait_for_server(id).await;
            check_all_there(&cluster.admin_at(id), &all).await;
        }
    }
    cluster.assert_states_are_equal().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_write_sent_twice_has_one_effect_also_across_a_restart_of_all_servers() {
    let mut cluster = Cluster::start(Spec { nodes: 0, ..Spec::default() }).await;
    let id = v1::RequestId::random(boss_proto::ids::Revision::ZERO);
    let first = cluster.admin_at(1).create_as(record("once", "a"), id.clone()).await.expect("it is a fine write");
    let again = cluster.admin_at(2).create_as(record("once", "a"), id.clone()).await.expect("it is the same write");
    assert_eq!(first.revision, again.revision);
    cluster.kill_all_servers();
    for server in cluster.server_ids() {
        cluster.start_server(server);
    }
    cluster.wait_for_server(3).await;
    let later = cluster.admin_at(3).create_as(record("once", "a"), id).await.expect("it is the same write");
    assert_eq!(first.revision, later.revision);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_server_that_was_away_catches_up() {
    let mut cluster = Cluster::start(Spec { nodes: 0, ..Spec::default() }).await;
    let leader = cluster.leader().await;
    let away = cluster.server_ids().find(|id| *id != leader).expect("there are three");
    cluster.kill_server(away);
    let mut all = Acknowledged::new();
    for number in 0..50 {
        let name = format!("r-{number}");
        let written = cluster.admin_at(leader).create(record(&name, "x")).await.expect("two of three are enough");
        all.insert(written.revision, name);
    }
    cluster.start_server(away);
    cluster.wait_for_server(away).await;
    check_all_there(&cluster.admin_at(away), &all).await;
    cluster.assert_states_are_equal().await;
}

async fn check_all_there(api: &Api, acknowledged: &Acknowledged) {
    let (stored, _) = api.list::<v1::ServiceAccount>("default").await.expect("the server answers");
    let stored: BTreeMap<String, u64> = stored
        .iter()
        .filter_map(Resource::metadata)
        .map(|metadata| (name_of(Some(metadata)).to_owned(), metadata.resource_version))
        .collect();
    for (revision, name) in acknowledged {
        assert_eq!(stored.get(name), Some(&revision.0), "{name} was acknowledged at {revision}");
    }
}
