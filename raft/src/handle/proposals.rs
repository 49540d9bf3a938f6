//! Writes on their way: bounded in number, also when nobody waits for them any more. Knows no objects.

use std::{sync::Arc, time::Duration};

use boss_base::{
    clock::Clock,
    tasks::{OnExit, Tasks},
};
use boss_proto::{
    limits::PROPOSALS_IN_FLIGHT_MAX,
    raft::v1::{Command, Operation},
};
use openraft::{
    Raft,
    errors::{ClientWriteError, ForwardToLeader},
    impls::ProgressResponder,
    raft::ClientWriteResult,
    type_config::alias::OneshotReceiverOf,
};
use tokio::sync::{OwnedSemaphorePermit, Semaphore};

use super::errors::ProposeError;
use crate::{
    metric_definitions::{PROPOSAL_SECONDS, PROPOSALS_IN_FLIGHT, PROPOSALS_REFUSED},
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
    places: Arc<Semaphore>,
}

impl Proposals {
    pub(super) fn new(raft: Raft<TypeConfig, StateMachine>, clock: Arc<dyn Clock>, tasks: Tasks) -> Self {
        Self { raft, clock, tasks, places: Arc::new(Semaphore::new(PROPOSALS_IN_FLIGHT_MAX)) }
    }

    /// One entry with the operations; returns when it is applied here.
    pub(super) async fn propose(&self, operations: Vec<Operation>) -> Result<Vec<Outcome>, ProposeError> {
        let place = Arc::clone(&self.places).try_acquire_owned().map_err(|_| {
            metrics::counter!(PROPOSALS_REFUSED).increment(1);
            ProposeError::Busy
        })?;
        let command = Command { format: COMMAND_FORMAT, proposed_at_ms: self.clock.unix_millis(), operations };
        let proposal = Proposal::new(&command).map_err(|error| ProposeError::TooLarge(error.to_string()))?;
        let before = self.clock.monotonic();
        let (responder, answer) = ProgressResponder::complete_only();
        let in_flight = InFlight::new(answer, place, self.tasks.clone());
        self.raft.client_write_ff(proposal, Some(responder)).await.map_err(|_| ProposeError::ShuttingDown)?;
        let answer = tokio::time::timeout(TIMEOUT, in_flight.answered()).await.map_err(|_| ProposeError::Timeout)?;
        metrics::histogram!(PROPOSAL_SECONDS).record(self.clock.monotonic().saturating_sub(before).as_secs_f64());
        outcomes(answer?)
    }
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
        metrics::gauge!(PROPOSALS_IN_FLIGHT).increment(1);
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
        metrics::gauge!(PROPOSALS_IN_FLIGHT).decrement(1);
        let Some((answer, place)) = self.parts.take() else { return };
        let token = self.tasks.token();
        self.tasks.spawn("abandoned-proposal", OnExit::Log, async move {
            // Either an outcome or the end of the core.
            drop(token.run_until_cancelled(answer).await);
            drop(place);
        });
    }
}
