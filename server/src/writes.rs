//! Every write's way to the log: admitted here when this server leads, else passed on to the leader once, with the
//! caller's own credential. Knows no transport of callers.

mod arriving;
mod error;
mod forwarding;
mod incarnation;
mod lanes;
mod peers;
mod stream;
mod streaming;
mod wire;

use std::{sync::Arc, time::Duration};

use boss_base::{clock::Clock, failpoints, tasks::Tasks};
use boss_proto::{
    ids::{ServerId, Uid},
    key::Key,
    raft::v1::{Command, Operation},
    v1::{CollectedObject, DeleteCollectionRequest, DeleteCollectionResponse},
};
use boss_raft::{
    Handle, Leadership, ProposeError,
    state::{Outcome, Rejection, View, preview},
    types::COMMAND_FORMAT,
};

use self::lanes::Lanes;
pub use self::{
    error::Error,
    incarnation::{OfIncarnation, check_incarnation},
    peers::{PeerClient, Peers, Unreachable},
    wire::{Answer, Reply},
};
use crate::{
    admission::{self, Collection, Policies, Refusal, Stamp, Write},
    auth::{Authenticator, Identity},
    metric_definitions as metric,
    sealing::Vault,
    turns::Turns,
};

/// A write that finds no leader waits for one this long: most elections take less, and clients give up on an attempt
/// after three seconds, without hearing why.
const LEADER_WAIT: Duration = Duration::from_millis(2_500);
/// Between two looks for a leader that both sides can agree on.
const LEADER_RETRY: Duration = Duration::from_millis(25);
/// Times that what admission saw may change under a write before the caller is told to come again.
const ADMISSIONS_MAX: usize = 8;

/// Takes writes. Cheap to clone.
#[derive(Clone)]
pub struct Writes(Arc<Shared>);

struct Shared {
    id: ServerId,
    raft: Handle,
    authenticator: Authenticator,
    peers: Peers,
    lanes: Lanes,
    turns: Turns,
    vault: Vault,
    clock: Arc<dyn Clock>,
    policies: Policies,
}

/// What writes need.
pub struct Parts {
    /// This server.
    pub id: ServerId,
    /// The registry.
    pub raft: Handle,
    /// Verifies the credentials of forwarded writes again.
    pub authenticator: Authenticator,
    /// The other servers.
    pub peers: Peers,
    /// Forwarded writes wait here for their turn; those of this server's own callers did at the gate.
    pub turns: Turns,
    /// Seals secrets before they are proposed.
    pub vault: Vault,
    /// For deadlines.
    pub clock: Arc<dyn Clock>,
    /// The streams to the leader end with them: the last of all.
    pub tasks: Tasks,
}

/// What to do about one attempt.
enum Attempt {
    Done(Box<Answer>),
    /// Nothing happened: another leader must be found.
    NoLeader,
    /// It may have happened; its request id makes another attempt safe.
    Lost,
}

impl Attempt {
    fn done(answer: impl Into<Answer>) -> Self {
        Self::Done(Box::new(answer.into()))
    }
}

impl Writes {
    /// The door for all writes of this server.
    #[must_use]
    pub fn new(parts: Parts) -> Self {
        let Parts { id, raft, authenticator, peers, turns, vault, clock, tasks } = parts;
        let lanes = Lanes::new(id, peers.clone(), tasks);
        let policies = Policies::default();
        Self(Arc::new(Shared { id, raft, authenticator, peers, lanes, turns, vault, clock, policies }))
    }

