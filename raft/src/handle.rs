//! The one door to the replicated registry: propose, read, watch, lead, stop. Knows no user-facing API.

mod aside;
mod disk;
mod errors;
mod folder;
mod handover;
mod hashes;
mod leadership;
mod membership;
mod proposals;
mod snapshots;
mod start;
mod status;
mod ticking;

use std::{collections::BTreeMap, path::PathBuf, sync::Arc, time::Duration};

use boss_base::{cached, clock::Clock, tasks::Tasks};
use boss_proto::{
    ids::{ClusterId, Incarnation, Revision, ServerId},
    raft::v1::Operation,
};
use openraft::{
    Raft, RaftMetrics,
    async_runtime::watch::WatchReceiver,
    errors::{InitializeError as CoreInitializeError, RaftError},
};
use tokio::sync::watch;
use tokio_util::sync::CancellationToken;

pub use errors::{InitializeError, ProposeError, StartError};
pub use hashes::{HashAnswer, HashCheck, Verdict};
pub use membership::{ChangeError, Health, TransferError};
pub use snapshots::{OpenSnapshot, SnapshotError};
pub use start::start;
pub use status::{DiskStatus, Leadership, Role, Status};

use crate::{
    disk::Room,
    log::Log,
    metric_definitions as metric,
    network::{Contact, PeerIdentity, PeerService, Peers, roster::Roster},
    reads::{Promise, ReadError, Reads},
    state::{Interest, Outcome, View},
    storage::{Published, StateMachine},
    types::{Address, Member, TypeConfig},
    watch::{Fanout, Watcher},
};
use handover::{HandOver, Leader, successor};
use proposals::Proposals;

/// A read that no leader confirms within it fails: several elections fit into it.
const READ_TIMEOUT: Duration = Duration::from_secs(5);
/// Between two attempts at a read while nothing is known to have changed.
const READ_RETRY_INTERVAL: Duration = Duration::from_millis(50);
/// How long another member may take to say whether it belongs to a formed cluster.
const DESCRIBE_TIMEOUT: Duration = Duration::from_secs(2);
/// How long the tasks around the core may take to end.
const STOP_TIMEOUT: Duration = Duration::from_secs(5);

/// Cheap to clone; every clone speaks to the same server.
#[derive(Clone)]
pub struct Handle(Arc<Inner>);

struct Inner {
    server_id: ServerId,
    cluster_id: ClusterId,
    /// How long a successor may take to begin its term.
    handover_timeout: Duration,
    raft: Raft<TypeConfig, StateMachine>,
    log: Log,
    room: Room,
    published: Published,
    peers: Peers,
    roster: Roster,
    contact: Contact,
    reads: Reads,
    promise: Promise,
    fanout: Fanout,
    proposals: Proposals,
    leadership: watch::Sender<Leadership>,
    applied: watch::Sender<Revision>,
    failure: watch::Sender<Option<String>>,
    /// Why the members' states differ, on the leader.
    alarm: watch::Sender<Option<String>>,
    /// Why this server serves nobody: its state is not the cluster's.
    aside: watch::Sender<Option<String>>,
    /// Why this server wants to be started anew.
    restart: watch::Sender<Option<String>>,
    /// Why its state was replaced when it started.
    notice: Option<String>,
    data_dir: PathBuf,
    /// Cancelled when this server stops in good order.
    stopping: CancellationToken,
    tasks: Tasks,
    clock: Arc<dyn Clock>,
}

impl Handle {
    /// This server.
    #[must_use]
    pub fn server_id(&self) -> ServerId {
        self.0.server_id
    }

    /// The state as last applied here; may lag behind the leader.
    #[must_use]
    pub fn view(&self) -> View {
        self.0.published.view()
    }

    /// A state that contains every write acknowledged before this call, on any server.
    pub async fn linearizable(&self) -> Result<View, ReadError> {
        let mut confirmed = false;
        self.refuse_aside()?;
        let read = async {
            let index = self.read_index().await?;
            confirmed = true;
            let mut applied = self.0.published.applied();
            let reached = applied.wait_for(|applied| applied.log_id.is_some_and(|id| id.index >= index)).await;
            reached.map_err(|_| ReadError::ShuttingDown)?;
            self.refuse_aside()?;
            cached!(counter metric::READS).increment(1);
            Ok(self.view())
        };
        match tokio::time::timeout(READ_TIMEOUT, read).await {
            Ok(result) => result,
            Err(_) if confirmed => Err(ReadError::Behind { applied: self.view().revision() }),
            Err(_) => Err(ReadError::NoLeader),
        }
    }

    fn refuse_aside(&self) -> Result<(), ReadError> {
        if self.0.aside.borrow().is_some() { Err(ReadError::Aside) } else { Ok(()) }
    }

