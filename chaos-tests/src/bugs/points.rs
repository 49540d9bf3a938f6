//! Every point at which servers and agents of the build with deliberate bugs can be killed, and what must hold when they
//! are: each process dies at the point while clients work, is started again, and everything is as it should be.
//!
//! `raft` kills its own storage between any two calls in its own tests, many times at each point. Here it is whole servers,
//! with clients who remember what they were told, and the points that storage alone does not have.

use std::{sync::Arc, time::Duration};

use boss_proto::v1;
use boss_verify::run::{Plan, Scratch, Target, run};
use nix::sys::signal::Signal;
use tokio::time::{Instant, sleep};

use super::{Found, finding, states};
use crate::{
    bossctl_run::Bossctl,
    checkers::{Verdict, broken, judged::Judged},
    cluster::{Cluster, Spec},
    history::Recorder,
    manifests::{NAMESPACE, shell_pod},
    process::Exit,
    tokens, wait,
    workload::Stop,
};

/// Who comes by a point.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Who {
    /// Servers.
    Servers,
    /// Agents.
    Agents,
}

/// A point, and who dies there when he is there for so many a time.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Point {
    /// As the programs know it.
    pub name: &'static str,
    /// Who comes by.
    pub who: Who,
    /// The first times are those of a start.
    pub times: u64,
}

const fn servers(name: &'static str, times: u64) -> Point {
    Point { name, who: Who::Servers, times }
}

const fn agents(name: &'static str) -> Point {
    Point { name, who: Who::Agents, times: 1 }
}

/// Those that a whole system comes by within seconds.
pub const POINTS: [Point; 27] = [
    servers("log.batch.encoded", 60),
    servers("log.batch.written", 60),
    servers("log.batch.synced", 60),
    servers("store.batch.merged", 5),
    servers("store.batch.written", 5),
    servers("snapshot.headed", 1),
    servers("snapshot.written", 1),
    servers("snapshot.synced", 1),
    servers("snapshot.renamed", 1),
    servers("snapshot.listed", 1),
    servers("write.proposing", 40),
    servers("write.proposed", 40),
    servers("forward.sending", 40),
    servers("forward.answered", 40),
    servers("append.sending", 60),
    servers("append.answered", 60),
    servers("vote.asking", 1),
    servers("vote.answered", 1),
    servers("bind.proposing", 1),
    servers("bind.proposed", 1),
    servers("revoke.proposing", 1),
    servers("revoke.proposed", 1),
    agents("sandbox.launching"),
    agents("sandbox.launched"),
    agents("status.writing"),
    agents("status.written"),
    agents("sandbox.stopping"),
];

/// How long clients work.
const WORK: Duration = Duration::from_secs(6);
/// Between two looks at who has died.
const LOOK: Duration = Duration::from_millis(50);
/// For everything to be as it should be again.
const SETTLED: Duration = Duration::from_secs(60);
/// Few, so that clients meet.
const CLIENTS: u64 = 4;
const SEED: u64 = 11;

/// Kills processes at the point while everything goes on.
#[must_use]
pub fn kill_at(point: Point) -> Found {
    let spec = Spec { servers: 3, nodes: 1, small_log: true, ..Spec::default() };
    finding::on_a_cluster(spec, |cluster| Box::pin(kill(cluster, point)))
}

async fn kill(cluster: &mut Cluster, point: Point) -> Vec<Judged> {
    let mut died = restart_with(cluster, point).await;
    let target = Target {
        servers: cluster.server_ids().map(|id| cluster.admin_at(id)).collect(),
        clients: cluster.server_ids().map(|id| cluster.client(id)).collect(),
    };
    let (recorder, stop) = (Arc::new(Recorder::in_memory()), Stop::default());
    let plan = Plan { seed: SEED, duration: WORK, clients: CLIENTS, rate: None, faults: 0 };
    let report = {
        let disturb = errands(cluster, point, &mut died);
        run(&target, &Scratch::named("chaos"), &plan, (&recorder, &stop), disturb).await
    };
    let mut judged = report.unwrap_or_else(|error| panic!("{error}")).judged;
    // Whether faults were in force is not noted in this history.
    judged.retain(|judged| judged.promise != "enough was seen");
    judged.push(Judged { promise: "everything comes back", verdict: comes_back(cluster).await });
    judged.push(Judged { promise: "equal states at equal indexes", verdict: equal(cluster).await });
    let nobody = || Verdict::Unknown(format!("nobody died at {}", point.name));
    judged.push(Judged { promise: "somebody died there", verdict: if died > 0 { Verdict::Valid } else { nobody() } });
    judged
}

