//! A log that forgets everything with the process: the twin of the real one for tests that need no disk.

use std::{
    fmt::Debug,
    io,
    ops::RangeBounds,
    sync::{Arc, Mutex, MutexGuard, PoisonError},
};

use openraft::{
    OptionalSend, RaftLogReader,
    storage::{IOFlushed, LogState, RaftLogStorage},
};
use tokio::sync::watch;

use super::{
    READ_BYTES_MAX,
    index::{Found, Index},
    openraft_storage::limits,
};
use crate::types::{Entry, LogId, TypeConfig, Vote};

/// See the file's head. Clones share it.
#[derive(Clone)]
pub struct MemoryLog {
    index: Arc<Mutex<Index>>,
    durable: watch::Sender<Option<LogId>>,
}

impl Default for MemoryLog {
    fn default() -> Self {
        Self { index: Arc::new(Mutex::new(Index::new(usize::MAX))), durable: watch::Sender::new(None) }
    }
}

impl MemoryLog {
    /// The last entry: everything counts as durable at once.
    #[must_use]
    pub fn durable(&self) -> watch::Receiver<Option<LogId>> {
        self.durable.subscribe()
    }

    fn index(&self) -> MutexGuard<'_, Index> {
        self.index.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn read(&self, start: u64, end: u64, bytes_max: usize) -> Vec<Entry> {
        let found = self.index().read(start, end, bytes_max);
        let entries = found.into_iter().filter_map(|item| match item {
            Found::Cached(entry) => Some(entry),
            Found::OnDisk(..) => None,
        });
        entries.collect()
    }

    fn publish(&self) {
        let last = self.index().last();
        self.durable.send_replace(last);
    }
}

impl RaftLogReader<TypeConfig> for MemoryLog {
    async fn try_get_log_entries<RB: RangeBounds<u64> + Clone + Debug + OptionalSend>(
        &mut self,
        range: RB,
    ) -> Result<Vec<Entry>, io::Error> {
        let (start, end) = limits(&range);
        Ok(self.read(start, end, usize::MAX))
    }

    async fn limited_get_log_entries(&mut self, start: u64, end: u64) -> Result<Vec<Entry>, io::Error> {
        Ok(self.read(start, end, READ_BYTES_MAX))
    }

    async fn read_vote(&mut self) -> Result<Option<Vote>, io::Error> {
        Ok(self.index().vote)
    }
}

impl RaftLogStorage<TypeConfig> for MemoryLog {
    type LogReader = Self;

    async fn get_log_state(&mut self) -> Result<LogState<TypeConfig>, io::Error> {
        let index = self.index();
        Ok(LogState { last_purged_log_id: index.purged(), last_log_id: index.last() })
    }

    async fn get_log_reader(&mut self) -> Self {
        self.clone()
    }

    async fn save_vote(&mut self, vote: &Vote) -> Result<(), io::Error> {
        self.index().vote = Some(*vote);
        Ok(())
    }

    async fn save_committed(&mut self, committed: Option<LogId>) -> Result<(), io::Error> {
        self.index().committed = committed;
        Ok(())
    }

    async fn read_committed(&mut self) -> Result<Option<LogId>, io::Error> {
        Ok(self.index().committed)
    }

    async fn append<I>(&mut self, entries: I, callback: IOFlushed<TypeConfig>) -> Result<(), io::Error>
    where
        I: IntoIterator<Item = Entry> + OptionalSend,
        I::IntoIter: OptionalSend,
    {
        for entry in entries {
            self.index().append(entry).map_err(io::Error::other)?;
        }
        self.publish();
        callback.io_completed(Ok(()));
        Ok(())
    }

    async fn truncate_after(&mut self, last_log_id: Option<LogId>) -> Result<(), io::Error> {
        self.index().truncate_after(last_log_id);
        self.publish();
        Ok(())
    }

    async fn purge(&mut self, log_id: LogId) -> Result<(), io::Error> {
        self.index().purge(log_id);
        self.publish();
        Ok(())
    }
}
