//! The loop that makes wanted pods real: keeps what is wanted and what is here, asks the pure parts what to do, and
//! has it done by helpers that report back. Knows no provider's inside.

mod adoption;
mod effects;

use std::{
    collections::BTreeMap,
    sync::{
        Arc,
        atomic::{AtomicU32, Ordering},
    },
    time::Duration,
};

use boss_base::{clock::Clock, tasks::Tasks};
use boss_client::{
    Client, Error as ClientError,
    watch::{EventKind, Item},
};
use boss_proto::{
    ids::{NodeName, Uid},
    intent::{PodPhase, Reason, RestartPolicy},
    key::Key,
    kind::Kind,
    object::Resource,
    v1,
};
use tokio::sync::mpsc;

use crate::{
    agent::{
        board::Board,
        deeds::Deeds,
        events::{Events, Severity},
        intent::{self, Refusal},
        news::{Message, News},
        pod::Pod,
        providers::Providers,
        reporter::Reporter,
    },
    reconcile::{Action, List, Wanted, reconcile},
    runtime::{self},
    sandbox::{
        files::{Exit, ExitKind},
        lifecycle::{Event, Phase},
    },
};

/// News of helpers that wait for the engine; each helper has at most one.
const NEWS_MAX: usize = 1_024;

/// What the engine works with.
pub struct Parts {
    /// This node.
    pub node: NodeName,
    /// Its address, as statuses show it.
    pub host_ip: String,
    /// Who runs pods.
    pub providers: Providers,
    /// Where statuses go.
    pub reporter: Reporter,
    /// Where events go.
    pub events: Events,
    /// Where readers of logs look.
    pub board: Board,
    /// The registry.
    pub client: Client,
    /// Time.
    pub clock: Arc<dyn Clock>,
    /// Owner of the helpers.
    pub tasks: Tasks,
}

/// The loop's state.
pub struct Engine {
    parts: Parts,
    wanted: BTreeMap<Uid, Arc<v1::Pod>>,
    pods: BTreeMap<Uid, Pod>,
    list: List,
    news: mpsc::Receiver<Message>,
    deeds: Deeds,
    running: Arc<AtomicU32>,
}

impl Engine {
    /// An engine that knows of nothing yet.
    #[must_use]
    pub fn new(parts: Parts) -> Self {
        let (sender, news) = mpsc::channel(NEWS_MAX);
        let deeds = Deeds::new(parts.client.clone(), parts.tasks.clone(), sender);
        Self {
            parts,
            wanted: BTreeMap::new(),
            pods: BTreeMap::new(),
            list: List::Incomplete,
            news,
            deeds,
            running: Arc::default(),
        }
    }

    /// How many sandboxes run, for heartbeats.
    #[must_use]
    pub fn running(&self) -> Arc<AtomicU32> {
        Arc::clone(&self.running)
    }

    /// Runs until the tasks are stopped, or a provider is broken: then only a restart of the agent helps.
    pub async fn run(&mut self, mut items: mpsc::Receiver<Item>) -> Result<(), runtime::Error> {
        let token = self.parts.tasks.token();
        loop {
            tokio::select! {
                () = token.cancelled() => return Ok(()),
                Some(item) = items.recv() => self.handle_item(item),
                Some(message) = self.news.recv() => self.handle_news(message)?,
            }
            self.count_running();
        }
    }

    /// Stops everything that runs, because the node goes down; the pods' objects are left as they are.
    pub async fn stop_all(&self, grace: Duration) {
        let running = self.pods.values().filter(|pod| matches!(pod.phase, Phase::Starting | Phase::Running));
        let stops = running.filter_map(|pod| {
            let (runtime, id) = (pod.runtime.clone()?, pod.id());
            Some(async move {
                if let Err(error) = runtime.stop(&id, grace).await {
                    tracing::warn!(sandbox = %id, %error, "could not stop the sandbox");
                }
            })
        });
        futures_util::future::join_all(stops).await;
    }

    fn count_running(&self) {
        let count = self.pods.values().filter(|pod| pod.running.is_some()).count();
        self.running.store(u32::try_from(count).unwrap_or(u32::MAX), Ordering::Relaxed);
    }

