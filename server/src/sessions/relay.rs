//! Brings heartbeats to the leader and its confirmations back to the agents: one round for all nodes that reported
//! meanwhile, never one per heartbeat. Knows no session's task, only the table.

use std::{collections::HashMap, sync::Arc, time::Duration};

use boss_base::backoff::Backoff;
use boss_proto::{
    ids::{NodeName, ServerId},
    peer::v1::{HeartbeatBatch, HeartbeatConfirmation, NodeHeartbeat},
    v1::{HeartbeatAck, ToNode, to_node},
};
use boss_raft::Leadership;
use tokio::{
    sync::{mpsc, watch},
    time::Instant,
};
use tokio_stream::wrappers::ReceiverStream;
use tokio_util::sync::CancellationToken;
use tonic::Streaming;

use super::{
    Sessions,
    liveness::{Holder, LEASE},
    session::millis,
};

/// Rounds begin at least so far apart. A lone heartbeat does not wait; many share a round.
const ROUND_SPACING: Duration = Duration::from_millis(100);
/// After this a round is given up: agents learn that nobody confirmed.
const ROUND_MAX: Duration = Duration::from_secs(3);
/// One batch is on its way at a time.
const BATCHES_MAX: usize = 1;

/// What sessions tell the relay.
#[derive(Debug)]
pub(super) enum Signal {
    Beat { node: NodeName, session: u64, sequence: u64, running_sandboxes: u32 },
    Ended { node: NodeName, session: u64 },
}

/// The newest heartbeat of each session since the last round.
#[derive(Debug, Default)]
struct Batch {
    beats: HashMap<(NodeName, u64), (u64, u32)>,
    ended: Vec<(NodeName, u64)>,
}

impl Batch {
    fn add(&mut self, signal: Signal) {
        match signal {
            Signal::Beat { node, session, sequence, running_sandboxes } => {
                self.beats.insert((node, session), (sequence, running_sandboxes));
            }
            Signal::Ended { node, session } => {
                self.beats.remove(&(node.clone(), session));
                self.ended.push((node, session));
            }
        }
    }

    fn is_empty(&self) -> bool {
        self.beats.is_empty() && self.ended.is_empty()
    }

    fn to_message(&self, number: u64) -> HeartbeatBatch {
        let beat = |(node, session): &(NodeName, u64), running: u32| NodeHeartbeat {
            node_name: node.to_string(),
            session_id: *session,
            running_sandboxes: running,
        };
        HeartbeatBatch {
            batch: number,
            heartbeats: self.beats.iter().map(|(of, (_, running))| beat(of, *running)).collect(),
            ended: self.ended.iter().map(|of| beat(of, 0)).collect(),
        }
    }
}

/// The relay's task.
pub(super) struct Relay {
    sessions: Arc<Sessions>,
    signals: mpsc::Receiver<Signal>,
    leadership: watch::Receiver<Leadership>,
    batch: Batch,
    next_round: Instant,
    backoff: Backoff,
}

impl Relay {
    pub(super) fn new(sessions: Arc<Sessions>, signals: mpsc::Receiver<Signal>) -> Self {
        let leadership = sessions.parts.handle.leadership();
        let backoff = Backoff::new(Duration::from_millis(50), Duration::from_secs(1));
        Self { sessions, signals, leadership, batch: Batch::default(), next_round: Instant::now(), backoff }
    }

    pub(super) async fn run(mut self, stopping: CancellationToken) {
        stopping.run_until_cancelled(self.follow_leadership()).await;
    }

    /// One life per leadership; whatever is under way ends with it.
    async fn follow_leadership(&mut self) {
        loop {
            let now = *self.leadership.borrow_and_update();
            let mut changes = self.leadership.clone();
            tokio::select! {
                changed = changes.wait_for(|leadership| *leadership != now) => if changed.is_err() { return },
                () = self.serve(now) => {}
            }
            self.sessions.liveness().resign();
        }
    }

    async fn serve(&mut self, leadership: Leadership) {
        match leadership {
            Leadership { is_self: true, ready: true, term, .. } => self.lead(term).await,
            Leadership { is_self: false, leader: Some(leader), .. } => self.follow(leader).await,
            Leadership { .. } => self.wait_for_a_leader().await,
        }
    }

    async fn lead(&mut self, term: u64) {
        self.sessions.liveness().lead(self.sessions.now());
        loop {
            self.gather().await;
            let batch = std::mem::take(&mut self.batch);
            let message = batch.to_message(0);
            let superseded = self.sessions.record(self.sessions.parts.server_id, &message);
            let confirmed = self.sessions.confirm(term).await;
            self.answer(&batch, if confirmed { LEASE } else { Duration::ZERO }, &superseded);
        }
    }

    /// Ends when the leader cannot be reached or refuses.
    async fn follow(&mut self, leader: ServerId) {
        if let Some(problem) = self.relay_to(leader).await {
            tracing::debug!(%leader, problem, "heartbeats are not relayed");
            self.answer_nobody();
            let delay = self.backoff.next_delay(&*self.sessions.parts.clock);
            tokio::time::sleep(delay).await;
        }
    }

