//! A whole cluster of real processes on this machine. Decides nothing about what is tested with it.
//!
//! Whatever fails in here is a failed test: it panics with what was waited for, and the cluster shows the end of each
//! process' log when it is dropped in a panic.

mod access;
mod apart;
mod credentials;
mod growing;
mod logs;
mod nodes;
mod restoring;
mod settings;
mod spec;
mod waiting;

use std::{
    collections::BTreeMap,
    io::Write,
    path::Path,
    sync::atomic::{AtomicUsize, Ordering},
    time::Duration,
};

use boss_proto::{object::Resource, v1};
use bossctl::provision::{self, Server};
use nix::sys::signal::Signal;
use tonic::Status;

pub use self::{
    access::Doors,
    growing::Newcomer,
    restoring::Restored,
    spec::{Apart, Bugged, SMALL_LOG_KEEPS, Spec, Where},
};

use crate::{
    api::Seen,
    disk::Disk,
    machine::Machine,
    net::Network,
    ports::{self, Port},
    proc,
    process::{Exit, Process, kill_process},
    run_folder::{self, RunFolder},
    wait::TimedOut,
};

/// For conditions that hold within a second or two on an idle machine. Test machines are rarely idle.
pub const PATIENCE: Duration = Duration::from_secs(60);
/// Both binaries promise to end within this time after one signal.
pub const STOP_DEADLINE: Duration = Duration::from_secs(20);
/// Lines of each log that a failed test shows.
const LOG_TAIL_LINES: usize = 40;

static LIVE: AtomicUsize = AtomicUsize::new(0);

/// A running cluster. Dropped, it leaves nothing behind but the folder of a failed test.
pub struct Cluster {
    // Dropped in this order: the processes before the folder that they work in.
    servers: Vec<Machine>,
    nodes: Vec<Machine>,
    network: Option<Network>,
    disks: BTreeMap<u64, Disk>,
    layout: provision::Cluster,
    /// Every server by its id, also those that joined later.
    known: Vec<Server>,
    folder: RunFolder,
    seen: Seen,
    ports: Vec<Port>,
}

impl Cluster {
    /// Starts it and waits until every server answers linearizable reads and every node is Ready.
    pub async fn start(spec: Spec) -> Self {
        let mut cluster = Self::prepare(spec);
        cluster.move_apart(spec.place).await;
        cluster.bring_up().await
    }

    /// The same of what was prepared.
    pub async fn bring_up(mut self) -> Self {
        for id in self.server_ids() {
            self.start_server_with(id, if id == 1 { &["--initialize"] } else { &[] });
        }
        for id in self.server_ids() {
            self.wait_for_server(id).await;
        }
        for index in 0..self.nodes.len() {
            self.start_node(index);
        }
        for index in 0..self.nodes.len() {
            self.wait_for_node(index).await;
        }
        self
    }

    /// Makes certificates, configuration and ports for it, and starts nothing.
    #[must_use]
    pub fn prepare(spec: Spec) -> Self {
        let folder = RunFolder::create().unwrap_or_else(|error| panic!("no folder for the run: {error}"));
        let ports_of_one = if spec.place == Where::Here { 3 } else { 0 };
        let ports: Vec<Port> = (0..spec.servers * ports_of_one)
            .map(|_| ports::take(&run_folder::root().join("ports")).unwrap_or_else(|error| panic!("{error}")))
            .collect();
        let plan = spec::plan(spec, &ports);
        let layout = provision::create(&folder.path().join("c"), &plan)
            .unwrap_or_else(|error| panic!("the cluster's folder cannot be made: {error}"));
        let servers = plan.servers.iter().map(|server| {
            let config = layout.server_directory(server).join("server.toml");
            Machine::new(&server.name, "boss-server", config)
        });
        let nodes = plan.nodes.iter().map(|node| {
            let config = layout.node_directory(node).join("node.toml");
            Machine::new(&node.name, "boss-node", config)
        });
        let (mut servers, mut nodes): (Vec<Machine>, Vec<Machine>) = (servers.collect(), nodes.collect());
        if let Some(bug) = spec.bug {
            let machines = servers.iter_mut().chain(&mut nodes);
            let has = |machine: &&mut Machine| bug.only.is_none_or(|only| only == machine.name());
            machines.filter(has).for_each(|machine| machine.infect(bug.name));
        }
        LIVE.fetch_add(1, Ordering::SeqCst);
        let (network, disks) = (None, BTreeMap::new());
        let cluster =
            Self { servers, nodes, network, disks, layout, known: plan.servers, folder, seen: Seen::default(), ports };
        if spec.small_log { cluster.with_small_log() } else { cluster }
    }

    /// Makes certificate, configuration and ports for one more server, and starts nothing. Returns its id.
    pub fn prepare_server(&mut self) -> u64 {
        let take = || ports::take(&run_folder::root().join("ports")).unwrap_or_else(|error| panic!("{error}"));
        let ports = [take(), take(), take()];
        let id = self.servers.len() as u64 + 1;
        let server = Server::local(id, [ports[0].number(), ports[1].number(), ports[2].number()]);
        let known = self.layout.plan().servers.iter().map(|known| v1::Member {
            id: known.id,
            name: known.name.clone(),
            peer_address: known.peer.clone(),
            api_address: known.api.clone(),
            voter: true,
        });
        let known: Vec<v1::Member> = known.collect();
        let added = self.layout.add_server(server.clone(), &known);
        added.unwrap_or_else(|error| panic!("the server's folder cannot be made: {error}"));
        let config = self.layout.server_directory(&server).join("server.toml");
        self.servers.push(Machine::new(&server.name, "boss-server", config));
        self.ports.extend(ports);
        self.known.push(server);
        id
    }

