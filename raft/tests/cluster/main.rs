//! Three servers agree, read, watch, hand over, crash and come back, over real TLS.
#![expect(clippy::unwrap_used, reason = "a test says with a panic what went wrong")]

mod cut;
mod flip;
mod full_disks;
mod harness;
mod leases;
mod members;
mod states;
mod transfers;

use std::time::Duration;

use boss_base::clock::{Clock, SystemClock};
use boss_proto::{
    ids::{Revision, ServerId},
    kind::Kind,
    raft::v1::{DescribeRequest, peer_client::PeerClient},
};
use boss_raft::{ElectionProfile, InitializeError, Interest, PeerDialer, ProposeError, Watcher, server_uri};
use harness::{Cluster, cluster_id, create, eventually, names};

#[tokio::test(flavor = "multi_thread", worker_threads = 1)]
async fn a_write_is_seen_by_a_linearizable_read_on_every_server() {
    let cluster = Cluster::formed(3).await;
    for round in 0..10 {
        let name = format!("n{round}");
        cluster.write(&name).await;
        for id in cluster.ids() {
            let view = cluster.read(id).await;
            assert!(names(&view).contains(&name), "{name} is missing on server {id}");
        }
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 1)]
async fn many_writes_at_once_are_all_acknowledged_with_revisions_of_their_own() {
    let cluster = Cluster::formed(3).await;
    let names: Vec<_> = (0..300).map(|i| format!("w{i}")).collect();
    let writes = names.iter().map(|name| cluster.write(name));
    let mut revisions = futures_util::future::join_all(writes).await;
    revisions.sort();
    revisions.dedup();
    assert_eq!(revisions.len(), 300);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 1)]
async fn a_stopped_leader_hands_over_before_any_election_could_begin() {
    let mut cluster = Cluster::new(3);
    // Nobody stands for election for a second here, so only a handover can be faster.
    cluster.profile = ElectionProfile::SlowDisk;
    cluster.form().await;
    cluster.write("before").await;
    let leader = cluster.ready_leader().await;
    let before = SystemClock.monotonic();
    cluster.on(leader, async |handle| handle.shutdown().await).await;
    let successor = cluster.ready_leader_but(Some(leader)).await;
    let took = SystemClock.monotonic() - before;
    assert_ne!(successor, leader);
    assert!(took < ElectionProfile::SlowDisk.election_timeout_min(), "took {took:?}");
    cluster.crash(leader);
    cluster.write("after").await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 1)]
async fn a_crashed_leader_is_replaced_and_nothing_acknowledged_is_lost() {
    let mut cluster = Cluster::formed(3).await;
    for i in 0..20 {
        cluster.write(&format!("a{i}")).await;
    }
    let leader = cluster.ready_leader().await;
    cluster.crash(leader);
    let revision = cluster.write("b").await;
    let survivor = cluster.ready_leader().await;
    let view = cluster.read(survivor).await;
    assert_eq!(names(&view).len(), 21);
    // Back again, it catches up.
    cluster.start(leader).await;
    cluster.applied(leader, revision).await;
    assert_eq!(names(&cluster.handle(leader).view()).len(), 21);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 1)]
async fn all_servers_crash_at_once_and_nothing_acknowledged_is_lost() {
    let mut cluster = Cluster::formed(3).await;
    let mut last = Revision::ZERO;
    for i in 0..50 {
        last = cluster.write(&format!("a{i}")).await;
    }
    for id in cluster.ids() {
        cluster.crash(id);
    }
    cluster.start_all().await;
    for id in cluster.ids() {
        let view = cluster.read(id).await;
        assert_eq!(names(&view).len(), 50);
        assert!(view.revision() >= last);
    }
    let hashes: Vec<_> = cluster.ids().iter().map(|id| cluster.handle(*id).status().state_hash).collect();
    assert!(hashes.iter().all(|hash| *hash == hashes[0]), "{hashes:?}");
}

fn compacting(cluster: &mut Cluster) {
    cluster.limits.snapshot_every_entries = 20;
    cluster.limits.keep_entries = 5;
    cluster.limits.segment_bytes = 16 * 1024;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 1)]
async fn servers_restart_right_after_a_compaction() {
    let mut cluster = Cluster::new(3);
    compacting(&mut cluster);
    cluster.form().await;
    let mut last = Revision::ZERO;
    for i in 0..60 {
        last = cluster.write(&format!("a{i}")).await;
    }
    for id in cluster.ids() {
        let handle = cluster.handle(id);
        eventually("the log is purged", || handle.status().purged_index > 10).await;
    }
    for id in cluster.ids() {
        cluster.crash(id);
    }
    cluster.start_all().await;
    for id in cluster.ids() {
        cluster.applied(id, last).await;
        assert_eq!(names(&cluster.handle(id).view()).len(), 60);
    }
    cluster.write("b").await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 1)]
