//! The loop that makes wanted pods real: keeps what is wanted and what is here, asks the pure parts what to do, and
//! has it done by helpers that report back. Knows no provider's inside.

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
        status,
    },
    reconcile::{Action, List, Wanted, reconcile},
    runtime::{self, Status},
    sandbox::{
        files::{Exit, ExitKind},
        lifecycle::{Effect, Event, Phase, step},
        restart::{self, Verdict},
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

    /// Takes over what an earlier agent left: what runs goes on running. Nothing is decided about it before the
    /// registry's list is here.
    pub async fn adopt(&mut self) -> Result<(), runtime::Error> {
        for runtime in self.parts.providers.runtimes().to_vec() {
            for id in runtime.list().await? {
                let Some(spec) = runtime.spec(&id).await? else {
                    // A start that never came to be, or a power cut took its file: nothing can be told of it.
                    runtime.stop(&id, Duration::ZERO).await?;
                    runtime.remove(&id).await?;
                    continue;
                };
                let uid = id.pod_uid();
                if let Some(dir) = runtime.log_dir(&id) {
                    self.parts.board.begin(&uid, id.clone(), dir);
                }
                // In order of attempts: a later one takes over, and the end of the one before becomes the last end.
                let pod = self.pods.entry(uid.clone()).or_insert_with(|| Pod::new(uid));
                pod.attempt = id.attempt;
                pod.failures = spec.failures_before;
                pod.restart_policy = spec.restart_policy.parse().unwrap_or(RestartPolicy::Never);
                pod.runtime = Some(Arc::clone(&runtime));
                pod.spec = Some(spec);
                pod.running = None;
                match runtime.status(&id).await? {
                    Status::Running(running) => {
                        tracing::info!(sandbox = %id, pid = running.pid, "adopted a running sandbox");
                        pod.first_started_at_us = running.started_at_us;
                        pod.running = Some(running);
                        pod.phase = Phase::Running;
                        pod.is_unwatched = true;
                    }
                    Status::Ended(exit) => {
                        pod.last_exit = Some(exit);
                        pod.phase = Phase::Running;
                        pod.is_unwatched = true;
                    }
                    Status::Prepared | Status::Absent => {
                        pod.phase = Phase::Waiting;
                        pod.is_unwatched = false;
                    }
                }
            }
        }
        self.count_running();
        Ok(())
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

    /// From the first list on, what was adopted lives like everything else.
    fn watch_adopted(&mut self) {
        let mut uids = Vec::new();
        for pod in self.pods.values_mut() {
            if std::mem::take(&mut pod.is_unwatched) {
                uids.push((pod.uid.clone(), pod.running.is_some()));
            }
        }
        for (uid, is_running) in uids {
            if is_running {
                self.report(&uid);
            }
            self.perform(&uid, Effect::WatchForEnd);
        }
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
                Action::Release(uid) => self.release(&uid),
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
            News::Prepared if !is_late => self.apply(&uid, Event::Prepared),
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

    /// Something ran, or did not even start, and is over.
    fn handle_end(&mut self, uid: &Uid, exit: Exit) {
        let Some(pod) = self.pods.get_mut(uid) else { return };
        pod.running = None;
        pod.last_exit = Some(exit.clone());
        if pod.phase.is_leaving() {
            return;
        }
        match restart::decide(pod.restart_policy, &exit, pod.failures) {
            Verdict::Final => {
                let is_known = self.wanted.get(uid).is_some_and(|pod| PodPhase::of(pod).is_terminal());
                self.apply(uid, Event::EndedForGood);
                if !exit.is_success() && !is_known {
                    self.emit(uid, Severity::Warning, "Failed", describe(&exit));
                }
            }
            Verdict::Restart { after, failures } => {
                pod.failures = failures;
                pod.backoff = after;
                self.apply(uid, Event::EndedForNow);
                let message = format!("{}; starting again in {after:?}", describe(&exit));
                self.emit(uid, Severity::Warning, "BackOff", message);
            }
        }
    }

    fn apply(&mut self, uid: &Uid, event: Event) {
        let Some(pod) = self.pods.get_mut(uid) else { return };
        let (phase, effects) = step(pod.phase, event);
        tracing::debug!(pod = %uid, attempt = pod.attempt, from = ?pod.phase, ?event, to = ?phase, "step");
        pod.phase = phase;
        if phase == Phase::Ended {
            self.parts.board.end(uid);
        }
        for effect in effects {
            self.perform(uid, effect);
        }
    }

    fn perform(&mut self, uid: &Uid, effect: Effect) {
        let Some(pod) = self.pods.get(uid) else { return };
        match effect {
            Effect::Prepare => self.prepare(uid),
            Effect::Start => self.deeds.start(pod),
            Effect::WatchForEnd => self.deeds.watch_for_end(pod),
            Effect::ArmBackoff => self.deeds.wait_for_backoff(pod),
            Effect::Stop => self.deeds.stop(pod, self.parts.providers.runtimes()),
            Effect::Remove => self.deeds.remove(pod, self.parts.providers.runtimes()),
            Effect::Report => self.report(uid),
            Effect::Release => self.leave(uid),
        }
    }

    /// Makes the next execution. What the node cannot do at all ends the pod here.
    fn prepare(&mut self, uid: &Uid) {
        let Some(wanted) = self.wanted.get(uid).cloned() else { return };
        let refused = self.check_room(uid, &wanted).err();
        let Some(pod) = self.pods.get_mut(uid) else { return };
        pod.attempt += 1;
        let spec = wanted.spec.clone().unwrap_or_default();
        let planned = refused.map_or_else(|| self.parts.providers.choose(&spec), Err).and_then(|runtime| {
            let sandbox = intent::sandbox(&wanted, pod.id(), self.parts.node.as_str(), pod.failures)?;
            Ok((runtime, sandbox))
        });
        match planned {
            Ok((runtime, sandbox)) => {
                if let Some(dir) = runtime.log_dir(&sandbox.id) {
                    self.parts.board.begin(uid, sandbox.id.clone(), dir);
                }
                pod.runtime = Some(runtime);
                pod.spec = Some(sandbox);
                self.deeds.prepare(pod);
            }
            Err(refusal) => {
                let message = format!("{}: {}", refusal.reason, refusal.message);
                pod.refusal = Some(refusal);
                self.apply(uid, Event::EndedForGood);
                self.emit(uid, Severity::Warning, "Failed", message);
            }
        }
    }

    /// A provider may have a bound of its own.
    fn check_room(&self, uid: &Uid, wanted: &v1::Pod) -> Result<(), Refusal> {
        let spec = wanted.spec.clone().unwrap_or_default();
        let runtime = self.parts.providers.choose(&spec)?;
        let reports = self.parts.providers.reports();
        let most =
            reports.iter().find(|report| report.name == runtime.name()).map_or(0, |report| report.concurrency_max);
        let is_active = |pod: &&Pod| {
            let active = matches!(pod.phase, Phase::Preparing | Phase::Starting | Phase::Running | Phase::Stopping);
            active && pod.uid != *uid && pod.runtime.as_ref().is_some_and(|other| other.name() == runtime.name())
        };
        let active = self.pods.values().filter(is_active).count();
        if most == 0 || active < most as usize {
            return Ok(());
        }
        let message = format!("provider {} runs {active} sandboxes, its most", runtime.name());
        Err(Refusal { reason: Reason::InsufficientResources, message })
    }

    fn report(&self, uid: &Uid) {
        let (Some(here), Some(wanted)) = (self.pods.get(uid), self.wanted.get(uid)) else { return };
        if is_deleting(wanted) && here.phase.is_leaving() {
            return;
        }
        let status = status::pod_status(&here.facts(wanted, &self.parts.host_ip));
        self.parts.reporter.submit(uid.clone(), Arc::clone(wanted), status);
    }

    /// Nothing is left here. The registry hears of it if the pod was deleted there; else the pod is forgotten.
    fn leave(&mut self, uid: &Uid) {
        self.parts.board.remove(uid);
        if self.wanted.contains_key(uid) {
            self.release(uid);
        } else {
            self.pods.remove(uid);
        }
    }

    fn emit(&self, uid: &Uid, severity: Severity, reason: &str, message: impl Into<String>) {
        if let Some(pod) = self.wanted.get(uid) {
            self.parts.events.emit(pod, severity, reason, message);
        }
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

fn describe(exit: &Exit) -> String {
    match &exit.how {
        ExitKind::Code(code) => format!("the sandbox exited with code {code}"),
        ExitKind::Signal { out_of_memory: true, .. } => "the kernel killed the sandbox at its memory limit".to_owned(),
        ExitKind::Signal { number, .. } => format!("the sandbox was ended by signal {number}"),
        ExitKind::NotStarted { reason, message } => format!("{reason}: {message}"),
        ExitKind::Lost { message } => message.clone(),
    }
}

/// Whether the registry says that there is no such pod any more.
pub(super) fn says_gone(answer: &Result<v1::Object, ClientError>, uid: &Uid) -> Option<bool> {
    match answer {
        Ok(object) => Some(object.metadata().is_none_or(|metadata| metadata.uid != uid.as_str())),
        Err(ClientError::NotFound(_)) => Some(true),
        Err(_) => None,
    }
}
