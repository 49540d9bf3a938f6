//! `bossctl verify` against clusters that keep their promises, that are disturbed, and that somebody tampers with.

use std::{fs, os::unix::fs::PermissionsExt, path::PathBuf};

use boss_chaos_tests::{
    bossctl_run::Bossctl,
    cluster::{Cluster, Spec},
    http,
    manifests::name_of,
    ports, run_folder, wait,
};
use boss_proto::v1;
use boss_verify::records::record;
use nix::sys::signal::Signal;

async fn cluster() -> Cluster {
    Cluster::start(Spec { nodes: 0, ..Spec::default() }).await
}

/// Names of namespaces that a run has made and not removed.
async fn scratch(cluster: &Cluster) -> Vec<String> {
    let (found, _) = cluster.admin().list::<v1::Namespace>("").await.expect("the administrator may");
    let names = found.iter().map(|namespace| name_of(namespace.metadata.as_ref()).to_owned());
    names.filter(|name| name.starts_with("boss-verify")).collect()
}

#[tokio::test(flavor = "multi_thread")]
async fn a_healthy_cluster_is_valid_and_nothing_is_left_of_the_run() {
    let cluster = cluster().await;
    let history = cluster.folder().join("history.jsonl");
    let path = history.to_str().expect("a path of ours");
    let output = Bossctl::of(&cluster).run(&["verify", "--duration", "4s", "--history", path]).await;
    assert_eq!(output.code, 0, "{output:?}");
    assert!(output.stdout.contains("the cluster's promises: valid"), "{}", output.stdout);
    assert!(fs::read_to_string(&history).expect("it was asked for").lines().count() > 100);
    assert_eq!(scratch(&cluster).await, Vec::<String>::new());
    let json = Bossctl::of(&cluster).run(&["verify", "--duration", "2s", "--rate", "50", "-o", "json"]).await;
    let value: serde_json::Value =
        serde_json::from_str(&json.stdout).unwrap_or_else(|error| panic!("{error}: {json:?}"));
    assert_eq!((json.code, &value["verdict"]), (0, &serde_json::json!("valid")), "{json:?}");
    let answered = value["coverage"]["answered"].as_u64().expect("a number");
    assert!((20..200).contains(&answered), "fifty a second for two seconds: {answered}");
}

/// A program that stops and continues the server with an address.
fn hook(cluster: &Cluster) -> PathBuf {
    let folder = cluster.folder().join("hook");
    fs::create_dir(&folder).expect("the folder is ours");
    for id in cluster.server_ids() {
        let pid = cluster.server(id).expect("it runs").id().pid;
        fs::write(folder.join(&cluster.addresses(id).api), pid.to_string()).expect("the folder is ours");
    }
    let program = folder.join("hook.sh");
    let script = format!(
        "#!/bin/sh\ncase $1 in pause) how=STOP;; resume) how=CONT;; *) exit 1;; esac\nkill -$how $(cat {}/$2)\n",
        folder.display()
    );
    fs::write(&program, script).expect("the folder is ours");
    fs::set_permissions(&program, fs::Permissions::from_mode(0o755)).expect("the file is ours");
    program
}

#[tokio::test(flavor = "multi_thread")]
async fn promises_hold_while_a_hook_pauses_one_server_after_the_other() {
    let cluster = cluster().await;
    let program = hook(&cluster);
    let program = program.to_str().expect("a path of ours");
    let args = ["verify", "--duration", "12s", "--faults", "pause", "--hook", program];
    let output = Bossctl::of(&cluster).run(&args).await;
    assert_eq!(output.code, 0, "{output:?}");
    assert!(output.stdout.contains("after 3 faults"), "{}", output.stdout);
    let failing =
        Bossctl::of(&cluster).run(&["verify", "--duration", "3s", "--faults", "restart", "--hook", program]).await;
    assert_eq!(failing.code, 5, "a hook that fails proves nothing: {failing:?}");
    assert!(failing.stdout.contains("unknown"), "{}", failing.stdout);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_value_that_no_client_wrote_makes_the_cluster_invalid_and_is_shown() {
    let cluster = cluster().await;
    let bossctl = Bossctl::of(&cluster);
    let running = bossctl.start(&["verify", "--duration", "10s"], None);
    let admin = cluster.admin();
    cluster
        .wait("a register of the run is overwritten", async || {
            let names = scratch(&cluster).await;
            let Some(namespace) = names.iter().find(|name| name.ends_with("-registers")) else {
                return Err("there is no namespace".to_owned());
            };
            let lie = record(namespace, "register-0", "987654321");
            admin.update(lie).await.map_err(|status| status.to_string())
        })
        .await;
    cluster
        .wait("the run ends", async || {
            // The value may be replaced before anybody reads it: then it is written once more.
            let names = scratch(&cluster).await;
            if let Some(namespace) = names.iter().find(|name| name.ends_with("-registers")) {
                admin.update(record(namespace, "register-0", "987654321")).await.ok();
            }
            wait::holds(!running.process().is_running(), "the run goes on")
        })
        .await;
    let output = running.end().await;
    assert_eq!(output.code, 1, "{output:?}");
    assert!(output.stdout.contains("invalid") && output.stdout.contains("987654321"), "{}", output.stdout);
    assert_eq!(scratch(&cluster).await, Vec::<String>::new());
}

#[tokio::test(flavor = "multi_thread")]
async fn a_canary_tells_its_runs_as_metrics_and_cleans_up_when_it_is_stopped() {
    let cluster = cluster().await;
    let port = ports::take(&run_folder::root().join("ports")).expect("a port is free");
    let address = format!("127.0.0.1:{}", port.number());
    let bossctl = Bossctl::of(&cluster);
    let running = bossctl.start(&["verify", "--canary", &address, "--duration", "1s", "--rate", "30"], None);
    cluster
        .wait("two runs were valid", async || {
            let (_, text) = http::get(&address, "/metrics").await.map_err(|error| error.to_string())?;
            let runs = text.lines().find_map(|line| line.strip_prefix("boss_verify_runs_total{verdict=\"valid\"} "));
            let runs: u32 = runs.and_then(|runs| runs.parse().ok()).unwrap_or_default();
            wait::holds(runs >= 2 && text.contains("boss_verify_last_run_valid 1"), text)
        })
        .await;
    assert_eq!(http::get_status(&address, "/else").await.expect("it listens"), 404);
    running.process().signal(Signal::SIGTERM);
    let output = running.end().await;
    assert_eq!(output.code, 130, "{output:?}");
    assert_eq!(scratch(&cluster).await, Vec::<String>::new());
    let refused = Bossctl::of(&cluster).run(&["verify", "--canary", "0.0.0.0:9464"]).await;
    assert_eq!(refused.code, 2, "{refused:?}");
}