async fn a_server_that_was_away_for_long_takes_a_snapshot() {
    let mut cluster = Cluster::new(3);
    compacting(&mut cluster);
    cluster.form().await;
    cluster.write("first").await;
    let leader = cluster.ready_leader().await;
    let away = cluster.ids().into_iter().find(|id| *id != leader).unwrap();
    cluster.crash(away);
    let mut last = Revision::ZERO;
    for i in 0..60 {
        last = cluster.write(&format!("a{i}")).await;
    }
    let leader = cluster.leader_handle().await;
    eventually("the leader has purged", || leader.status().purged_index > 20).await;
    cluster.start(away).await;
    cluster.applied(away, last).await;
    let handle = cluster.handle(away);
    assert_eq!(names(&handle.view()).len(), 61);
    assert!(handle.status().snapshot_index > 0);
    drop(handle);
    // What came by snapshot is there after a crash, too.
    cluster.crash(away);
    cluster.start(away).await;
    cluster.applied(away, last).await;
    cluster.write("b").await;
}

async fn watched(watcher: &mut Watcher, count: usize) -> Vec<(Revision, String)> {
    let mut seen = Vec::new();
    while seen.len() < count {
        let events = tokio::time::timeout(harness::PATIENCE, watcher.next()).await.expect("no event").unwrap();
        seen.extend(events.iter().map(|event| (event.revision, event.record.key.name.clone())));
    }
    seen
}

#[tokio::test(flavor = "multi_thread", worker_threads = 1)]
async fn a_watch_goes_on_through_a_change_of_leader_without_gap_or_repeat() {
    let mut cluster = Cluster::formed(3).await;
    let leader = cluster.ready_leader().await;
    let watching = cluster.ids().into_iter().find(|id| *id != leader).unwrap();
    let mut watcher = cluster.handle(watching).watch(Interest::in_kind(Kind::Namespace), Revision::ZERO);
    for i in 0..10 {
        cluster.write(&format!("a{i}")).await;
    }
    cluster.crash(leader);
    for i in 0..10 {
        cluster.write(&format!("b{i}")).await;
    }
    let seen = watched(&mut watcher, 20).await;
    let names: Vec<_> = seen.iter().map(|(_, name)| name.clone()).collect();
    let expected: Vec<_> = (0..10).map(|i| format!("a{i}")).chain((0..10).map(|i| format!("b{i}"))).collect();
    assert_eq!(names, expected);
    assert!(seen.windows(2).all(|pair| pair[0].0 < pair[1].0));
    // The same from another server, resumed in the middle.
    let other = cluster.ids().into_iter().find(|id| *id != leader && *id != watching).unwrap();
    let mut resumed = cluster.handle(other).watch(Interest::in_kind(Kind::Namespace), seen[9].0);
    assert_eq!(watched(&mut resumed, 10).await, seen[10..]);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 1)]
async fn a_deposed_leader_acknowledges_nothing_and_confirms_no_read() {
    let cluster = Cluster::formed(3).await;
    cluster.write("before").await;
    let old = cluster.ready_leader().await;
    cluster.cut_off(old);
    let new = cluster.ready_leader_but(Some(old)).await;
    let refused = cluster.on(old, async |handle| create(&handle, "lost").await).await;
    let unknown = matches!(refused, Err(ProposeError::NotLeader { .. } | ProposeError::Timeout));
    assert!(unknown, "{refused:?}");
    let read = cluster.on(old, async |handle| handle.linearizable().await.map(|view| names(&view))).await;
    assert!(read.is_err(), "{read:?}");
    assert_ne!(new, old);
    let revision = cluster.write_but(Some(old), "kept").await;
    cluster.heal();
    cluster.applied(old, revision).await;
    let view = cluster.read(old).await;
    assert!(names(&view).contains(&"kept".to_owned()));
}

#[tokio::test(flavor = "multi_thread", worker_threads = 1)]
async fn a_cluster_is_formed_exactly_once() {
    let mut cluster = Cluster::formed(3).await;
    let members = cluster.members.clone();
    let again = cluster.on(ServerId(2), async move |handle| handle.initialize(members).await).await;
    assert!(matches!(again, Err(InitializeError::AlreadyFormed)), "{again:?}");
    // A server whose disk was lost must not form a second cluster with the same members.
    cluster.stop(ServerId(3)).await;
    std::fs::remove_dir_all(cluster.data_dir(ServerId(3))).unwrap();
    cluster.cut_off(ServerId(3));
    cluster.start(ServerId(3)).await;
    cluster.heal();
    let members = cluster.members.clone();
    let second = cluster.on(ServerId(3), async move |handle| handle.initialize(members).await).await;
    let refused = matches!(second, Err(InitializeError::FormedElsewhere { .. } | InitializeError::AlreadyFormed));
    assert!(refused, "{second:?}");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 1)]