    /// Does one write of an authenticated caller, wherever the leader is.
    pub async fn submit(&self, identity: &Identity, write: Write) -> Result<Answer, Error> {
        let give_up_at = self.0.clock.monotonic() + LEADER_WAIT;
        let mut may_have_happened = false;
        loop {
            let attempt = match self.leader() {
                Some(leader) if leader == self.0.id => self.admit_and_propose(identity, &write).await?,
                Some(leader) => self.forward(leader, identity, &write).await?,
                None => Attempt::NoLeader,
            };
            match attempt {
                Attempt::Done(answer) => return Ok(*answer),
                Attempt::NoLeader => {}
                Attempt::Lost => may_have_happened = true,
            }
            if self.0.clock.monotonic() >= give_up_at {
                return Err(if may_have_happened { Error::Unknown { retryable: true } } else { Error::NoLeader });
            }
            self.wait_for_news().await;
        }
    }

    /// Proposes operations of the leader's own loops. `term` is the one in which the loop was started; apply refuses
    /// them when another leader has taken over since.
    pub async fn submit_as_leader(&self, term: u64, operations: Vec<Operation>) -> Result<Vec<Outcome>, Error> {
        let leadership = *self.0.raft.leadership().borrow();
        if !leadership.is_self || leadership.term != term {
            return Err(Error::NotLeader);
        }
        let stamp = |operation| Operation { leader_term: Some(term), ..operation };
        Ok(self.0.raft.propose(operations.into_iter().map(stamp).collect()).await?)
    }

    /// The leader that a write should go to now, if it can take one.
    fn leader(&self) -> Option<ServerId> {
        let Leadership { leader, is_self, ready, .. } = *self.0.raft.leadership().borrow();
        // A new leader admits nothing before it has applied what its predecessors acknowledged.
        if is_self { ready.then_some(self.0.id) } else { leader.filter(|leader| *leader != self.0.id) }
    }

    async fn wait_for_news(&self) {
        let mut leadership = self.0.raft.leadership();
        leadership.mark_unchanged();
        // A change that nobody announces here, like a peer that has come up, is found by looking again.
        let _ = tokio::time::timeout(LEADER_RETRY, leadership.changed()).await;
    }

    /// The leader's part, for its own callers and for forwarded ones.
    async fn admit_and_propose(&self, identity: &Identity, write: &Write) -> Result<Attempt, Error> {
        if let Write::DeleteCollection(request) = write {
            return self.delete_collection(identity, request).await;
        }
        for attempt in 0..ADMISSIONS_MAX {
            let view = self.view_for(write).await?;
            let operation = match admission::admit(&view, identity, write.clone(), self.stamp(attempt)) {
                Ok(operation) => operation,
                Err(refusal) => return self.refuse(refusal).await,
            };
            let key = wire::key_of(&operation);
            let warnings = admission::warnings(&operation);
            let mut outcomes = match self.decide(&view, write, vec![operation]).await {
                Ok(outcomes) => outcomes,
                Err(ProposeError::NotLeader { .. }) => return Ok(Attempt::NoLeader),
                Err(error) => return Err(Error::from_propose(error, write)),
            };
            match outcomes.pop() {
                Some(Outcome::Readmit) => metrics::counter!(metric::WRITES_READMITTED).increment(1),
                // Somebody has the generated name: another one may be free.
                Some(Outcome::Rejected(Rejection::AlreadyExists { .. })) if generates_name(write) => {}
                Some(outcome) => {
                    let reply = self.reply(outcome, key, true)?;
                    return Ok(Attempt::done(Answer { reply, warnings }));
                }
                None => return Err(Error::Unknown { retryable: write.is_repeatable() }),
            }
        }
        Err(Error::Unsettled)
    }

    /// A refusal that follows from the registry, once it is sure that nobody else leads: a leader that was deposed while it
    /// slept would refuse what others have allowed since.
    async fn refuse(&self, refusal: Refusal) -> Result<Attempt, Error> {
        if refusal.follows_from_state() && self.0.raft.confirm_leadership().await.is_err() {
            return Ok(Attempt::NoLeader);
        }
        Err(refusal.into())
    }

    /// What admission looks at. A dry run has no apply that would look again: it waits for a confirmed state.
    async fn view_for(&self, write: &Write) -> Result<View, Error> {
        if write.is_dry_run() {
            return self.0.raft.linearizable().await.map_err(|_| Error::NoLeader);
        }
        Ok(self.0.raft.view())
    }

