//! Every example of the documentation is applied as a user would apply it, and reaches its goal.

use std::{collections::BTreeSet, fs, path::PathBuf};

use boss_chaos_tests::{
    bossctl_run::Bossctl,
    cluster::{Cluster, Spec},
    look, manifests, proc, wait,
};
use boss_proto::v1;

/// The examples that the test below knows the goal of.
const CHECKED: [&str; 6] =
    ["config-map.yaml", "limits.yaml", "namespace.yaml", "process-pod.yaml", "rbac.yaml", "restarting.yaml"];
/// Not applied but done.
const TRANSACTION: &str = "txn.yaml";

#[test]
fn every_example_is_checked_and_says_what_it_shows() {
    let files: Vec<PathBuf> =
        fs::read_dir(manifests::examples()).expect("it is there").flatten().map(|entry| entry.path()).collect();
    let names: BTreeSet<_> = files.iter().filter_map(|path| path.file_name()?.to_str()).collect();
    assert_eq!(names, CHECKED.into_iter().chain([TRANSACTION]).collect());
    for file in &files {
        let text = fs::read_to_string(file).expect("it is a text");
        assert!(text.starts_with("# "), "{} begins without a comment", file.display());
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn the_examples_do_what_they_say() {
    let cluster = Cluster::start(Spec { servers: 1, ..Spec::default() }).await;
    let bossctl = Bossctl::of(&cluster);
    for name in CHECKED {
        bossctl.succeed(&["apply", "-f", &manifests::example(name)]).await;
    }
    check_config_map(&cluster).await;
    check_sleeper(&cluster).await;
    check_limits(&cluster, &bossctl).await;
    check_namespace(&cluster).await;
    check_rbac(&cluster).await;
    check_restarting(&cluster).await;
    check_transaction(&bossctl).await;
    for name in CHECKED {
        bossctl.succeed(&["delete", "-f", &manifests::example(name)]).await;
    }
    for name in ["sleeper", "limited", "restarting"] {
        cluster.wait_until_gone::<v1::Pod>("default", name).await;
    }
}

async fn check_transaction(bossctl: &Bossctl) {
    let file = manifests::example(TRANSACTION);
    let told = bossctl.succeed(&["txn", "-f", &file, "--dry-run"]).await;
    assert!(told.starts_with("then done") && told.ends_with("written (dry run)\n"), "{told}");
    let told = bossctl.succeed(&["txn", "-f", &file]).await;
    assert!(told.starts_with("then done") && told.contains("configmaps/release written\n"), "{told}");
    let told = bossctl.succeed(&["txn", "-f", &file]).await;
    assert!(told.starts_with("else done") && told.ends_with("configmaps/release is there\n"), "{told}");
    let shown = bossctl.succeed(&["get", "configmap", "release", "-o", "yaml"]).await;
    assert!(shown.contains("version:") && !shown.contains("managedFields"), "{shown}");
}

async fn check_config_map(cluster: &Cluster) {
    let map = cluster.admin().get::<v1::ConfigMap>("default", "greeting").await.expect("it was applied");
    assert_eq!(map.data["text"], "Hello,\nworld.\n");
    assert_eq!(map.binary_data["seal.bin"].as_ref(), [0, 1, 2, 3, 4]);
}

async fn check_sleeper(cluster: &Cluster) {
    let pod = cluster.wait_for_phase("sleeper", "Running").await;
    let process = look::process_of(&pod).expect("it runs");
    assert_eq!(proc::command_line(process.pid), "sleep 300");
}

async fn check_restarting(cluster: &Cluster) {
    let pod = cluster
        .wait_for_pod("restarting", "restarted", |pod| {
            let count = look::container_status(pod).map_or(0, |status| status.restart_count);
            wait::holds(count >= 1, format!("{count} restarts")).map(|()| pod.clone())
        })
        .await;
    assert_eq!(look::last_termination(&pod).map(|end| end.exit_code), Some(3));
}

async fn check_limits(cluster: &Cluster, bossctl: &Bossctl) {
    let pod = cluster.wait_for_phase("limited", "Running").await;
    let process = look::process_of(&pod).expect("it runs");
    let limits = fs::read_to_string(format!("/proc/{}/limits", process.pid)).expect("it runs");
    let files = limits.lines().find(|line| line.starts_with("Max open files")).unwrap_or_default();
    assert_eq!(files.split_whitespace().skip(3).take(2).collect::<Vec<_>>(), ["256", "512"], "{files}");
    cluster
        .wait("the log is there", async || {
            let text = bossctl.succeed(&["logs", "limited"]).await;
            let lines: Vec<&str> = text.lines().collect();
            wait::holds(lines == ["hello from /tmp", "open files: 256"], format!("{lines:?}"))
        })
        .await;
}

async fn check_namespace(cluster: &Cluster) {
    let admin = cluster.admin();
    cluster
        .wait("the pod of the other namespace runs", async || {
            let pod = admin.get::<v1::Pod>("team-a", "sleeper").await.map_err(|status| status.to_string())?;
            let phase = pod.status.unwrap_or_default().phase;
            wait::holds(phase == "Running", phase)
        })
        .await;
}

async fn check_rbac(cluster: &Cluster) {
    let alice = cluster.user("alice");
    let can = async |verb, resource| alice.can_i(verb, resource, "default").await.expect("anybody may ask").allowed;
    assert!(can("list", "pods").await && can("get", "pods/log").await);
    assert!(!can("delete", "pods").await && !can("get", "roles").await);
    assert!(!cluster.user("bob").can_i("list", "pods", "default").await.expect("anybody may ask").allowed);
}
