//! What a user of `bossctl` does and sees, from the first apply to the last delete.

use boss_chaos_tests::{
    bossctl_run::Bossctl,
    cluster::{Cluster, Spec},
    look, manifests, wait,
};
use boss_proto::v1;
use nix::sys::signal::Signal;
use serde_json::Value;

/// The exit codes that `bossctl --help` lists.
mod code {
    pub(crate) const FAILED: i32 = 1;
    pub(crate) const BAD_INPUT: i32 = 2;
    pub(crate) const NOT_FOUND: i32 = 3;
    pub(crate) const FORBIDDEN: i32 = 4;
    pub(crate) const UNAVAILABLE: i32 = 5;
    pub(crate) const INTERRUPTED: i32 = 130;
}

const TALKER: &str = r#"
apiVersion: boss.dev/v1
kind: Pod
metadata:
  name: talker
  labels: {app: talker}
spec:
  terminationGracePeriodSeconds: 1
  containers:
  - command: ["/bin/sh", "-c", "for i in 1 2 3; do echo line $i; done; exec sleep 309"]
"#;

#[tokio::test(flavor = "multi_thread")]
async fn a_pod_is_applied_shown_described_followed_and_deleted() {
    let cluster = Cluster::start(Spec::default()).await;
    let bossctl = Bossctl::of(&cluster);
    let applied = bossctl.run_with_input(&["apply", "-f", "-"], TALKER).await;
    assert_eq!(applied.code, 0, "{applied:?}");
    assert!(applied.stdout.contains("talker") && applied.stdout.contains("created"), "{applied:?}");

    let pod = cluster.wait_for_phase("talker", "Running").await;
    let process = look::process_of(&pod).expect("it runs");
    // Only now: while it is placed and started, others change it between bossctl's look and its write.
    let again = bossctl.run_with_input(&["apply", "-f", "-"], TALKER).await;
    assert!(again.code == 0 && again.stdout.contains("unchanged"), "{again:?}");
    check_get(&bossctl, &process.pid.to_string()).await;

    let described = bossctl.succeed(&["describe", "pod", "talker"]).await;
    for word in ["talker", "Running", "node-1", "Events"] {
        assert!(described.contains(word), "{described}");
    }
    assert_eq!(bossctl.succeed(&["logs", "talker"]).await, "line 1\nline 2\nline 3\n");
    assert_eq!(bossctl.succeed(&["logs", "talker", "--tail", "1"]).await, "line 3\n");

    let deleted = bossctl.succeed(&["delete", "pod", "talker"]).await;
    assert!(deleted.contains("talker") && deleted.contains("deleted"), "{deleted}");
    assert!(!process.is_alive(), "delete returns when the pod is gone, and then nothing of it runs");
    assert_eq!(bossctl.run(&["get", "pod", "talker"]).await.code, code::NOT_FOUND);
    assert_eq!(bossctl.run(&["delete", "pod", "talker"]).await.code, code::NOT_FOUND);
}

async fn check_get(bossctl: &Bossctl, pid: &str) {
    let table = bossctl.succeed(&["get", "pods"]).await;
    assert!(table.contains("NAME") && table.contains("talker") && table.contains("Running"), "{table}");
    let wide = bossctl.succeed(&["get", "pods", "-o", "wide"]).await;
    assert!(wide.contains("NODE") && wide.contains("node-1"), "{wide}");
    assert!(bossctl.succeed(&["get", "pods", "-o", "name"]).await.contains("talker"));
    let json: Value =
        serde_json::from_str(&bossctl.succeed(&["get", "pod", "talker", "-o", "json"]).await).expect("it is JSON");
    assert_eq!((&json["kind"], &json["status"]["phase"]), (&Value::from("Pod"), &Value::from("Running")));
    assert_eq!(json["status"]["containerStatuses"][0]["pid"].to_string(), pid);
    let yaml = bossctl.succeed(&["get", "pod", "talker", "-o", "yaml"]).await;
    assert!(yaml.contains("kind: Pod") && yaml.contains("phase: Running"), "{yaml}");
    let none = bossctl.succeed(&["get", "pods", "-l", "app=other", "-o", "name"]).await;
    assert!(none.trim().is_empty(), "{none}");
    let some = bossctl.succeed(&["get", "pods", "-A", "-l", "app in (talker,x)", "-o", "name"]).await;
    assert!(some.contains("talker"), "{some}");
    let on_node = bossctl.succeed(&["get", "pods", "--field-selector", "spec.nodeName=node-1", "-o", "name"]).await;
    assert!(on_node.contains("talker"), "{on_node}");
}