    /// Configuration, certificates and keys on disk; makes tokens and certificates for users.
    #[must_use]
    pub fn layout(&self) -> &provision::Cluster {
        &self.layout
    }

    /// The folder of the run, for files of the test.
    #[must_use]
    pub fn folder(&self) -> &Path {
        self.folder.path()
    }

    /// Ids of the servers, from 1.
    pub fn server_ids(&self) -> impl Iterator<Item = u64> + use<> {
        1..=self.servers.len() as u64
    }

    /// Ids of the servers whose processes have not been stopped by the test.
    #[must_use]
    pub fn running_servers(&self) -> Vec<u64> {
        self.server_ids().filter(|id| self.server(*id).is_some()).collect()
    }

    /// Addresses of a server.
    #[must_use]
    pub fn addresses(&self, id: u64) -> &Server {
        &self.known[index_of(id)]
    }

    /// The process of a server; `None` while it is down.
    #[must_use]
    pub fn server(&self, id: u64) -> Option<&Process> {
        self.servers[index_of(id)].running()
    }

    /// The process of a node's agent, counted from 0; `None` while it is down, and past the last one.
    #[must_use]
    pub fn node(&self, index: usize) -> Option<&Process> {
        self.nodes.get(index)?.running()
    }

    /// The name of a node, counted from 0.
    #[must_use]
    pub fn node_name(&self, index: usize) -> &str {
        self.nodes[index].name()
    }

    /// Starts a server that is down.
    pub fn start_server(&mut self, id: u64) {
        self.start_server_with(id, &[]);
    }

    /// Starts a server that is down, with further arguments.
    pub fn start_server_with(&mut self, id: u64, args: &[&str]) {
        self.servers[index_of(id)].start(&self.folder, args);
    }

    /// At its next start a server dies at a point, when it is there for so many a time.
    pub fn doom_server(&mut self, id: u64, point: &str, times: u64) {
        self.servers[index_of(id)].doom(point, times);
    }

    /// Kills a server; it has no chance to do anything.
    pub fn kill_server(&mut self, id: u64) {
        self.servers[index_of(id)].kill();
    }

    /// Kills all servers, one directly after the other.
    pub fn kill_all_servers(&mut self) {
        self.signal_servers(Signal::SIGKILL);
        self.servers.iter_mut().for_each(Machine::kill);
    }

    /// Sends a signal to every server.
    pub fn signal_servers(&self, signal: Signal) {
        self.servers.iter().filter_map(Machine::running).for_each(|process| process.signal(signal));
    }

    /// Asks a server to stop and waits until it has.
    pub async fn stop_server(&mut self, id: u64) -> Exit {
        self.servers[index_of(id)].stop().await
    }

    /// Starts an agent that is down.
    pub fn start_node(&mut self, index: usize) {
        self.nodes[index].start(&self.folder, &[]);
    }

    /// Kills an agent, and nothing else of the node.
    pub fn kill_node(&mut self, index: usize) {
        self.nodes[index].kill();
    }

    /// Asks an agent to stop and waits until it has.
    pub async fn stop_node(&mut self, index: usize) -> Exit {
        self.nodes[index].stop().await
    }
}

impl Drop for Cluster {
    fn drop(&mut self) {
        if std::thread::panicking() {
            self.folder.keep();
            let text = format!(
                "{}logs and data are kept in {}\n",
                self.folder.log_tails(LOG_TAIL_LINES),
                self.folder().display()
            );
            std::io::stderr().write_all(text.as_bytes()).ok();
        }
        // A stopped process does not see SIGKILL's friends, but SIGKILL itself works on it.
        self.nodes.iter_mut().chain(&mut self.servers).for_each(Machine::kill);
        if LIVE.fetch_sub(1, Ordering::SeqCst) == 1 {
            // The last cluster of this process: every descendant is a remainder, also a sandbox without monitor.
            for stat in proc::descendants(&[std::process::id().cast_signed()]) {
                kill_process(stat.id, Signal::SIGKILL);
            }
        }
    }
}

/// The value, or a failed test.
pub fn or_fail<T>(outcome: Result<T, TimedOut>) -> T {
    outcome.unwrap_or_else(|timed_out| panic!("{timed_out}"))
}

/// The refusal that a test wants, or a failed test.
pub fn refusal<T>(outcome: Result<T, Status>, what: &str) -> Status {
    match outcome {
        Err(status) => status,
        Ok(_) => panic!("{what} was allowed"),
    }
}

/// The pod inside an envelope.
#[must_use]
pub fn pod_of(object: v1::Object) -> Option<v1::Pod> {
    v1::Pod::try_from_object(object).ok()
}

fn index_of(id: u64) -> usize {
    usize::try_from(id - 1).expect("ids are small")
}
