//! The scheduler's loop: keeps the model from events, plans what waits on assumed state, commits it as one entry.
//! Decides nothing itself: that is `scheduler`.

use std::{collections::HashMap, sync::Arc, time::Duration};

use boss_base::{
    bugs::{self, Bug},
    clock::Clock,
    failpoints,
};
use boss_proto::{
    ids::NodeName,
    intent::{PodPhase, Reason},
    key::Key,
    kind::Kind,
    limits::COMMAND_OPERATIONS_MAX,
    raft::v1::Bind,
    v1::Pod,
};
use boss_raft::{
    WatchError, Watcher,
    state::{Event, EventKind, Outcome, Record, Rejection, feasible::feasible},
};

use super::{
    conditions::{self, Said},
    driver::{Controller, Error, NextRun},
    events::{Note, Recorder, Tone},
    leader::{Leader, Write},
    node_health::reference,
};
use crate::scheduler::{
    Cluster, Placement, place,
    queue::{Queue, Waiting},
};

/// A pod that the registry refused although it fits the model is looked at again after this: the model is behind.
const RETRY: Duration = Duration::from_millis(200);

/// Binds pods to nodes.
pub(super) struct Scheduling {
    leader: Leader,
    clock: Arc<dyn Clock>,
    events: Recorder,
    model: Option<Model>,
}

/// The model with the cursors that keep it.
struct Model {
    cluster: Cluster,
    queue: Queue,
    nodes: Watcher,
    pods: Watcher,
    /// Events that came while nobody was reconciling.
    arrived: Vec<Arc<Event>>,
    /// Refused by the registry; to be tried again when the model has caught up.
    refused: HashMap<Key, Arc<Record>>,
}

impl Scheduling {
    /// For one term.
    #[must_use]
    pub(super) fn new(leader: Leader, clock: Arc<dyn Clock>, events: Recorder) -> Self {
        Self { leader, clock, events, model: None }
    }
}

impl Controller for Scheduling {
    const NAME: &'static str = "scheduler";

    async fn reconcile(&mut self) -> Result<NextRun, Error> {
        let model = self.model.get_or_insert_with(|| Model::read(&self.leader));
        model.catch_up();
        loop {
            let plan = model.plan();
            if plan.is_empty() {
                break;
            }
            let committed = commit(&self.leader, &*self.clock, &plan).await;
            let Ok(outcomes) = committed else {
                // What became of the plan is unknown: only a fresh look tells.
                self.model = None;
                return committed.map(|_| NextRun::OnChange);
            };
            model.learn(plan, outcomes, &self.events);
        }
        Ok(if model.refused.is_empty() { NextRun::OnChange } else { NextRun::Within(RETRY) })
    }

    async fn changed(&mut self) {
        let Some(model) = &mut self.model else { return };
        match model.hear().await {
            Ok(()) => {}
            Err(WatchError::Expired { .. }) => self.model = None,
            // The server stops, and whoever drives this with it: looking again would only keep it from stopping.
            Err(WatchError::Closed) => std::future::pending().await,
        }
    }
}

/// What one entry is to say.
#[derive(Default)]
struct Plan {
    bound: Vec<(Waiting, Placement)>,
    unschedulable: Vec<(Waiting, Arc<str>)>,
}

impl Plan {
    fn is_empty(&self) -> bool {
        self.bound.is_empty() && self.unschedulable.is_empty()
    }

    fn len(&self) -> usize {
        self.bound.len() + self.unschedulable.len()
    }
}

impl Model {
    fn read(leader: &Leader) -> Self {
        let view = leader.view();
        let mut model = Self {
            cluster: Cluster::default(),
            queue: Queue::default(),
            nodes: leader.watch(Kind::Node, view.revision()),
            pods: leader.watch(Kind::Pod, view.revision()),
            arrived: Vec::new(),
            refused: HashMap::new(),
        };
        view.list(Kind::Node, None).for_each(|node| model.cluster.set_node(node.clone()));
        view.list(Kind::Pod, None).for_each(|pod| {
            model.set_pod(pod);
            if bugs::on(Bug::DoubleBind) && pod.bound_to().is_some() {
                model.cluster.remove_pod(&pod.key);
                model.queue.push(pod.clone());
            }
        });
        model
    }