#[tokio::test(flavor = "multi_thread")]
async fn logs_follow_a_pod_until_it_ends_or_ctrl_c() {
    let cluster = Cluster::start(Spec { servers: 1, ..Spec::default() }).await;
    let bossctl = Bossctl::of(&cluster);
    let ended = cluster.folder().join("end");
    let script = format!("echo started; while [ ! -e {} ]; do sleep 0.02; done; echo ended", ended.display());
    cluster.admin().create(boss_chaos_tests::manifests::shell_pod("waiter", &script)).await.expect("the pod is fine");
    cluster.wait_for_phase("waiter", "Running").await;

    let interrupted = bossctl.start(&["logs", "-f", "waiter"], None);
    let following = bossctl.start(&["logs", "-f", "waiter"], None);
    for running in [&interrupted, &following] {
        cluster
            .wait("the first line is shown", async || {
                wait::holds(running.stdout() == "started\n", format!("{:?}", running.stdout()))
            })
            .await;
    }
    interrupted.process().signal(Signal::SIGINT);
    assert_eq!(interrupted.end().await.code, code::INTERRUPTED);

    std::fs::write(&ended, "").expect("the folder is ours");
    let output = following.end().await;
    assert_eq!((output.code, output.stdout.as_str()), (0, "started\nended\n"), "{output:?}");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_watch_of_bossctl_goes_on_when_its_server_dies() {
    let mut cluster = Cluster::start(Spec { nodes: 0, ..Spec::default() }).await;
    let bossctl = Bossctl::of(&cluster);
    let watching = bossctl.start(&["get", "serviceaccounts", "-w"], None);
    // Whichever server it uses dies in one of the rounds.
    for id in cluster.server_ids() {
        cluster.kill_server(id);
        let name = format!("seen-{id}");
        let client = cluster.client(id % 3 + 1);
        let created =
            client.create(boss_proto::object::Resource::into_object(boss_chaos_tests::manifests::record(&name, "x")));
        created.await.unwrap_or_else(|error| panic!("{name} was not written: {error}"));
        cluster
            .wait(format!("{name} is shown"), async || {
                wait::holds(watching.stdout().contains(&name), watching.stdout())
            })
            .await;
        cluster.start_server(id);
        cluster.wait_for_server(id).await;
    }
    let shown = watching.stdout();
    for id in cluster.server_ids() {
        assert_eq!(shown.matches(&format!("seen-{id}")).count(), 1, "{shown}");
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn exit_codes_tell_what_went_wrong() {
    let cluster = Cluster::start(Spec { servers: 1, nodes: 0, ..Spec::default() }).await;
    let admin = Bossctl::of(&cluster);
    check(&admin, &["get", "pods", "-o", "xml"], code::BAD_INPUT).await;
    check(&admin, &["get", "zeppelins"], code::BAD_INPUT).await;
    check(&admin, &["get", "pod", "none"], code::NOT_FOUND).await;
    check(&admin, &["auth", "can-i", "create", "pods"], 0).await;
    check(&admin, &["--server", "127.0.0.1:1", "--timeout", "1s", "get", "pods"], code::UNAVAILABLE).await;

    let (mallory, config) = somebody(&cluster, &admin, "mallory").await;
    check(&mallory, &["get", "pods"], code::FORBIDDEN).await;
    check(&mallory, &["auth", "can-i", "create", "pods"], code::FAILED).await;
    assert!(mallory.succeed(&["whoami"]).await.contains("mallory"));
    let mode = std::os::unix::fs::PermissionsExt::mode(&std::fs::metadata(&config).expect("it was made").permissions());
    assert_eq!(mode & 0o777, 0o600, "a context file is its owner's");
}

/// A user's own bossctl, with a token without groups, and where its contexts are.
async fn somebody(cluster: &Cluster, admin: &Bossctl, name: &str) -> (Bossctl, std::path::PathBuf) {
    let token = cluster.folder().join(format!("{name}.token")).display().to_string();
    let dir = cluster.layout().directory().display().to_string();
    admin.succeed(&["cluster", "token", "--dir", &dir, "--user", name, "--out", &token]).await;
    let config = cluster.folder().join(format!("{name}.toml"));
    let bossctl = Bossctl::with_config(cluster.folder(), &config);
    let (ca, api) = (cluster.layout().ca_path().display().to_string(), cluster.addresses(1).api.clone());
    bossctl.succeed(&["context", "set", "prod", "--server", &api, "--ca", &ca, "--token-file", &token]).await;
    bossctl.succeed(&["context", "use", "prod"]).await;
    (bossctl, config)
}

#[tokio::test(flavor = "multi_thread")]
async fn rights_are_listed_and_explained() {
    let cluster = Cluster::start(Spec { servers: 1, nodes: 0, ..Spec::default() }).await;
    let admin = Bossctl::of(&cluster);
    let (alice, _) = somebody(&cluster, &admin, "alice").await;
    assert_eq!(alice.succeed(&["auth", "can-i", "--list"]).await.lines().count(), 1, "only the headers");
    admin.succeed(&["apply", "-f", &manifests::example("rbac.yaml")]).await;

    let rights = alice.succeed(&["auth", "can-i", "--list"]).await;
    assert!(rights.contains("get,list,watch") && rights.contains("RoleBinding default/pod-readers"), "{rights}");
    let why = alice.succeed(&["auth", "explain", "get", "pods"]).await;
    assert!(why.starts_with("yes") && why.contains("Role default/pod-reader") && why.contains("User alice"), "{why}");

    // What is missing, for who may know the roles; and nobody asks about others without the right to.
    let denied = admin.run(&["auth", "explain", "delete", "pods", "--user", "alice", "--group", "devs"]).await;
    assert_eq!(denied.code, code::FAILED, "{denied:?}");
    assert!(denied.stdout.starts_with("no") && denied.stdout.contains("ClusterRole edit"), "{denied:?}");
    check(&alice, &["auth", "explain", "get", "pods", "--user", "bob"], code::FORBIDDEN).await;
    let own = alice.run(&["auth", "explain", "delete", "pods"]).await;
    assert!(own.code == code::FAILED && !own.stdout.contains("ClusterRole"), "{own:?}");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_role_that_aggregates_follows_the_labels_of_others() {
    let cluster = Cluster::start(Spec { servers: 1, nodes: 0, ..Spec::default() }).await;
    let admin = Bossctl::of(&cluster);
    let (alice, _) = somebody(&cluster, &admin, "alice").await;
    let role = |name: &str, rest: &str| {
        format!("apiVersion: boss.dev/v1\nkind: ClusterRole\nmetadata:\n  name: {name}\n{rest}\n---\n")
    };
    let rules = "rules:\n- verbs: [get, list]\n  resources: [pods]";
    let manifest = role("team", "aggregationRule:\n  clusterRoleSelectors: [\"team=web\"]")
        + &role("reads-pods", &format!("  labels: {{team: web}}\n{rules}"))
        + "apiVersion: boss.dev/v1\nkind: ClusterRoleBinding\nmetadata:\n  name: team\nroleRef:\n  kind: ClusterRole\n  name: team\nsubjects:\n- kind: User\n  name: alice\n";
    let applied = admin.run_with_input(&["apply", "-f", "-"], &manifest).await;
    assert_eq!(applied.code, 0, "{applied:?}");
    let why = alice.succeed(&["auth", "explain", "list", "pods"]).await;
    assert!(why.contains("ClusterRole team, from ClusterRole reads-pods"), "{why}");
    let moved = admin
        .run_with_input(&["apply", "-f", "-"], &role("reads-pods", &format!("  labels: {{team: db}}\n{rules}")))
        .await;
    assert_eq!(moved.code, 0, "{moved:?}");
    check(&alice, &["auth", "can-i", "list", "pods"], code::FAILED).await;
    let bad = role("all", "aggregationRule:\n  clusterRoleSelectors: [\"\"]");
    let refused = admin.run_with_input(&["apply", "-f", "-"], &bad).await;
    assert!(refused.code == code::BAD_INPUT && refused.stderr.contains("clusterRoleSelectors[0]"), "{refused:?}");
}

async fn check(bossctl: &Bossctl, args: &[&str], code: i32) {
    let output = bossctl.run(args).await;
    assert_eq!(output.code, code, "bossctl {args:?}: {output:?}");
}

#[tokio::test(flavor = "multi_thread")]
async fn the_state_of_the_control_plane_is_shown() {
    let cluster = Cluster::start(Spec { nodes: 0, ..Spec::default() }).await;
    let bossctl = Bossctl::of(&cluster);
    let status = bossctl.succeed(&["cluster", "status"]).await;
    assert!(status.contains("leader") && status.matches("follower").count() == 2, "{status}");
    let members = bossctl.succeed(&["cluster", "members"]).await;
    for id in cluster.server_ids() {
        assert!(members.contains(&cluster.addresses(id).api), "{members}");
    }
    assert!(bossctl.succeed(&["version"]).await.contains(env!("CARGO_PKG_VERSION")));
    assert!(bossctl.succeed(&["completion", "bash"]).await.contains("bossctl"));
}

#[tokio::test(flavor = "multi_thread")]
async fn events_tell_the_story_of_a_pod() {
    let cluster = Cluster::start(Spec { servers: 1, ..Spec::default() }).await;
    let bossctl = Bossctl::of(&cluster);
    cluster.admin().create(boss_chaos_tests::manifests::shell_pod("story", "exit 0")).await.expect("the pod is fine");
    cluster.wait_for_phase("story", "Succeeded").await;
    cluster
        .wait("the events are there", async || {
            let events = bossctl.succeed(&["events", "--for", "pod/story"]).await;
            wait::holds(events.contains("Scheduled"), events)
        })
        .await;
    let (events, _) = cluster.admin().list::<v1::Event>("default").await.expect("the administrator may");
    let about = |event: &&v1::Event| event.involved_object.as_ref().is_some_and(|object| object.name == "story");
    assert!(events.iter().filter(about).count() >= 1, "{events:?}");
}
