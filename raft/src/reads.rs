//! Linearizable reads on any server: a majority confirms who leads, then this server waits until it has applied what
//! was committed by then. Rounds are shared: a read joins only a round that has not begun, so that the round begins
//! after the read; each attempt is a round of its own. Knows no objects.

mod promise;

use std::{sync::Arc, time::Duration};

use boss_base::{
    cached,
    clock::Clock,
    tasks::{OnExit, Tasks},
};
use boss_proto::ids::Revision;
use openraft::{
    Raft, ReadPolicy,
    async_runtime::watch::WatchReceiver,
    errors::{LinearizableReadError, RaftError},
};
use tokio::sync::{mpsc, oneshot};

pub(crate) use self::promise::Promise;
use crate::{
    bugs::{self, Bug},
    config::ReadMode,
    metric_definitions::{READ_ROUND_READS, READ_ROUND_SECONDS, READ_ROUNDS},
    network::Peers,
    storage::StateMachine,
    types::{Member, TypeConfig},
};

/// Reads that wait for a round; above it they wait for a place in the queue.
const READS_WAITING_MAX: usize = 16 * 1_024;

/// Why no state could be shown.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum ReadError {
    /// No leader is known, or it could not reach a majority.
    #[error("no leader could confirm the read")]
    NoLeader,
    /// This server did not catch up in time.
    #[error("this server is behind: it has revision {applied}")]
    Behind {
        /// What it has.
        applied: Revision,
    },
    /// This server's state is not the cluster's; it takes the others' and starts anew.
    #[error("this server's state differs from the majority's; it takes theirs and starts anew")]
    Aside,
    /// The server is stopping.
    #[error("the server is shutting down")]
    ShuttingDown,
}

impl ReadError {
    /// Whether the same read may work a moment later or on another server.
    #[must_use]
    pub fn is_retryable(&self) -> bool {
        match self {
            Self::NoLeader | Self::Behind { .. } | Self::Aside | Self::ShuttingDown => true,
        }
    }
}

/// Who may answer a read.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum By {
    /// This server only: another one asks, and asking on could go in circles.
    ThisLeader,
    /// This server or the leader that it knows.
    AnyLeader,
}

struct Waiting {
    by: By,
    answer: oneshot::Sender<Result<u64, ReadError>>,
}

/// Finds out from which index reads may be answered. Clones share the rounds.
#[derive(Clone)]
pub(crate) struct Reads {
    queue: mpsc::Sender<Waiting>,
}

impl Reads {
    /// Starts the task that runs the rounds.
    pub(crate) fn start(rounds: Rounds, tasks: &Tasks) -> Self {
        let (queue, waiting) = mpsc::channel(READS_WAITING_MAX);
        let token = tasks.token();
        tasks.spawn("read-rounds", OnExit::StopProcess, async move {
            token.run_until_cancelled(rounds.run(waiting)).await;
        });
        Self { queue }
    }

    /// An index that contains every write acknowledged before this call, on any server.
    pub(crate) async fn confirm(&self) -> Result<u64, ReadError> {
        self.ask(By::AnyLeader).await
    }

    /// The same, if this server leads.
    pub(crate) async fn confirm_as_leader(&self) -> Result<u64, ReadError> {
        self.ask(By::ThisLeader).await
    }

    async fn ask(&self, by: By) -> Result<u64, ReadError> {
        let (answer, answered) = oneshot::channel();
        self.queue.send(Waiting { by, answer }).await.map_err(|_| ReadError::ShuttingDown)?;
        answered.await.map_err(|_| ReadError::ShuttingDown)?
    }
}

/// What rounds are made of.
pub(crate) struct Rounds {
    pub(crate) raft: Raft<TypeConfig, StateMachine>,
    pub(crate) peers: Peers,
    /// Whether the leader may answer from its lease.
    pub(crate) mode: ReadMode,
    /// Of one round.
    pub(crate) timeout: Duration,
    pub(crate) clock: Arc<dyn Clock>,
}

impl Rounds {
    async fn run(self, mut queue: mpsc::Receiver<Waiting>) {
        let mut round = Vec::new();
        // Whoever comes while a round is under way waits for the next one.
        while queue.recv_many(&mut round, READS_WAITING_MAX).await > 0 {
            cached!(counter READ_ROUNDS).increment(1);
            cached!(histogram READ_ROUND_READS).record(round.len() as f64);
            let began = self.clock.monotonic();
            let here = self.confirm_round(&round).await;
            let elsewhere = match &here {
                Err(NotHere::Leader(leader)) if round.iter().any(|read| read.by == By::AnyLeader) => {
                    self.ask_leader(leader).await
                }
                _ => Err(ReadError::NoLeader),
            };
            let took = self.clock.monotonic().saturating_sub(began);
            cached!(histogram READ_ROUND_SECONDS).record(took.as_secs_f64());
            for read in round.drain(..) {
                let result = match (&here, read.by) {
                    (Ok(index), _) => Ok(*index),
                    (Err(NotHere::Stopped), _) => Err(ReadError::ShuttingDown),
                    (Err(_), By::AnyLeader) => elsewhere.clone(),
                    (Err(_), By::ThisLeader) => Err(ReadError::NoLeader),
                };
                // Whoever asked may have gone.
                drop(read.answer.send(result));
            }
        }
    }

    /// Who wants to know that this server leads gets a majority's word; a read may do with the lease, if there is one.
    async fn confirm_round(&self, round: &[Waiting]) -> Result<u64, NotHere> {
        if bugs::on(Bug::StaleRead)
            && let Some(index) = self.claim_here()
        {
            return Ok(index);
        }
        if self.mode == ReadMode::Lease
            && round.iter().all(|read| read.by == By::AnyLeader)
            && let Ok(index) = self.confirm_here(ReadPolicy::LeaseRead).await
        {
            return Ok(index);
        }
        self.confirm_here(ReadPolicy::ReadIndex).await
    }

    async fn confirm_here(&self, policy: ReadPolicy) -> Result<u64, NotHere> {
        let asked = tokio::time::timeout(self.timeout, self.raft.get_read_linearizer(policy)).await;
        match asked.map_err(|_| NotHere::Unconfirmed)? {
            Ok(linearizer) => Ok(linearizer.read_log_id().index()),
            Err(RaftError::APIError(LinearizableReadError::ForwardToLeader(forward))) => {
                let leader = forward.leader_id.zip(forward.leader_node);
                Err(leader.map_or(NotHere::Unconfirmed, |(id, node)| NotHere::Leader(Member::new(id, node))))
            }
            Err(RaftError::APIError(LinearizableReadError::QuorumNotEnough(_))) => Err(NotHere::Unconfirmed),
            Err(RaftError::Fatal(_)) => Err(NotHere::Stopped),
        }
    }

    /// What this server has applied, if it believes that it leads: no answer to a read.
    fn claim_here(&self) -> Option<u64> {
        let metrics = self.raft.metrics().borrow_watched().clone();
        let leads = metrics.current_leader == Some(metrics.id);
        metrics.last_applied.filter(|_| leads).map(|applied| applied.index)
    }

    async fn ask_leader(&self, leader: &Member) -> Result<u64, ReadError> {
        self.peers.read_index(leader, self.timeout).await.map_err(|status| {
            tracing::debug!(leader = %leader.id, %status, "the leader did not confirm a read");
            ReadError::NoLeader
        })
    }
}

/// Why this server cannot confirm by itself.
enum NotHere {
    /// This one leads.
    Leader(Member),
    /// Nobody is known to lead, or no majority answered.
    Unconfirmed,
    /// The core has stopped.
    Stopped,
}
