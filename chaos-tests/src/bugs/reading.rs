//! Reads and watches where they are easiest to get wrong: at a leader that is none any more, and behind a compaction.

use std::time::Duration;

use boss_client::Error;
use boss_proto::{ids::Revision, v1};
use nix::sys::signal::Signal;
use tokio::time::{Instant, sleep, timeout};

use crate::{
    api::Api,
    checkers::{Verdict, broken, judged::Judged},
    cluster::Cluster,
    manifests::{NAMESPACE, record},
    wait,
};

const NAME: &str = "seen";
/// For one answer of a server that may have nobody to ask.
const ANSWER: Duration = Duration::from_secs(1);
/// A leader that cannot reach anybody is asked for so long.
const ASKED_FOR: Duration = Duration::from_secs(4);
/// An event that is there comes at once.
const NEWS: Duration = Duration::from_secs(3);
const WRITES: usize = 12;
/// The write up to which the history is forgotten.
const FORGOTTEN: usize = 8;

/// The leader sleeps while another one takes over and something is written; then it wakes up alone, and is asked.
pub(super) async fn from_a_deposed_leader(cluster: &mut Cluster) -> Vec<Judged> {
    cluster.admin().create(record(NAME, "1")).await.expect("the cluster is fresh");
    let leader = cluster.leader().await;
    let others: Vec<u64> = cluster.server_ids().filter(|id| *id != leader).collect();
    let signal = |id: u64, signal| cluster.server(id).expect("nobody killed it").signal(signal);
    let deposed = cluster.admin_at(leader);
    // So that the connection is there.
    deposed.look::<v1::ServiceAccount>(NAMESPACE, NAME).await.expect("it leads");
    signal(leader, Signal::SIGSTOP);
    let other = cluster.admin_at(others[0]);
    let write = async || other.update(record(NAME, "2")).await.map_err(|status| status.to_string());
    cluster.wait("another server leads", write).await;
    others.iter().for_each(|id| signal(*id, Signal::SIGSTOP));
    signal(leader, Signal::SIGCONT);
    let verdict = ask(&deposed).await;
    others.iter().for_each(|id| signal(*id, Signal::SIGCONT));
    vec![Judged { promise: "a read sees every write acknowledged before it", verdict }]
}

async fn ask(deposed: &Api) -> Verdict {
    let until = Instant::now() + ASKED_FOR;
    while Instant::now() < until {
        if let Ok(Ok((found, at))) = timeout(ANSWER, deposed.look::<v1::ServiceAccount>(NAMESPACE, NAME)).await {
            let value = found.metadata.unwrap_or_default().labels.remove("value").unwrap_or_default();
            return if value == "2" { Verdict::Valid } else { broken(format!("a read at {at} still saw {value:?}")) };
        }
        sleep(Duration::from_millis(20)).await;
    }
    Verdict::Valid
}

/// A watch from any revision is told that it comes too late, or of everything since.
pub(super) async fn across_a_compaction(cluster: &mut Cluster) -> Vec<Judged> {
    let admin = cluster.admin();
    let mut written = Vec::new();
    for number in 0..WRITES {
        written.push(admin.create(record(&format!("r-{number}"), "x")).await.expect("it is new").revision);
    }
    let forgotten = written[FORGOTTEN].0;
    cluster.client(1).compact(Some(forgotten)).await.expect("the administrator may");
    let mut verdict = Verdict::Valid;
    for from in &written[FORGOTTEN - 4..FORGOTTEN + 2] {
        let wanted: Vec<Revision> = written.iter().copied().filter(|revision| revision > from).collect();
        verdict = verdict.and(watch(&admin, *from, &wanted).await);
    }
    vec![Judged { promise: "a watch is complete, or says that it is not", verdict }]
}

async fn watch(admin: &Api, from: Revision, wanted: &[Revision]) -> Verdict {
    let mut told = Vec::new();
    let following = async {
        let mut watch = admin.watch::<v1::ServiceAccount>(NAMESPACE, Some(from)).await?;
        while told.last() < wanted.last() {
            told.push(watch.next_event().await?.revision);
        }
        Ok(())
    };
    match timeout(NEWS, following).await {
        Ok(Err(status)) if matches!(Error::from_status(&status), Error::Expired { .. }) && told.is_empty() => {
            Verdict::Valid
        }
        Ok(Ok(())) if told == wanted => Verdict::Valid,
        other => broken(format!("a watch from {from} was told {told:?} of {wanted:?}, then {other:?}")),
    }
}

/// Waits until a metric of a server is there, and gives it.
pub(super) async fn metric(cluster: &Cluster, id: u64, name: &str) -> f64 {
    let address = cluster.addresses(id).http.clone();
    cluster
        .wait(format!("server {id} tells {name}"), async || {
            let (_, text) = crate::http::get(&address, "/metrics").await.map_err(|error| error.to_string())?;
            let value = crate::sample::value(&text, name);
            wait::holds(value.is_some(), "it does not")?;
            Ok::<_, String>(value.unwrap_or_default())
        })
        .await
}