    fn stamp(&self, attempt: usize) -> Stamp<'_> {
        let attempt = u32::try_from(attempt).unwrap_or(u32::MAX);
        let Shared { vault, policies, .. } = &*self.0;
        Stamp { uid: &Uid::random, now_ms: self.0.clock.unix_millis(), attempt, vault, policies }
    }

    /// Has the operations ordered and applied, or only looked at.
    async fn decide(
        &self,
        view: &View,
        write: &Write,
        operations: Vec<Operation>,
    ) -> Result<Vec<Outcome>, ProposeError> {
        if !write.is_dry_run() {
            failpoints::reach("write.proposing");
            let outcomes = self.0.raft.propose(operations).await;
            failpoints::reach("write.proposed");
            return outcomes;
        }
        let term = self.0.raft.leadership().borrow().term;
        let command = Command { format: COMMAND_FORMAT, proposed_at_ms: self.0.clock.unix_millis(), operations };
        Ok(preview(view, term, &command))
    }

    /// One page. Objects that changed under it are taken as gone or left for the next call.
    async fn delete_collection(
        &self,
        identity: &Identity,
        request: &DeleteCollectionRequest,
    ) -> Result<Attempt, Error> {
        let write = Write::DeleteCollection(request.clone());
        let view = self.view_for(&write).await?;
        let Collection { operations, mut more } = match admission::collect(&view, identity, request, self.stamp(0)) {
            Ok(collection) => collection,
            Err(refusal) => return self.refuse(refusal).await,
        };
        let (keys, operations): (Vec<_>, Vec<_>) = operations.into_iter().unzip();
        if operations.is_empty() {
            let revision = view.revision().0;
            return Ok(Attempt::done(Reply::Collected(DeleteCollectionResponse { items: Vec::new(), more, revision })));
        }
        let outcomes = match self.decide(&view, &write, operations).await {
            Ok(outcomes) => outcomes,
            Err(ProposeError::NotLeader { .. }) => return Ok(Attempt::NoLeader),
            Err(error) => return Err(Error::from_propose(error, &write)),
        };
        let (mut items, mut last) = (Vec::with_capacity(keys.len()), view.revision());
        for (key, outcome) in keys.into_iter().zip(outcomes) {
            match outcome {
                Outcome::Deleted { record, revision, gone } => {
                    last = last.max(revision);
                    items.push(CollectedObject { key: Some(key.to_proto()), uid: record.uid().to_string(), gone });
                }
                Outcome::Rejected(Rejection::NotFound | Rejection::UidMismatch { .. }) => {}
                Outcome::Readmit => more = true,
                other => return self.reply(other, Some(key), true).map(Attempt::done),
            }
        }
        Ok(Attempt::done(Reply::Collected(DeleteCollectionResponse { items, more, revision: last.0 })))
    }
}

impl Writes {
    /// The answer to an outcome; with the object in it only if `show`.
    fn reply(&self, outcome: Outcome, key: Option<Key>, show: bool) -> Result<Reply, Error> {
        match outcome {
            Outcome::Written { record, revision } => Ok(Reply::written(&record, revision, show)),
            Outcome::Deleted { record, revision, gone } => Ok(Reply::deleted(&record, revision, gone, show)),
            Outcome::Txn { succeeded, revision, results } => Reply::txn(&self.0.vault, succeeded, revision, results),
            Outcome::Readmit => Err(Error::Unsettled),
            Outcome::Rejected(rejection) => Err(Error::Rejected { key, rejection: Box::new(rejection) }),
        }
    }
}

fn generates_name(write: &Write) -> bool {
    let Write::Create(request) = write else { return false };
    let metadata = request.object.as_ref().and_then(boss_proto::v1::Object::metadata);
    metadata.is_some_and(|metadata| metadata.name.is_empty() && !metadata.generate_name.is_empty())
}
