//! Writes on their way: bounded in number, also when nobody waits for them any more. Knows no objects.

use std::{sync::Arc, time::Duration};

use boss_base::{
    cached,
    clock::Clock,
    tasks::{OnExit, Tasks},
};
use boss_proto::{
    limits::{PROPOSALS_IN_FLIGHT_MAX, PROPOSALS_RESERVED},
    raft::v1::{Command, Operation, operation::Action},
};
use openraft::{
    Raft,
    errors::{ClientWriteError, ForwardToLeader},
    impls::ProgressResponder,
    raft::ClientWriteResult,
    type_config::alias::OneshotReceiverOf,
};
use tokio::sync::{OwnedSemaphorePermit, Semaphore, watch};

use super::{disk::Door, errors::ProposeError};
use crate::{
    metric_definitions::{
        PROPOSAL_SECONDS, PROPOSALS_COMMITTED, PROPOSALS_FAILED, PROPOSALS_IN_FLIGHT, PROPOSALS_REFUSED,
    },
    state::Outcome,
    storage::StateMachine,
    types::{COMMAND_FORMAT, Member, Proposal, TypeConfig},
};

/// After it the caller is told that the outcome is unknown. A leader that lost its majority steps down much earlier.
const TIMEOUT: Duration = Duration::from_secs(10);

type Answer = OneshotReceiverOf<TypeConfig, ClientWriteResult<TypeConfig>>;

/// Proposes commands, as many at a time as the bound allows. Clones share the bound.
#[derive(Clone)]
pub(super) struct Proposals {
    raft: Raft<TypeConfig, StateMachine>,
    clock: Arc<dyn Clock>,
    tasks: Tasks,
    places: Places,
    door: watch::Receiver<Door>,
}

impl Proposals {
    pub(super) fn new(
        raft: Raft<TypeConfig, StateMachine>,
        clock: Arc<dyn Clock>,
        tasks: Tasks,
        door: watch::Receiver<Door>,
    ) -> Self {
        Self { raft, clock, tasks, places: Places::default(), door }
    }

    fn refuse_without_room(&self) -> Result<(), ProposeError> {
        match &*self.door.borrow() {
            Door::Open => Ok(()),
            // Somebody with room leads in a moment.
            Door::Moving => Err(ProposeError::NotLeader { leader: None }),
            Door::Closed(servers) => {
                metrics::counter!(PROPOSALS_REFUSED).increment(1);
                Err(ProposeError::DiskFull { servers: servers.clone() })
            }
        }
    }

    /// One entry with the operations; returns when it is applied here.
    pub(super) async fn propose(&self, operations: Vec<Operation>) -> Result<Vec<Outcome>, ProposeError> {
        self.refuse_without_room()?;
        let place = self.places.take(&operations)?;
        let command = Command { format: COMMAND_FORMAT, proposed_at_ms: self.clock.unix_millis(), operations };
        let proposal = Proposal::new(&command).map_err(|error| ProposeError::TooLarge(error.to_string()))?;
        let before = self.clock.monotonic();
        let (responder, answer) = ProgressResponder::complete_only();
        let in_flight = InFlight::new(answer, place, self.tasks.clone());
        let result = match self.raft.client_write_ff(proposal, Some(responder)).await {
            Ok(_) => tokio::time::timeout(TIMEOUT, in_flight.answered()).await.unwrap_or(Err(ProposeError::Timeout)),
            Err(_) => Err(ProposeError::ShuttingDown),
        };
        let result = result.and_then(outcomes);
        report(&result, self.clock.monotonic().saturating_sub(before));
        result
    }
}

/// The places of proposals in flight. Clones share them.
#[derive(Clone)]
struct Places {
    all: Arc<Semaphore>,
    reserve: Arc<Semaphore>,
}

impl Default for Places {
    fn default() -> Self {
        let all = Arc::new(Semaphore::new(PROPOSALS_IN_FLIGHT_MAX - PROPOSALS_RESERVED));
        Self { all, reserve: Arc::new(Semaphore::new(PROPOSALS_RESERVED)) }
    }
}

impl Places {
    /// A place among those in flight. Some are kept for what makes room and for the leader's own loops: a registry
    /// that is full of its users' writes can still be emptied.
    fn take(&self, operations: &[Operation]) -> Result<OwnedSemaphorePermit, ProposeError> {
        let place = Arc::clone(&self.all).try_acquire_owned().or_else(|full| {
            if operations.iter().all(may_use_reserve) {
                Arc::clone(&self.reserve).try_acquire_owned()
            } else {
                Err(full)
            }
        });
        place.map_err(|_| {
            cached!(counter PROPOSALS_REFUSED).increment(1);
            ProposeError::Busy
        })
    }
}

