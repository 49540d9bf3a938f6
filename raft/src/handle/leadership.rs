//! Watches who leads and how far this server has applied, and notices when the core dies. Knows no objects.

use boss_base::cached;
use boss_proto::ids::{Revision, ServerId};
use openraft::{Raft, ServerState, async_runtime::watch::WatchReceiver, metrics::RaftServerMetrics};
use tokio::sync::watch;

use super::status::Leadership;
use crate::{
    metric_definitions::{APPLIED_INDEX, HAS_LEADER, IS_LEADER, LEADER_CHANGES, TERM},
    storage::{Applied, Published, StateMachine},
    types::TypeConfig,
};

/// What [`watch_leadership`] keeps up to date.
pub(super) struct Seen {
    pub(super) leadership: watch::Sender<Leadership>,
    pub(super) applied: watch::Sender<Revision>,
}

/// Runs until the core is gone.
pub(super) async fn watch_leadership(raft: Raft<TypeConfig, StateMachine>, published: Published, seen: Seen) {
    let mut servers = raft.server_metrics();
    let mut applied = published.applied();
    let mut last_leader = None;
    loop {
        let now = *applied.borrow_and_update();
        let leadership = leadership(&servers.borrow_watched(), now);
        report(leadership, now);
        published.cut_off().reached(now.log_id.map_or(0, |id| id.index));
        if leadership.leader.is_some() && leadership.leader != last_leader {
            metrics::counter!(LEADER_CHANGES).increment(1);
            last_leader = leadership.leader;
        }
        seen.applied.send_if_modified(|revision| std::mem::replace(revision, now.revision) != now.revision);
        seen.leadership.send_if_modified(|before| std::mem::replace(before, leadership) != leadership);
        let changed = tokio::select! {
            changed = servers.changed() => changed.is_ok(),
            changed = applied.changed() => changed.is_ok(),
        };
        if !changed {
            return;
        }
    }
}

/// After a restart the vote may name this very server; only its state says that it leads.
fn leadership(metrics: &RaftServerMetrics<TypeConfig>, applied: Applied) -> Leadership {
    let term = metrics.vote.leader_id.term;
    let is_self = metrics.state == ServerState::Leader;
    let leader = metrics.current_leader.filter(|id| *id != metrics.id || is_self).map(ServerId);
    let ready = is_self && applied.log_id.is_some_and(|id| id.leader_id.term == term);
    Leadership { term, leader, is_self, ready }
}

#[expect(clippy::cast_precision_loss, reason = "gauges are floats")]
fn report(leadership: Leadership, applied: Applied) {
    cached!(gauge TERM).set(leadership.term as f64);
    cached!(gauge IS_LEADER).set(if leadership.is_self { 1.0 } else { 0.0 });
    cached!(gauge HAS_LEADER).set(if leadership.leader.is_some() { 1.0 } else { 0.0 });
    cached!(gauge APPLIED_INDEX).set(applied.log_id.map_or(0, |id| id.index) as f64);
}

/// Resolves with the reason when the core has stopped.
pub(super) async fn core_stopped(raft: &Raft<TypeConfig, StateMachine>) -> String {
    let mut metrics = raft.metrics();
    loop {
        if let Err(fatal) = &metrics.borrow_watched().running_state {
            return format!("consensus has stopped: {fatal}");
        }
        if metrics.changed().await.is_err() {
            return "consensus has stopped".to_owned();
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::types::{LogId, Vote};

    fn check(state: ServerState, leader: u64, applied_term: u64, expected: (Option<u64>, bool, bool)) {
        let metrics = RaftServerMetrics {
            id: 1,
            vote: Vote::new_committed(5, leader),
            state,
            current_leader: Some(leader),
            membership_config: Default::default(),
            committed_membership_config: Default::default(),
        };
        let applied = Applied { log_id: Some(LogId::new_term_index(applied_term, 9)), revision: Revision(3) };
        let found = leadership(&metrics, applied);
        assert_eq!((found.leader.map(|id| id.0), found.is_self, found.ready), expected);
        assert_eq!(found.term, 5);
    }

    #[test]
    fn a_leader_is_ready_once_it_has_applied_an_entry_of_its_own_term() {
        check(ServerState::Leader, 1, 4, (Some(1), true, false));
        check(ServerState::Leader, 1, 5, (Some(1), true, true));
    }

    #[test]
    fn a_follower_is_never_ready() {
        check(ServerState::Follower, 2, 5, (Some(2), false, false));
    }

    #[test]
    fn a_vote_that_names_a_restarted_server_makes_it_no_leader() {
        check(ServerState::Follower, 1, 5, (None, false, false));
    }
}
