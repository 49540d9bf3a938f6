//! The agent: wires providers, engine, registration and session together, and takes them down again.

pub mod board;
mod deeds;
pub mod engine;
pub mod events;
pub mod intent;
pub mod log_stream;
mod news;
mod pod;
pub mod providers;
pub mod registration;
pub mod renewal;
pub mod reporter;
mod servers;
pub mod session;
pub mod status;
mod values;

use std::{net::IpAddr, os::unix::net::UnixStream, path::PathBuf, sync::Arc, time::Duration};

use boss_base::{
    backoff::Backoff,
    clock::Clock,
    tasks::{Failure, OnExit, Tasks},
};
use boss_client::{Client, Endpoint, Query, Source, Watch, watch::Item};
use boss_proto::{ids::ClusterId, kind::Kind};
use tokio::sync::mpsc;

use crate::{
    cgroup::Layout,
    config::Config,
    host,
    launcher::Launcher,
    runtime::{
        self,
        process::{ProcessRuntime, Settings},
    },
    sandbox::{files::LogBounds, proc_stat},
    state_dir::StateDir,
};
use board::Board;
use engine::{Engine, Parts};
use events::Events;
use providers::Providers;
use registration::Registration;
use renewal::Renewal;
use reporter::Reporter;
use session::Sessions;

/// For tasks to end once they are asked.
const STOP_MAX: Duration = Duration::from_secs(3);
/// For sandboxes to end when they are stopped with the agent; with the kill after it, the stop takes five seconds.
const STOP_SANDBOXES_GRACE: Duration = Duration::from_secs(3);
/// Items of the pod watch that wait for the engine.
const ITEMS_MAX: usize = 64;
const REFUSED_DELAY_FIRST: Duration = Duration::from_millis(200);
const REFUSED_DELAY_MAX: Duration = Duration::from_secs(10);

