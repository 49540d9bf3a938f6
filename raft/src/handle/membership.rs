//! Changing who the members are, one step at a time, on the leader. Decides nothing about whether a change is wise.

use std::{
    collections::{BTreeMap, BTreeSet},
    time::Duration,
};

use boss_proto::ids::ServerId;
use futures_util::future::join_all;
use openraft::{
    ChangeMembers,
    async_runtime::watch::WatchReceiver,
    errors::{ClientWriteError, RaftError},
};
use tokio::sync::watch;

use super::{DESCRIBE_TIMEOUT, Handle};
use crate::{
    network::{Revoked, roster},
    storage::StateMachine,
    types::{Address, Member, TypeConfig},
};

/// A step that is not committed by then may still be: no majority answered.
const STEP_TIMEOUT: Duration = Duration::from_secs(10);
/// A successor that has not begun its term by then will not.
const TRANSFER_ELECTIONS: u32 = 4;
/// How often a server asks another one whether it still is a member: one small call.
const LOOK_INTERVAL: Duration = Duration::from_secs(3);

type Raft = openraft::Raft<TypeConfig, StateMachine>;

/// What a member answered when it was asked just now.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Health {
    /// Which.
    pub member: Member,
    /// Whether it votes.
    pub voter: bool,
    /// Last entry in its log; why it did not answer otherwise.
    pub last_log_index: Result<u64, String>,
    /// Whether the members know its data folder.
    pub folder_known: bool,
}

/// Why a step did not happen, or may not have.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum ChangeError {
    /// Only the leader changes the members.
    #[error("this server does not lead")]
    NotLeader,
    /// Another change is not committed yet.
    #[error("another change of the members is not committed yet")]
    InProgress,
    /// The members cannot be changed so.
    #[error("{0}")]
    Impossible(String),
    /// It may still happen.
    #[error("no majority answered in time; the change may still happen")]
    Timeout,
    /// The server is stopping.
    #[error("the server is shutting down")]
    ShuttingDown,
}

/// Why leadership did not go over.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum TransferError {
    /// Only the leader can.
    #[error("this server does not lead")]
    NotLeader,
    /// It has no vote.
    #[error("server {0} is no voter")]
    NoVoter(ServerId),
    /// Nobody else could lead.
    #[error("there is no other voter")]
    Alone,
    /// It was asked, and did not begin its term in time.
    #[error("server {0} did not take over in time")]
    NotTaken(ServerId),
    /// The server is stopping.
    #[error("the server is shutting down")]
    ShuttingDown,
}

impl Handle {
    /// Asks every member at once; this server answers for itself.
    pub async fn health(&self) -> Vec<Health> {
        let status = self.status();
        let members = self.membership();
        let asked = members.into_iter().map(async |(id, address)| {
            let member = Member::new(id.0, address.clone());
            let last_log_index = if id == self.server_id() {
                Ok(status.last_log_index)
            } else {
                let answer = self.0.peers.describe(&member, DESCRIBE_TIMEOUT).await;
                answer
                    .map(|answer| answer.last_log_id.map_or(0, |last| last.index))
                    .map_err(|status| status.message().to_owned())
            };
            let voter = status.voters.contains(&id);
            Health { member, voter, last_log_index, folder_known: !address.storage_id.is_empty() }
        });
        join_all(asked).await
    }

    fn membership(&self) -> BTreeMap<ServerId, Address> {
        let metrics = self.metrics();
        let members = metrics.membership_config.nodes();
        members.map(|(id, address)| (ServerId(*id), address.clone())).collect()
    }

    /// Whether a change of the voters stands halfway, with two sets of them side by side.
    #[must_use]
    pub fn is_between_voters(&self) -> bool {
        self.metrics().membership_config.membership().get_joint_config().len() > 1
    }

