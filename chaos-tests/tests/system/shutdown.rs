//! One signal ends each program cleanly, a second one at once.

use boss_chaos_tests::{
    cluster::{Cluster, STOP_DEADLINE, Spec, or_fail},
    manifests::record,
    process::Exit,
    wait,
};
use boss_proto::v1;
use nix::sys::signal::Signal;

/// The second signal: what a shell reports for Ctrl-C.
const EXIT_INTERRUPTED: i32 = 130;

#[tokio::test(flavor = "multi_thread")]
async fn every_program_ends_cleanly_after_one_signal() {
    let mut cluster = Cluster::start(Spec::default()).await;
    assert_eq!(cluster.stop_node(0).await, Exit::Code(0));
    for id in cluster.server_ids() {
        assert_eq!(cluster.stop_server(id).await, Exit::Code(0), "server {id}");
    }
    for id in cluster.server_ids() {
        cluster.start_server(id);
    }
    cluster.start_node(0);
    for id in cluster.server_ids() {
        cluster.wait_for_server(id).await;
    }
    cluster.wait_for_node(0).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_leader_that_is_stopped_hands_over_first() {
    let mut cluster = Cluster::start(Spec { nodes: 0, ..Spec::default() }).await;
    let leader = cluster.leader().await;
    assert_eq!(cluster.stop_server(leader).await, Exit::Code(0));
    let next = cluster.leader().await;
    assert_ne!(next, leader);
    cluster.admin_at(next).create(record("after", "x")).await.expect("the new leader leads at once");
    assert!(cluster.log_of(&cluster.addresses(leader).name).contains("leadership"), "it says that it handed over");
}

#[tokio::test(flavor = "multi_thread")]
async fn the_second_signal_ends_a_server_at_once() {
    let cluster = Cluster::start(Spec { servers: 1, nodes: 0, ..Spec::default() }).await;
    let api = cluster.admin();
    api.get::<v1::Namespace>("", "default").await.expect("the connection is there");
    // A stop gives open calls three seconds to end, and this one never does. An answer on the same connection tells
    // that the server has it.
    let mut open = std::pin::pin!(api.unfinished_create());
    tokio::select! {
        biased;
        ended = &mut open => panic!("the call ended: {ended:?}"),
        answered = api.get::<v1::Namespace>("", "default") => drop(answered.expect("the server answers")),
    }
    let process = cluster.server(1).expect("it runs");
    process.signal(Signal::SIGTERM);
    let name = &cluster.addresses(1).name;
    let stopping = async || wait::holds(cluster.log_of(name).contains("a second signal ends the process"), "silence");
    cluster.wait("the server takes the first signal", stopping).await;
    process.signal(Signal::SIGINT);
    assert_eq!(or_fail(process.wait(STOP_DEADLINE).await), Exit::Code(EXIT_INTERRUPTED));
    let log = cluster.log_of(name);
    assert!(log.contains("second signal, leaving at once") && !log.contains("stopped"), "{log}");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_server_that_stops_waits_for_no_deadline() {
    let mut cluster = Cluster::start(Spec { nodes: 0, ..Spec::default() }).await;
    let leader = cluster.leader().await;
    let follower = cluster.server_ids().find(|id| *id != leader).expect("there are three");
    for id in [follower, leader] {
        // The others keep streams to it open, and a client watches.
        let mut watch = cluster.admin_at(id).watch::<v1::Pod>("default", None).await.expect("the server answers");
        assert_eq!(cluster.stop_server(id).await, Exit::Code(0));
        let log = cluster.log_of(&cluster.addresses(id).name);
        assert!(!log.contains("in time"), "server {id}: {log}");
        watch.next_event().await.expect_err("its server has stopped");
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn all_servers_that_stop_at_once_do_so_quickly_and_without_alarm() {
    let cluster = Cluster::start(Spec { nodes: 0, ..Spec::default() }).await;
    cluster.signal_servers(Signal::SIGTERM);
    for id in cluster.server_ids() {
        let exit = or_fail(cluster.server(id).expect("it was started").wait(STOP_DEADLINE).await);
        let log = cluster.log_of(&cluster.addresses(id).name);
        assert_eq!(exit, Exit::Code(0), "{log}");
        assert!(!log.contains("did not end in time"), "server {id}: {log}");
        assert!(!log.contains("not taken over in time"), "server {id}: {log}");
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_server_without_a_quorum_still_ends_within_its_deadline() {
    let mut cluster = Cluster::start(Spec { nodes: 0, ..Spec::default() }).await;
    let leader = cluster.leader().await;
    for id in cluster.server_ids().filter(|id| *id != leader) {
        cluster.kill_server(id);
    }
    let process = cluster.server(leader).expect("it runs");
    process.signal(Signal::SIGTERM);
    or_fail(process.wait(STOP_DEADLINE).await);
}
