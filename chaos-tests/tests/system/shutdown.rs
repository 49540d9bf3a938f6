//! One signal ends each program cleanly, a second one at once.

use std::time::Duration;

use boss_chaos_tests::{
    cluster::{Cluster, STOP_DEADLINE, Spec, or_fail},
    manifests::record,
    process::Exit,
};
use nix::sys::signal::Signal;

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
    let cluster = Cluster::start(Spec { nodes: 0, ..Spec::default() }).await;
    let leader = cluster.leader().await;
    // With nobody to hand over to, a clean stop has something to wait for.
    for id in cluster.server_ids().filter(|id| *id != leader) {
        cluster.server(id).expect("it runs").signal(Signal::SIGSTOP);
    }
    let process = cluster.server(leader).expect("it runs");
    process.signal(Signal::SIGTERM);
    process.signal(Signal::SIGINT);
    let exit = or_fail(process.wait(Duration::from_secs(2)).await);
    // Two signals that arrive together may be taken for one stop that was quick.
    assert!(matches!(exit, Exit::Code(0 | 130)), "{exit:?}");
    for id in cluster.server_ids().filter(|id| *id != leader) {
        cluster.server(id).expect("it runs").signal(Signal::SIGCONT);
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