/// One process after the other, so that there is always a majority. Gives how many died on the way.
async fn restart_with(cluster: &mut Cluster, point: Point) -> usize {
    let mut died = 0;
    match point.who {
        Who::Agents => {
            cluster.kill_node(0);
            cluster.doom_node(0, point.name, point.times);
            cluster.start_node(0);
        }
        Who::Servers => {
            for id in cluster.server_ids() {
                cluster.kill_server(id);
                cluster.doom_server(id, point.name, point.times);
                cluster.start_server(id);
                died += come_back(cluster, id).await;
            }
        }
    }
    died
}

/// Waits until a server is ready; it, and others meanwhile, may die at their point first. Gives how many did.
async fn come_back(cluster: &mut Cluster, id: u64) -> usize {
    let mut died = 0;
    let until = Instant::now() + SETTLED;
    while Instant::now() < until {
        died += revive(cluster);
        if crate::http::get_status(&cluster.addresses(id).http, "/readyz").await.is_ok_and(|status| status == 200) {
            return died;
        }
        sleep(LOOK).await;
    }
    panic!("server {id} is not ready again");
}

/// Starts who has died; gives how many that were.
fn revive(cluster: &mut Cluster) -> usize {
    let killed = |exit: Option<Exit>| exit == Some(Exit::Signal(Signal::SIGKILL));
    let servers: Vec<u64> =
        cluster.server_ids().filter(|id| killed(cluster.server(*id).and_then(|process| process.exit()))).collect();
    servers.iter().for_each(|id| cluster.start_server(*id));
    let agent = killed(cluster.node(0).and_then(|process| process.exit()));
    if agent {
        cluster.start_node(0);
    }
    servers.len() + usize::from(agent)
}

/// What brings everybody by the points, while clients work; who has died is started again.
async fn errands(cluster: &mut Cluster, point: Point, died: &mut usize) {
    let until = Instant::now() + WORK;
    let mut number = 0;
    while Instant::now() < until || (*died == 0 && Instant::now() < until + WORK) {
        number += 1;
        let name = format!("errand-{number}");
        errand(cluster, &name, number).await;
        for _ in 0..10 {
            *died += revive(cluster);
            sleep(LOOK).await;
        }
        if point.name.starts_with("vote.") && number == 2 {
            let leader = cluster.leader().await;
            cluster.kill_server(leader);
            cluster.start_server(leader);
        }
    }
}

/// A pod comes, and another one goes; a token is revoked; a snapshot is saved. Whoever is asked may die of it.
async fn errand(cluster: &Cluster, name: &str, number: usize) {
    let admin = cluster.admin();
    let _ = admin.create(shell_pod(name, "exec sleep 86411")).await;
    if number > 2 {
        let _ = admin.delete::<v1::Pod>(NAMESPACE, &format!("errand-{}", number - 2)).await;
    }
    let bossctl = Bossctl::of(cluster);
    let claims = tokens::claims(cluster, &format!("eve-{number}"), &[]);
    let _ = bossctl.run(&["token", "revoke", claims["jti"].as_str().unwrap_or_default()]).await;
    if number.is_multiple_of(2) {
        let file = cluster.folder().join(format!("{name}.snapshot"));
        let _ = bossctl.run(&["cluster", "snapshot", "save", &file.display().to_string()]).await;
    }
}

async fn comes_back(cluster: &mut Cluster) -> Verdict {
    let mut last = String::new();
    let until = Instant::now() + SETTLED;
    while Instant::now() < until {
        revive(cluster);
        match settled(cluster).await {
            Ok(()) => return Verdict::Valid,
            Err(why) => last = why,
        }
        sleep(LOOK).await;
    }
    broken(last)
}

/// Every server is ready, and every pod that is there runs.
async fn settled(cluster: &Cluster) -> Result<(), String> {
    for id in cluster.server_ids() {
        let status = crate::http::get_status(&cluster.addresses(id).http, "/readyz").await;
        wait::holds(status.as_ref().is_ok_and(|status| *status == 200), format!("server-{id}: {status:?}"))?;
    }
    let (pods, _) = cluster.admin().list::<v1::Pod>(NAMESPACE).await.map_err(|status| status.to_string())?;
    let waits = pods.iter().find(|pod| pod.status.as_ref().is_none_or(|status| status.phase != "Running"));
    waits.map_or(Ok(()), |pod| Err(format!("a pod does not run: {:?} {:?}", pod.metadata, pod.status)))
}

async fn equal(cluster: &Cluster) -> Verdict {
    let until = Instant::now() + SETTLED;
    let mut verdict = Verdict::Unknown("nobody told".to_owned());
    while Instant::now() < until && matches!(verdict, Verdict::Unknown(_)) {
        verdict = crate::checkers::states::check(&states::told(cluster).await, 3);
        sleep(LOOK).await;
    }
    verdict
}
