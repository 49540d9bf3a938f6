//! Writes each node's Ready condition from what the leader heard of it; only when it changes.

use std::{collections::HashSet, sync::Arc, time::Duration};

use boss_base::clock::Clock;
use boss_proto::{
    ids::NodeName,
    kind::Kind,
    v1::{Node, ObjectReference},
};
use boss_raft::state::Record;

use super::{
    conditions::{self, Said},
    driver::{Controller, Error, NextRun},
    events::{Note, Recorder, Tone},
    leader::{Changes, Leader, Write},
    was_written,
};
use crate::sessions::{
    Sessions,
    liveness::{LEASE, Verdict},
};

/// Often enough for the liveness table to notice that the leader stood still, and for a loss to be seen soon.
const LOOK_INTERVAL: Duration = Duration::from_secs(2);

/// Says which nodes are alive.
pub(super) struct NodeHealth {
    leader: Leader,
    changes: Changes,
    sessions: Arc<Sessions>,
    clock: Arc<dyn Clock>,
    events: Recorder,
}

impl NodeHealth {
    /// For one term.
    #[must_use]
    pub(super) fn new(leader: Leader, sessions: Arc<Sessions>, clock: Arc<dyn Clock>, events: Recorder) -> Self {
        let changes = leader.changes(&[Kind::Node]);
        Self { leader, changes, sessions, clock, events }
    }
}

impl Controller for NodeHealth {
    const NAME: &'static str = "node-health";

    async fn reconcile(&mut self) -> Result<NextRun, Error> {
        let view = self.leader.view();
        let nodes: Vec<_> = view.list(Kind::Node, None).collect();
        let names: Vec<_> = nodes.iter().map(|record| NodeName::new(&*record.key.name)).collect();
        let verdicts = self.sessions.verdicts(names.iter());
        let now_ms = self.clock.unix_millis();
        let mut changed = Vec::new();
        for (record, (_, verdict)) in nodes.into_iter().zip(verdicts) {
            if let Some((said, node)) = judge(record, verdict, now_ms) {
                changed.push((record, said, node));
            }
        }
        let writes = changed.iter().map(|(record, _, node)| Write::status(record, node.clone())).collect();
        for (outcome, (record, said, _)) in self.leader.write(writes).await?.iter().zip(&changed) {
            if was_written(outcome, &record.key)? {
                self.events.note(note(record, *said));
            }
        }
        let registered: HashSet<_> = names.into_iter().collect();
        self.sessions.retain_nodes(|name| registered.contains(name));
        Ok(if registered.is_empty() { NextRun::OnChange } else { NextRun::Within(LOOK_INTERVAL) })
    }

    async fn changed(&mut self) {
        tokio::select! {
            () = self.changes.next() => {}
            () = self.sessions.node_returned() => {}
        }
    }
}

const READY: Said<'static> =
    Said { r#type: "Ready", status: "True", reason: "Heartbeat", message: "the agent reports" };
const LOST: Said<'static> = Said {
    r#type: "Ready",
    status: "Unknown",
    reason: "HeartbeatMissed",
    message: "the agent has not reported for a whole lease",
};

/// What is to be written about a node, if anything.
fn judge(record: &Record, verdict: Verdict, now_ms: u64) -> Option<(Said<'static>, Node)> {
    let stored = record.node()?;
    let before = stored.status.iter().flat_map(|status| &status.conditions);
    let known = before.clone().any(|condition| condition.r#type == READY.r#type);
    let said = match verdict {
        Verdict::Alive { .. } => READY,
        // A node that has only registered has not missed anything yet: it becomes ready with its first heartbeat.
        Verdict::Lost if known => LOST,
        Verdict::Lost | Verdict::Undecided { .. } => return None,
    };
    let mut node = stored.clone();
    let conditions = &mut node.status.get_or_insert_default().conditions;
    conditions::set(conditions, said, record.metadata().generation, now_ms).then_some((said, node))
}

fn note(record: &Record, said: Said<'_>) -> Note {
    let (reason, tone) = if said == READY { ("NodeReady", Tone::Normal) } else { ("NodeLost", Tone::Warning) };
    let message = match tone {
        Tone::Normal => said.message.to_owned(),
        Tone::Warning => format!("{} of {} s", said.message, LEASE.as_secs()),
    };
    Note { about: reference(record), source: NodeHealth::NAME, reason, message, tone }
}

/// Names the object in an event.
pub(super) fn reference(record: &Record) -> ObjectReference {
    ObjectReference {
        kind: record.key.kind.to_string(),
        namespace: record.key.namespace.clone(),
        name: record.key.name.clone(),
        uid: record.metadata().uid.clone(),
    }
}

#[cfg(test)]
mod tests {
    use boss_proto::{
        object::Resource,
        v1::{Condition, NodeStatus, ObjectMeta},
    };

    use super::*;

    fn node(ready: &str) -> Record {
        let condition = |status: &str| Condition {
            r#type: "Ready".into(),
            status: status.into(),
            reason: if status == "True" { READY.reason.into() } else { LOST.reason.into() },
            message: if status == "True" { READY.message.into() } else { LOST.message.into() },
            ..Default::default()
        };
        let conditions = if ready.is_empty() { Vec::new() } else { vec![condition(ready)] };
        let node = Node {
            metadata: Some(ObjectMeta { name: "n1".into(), ..Default::default() }),
            status: Some(NodeStatus { conditions, ..Default::default() }),
            ..Default::default()
        };
        Record::new(node.into_object()).expect("has metadata")
    }

    #[test]
    fn ready_is_written_only_when_it_changes() {
        let soon = Duration::from_secs(1);
        let alive = Verdict::Alive { until: soon };
        let undecided = Verdict::Undecided { until: soon };
        for (before, verdict, written) in [
            ("", alive, Some("True")),
            ("True", alive, None),
            ("Unknown", alive, Some("True")),
            ("", undecided, None),
            ("True", undecided, None),
            ("Unknown", undecided, None),
            ("", Verdict::Lost, None),
            ("True", Verdict::Lost, Some("Unknown")),
            ("Unknown", Verdict::Lost, None),
        ] {
            let got = judge(&node(before), verdict, 5);
            assert_eq!(got.as_ref().map(|(said, _)| said.status), written, "{before:?} and {verdict:?}");
        }
    }
}