    /// Waits for the next events and keeps them.
    async fn hear(&mut self) -> Result<(), WatchError> {
        let events = tokio::select! {
            events = self.nodes.next() => events?,
            events = self.pods.next() => events?,
        };
        self.arrived.extend(events);
        Ok(())
    }

    fn catch_up(&mut self) {
        for event in std::mem::take(&mut self.arrived) {
            match event.record.key.kind {
                Kind::Node => self.node_event(&event),
                _ => self.pod_event(&event),
            }
        }
        for record in std::mem::take(&mut self.refused).into_values() {
            self.queue.push(record);
        }
    }

    fn node_event(&mut self, event: &Event) {
        let name = NodeName::new(&*event.record.key.name);
        if event.kind == EventKind::Deleted {
            self.cluster.remove_node(&name);
            // Nobody fits better for it, but the parked pods' reasons count one node too many.
            self.queue.wake(|_| true);
            return;
        }
        let matters = event.previous.as_ref().is_none_or(|previous| matters_to_placement(previous, &event.record));
        self.cluster.set_node(event.record.clone());
        if matters {
            // All of them, not only those that fit now: the reasons of the others have changed.
            self.queue.wake(|_| true);
        }
    }

    fn pod_event(&mut self, event: &Event) {
        let freed = if event.kind == EventKind::Deleted {
            self.refused.remove(&event.record.key);
            self.queue.remove(&event.record.key);
            self.cluster.remove_pod(&event.record.key)
        } else {
            self.set_pod(&event.record)
        };
        if let Some(node) = freed {
            self.wake_for(&node);
        }
    }

    /// Wakes the pods that fit on this node now.
    fn wake_for(&mut self, node: &NodeName) {
        if let Some(candidate) = self.cluster.candidate(node) {
            self.queue.wake(|spec| feasible(spec, candidate.node, candidate.used).is_ok());
        }
    }

    fn set_pod(&mut self, record: &Arc<Record>) -> Option<NodeName> {
        let key = &record.key;
        let waits = record.bound_to().is_none()
            && !record.is_terminating()
            && record.pod().is_some_and(|pod| !PodPhase::of(pod).is_terminal());
        let assumed = self.cluster.node_of(key).is_some();
        self.refused.remove(key);
        if !waits {
            self.queue.remove(key);
            return self.cluster.set_pod(record.clone());
        }
        // An event from before our own binding of it: the binding's event is on its way.
        if !assumed {
            self.queue.push(record.clone());
        }
        None
    }

    /// Plans what waits, at most one entry's worth, and assumes it.
    fn plan(&mut self) -> Plan {
        let mut plan = Plan::default();
        while plan.len() < COMMAND_OPERATIONS_MAX / 2
            && let Some(waiting) = self.queue.pop()
        {
            if let Some(message) = self.queue.verdict(&waiting.signature) {
                self.set_aside(waiting, message, &mut plan);
                continue;
            }
            let Some(spec) = waiting.record.pod().and_then(|pod| pod.spec.as_ref()) else { continue };
            match place(&self.cluster, spec) {
                Ok(placement) => {
                    self.cluster.assume(waiting.record.clone(), &placement);
                    plan.bound.push((waiting, placement));
                }
                Err(no_fit) => self.set_aside(waiting, no_fit.message().into(), &mut plan),
            }
        }
        plan
    }

    fn set_aside(&mut self, waiting: Waiting, message: Arc<str>, plan: &mut Plan) {
        self.queue.park(waiting.clone(), message.clone());
        if says_otherwise(&waiting.record, &message) {
            plan.unschedulable.push((waiting, message));
        }
    }

    /// Takes in what became of the plan.
    fn learn(&mut self, plan: Plan, outcomes: Vec<Outcome>, events: &Recorder) {
        let mut outcomes = outcomes.into_iter();
        for ((waiting, placement), outcome) in plan.bound.into_iter().zip(&mut outcomes) {
            match outcome {
                Outcome::Written { record, .. } => {
                    self.cluster.set_pod(record.clone());
                    events.note(scheduled(&record, &placement));
                }
                refused => self.refuse(waiting, &placement, &refused),
            }
        }
        for ((waiting, message), outcome) in plan.unschedulable.into_iter().zip(outcomes) {
            match outcome {
                Outcome::Written { .. } => events.note(unschedulable(&waiting.record, &message)),
                // The pod has changed and comes again with its event. Parked, it would stay as it is then, and go on
                // telling reasons that hold no more.
                Outcome::Rejected(Rejection::Conflict { .. }) => self.queue.remove(&waiting.record.key),
                _ => {}
            }
        }
    }

