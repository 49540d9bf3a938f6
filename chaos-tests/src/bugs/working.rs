//! Clients of every workload on a cluster that nobody disturbs, and one that asks again later.

use std::{sync::Arc, time::Duration};

use boss_verify::run::{Plan, Scratch, Target, run};
use tokio::time::sleep;

use crate::{
    checkers::{Verdict, broken, judged::Judged},
    cluster::Cluster,
    history::Recorder,
    manifests::record,
    workload::Stop,
};

/// Whatever comes up in ordinary work does so by then.
const BRIEFLY: Duration = Duration::from_secs(5);
/// Servers tell how far they are every five seconds.
const PAST_BOOKMARKS: Duration = Duration::from_secs(13);
/// No request id may be forgotten by then.
const LATER: Duration = Duration::from_millis(2_500);
/// The same each time: what matters is up to the servers.
const SEED: u64 = 7;
const CLIENTS: u64 = 4;

/// All workloads, for a moment.
pub(super) async fn briefly(cluster: &mut Cluster) -> Vec<Judged> {
    work(cluster, BRIEFLY).await
}

/// The same until watches have seen bookmarks.
pub(super) async fn past_bookmarks(cluster: &mut Cluster) -> Vec<Judged> {
    work(cluster, PAST_BOOKMARKS).await
}

async fn work(cluster: &Cluster, duration: Duration) -> Vec<Judged> {
    let ids = || cluster.server_ids();
    let target = Target {
        servers: ids().map(|id| cluster.admin_at(id)).collect(),
        clients: ids().map(|id| cluster.client(id)).collect(),
    };
    let plan = Plan { seed: SEED, duration, clients: CLIENTS, rate: None, faults: 0 };
    let (recorder, stop) = (Arc::new(Recorder::in_memory()), Stop::default());
    let report = run(&target, &Scratch::named("chaos"), &plan, (&recorder, &stop), async {}).await;
    report.unwrap_or_else(|error| panic!("{error}")).judged
}

/// The same request, much later.
pub(super) async fn ask_again(cluster: &mut Cluster) -> Vec<Judged> {
    let admin = cluster.admin();
    let id = admin.seen().request_id();
    let first = admin.create_as(record("once", "x"), id.clone()).await.expect("the cluster is fresh").revision;
    sleep(LATER).await;
    // The registry's time moves with its writes.
    admin.create(record("meanwhile", "x")).await.expect("it is new");
    let verdict = match admin.create_as(record("once", "x"), id).await {
        Ok(again) if again.revision == first => Verdict::Valid,
        Ok(again) => broken(format!("done at {first}, and again at {}", again.revision)),
        Err(status) => broken(format!("done at {first}, and then refused: {status}")),
    };
    vec![Judged { promise: "a request is done once, and answered as before", verdict }]
}