    /// Adds a server that follows without a vote. Nothing happens when it is a member already.
    pub async fn add_learner(&self, member: &Member) -> Result<(), ChangeError> {
        if self.membership().contains_key(&member.id) {
            return Ok(());
        }
        self.change(ChangeMembers::AddNodes([(member.id.0, member.address())].into())).await
    }

    /// Makes these the voters. Members that lose their vote are members no more. Finishes what a leader left halfway.
    pub async fn set_voters(&self, voters: BTreeSet<ServerId>) -> Result<(), ChangeError> {
        self.change(ChangeMembers::ReplaceAllVoters(voters.into_iter().map(|id| id.0).collect())).await
    }

    /// Removes a member without a vote. Nothing happens when it is none.
    pub async fn remove_learner(&self, id: ServerId) -> Result<(), ChangeError> {
        if !self.membership().contains_key(&id) {
            return Ok(());
        }
        self.change(ChangeMembers::RemoveNodes([id.0].into())).await
    }

    /// Writes down which data folder each member has, as far as it is not known yet and they answer. Says whether all
    /// are known now.
    pub async fn pin_folders(&self) -> Result<bool, ChangeError> {
        let unknown = self.membership().into_iter().filter(|(_, address)| address.storage_id.is_empty());
        let asked = unknown.map(async |(id, address)| {
            let storage_id = if id == self.server_id() {
                Some(self.0.roster.storage_id().to_owned())
            } else {
                let member = Member::new(id.0, address.clone());
                self.0.peers.describe(&member, DESCRIBE_TIMEOUT).await.ok().map(|answer| answer.storage_id)
            };
            let storage_id = storage_id.filter(|id| !id.is_empty());
            storage_id.map(|storage_id| (id.0, Address { storage_id, ..address }))
        });
        let answers = join_all(asked).await;
        let complete = answers.iter().all(Option::is_some);
        let found: BTreeMap<u64, Address> = answers.into_iter().flatten().collect();
        if !found.is_empty() {
            self.change(ChangeMembers::SetNodes(found)).await?;
        }
        Ok(complete)
    }

    async fn change(&self, change: ChangeMembers<u64, Address>) -> Result<(), ChangeError> {
        match tokio::time::timeout(STEP_TIMEOUT, self.0.raft.change_membership(change, false)).await {
            Ok(Ok(_)) => Ok(()),
            Ok(Err(RaftError::APIError(error))) => Err(change_error(error)),
            Ok(Err(RaftError::Fatal(_))) => Err(ChangeError::ShuttingDown),
            Err(_) => Err(ChangeError::Timeout),
        }
    }

    /// Hands leadership to that voter, or to the one that needs least to lead, and waits until somebody else leads.
    pub async fn transfer_leader(&self, to: Option<ServerId>) -> Result<ServerId, TransferError> {
        let metrics = self.metrics();
        if !self.leadership().borrow().is_self {
            return Err(TransferError::NotLeader);
        }
        let successor = match to {
            Some(to) if !metrics.membership_config.voter_ids().any(|id| id == to.0) => {
                return Err(TransferError::NoVoter(to));
            }
            Some(to) => to,
            None => ServerId(super::successor(&metrics, &self.0.peers.full_disks()).ok_or(TransferError::Alone)?),
        };
        if successor == self.server_id() {
            return Ok(successor);
        }
        let asked = self.0.raft.trigger().transfer_leader(successor.0).await;
        asked.map_err(|_| TransferError::ShuttingDown)?;
        let mut leadership = self.leadership();
        let taken = leadership.wait_for(|now| now.leader.is_some_and(|leader| leader != self.server_id()));
        match tokio::time::timeout(self.0.handover_timeout * TRANSFER_ELECTIONS, taken).await {
            Ok(Ok(now)) => Ok(now.leader.unwrap_or(successor)),
            Ok(Err(_)) => Err(TransferError::ShuttingDown),
            Err(_) => Err(TransferError::NotTaken(successor)),
        }
    }

