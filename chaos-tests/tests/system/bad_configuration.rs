//! Starts that must not succeed: each ends with its exit code and a message that says what to change.

use std::{fs, net::TcpListener, path::Path};

use boss_chaos_tests::{
    cluster::{Cluster, PATIENCE, Spec, or_fail},
    manifests::record,
    process::{Exit, Process},
};
use boss_proto::v1;

/// How every file of a server's log begins; the number of its format follows.
const LOG_MAGIC: &[u8] = b"BOSSLOG\0";
/// Bad configuration or arguments.
const EXIT_BAD_CONFIGURATION: i32 = 2;
/// The machine does not let us.
const EXIT_FAILURE: i32 = 1;
/// The others refuse us for good.
const EXIT_EXPELLED: i32 = 3;

#[tokio::test(flavor = "multi_thread")]
async fn a_server_with_a_bad_configuration_says_all_that_is_wrong_at_once() {
    let mut cluster = Cluster::prepare(Spec { servers: 1, nodes: 1, ..Spec::default() });
    let config = cluster.folder().join("c/servers/1/server.toml");
    let good = fs::read_to_string(&config).expect("it was written");
    let cases: [(&str, String, &[&str]); 4] = [
        ("no TOML", "id = = 1".to_owned(), &["server.toml", "TOML"]),
        ("unknown keys", format!("colour = \"red\"\n{good}"), &["colour"]),
        (
            "several problems",
            good.replace("standard", "ludicrous").replace("tls/server.key", "tls/none.key"),
            &["ludicrous", "tls.key"],
        ),
        ("wrong types", good.replace("id = 1\n", "id = \"one\"\n"), &["id"]),
    ];
    for (what, text, words) in cases {
        fs::write(&config, text).expect("the folder is ours");
        let log = run_server(&mut cluster, 1, &[], EXIT_BAD_CONFIGURATION).await;
        for word in words {
            assert!(log.contains(word), "{what}: the message does not say {word:?}: {log}");
        }
    }
    assert!(!cluster.folder().join("c/servers/1/data").exists(), "nothing was changed");
}

