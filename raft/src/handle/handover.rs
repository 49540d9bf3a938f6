//! Hands leadership to another server before this one stops. Knows no reason for the stop.

use std::{collections::BTreeSet, time::Duration};

use boss_proto::ids::ServerId;
use openraft::{Raft, RaftMetrics, async_runtime::watch::WatchReceiver};

use crate::{
    network::Peers,
    storage::StateMachine,
    types::{Member, TypeConfig},
};

/// Between two looks at whether anybody is there to take over.
const LOOK_INTERVAL: Duration = Duration::from_millis(50);

/// What came of the attempt.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum HandOver {
    /// This server does not lead, or is the only one.
    NothingToDo,
    /// Another server leads now.
    To(ServerId),
    /// No other server answers: all of them stop as well, or are cut off.
    NobodyThere,
    /// Somebody is there, and nobody took over in time.
    TooLate,
}

/// What a leader hands over with.
pub(super) struct Leader<'a> {
    pub(super) raft: &'a Raft<TypeConfig, StateMachine>,
    pub(super) peers: &'a Peers,
    /// How long a successor may take to begin its term.
    pub(super) timeout: Duration,
}

impl Leader<'_> {
    /// Asks the voter with the longest log among those who answer to lead, and waits until somebody else does.
    pub(super) async fn hand_over(&self) -> HandOver {
        let metrics = self.raft.metrics().borrow_watched().clone();
        let others = other_voters(&metrics);
        if metrics.replication.is_none() || others.is_empty() {
            return HandOver::NothingToDo;
        }
        let there = self.who_is_there(&others).await;
        let Some(successor) = best(&metrics, &there, &self.peers.full_disks()) else { return HandOver::NobodyThere };
        if self.raft.trigger().transfer_leader(successor).await.is_err() {
            return HandOver::NothingToDo;
        }
        let outcome = async {
            tokio::select! {
                leader = self.another_leader(metrics.id) => leader.map_or(HandOver::NothingToDo, HandOver::To),
                () = self.nobody_is_there(&others) => HandOver::NobodyThere,
            }
        };
        tokio::time::timeout(self.timeout, outcome).await.unwrap_or(HandOver::TooLate)
    }

    /// `None` when the core stops.
    async fn another_leader(&self, own: u64) -> Option<ServerId> {
        let mut servers = self.raft.server_metrics();
        loop {
            let leader = servers.borrow_watched().current_leader;
            if let Some(leader) = leader.filter(|leader| *leader != own) {
                return Some(ServerId(leader));
            }
            servers.changed().await.ok()?;
        }
    }

    async fn nobody_is_there(&self, others: &[Member]) {
        while !self.who_is_there(others).await.is_empty() {
            tokio::time::sleep(LOOK_INTERVAL).await;
        }
    }

    /// Those whose consensus answers: a server that is stopping does not any more.
    async fn who_is_there(&self, others: &[Member]) -> Vec<ServerId> {
        let asked = others.iter().map(async |member| {
            let answer = self.peers.describe(member, self.timeout / 2).await;
            answer.is_ok().then_some(member.id)
        });
        futures_util::future::join_all(asked).await.into_iter().flatten().collect()
    }
}

fn other_voters(metrics: &RaftMetrics<TypeConfig>) -> Vec<Member> {
    let membership = metrics.membership_config.membership();
    let voters = metrics.membership_config.voter_ids().filter(|id| *id != metrics.id);
    voters.filter_map(|id| Some(Member::new(id, membership.get_node(&id)?.clone()))).collect()
}

/// The voter that needs least to lead, one with room on its disk first; `None` when this server does not lead or is
/// alone.
pub(super) fn successor(metrics: &RaftMetrics<TypeConfig>, full: &BTreeSet<ServerId>) -> Option<u64> {
    let others: Vec<ServerId> = other_voters(metrics).iter().map(|member| member.id).collect();
    best(metrics, &others, full)
}

fn best(metrics: &RaftMetrics<TypeConfig>, among: &[ServerId], full: &BTreeSet<ServerId>) -> Option<u64> {
    let matched = metrics.replication.as_ref()?;
    let best = among.iter().max_by_key(|id| (!full.contains(id), matched.get(&id.0).copied().flatten()));
    best.map(|id| id.0)
}
