//! The engine's hands: each deed runs as a task of its own and tells the engine what came of it.

use std::{sync::Arc, time::Duration};

use boss_base::tasks::{OnExit, Tasks};
use boss_client::{Client, DeleteOptions, Error as ClientError};
use boss_proto::{ids::Uid, key::Key, object::Resource, v1};
use tokio::sync::mpsc;
use tokio_util::sync::CancellationToken;

use crate::{
    agent::{
        engine::says_gone,
        news::{Message, News},
        pod::Pod,
        values,
    },
    runtime::{self, Runtime, Status},
    sandbox::{
        SandboxId,
        files::{Exit, ExitKind},
    },
};

/// Before something that failed on this machine is tried again.
const RETRY_DELAY: Duration = Duration::from_secs(1);

/// Starts deeds.
pub(super) struct Deeds {
    client: Client,
    tasks: Tasks,
    news: mpsc::Sender<Message>,
}

/// Where one deed reports to.
struct Reply {
    uid: Uid,
    attempt: u32,
    news: mpsc::Sender<Message>,
}

impl Reply {
    async fn send(self, news: News) {
        // The engine is gone when the agent stops: then nobody needs to know.
        let _ = self.news.send(Message { uid: self.uid, attempt: self.attempt, news }).await;
    }
}

impl Deeds {
    pub(super) fn new(client: Client, tasks: Tasks, news: mpsc::Sender<Message>) -> Self {
        Self { client, tasks, news }
    }

    /// Makes the current execution ready after a wait, unless it is called off before, and removes what no one needs any
    /// more of earlier ones.
    pub(super) fn prepare(&self, pod: &Pod, wanted: Arc<v1::Pod>, after: Duration, called_off: CancellationToken) {
        let (Some(runtime), Some(mut spec)) = (pod.runtime.clone(), pod.spec.clone()) else { return };
        let (reply, serial) = (self.reply(pod), Arc::clone(&pod.serial));
        let client = self.client.clone();
        self.spawn("prepare", async move {
            let resolved = async {
                // A sleep of nothing takes a millisecond, too.
                if !after.is_zero() {
                    tokio::time::sleep(after).await;
                }
                values::resolve(&client, &wanted).await
            };
            let Some(resolved) = called_off.run_until_cancelled(resolved).await else { return };
            let _turn = serial.lock().await;
            if called_off.is_cancelled() {
                return;
            }
            let news = match resolved {
                Err(missing) => return reply.send(News::Unready(missing)).await,
                Ok(values) => {
                    spec.given = values.names().cloned().collect();
                    match runtime.prepare(&spec).await {
                        Ok(()) => News::Prepared(values),
                        Err(error) => News::NotStarted(error),
                    }
                }
            };
            reply.send(news).await;
            // Not on the way of the start; the execution before this one keeps its log.
            remove_older(&*runtime, &spec.id).await;
        });
    }

    pub(super) fn start(&self, pod: &mut Pod) {
        let (Some(runtime), id) = (pod.runtime.clone(), pod.id()) else { return };
        let (reply, serial) = (self.reply(pod), Arc::clone(&pod.serial));
        let values = std::mem::take(&mut pod.values);
        self.spawn("start", async move {
            let _turn = serial.lock().await;
            let news = match runtime.start(&id, &values).await {
                Ok(running) => News::Started(running),
                Err(error) => News::NotStarted(error),
            };
            reply.send(news).await;
        });
    }

    pub(super) fn watch_for_end(&self, pod: &Pod) {
        let (Some(runtime), id) = (pod.runtime.clone(), pod.id()) else { return };
        let reply = self.reply(pod);
        self.spawn("watch for end", async move {
            let exit = wait_for_end(&*runtime, &id).await;
            reply.send(News::Exited(exit)).await;
        });
    }

    pub(super) fn wait_for_backoff(&self, pod: &Pod) {
        let (reply, backoff) = (self.reply(pod), pod.backoff);
        self.spawn("back-off", async move {
            tokio::time::sleep(backoff).await;
            reply.send(News::BackoffOver).await;
        });
    }

    /// Stops every execution that any provider has of the pod: there should be one, but only absence counts.
    pub(super) fn stop(&self, pod: &Pod, runtimes: &[Arc<dyn Runtime>]) {
        let (runtimes, grace) = (runtimes.to_vec(), pod.grace);
        self.for_all(
            pod,
            runtimes,
            "stop",
            News::Absent,
            move |runtime, id| async move { runtime.stop(&id, grace).await },
        );
    }

    /// A later deletion with less grace shortens the stop that is under way.
    pub(super) fn hasten_stop(&self, pod: &Pod) {
        let (Some(runtime), id, grace) = (pod.runtime.clone(), pod.id(), pod.grace) else { return };
        self.spawn("hasten stop", async move {
            // The stop that is under way tells what came of it.
            let _ = runtime.stop(&id, grace).await;
        });
    }

