//! A cluster grows and shrinks while clients write: nothing acknowledged is lost, nobody sees an error, and clients and
//! agents that were given one server outlive it.

use boss_base::tasks::Tasks;
use boss_chaos_tests::{
    bossctl_run::Bossctl,
    cluster::{Cluster, PATIENCE, Spec, or_fail},
    manifests::{pod, record},
    process::Exit,
    wait,
};
use boss_proto::{key::Key, v1};

use crate::load::{assert_nothing_is_lost, start_load};

/// What a server ends with that is no member any more.
const REMOVED: Exit = Exit::Code(3);
/// Removes a member that runs, and sees it end by itself.
async fn remove(cluster: &mut Cluster, id: u64) {
    let told = Bossctl::of(cluster).succeed(&["cluster", "remove", &id.to_string()]).await;
    assert!(told.contains("Done"), "{told}");
    assert_removed_ends(cluster, id).await;
}

async fn assert_removed_ends(cluster: &mut Cluster, id: u64) {
    let name = cluster.addresses(id).name.clone();
    let exit = or_fail(cluster.server(id).expect("the test has not stopped it").wait(PATIENCE).await);
    assert_eq!(exit, REMOVED, "{}", cluster.log_of(&name));
    cluster.kill_server(id);
}

#[tokio::test(flavor = "multi_thread")]
async fn one_server_becomes_three_then_five_then_three_others_under_load() {
    let mut cluster = Cluster::start(Spec { servers: 1, nodes: 1, ..Spec::default() }).await;
    let tasks = Tasks::new();
    let (writers, handles) = start_load(&cluster, &tasks);
    writers.go_on().await;
    for _ in 0..4 {
        cluster.add_server(&[]).await;
        writers.go_on().await;
    }
    assert_eq!(cluster.client(1).members().await.expect("it answers").members.len(), 5);
    // The one that everybody was given goes, and whoever leads then.
    remove(&mut cluster, 1).await;
    writers.go_on().await;
    let leader = cluster.leader().await;
    remove(&mut cluster, leader).await;
    writers.go_on().await;
    writers.stop(handles).await;
    tasks.cancel();
    assert_eq!(cluster.running_servers().len(), 3);
    cluster.assert_states_are_equal().await;
    assert_nothing_is_lost(&cluster, &writers).await;

    // The agent knew server 1 alone, and comes back without it.
    cluster.admin().create(pod("sleeper", &["/bin/sleep", "600"])).await.expect("the cluster works");
    cluster.wait_for_phase("sleeper", "Running").await;
    cluster.kill_node(0);
    cluster.start_node(0);
    cluster.admin().delete::<v1::Pod>("default", "sleeper").await.expect("it is there");
    cluster.wait_until_gone::<v1::Pod>("default", "sleeper").await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_dead_member_is_replaced_by_a_fresh_one_under_a_fresh_id() {
    let mut cluster = Cluster::start(Spec { nodes: 0, ..Spec::default() }).await;
    let leader = cluster.leader().await;
    let dead = cluster.server_ids().find(|id| *id != leader).expect("there are three");
    cluster.admin().create(record("before", "x")).await.expect("the cluster works");
    cluster.kill_server(dead);
    let fresh = cluster.add_server(&["--replaces", &dead.to_string()]).await;
    assert_eq!(fresh, 4);
    let gone = wait::until("the dead one is no member", PATIENCE, async || {
        let members = cluster.admin_at(leader).members().await.map_err(|status| status.to_string())?;
        let ids: Vec<u64> = members.members.iter().map(|member| member.id).collect();
        wait::holds(!ids.contains(&dead) && ids.len() == 3, format!("{ids:?}"))
    });
    or_fail(gone.await);
    cluster.wait_for_server(fresh).await;
    cluster.admin_at(fresh).get::<v1::ServiceAccount>("default", "before").await.expect("nothing is lost");
    // Back from the dead it is told to end, and does.
    cluster.start_server(dead);
    assert_removed_ends(&mut cluster, dead).await;
    cluster.assert_states_are_equal().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn an_addition_goes_on_when_its_leader_is_killed() {
    let mut cluster = Cluster::start(Spec { nodes: 0, ..Spec::default() }).await;
    let newcomer = cluster.newcomer("new");
    let token = cluster.join_token(&[]).await;
    let leader = cluster.leader().await;
    let joined = cluster.join(&newcomer, &token, &[]).await;
    assert_eq!(joined.code, 0, "{joined:?}");
    // The change is written down and waits for the new server; the leader that began it is gone before that comes.
    cluster.kill_server(leader);
    let id = cluster.start_newcomer(newcomer);
    cluster.wait_for_vote(id).await;
    cluster.start_server(leader);
    cluster.wait_for_server(leader).await;
    cluster.admin().create(record("after", "x")).await.expect("the cluster works");
    cluster.assert_states_are_equal().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_server_is_added_and_replaced_from_the_folder_of_the_cluster() {
    let mut cluster = Cluster::start(Spec { servers: 1, nodes: 0, ..Spec::default() }).await;
    let desk = cluster.layout().directory().to_str().expect("a path of ours").to_owned();
    let bossctl = Bossctl::of(&cluster);
    for (options, name) in [(vec!["add"], "second"), (vec!["replace", "2"], "third")] {
        let mut newcomer = cluster.newcomer(name);
        let (text, http) = (newcomer.text(), newcomer.server.http.clone());
        let args = [&["cluster"][..], &options, &[&text, "--dir", &desk, "--http", &http]].concat();
        bossctl.succeed(&args).await;
        let id = cluster.server_ids().count() + 1;
        newcomer.dir = cluster.layout().directory().join(format!("servers/{name}-{id}"));
        let id = cluster.start_newcomer(newcomer);
        cluster.wait_for_vote(id).await;
    }
    assert_removed_ends(&mut cluster, 2).await;
    assert_eq!(cluster.client(1).members().await.expect("it answers").members.len(), 2);
    let key = Key::control_plane();
    assert!(cluster.client(3).get(&key).await.is_ok(), "the new one answers");
}
