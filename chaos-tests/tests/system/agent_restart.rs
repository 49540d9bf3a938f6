//! The agent may die at any moment; its sandboxes notice nothing.

use std::{fs, path::Path};

use boss_chaos_tests::{
    cluster::{Cluster, Spec},
    look,
    manifests::{shell_pod, with_restart_policy},
    process::{Exit, kill_process},
    wait,
};
use boss_proto::v1;
use nix::sys::signal::Signal;

/// Lines that the pod must write while no agent is there.
const LINES: u64 = 30;

#[tokio::test(flavor = "multi_thread")]
async fn a_killed_agent_adopts_its_sandboxes_and_no_line_of_output_is_missing() {
    check_restart(End::Kill).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn an_agent_that_is_stopped_cleanly_leaves_its_sandboxes_running() {
    check_restart(End::Stop).await;
}

enum End {
    Kill,
    Stop,
}

async fn check_restart(end: End) {
    let mut cluster = Cluster::start(Spec { servers: 1, ..Spec::default() }).await;
    let counter = cluster.folder().join("counter");
    let script =
        format!("i=0; while :; do i=$((i+1)); echo line $i; echo $i > {}; sleep 0.02; done", counter.display());
    cluster.admin().create(shell_pod("talker", &script)).await.expect("the pod is fine");
    let before = cluster.wait_for_phase("talker", "Running").await;
    let process = look::process_of(&before).expect("it runs");
    wait_for_lines(&cluster, &counter, LINES).await;

    match end {
        End::Kill => cluster.kill_node(0),
        End::Stop => assert_eq!(cluster.stop_node(0).await, Exit::Code(0)),
    }
    let written = read_counter(&counter);
    wait_for_lines(&cluster, &counter, written + LINES).await;
    assert!(process.is_alive(), "the sandbox died with the agent");

    cluster.start_node(0);
    cluster.wait_for_node(0).await;
    let written = read_counter(&counter);
    wait_for_lines(&cluster, &counter, written + LINES).await;
    let lines = cluster
        .wait("the log reaches the lines after the restart", async || {
            let lines = cluster.admin().log_lines("default", "talker").await.map_err(|status| status.to_string())?;
            wait::holds(lines.len() as u64 >= written + LINES, format!("{} lines", lines.len())).map(|()| lines)
        })
        .await;
    look::check_numbered(&lines, "line").expect("every line is there once");

    let after = cluster.admin().get::<v1::Pod>("default", "talker").await.expect("it is there");
    assert_eq!(look::process_of(&after), Some(process), "same process, same start time");
    let status = after.status.unwrap_or_default();
    assert_eq!((status.phase.as_str(), status.attempt), ("Running", 1));
    assert_eq!(status.container_statuses[0].restart_count, 0);

    cluster.admin().delete::<v1::Pod>("default", "talker").await.expect("it may be deleted");
    cluster.wait_until_gone::<v1::Pod>("default", "talker").await;
    assert!(!process.is_alive(), "an adopted sandbox is stopped like any other");
}

#[tokio::test(flavor = "multi_thread")]
async fn an_agent_that_lost_its_folder_runs_no_pod_twice() {
    let mut cluster = Cluster::start(Spec { servers: 1, ..Spec::default() }).await;
    let (lock, met) = (cluster.folder().join("lock"), cluster.folder().join("met"));
    let script = format!("exec 9>{}; flock -n 9 || echo met >> {}; exec sleep 312", lock.display(), met.display());
    let pod = with_restart_policy(shell_pod("lonely", &script), "Always");
    cluster.admin().create(pod).await.expect("the pod is fine");
    let first = look::process_of(&cluster.wait_for_phase("lonely", "Running").await).expect("it runs");
    cluster.kill_node(0);
    fs::remove_dir_all(cluster.state_of(0)).expect("the folder is ours");
    assert!(first.is_alive(), "nobody has ended it yet");
    cluster.start_node(0);
    let again = cluster
        .wait_for_pod("lonely", "runs again", |pod| {
            let process = look::process_of(pod).filter(|process| *process != first);
            process.ok_or_else(|| "it has no other process".to_owned())
        })
        .await;
    assert!(again.is_alive() && !first.is_alive());
    assert!(!met.exists(), "two of them ran at once");
}

#[tokio::test(flavor = "multi_thread")]
async fn what_ends_while_no_agent_is_there_is_reported_by_the_next_one() {
    let mut cluster = Cluster::start(Spec { servers: 1, ..Spec::default() }).await;
    cluster.admin().create(shell_pod("short", "echo started; sleep 306; exit 0")).await.expect("the pod is fine");
    let process = look::process_of(&cluster.wait_for_phase("short", "Running").await).expect("it runs");
    cluster.kill_node(0);
    assert!(kill_process(process, Signal::SIGKILL));
    cluster.start_node(0);
    let failed = cluster.wait_for_phase("short", "Failed").await;
    let state = look::container_status(&failed).and_then(|status| status.state.clone()).unwrap_or_default();
    assert_eq!(state.terminated.map(|end| end.signal), Some(9));
}

#[tokio::test(flavor = "multi_thread")]
async fn an_agent_moves_to_another_server_when_its_own_dies() {
    let mut cluster = Cluster::start(Spec::default()).await;
    // Whichever server holds the session and the watch, one of these deaths hits it.
    for id in cluster.server_ids() {
        cluster.kill_server(id);
        let name = format!("after-{id}");
        let api = cluster.admin();
        cluster
            .wait(format!("a pod is created without server {id}"), async || {
                match api.create(shell_pod(&name, "sleep 307")).await {
                    Err(status) if status.code() != tonic::Code::AlreadyExists => Err(status.to_string()),
                    _ => Ok(()),
                }
            })
            .await;
        cluster.wait_for_phase(&name, "Running").await;
        cluster.start_server(id);
        cluster.wait_for_server(id).await;
    }
    cluster.assert_states_are_equal().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn what_is_unknown_of_a_silent_node_is_said_and_corrected_when_it_is_back() {
    let mut cluster = Cluster::start(Spec { servers: 1, ..Spec::default() }).await;
    cluster.admin().create(shell_pod("quiet", "exec sleep 311")).await.expect("the pod is fine");
    let process = look::process_of(&cluster.wait_for_phase("quiet", "Running").await).expect("it runs");
    cluster.kill_node(0);
    cluster.wait_for_phase("quiet", "Unknown").await;
    let node = cluster.admin().get::<v1::Node>("", "node-1").await.expect("it is there");
    let conditions = node.status.unwrap_or_default().conditions;
    let ready = conditions.iter().find(|condition| condition.r#type == "Ready").expect("it was ready");
    assert_eq!(ready.status, "Unknown", "{ready:?}");

    cluster.start_node(0);
    cluster.wait_for_node(0).await;
    let back = cluster.wait_for_phase("quiet", "Running").await;
    assert_eq!(look::process_of(&back), Some(process), "nothing was restarted");
}

async fn wait_for_lines(cluster: &Cluster, counter: &Path, lines: u64) {
    let what = format!("the pod has written {lines} lines");
    cluster
        .wait(what, async || {
            let now = read_counter(counter);
            wait::holds(now >= lines, format!("{now} lines"))
        })
        .await;
}

// Between truncation and write the file is empty.
fn read_counter(path: &Path) -> u64 {
    fs::read_to_string(path).ok().and_then(|text| text.trim().parse().ok()).unwrap_or(0)
}