fn may_use_reserve(operation: &Operation) -> bool {
    operation.leader_term.is_some() || matches!(operation.action, Some(Action::Delete(_)))
}

fn report(result: &Result<Vec<Outcome>, ProposeError>, took: Duration) {
    let reason = match result {
        Ok(_) => {
            cached!(counter PROPOSALS_COMMITTED).increment(1);
            cached!(histogram PROPOSAL_SECONDS).record(took.as_secs_f64());
            return;
        }
        Err(ProposeError::NotLeader { .. }) => "not_leader",
        Err(ProposeError::Timeout) => "timeout",
        Err(ProposeError::ShuttingDown) => "stopping",
        Err(ProposeError::Busy) => "busy",
        Err(ProposeError::DiskFull { .. }) => "disk_full",
        Err(ProposeError::TooLarge(_)) => "too_large",
    };
    metrics::counter!(PROPOSALS_FAILED, "reason" => reason).increment(1);
}

fn outcomes(answer: ClientWriteResult<TypeConfig>) -> Result<Vec<Outcome>, ProposeError> {
    match answer {
        Ok(response) => Ok(response.data.0),
        Err(ClientWriteError::ForwardToLeader(forward)) => Err(ProposeError::NotLeader { leader: leader_of(forward) }),
        // It was in the log and has left it; another leader may have committed it all the same.
        Err(ClientWriteError::LogEntryDiscarded(_)) => Err(ProposeError::Timeout),
        Err(ClientWriteError::ChangeMembershipError(_) | ClientWriteError::PreconditionFailed(_)) => {
            unreachable!("a command changes no members and has no preconditions of the core's")
        }
    }
}

fn leader_of(forward: ForwardToLeader<TypeConfig>) -> Option<Member> {
    let (id, node) = forward.leader_id.zip(forward.leader_node)?;
    Some(Member::new(id, node))
}

/// A proposal that holds its place until it has an outcome, whoever still waits for it.
struct InFlight {
    parts: Option<(Answer, OwnedSemaphorePermit)>,
    tasks: Tasks,
}

impl InFlight {
    fn new(answer: Answer, place: OwnedSemaphorePermit, tasks: Tasks) -> Self {
        cached!(gauge PROPOSALS_IN_FLIGHT).increment(1);
        Self { parts: Some((answer, place)), tasks }
    }

    async fn answered(mut self) -> Result<ClientWriteResult<TypeConfig>, ProposeError> {
        let Some((answer, _)) = &mut self.parts else { return Err(ProposeError::ShuttingDown) };
        let result = answer.await;
        self.parts = None;
        result.map_err(|_| ProposeError::ShuttingDown)
    }
}

impl Drop for InFlight {
    fn drop(&mut self) {
        cached!(gauge PROPOSALS_IN_FLIGHT).decrement(1);
        let Some((answer, place)) = self.parts.take() else { return };
        let token = self.tasks.token();
        self.tasks.spawn("abandoned-proposal", OnExit::Log, async move {
            // Either an outcome or the end of the core.
            drop(token.run_until_cancelled(answer).await);
            drop(place);
        });
    }
}

#[cfg(test)]
mod tests {
    use boss_proto::raft::v1::{Create, Delete};

    use super::*;

    fn operation(action: Action) -> Operation {
        Operation { action: Some(action), ..Operation::default() }
    }

    fn take_all(places: &Places, operations: &[Operation], count: usize) -> Vec<OwnedSemaphorePermit> {
        (0..count).map(|_| places.take(operations).unwrap()).collect()
    }

    #[test]
    fn one_proposal_more_than_the_limit_is_refused_and_deletes_still_find_their_reserve() {
        let (places, create) = (Places::default(), [operation(Action::Create(Create::default()))]);
        let delete = [operation(Action::Delete(Delete::default()))];
        let of_leader = [Operation { leader_term: Some(1), ..create[0].clone() }];
        let mut taken = take_all(&places, &create, PROPOSALS_IN_FLIGHT_MAX - PROPOSALS_RESERVED);
        assert!(matches!(places.take(&create), Err(ProposeError::Busy)));
        let mixed = [delete[0].clone(), create[0].clone()];
        assert!(matches!(places.take(&mixed), Err(ProposeError::Busy)), "a delete takes nothing else along");
        taken.extend(take_all(&places, &delete, PROPOSALS_RESERVED - 1));
        taken.extend(take_all(&places, &of_leader, 1));
        assert_eq!(taken.len(), PROPOSALS_IN_FLIGHT_MAX);
        assert!(matches!(places.take(&delete), Err(ProposeError::Busy)));
        taken.truncate(taken.len() - 1);
        assert!(places.take(&delete).is_ok(), "a place that is given back is the next one's");
    }
}