async fn a_server_that_lost_what_it_acknowledged_stops_and_the_others_go_on() {
    let mut cluster = Cluster::formed(3).await;
    cluster.write("a").await;
    let leader = cluster.ready_leader().await;
    let wiped = cluster.ids().into_iter().find(|id| *id != leader).unwrap();
    cluster.stop(wiped).await;
    std::fs::remove_dir_all(cluster.data_dir(wiped)).unwrap();
    cluster.start(wiped).await;
    let reason = cluster.on(wiped, members::ended).await;
    assert!(reason.contains("fresh id"), "{reason}");
    cluster.crash(wiped);
    cluster.write("b").await;
}

/// A call to server 1 that says it comes from server 2 of this cluster and is for `to`, under a certificate for `uri`.
async fn describe(cluster: &Cluster, uri: &str, to: u64) -> Result<(), tonic::Code> {
    let dialer = PeerDialer::tls(cluster.identity(ServerId(9), uri), cluster_id());
    let mut client = PeerClient::new(dialer.dial(&cluster.members[0]).unwrap());
    let mut request = tonic::Request::new(DescribeRequest {});
    request.metadata_mut().insert("boss-cluster-id", "test-cluster".parse().unwrap());
    request.metadata_mut().insert("boss-from-server", 2.into());
    request.metadata_mut().insert("boss-to-server", to.into());
    client.describe(request).await.map(drop).map_err(|status| status.code())
}

#[tokio::test(flavor = "multi_thread", worker_threads = 1)]
async fn only_the_server_that_a_certificate_names_may_speak_as_a_peer() {
    let cluster = Cluster::formed(1).await;
    let of = |id| server_uri(&cluster_id(), ServerId(id));
    assert_eq!(describe(&cluster, &of(2), 1).await, Ok(()));
    assert_eq!(describe(&cluster, &of(3), 1).await, Err(tonic::Code::PermissionDenied));
    assert_eq!(describe(&cluster, "boss://test-cluster/node/2", 1).await, Err(tonic::Code::PermissionDenied));
    assert_eq!(describe(&cluster, "boss://test-cluster/user/server", 1).await, Err(tonic::Code::PermissionDenied));
    assert_eq!(describe(&cluster, "boss://other/server/2", 1).await, Err(tonic::Code::FailedPrecondition));
    assert_eq!(describe(&cluster, &of(2), 7).await, Err(tonic::Code::FailedPrecondition));
}

#[tokio::test(flavor = "multi_thread", worker_threads = 1)]
async fn a_dialled_server_must_show_the_certificate_of_the_member_it_should_be() {
    let cluster = Cluster::formed(1).await;
    let dialer = PeerDialer::tls(cluster.identity(ServerId(2), &server_uri(&cluster_id(), ServerId(2))), cluster_id());
    let mistaken = boss_raft::Member { id: ServerId(3), ..cluster.members[0].clone() };
    let mut client = PeerClient::new(dialer.dial(&mistaken).unwrap());
    let answer = client.describe(tonic::Request::new(DescribeRequest {})).await;
    assert_eq!(answer.unwrap_err().code(), tonic::Code::Unavailable);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 1)]
async fn reads_go_on_while_a_minority_is_away_and_fail_without_a_majority() {
    let mut cluster = Cluster::formed(3).await;
    cluster.write("a").await;
    let leader = cluster.ready_leader().await;
    let followers: Vec<_> = cluster.ids().into_iter().filter(|id| *id != leader).collect();
    cluster.crash(followers[0]);
    let view = cluster.read(followers[1]).await;
    assert_eq!(names(&view), ["a"]);
    cluster.crash(followers[1]);
    let read = cluster.on(leader, async |handle| handle.linearizable().await.map(|view| names(&view))).await;
    assert!(read.is_err(), "{read:?}");
    cluster.start(followers[1]).await;
    cluster.write("b").await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 1)]
async fn a_single_server_stops_and_starts_within_its_own_files() {
    let mut cluster = Cluster::formed(1).await;
    cluster.write("a").await;
    for round in 0..3 {
        cluster.stop(ServerId(1)).await;
        assert!(!cluster.is_running(ServerId(1)));
        cluster.start(ServerId(1)).await;
        cluster.write(&format!("b{round}")).await;
    }
    assert_eq!(names(&cluster.handle(ServerId(1)).view()).len(), 4);
    let timeout = tokio::time::timeout(Duration::from_millis(1), cluster.handle(ServerId(1)).failed()).await;
    assert!(timeout.is_err(), "a healthy core is reported dead");
}
