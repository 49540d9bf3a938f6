//! The leader may die at any moment: writes go on, and open watches too.

use std::collections::{BTreeMap, BTreeSet};

use boss_chaos_tests::{
    api::Api,
    cluster::{Cluster, Spec},
    manifests::{name_of, record},
    wait,
    workload::{Acknowledged, Workload},
};
use boss_client::{Query, watch::Item};
use boss_proto::{ids::Revision, kind::Kind, object::Resource, v1};
use futures_util::future::join_all;
use nix::sys::signal::Signal;

const WRITERS: usize = 4;

#[tokio::test(flavor = "multi_thread")]
async fn writes_work_again_after_the_leader_is_killed_and_watches_have_no_gap_and_no_repeat() {
    let mut cluster = Cluster::start(Spec { nodes: 0, ..Spec::default() }).await;
    for round in 0..3 {
        let leader = cluster.leader().await;
        check_failover(&mut cluster, round, leader, Cluster::kill_server).await;
        cluster.start_server(leader);
        cluster.wait_for_server(leader).await;
    }
    cluster.assert_states_are_equal().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_leader_that_hangs_is_replaced_and_follows_when_it_wakes_up() {
    let mut cluster = Cluster::start(Spec { nodes: 0, ..Spec::default() }).await;
    let leader = cluster.leader().await;
    let pause = |cluster: &mut Cluster, id| cluster.server(id).expect("it runs").signal(Signal::SIGSTOP);
    check_failover(&mut cluster, 0, leader, pause).await;
    cluster.server(leader).expect("it is only stopped").signal(Signal::SIGCONT);
    cluster.wait_for_server(leader).await;
    cluster.assert_states_are_equal().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn users_of_the_client_see_a_dead_leader_as_a_pause_and_nothing_else() {
    let mut cluster = Cluster::start(Spec { nodes: 0, ..Spec::default() }).await;
    let leader = cluster.leader().await;
    let client = cluster.client(leader);
    let mut watch = client.watch(Query::all(Kind::ServiceAccount).in_namespace("default"));
    let first = watch.next().await.expect("the cluster works");
    assert!(matches!(first, Item::Restarted { .. }), "{first:?}");

    let writing = async {
        for number in 0..40 {
            if number == 20 {
                cluster.kill_server(leader);
            }
            let created = client.create(record(&format!("r{number}"), "x").into_object()).await;
            created.unwrap_or_else(|error| panic!("write {number} failed: {error}"));
        }
    };
    let watching = async {
        let mut names = Vec::new();
        while names.len() < 40 {
            match watch.next().await.expect("nothing is wrong with the query") {
                Item::Event { object, .. } => names.push(name_of(object.metadata()).to_owned()),
                Item::Bookmark(_) | Item::Interrupted(_) => {}
                Item::Restarted { .. } => panic!("the watch began anew after {names:?}"),
            }
        }
        names
    };
    let ((), names) = tokio::join!(writing, watching);
    let expected: Vec<String> = (0..40).map(|number| format!("r{number}")).collect();
    assert_eq!(names, expected);
}

/// Writes all the time, disturbs the leader, and follows the writes from two watches: one on a server that stays,
/// and one that was open at the leader and has to move.
async fn check_failover(cluster: &mut Cluster, round: usize, leader: u64, disturb: impl Fn(&mut Cluster, u64)) {
    let start =
        cluster.admin_at(leader).create(record(&format!("start-{round}"), "x")).await.expect("it leads").revision;
    let servers: BTreeMap<u64, Api> = cluster.server_ids().map(|id| (id, cluster.admin_at(id))).collect();
    let others: Vec<Api> = servers.iter().filter(|(id, _)| **id != leader).map(|(_, api)| api.clone()).collect();
    let all: Vec<Api> = servers.values().cloned().collect();
    let workload = Workload::default();
    let end = format!("end-{round}");

    let writing = async {
        join_all((0..WRITERS).map(|writer| workload.write(round * WRITERS + writer, &all))).await;
        others[0].create(record(&end, "x")).await.expect("a leader was found before");
    };
    let disturbing = async {
        wait_for_writes(&workload, 50).await;
        disturb(cluster, leader);
        wait_for_writes(&workload, workload.count() + 50).await;
        workload.stop();
    };
    let steady = follow(&others[..1], start, &end);
    let moving_servers = [servers[&leader].clone(), others[1].clone()];
    let moving = follow(&moving_servers, start, &end);
    let ((), (), steady, moving) = tokio::join!(writing, disturbing, steady, moving);
    check_complete(&steady, &workload.acknowledged());
    check_complete(&moving, &workload.acknowledged());
}

async fn wait_for_writes(workload: &Workload, count: usize) {
    let enough = wait::until(format!("{count} writes"), std::time::Duration::from_secs(60), async || {
        wait::holds(workload.count() >= count, format!("{} were acknowledged", workload.count()))
    });
    boss_chaos_tests::cluster::or_fail(enough.await);
}

/// Every event from after `start` until the record called `end` is there; when a server does not answer, the watch
/// goes on at the next one, from the last event that it has.
async fn follow(servers: &[Api], start: Revision, end: &str) -> Vec<(Revision, String)> {
    let mut seen: Vec<(Revision, String)> = Vec::new();
    for api in servers.iter().cycle() {
        let from = seen.last().map_or(start, |(revision, _)| *revision);
        let Ok(mut watch) = api.watch::<v1::ServiceAccount>("default", Some(from)).await else { continue };
        // A server that hangs sends nothing more, and says so to nobody. Here nothing for so long means that.
        let next = async |watch: &mut boss_chaos_tests::api::Watch<_>| {
            tokio::time::timeout(std::time::Duration::from_secs(5), watch.next_event()).await
        };
        while let Ok(Ok(event)) = next(&mut watch).await {
            assert_eq!(event.change, v1::watch_event::Type::Added);
            let name = name_of(event.object.metadata.as_ref()).to_owned();
            let is_last = name == end;
            seen.push((event.revision, name));
            if is_last {
                return seen;
            }
        }
    }
    seen
}

fn check_complete(events: &[(Revision, String)], acknowledged: &Acknowledged) {
    let ordered = events.windows(2).all(|pair| pair[0].0 < pair[1].0);
    assert!(ordered, "revisions do not increase: {events:?}");
    let names: BTreeSet<&String> = events.iter().map(|(_, name)| name).collect();
    assert_eq!(names.len(), events.len(), "something was delivered twice");
    let by_revision: BTreeMap<Revision, &String> = events.iter().map(|(revision, name)| (*revision, name)).collect();
    for (revision, name) in acknowledged {
        assert_eq!(by_revision.get(revision), Some(&name), "acknowledged at {revision}, but not delivered so");
    }
}
