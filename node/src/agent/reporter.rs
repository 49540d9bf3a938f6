//! Writes pods' statuses to the registry: the newest of each pod, only when it differs, as often as it takes.

use std::{
    collections::{BTreeMap, BTreeSet},
    sync::{Arc, Mutex},
    time::Duration,
};

use boss_base::{
    backoff::Backoff,
    clock::Clock,
    failpoints,
    tasks::{OnExit, Tasks},
};
use boss_client::{Client, Error};
use boss_proto::{ids::Uid, key::Key, kind::Kind, object::Resource, v1};
use futures_util::{StreamExt, future::BoxFuture, stream::FuturesUnordered};
use tokio::sync::Notify;

use crate::agent::status;

/// Writes under way at once; enough to hide a round trip, few enough to leave the servers to others.
const WRITES_MAX: usize = 16;
const RETRY_FIRST: Duration = Duration::from_millis(50);
const RETRY_MAX: Duration = Duration::from_secs(5);

/// Takes statuses; never waits. Clones share the queue.
#[derive(Clone, Default)]
pub struct Reporter {
    shared: Arc<Shared>,
}

#[derive(Default)]
struct Shared {
    /// One entry per pod: a newer status replaces an older one that was not written yet.
    waiting: Mutex<BTreeMap<Uid, Report>>,
    news: Notify,
}

/// A status to write.
#[derive(Clone)]
struct Report {
    /// The pod as it was last seen.
    pod: Arc<v1::Pod>,
    status: v1::PodStatus,
}

impl Reporter {
    /// Puts a status in line, unless `pod` bears it already.
    pub fn submit(&self, uid: Uid, pod: Arc<v1::Pod>, status: v1::PodStatus) {
        let merged = status::merge(status, pod.status.as_ref());
        let mut waiting = self.shared.waiting.lock().expect("no holder panics");
        if pod.status.as_ref() == Some(&merged) && !waiting.contains_key(&uid) {
            return;
        }
        waiting.insert(uid, Report { pod, status: merged });
        drop(waiting);
        self.shared.news.notify_one();
    }

    /// Starts writing.
    pub fn start(&self, client: Client, clock: Arc<dyn Clock>, tasks: &Tasks) {
        let (shared, token) = (Arc::clone(&self.shared), tasks.token());
        let writer = Writer { client, clock };
        tasks.spawn("status reporter", OnExit::StopProcess, async move {
            token.run_until_cancelled_owned(run(shared, writer)).await;
        });
    }

    /// The statuses that were not written yet, for tests.
    #[must_use]
    pub fn waiting(&self) -> Vec<(Uid, v1::PodStatus)> {
        let waiting = self.shared.waiting.lock().expect("no holder panics");
        waiting.iter().map(|(uid, report)| (uid.clone(), report.status.clone())).collect()
    }
}

async fn run(shared: Arc<Shared>, writer: Writer) {
    let mut under_way: FuturesUnordered<BoxFuture<'_, Uid>> = FuturesUnordered::new();
    // Writes of one pod are one after the other, or an older status could win.
    let mut busy: BTreeSet<Uid> = BTreeSet::new();
    loop {
        while under_way.len() < WRITES_MAX {
            let Some((uid, report)) = take_next(&shared, &busy) else { break };
            busy.insert(uid.clone());
            under_way.push(Box::pin(writer.write(uid, report)));
        }
        tokio::select! {
            Some(uid) = under_way.next(), if !under_way.is_empty() => drop(busy.remove(&uid)),
            () = shared.news.notified() => {}
        }
    }
}

fn take_next(shared: &Shared, busy: &BTreeSet<Uid>) -> Option<(Uid, Report)> {
    let mut waiting = shared.waiting.lock().expect("no holder panics");
    let uid = waiting.keys().find(|uid| !busy.contains(*uid))?.clone();
    waiting.remove_entry(&uid)
}

struct Writer {
    client: Client,
    clock: Arc<dyn Clock>,
}

impl Writer {
    /// Until it is written, or cannot be written any more.
    async fn write(&self, uid: Uid, mut report: Report) -> Uid {
        let mut backoff = Backoff::new(RETRY_FIRST, RETRY_MAX);
        loop {
            match self.write_once(&report).await {
                Ok(()) => return uid,
                Err(Error::Conflict { .. }) => match self.read_again(&uid, &report).await {
                    Ok(Some(fresh)) => report = fresh,
                    Ok(None) => return uid,
                    Err(error) => self.wait(&error, &mut backoff).await,
                },
                Err(Error::NotFound(_) | Error::Precondition(_)) => return uid,
                Err(error @ (Error::Forbidden(_) | Error::Invalid { .. })) => {
                    tracing::error!(pod = %uid, %error, "the servers refuse the pod's status");
                    return uid;
                }
                Err(error) => self.wait(&error, &mut backoff).await,
            }
        }
    }

    async fn write_once(&self, report: &Report) -> Result<(), Error> {
        let mut pod = v1::Pod::clone(&report.pod);
        pod.status = Some(report.status.clone());
        failpoints::reach("status.writing");
        let written = self.client.update_status(pod.into_object()).await;
        failpoints::reach("status.written");
        written.map(|_| ())
    }

    /// The same status for the pod as it is now; `None` when that is another pod, or has the status already.
    async fn read_again(&self, uid: &Uid, report: &Report) -> Result<Option<Report>, Error> {
        let metadata = report.pod.metadata().cloned().unwrap_or_default();
        let key = Key::new(Kind::Pod, metadata.namespace, metadata.name);
        let object = match self.client.get(&key).await {
            Ok(object) => object,
            Err(Error::NotFound(_)) => return Ok(None),
            Err(error) => return Err(error),
        };
        let Ok(pod) = v1::Pod::try_from_object(object) else { return Ok(None) };
        if pod.metadata().is_none_or(|metadata| metadata.uid != uid.as_str()) {
            return Ok(None);
        }
        let status = status::merge(report.status.clone(), pod.status.as_ref());
        let is_news = pod.status.as_ref() != Some(&status);
        Ok(is_news.then(|| Report { pod: Arc::new(pod), status }))
    }

    async fn wait(&self, error: &Error, backoff: &mut Backoff) {
        tracing::debug!(%error, "a pod's status is not written yet");
        tokio::time::sleep(backoff.next_delay(&*self.clock)).await;
    }
}
