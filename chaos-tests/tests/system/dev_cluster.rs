//! The local cluster of `bossctl dev`: two commands from nothing to a running pod, one more to be rid of it.

use boss_chaos_tests::{
    bossctl_run::{Bossctl, Running},
    cluster::or_fail,
    manifests,
    ports::{self, Port},
    proc,
    process::Exit,
    run_folder::{self, RunFolder},
    wait,
};
use nix::sys::signal::Signal;

/// Ports that one server of a local cluster has; the layout of `bossctl dev`.
const PORTS_PER_SERVER: u16 = 10;

#[tokio::test(flavor = "multi_thread")]
async fn dev_up_starts_a_cluster_that_works_and_dev_down_ends_it() {
    let place = Place::new(3);
    let bossctl = place.bossctl();
    let example = &manifests::example("process-pod.yaml");
    let mut up = place.args(&["dev", "up", "--detach", "--servers", "3", "--nodes", "1", "--example", example]);
    up.extend(["--base-port".to_owned(), place.base_port().to_string()]);
    bossctl.succeed(&up).await;
    let pods = bossctl.succeed(&["get", "pods"]).await;
    assert!(pods.contains("sleeper") && pods.contains("Running"), "{pods}");
    let status = bossctl.succeed(&place.args(&["dev", "status"])).await;
    for name in ["server-1", "server-2", "server-3", "node-1"] {
        assert!(status.contains(name), "{status}");
    }
    let started = place.processes();
    assert!(started.len() >= 5 && started.iter().any(|command| command == "sleep 300"), "{started:?}");

    // A second one does not harm the first.
    let again = bossctl.run(&place.args(&["dev", "up", "--detach"])).await;
    assert!(bossctl.succeed(&["get", "pods"]).await.contains("Running"), "{again:?}");

    bossctl.succeed(&place.args(&["dev", "down"])).await;
    place.wait_until_nothing_runs().await;

    // What was there is there again.
    bossctl.succeed(&place.args(&["dev", "up", "--detach"])).await;
    let pods = bossctl.succeed(&["get", "pods"]).await;
    assert!(pods.contains("sleeper"), "{pods}");
    bossctl.succeed(&place.args(&["dev", "down"])).await;
    place.wait_until_nothing_runs().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn ctrl_c_ends_a_cluster_in_the_foreground() {
    let place = Place::new(1);
    let bossctl = place.bossctl();
    let mut up = place.args(&["dev", "up", "--servers", "1", "--nodes", "1"]);
    up.extend(["--base-port".to_owned(), place.base_port().to_string()]);
    let running = bossctl.start(&up, None);
    until_it_runs(&running).await;
    assert!(bossctl.succeed(&["get", "nodes"]).await.contains("node-1"));
    running.process().signal(Signal::SIGINT);
    let exit = or_fail(running.process().wait(std::time::Duration::from_secs(30)).await);
    assert!(matches!(exit, Exit::Code(0 | 130)), "{exit:?}");
    place.wait_until_nothing_runs().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_server_that_is_killed_in_the_foreground_is_missed_by_nobody_and_comes_back() {
    let place = Place::new(3);
    let bossctl = place.bossctl();
    let mut up = place.args(&["dev", "up", "--servers", "3", "--nodes", "1"]);
    up.extend(["--base-port".to_owned(), place.base_port().to_string()]);
    let running = bossctl.start(&up, None);
    until_it_runs(&running).await;
    let killed = place.server(1).expect("it runs");
    nix::sys::signal::kill(nix::unistd::Pid::from_raw(killed), Signal::SIGKILL).expect("it is ours");
    bossctl.succeed(&["apply", "-f", &manifests::example("config-map.yaml")]).await;
    let back = wait::until("the server runs again", std::time::Duration::from_secs(60), async || {
        let now = place.server(1);
        wait::holds(now.is_some_and(|pid| pid != killed), format!("{now:?}"))
    });
    or_fail(back.await);
    running.process().signal(Signal::SIGINT);
    let exit = or_fail(running.process().wait(std::time::Duration::from_secs(30)).await);
    assert!(matches!(exit, Exit::Code(0 | 130)), "{exit:?}");
    place.wait_until_nothing_runs().await;
}

/// Until the cluster works and `dev up` has nothing left to do but to watch over it.
async fn until_it_runs(up: &Running) {
    let ready = wait::until("the cluster runs", std::time::Duration::from_secs(60), async || {
        if let Some(exit) = up.process().exit() {
            panic!("dev up ended with {exit:?}");
        }
        wait::holds(up.stderr().contains("running until Ctrl-C"), up.stderr())
    });
    or_fail(ready.await);
}

/// A folder for a local cluster, with free ports.
struct Place {
    ports: Vec<Port>,
    folder: RunFolder,
}

impl Place {
    fn new(servers: u16) -> Self {
        let folder = RunFolder::create().expect("a folder can be made");
        let count = servers * PORTS_PER_SERVER;
        let ports = ports::take_range(&run_folder::root().join("ports"), count).expect("there are free ports");
        Self { ports, folder }
    }

    fn base_port(&self) -> u16 {
        self.ports[0].number()
    }

    fn dir(&self) -> String {
        self.folder.path().join("dev").display().to_string()
    }

    fn bossctl(&self) -> Bossctl {
        Bossctl::with_config(self.folder.path(), &self.folder.path().join("dev/bossctl.toml"))
    }

    fn args(&self, args: &[&str]) -> Vec<String> {
        args.iter().map(ToString::to_string).chain(["--dir".to_owned(), self.dir()]).collect()
    }

    /// The process of one of its servers.
    fn server(&self, number: u16) -> Option<i32> {
        let config = format!("/servers/{number}/server.toml");
        let started = proc::descendants(&[std::process::id().cast_signed()]);
        let mut alive = started.iter().filter(|stat| stat.is_alive()).map(|stat| stat.id.pid);
        alive.find(|pid| proc::command_line(*pid).contains(&config))
    }

    /// Whatever the cluster started, its sandboxes too, and nothing of the harness.
    fn processes(&self) -> Vec<String> {
        let started = proc::descendants(&[std::process::id().cast_signed()]);
        let alive = started.iter().filter(|stat| stat.is_alive()).map(|stat| proc::command_line(stat.id.pid));
        alive.filter(|command| !command.contains("boss-janitor")).collect()
    }

    async fn wait_until_nothing_runs(&self) {
        let gone = wait::until("no process of the cluster runs", std::time::Duration::from_secs(30), async || {
            let left = self.processes();
            wait::holds(left.is_empty(), format!("{left:?}"))
        });
        or_fail(gone.await);
    }
}
