//! A cluster set up by hand with `bossctl cluster init`, step by step as docs/operations.md says: each machine has its
//! own folder, copied from the cluster's, and its program is started with the configuration in it.

use std::{
    fs,
    path::{Path, PathBuf},
};

use boss_chaos_tests::{
    bossctl_run::Bossctl,
    cluster::{PATIENCE, or_fail},
    machine::Machine,
    manifests,
    ports::{self, Port},
    process::Exit,
    run_folder::{self, RunFolder},
    wait,
};

const EXAMPLE: &str = "process-pod.yaml";
/// The machine does not let us.
const EXIT_FAILURE: i32 = 1;

#[tokio::test(flavor = "multi_thread")]
async fn a_cluster_made_by_hand_as_the_manual_says_runs_a_pod() {
    let place = Place::new();
    let bossctl = place.init("prod").await;
    let mut servers = [1, 2, 3].map(|id| place.server("prod", id));
    let mut node = place.node("prod");
    for (server, http) in servers.iter_mut().zip(&place.http) {
        // One machine stands for three, so the ports that are the same on each must differ here.
        let http = format!("127.0.0.1:{}", http.number());
        let initialize: &[&str] = if server.name() == "prod-server-1" { &["--initialize"] } else { &[] };
        server.start(&place.folder, &[&["--bind-http", http.as_str()], initialize].concat());
    }
    bossctl_succeeds(&bossctl, &["cluster", "status"], "3").await;
    bossctl_succeeds(&bossctl, &["cluster", "members"], "server-3").await;
    node.start(&place.folder, &[]);
    bossctl_succeeds(&bossctl, &["get", "nodes"], "Ready").await;
    bossctl.succeed(&["apply", "-f", &manifests::example(EXAMPLE)]).await;
    bossctl_succeeds(&bossctl, &["get", "pods"], "Running").await;

    // The context of another cluster is no way in, and its servers do not take this one's data.
    let stranger = place.init("other").await;
    let refused = stranger.run(&["--server", place.api(1).as_str(), "--timeout", "5s", "get", "pods"]).await;
    assert_ne!(refused.code, 0, "{refused:?}");
    assert_eq!(servers[2].stop().await, Exit::Code(0));
    let data = place.machine("prod", "server-3").join("data");
    assert!(data.is_dir(), "the data lies beside the configuration");
    let mut intruder = place.server("other", 3);
    intruder.start(&place.folder, &["--data-dir", data.to_str().expect("a path of ours")]);
    let exit = or_fail(intruder.running().expect("it was started").wait(PATIENCE).await);
    let log = fs::read_to_string(place.folder.log("other-server-3")).expect("it has a log");
    assert_eq!(exit, Exit::Code(EXIT_FAILURE), "{log}");
    assert!(log.contains("cluster"), "the message does not say what is wrong: {log}");
    servers[2].start(&place.folder, &["--bind-http", &format!("127.0.0.1:{}", place.http[2].number())]);
    bossctl_succeeds(&bossctl, &["get", "pods"], "Running").await;

    bossctl.succeed(&["delete", "-f", &manifests::example(EXAMPLE)]).await;
    assert_eq!(node.stop().await, Exit::Code(0));
    for server in &mut servers {
        assert_eq!(server.stop().await, Exit::Code(0));
    }
}

/// Tries until the command succeeds and says this: a cluster needs a moment.
async fn bossctl_succeeds(bossctl: &Bossctl, args: &[&str], word: &str) {
    let succeeded = wait::until(format!("bossctl {args:?} says {word}"), PATIENCE, async || {
        let output = bossctl.run(args).await;
        wait::holds(output.code == 0 && output.stdout.contains(word), format!("{output:?}"))
    });
    or_fail(succeeded.await);
}

/// The desk at which the cluster is made, and the machines, each with a folder of its own.
struct Place {
    /// Peer and API of each server.
    ports: Vec<Port>,
    http: Vec<Port>,
    folder: RunFolder,
}

impl Place {
    fn new() -> Self {
        let folder = RunFolder::create().expect("a folder can be made");
        let take = || ports::take(&run_folder::root().join("ports")).expect("there are free ports");
        Self { ports: (0..6).map(|_| take()).collect(), http: (0..3).map(|_| take()).collect(), folder }
    }

    fn api(&self, id: usize) -> String {
        format!("127.0.0.1:{}", self.ports[id * 2 - 1].number())
    }

    fn peer(&self, id: usize) -> String {
        format!("127.0.0.1:{}", self.ports[id * 2 - 2].number())
    }

    /// Steps 1 and 2 of the manual; gives the administrator's commands.
    async fn init(&self, name: &str) -> Bossctl {
        let dir = self.folder.path().join(name);
        let desk = Bossctl::with_config(self.folder.path(), &dir.join("bossctl.toml"));
        let mut init = vec!["cluster".to_owned(), "init".to_owned(), "--dir".to_owned(), dir.display().to_string()];
        for id in 1..=3 {
            init.extend(["--server".to_owned(), format!("server-{id}={},{}", self.peer(id), self.api(id))]);
        }
        init.extend(["--node".to_owned(), "node-1".to_owned()]);
        desk.succeed(&init).await;
        for (machine, from) in [
            ("server-1", "servers/server-1"),
            ("server-2", "servers/server-2"),
            ("server-3", "servers/server-3"),
            ("node-1", "nodes/node-1"),
        ] {
            copy_folder(&dir.join(from), &self.machine(name, machine));
        }
        desk
    }

    /// `/etc/boss` of a machine.
    fn machine(&self, cluster: &str, machine: &str) -> PathBuf {
        self.folder.path().join(format!("{cluster}-{machine}"))
    }

    fn server(&self, cluster: &str, id: usize) -> Machine {
        let config = self.machine(cluster, &format!("server-{id}")).join("server.toml");
        Machine::new(&format!("{cluster}-server-{id}"), "boss-server", config)
    }

    fn node(&self, cluster: &str) -> Machine {
        let config = self.machine(cluster, "node-1").join("node.toml");
        Machine::new(&format!("{cluster}-node-1"), "boss-node", config)
    }
}

/// As `scp -r` does: with the permissions.
fn copy_folder(from: &Path, to: &Path) {
    fs::create_dir_all(to).expect("the folder is ours");
    for entry in fs::read_dir(from).expect("cluster init made it").flatten() {
        let target = to.join(entry.file_name());
        if entry.path().is_dir() {
            copy_folder(&entry.path(), &target);
        } else {
            fs::copy(entry.path(), target).expect("the folder is ours");
        }
    }
}
