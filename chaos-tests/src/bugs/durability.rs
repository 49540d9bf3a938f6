//! What was acknowledged is there after a crash, and nothing else is: kills, a lost store, a damaged log.

use std::{fs, io, path::Path, time::Duration};

use boss_proto::v1;
use futures_util::future::join_all;
use tokio::time::{Instant, sleep};

use super::{reading::metric, states};
use crate::{
    api::Api,
    bossctl_run::Bossctl,
    checkers::{Verdict, broken, judged::Judged},
    cluster::Cluster,
    manifests::{NAMESPACE, name_of, record},
    process::Process,
    wait,
    workload::{Acknowledged, Workload},
};

const WRITERS: usize = 8;
/// Of each round, before the kill.
const WRITES: usize = 150;
/// A crash hits what is on its way to the disk, or does not.
const ROUNDS: usize = 3;
/// Log and snapshots are looked at every second.
const PURGED_WITHIN: Duration = Duration::from_secs(4);
/// A server that is alone says its term for so long.
const TERM_FOR: Duration = Duration::from_secs(3);
/// For a damaged server to refuse, or to catch up.
const SETTLED: Duration = Duration::from_secs(20);

/// kill -9 of all servers while clients write.
pub(super) async fn kill_all(cluster: &mut Cluster) -> Vec<Judged> {
    let mut all = Acknowledged::new();
    let mut verdict = Verdict::Valid;
    for round in 0..ROUNDS {
        let servers: Vec<Api> = cluster.server_ids().map(|id| cluster.admin_at(id)).collect();
        let workload = Workload::default();
        let writers = join_all((0..WRITERS).map(|writer| workload.write(round * WRITERS + writer, &servers)));
        let killer = async {
            let busy = async || wait::holds(workload.count() >= WRITES, format!("{} writes", workload.count()));
            cluster.wait("the writers are busy", busy).await;
            cluster.kill_all_servers();
            workload.stop();
        };
        tokio::join!(writers, killer);
        all.extend(workload.acknowledged());
        cluster.server_ids().for_each(|id| cluster.start_server(id));
        cluster.wait_for_server(1).await;
        verdict = verdict.and(is_all_there(&cluster.admin_at(1), &all).await);
        if !verdict.is_valid() {
            break;
        }
    }
    vec![Judged { promise: "what was acknowledged is never lost", verdict }]
}

async fn is_all_there(api: &Api, acknowledged: &Acknowledged) -> Verdict {
    let (found, _) = api.list::<v1::ServiceAccount>(NAMESPACE).await.expect("the administrator may");
    let names: std::collections::BTreeSet<&str> = found.iter().map(|one| name_of(one.metadata.as_ref())).collect();
    let lost: Vec<_> = acknowledged.iter().filter(|(_, name)| !names.contains(name.as_str())).collect();
    if lost.is_empty() {
        Verdict::Valid
    } else {
        broken(format!("{} acknowledged writes are lost: {lost:?}", lost.len()))
    }
}

/// kill -9 after a snapshot, and the store behind the registry is lost with it: snapshot and log must be enough.
pub(super) async fn kill_after_a_snapshot(cluster: &mut Cluster) -> Vec<Judged> {
    let admin = cluster.admin();
    let mut all = Acknowledged::new();
    for number in 0..50 {
        let name = format!("r-{number}");
        all.insert(admin.create(record(&name, "x")).await.expect("it is new").revision, name);
    }
    let file = cluster.folder().join("saved.snapshot");
    Bossctl::of(cluster).succeed(&["cluster", "snapshot", "save", file.to_str().expect("a path of ours")]).await;
    sleep(PURGED_WITHIN).await;
    cluster.kill_server(1);
    remove_store(cluster, 1);
    cluster.start_server(1);
    cluster.wait_for_server(1).await;
    let verdict = is_all_there(&cluster.admin_at(1), &all).await;
    vec![Judged { promise: "what was acknowledged is never lost", verdict }]
}

/// The store is made anew from snapshot and log when it is gone.
fn remove_store(cluster: &Cluster, id: u64) {
    fs::remove_dir_all(cluster.data_of(id).join("state")).expect("the folder is ours");
}

/// A byte of the last entry of one server's log is changed while it is down.
pub(super) async fn flip_a_byte(cluster: &mut Cluster) -> Vec<Judged> {
    const MARK: &str = "torn-mark-0123456789";
    const ODD: u64 = 3;
    cluster.admin().create(record("torn", MARK)).await.expect("the cluster is fresh");
    cluster.assert_states_are_equal().await;
    cluster.kill_server(ODD);
    remove_store(cluster, ODD);
    change_last(&cluster.data_of(ODD).join("log"), MARK).expect("the entry is in its log");
    cluster.start_server(ODD);
    let until = Instant::now() + SETTLED;
    let mut verdict = Verdict::Valid;
    // A server that refuses to start with a damaged log keeps its promise, too.
    while Instant::now() < until && cluster.server(ODD).is_some_and(Process::is_running) {
        let states = states::told(cluster).await;
        if states.len() == 3 && states.iter().all(|state| state.applied == states[0].applied) {
            verdict = crate::checkers::states::check(&states, 3);
            break;
        }
        sleep(Duration::from_millis(100)).await;
    }
    vec![Judged { promise: "equal states at equal indexes", verdict }]
}

/// Changes the last copy of a text in the files of a folder.
fn change_last(folder: &Path, text: &str) -> io::Result<()> {
    let mut files: Vec<_> = fs::read_dir(folder)?.flatten().map(|entry| entry.path()).collect();
    files.sort_unstable();
    for path in files.iter().rev().filter(|path| path.is_file()) {
        let mut bytes = fs::read(path)?;
        if let Some(at) = bytes.windows(text.len()).rposition(|window| window == text.as_bytes()) {
            bytes[at + text.len() - 1] = b'X';
            return fs::write(path, bytes);
        }
    }
    Err(io::Error::other(format!("{text} is in no file of {}", folder.display())))
}

/// kill -9 of all, and one comes back alone: it has not forgotten in which term it is.
pub(super) async fn restart_alone(cluster: &mut Cluster) -> Vec<Judged> {
    const TERM: &str = "boss_raft_term";
    const ALONE: u64 = 1;
    let leader = cluster.leader().await;
    cluster.kill_server(leader);
    cluster.leader().await;
    cluster.start_server(leader);
    cluster.wait_for_server(leader).await;
    let before = metric(cluster, ALONE, TERM).await;
    cluster.kill_all_servers();
    cluster.start_server(ALONE);
    let mut lowest = f64::MAX;
    let until = Instant::now() + TERM_FOR;
    while Instant::now() < until {
        lowest = lowest.min(metric(cluster, ALONE, TERM).await);
        sleep(Duration::from_millis(50)).await;
    }
    let verdict = if lowest >= before {
        Verdict::Valid
    } else {
        broken(format!("server-{ALONE} was in term {before}, and in {lowest} after its restart"))
    };
    vec![Judged { promise: "a server never goes back to an earlier term", verdict }]
}
