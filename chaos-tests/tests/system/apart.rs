//! Machines with networks of their own: each rule between hosts does what it says, and nothing of it outlives its run.

use std::{fs, time::Duration};

use boss_chaos_tests::{
    cluster::{Apart, Cluster, Spec, Where, or_fail},
    manifests::record,
    needs,
    nemesis::{Family, run::leader_of},
    net::{self, Host, Network, Rules, Shape, Waiting},
    process::{Exit, Process},
    run_folder::RunFolder,
    wait,
};
use tokio::time::timeout;

/// For what needs an election or more.
const PATIENCE: Duration = Duration::from_secs(60);
/// For a packet that comes at all.
const PACKET: &str = "2";

/// Whether a packet of this host reaches the other one and is answered.
async fn reaches(network: &Network, from: Host, to: Host) -> bool {
    let place = network.place(from).expect("the host is there");
    // A refusal is an answer; silence is none.
    let script = format!("timeout {PACKET} bash -c 'exec 3<>/dev/tcp/{}/9' 2>&1 | grep -q refused", to.address());
    let line = place.command_line(&["sh", "-c", &script]);
    let mut command = std::process::Command::new(&line[0]);
    let process = Process::spawn(command.args(&line[1..])).expect("it starts");
    or_fail(process.wait(PATIENCE).await) == Exit::Code(0)
}

#[test]
fn hosts_reach_each_other_as_the_rules_say_and_are_gone_with_their_run() {
    if !needs::are_met(&[]) {
        return;
    }
    let (one, two) = (Host::server(1), Host::server(2));
    let kept = net::on_own_machine(async || {
        let folder = RunFolder::create().expect("a folder can be made");
        let network = Network::create(folder.path(), &[one, two], &[]).await.expect("root may do this");
        let place = network.place(one).expect("it was made");
        assert!(reaches(&network, one, two).await && reaches(&network, two, one).await);

        let mut rules = Rules::default();
        rules.cut(Shape::Isolate(1).links(&[1, 2], &[]));
        network.rule(&rules).await.expect("root may do this");
        assert!(!reaches(&network, one, two).await);
        let mut some = Rules::default();
        Shape::Isolate(1).links(&[1, 2], &[]).into_iter().for_each(|link| some.lose(link, 10));
        network.rule(&some).await.expect("root may do this");
        network.throttle(two, Some(256)).await.expect("root may do this");
        let reached = wait::until("they reach each other again", PATIENCE, async || {
            wait::holds(reaches(&network, one, two).await, "they do not")
        });
        or_fail(reached.await);
        network.throttle(two, None).await.expect("root may do this");
        place
    });
    let place = kept.expect("root may do this");
    assert!(fs::metadata(place.command_line(&[])[1].trim_start_matches("--net=")).is_err(), "its keeper is gone");
}

#[test]
fn what_a_server_sends_to_others_waits_as_long_as_its_wire_says() {
    if !needs::are_met(&[Family::Delay]) {
        return;
    }
    let (one, two) = (Host::server(1), Host::server(2));
    let done = net::on_own_machine(async || {
        let folder = RunFolder::create().expect("a folder can be made");
        let network = Network::create(folder.path(), &[one, two], &[one, two]).await.expect("root may do this");
        assert!(reaches(&network, one, two).await && reaches(&network, two, one).await);
        let wire = network.wire(one).expect("it has one");
        for reorder in [false, true] {
            wire.hold_up(Waiting { delay_ms: 300, jitter_ms: 100, reorder }).expect("it takes commands");
            for (from, to) in [(one, two), (two, one)] {
                let began = tokio::time::Instant::now();
                assert!(reaches(&network, from, to).await);
                assert!(began.elapsed() >= Duration::from_millis(300), "{:?}", began.elapsed());
            }
        }
        wire.hold_up(Waiting::default()).expect("it takes commands");
        let prompt = wait::until("nothing waits any more", PATIENCE, async || {
            let began = tokio::time::Instant::now();
            let reached = reaches(&network, one, two).await;
            wait::holds(reached && began.elapsed() < Duration::from_millis(300), format!("{:?}", began.elapsed()))
        });
        or_fail(prompt.await);
    });
    done.expect("root may do this");
}

#[test]
fn a_leader_that_is_cut_off_is_replaced_and_comes_back() {
    if !needs::are_met(&[]) {
        return;
    }
    let place = Where::Apart(Apart::default());
    net::on_own_machine(async || Box::pin(cut_the_leader(Spec { nodes: 1, place, ..Spec::default() })).await)
        .expect("root may do this");
}

async fn cut_the_leader(spec: Spec) {
    let cluster = Cluster::start(spec).await;
    let leader = cluster.leader().await;
    let servers: Vec<u64> = cluster.server_ids().collect();
    let network = cluster.network().expect("it has one");
    let mut rules = Rules::default();
    rules.cut(Shape::Isolate(leader).links(&servers, &[]));
    network.rule(&rules).await.expect("root may do this");
    let other = servers.iter().copied().find(|id| *id != leader).expect("there are three");
    let written = cluster.wait("the others go on", async || {
        let api = cluster.admin_at(other);
        api.create(record("meanwhile", "x")).await.map(drop).map_err(|status| status.to_string())
    });
    written.await;
    assert_ne!(leader_of(&cluster).await, Some(leader));
    let cut_off = cluster.admin_at(leader);
    let read = timeout(Duration::from_secs(3), cut_off.get::<boss_proto::v1::ServiceAccount>("default", "meanwhile"));
    assert!(!matches!(read.await, Ok(Ok(_))), "who is cut off cannot know");

    network.rule(&Rules::default()).await.expect("root may do this");
    cluster.wait_for_server(leader).await;
    cluster.assert_states_are_equal().await;
}
