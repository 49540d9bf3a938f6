//! Many watches of ordinary clients while the leader dies and every server is restarted: no gap, no repeat, and
//! nobody lists anew.

use std::collections::BTreeSet;

use boss_chaos_tests::{
    cluster::{Cluster, Spec},
    manifests::{name_of, record},
    process::Exit,
};
use boss_client::{
    Client, Query,
    watch::{Item, Watch},
};
use boss_proto::{ids::Revision, kind::Kind, object::Resource};
use futures_util::future::join_all;

const WATCHES: usize = 50;
/// Written before, between and after the disturbances.
const WRITES: usize = 30;

#[tokio::test(flavor = "multi_thread")]
async fn fifty_watches_survive_a_dead_leader_and_a_rolling_restart_without_a_list() {
    let mut cluster = Cluster::start(Spec { nodes: 0, ..Spec::default() }).await;
    let ids: Vec<u64> = cluster.server_ids().collect();
    let clients: Vec<Client> = (0..WATCHES).map(|number| cluster.client(ids[number % ids.len()])).collect();
    let opened = clients.iter().map(|client| async {
        let mut watch = client.watch(Query::all(Kind::ServiceAccount).in_namespace("default"));
        let first = watch.next().await.expect("the cluster works");
        assert!(matches!(first, Item::Restarted { .. }), "{first:?}");
        watch
    });
    let watches = join_all(opened).await;
    let expected: Vec<String> = (0..4).flat_map(|phase| (0..WRITES).map(move |number| name(phase, number))).collect();
    let following = join_all(watches.into_iter().map(|watch| follow(watch, expected.len())));

    let disturbing = async {
        let writer = cluster.client(ids[0]);
        write(&writer, 0).await;
        let leader = cluster.leader().await;
        cluster.kill_server(leader);
        write(&writer, 1).await;
        cluster.start_server(leader);
        cluster.wait_for_server(leader).await;
        for id in ids.clone() {
            assert_eq!(cluster.stop_server(id).await, Exit::Code(0), "server {id}");
            if id == ids[1] {
                write(&writer, 2).await;
            }
            cluster.start_server(id);
            cluster.wait_for_server(id).await;
        }
        write(&writer, 3).await;
    };
    let (seen, ()) = tokio::join!(following, disturbing);
    for events in seen {
        let names: Vec<&String> = events.iter().map(|(_, name)| name).collect();
        assert_eq!(names, expected.iter().collect::<Vec<_>>());
        assert!(events.windows(2).all(|pair| pair[0].0 < pair[1].0), "revisions do not increase: {events:?}");
        assert_eq!(names.iter().collect::<BTreeSet<_>>().len(), names.len());
    }
}

fn name(phase: usize, number: usize) -> String {
    format!("p{phase}-{number}")
}

async fn write(client: &Client, phase: usize) {
    for number in 0..WRITES {
        let name = name(phase, number);
        let created = client.create(record(&name, "x").into_object()).await;
        created.unwrap_or_else(|error| panic!("{name} was not written: {error}"));
    }
}

async fn follow(mut watch: Watch, count: usize) -> Vec<(Revision, String)> {
    let mut seen = Vec::new();
    while seen.len() < count {
        match watch.next().await.expect("nothing is wrong with the query") {
            Item::Event { object, revision, .. } => seen.push((revision, name_of(object.metadata()).to_owned())),
            Item::Bookmark(_) | Item::Interrupted(_) => {}
            Item::Restarted { .. } => panic!("the watch listed anew after {} events", seen.len()),
        }
    }
    seen
}
