//! Servers whose states differ although they applied the same entries.

use boss_proto::ids::{Revision, ServerId};
use boss_raft::{HashCheck, ReadError, Verdict, state::View};

use crate::{
    flip::label_namespace,
    harness::{Cluster, eventually, names},
};

/// A cluster with a namespace `a`, in which each of these servers has a state of its own: of the given mark.
async fn with_flipped(size: u64, flipped: &[(ServerId, ServerId)]) -> Cluster {
    let mut cluster = Cluster::formed(size).await;
    let last = cluster.write("a").await;
    for id in cluster.ids() {
        cluster.applied(id, last).await;
    }
    for (id, mark) in flipped {
        cluster.stop(*id).await;
        label_namespace(&cluster.data_dir(*id), "a", *mark);
        cluster.start(*id).await;
        // Before the next one stops: the cluster keeps its quorum.
        let last = cluster.write(&format!("after-{id}")).await;
        cluster.applied(*id, last).await;
    }
    cluster
}

/// On a busy machine a leader may be missing for a while.
async fn read(cluster: &Cluster, id: ServerId) -> View {
    loop {
        if let Ok(view) = cluster.on(id, async |handle| handle.linearizable().await).await {
            return view;
        }
    }
}

async fn check(cluster: &Cluster) -> HashCheck {
    loop {
        let leader = cluster.ready_leader().await;
        // The leader may change on a busy machine.
        if let Ok(check) = cluster.on(leader, async |handle| handle.check_hashes().await).await
            && check.answers.iter().all(|answer| answer.hash.is_ok())
        {
            return check;
        }
    }
}

/// Waits until the server wants to be started with a state that it has fetched, and starts it so.
async fn restarted(cluster: &mut Cluster, id: ServerId) {
    let reason = cluster.on(id, async |handle| handle.wants_restart().await).await;
    assert!(reason.contains("differed from the majority's"), "{reason}");
    let read = cluster.on(id, async |handle| handle.linearizable().await.map(drop)).await;
    assert_eq!(read, Err(ReadError::Aside), "it serves nobody");
    let read = cluster.on(id, async |handle| handle.at_least(Revision::ZERO).await.map(drop)).await;
    assert_eq!(read, Err(ReadError::Aside), "nor does it show what it has");
    cluster.stop(id).await;
    cluster.start(id).await;
    let notice = cluster.handle(id).notice().map(str::to_owned).unwrap_or_default();
    assert!(notice.contains("differed from the majority's") && notice.contains("replaced"), "{notice}");
}

/// All servers have the same state, and that of the majority.
async fn assert_healed(cluster: &Cluster) {
    let last = cluster.write("healed").await;
    for id in cluster.ids() {
        cluster.applied(id, last).await;
        let view = cluster.handle(id).view();
        let record = view.get(&boss_proto::key::Key::new(boss_proto::kind::Kind::Namespace, "", "a")).unwrap();
        assert!(record.metadata().labels.is_empty(), "server {id} shows what nobody wrote");
    }
    let check = check(cluster).await;
    assert_eq!(check.verdict, Verdict::Agreed, "{check:?}");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 1)]
async fn equal_servers_agree_on_their_hash() {
    let cluster = Cluster::formed(3).await;
    cluster.write("a").await;
    let check = check(&cluster).await;
    assert_eq!(check.verdict, Verdict::Agreed, "{check:?}");
    assert_eq!(check.agreeing().count(), 3, "{check:?}");
    let leader = cluster.ready_leader().await;
    assert_eq!(cluster.handle(leader).alarm(), None);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 1)]
async fn a_follower_with_another_state_steps_aside_and_comes_back_with_the_majoritys() {
    let odd = ServerId(3);
    let mut cluster = with_flipped(3, &[(odd, odd)]).await;
    // Only who leads hands over.
    if cluster.ready_leader().await == odd {
        cluster.on(odd, async |handle| handle.transfer_leader(None).await.map(drop)).await.ok();
        cluster.ready_leader_but(Some(odd)).await;
    }
    let found = check(&cluster).await;
    assert_eq!(found.odd().collect::<Vec<_>>(), [odd], "{found:?}");
    let alarms = cluster.ids().into_iter().filter_map(|id| cluster.handle(id).alarm());
    assert!(alarms.into_iter().any(|alarm| alarm.contains("server 3")), "the leader tells");
    restarted(&mut cluster, odd).await;
    assert_healed(&cluster).await;
    // An ordinary start tells nothing any more.
    cluster.stop(odd).await;
    cluster.start(odd).await;
    assert_eq!(cluster.handle(odd).notice(), None);
    assert_healed_names(&cluster, odd).await;
}

async fn assert_healed_names(cluster: &Cluster, id: ServerId) {
    let view = read(cluster, id).await;
    assert_eq!(names(&view), ["a", "after-3", "healed"]);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 1)]
async fn a_leader_with_another_state_hands_over_and_replaces_it() {
    let odd = ServerId(2);
    let mut cluster = with_flipped(3, &[(odd, odd)]).await;
    let mut leader = cluster.ready_leader().await;
    while leader != odd {
        drop(cluster.on(leader, async move |handle| handle.transfer_leader(Some(odd)).await).await);
        leader = cluster.ready_leader().await;
    }
    let found = check(&cluster).await;
    assert_eq!(found.odd().collect::<Vec<_>>(), [odd], "{found:?}");
    let successor = cluster.ready_leader_but(Some(odd)).await;
    assert_ne!(successor, odd);
    restarted(&mut cluster, odd).await;
    assert_healed(&cluster).await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 1)]
async fn the_leader_compares_by_itself_when_there_is_a_hash_to_compare() {
    let odd = ServerId(1);
    let mut cluster = with_flipped(3, &[(odd, odd)]).await;
    // An entry without operations is one after which everybody notes the hash, like each 1,024th.
    let mut noted = false;
    while !noted {
        let leader = cluster.ready_leader().await;
        noted = cluster.on(leader, async |handle| handle.propose(Vec::new()).await.is_ok()).await;
    }
    restarted(&mut cluster, odd).await;
    assert_healed(&cluster).await;
}

/// Nobody can tell who is right: all go on, and somebody must look.
async fn nobody_steps_aside(cluster: &Cluster) {
    let found = check(cluster).await;
    assert_eq!((found.verdict, found.agreed), (Verdict::NoMajority, None), "{found:?}");
    let cluster_alarm = || cluster.ids().into_iter().find_map(|id| cluster.handle(id).alarm());
    eventually("the leader raises the alarm", || cluster_alarm().is_some()).await;
    assert!(cluster_alarm().is_some_and(|alarm| alarm.contains("none of them has a majority")));
    for id in cluster.ids() {
        assert_eq!(cluster.handle(id).why_aside(), None, "server {id}");
        read(cluster, id).await;
    }
    cluster.write("they-go-on").await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 1)]
async fn two_states_of_two_servers_each_raise_the_alarm_and_nobody_steps_aside() {
    let (one, two) = (ServerId(1), ServerId(2));
    let cluster = with_flipped(4, &[(one, one), (two, one)]).await;
    nobody_steps_aside(&cluster).await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 1)]
async fn three_states_of_one_server_each_raise_the_alarm_and_nobody_steps_aside() {
    let (one, two) = (ServerId(1), ServerId(2));
    let cluster = with_flipped(3, &[(one, one), (two, two)]).await;
    nobody_steps_aside(&cluster).await;
}