    fn handle_item(&mut self, item: Item) {
        match item {
            Item::Restarted { objects, .. } => {
                self.wanted = objects.into_iter().filter_map(typed).collect();
                self.list = List::Complete;
                self.learn_all();
                let uids: Vec<Uid> = self.wanted.keys().chain(self.pods.keys()).cloned().collect();
                for uid in uids {
                    self.reconcile_one(&uid);
                }
                self.watch_adopted();
            }
            Item::Event { kind, object, .. } => {
                let Some((uid, pod)) = typed(object) else { return };
                match kind {
                    EventKind::Added | EventKind::Modified => self.handle_changed(uid, pod),
                    EventKind::Deleted => self.handle_deleted(&uid),
                }
            }
            Item::Bookmark(_) => {}
            Item::Interrupted(error) => {
                tracing::warn!(%error, "no server can be reached; what runs goes on running");
            }
        }
    }

    fn handle_changed(&mut self, uid: Uid, pod: Arc<v1::Pod>) {
        self.wanted.insert(uid.clone(), Arc::clone(&pod));
        if let Some(here) = self.pods.get_mut(&uid) {
            here.learn(&pod);
            let shorter = intent::grace(&pod);
            if here.phase == Phase::Stopping && shorter < here.grace {
                here.grace = shorter;
                self.deeds.hasten_stop(here);
            }
            // Somebody else may have written the status, as when the node was thought lost.
            if matches!(here.phase, Phase::Running | Phase::BackingOff | Phase::Ended) && !here.is_unwatched {
                self.report(&uid);
            }
        }
        self.reconcile_one(&uid);
    }

    /// The registry itself says that it is gone: no need to ask again.
    fn handle_deleted(&mut self, uid: &Uid) {
        self.wanted.remove(uid);
        match self.pods.get(uid).map(|pod| pod.phase) {
            Some(Phase::Gone) => drop(self.pods.remove(uid)),
            Some(phase) if !phase.is_leaving() => self.apply(uid, Event::StopWanted),
            _ => {}
        }
    }

    fn learn_all(&mut self) {
        for (uid, pod) in &self.wanted {
            if let Some(here) = self.pods.get_mut(uid) {
                here.learn(pod);
            }
        }
        let wanted = &self.wanted;
        self.pods.retain(|uid, pod| pod.phase != Phase::Gone || wanted.contains_key(uid));
    }

    fn reconcile_one(&mut self, uid: &Uid) {
        let wanted = self.wanted.get(uid).map(|pod| (uid.clone(), wanted_of(pod))).into_iter().collect();
        let here = self.pods.get(uid).map(|pod| (uid.clone(), pod.phase)).into_iter().collect();
        for action in reconcile(&wanted, &here, self.list) {
            match action {
                Action::Begin(uid) => self.begin(&uid),
                Action::Stop(uid) => {
                    self.emit(&uid, Severity::Normal, "Killing", "stopping the sandbox: the pod is being deleted");
                    self.apply(&uid, Event::StopWanted);
                }
                Action::Release(uid) => {
                    // Remembered as gone, so that one release is under way at a time.
                    let mut pod = Pod::new(uid.clone());
                    pod.phase = Phase::Gone;
                    self.pods.insert(uid.clone(), pod);
                    self.release(&uid);
                }
                Action::ConfirmVanished(uid) => self.confirm_vanished(&uid),
            }
        }
    }

    fn begin(&mut self, uid: &Uid) {
        let Some(wanted) = self.wanted.get(uid).cloned() else { return };
        let status = wanted.status.as_ref();
        let is_unknown_here = !self.pods.contains_key(uid);
        let pod = self.pods.entry(uid.clone()).or_insert_with(|| Pod::new(uid.clone()));
        pod.learn(&wanted);
        // Attempts go on where the registry knows them to be, also when this node lost its state.
        pod.attempt = pod.attempt.max(status.map_or(0, |status| status.attempt));
        if is_unknown_here && pod.attempt > 0 && pod.restart_policy == RestartPolicy::Never {
            let message = "the node has lost the sandbox's state, and the restart policy is Never".to_owned();
            pod.refusal = Some(Refusal { reason: Reason::StatusUnknown, message });
            return self.apply(uid, Event::EndedForGood);
        }
        self.apply(uid, Event::Begin);
    }

