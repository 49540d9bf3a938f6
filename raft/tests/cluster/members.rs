//! Members come and go, and who has no place any more is told so.

use std::collections::BTreeSet;

use boss_proto::{
    ids::ServerId,
    raft::v1::Operation,
    v1::{ControlPlane, ControlPlaneSpec, ObjectMeta},
};
use boss_raft::{
    ChangeError, Handle, Member, TransferError,
    state::{Outcome, Rejection},
};

use super::harness::{Cluster, eventually, names, operation};

/// Why a server ended: its core failed, or it has no place in the cluster.
pub(crate) async fn ended(handle: Handle) -> String {
    tokio::select! {
        reason = handle.failed() => reason,
        reason = handle.expelled() => reason,
    }
}

fn voters(ids: &[ServerId]) -> BTreeSet<ServerId> {
    ids.iter().copied().collect()
}

/// Does a step on whoever leads, until it is done.
async fn step<F>(cluster: &Cluster, step: impl Fn(Handle) -> F)
where
    F: Future<Output = Result<(), ChangeError>> + Send + 'static,
{
    loop {
        let leader = cluster.ready_leader().await;
        match cluster.on(leader, &step).await {
            Ok(()) => return,
            Err(ChangeError::NotLeader | ChangeError::InProgress | ChangeError::Timeout) => {}
            Err(error) => panic!("{error}"),
        }
    }
}

async fn set_voters(cluster: &Cluster, ids: &[ServerId]) {
    let wanted = voters(ids);
    step(cluster, move |handle| {
        let wanted = wanted.clone();
        async move { handle.set_voters(wanted).await }
    })
    .await;
}

/// Adds a running server with a vote.
async fn add(cluster: &mut Cluster) -> Member {
    let before = cluster.handle(cluster.ready_leader().await).status().voters;
    let member = cluster.start_another().await;
    let learner = member.clone();
    step(cluster, move |handle| {
        let learner = learner.clone();
        async move { handle.add_learner(&learner).await }
    })
    .await;
    let revision = cluster.write(&format!("with-{}", member.id)).await;
    cluster.applied(member.id, revision).await;
    let mut all = before;
    all.push(member.id);
    set_voters(cluster, &all).await;
    member
}

/// As the leader's loop does once a removal is committed.
async fn mark_removed(handle: &Handle, id: u64) {
    let spec = ControlPlaneSpec { removed_server_ids: vec![id], ..Default::default() };
    let metadata = ObjectMeta { name: "boss".to_owned(), uid: "cp".to_owned(), ..Default::default() };
    let plane = ControlPlane { metadata: Some(metadata), spec: Some(spec), ..Default::default() };
    let leader = Operation { leader_term: Some(handle.leadership().borrow().term), ..operation(handle, plane.into()) };
    let outcome = handle.propose(vec![leader]).await.unwrap().remove(0);
    assert!(matches!(outcome, Outcome::Written { .. }), "{outcome:?}");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 1)]
async fn the_control_planes_object_is_written_by_leaders_only() {
    let cluster = Cluster::formed(1).await;
    let leader = cluster.leader_handle().await;
    let metadata = ObjectMeta { name: "boss".to_owned(), uid: "cp".to_owned(), ..Default::default() };
    let plane = ControlPlane { metadata: Some(metadata), ..Default::default() };
    let write = operation(&leader, plane.into());
    let outcome = cluster.on(ServerId(1), async move |handle| handle.propose(vec![write]).await.unwrap()).await;
    assert!(matches!(outcome[0], Outcome::Rejected(Rejection::Forbidden { .. })), "{outcome:?}");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 1)]
async fn a_group_grows_from_one_to_three_and_shrinks_again() {
    let mut cluster = Cluster::formed(1).await;
    cluster.write("alone").await;
    add(&mut cluster).await;
    add(&mut cluster).await;
    let leader = cluster.leader_handle().await;
    assert_eq!(leader.status().voters, [1, 2, 3].map(ServerId));
    set_voters(&cluster, &[ServerId(1), ServerId(3)]).await;
    let leader = cluster.ready_leader().await;
    cluster.on(leader, async |handle| mark_removed(&handle, 2).await).await;
    let revision = cluster.write("without-2").await;
    cluster.applied(ServerId(3), revision).await;
    let reason = cluster.on(ServerId(2), ended).await;
    assert!(reason.contains("server 2 has been removed"), "{reason}");
    let kept = names(&cluster.handle(ServerId(3)).view());
    assert!(["alone", "with-2", "with-3", "without-2"].iter().all(|name| kept.contains(&(*name).to_owned())));
}

