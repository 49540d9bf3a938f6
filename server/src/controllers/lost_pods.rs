//! Pods whose node does not answer or is gone: what is known of them is said, and nothing more. Their agent corrects
//! it when it comes back.

use std::{sync::Arc, time::Duration};

use boss_base::clock::Clock;
use boss_proto::{
    ids::NodeName,
    intent::{PodPhase, Reason},
    key::Key,
    kind::Kind,
    v1::Pod,
};
use boss_raft::state::{Record, View};

use super::{
    conditions,
    driver::{Controller, Error, NextRun},
    events::{Note, Recorder, Tone},
    leader::{Changes, Leader, Write},
    node_health::reference,
    was_written,
};

/// After a write that came too late, because somebody else wrote about the pod at the same time.
const PAUSE: Duration = Duration::from_secs(1);

/// Marks the pods of lost and missing nodes.
pub(super) struct LostPods {
    leader: Leader,
    changes: Changes,
    clock: Arc<dyn Clock>,
    events: Recorder,
}

impl LostPods {
    /// For one term.
    #[must_use]
    pub(super) fn new(leader: Leader, clock: Arc<dyn Clock>, events: Recorder) -> Self {
        // Not pods: a pod is bound only to a node that is ready, so that only a change of the node can lose it. It also
        // keeps us from arguing with an agent that can write but whose heartbeats do not arrive.
        let changes = leader.changes(&[Kind::Node]);
        Self { leader, changes, clock, events }
    }
}

impl Controller for LostPods {
    const NAME: &'static str = "lost-pods";

    async fn reconcile(&mut self) -> Result<NextRun, Error> {
        let view = self.leader.view();
        let now_ms = self.clock.unix_millis();
        let found: Vec<_> = bound_pods(&view).filter_map(|pod| Some((pod, judge(&view, pod, now_ms)?))).collect();
        let mut all_written = true;
        let writes = found.iter().map(|(record, act)| act.write(record)).collect();
        for (outcome, (record, act)) in self.leader.write(writes).await?.iter().zip(&found) {
            match was_written(outcome, &record.key)? {
                true => self.events.note(act.note(record)),
                false => all_written = false,
            }
        }
        Ok(if all_written { NextRun::OnChange } else { NextRun::Within(PAUSE) })
    }

    async fn changed(&mut self) {
        self.changes.next().await;
    }
}

fn bound_pods(view: &View) -> impl Iterator<Item = &Arc<Record>> {
    view.list(Kind::Pod, None).filter(|record| record.bound_to().is_some())
}

/// What is to be done about a pod.
#[derive(Debug)]
enum Act {
    /// Its node does not answer: nobody knows.
    Unknown(Box<Pod>),
    /// Its node is gone for good: it has failed.
    Failed(Box<Pod>),
    /// Its node is gone and it was to be deleted: nobody is left to wait for.
    Delete,
}

impl Act {
    fn write(&self, seen: &Record) -> Write {
        match self {
            Self::Unknown(pod) | Self::Failed(pod) => Write::status(seen, Pod::clone(pod)),
            Self::Delete => Write::delete(seen),
        }
    }

    fn note(&self, record: &Record) -> Note {
        let (reason, message) = match self {
            Self::Unknown(pod) => ("NodeLost", message(pod)),
            Self::Failed(pod) => ("NodeGone", message(pod)),
            Self::Delete => ("Removed", "its node is gone, so that nothing is left to stop".to_owned()),
        };
        Note { about: reference(record), source: LostPods::NAME, reason, message, tone: Tone::Warning }
    }
}

fn message(pod: &Pod) -> String {
    pod.status.as_ref().map(|status| status.message.clone()).unwrap_or_default()
}

fn judge(view: &View, record: &Record, now_ms: u64) -> Option<Act> {
    let name = record.bound_to()?;
    let pod = record.pod()?;
    let phase = PodPhase::of(pod);
    match view.get(&Key::cluster(Kind::Node, name.as_str())) {
        None if record.is_terminating() => Some(Act::Delete),
        None if !phase.is_terminal() => Some(Act::Failed(Box::new(failed(pod, &name, now_ms)))),
        Some(node) if is_lost(node) && !phase.is_terminal() && phase != PodPhase::Unknown => {
            Some(Act::Unknown(Box::new(unknown(pod, &name, now_ms))))
        }
        None | Some(_) => None,
    }
}

fn is_lost(node: &Record) -> bool {
    let conditions = node.node().and_then(|node| node.status.as_ref()).map_or(&[][..], |status| &status.conditions);
    conditions::status(conditions, "Ready") == "Unknown"
}

fn unknown(pod: &Pod, node: &NodeName, now_ms: u64) -> Pod {
    let why = format!("node {node} does not answer; the pod may still run there");
    with_status(pod, PodPhase::Unknown, &why, now_ms)
}

fn failed(pod: &Pod, node: &NodeName, now_ms: u64) -> Pod {
    with_status(pod, PodPhase::Failed, &format!("node {node} no longer exists"), now_ms)
}

fn with_status(pod: &Pod, phase: PodPhase, why: &str, now_ms: u64) -> Pod {
    let mut pod = pod.clone();
    let generation = pod.metadata.as_ref().map_or(0, |metadata| metadata.generation);
    let status = pod.status.get_or_insert_default();
    status.phase = phase.to_string();
    status.reason = Reason::StatusUnknown.to_string();
    why.clone_into(&mut status.message);
    let said =
        conditions::Said { r#type: "Ready", status: "Unknown", reason: Reason::StatusUnknown.as_str(), message: why };
    if status.conditions.iter().any(|condition| condition.r#type == said.r#type) {
        conditions::set(&mut status.conditions, said, generation, now_ms);
    }
    pod
}

#[cfg(test)]
mod tests;
