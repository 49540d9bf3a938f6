//! One sprint: a fresh cluster on hosts of its own, clients of every workload, the faults of a seed, and the judgement of
//! what was seen. Decides nothing itself: the schedule, the workloads and the judges do.

mod clients;
mod judge;
mod options;
pub mod shrinking;
pub mod smallest;

use std::{
    io::{self, Write},
    panic::{AssertUnwindSafe, catch_unwind},
    path::{Path, PathBuf},
    sync::{Arc, Mutex, PoisonError},
    time::Duration,
};

use boss_client::Client;
use boss_proto::{ids::Revision, object::Resource, v1};
use futures_util::future::{join_all, select};
use tokio::time::{Instant, sleep};

pub use self::{
    judge::Seen,
    options::{Options, Work},
};
pub use crate::checkers::judged::Judged;
use crate::{
    checkers::{Verdict, bindings::Bound, states::State, watches::Told},
    cluster::{Apart, Cluster, Spec, Where},
    history::Recorder,
    http,
    manifests::{NAMESPACE, name_of, namespace, record},
    nemesis::{Disturber, Family, run::leader_of},
    net::{self, Host},
    report::{self, Failover},
    sample::Sampler,
    wait,
    workload::{Stop, bound, following, pairs, pods},
};

/// Hosts of clients.
const CLIENT_HOSTS: usize = 2;
/// Quiet before the first fault and after the last, so that something is known of both.
const QUIET: Duration = Duration::from_millis(1_500);
/// After the last fault has ended, everything works again by then.
const RECOVERY: Duration = Duration::from_secs(60);
/// What a server's disk holds when disks are to be broken: its reserve, and something to fill.
const DISK_BYTES: u64 = 384 << 20;
/// Where the members of the set are, and nothing else.
const MEMBERS: &str = "chaos-members";
/// Where the pairs are, and nothing else.
const PAIRS: &str = "chaos-pairs";
/// The object that ends the watches.
const END: &str = "end-of-the-sprint";

/// What became of a sprint.
#[derive(Debug, Clone)]
pub struct Outcome {
    /// What it was made of.
    pub options: Options,
    /// One for each promise.
    pub judged: Vec<Judged>,
    /// Answered operations of all workloads.
    pub answered: usize,
    /// How long writers waited when the leader was taken away.
    pub failovers: Vec<Failover>,
    /// Where history, logs and report are; kept unless everything was as it should be.
    pub folder: PathBuf,
}

impl Outcome {
    /// Whether every promise was kept, and enough was seen to say so.
    #[must_use]
    pub fn is_good(&self) -> bool {
        !self.judged.is_empty() && self.judged.iter().all(|judged| judged.verdict.is_valid())
    }

    /// The promises that were not.
    pub fn broken(&self) -> impl Iterator<Item = &Judged> {
        self.judged.iter().filter(|judged| !judged.verdict.is_valid())
    }
}

/// Runs a sprint and keeps its folder under `reports` if it was not good, or if `keep` says so.
pub fn run(options: &Options, reports: &Path, keep: bool) -> io::Result<Outcome> {
    let folder = reports.join(format!("seed-{}", options.seed));
    if folder.exists() {
        std::fs::remove_dir_all(&folder)?;
    }
    std::fs::create_dir_all(&folder)?;
    let sprint = || net::on_own_machine(async || Box::pin(sprint(options, &folder)).await);
    let outcome = match catch_unwind(AssertUnwindSafe(sprint)) {
        Ok(outcome) => outcome?,
        // What the harness expects of every cluster did not hold: that is no verdict, and no success either.
        Err(panic) => {
            let verdict = Verdict::Unknown(text_of(&*panic));
            let judged = vec![Judged { promise: "the harness could do its work", verdict }];
            let outcome = Outcome { options: options.clone(), judged, answered: 0, failovers: Vec::new(), folder };
            report::write_bare(&outcome)?;
            outcome
        }
    };
    if outcome.is_good() && !keep {
        std::fs::remove_dir_all(&outcome.folder)?;
    }
    Ok(outcome)
}

fn text_of(panic: &(dyn std::any::Any + Send)) -> String {
    let text = panic.downcast_ref::<String>().cloned();
    text.or_else(|| panic.downcast_ref::<&str>().map(ToString::to_string)).unwrap_or_else(|| "a panic".to_owned())
}