/// Why the agent ended.
#[derive(Debug, thiserror::Error)]
pub enum Error {
    /// The connection to the cluster cannot be set up.
    #[error("cannot set up the connection to the cluster: {0}")]
    Client(#[from] boss_client::Error),
    /// The launcher's socket cannot be used.
    #[error("cannot use the launcher: {0}")]
    Launcher(std::io::Error),
    /// Signals cannot be taken.
    #[error("cannot take signals: {0}")]
    Signals(std::io::Error),
    /// What an earlier agent left cannot be read.
    #[error("cannot read the sandboxes of an earlier agent: {0}")]
    Adopt(runtime::Error),
    /// A provider can do nothing any more.
    #[error("{0}")]
    Broken(runtime::Error),
    /// A part that the agent needs has ended.
    #[error("a part of the agent has ended: {0:?}")]
    Failed(Failure),
}

/// What `main` has made before there was a runtime.
pub struct Start {
    /// What the user wants.
    pub config: Config,
    /// From our certificate.
    pub cluster_id: ClusterId,
    /// Folder of the process provider.
    pub sandboxes: PathBuf,
    /// The launcher's end.
    pub launcher: UnixStream,
    /// Time.
    pub clock: Arc<dyn Clock>,
    /// Keeps other agents away for as long as this one lives.
    pub state: StateDir,
}

/// Runs the agent until a signal ends it.
pub async fn run(start: Start) -> Result<(), Error> {
    let tasks = Tasks::new();
    boss_base::signals::shutdown(&tasks).map_err(Error::Signals)?;
    let client = connect(&start.config, &start.cluster_id, &tasks)?;
    let renewal = Renewal {
        client: client.clone(),
        files: start.config.tls.clone(),
        node: start.config.name.clone(),
        clock: Arc::clone(&start.clock),
        tasks: tasks.clone(),
    };
    renewal.start();
    let address = host::address_towards(start.config.servers.iter().map(Endpoint::as_str));
    let processes = process_runtime(&start)?;
    processes.end_strays().await.map_err(Error::Adopt)?;
    let providers = Providers::new(vec![Arc::new(processes)]);
    providers.probe().await;

    let (reporter, board) = (Reporter::default(), Board::default());
    reporter.start(client.clone(), Arc::clone(&start.clock), &tasks);
    let events = Events::start(client.clone(), &start.config.name, Arc::clone(&start.clock), &tasks);
    let mut engine = Engine::new(Parts {
        node: start.config.name.clone(),
        host_ip: address.as_ref().map(ToString::to_string).unwrap_or_default(),
        providers: providers.clone(),
        reporter,
        events,
        board: board.clone(),
        client: client.clone(),
        clock: Arc::clone(&start.clock),
        tasks: tasks.clone(),
    });
    engine.adopt().await.map_err(Error::Adopt)?;

    let items = watch_pods(&client, &start, &tasks);
    start_presence(&start, &client, &providers, address, &engine, board, &tasks);
    let result = tokio::select! {
        ended = engine.run(items) => ended.map_err(Error::Broken),
        failure = tasks.failed() => Err(Error::Failed(failure)),
    };
    stop(&start.config, &engine, &tasks).await;
    result
}

fn connect(config: &Config, cluster_id: &ClusterId, tasks: &Tasks) -> Result<Client, boss_client::Error> {
    let credentials = boss_client::Credentials::Certificate {
        certificate: config.tls.certificate.clone(),
        key: config.tls.key.clone(),
    };
    let ca = Source::File(config.tls.ca.clone());
    let servers = servers::with_remembered(&config.servers, &config.state_dir);
    let mut client = boss_client::Config::new(servers, ca, credentials);
    client.cluster_id = Some(cluster_id.clone());
    let client = Client::connect(client)?;
    client.keep_credentials_fresh(tasks);
    servers::keep(&client, &config.state_dir, tasks);
    Ok(client)
}

fn process_runtime(start: &Start) -> Result<ProcessRuntime, Error> {
    let launcher = start.launcher.try_clone().and_then(Launcher::attach).map_err(Error::Launcher)?;
    let cgroups = Layout::probe(&format!("boss-{}-{}", start.cluster_id, start.config.name));
    let controllers: Vec<&str> = cgroups.controllers().iter().map(|controller| controller.as_str()).collect();
    tracing::info!(controllers = controllers.join(","), "limits can be enforced");
    Ok(ProcessRuntime::new(Settings {
        root: start.sandboxes.clone(),
        launcher: Arc::new(launcher),
        cgroups,
        log: LogBounds::default(),
        tasks_max: start.config.process.tasks_max,
        concurrency_max: start.config.process.concurrency_max,
        own_program: PathBuf::from("/proc/self/exe"),
        clock: Arc::clone(&start.clock),
    }))
}

/// The pods that are bound to this node, and all changes of them.
fn watch_pods(client: &Client, start: &Start, tasks: &Tasks) -> mpsc::Receiver<Item> {
    let query = Query::all(Kind::Pod).fields(format!("spec.nodeName={}", start.config.name));
    let (sender, items) = mpsc::channel(ITEMS_MAX);
    let (watch, clock, token) = (client.watch(query), Arc::clone(&start.clock), tasks.token());
    tasks.spawn("pod watch", OnExit::StopProcess, async move {
        token.run_until_cancelled_owned(forward(watch, sender, clock)).await;
    });
    items
}

async fn forward(mut watch: Watch, sender: mpsc::Sender<Item>, clock: Arc<dyn Clock>) {
    let mut backoff = Backoff::new(REFUSED_DELAY_FIRST, REFUSED_DELAY_MAX);
    loop {
        match watch.next().await {
            Ok(item) => {
                backoff.reset();
                if sender.send(item).await.is_err() {
                    return;
                }
            }
            Err(error) => {
                tracing::error!(%error, "the servers refuse the watch of this node's pods");
                tokio::time::sleep(backoff.next_delay(&*clock)).await;
            }
        }
    }
}

/// What makes the node known: its object, then its session, whose heartbeats make it ready.
fn start_presence(
    start: &Start,
    client: &Client,
    providers: &Providers,
    address: Option<IpAddr>,
    engine: &Engine,
    board: Board,
    tasks: &Tasks,
) {
    let registration = Registration {
        client: client.clone(),
        name: start.config.name.clone(),
        labels: start.config.labels.clone(),
        state_dir: start.config.state_dir.clone(),
        address,
        providers: providers.clone(),
        clock: Arc::clone(&start.clock),
    };
    let (client, node, clock) = (client.clone(), start.config.name.clone(), Arc::clone(&start.clock));
    let (running, all, token) = (engine.running(), tasks.clone(), tasks.token());
    let presence = async move {
        let node_uid = registration.register().await;
        let boot_id = proc_stat::boot_id();
        let sessions = Sessions { client, node, node_uid, boot_id, running, board, clock, tasks: all };
        tokio::join!(registration.keep(), sessions.run());
    };
    tasks.spawn("presence", OnExit::StopProcess, async move {
        Box::pin(token.run_until_cancelled_owned(presence)).await;
    });
}

async fn stop(config: &Config, engine: &Engine, tasks: &Tasks) {
    tasks.cancel();
    if config.stop_sandboxes_on_exit {
        engine.stop_all(STOP_SANDBOXES_GRACE).await;
    }
    if let Err(names) = tasks.stop(STOP_MAX).await {
        tracing::warn!(tasks = names.join(", "), "these did not end in time");
    }
}