    pub(super) fn remove(&self, pod: &Pod, runtimes: &[Arc<dyn Runtime>]) {
        self.for_all(pod, runtimes.to_vec(), "remove", News::Removed, |runtime, id| async move {
            runtime.remove(&id).await
        });
    }

    /// Tells the registry that nothing of a deleted pod is left here.
    pub(super) fn release(&self, uid: &Uid, pod: &v1::Pod) {
        let metadata = pod.metadata().cloned().unwrap_or_default();
        let key = Key::new(v1::Pod::KIND, metadata.namespace, metadata.name);
        let options = DeleteOptions { uid: Some(uid.clone()), absence_proven: true, ..DeleteOptions::default() };
        let (client, uid) = (self.client.clone(), uid.clone());
        self.spawn("release", async move {
            loop {
                match client.delete(&key, &options).await {
                    // Gone, or another pod of that name by now.
                    Ok(_) | Err(ClientError::NotFound(_) | ClientError::Precondition(_)) => return,
                    Err(error) => {
                        tracing::warn!(pod = %uid, %error, "the registry does not take the end of the pod yet")
                    }
                }
                tokio::time::sleep(RETRY_DELAY).await;
            }
        });
    }

    /// Asks the registry, linearizably, until it has said yes or no.
    pub(super) fn confirm_vanished(&self, pod: &Pod, key: Key) {
        let (client, reply) = (self.client.clone(), self.reply(pod));
        self.spawn("confirm vanished", async move {
            loop {
                match says_gone(&client.get(&key).await, &reply.uid) {
                    Some(true) => return reply.send(News::VanishConfirmed).await,
                    // The watch will tell of it.
                    Some(false) => return,
                    None => tokio::time::sleep(RETRY_DELAY).await,
                }
            }
        });
    }

    /// One deed for each execution on disk; all must work, or all are tried again.
    fn for_all<F, A>(&self, pod: &Pod, runtimes: Vec<Arc<dyn Runtime>>, name: &'static str, done: News, act: A)
    where
        A: Fn(Arc<dyn Runtime>, SandboxId) -> F + Send + Sync + 'static,
        F: Future<Output = Result<(), runtime::Error>> + Send,
    {
        let (reply, serial) = (self.reply(pod), Arc::clone(&pod.serial));
        self.spawn(name, async move {
            let _turn = serial.lock().await;
            let result = async {
                for runtime in runtimes {
                    for id in executions(&*runtime, &reply.uid).await? {
                        act(Arc::clone(&runtime), id).await?;
                    }
                }
                Ok::<_, runtime::Error>(())
            };
            match result.await {
                Ok(()) => reply.send(done).await,
                Err(error) => {
                    tracing::warn!(pod = %reply.uid, %error, "{name} failed, trying again");
                    tokio::time::sleep(RETRY_DELAY).await;
                    reply.send(News::RetryDue).await;
                }
            }
        });
    }

    fn reply(&self, pod: &Pod) -> Reply {
        Reply { uid: pod.uid.clone(), attempt: pod.attempt, news: self.news.clone() }
    }

    /// Ends with the agent: sandboxes do not need it.
    fn spawn(&self, name: &'static str, deed: impl Future<Output = ()> + Send + 'static) {
        let token = self.tasks.token();
        self.tasks.spawn(name, OnExit::Log, async move {
            token.run_until_cancelled_owned(deed).await;
        });
    }
}

async fn executions(runtime: &dyn Runtime, uid: &Uid) -> Result<Vec<SandboxId>, runtime::Error> {
    let mut ids = runtime.list().await?;
    ids.retain(|id| id.uid == uid.as_str());
    Ok(ids)
}

/// Until it is really over. What cannot be told now is asked again.
async fn wait_for_end(runtime: &dyn Runtime, id: &SandboxId) -> Exit {
    loop {
        match runtime.wait(id).await {
            Ok(exit) => return exit,
            Err(error) => tracing::warn!(sandbox = %id, %error, "cannot tell how the sandbox stands"),
        }
        if matches!(runtime.status(id).await, Ok(Status::Absent | Status::Prepared)) {
            let message = "the sandbox's folder was removed".to_owned();
            return Exit { how: ExitKind::Lost { message }, started_at_us: 0, finished_at_us: 0 };
        }
        tokio::time::sleep(RETRY_DELAY).await;
    }
}

/// All but the newest two: the current one, and the one before for its log.
async fn remove_older(runtime: &dyn Runtime, current: &SandboxId) {
    let Ok(mut ids) = executions(runtime, &current.pod_uid()).await else { return };
    ids.retain(|id| id.attempt < current.attempt);
    ids.pop();
    for id in ids {
        if let Err(error) = runtime.remove(&id).await {
            tracing::warn!(sandbox = %id, %error, "an old execution cannot be removed");
        }
    }
}
