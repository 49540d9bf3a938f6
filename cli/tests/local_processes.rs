//! Starting, watching and stopping the processes of a local cluster, with scripts in place of the real programs.
#![expect(clippy::unwrap_used, reason = "a test fails where something is not as it set it up")]

use std::{fs, net::TcpListener, os::unix::fs::PermissionsExt, path::Path, time::Duration};

use bossctl::{
    dev::{self, Binaries, Error, Local},
    provision::{self, Cluster, Node, Plan, Server},
};

/// Says something, then waits to be stopped.
const OBEDIENT: &str = "echo started $0; trap 'exit 0' TERM; while :; do sleep 0.05; done";
/// Does not care.
const STUBBORN: &str = "trap '' TERM; while :; do sleep 0.05; done";

struct Place {
    directory: tempfile::TempDir,
    binaries: Binaries,
}

impl Place {
    fn new(server: &str, node: &str) -> Self {
        let directory = tempfile::tempdir().unwrap();
        let script = |name: &str, text: &str| {
            let path = directory.path().join(name);
            fs::write(&path, format!("#!/bin/sh\n{text}\n")).unwrap();
            fs::set_permissions(&path, fs::Permissions::from_mode(0o755)).unwrap();
            path
        };
        let binaries = Binaries { server: script("boss-server", server), node: script("boss-node", node) };
        Self { directory, binaries }
    }

    /// The scripts listen nowhere, so ports need only be free for a moment.
    fn cluster(&self) -> Cluster {
        let free = || TcpListener::bind("127.0.0.1:0").unwrap();
        let (a, b, c) = (free(), free(), free());
        let port = |listener: &TcpListener| listener.local_addr().unwrap().port();
        let mut plan = Plan::local(1, 0, 7400).unwrap();
        plan.servers = vec![Server::local(1, [port(&a), port(&b), port(&c)])];
        plan.nodes = vec![Node::new("node-1".to_owned())];
        provision::create(&self.directory.path().join("dev"), &plan).unwrap()
    }

    async fn start(&self) -> Local {
        Local::start(self.cluster(), &self.binaries, true).await.unwrap()
    }
}

/// A script has set its trap once it has written.
async fn until_written(log: &Path) {
    let written = async {
        while !fs::read_to_string(log).is_ok_and(|text| text.contains("started")) {
            tokio::time::sleep(Duration::from_millis(5)).await;
        }
    };
    tokio::time::timeout(Duration::from_secs(20), written).await.unwrap();
}

async fn until_started(local: &Local) {
    for member in local.members() {
        until_written(&member.log_path()).await;
    }
}

#[tokio::test]
async fn processes_are_found_by_another_command_and_stopped_by_it() {
    let place = Place::new(OBEDIENT, OBEDIENT);
    let local = place.start().await;
    until_started(&local).await;
    let cluster = Cluster::open(local.cluster().directory()).unwrap();
    let found = dev::members(&cluster).unwrap();
    assert!(found.iter().all(|member| member.pid.is_some()), "{found:?}");
    let again = Local::start(cluster.clone(), &place.binaries, false).await.unwrap_err();
    assert!(matches!(again, Error::Running { names, .. } if names == ["server-1", "node-1"]));

    let stopped = dev::stop(&cluster).await.unwrap();
    assert_eq!(
        stopped.iter().map(|it| (&*it.name, it.killed)).collect::<Vec<_>>(),
        [("node-1", false), ("server-1", false)]
    );
    assert!(dev::members(&cluster).unwrap().iter().all(|member| member.pid.is_none()));
    assert_eq!(dev::stop(&cluster).await.unwrap(), []);
}

#[tokio::test]
async fn only_what_is_missing_is_started_again() {
    let place = Place::new("echo started; read line < /dev/null; sleep 0.3", OBEDIENT);
    let mut first = place.start().await;
    until_started(&first).await;
    let node = first.members().find(|member| member.name == "node-1").and_then(|member| member.pid);
    assert!(matches!(first.died().await, Error::Died { name, .. } if name == "server-1"));
    let second = Local::start(first.cluster().clone(), &place.binaries, false).await.unwrap();
    assert_eq!(second.taken_over(), ["node-1"]);
    let found = dev::members(second.cluster()).unwrap();
    assert_eq!(found.iter().find(|member| member.name == "node-1").and_then(|member| member.pid), node);
    second.stop(std::future::pending()).await.unwrap();
}

#[tokio::test]
async fn a_process_that_dies_is_named_with_the_end_of_its_log() {
    let place = Place::new("echo cannot go on; exit 7", OBEDIENT);
    let mut local = place.start().await;
    let Error::Died { name, status, last_lines, .. } = local.died().await else { panic!("it died") };
    assert_eq!((&*name, status.unwrap().code()), ("server-1", Some(7)));
    assert_eq!(last_lines, ["cannot go on"]);
    local.stop(std::future::pending()).await.unwrap();
}

#[tokio::test]
async fn what_does_not_obey_is_killed_when_there_is_hurry() {
    let place = Place::new(STUBBORN, STUBBORN);
    let stopped = place.start().await.stop(std::future::ready(())).await.unwrap();
    assert!(stopped.len() == 2 && stopped.iter().all(|it| it.killed), "{stopped:?}");
}

#[tokio::test]
async fn the_servers_form_a_cluster_once_and_get_no_settings_of_ours() {
    let place = Place::new(&format!("echo args $@; {OBEDIENT}"), &format!("env | grep BOSS_; {OBEDIENT}"));
    let local = place.start().await;
    until_started(&local).await;
    let log = |local: &Local, name: &str| {
        let member = local.members().find(|member| member.name == name).unwrap();
        fs::read_to_string(member.log_path()).unwrap()
    };
    assert!(log(&local, "server-1").contains("--initialize"));
    assert!(!log(&local, "node-1").contains("BOSS_"));
    dev::set_formed(local.cluster()).unwrap();
    let cluster = local.cluster().clone();
    local.stop(std::future::pending()).await.unwrap();
    for member in dev::members(&cluster).unwrap() {
        fs::remove_file(member.log_path()).unwrap();
    }
    let local = Local::start(cluster, &place.binaries, false).await.unwrap();
    until_started(&local).await;
    assert!(!log(&local, "server-1").contains("--initialize"));
    local.stop(std::future::pending()).await.unwrap();
}

#[tokio::test]
async fn a_port_in_use_is_named_and_nothing_is_started() {
    let place = Place::new(OBEDIENT, OBEDIENT);
    let cluster = place.cluster();
    let address = cluster.plan().servers[0].peer.clone();
    let _taken = TcpListener::bind(&address).unwrap();
    let error = Local::start(cluster.clone(), &place.binaries, true).await.unwrap_err();
    assert!(matches!(&error, Error::PortInUse { address: named, kept: false, .. } if *named == address), "{error}");
    assert!(dev::members(&cluster).unwrap().iter().all(|member| member.pid.is_none()));
}

#[tokio::test]
async fn a_program_that_cannot_be_started_leaves_nothing_running() {
    let mut place = Place::new(OBEDIENT, OBEDIENT);
    place.binaries.node = place.directory.path().join("missing");
    let cluster = place.cluster();
    let error = Local::start(cluster.clone(), &place.binaries, true).await.unwrap_err();
    assert!(matches!(error, Error::Spawn { name, .. } if name == "node-1"));
    assert!(dev::members(&cluster).unwrap().iter().all(|member| member.pid.is_none()));
}