    /// Tries until a leader confirms; each attempt is a round of its own.
    async fn read_index(&self) -> Result<u64, ReadError> {
        let mut leadership = self.leadership();
        loop {
            leadership.mark_unchanged();
            match self.0.reads.confirm().await {
                Err(ReadError::NoLeader) if self.0.stopping.is_cancelled() => return Err(ReadError::ShuttingDown),
                // A new leader is worth an attempt at once; without news one asks again a little later.
                Err(ReadError::NoLeader) => {
                    drop(tokio::time::timeout(READ_RETRY_INTERVAL, leadership.changed()).await);
                }
                result => return result,
            }
        }
    }

    /// Proves that this server leads: a majority confirmed it in a round that began after this call. Never asks the
    /// successor, as a read does.
    pub async fn confirm_leadership(&self) -> Result<(), ReadError> {
        self.0.reads.confirm_as_leader().await.map(drop)
    }

    /// A state of at least `revision`, once this server has applied it.
    pub async fn at_least(&self, revision: Revision) -> Result<View, ReadError> {
        self.refuse_aside()?;
        let mut applied = self.0.published.applied();
        match tokio::time::timeout(READ_TIMEOUT, applied.wait_for(|applied| applied.revision >= revision)).await {
            Ok(Ok(_)) => Ok(self.view()),
            Ok(Err(_)) => Err(ReadError::ShuttingDown),
            Err(_) => Err(ReadError::Behind { applied: self.view().revision() }),
        }
    }

    /// Orders the operations as one entry and waits until it is applied here. Leader only; stamps the time.
    pub async fn propose(&self, operations: Vec<Operation>) -> Result<Vec<Outcome>, ProposeError> {
        if self.0.aside.borrow().is_some() {
            // What it admits by its own state may be wrong; it hands over in a moment.
            return Err(ProposeError::NotLeader { leader: None });
        }
        self.0.proposals.propose(operations).await
    }

    /// Who leads, and every change of it.
    #[must_use]
    pub fn leadership(&self) -> watch::Receiver<Leadership> {
        self.0.leadership.subscribe()
    }

    /// The revision that this server has applied, and every change of it.
    #[must_use]
    pub fn applied(&self) -> watch::Receiver<Revision> {
        self.0.applied.subscribe()
    }

    /// Every event after `from` that concerns `interest`, in order, once.
    #[must_use]
    pub fn watch(&self, interest: Interest, from: Revision) -> Watcher {
        Watcher::new(self.0.published.clone(), &self.0.fanout, interest, from)
    }

    /// Has every watcher look around, whatever it waits for.
    pub fn wake_watchers(&self) {
        self.0.fanout.wake_all();
    }

    /// This server's own figures.
    #[must_use]
    pub fn status(&self) -> Status {
        let published = &self.0.published;
        let view = published.view();
        let registry = status::Registry {
            applied: published.applied().borrow().log_id,
            snapshot: *published.snapshot().borrow(),
            revision: view.revision(),
            objects: view.len() as u64,
            disk: DiskStatus { free_bytes: self.0.room.free_bytes(), full: self.0.room.is_full() },
            store_bytes: published.store_bytes() + self.0.log.store_bytes(),
            state_hash: published.state_hash(),
        };
        status::status(&self.metrics(), registry)
    }

    /// Sets the gauges of what only a look tells; call it before metrics are read.
    #[expect(clippy::cast_precision_loss, reason = "gauges are floats")]
    pub fn report_gauges(&self) {
        let published = &self.0.published;
        let view = published.view();
        metrics::gauge!(metric::LOG_BYTES).set(self.0.log.store_bytes() as f64);
        metrics::gauge!(metric::LOG_PURGED_INDEX).set(self.0.log.purged().map_or(0, |id| id.index) as f64);
        metrics::gauge!(metric::STORE_BYTES).set(published.store_bytes() as f64);
        metrics::gauge!(metric::STORE_LAG_BATCHES).set(published.store_lag_batches() as f64);
        metrics::gauge!(metric::OBJECTS).set(view.len() as f64);
        metrics::gauge!(metric::REVISION).set(view.revision().0 as f64);
    }

    /// The life of the cluster that this server belongs to; none before it has applied anything.
    #[must_use]
    pub fn incarnation(&self) -> Option<Incarnation> {
        self.0.published.incarnation()
    }

    /// The members, as last known here.
    #[must_use]
    pub fn members(&self) -> Vec<Member> {
        status::members(&self.metrics())
    }

    /// Whether this server belongs to a formed cluster: it has a vote, a log or a membership.
    #[must_use]
    pub fn is_formed(&self) -> bool {
        !self.0.log.is_pristine() || !self.members().is_empty()
    }

    /// Cloned at once: the core waits for whoever holds the original.
    fn metrics(&self) -> RaftMetrics<TypeConfig> {
        self.0.raft.metrics().borrow_watched().clone()
    }