    fn release(&self, uid: &Uid) {
        if let Some(wanted) = self.wanted.get(uid).filter(|pod| is_deleting(pod)) {
            self.deeds.release(uid, wanted);
        }
    }

    /// The second look of the janitor: the list may have been read at a server that lags, the answer here is not.
    fn confirm_vanished(&self, uid: &Uid) {
        let Some(pod) = self.pods.get(uid) else { return };
        let Some(spec) = &pod.spec else { return };
        let key = Key::new(Kind::Pod, &*spec.namespace, &*spec.name);
        self.deeds.confirm_vanished(pod, key);
    }

    fn handle_news(&mut self, message: Message) -> Result<(), runtime::Error> {
        let Message { uid, attempt, news } = message;
        let Some(pod) = self.pods.get_mut(&uid) else { return Ok(()) };
        let is_late = attempt != pod.attempt;
        match news {
            News::Prepared(values) if !is_late && pod.phase == Phase::Preparing => {
                pod.values = values;
                (pod.missing, pod.looks) = (None, 0);
                self.apply(&uid, Event::Prepared);
            }
            News::Unready(missing) if !is_late && pod.phase == Phase::Preparing => self.wait_for(&uid, missing),
            News::Started(running) if !is_late => {
                if pod.first_started_at_us == 0 {
                    pod.first_started_at_us = running.started_at_us;
                }
                if pod.phase == Phase::Starting {
                    let message = format!("started attempt {attempt} with pid {}", running.pid);
                    pod.running = Some(running);
                    self.apply(&uid, Event::Started);
                    self.emit(&uid, Severity::Normal, "Started", message);
                }
            }
            News::NotStarted(runtime::Error::Sandbox { reason, message }) if !is_late => {
                let how = ExitKind::NotStarted { reason: reason.to_string(), message };
                let finished_at_us = self.parts.clock.unix_millis() * 1_000;
                self.handle_end(&uid, Exit { how, started_at_us: 0, finished_at_us });
            }
            News::NotStarted(error @ runtime::Error::Broken(_)) => return Err(error),
            News::Exited(exit) if !is_late => self.handle_end(&uid, exit),
            News::BackoffOver if !is_late => self.apply(&uid, Event::BackoffOver),
            News::VanishConfirmed if !self.wanted.contains_key(&uid) => {
                tracing::info!(pod = %uid, "the pod is gone from the registry: stopping what is left of it");
                self.apply(&uid, Event::StopWanted);
            }
            News::Absent => {
                pod.running = None;
                self.apply(&uid, Event::Absent);
            }
            News::Removed => self.apply(&uid, Event::Removed),
            News::RetryDue => self.apply(&uid, Event::RetryDue),
            _ => {}
        }
        Ok(())
    }
}

fn typed(object: v1::Object) -> Option<(Uid, Arc<v1::Pod>)> {
    let pod = v1::Pod::try_from_object(object).ok()?;
    let uid = Uid::from(&*pod.metadata()?.uid);
    Some((uid, Arc::new(pod)))
}

fn wanted_of(pod: &v1::Pod) -> Wanted {
    Wanted { deleting: is_deleting(pod), terminal: PodPhase::of(pod).is_terminal() }
}

fn is_deleting(pod: &v1::Pod) -> bool {
    pod.metadata().is_some_and(|metadata| metadata.deletion_timestamp.is_some())
}

/// Whether the registry says that there is no such pod any more.
pub(super) fn says_gone(answer: &Result<v1::Object, ClientError>, uid: &Uid) -> Option<bool> {
    match answer {
        Ok(object) => Some(object.metadata().is_none_or(|metadata| metadata.uid != uid.as_str())),
        Err(ClientError::NotFound(_)) => Some(true),
        Err(_) => None,
    }
}