    async fn relay_to(&mut self, leader: ServerId) -> Option<String> {
        // Nothing to say, nothing to open: a server without sessions costs the leader nothing.
        self.gather().await;
        let mut client = match self.sessions.parts.peers.client(leader) {
            Ok(client) => client,
            Err(unreachable) => return Some(unreachable.to_string()),
        };
        let (batches, outbound) = mpsc::channel(BATCHES_MAX);
        let opened = tokio::time::timeout(ROUND_MAX, client.heartbeats(ReceiverStream::new(outbound))).await;
        let mut confirmations = match opened {
            Err(_) => return Some("the leader did not answer".to_owned()),
            Ok(Err(status)) => return Some(status.message().to_owned()),
            Ok(Ok(response)) => response.into_inner(),
        };
        let mut number = 0;
        loop {
            number += 1;
            let batch = std::mem::take(&mut self.batch);
            match exchange(&batches, &mut confirmations, batch.to_message(number)).await {
                Ok(confirmation) => {
                    self.backoff.reset();
                    let lease = Duration::from_millis(confirmation.lease_ms.into());
                    self.answer(&batch, lease, &confirmation.superseded);
                }
                Err(problem) => {
                    self.answer(&batch, Duration::ZERO, &[]);
                    return Some(problem);
                }
            }
            self.gather().await;
        }
    }

    async fn wait_for_a_leader(&mut self) {
        loop {
            self.gather().await;
            self.answer_nobody();
        }
    }

    /// Waits for signals and until the next round may begin. What it has gathered stays when it is cancelled.
    async fn gather(&mut self) {
        while self.batch.is_empty() {
            match self.signals.recv().await {
                Some(signal) => self.batch.add(signal),
                // The sender is in `sessions`, which this task holds.
                None => std::future::pending().await,
            }
        }
        tokio::time::sleep_until(self.next_round).await;
        while let Ok(signal) = self.signals.try_recv() {
            self.batch.add(signal);
        }
        self.next_round = Instant::now() + ROUND_SPACING;
    }

    fn answer_nobody(&mut self) {
        let batch = std::mem::take(&mut self.batch);
        self.answer(&batch, Duration::ZERO, &[]);
    }

    fn answer(&self, batch: &Batch, lease: Duration, superseded: &[NodeHeartbeat]) {
        for ((node, session), (sequence, _)) in &batch.beats {
            let Some(held) = self.sessions.table.get_exactly(node, *session) else { continue };
            if superseded.iter().any(|beat| beat.node_name == node.as_str() && beat.session_id == *session) {
                held.superseded.cancel();
                continue;
            }
            let ack = HeartbeatAck { sequence: *sequence, lease_ms: millis(lease) };
            // An agent that does not read loses this one; the next one is a second away.
            let _ = held.outbound.try_send(Ok(ToNode { body: Some(to_node::Body::HeartbeatAck(ack)) }));
        }
    }
}

async fn exchange(
    batches: &mpsc::Sender<HeartbeatBatch>,
    confirmations: &mut Streaming<HeartbeatConfirmation>,
    batch: HeartbeatBatch,
) -> Result<HeartbeatConfirmation, String> {
    let number = batch.batch;
    batches.send(batch).await.map_err(|_| "the leader closed the stream".to_owned())?;
    let answer = tokio::time::timeout(ROUND_MAX, confirmations.message()).await;
    match answer {
        Err(_) => Err("the leader did not confirm in time".to_owned()),
        Ok(Err(status)) => Err(status.message().to_owned()),
        Ok(Ok(None)) => Err("the leader closed the stream".to_owned()),
        Ok(Ok(Some(confirmation))) if confirmation.batch == number => Ok(confirmation),
        Ok(Ok(Some(_))) => Err("the leader confirmed another batch".to_owned()),
    }
}

impl Sessions {
    /// Takes a batch into the leader's memory. Gives back the heartbeats of sessions that were replaced.
    pub(super) fn record(&self, server: ServerId, batch: &HeartbeatBatch) -> Vec<NodeHeartbeat> {
        let now = self.now();
        let of = |beat: &NodeHeartbeat| (NodeName::new(&*beat.node_name), Holder { server, session: beat.session_id });
        let mut superseded = Vec::new();
        let mut returned = false;
        let mut liveness = self.liveness();
        for beat in &batch.heartbeats {
            let (node, holder) = of(beat);
            match liveness.beat(&node, holder, now) {
                super::liveness::Beat::Expected => {}
                super::liveness::Beat::Returned => returned = true,
                super::liveness::Beat::Superseded => superseded.push(beat.clone()),
            }
        }
        for beat in &batch.ended {
            let (node, holder) = of(beat);
            liveness.ended(&node, holder);
        }
        drop(liveness);
        if returned {
            self.returned.notify_one();
        }
        superseded
    }
}
