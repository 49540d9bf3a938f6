//! From the create of a process pod to Running, as a client that watches sees it, and where the time goes.

use std::{fmt, time::Duration};

use boss_client::{
    Api, Client, DeleteOptions, Query, Watch,
    watch::{EventKind, Item},
};
use boss_proto::{kind::Kind, object::Resource, v1};
use pbjson_types::Timestamp;
use tokio::time::Instant;

use super::{Setting, Spread};
use crate::{
    cluster::{Cluster, Spec},
    manifests::pod,
};

/// Nothing that is measured here takes a tenth of it.
const STEP_DEADLINE: Duration = Duration::from_secs(30);

/// What was measured.
#[derive(Debug, Clone)]
pub struct PodStart {
    setting: Setting,
    samples: Vec<Sample>,
}

/// One pod; times from the sending of the create, but for the last two.
#[derive(Debug, Clone, Copy, Default)]
struct Sample {
    acknowledged: Duration,
    seen_bound: Duration,
    seen_running: Duration,
    /// By the servers' and the node's own stamps: created to `scheduledAt`.
    created_to_scheduled: Duration,
    /// `scheduledAt` to `runtimeReadyAt`.
    scheduled_to_ready: Duration,
    /// From the sending of the delete to the end of the pod, its absence proven.
    deleted: Duration,
}

/// Creates `pods` pods, one after the other; each is deleted before the next one.
pub async fn measure_pod_start(spec: Spec, pods: usize) -> PodStart {
    let setting = Setting::now(spec);
    let cluster = Cluster::start(spec).await;
    let client = cluster.client(1);
    let mut watch = client.watch(Query::all(Kind::Pod).in_namespace("default"));
    let first = watch.next().await;
    assert!(matches!(first, Ok(Item::Restarted { .. })), "the watch begins with the list: {first:?}");
    let mut samples = Vec::with_capacity(pods);
    for number in 0..pods {
        samples.push(measure_one(&client, &mut watch, &format!("p{number}")).await);
    }
    PodStart { setting, samples }
}

async fn measure_one(client: &Client, watch: &mut Watch, name: &str) -> Sample {
    let api: Api<v1::Pod> = client.api("default");
    let start = Instant::now();
    let mut sample = Sample::default();
    let create = async {
        let created = api.create(pod(name, &["sleep", "300"])).await;
        created.unwrap_or_else(|error| panic!("{name} was not created: {error}"));
        start.elapsed()
    };
    let seen = async {
        let mut bound = None;
        let pod = next_pod(watch, name, |_, pod| {
            if is_bound(pod) {
                bound.get_or_insert_with(|| start.elapsed());
            }
            phase(pod) == "Running"
        });
        let pod = pod.await;
        (bound.unwrap_or_default(), start.elapsed(), pod)
    };
    let (acknowledged, (bound, running, pod)) = tokio::join!(create, seen);
    (sample.acknowledged, sample.seen_bound, sample.seen_running) = (acknowledged, bound, running);
    let status = pod.status.clone().unwrap_or_default();
    let created = pod.metadata.as_ref().and_then(|metadata| metadata.creation_timestamp);
    sample.created_to_scheduled = between(created.as_ref(), status.scheduled_at.as_ref());
    sample.scheduled_to_ready = between(status.scheduled_at.as_ref(), status.runtime_ready_at.as_ref());

    let start = Instant::now();
    let deleted = api.delete(name, &DeleteOptions::default()).await;
    deleted.unwrap_or_else(|error| panic!("{name} was not deleted: {error}"));
    next_pod(watch, name, |kind, _| kind == EventKind::Deleted).await;
    sample.deleted = start.elapsed();
    sample
}

/// The next state of the pod that is as wanted. Every state is shown to `wanted`, in order.
async fn next_pod(watch: &mut Watch, name: &str, mut wanted: impl FnMut(EventKind, &v1::Pod) -> bool) -> v1::Pod {
    let look = async {
        loop {
            let item = watch.next().await.unwrap_or_else(|error| panic!("the watch broke: {error}"));
            let Item::Event { kind, object, .. } = item else { continue };
            let Ok(pod) = v1::Pod::try_from_object(object) else { continue };
            if pod.metadata.as_ref().is_some_and(|metadata| metadata.name == name) && wanted(kind, &pod) {
                return pod;
            }
        }
    };
    let seen = tokio::time::timeout(STEP_DEADLINE, look).await;
    seen.unwrap_or_else(|_| panic!("the watch does not show {name} as wanted"))
}

fn is_bound(pod: &v1::Pod) -> bool {
    pod.spec.as_ref().is_some_and(|spec| !spec.node_name.is_empty())
}

fn phase(pod: &v1::Pod) -> &str {
    pod.status.as_ref().map_or("", |status| status.phase.as_str())
}

/// Zero when a stamp is missing or the clocks disagree.
fn between(from: Option<&Timestamp>, to: Option<&Timestamp>) -> Duration {
    let nanos = |stamp: &Timestamp| i128::from(stamp.seconds) * 1_000_000_000 + i128::from(stamp.nanos);
    let difference = from.zip(to).map_or(0, |(from, to)| nanos(to) - nanos(from));
    Duration::from_nanos(u64::try_from(difference).unwrap_or(0))
}

impl fmt::Display for PodStart {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        writeln!(f, "create of a process pod to Running, one at a time\n{}", self.setting)?;
        let spread = |of: fn(&Sample) -> Duration| Spread::of(self.samples.iter().map(of).collect());
        writeln!(f, "create acknowledged           {}", spread(|sample| sample.acknowledged))?;
        writeln!(f, "binding seen by the watch     {}", spread(|sample| sample.seen_bound))?;
        writeln!(f, "Running seen by the watch     {}", spread(|sample| sample.seen_running))?;
        writeln!(f, "created to scheduledAt        {}", spread(|sample| sample.created_to_scheduled))?;
        writeln!(f, "scheduledAt to runtimeReadyAt {}", spread(|sample| sample.scheduled_to_ready))?;
        write!(f, "delete to absence proven      {}", spread(|sample| sample.deleted))
    }
}
