//! What full disks mean for writes: a leader without room hands over to a server that has some, and refuses what
//! nobody could commit. Knows no file.

use std::{collections::BTreeSet, time::Duration};

use boss_proto::ids::ServerId;
use openraft::{Raft, RaftMetrics, ServerState, async_runtime::watch::WatchReceiver};
use tokio::sync::watch;

use super::successor;
use crate::{disk::Room, network::Peers, storage::StateMachine, types::TypeConfig};

/// How often the answers of the peers are looked at; a heartbeat brings one.
const LOOK_INTERVAL: Duration = Duration::from_millis(100);
/// A successor that did not take over within it is asked again, or another one.
const HANDOVER_INTERVAL: Duration = Duration::from_secs(2);

/// Whether proposals may pass.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) enum Door {
    /// There is room where it is needed.
    Open,
    /// There is none here, and enough elsewhere: another server is about to lead.
    Moving,
    /// Without these servers there is no majority.
    Closed(Vec<ServerId>),
}

/// Which it is for a leader, with the voters of each configuration in force.
fn door(this: u64, configs: &[BTreeSet<u64>], full: &BTreeSet<u64>) -> Door {
    let commits = |voters: &BTreeSet<u64>| voters.difference(full).count() * 2 > voters.len();
    if !configs.iter().all(commits) {
        let voters: BTreeSet<u64> = configs.iter().flatten().copied().collect();
        return Door::Closed(voters.intersection(full).copied().map(ServerId).collect());
    }
    if full.contains(&this) { Door::Moving } else { Door::Open }
}

/// Opens and closes the door.
pub(super) struct DoorKeeper {
    pub(super) raft: Raft<TypeConfig, StateMachine>,
    pub(super) peers: Peers,
    pub(super) room: Room,
    pub(super) door: watch::Sender<Door>,
}

impl DoorKeeper {
    /// Runs until the core stops.
    pub(super) async fn run(self) {
        let mut looks = tokio::time::interval(LOOK_INTERVAL);
        looks.set_missed_tick_behavior(tokio::time::MissedTickBehavior::Delay);
        let mut since_handover = HANDOVER_INTERVAL;
        loop {
            looks.tick().await;
            since_handover += LOOK_INTERVAL;
            let own_full = self.room.is_full();
            let mut full = self.peers.full_disks();
            if !own_full && full.is_empty() {
                self.set(Door::Open);
                continue;
            }
            let metrics = self.raft.metrics().borrow_watched().clone();
            if own_full {
                full.insert(ServerId(metrics.id));
            }
            let now = self.look(&metrics, &full);
            if now == Door::Moving && since_handover >= HANDOVER_INTERVAL {
                since_handover = Duration::ZERO;
                if self.hand_over(&metrics, &full).await.is_err() {
                    return;
                }
            }
            self.set(now);
        }
    }

    fn look(&self, metrics: &RaftMetrics<TypeConfig>, full: &BTreeSet<ServerId>) -> Door {
        if metrics.state != ServerState::Leader {
            // The core says who leads.
            return Door::Open;
        }
        let full = full.iter().map(|id| id.0).collect();
        door(metrics.id, metrics.membership_config.membership().get_joint_config(), &full)
    }

    async fn hand_over(
        &self,
        metrics: &RaftMetrics<TypeConfig>,
        full: &BTreeSet<ServerId>,
    ) -> Result<(), openraft::errors::Fatal<TypeConfig>> {
        let Some(to) = successor(metrics, full) else { return Ok(()) };
        tracing::warn!(to, "the disk is full: handing over leadership");
        self.raft.trigger().transfer_leader(to).await
    }

    fn set(&self, door: Door) {
        self.door.send_if_modified(|before| {
            let changed = *before != door;
            if changed {
                match &door {
                    Door::Open => tracing::info!("writes are taken again"),
                    Door::Moving => {}
                    Door::Closed(servers) => {
                        tracing::warn!(?servers, "writes are refused: full disks leave no majority")
                    }
                }
                *before = door;
            }
            changed
        });
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn check(this: u64, configs: &[&[u64]], full: &[u64], expected: Door) {
        let configs: Vec<BTreeSet<u64>> = configs.iter().map(|voters| voters.iter().copied().collect()).collect();
        assert_eq!(door(this, &configs, &full.iter().copied().collect()), expected, "{this} {configs:?} {full:?}");
    }

    #[test]
    fn one_full_follower_stops_nobody() {
        check(1, &[&[1, 2, 3]], &[3], Door::Open);
    }

    #[test]
    fn a_full_leader_goes_while_others_have_room() {
        check(1, &[&[1, 2, 3]], &[1], Door::Moving);
    }

    #[test]
    fn without_a_majority_that_has_room_writes_are_refused() {
        check(1, &[&[1, 2, 3]], &[2, 3], Door::Closed(vec![ServerId(2), ServerId(3)]));
        check(1, &[&[1, 2, 3]], &[1, 3], Door::Closed(vec![ServerId(1), ServerId(3)]));
        check(1, &[&[1]], &[1], Door::Closed(vec![ServerId(1)]));
    }

    #[test]
    fn both_configurations_need_room_while_members_change() {
        check(1, &[&[1, 2, 3], &[1, 4, 5]], &[4, 5], Door::Closed(vec![ServerId(4), ServerId(5)]));
        check(1, &[&[1, 2, 3], &[1, 4, 5]], &[3, 5], Door::Open);
    }

    #[test]
    fn a_learner_without_room_does_not_count() {
        check(1, &[&[1, 2]], &[7], Door::Open);
    }
}