async fn sprint(options: &Options, folder: &Path) -> Outcome {
    let has = |wanted: fn(Family) -> bool| options.families.iter().any(|family| wanted(*family));
    let place = Where::Apart(Apart {
        clients: CLIENT_HOSTS,
        disk_bytes: has(Family::breaks_disks).then_some(DISK_BYTES),
        wrong_clocks: has(|family| family == Family::Clock),
        wires: has(|family| matches!(family, Family::Delay | Family::Reorder)),
    });
    let Options { servers, nodes, profile, .. } = *options;
    let mut cluster = Cluster::start(Spec { servers, nodes, profile, place, bug: None }).await;
    let seen = Box::pin(observe(options, &mut cluster, folder)).await;
    let judged = judge::all(options, &seen);
    let (answered, failovers) = (seen.answered(), report::failovers(&seen.events));
    let outcome = Outcome { options: options.clone(), answered, failovers, judged, folder: folder.to_owned() };
    if let Err(error) = cluster.copy_logs(&folder.join("logs")).and_then(|()| report::write(&outcome, &seen)) {
        let _ = writeln!(io::stderr(), "no report in {}: {error}", folder.display());
    }
    outcome
}

/// Everything between the start of the cluster and the judgement.
async fn observe(options: &Options, cluster: &mut Cluster, folder: &Path) -> Seen {
    let start = prepare(cluster).await;
    let recorder = Recorder::create(&folder.join("history.jsonl")).expect("the folder of the report is ours");
    let (recorder, stop) = (Arc::new(recorder), Stop::default());
    let sampler = Sampler::new(recorder.began());
    let locks = cluster.folder().join("locks");
    let threads = clients::start(options, cluster, &recorder, &stop, &locks);
    let watchers: Vec<Client> = cluster.server_ids().map(|id| cluster.client(id)).collect();
    let addresses: Vec<(u64, String)> =
        cluster.server_ids().map(|id| (id, cluster.addresses(id).http.clone())).collect();
    let steps = options.steps();
    let bound = Mutex::new(Vec::new());

    let over = Stop::default();
    let follow = |client| following::until_over(&over, following::registers(client, NAMESPACE, start, END));
    let following = join_all(watchers.iter().map(follow));
    let sampling = join_all(addresses.iter().map(|(id, address)| sampler.follow(*id, address)));
    let ending = Ending { recorder: &recorder, stop: &stop, sampler: &sampler, locks: &locks };
    let conducting = async {
        let closing = conduct(options, cluster, &steps, threads, &ending).await;
        over.set();
        closing
    };
    let binding = bound::pods(&watchers[0], start, &bound);
    let working = async { tokio::join!(conducting, following, sampling) };
    let (closing, watches) = match select(Box::pin(working), Box::pin(binding)).await {
        futures_util::future::Either::Left(((closing, watches, _), _)) => (closing, watches),
        futures_util::future::Either::Right((problem, working)) => {
            let (mut closing, watches, _) = working.await;
            closing.problems.push(problem);
            (closing, watches)
        }
    };
    Seen {
        events: recorder.events().expect("the folder of the report is ours"),
        samples: sampler.samples(),
        steps,
        watches,
        bound: bound.into_inner().unwrap_or_else(PoisonError::into_inner),
        closing,
    }
}

/// What all workloads need, and the revision from which on everything is watched.
async fn prepare(cluster: &Cluster) -> Revision {
    let admin = cluster.admin();
    for name in [MEMBERS, PAIRS] {
        admin.create(namespace(name)).await.expect("the cluster is fresh");
    }
    pairs::prepare(&admin, PAIRS).await.expect("the cluster is fresh");
    admin.create(record("start-of-the-sprint", "x")).await.expect("the cluster is fresh").revision
}

struct Ending<'a> {
    recorder: &'a Arc<Recorder>,
    stop: &'a Stop,
    sampler: &'a Sampler,
    locks: &'a Path,
}

/// What is known at the end only.
#[derive(Debug, Clone, Default)]
pub struct Closing {
    /// What did not come back, or ended by itself.
    pub problems: Vec<String>,
    /// Of each server.
    pub states: Vec<State>,
    /// After everything has settled.
    pub pods: Vec<crate::checkers::pods::Found>,
}

/// The watches of registers, each from another server's first.
pub(crate) type Watches = Vec<Result<Vec<Told>, String>>;
/// The states of pods, as a watch told them.
pub(crate) type Bindings = Vec<Bound>;

async fn conduct(
    options: &Options,
    cluster: &mut Cluster,
    steps: &[crate::nemesis::Step],
    threads: Vec<std::thread::JoinHandle<()>>,
    ending: &Ending<'_>,
) -> Closing {
    let mut closing = Closing::default();
    closing.problems.extend(progress(ending.recorder, 0).await.err());
    let began = Instant::now();
    let others: Vec<Host> = (0..CLIENT_HOSTS).map(Host::client).chain((0..options.nodes).map(Host::node)).collect();
    Box::pin(Disturber::new(cluster, ending.recorder, others).carry_out(began, steps)).await;
    closing.problems.extend(recover(cluster).await.err());
    let answered = ending.recorder.answered();
    sleep(options.duration.saturating_sub(began.elapsed()).max(QUIET)).await;
    closing.problems.extend(progress(ending.recorder, answered).await.err());
    ending.stop.set();
    closing.problems.extend(join(threads).await);
    closing.problems.extend(ended(cluster));
    look_back(cluster, ending, &mut closing).await;
    ending.sampler.stop();
    closing
}