    /// Forms the cluster. Exactly once, on exactly one server; the other members are asked first whether they
    /// belong to one already.
    pub async fn initialize(&self, members: Vec<Member>) -> Result<(), InitializeError> {
        if self.is_formed() {
            return Err(InitializeError::AlreadyFormed);
        }
        let mut by_id: BTreeMap<u64, Address> = members.iter().map(|member| (member.id.0, member.address())).collect();
        if by_id.len() != members.len() {
            return Err(InitializeError::Members("two members have the same id".to_owned()));
        }
        if !by_id.contains_key(&self.0.server_id.0) {
            let problem = format!("this server, {}, is not among the members", self.0.server_id);
            return Err(InitializeError::Members(problem));
        }
        let mut folders = self.refuse_second_cluster(&members).await?;
        folders.insert(self.0.server_id, self.0.roster.storage_id().to_owned());
        for (id, folder) in folders {
            by_id.entry(id.0).and_modify(|address| address.storage_id = folder);
        }
        match self.0.raft.initialize(by_id).await {
            Ok(()) => Ok(()),
            Err(RaftError::APIError(CoreInitializeError::NotAllowed(_))) => Err(InitializeError::AlreadyFormed),
            Err(RaftError::APIError(CoreInitializeError::NotInMembers(problem))) => {
                Err(InitializeError::Members(problem.to_string()))
            }
            Err(RaftError::Fatal(_)) => Err(InitializeError::ShuttingDown),
        }
    }

    /// A member that does not answer is taken for one that has not started yet. Those that do name their data folders.
    async fn refuse_second_cluster(&self, members: &[Member]) -> Result<BTreeMap<ServerId, String>, InitializeError> {
        let others = members.iter().filter(|member| member.id != self.0.server_id);
        let asked = others.map(async |member| {
            let answer = match self.0.peers.describe(member, DESCRIBE_TIMEOUT).await {
                // Perhaps only a connection that had broken: the next call makes a new one.
                Err(_) => self.0.peers.describe(member, DESCRIBE_TIMEOUT).await,
                answer => answer,
            };
            (member.id, answer)
        });
        let answers = futures_util::future::join_all(asked).await;
        // Who refuses this server because it belongs to no cluster of theirs any more has a cluster.
        let refused = answers.iter().find(|(_, answer)| answer.is_err() && self.0.roster.expelled().borrow().is_some());
        if let Some((server, _)) = refused {
            return Err(InitializeError::FormedElsewhere { server: *server });
        }
        let answered = answers.into_iter().filter_map(|(id, answer)| Some((id, answer.ok()?)));
        let answered: Vec<_> = answered.collect();
        match answered.iter().find(|(_, answer)| answer.formed) {
            Some((server, _)) => Err(InitializeError::FormedElsewhere { server: *server }),
            None => Ok(answered.into_iter().map(|(id, answer)| (id, answer.storage_id)).collect()),
        }
    }

    /// What the peer listener serves. `identity` reads from a request who the caller's certificate says it is.
    #[must_use]
    pub fn peer_service(&self, identity: PeerIdentity) -> PeerService {
        PeerService {
            cluster_id: self.0.cluster_id.clone(),
            server_id: self.0.server_id,
            identity,
            raft: self.0.raft.clone(),
            handle: self.clone(),
            published: self.0.published.clone(),
            reads: self.0.reads.clone(),
            promise: self.0.promise.clone(),
            log: self.0.log.clone(),
            roster: self.0.roster.clone(),
            room: self.0.room.clone(),
            failure: self.0.failure.clone(),
            contact: self.0.contact.clone(),
            stopping: self.0.stopping.clone(),
        }
    }

    /// Hands over leadership, answers who waits, stops the core and flushes. Safe to call twice.
    pub async fn shutdown(&self) {
        self.hand_over().await;
        // Before the core: its end would be taken for a failure, and watchers would wait for ever.
        self.0.stopping.cancel();
        if self.0.raft.shutdown().await.is_err() {
            tracing::warn!("the core of consensus ended with a panic");
        }
        self.0.published.flush().await;
        self.0.tasks.cancel();
        if let Err(error) = self.0.log.close().await {
            tracing::debug!(%error, "the log was closed already");
        }
        if let Err(running) = self.0.tasks.stop(STOP_TIMEOUT).await {
            tracing::warn!(?running, "some tasks of consensus did not end");
        }
    }

    async fn hand_over(&self) {
        let leader = Leader { raft: &self.0.raft, peers: &self.0.peers, timeout: self.0.handover_timeout };
        match leader.hand_over().await {
            HandOver::NothingToDo => {}
            HandOver::To(successor) => tracing::info!(%successor, "handed over leadership"),
            HandOver::NobodyThere => tracing::info!("no other server is there to take over leadership"),
            HandOver::TooLate => tracing::warn!("leadership was not taken over in time"),
        }
    }

    /// Resolves with the reason when the core has died; the process must end then.
    pub async fn failed(&self) -> String {
        let mut failure = self.0.failure.subscribe();
        match failure.wait_for(Option::is_some).await.map(|reason| reason.clone()) {
            Ok(Some(reason)) => reason,
            // The sender is in `self`, and the wait is for `Some`.
            Ok(None) | Err(_) => std::future::pending().await,
        }
    }
}
