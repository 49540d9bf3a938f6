//! One sprint: a fresh cluster on hosts of its own, clients of every workload, the faults of a seed, and the judgement of
//! what was seen. Decides nothing itself: the schedule, the workloads and the judges do.

mod backup;
mod clients;
mod judge;
mod options;
mod settling;
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
use boss_proto::{ids::Revision, object::Resource};
use futures_util::future::{join_all, select};
use tokio::time::{Instant, sleep};

pub use self::{
    judge::Seen,
    options::{Options, Work},
};
pub use crate::checkers::judged::Judged;
use crate::{
    audits,
    bossctl_run::Bossctl,
    checkers::{Verdict, bindings::Bound, entries::Kept, restored::Restored, states::State, watches::Told},
    cluster::{Apart, Cluster, Spec, Where},
    history::Recorder,
    manifests::{NAMESPACE, namespace, record},
    nemesis::{Disturber, Family},
    net::{self, Host},
    report::{self, Failover},
    sample::Sampler,
    workload::{Stop, bound, following, journals::Journals, pairs, quota, rights, tokens},
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
/// Where bearers of tokens read and write, tenants with and without a right, and clients under a quota.
const TOKENS: &str = "chaos-tokens";
const RIGHTS: &str = "chaos-rights";
const QUOTA: &str = "chaos-quota";
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
    /// For the start of the cluster, for the clients' work and all that follows it, and for the judges.
    pub took: [Duration; 3],
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
            let (options, failovers, took) = (options.clone(), Vec::new(), [Duration::ZERO; 3]);
            let outcome = Outcome { options, judged, answered: 0, failovers, took, folder };
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
    let small_log = has(|family| family == Family::Snapshot);
    let began = Instant::now();
    let mut cluster = Cluster::start(Spec { servers, nodes, profile, place, bug: options.bug, small_log }).await;
    let started = began.elapsed();
    let seen = Box::pin(observe(options, &mut cluster, folder)).await;
    let observed = began.elapsed();
    let judged = judge::all(options, &seen);
    let took = [started, observed - started, began.elapsed() - observed];
    let (answered, failovers) = (seen.answered(), report::failovers(&seen.events));
    let outcome = Outcome { options: options.clone(), answered, failovers, took, judged, folder: folder.to_owned() };
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
    let agents = (0..options.nodes).map(|index| (cluster.node_name(index).to_owned(), cluster.state_of(index)));
    let journals = Journals::new(recorder.began(), agents.collect());

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
    let working = async { tokio::join!(conducting, following, sampling, journals.follow(&over)) };
    let (closing, watches) = match select(Box::pin(working), Box::pin(binding)).await {
        futures_util::future::Either::Left(((closing, watches, ..), _)) => (closing, watches),
        futures_util::future::Either::Right((problem, working)) => {
            let (mut closing, watches, ..) = working.await;
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
        executions: journals.executions(),
        closing,
    }
}

/// What all workloads need, and the revision from which on everything is watched.
async fn prepare(cluster: &Cluster) -> Revision {
    let admin = cluster.admin();
    for name in [MEMBERS, PAIRS, TOKENS, RIGHTS, QUOTA] {
        admin.create(namespace(name)).await.expect("the cluster is fresh");
    }
    pairs::prepare(&admin, PAIRS).await.expect("the cluster is fresh");
    tokens::prepare(&admin, TOKENS).await.expect("the cluster is fresh");
    rights::prepare(&admin, RIGHTS).await.expect("the cluster is fresh");
    quota::prepare(&admin, QUOTA).await.expect("the cluster is fresh");
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
    /// What each server has kept of the entries that it applied.
    pub entries: Vec<(u64, Vec<Kept>)>,
    /// What a cluster held that was made from a snapshot of this one; none without a backup.
    pub restored: Option<Restored>,
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
    closing.problems.extend(settling::progress(ending.recorder, 0).await.err());
    let began = Instant::now();
    let others: Vec<Host> = (0..CLIENT_HOSTS).map(Host::client).chain((0..options.nodes).map(Host::node)).collect();
    let (bossctl, folder) = (Bossctl::of(cluster), cluster.folder().to_owned());
    let saving = async {
        let wanted = options.work.contains(&Work::Backup);
        if wanted { Some(backup::save(&bossctl, &folder, ending.recorder, options.seed).await) } else { None }
    };
    let disturbing = async { Disturber::new(cluster, ending.recorder, others).carry_out(began, steps).await };
    let (saved, ()) = Box::pin(async { tokio::join!(saving, disturbing) }).await;
    closing.problems.extend(settling::recover(cluster).await.err());
    let answered = ending.recorder.answered();
    sleep(options.duration.saturating_sub(began.elapsed()).max(QUIET)).await;
    closing.problems.extend(settling::progress(ending.recorder, answered).await.err());
    ending.stop.set();
    closing.problems.extend(settling::join(threads).await);
    closing.problems.extend(settling::ended(cluster));
    look_back(cluster, ending, &mut closing).await;
    match saved {
        Some(Ok(saved)) => match Box::pin(backup::restore(cluster, &saved)).await {
            Ok(restored) => closing.restored = Some(restored),
            Err(problem) => closing.problems.push(problem),
        },
        Some(Err(problem)) => closing.problems.push(problem),
        None => {}
    }
    ending.sampler.stop();
    closing
}

/// What is to be seen when all is quiet again.
async fn look_back(cluster: &Cluster, ending: &Ending<'_>, closing: &mut Closing) {
    let last = cluster.client(cluster.running_servers()[0]).create(record(END, "x").into_object()).await;
    closing.problems.extend(last.err().map(|error| format!("the last write: {error}")));
    clients::list_everywhere(cluster, ending.recorder).await;
    match settling::pods(cluster, ending).await {
        Ok(pods) => closing.pods = pods,
        Err(problem) => closing.problems.push(problem),
    }
    closing.states = settling::states(cluster).await;
    for id in cluster.running_servers() {
        match audits::kept(&cluster.data_of(id).join("audit")) {
            Ok(kept) => closing.entries.push((id, kept)),
            Err(error) => closing.problems.push(format!("the audit of server-{id}: {error}")),
        }
    }
}
