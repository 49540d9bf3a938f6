//! The main job: a pod becomes a process, is watched over, and is gone when it is deleted.

use boss_chaos_tests::{
    cluster::{Cluster, Spec, refusal},
    look,
    manifests::{pod, shell_pod, with_requests, with_restart_policy},
    proc::{self, ProcessId},
    process::kill_process,
    wait,
};
use boss_proto::v1;
use nix::sys::signal::Signal;

#[tokio::test(flavor = "multi_thread")]
async fn a_created_pod_runs_as_a_process_of_its_node_and_a_deleted_one_does_not() {
    let cluster = Cluster::start(Spec::default()).await;
    let admin = cluster.admin();

    let created = admin.create(pod("sleeper", &["sleep", "300"])).await.expect("the pod is fine").object;
    let running = cluster.wait_for_phase("sleeper", "Running").await;
    let process = look::process_of(&running).expect("the status names a process that runs");
    assert_eq!(proc::command_line(process.pid), "sleep 300");
    let status = running.status.clone().unwrap_or_default();
    assert_eq!((status.class.as_str(), status.provider.as_str(), status.attempt), ("process", "process", 1));
    assert_eq!(running.spec.as_ref().map(|spec| spec.node_name.as_str()), Some(cluster.node_name(0)));
    assert!(status.scheduled_at.is_some() && status.runtime_ready_at.is_some(), "the stages are there: {status:?}");

    let deleted = admin.delete::<v1::Pod>("default", "sleeper").await.expect("the pod may be deleted");
    assert!(!deleted.gone, "a bound pod is there until its node has proven that nothing runs");
    cluster.wait_until_gone::<v1::Pod>("default", "sleeper").await;
    assert!(!process.is_alive(), "the pod is gone, but {process:?} runs");

    let again = admin.create(pod("sleeper", &["sleep", "300"])).await.expect("the name is free again").object;
    assert_ne!(uid(&created), uid(&again), "a new object has a new uid");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_deleted_pod_takes_the_whole_tree_of_its_processes_along() {
    let cluster = Cluster::start(Spec { servers: 1, ..Spec::default() }).await;
    let admin = cluster.admin();
    // None of them listens to SIGTERM, and one has left the session of the others.
    let script = "trap '' TERM; sleep 301 & setsid sh -c 'trap \"\" TERM; sleep 302; :' & sleep 303; wait";
    admin.create(shell_pod("stubborn", script)).await.expect("the pod is fine");
    let running = cluster.wait_for_phase("stubborn", "Running").await;
    let main = look::process_of(&running).expect("it runs");
    let tree = cluster
        .wait("the pod has all its processes", async || {
            let found: Vec<ProcessId> = proc::descendants(&[main.pid]).iter().map(|stat| stat.id).collect();
            wait::holds(found.len() >= 4, format!("{found:?}")).map(|()| found)
        })
        .await;

    admin.delete::<v1::Pod>("default", "stubborn").await.expect("the pod may be deleted");
    cluster.wait_until_gone::<v1::Pod>("default", "stubborn").await;
    let alive: Vec<String> =
        tree.iter().chain([&main]).filter(|id| id.is_alive()).map(|id| proc::command_line(id.pid)).collect();
    assert!(alive.is_empty(), "the pod is gone, but these run: {alive:?}");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_process_killed_from_outside_is_restarted_by_policy_and_the_status_says_so() {
    let cluster = Cluster::start(Spec { servers: 1, ..Spec::default() }).await;
    let admin = cluster.admin();
    admin.create(with_restart_policy(pod("always", &["sleep", "304"]), "Always")).await.expect("the pod is fine");
    admin.create(pod("never", &["sleep", "305"])).await.expect("the pod is fine");
    let first = look::process_of(&cluster.wait_for_phase("always", "Running").await).expect("it runs");
    let other = look::process_of(&cluster.wait_for_phase("never", "Running").await).expect("it runs");
    assert!(kill_process(first, Signal::SIGKILL) && kill_process(other, Signal::SIGKILL));

    let restarted = cluster
        .wait_for_pod("always", "restarted", |pod| {
            let process = look::process_of(pod).ok_or("it names no process")?;
            wait::holds(process != first, "it names the old process").map(|()| pod.clone())
        })
        .await;
    let status = look::container_status(&restarted).expect("a running pod has one");
    assert_eq!(status.restart_count, 1);
    assert_eq!(restarted.status.as_ref().map(|status| status.attempt), Some(2), "the fence moved on");
    assert_eq!(look::last_termination(&restarted).map(|last| last.signal), Some(9), "{status:?}");

    let failed = cluster.wait_for_phase("never", "Failed").await;
    let status = look::container_status(&failed).expect("it ran");
    let end = status.state.as_ref().and_then(|state| state.terminated.as_ref()).expect("it ended");
    assert_eq!((end.signal, status.restart_count), (9, 0));
}

#[tokio::test(flavor = "multi_thread")]
async fn the_end_of_a_process_decides_the_phase() {
    let cluster = Cluster::start(Spec { servers: 1, ..Spec::default() }).await;
    let admin = cluster.admin();
    admin.create(shell_pod("good", "echo done")).await.expect("the pod is fine");
    admin.create(shell_pod("bad", "exit 3")).await.expect("the pod is fine");
    admin.create(pod("missing", &["/no/such/program"])).await.expect("only the node can know");
    cluster.wait_for_phase("good", "Succeeded").await;
    let bad = cluster.wait_for_phase("bad", "Failed").await;
    let state = look::container_status(&bad).and_then(|status| status.state.clone()).unwrap_or_default();
    assert_eq!(state.terminated.map(|end| end.exit_code), Some(3));
    let missing = cluster.wait_for_phase("missing", "Failed").await.status.unwrap_or_default();
    assert_eq!(missing.reason, "StartFailed", "{missing:?}");
    assert!(missing.message.contains("/no/such/program"), "{missing:?}");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_pod_that_fits_no_node_stays_pending_with_the_reasons() {
    let cluster = Cluster::start(Spec { servers: 1, ..Spec::default() }).await;
    let admin = cluster.admin();
    let mut elsewhere = pod("elsewhere", &["sleep", "1"]);
    elsewhere.spec.get_or_insert_default().node_selector.insert("disk".to_owned(), "fast".to_owned());
    let mut machine = pod("machine", &["sleep", "1"]);
    "vm".clone_into(&mut machine.spec.get_or_insert_default().sandbox_class);
    admin.create(with_requests(pod("large", &["sleep", "1"]), "5000", "")).await.expect("it is only large");
    admin.create(elsewhere).await.expect("it is only picky");
    admin.create(machine).await.expect("the class is a known one");
    for (name, reason) in [("large", "cpu"), ("elsewhere", "disk"), ("machine", "provider")] {
        let pending = cluster
            .wait_for_pod(name, "Unschedulable", |pod| {
                let reason = pod.status.as_ref().map_or("", |status| status.reason.as_str());
                wait::holds(reason == "Unschedulable", format!("reason {reason:?}")).map(|()| pod.clone())
            })
            .await;
        let condition = look::condition(&pending, "PodScheduled").expect("the scheduler writes it");
        assert_eq!(condition.status, "False");
        assert!(condition.message.contains(reason), "{name}: {:?} does not say {reason:?}", condition.message);
        assert_eq!(pending.spec.as_ref().map(|spec| spec.node_name.as_str()), Some(""));
        assert_eq!(pending.status.as_ref().map(|status| status.phase.as_str()), Some("Pending"));
    }
    let deleted = admin.delete::<v1::Pod>("default", "large").await.expect("it may be deleted");
    assert!(deleted.gone, "nothing runs for a pod without a node");
    let status = refusal(admin.get::<v1::Pod>("default", "large").await, "reading what is gone");
    assert_eq!(status.code(), tonic::Code::NotFound);
}

fn uid(pod: &v1::Pod) -> &str {
    pod.metadata.as_ref().map_or("", |metadata| metadata.uid.as_str())
}
