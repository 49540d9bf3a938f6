//! The logs that are compared, behind what openraft's core does with one: append in order, hear when it is durable.

use std::{io, path::Path, sync::Arc, time::Duration};

use boss_base::{clock::SystemClock, tasks::Tasks};
use boss_proto::{
    ids::ServerId,
    raft::v1::{Caller, Command, Operation},
};
use boss_raft::{
    disk::Room,
    log::{Log, Options, Owner},
    types::{LogId, Proposal, TypeConfig},
};
use openraft::{
    EntryPayload,
    storage::{IOFlushed, RaftLogStorage},
    type_config::TypeConfigExt,
};
use raft_log::{RaftLog, api::raft_log_writer::RaftLogWriter};
use tokio::sync::oneshot;

const RECORD_BYTES: usize = 256;

pub(crate) trait Candidate {
    /// Takes the record and returns; `done` hears when it is durable.
    async fn append(&mut self, index: u64, done: oneshot::Sender<()>);
    async fn close(self);
}

pub(crate) struct Ours {
    log: Log,
    tasks: Tasks,
    proposal: Proposal,
}

impl Ours {
    pub(crate) fn open(dir: &Path) -> Self {
        let options = Options {
            dir: dir.to_owned(),
            owner: Owner { cluster_id: "bench".into(), server_id: ServerId(1) },
            segment_bytes: 16 << 20,
            cache_bytes: 64 << 20,
            room: Room::unlimited(),
        };
        let tasks = Tasks::new();
        let log = Log::open(options, Arc::new(SystemClock), tasks.clone()).unwrap();
        Self { log, tasks, proposal: proposal() }
    }
}

/// A command of the right size.
fn proposal() -> Proposal {
    let caller = Caller { uid: "x".repeat(RECORD_BYTES - 20), ..Caller::default() };
    let operation = Operation { caller: Some(caller), ..Operation::default() };
    let command = Command { format: 1, proposed_at_ms: 1, operations: vec![operation] };
    let proposal = Proposal::new(&command).unwrap();
    assert!(proposal.encoded().len().abs_diff(RECORD_BYTES) < 16, "{}", proposal.encoded().len());
    proposal
}

impl Candidate for Ours {
    async fn append(&mut self, index: u64, done: oneshot::Sender<()>) {
        let entry = boss_raft::types::Entry {
            log_id: LogId::new_term_index(1, index),
            payload: EntryPayload::Normal(self.proposal.clone()),
        };
        let (flushed, answer) = TypeConfig::oneshot();
        self.log.append([entry], IOFlushed::signal(flushed)).await.unwrap();
        self.tasks.spawn("answer", boss_base::tasks::OnExit::Log, async move {
            answer.await.unwrap().unwrap();
            let _ = done.send(());
        });
    }

    async fn close(self) {
        self.log.close().await.unwrap();
    }
}

#[derive(Debug, Clone, PartialEq, Eq, Default)]
struct Types;

/// Answers through a task of its own, as ours does, so that both pay for the same wake-ups.
pub(crate) struct Answer(oneshot::Sender<()>);

impl raft_log::Callback for Answer {
    fn send(self, result: Result<(), io::Error>) {
        result.unwrap();
        let _ = self.0.send(());
    }
}

impl raft_log::Types for Types {
    type LogId = (u64, u64);
    type LogPayload = String;
    type Vote = (u64, u64);
    type UserData = String;
    type Callback = Answer;

    fn log_index(log_id: &Self::LogId) -> u64 {
        log_id.1
    }

    fn payload_size(payload: &Self::LogPayload) -> u64 {
        payload.len() as u64
    }
}

pub(crate) struct RaftLogStore {
    log: RaftLog<Types>,
    tasks: Tasks,
    payload: String,
}

impl RaftLogStore {
    /// `batch_wait` as its option of that name; its default without one.
    pub(crate) fn open(dir: &Path, batch_wait: Option<Duration>) -> Self {
        let mut config = raft_log::Config::new(dir.to_str().unwrap());
        config.wal.flush_batch_wait = batch_wait;
        let log = RaftLog::open(Arc::new(config)).unwrap();
        Self { log, tasks: Tasks::new(), payload: "x".repeat(RECORD_BYTES) }
    }
}

impl Candidate for RaftLogStore {
    async fn append(&mut self, index: u64, done: oneshot::Sender<()>) {
        self.log.append([((1, index), self.payload.clone())]).unwrap();
        let (flushed, answer) = oneshot::channel();
        self.log.flush(true, Some(Answer(flushed))).unwrap();
        self.tasks.spawn("answer", boss_base::tasks::OnExit::Log, async move {
            answer.await.unwrap();
            let _ = done.send(());
        });
    }

    async fn close(self) {}
}