#[tokio::test(flavor = "multi_thread", worker_threads = 1)]
async fn a_new_leader_finishes_a_change_of_voters_that_was_left_halfway() {
    let mut cluster = Cluster::formed(3).await;
    let member = add(&mut cluster).await;
    let leader = cluster.ready_leader().await;
    // The change is asked for and the leader dies: whatever is left is for the next one.
    let mut wanted: Vec<ServerId> = cluster.ids();
    wanted.retain(|id| *id != member.id);
    let target = voters(&wanted);
    let cut = cluster.ids().into_iter().filter(|id| *id != leader).collect::<Vec<_>>();
    cluster.cut_off(leader);
    let halfway = cluster.on(leader, {
        let target = target.clone();
        async move |handle| {
            tokio::time::timeout(std::time::Duration::from_millis(100), handle.set_voters(target)).await.is_ok()
        }
    });
    assert!(!halfway.await, "nobody could agree");
    cluster.crash(leader);
    cluster.heal();
    let next = cluster.ready_leader_but(Some(leader)).await;
    assert!(cut.contains(&next));
    set_voters(&cluster, &wanted).await;
    let status = cluster.leader_handle().await.status();
    assert_eq!(status.voters, wanted);
    assert!(!cluster.leader_handle().await.is_between_voters());
}

#[tokio::test(flavor = "multi_thread", worker_threads = 1)]
async fn leadership_goes_to_the_voter_that_is_named() {
    let cluster = Cluster::formed(3).await;
    let leader = cluster.ready_leader().await;
    let to = cluster.ids().into_iter().find(|id| *id != leader).unwrap();
    let now = cluster.on(leader, async move |handle| handle.transfer_leader(Some(to)).await).await;
    assert_eq!(now, Ok(to));
    let again = cluster.on(leader, async |handle| handle.transfer_leader(None).await).await;
    assert_eq!(again, Err(TransferError::NotLeader));
    let stranger = cluster.on(to, async |handle| handle.transfer_leader(Some(ServerId(9))).await).await;
    assert_eq!(stranger, Err(TransferError::NoVoter(ServerId(9))));
    cluster.write("after").await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 1)]
async fn a_wiped_voter_is_refused_by_everyone_also_after_the_leader_has_changed() {
    let mut cluster = Cluster::formed(3).await;
    cluster.write("a").await;
    step(&cluster, |handle| async move { handle.pin_folders().await.map(|all| assert!(all, "all members answer")) })
        .await;
    let leader = cluster.ready_leader().await;
    let others: Vec<ServerId> = cluster.ids().into_iter().filter(|id| *id != leader).collect();
    let (wiped, successor) = (others[0], others[1]);
    cluster.stop(wiped).await;
    std::fs::remove_dir_all(cluster.data_dir(wiped)).unwrap();
    // The leader whose memory holds what was acknowledged is gone; only the members' list knows the folder.
    let now = cluster.on(leader, async move |handle| handle.transfer_leader(Some(successor)).await).await;
    assert_eq!(now, Ok(successor));
    cluster.start(wiped).await;
    let reason = cluster.on(wiped, ended).await;
    assert!(reason.contains("data folder"), "{reason}");
    cluster.crash(wiped);
    cluster.write("b").await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 1)]
async fn health_tells_who_answers_and_how_far_everybody_is() {
    let mut cluster = Cluster::formed(3).await;
    let away = ServerId(3);
    cluster.crash(away);
    cluster.write("a").await;
    let leader = cluster.ready_leader().await;
    let handle = cluster.handle(leader);
    let last = handle.status().last_log_index;
    let present = cluster.ids().into_iter().find(|id| *id != leader && *id != away).unwrap();
    eventually("the other follower has the entry", || cluster.handle(present).status().last_log_index >= last).await;
    let health = cluster.on(leader, async |handle| handle.health().await).await;
    for member in health {
        assert!(member.voter);
        assert_eq!(member.last_log_index.is_ok_and(|index| index >= last), member.member.id != away);
    }
}
