//! Pods have one node for life and one sandbox at a time, and none when they are gone.

use std::{
    fs::{self, File},
    path::{Path, PathBuf},
    time::Duration,
};

use boss_proto::v1;
use tokio::time::{Instant, sleep};

use crate::{
    checkers::{
        Verdict,
        bindings::{self, Bound},
        broken,
        judged::Judged,
    },
    cluster::Cluster,
    manifests::{NAMESPACE, shell_pod},
};

const POD: &str = "lonely";
/// What is to go wrong does so within this time.
const WATCHED_FOR: Duration = Duration::from_secs(6);
/// A deleted pod's processes are gone by then, whatever they do.
const GONE: Duration = Duration::from_secs(10);

/// Pods are bound, and the leadership moves.
pub(super) async fn bindings_across_leaders(cluster: &mut Cluster) -> Vec<Judged> {
    let names = ["c", "a", "f", "b", "e", "d", "g"];
    for name in names {
        cluster.admin().create(shell_pod(name, "exec sleep 86411")).await.expect("it is new");
    }
    for name in names {
        cluster.wait_for_phase(name, "Running").await;
    }
    let mut told = Vec::new();
    note_bindings(cluster, &mut told).await;
    let leader = cluster.leader().await;
    cluster.client(leader).transfer_leader(None).await.expect("the others are there");
    let until = Instant::now() + WATCHED_FOR;
    while Instant::now() < until && bindings::check(&told).is_valid() {
        note_bindings(cluster, &mut told).await;
        sleep(Duration::from_millis(50)).await;
    }
    vec![Judged { promise: "a pod is bound once", verdict: bindings::check(&told) }]
}

async fn note_bindings(cluster: &Cluster, told: &mut Vec<Bound>) {
    // Between two leaders nobody answers.
    let Ok((pods, revision)) = cluster.admin().list::<v1::Pod>(NAMESPACE).await else { return };
    told.extend(pods.into_iter().map(|pod| {
        let (metadata, spec) = (pod.metadata.unwrap_or_default(), pod.spec.unwrap_or_default());
        Bound { uid: metadata.uid, name: metadata.name, node: spec.node_name, revision: revision.0 }
    }));
}

/// A sandbox that holds a lock as long as any process of it lives, and notes when it meets another one.
async fn start_pod(cluster: &Cluster) -> (PathBuf, PathBuf) {
    let (lock, met) = (cluster.folder().join("lock"), cluster.folder().join("met"));
    let (held, told) = (lock.display(), met.display());
    let script = format!("exec 9>{held}; flock -n 9 || echo met >> {told}; exec sleep 86411");
    cluster.admin().create(shell_pod(POD, &script)).await.expect("it is new");
    cluster.wait_for_phase(POD, "Running").await;
    let runs = async || crate::wait::holds(is_held(&lock), "the lock is free");
    cluster.wait("its process runs", runs).await;
    (lock, met)
}

fn is_held(path: &Path) -> bool {
    File::open(path).is_ok_and(|file| matches!(file.try_lock(), Err(fs::TryLockError::WouldBlock)))
}

/// A pod is deleted; its sandbox ends.
pub(super) async fn delete_a_pod(cluster: &mut Cluster) -> Vec<Judged> {
    let (lock, _) = start_pod(cluster).await;
    cluster.admin().delete::<v1::Pod>(NAMESPACE, POD).await.expect("it is there");
    cluster.wait_until_gone::<v1::Pod>(NAMESPACE, POD).await;
    let until = Instant::now() + GONE;
    while is_held(&lock) && Instant::now() < until {
        sleep(Duration::from_millis(50)).await;
    }
    let verdict = if is_held(&lock) { broken("a sandbox runs whose pod is gone") } else { Verdict::Valid };
    vec![Judged { promise: "no sandbox is left behind", verdict }]
}

/// kill -9 of the agent, and a new one takes over.
pub(super) async fn restart_an_agent(cluster: &mut Cluster) -> Vec<Judged> {
    let (lock, met) = start_pod(cluster).await;
    cluster.kill_node(0);
    cluster.start_node(0);
    let until = Instant::now() + WATCHED_FOR;
    let mut verdict = Verdict::Valid;
    while Instant::now() < until && verdict.is_valid() {
        if met.exists() {
            verdict = broken("two sandboxes of a pod ran at once");
        } else if !is_held(&lock) {
            verdict = broken("a pod that was left alone lost its sandbox");
        } else if let Ok(pod) = cluster.admin().get::<v1::Pod>(NAMESPACE, POD).await {
            let status = pod.status.unwrap_or_default();
            if status.phase != "Running" {
                verdict = broken(format!("a pod that runs is said not to: {status:?}"));
            }
        }
        sleep(Duration::from_millis(50)).await;
    }
    vec![Judged { promise: "a pod has one sandbox at a time", verdict }]
}
