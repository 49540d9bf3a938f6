//! Operating on the control plane itself while it serves: the leadership moves, a server is removed, what would lose
//! the quorum is refused, the history is compacted, and only administrators may do any of it.

use boss_chaos_tests::{
    bossctl_run::Bossctl,
    cluster::{Cluster, Spec},
    manifests::record,
};
use boss_client::Error;
use boss_proto::v1;

#[tokio::test(flavor = "multi_thread")]
async fn the_leadership_goes_to_the_server_that_is_named() {
    let cluster = Cluster::start(Spec { nodes: 0, ..Spec::default() }).await;
    let leader = cluster.leader().await;
    let successor = cluster.server_ids().find(|id| *id != leader).expect("there are three");
    // Asked of a follower, which passes it on.
    let led = cluster.client(successor).transfer_leader(Some(successor)).await.expect("it is caught up");
    assert_eq!(led.leader_id, successor);
    assert_eq!(cluster.leader().await, successor);
    cluster.client(leader).create(record("after", "x").into()).await.expect("the new leader takes writes");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_removed_server_is_no_member_any_more_and_the_others_go_on() {
    let mut cluster = Cluster::start(Spec { nodes: 0, ..Spec::default() }).await;
    let leader = cluster.leader().await;
    cluster.admin().create(record("before", "x")).await.expect("the cluster works");
    let gone = cluster.server_ids().find(|id| *id != leader).expect("there are three");
    let bossctl = Bossctl::of(&cluster);
    let told = bossctl.succeed(&["cluster", "remove", &gone.to_string()]).await;
    assert!(told.contains("Done"), "{told}");

    let members = cluster.admin_at(leader).members().await.expect("it answers").members;
    assert_eq!(members.len(), 2, "{members:?}");
    assert!(members.iter().all(|member| member.id != gone), "{members:?}");
    cluster.kill_server(gone);
    cluster.admin_at(leader).get::<v1::ServiceAccount>("default", "before").await.expect("nothing is lost");
    cluster.admin_at(leader).create(record("after", "x")).await.expect("two of two are a majority");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_removal_that_would_lose_the_quorum_is_refused_and_changes_nothing() {
    let mut cluster = Cluster::start(Spec { nodes: 0, ..Spec::default() }).await;
    let leader = cluster.leader().await;
    let others: Vec<u64> = cluster.server_ids().filter(|id| *id != leader).collect();
    cluster.kill_server(others[0]);
    let client = cluster.client(leader);
    let request = v1::RemoveServerRequest { server_id: others[1], request_id: "r1".to_owned(), force: false };
    let refused = client.remove_server(request).await.expect_err("one of two would be left");
    assert!(matches!(refused, Error::Precondition(_)), "{refused:?}");
    assert_eq!(client.members().await.expect("it answers").members.len(), 3);
    client.create(record("after", "x").into()).await.expect("two of three are a majority");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_compacted_history_tells_who_resumes_below_it_to_list_again() {
    let cluster = Cluster::start(Spec { nodes: 0, ..Spec::default() }).await;
    let admin = cluster.admin();
    let first = admin.create(record("one", "x")).await.expect("the cluster works").revision;
    admin.create(record("two", "x")).await.expect("the cluster works");
    let client = cluster.client(cluster.leader().await);
    let floor = client.compact(None).await.expect("it leads").floor;
    assert!(floor > first.0, "{floor} {first}");
    let mut watch = admin.watch::<v1::ServiceAccount>("default", Some(first)).await;
    let refused = match &mut watch {
        Ok(watch) => watch.next().await.err(),
        Err(status) => Some(status.clone()),
    };
    let refused = refused.expect("the history begins later");
    assert_eq!(boss_chaos_tests::api::error_info(&refused).reason, "EXPIRED", "{refused}");
}

#[tokio::test(flavor = "multi_thread")]
async fn somebody_without_the_right_operates_on_nothing() {
    let cluster = Cluster::start(Spec { nodes: 0, ..Spec::default() }).await;
    let eve = cluster.client_of("eve", cluster.leader().await);
    let refusals = [
        eve.transfer_leader(None).await.err(),
        eve.compact(None).await.err(),
        eve.remove_server(v1::RemoveServerRequest { server_id: 2, ..Default::default() }).await.err(),
        eve.create_join_token(v1::CreateJoinTokenRequest { ttl_seconds: 60, ..Default::default() }).await.err(),
        eve.join_tokens().await.err(),
        eve.revoke_join_token("any".to_owned()).await.err(),
        eve.membership_change(1).await.err(),
        eve.cancel_membership_change(1).await.err(),
    ];
    for (index, refused) in refusals.into_iter().enumerate() {
        assert!(matches!(refused, Some(Error::Forbidden(_))), "call {index}: {refused:?}");
    }
}