#[tokio::test(flavor = "multi_thread")]
async fn an_agent_with_a_bad_configuration_says_what_is_wrong() {
    let mut cluster = Cluster::prepare(Spec { servers: 1, nodes: 1, ..Spec::default() });
    let config = cluster.folder().join("c/nodes/node-1/node.toml");
    let good = fs::read_to_string(&config).expect("it was written");
    for (text, word) in [
        ("name = [".to_owned(), "TOML"),
        (format!("colour = \"red\"\n{good}"), "colour"),
        (good.replace("name = \"node-1\"", "name = \"Not A Name\""), "name"),
    ] {
        fs::write(&config, text).expect("the folder is ours");
        cluster.start_node(0);
        let exit = or_fail(cluster.node(0).expect("it was started").wait(PATIENCE).await);
        assert_eq!(exit, Exit::Code(EXIT_BAD_CONFIGURATION), "{}", cluster.log_of("node-1"));
        let log = last_start(&cluster.log_of("node-1"));
        assert!(log.contains(word), "the message does not say {word:?}: {log}");
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_port_in_use_ends_a_server_with_the_address() {
    let mut cluster = Cluster::prepare(Spec { servers: 1, nodes: 0, ..Spec::default() });
    let server = cluster.addresses(1).clone();
    for address in [&server.api, &server.peer, &server.http] {
        let taken = TcpListener::bind(address).expect("the port is reserved for us");
        let log = run_server(&mut cluster, 1, &["--initialize"], EXIT_FAILURE).await;
        assert!(log.contains(address.as_str()), "the message does not say {address}: {log}");
        drop(taken);
    }
    cluster.start_server_with(1, &["--initialize"]);
    cluster.wait_for_server(1).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_state_folder_of_another_cluster_is_refused_and_left_alone() {
    let mut theirs = Cluster::start(Spec { servers: 1, nodes: 0, ..Spec::default() }).await;
    theirs.admin().create(record("kept", "x")).await.expect("the cluster works");
    assert_eq!(theirs.stop_server(1).await, Exit::Code(0));
    let mut ours = Cluster::prepare(Spec { servers: 1, nodes: 0, ..Spec::default() });
    let data = "c/servers/1/data";
    copy_folder(&theirs.folder().join(data), &ours.folder().join(data));
    let before = listing(&ours.folder().join(data));
    let log = run_server(&mut ours, 1, &[], EXIT_FAILURE).await;
    let id = theirs.layout().plan().cluster_id.to_string();
    assert!(log.contains("cluster") && log.contains(&id), "the message does not name {id}: {log}");
    assert_eq!(listing(&ours.folder().join(data)), before, "the folder was changed");

    theirs.start_server(1);
    theirs.wait_for_server(1).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_state_folder_of_another_server_is_refused() {
    let mut cluster = Cluster::start(Spec { nodes: 0, ..Spec::default() }).await;
    for id in cluster.server_ids() {
        assert_eq!(cluster.stop_server(id).await, Exit::Code(0));
    }
    let data = |id: u64| cluster.folder().join(format!("c/servers/{id}/data"));
    fs::remove_dir_all(data(1)).expect("the folder is ours");
    fs::rename(data(2), data(1)).expect("both are below one folder");
    let log = run_server(&mut cluster, 1, &[], EXIT_FAILURE).await;
    assert!(log.contains("server 2") && log.contains("server 1"), "{log}");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_state_folder_of_a_newer_version_is_refused_and_left_alone() {
    let mut cluster = Cluster::start(Spec { servers: 1, nodes: 0, ..Spec::default() }).await;
    assert_eq!(cluster.stop_server(1).await, Exit::Code(0));
    let data = cluster.folder().join("c/servers/1/data");
    for (path, mut bytes) in listing(&data).into_iter().filter(|(_, bytes)| bytes.starts_with(LOG_MAGIC)) {
        bytes[LOG_MAGIC.len()..LOG_MAGIC.len() + 4].copy_from_slice(&99_u32.to_le_bytes());
        fs::write(path, bytes).expect("the folder is ours");
    }
    let before = listing(&data);
    let log = run_server(&mut cluster, 1, &[], EXIT_FAILURE).await;
    assert!(log.contains("99"), "the message does not say what it found: {log}");
    assert_eq!(listing(&data), before, "the folder was changed");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_server_that_lost_its_data_says_so_and_forms_no_second_cluster() {
    let mut cluster = Cluster::start(Spec { nodes: 0, ..Spec::default() }).await;
    cluster.admin().create(record("kept", "x")).await.expect("the cluster works");
    let leader = cluster.leader().await;
    let wiped = cluster.server_ids().find(|id| *id != leader).expect("there are three");
    assert_eq!(cluster.stop_server(wiped).await, Exit::Code(0));
    fs::remove_dir_all(cluster.folder().join(format!("c/servers/{wiped}/data"))).expect("it is stopped");
    cluster.start_server_with(wiped, &["--initialize"]);
    let ended = cluster.server(wiped).expect("it was started").wait(PATIENCE).await;
    let log = last_start(&cluster.log_of(&cluster.addresses(wiped).name));
    let ended = or_fail(ended);
    // The leader knows the data folders of all a moment after the start; until then the lost log gives it away.
    assert!([Exit::Code(EXIT_EXPELLED), Exit::Code(EXIT_FAILURE)].contains(&ended), "{ended:?}: {log}");
    assert!(log.contains("fresh id"), "the message does not say what to do: {log}");
    cluster
        .wait("the cluster is what it was", async || {
            let kept = cluster.admin_at(leader).get::<v1::ServiceAccount>("default", "kept").await;
            kept.map(drop).map_err(|status| status.to_string())
        })
        .await;
    assert!(cluster.server(leader).is_some_and(Process::is_running), "the leader did not survive it");
}

async fn run_server(cluster: &mut Cluster, id: u64, args: &[&str], code: i32) -> String {
    cluster.start_server_with(id, args);
    let exit = or_fail(cluster.server(id).expect("it was started").wait(PATIENCE).await);
    let log = last_start(&cluster.log_of(&cluster.addresses(id).name));
    assert_eq!(exit, Exit::Code(code), "{log}");
    assert!(!log.contains("panicked"), "{log}");
    log
}

fn last_start(log: &str) -> String {
    log.rsplit("==== start of").next().unwrap_or_default().to_owned()
}

fn copy_folder(from: &Path, to: &Path) {
    fs::create_dir_all(to).expect("the folder is ours");
    for entry in fs::read_dir(from).expect("it is there").flatten() {
        let target = to.join(entry.file_name());
        if entry.path().is_dir() {
            copy_folder(&entry.path(), &target);
        } else {
            fs::copy(entry.path(), target).expect("the folder is ours");
        }
    }
}

/// Every file with its contents.
fn listing(folder: &Path) -> Vec<(std::path::PathBuf, Vec<u8>)> {
    let mut files = Vec::new();
    for entry in fs::read_dir(folder).expect("it is there").flatten() {
        if entry.path().is_dir() {
            files.extend(listing(&entry.path()));
        } else {
            files.push((entry.path(), fs::read(entry.path()).unwrap_or_default()));
        }
    }
    files.sort();
    files
}