/// Waits for all clients; tells of those that panicked.
async fn join(threads: Vec<std::thread::JoinHandle<()>>) -> Vec<String> {
    let mut problems = Vec::new();
    for thread in threads {
        // A client stops after what it is at, and that has a bound of its own.
        while !thread.is_finished() {
            sleep(Duration::from_millis(20)).await;
        }
        if let Err(panic) = thread.join() {
            problems.push(format!("a client: {}", text_of(&*panic)));
        }
    }
    problems
}

/// What is to be seen when all is quiet again.
async fn look_back(cluster: &Cluster, ending: &Ending<'_>, closing: &mut Closing) {
    let last = cluster.client(cluster.running_servers()[0]).create(record(END, "x").into_object()).await;
    closing.problems.extend(last.err().map(|error| format!("the last write: {error}")));
    clients::list_everywhere(cluster, ending.recorder).await;
    match settle_pods(cluster, ending).await {
        Ok(pods) => closing.pods = pods,
        Err(problem) => closing.problems.push(problem),
    }
    closing.states = states(cluster).await;
}

/// Waits until clients have got answers enough to say something, on a machine however slow.
async fn progress(recorder: &Recorder, from: usize) -> Result<(), String> {
    let enough = wait::until("clients are answered", RECOVERY, async || {
        let answered = recorder.answered() - from;
        wait::holds(answered >= 2 * judge::ANSWERED_EACH, format!("{answered} times"))
    });
    enough.await.map_err(|timed_out| timed_out.to_string())
}

/// Waits until everything works again.
async fn recover(cluster: &Cluster) -> Result<(), String> {
    let recovered = wait::until("all servers are ready", RECOVERY, async || {
        if leader_of(cluster).await.is_none() {
            return Err("nobody leads".to_owned());
        }
        for id in cluster.running_servers() {
            match http::get_status(&cluster.addresses(id).http, "/readyz").await {
                Ok(200) => {}
                other => return Err(format!("server-{id}: {other:?}")),
            }
        }
        Ok(())
    });
    recovered.await.map_err(|timed_out| timed_out.to_string())
}

/// Servers and agents that were not told to end, and have.
fn ended(cluster: &Cluster) -> Vec<String> {
    let servers = cluster.running_servers().into_iter().filter_map(|id| {
        let exit = cluster.server(id)?.exit()?;
        Some(format!("server-{id} ended by itself: {exit:?}"))
    });
    servers.collect()
}

/// Waits until pods are as they should be, or will not be any more.
async fn settle_pods(cluster: &Cluster, ending: &Ending<'_>) -> Result<Vec<crate::checkers::pods::Found>, String> {
    let events = ending.recorder.events().map_err(|error| error.to_string())?;
    let calls = crate::history::calls(&events).map_err(|bad| bad.to_string())?;
    let mut last = Vec::new();
    let settled = wait::until("all pods are as they should be", RECOVERY, async || {
        let admin = cluster.admin();
        let (found, _) = admin.list::<v1::Pod>("default").await.map_err(|status| status.to_string())?;
        let phase = |pod: &v1::Pod| pod.status.as_ref().map_or(String::new(), |status| status.phase.clone());
        let registry: Vec<(String, String)> =
            found.iter().map(|pod| (name_of(pod.metadata.as_ref()).to_owned(), phase(pod))).collect();
        last = pods::found(&calls, &registry, ending.locks);
        match crate::checkers::pods::check(&last) {
            Verdict::Valid => Ok(()),
            other => Err(format!("{other:?}")),
        }
    });
    // What it says then is judged like everything else.
    match settled.await {
        Ok(()) => Ok(last),
        Err(timed_out) if last.is_empty() => Err(timed_out.to_string()),
        Err(_) => Ok(last),
    }
}

/// The states of all servers, at one index if they come to one.
async fn states(cluster: &Cluster) -> Vec<State> {
    let mut last = Vec::new();
    let equal = wait::until("all servers are at one index", RECOVERY, async || {
        let status = cluster.admin().status().await.map_err(|status| status.to_string())?;
        let state = |server: &v1::ServerStatus| State {
            server: server.id,
            applied: server.applied_index,
            hash: server.state_hash.clone(),
        };
        last = status.servers.iter().filter(|server| server.error.is_empty()).map(state).collect();
        wait::holds(crate::checkers::states::check(&last, status.servers.len()).is_valid(), "they are not")
    });
    let _ = equal.await;
    last
}
