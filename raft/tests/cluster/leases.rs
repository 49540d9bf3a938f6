//! Leaders that answer reads from their lease, and the voters that were restarted meanwhile.

use boss_proto::{
    ids::ServerId,
    raft::v1::{LogId, Vote, VoteRequest, peer_client::PeerClient},
};
use boss_raft::{ElectionProfile, PeerDialer, ReadMode, server_uri};

use crate::harness::{Cluster, cluster_id, names};

/// A cluster with leases of two seconds.
async fn with_leases() -> Cluster {
    let mut cluster = Cluster::new(3);
    cluster.profile = ElectionProfile::SlowDisk;
    cluster.reads = ReadMode::Lease;
    cluster.form().await;
    cluster
}

#[tokio::test(flavor = "multi_thread", worker_threads = 1)]
async fn reads_from_a_lease_see_every_write_on_every_server() {
    let cluster = with_leases().await;
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
async fn a_voter_that_was_restarted_votes_for_nobody_until_its_promise_is_over() {
    let mut cluster = with_leases().await;
    cluster.write("before").await;
    let leader = cluster.ready_leader().await;
    let others: Vec<_> = cluster.ids().into_iter().filter(|id| *id != leader).collect();
    let (voter, candidate) = (others[0], others[1]);
    cluster.stop(voter).await;
    cluster.start(voter).await;
    let refused = ask_for_vote(&cluster, voter, candidate).await.unwrap_err();
    assert_eq!(refused.code(), tonic::Code::Unavailable);
    assert!(refused.message().contains("promised"), "{refused}");
    // The promise runs out, and the cluster can elect with that voter.
    cluster.crash(leader);
    cluster.write("after").await;
    assert!(ask_for_vote(&cluster, voter, candidate).await.is_ok());
}

#[tokio::test(flavor = "multi_thread", worker_threads = 1)]
async fn a_cluster_that_was_down_as_a_whole_elects_when_its_promises_are_over() {
    let mut cluster = with_leases().await;
    cluster.write("before").await;
    for id in cluster.ids() {
        cluster.stop(id).await;
    }
    cluster.start_all().await;
    cluster.write("after").await;
    let id = cluster.ids()[0];
    let view = cluster.read(id).await;
    assert_eq!(names(&view), ["after", "before"]);
}

/// Whether `voter` would vote for `candidate`; changes nothing.
async fn ask_for_vote(cluster: &Cluster, voter: ServerId, candidate: ServerId) -> Result<bool, tonic::Status> {
    let own = cluster.identity(candidate, &server_uri(&cluster_id(), candidate));
    let member = cluster.members.iter().find(|member| member.id == voter).unwrap();
    let mut client = PeerClient::new(PeerDialer::tls(own, cluster_id()).dial(member).unwrap());
    let mut request = tonic::Request::new(VoteRequest {
        vote: Some(Vote { term: 1_000, server_id: candidate.0, ..Vote::default() }),
        last_log_id: Some(LogId { term: 1_000, index: 1_000_000 }),
        leadership_transfer: false,
        preliminary: true,
    });
    request.metadata_mut().insert("boss-cluster-id", "test-cluster".parse().unwrap());
    request.metadata_mut().insert("boss-from-server", candidate.0.into());
    request.metadata_mut().insert("boss-to-server", voter.0.into());
    client.request_vote(request).await.map(|answer| answer.into_inner().granted)
}