    /// Takes a snapshot of what is applied, whether one is due or not; the log before it goes by the usual bounds.
    pub async fn take_snapshot(&self) -> Result<(), ChangeError> {
        self.0.raft.trigger().snapshot().await.map_err(|_| ChangeError::ShuttingDown)
    }

    /// Whether the server was removed: nobody listens to it any more.
    #[must_use]
    pub fn is_removed(&self, server: ServerId) -> bool {
        roster::is_removed(&self.view(), server)
    }

    /// What tells this server's data folder from all others.
    #[must_use]
    pub fn storage_id(&self) -> &str {
        self.0.roster.storage_id()
    }

    /// Resolves with the reason when this server has no place in the cluster any more; the process must end then, and
    /// starting it again is of no use.
    pub async fn expelled(&self) -> String {
        let mut expelled = self.0.roster.expelled();
        match expelled.wait_for(Option::is_some).await.map(|reason| reason.clone()) {
            Ok(Some(reason)) => reason,
            // The sender is in `self`, and the wait is for `Some`.
            Ok(None) | Err(_) => std::future::pending().await,
        }
    }

    /// Told when another server refuses this one because the certificate that it shows was revoked.
    #[must_use]
    pub fn revoked(&self) -> watch::Receiver<Option<Revoked>> {
        self.0.roster.revoked()
    }

    /// What another server said of this one's certificate holds no more: one that leads takes it.
    pub fn forget_revoked(&self) {
        self.0.roster.forget_revoked();
    }

    /// Hands leadership to another server, if this one leads and there is one.
    pub async fn step_down(&self) {
        self.hand_over().await;
    }
}

fn change_error(error: ClientWriteError<TypeConfig>) -> ChangeError {
    use openraft::errors::ChangeMembershipError as Refused;
    match error {
        ClientWriteError::ForwardToLeader(_) => ChangeError::NotLeader,
        ClientWriteError::ChangeMembershipError(Refused::InProgress(_) | Refused::UncommittedLeaderLog(_)) => {
            ChangeError::InProgress
        }
        ClientWriteError::LogEntryDiscarded(_) => ChangeError::Timeout,
        other => ChangeError::Impossible(other.to_string()),
    }
}

/// Keeps the roster up to date. Runs until the core is gone.
pub(super) async fn watch_members(raft: Raft, roster: roster::Roster) {
    let mut metrics = raft.server_metrics();
    loop {
        let (members, agreed) = {
            let now = metrics.borrow_watched();
            let agreed = now.membership_config.log_id() == now.committed_membership_config.log_id();
            let members: BTreeMap<ServerId, Address> =
                now.membership_config.nodes().map(|(id, address)| (ServerId(*id), address.clone())).collect();
            (members, agreed)
        };
        roster.set_members(members, agreed);
        if metrics.changed().await.is_err() {
            return;
        }
    }
}

/// Asks another member now and then: a server that was away while it was removed hears of it in no other way.
pub(super) async fn ask_whether_member(handle: Handle) {
    let mut looks = tokio::time::interval(LOOK_INTERVAL);
    looks.set_missed_tick_behavior(tokio::time::MissedTickBehavior::Delay);
    for turn in 0.. {
        looks.tick().await;
        if handle.leadership().borrow().is_self {
            continue;
        }
        let others: Vec<_> = handle.members().into_iter().filter(|member| member.id != handle.server_id()).collect();
        let leader = handle.leadership().borrow().leader;
        // The leader knows best; one that has gone long ago knows nothing, so the others have their turn.
        let asked = others.iter().find(|member| turn % 2 == 0 && Some(member.id) == leader);
        if let Some(member) = asked.or_else(|| others.get(turn % others.len().max(1))) {
            // The answer is of no use here; a refusal is heeded on its way.
            drop(handle.0.peers.describe(member, DESCRIBE_TIMEOUT).await);
        }
    }
}