    fn refuse(&mut self, waiting: Waiting, placement: &Placement, outcome: &Outcome) {
        let key = waiting.record.key.clone();
        self.cluster.remove_pod(&key);
        match outcome {
            // The pod's own events tell the rest.
            Outcome::Rejected(
                Rejection::AlreadyBound { .. }
                | Rejection::NotFound
                | Rejection::UidMismatch { .. }
                | Rejection::Conflict { .. },
            ) => {}
            other => {
                tracing::info!(pod = %key, node = %placement.node, outcome = ?other, "binding refused; trying again");
                self.refused.insert(key, waiting.record);
            }
        }
    }
}

/// Whether a change of a node can change where pods fit or why not. Agents write other things there, too.
fn matters_to_placement(before: &Record, now: &Record) -> bool {
    let (Some(old), Some(new)) = (before.node(), now.node()) else { return true };
    let labels = |record: &Record| record.metadata().labels.clone();
    let ready = |record: &Record| {
        let status = record.node().and_then(|node| node.status.as_ref());
        conditions::status(status.map_or(&[][..], |status| &status.conditions), "Ready") == "True"
    };
    let offers = |status: &Option<boss_proto::v1::NodeStatus>| {
        status
            .as_ref()
            .map(|status| (status.capacity.clone(), status.allocatable.clone(), status.runtime_capabilities.clone()))
    };
    old.spec != new.spec
        || labels(before) != labels(now)
        || ready(before) != ready(now)
        || before.is_terminating() != now.is_terminating()
        || offers(&old.status) != offers(&new.status)
}

async fn commit(leader: &Leader, clock: &dyn Clock, plan: &Plan) -> Result<Vec<Outcome>, Error> {
    let bound = plan.bound.iter().map(|(waiting, placement)| Write::bind(binding(&waiting.record, placement)));
    let now_ms = clock.unix_millis();
    let said = plan.unschedulable.iter().filter_map(|(waiting, message)| {
        Some(Write::status(&waiting.record, waiting_status(waiting.record.pod()?, message, now_ms)))
    });
    let writes: Vec<Write> = bound.chain(said).collect();
    failpoints::reach("bind.proposing");
    let outcomes = leader.write(writes).await;
    failpoints::reach("bind.proposed");
    outcomes
}

fn binding(record: &Record, placement: &Placement) -> Bind {
    Bind {
        pod: Some(record.key.to_proto()),
        pod_uid: record.metadata().uid.clone(),
        node_name: placement.node.to_string(),
        provider: placement.provider.clone(),
        reason: placement.reason(),
    }
}

const SCHEDULED: &str = "PodScheduled";

/// Whether the pod's status does not say yet that it fits nowhere, and why.
fn says_otherwise(record: &Record, message: &str) -> bool {
    let status = record.pod().and_then(|pod| pod.status.as_ref());
    let same = status.is_some_and(|status| {
        status.reason == Reason::Unschedulable.as_str()
            && status.message == message
            && conditions::status(&status.conditions, SCHEDULED) == "False"
    });
    !same
}

fn waiting_status(pod: &Pod, message: &str, now_ms: u64) -> Pod {
    let mut pod = pod.clone();
    let generation = pod.metadata.as_ref().map_or(0, |metadata| metadata.generation);
    let status = pod.status.get_or_insert_default();
    status.phase = PodPhase::Pending.to_string();
    status.reason = Reason::Unschedulable.to_string();
    message.clone_into(&mut status.message);
    let said = Said { r#type: SCHEDULED, status: "False", reason: Reason::Unschedulable.as_str(), message };
    conditions::set(&mut status.conditions, said, generation, now_ms);
    pod
}

fn scheduled(record: &Record, placement: &Placement) -> Note {
    let message = format!("bound to node {}: {}", placement.node, placement.reason());
    Note { about: reference(record), source: Scheduling::NAME, reason: "Scheduled", message, tone: Tone::Normal }
}

fn unschedulable(record: &Record, message: &str) -> Note {
    let reason = Reason::Unschedulable.as_str();
    Note {
        about: reference(record),
        source: Scheduling::NAME,
        reason,
        message: message.to_owned(),
        tone: Tone::Warning,
    }
}

#[cfg(test)]
mod tests;
