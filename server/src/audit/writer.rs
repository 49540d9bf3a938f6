//! The one thread that writes the files: takes what waits, makes lines of it, and has them on the disk together.

use std::{
    io,
    sync::{Arc, atomic::Ordering},
    time::Duration,
};

use boss_base::{clock::Clock, journal::Journal};
use boss_proto::kind::Kind;
use boss_raft::state::Position;
use tokio::sync::{mpsc, watch};
use tokio_util::sync::CancellationToken;

use super::{
    Settings, State, WhenFull,
    record::{self, Item},
};
use crate::metric_definitions as metric;

/// Items written together.
const BATCH_MAX: usize = 4_096;
/// What comes within it shares one fsync. Nobody waits for it, and the log's own syncs share the disk with it: writes
/// that a crash takes from these files come again from the log, refusals of its last moment do not.
const LINGER: Duration = Duration::from_millis(200);
/// Between two attempts to write what could not be written.
const RETRY: Duration = Duration::from_secs(1);
/// Without work the writer looks so often whether the server stops.
const IDLE: Duration = Duration::from_millis(100);

pub(super) struct Writer {
    journal: Journal,
    items: mpsc::Receiver<Item>,
    state: Arc<State>,
    clock: Arc<dyn Clock>,
    when_full: WhenFull,
    redact: Vec<Kind>,
    at: Position,
    /// Of those that were dropped, how many a line tells of.
    told_dropped: u64,
}

impl Writer {
    /// Opens the files; with the place of the last entry in them.
    pub(super) fn open(
        settings: Settings,
        items: mpsc::Receiver<Item>,
        state: Arc<State>,
        clock: Arc<dyn Clock>,
    ) -> io::Result<(Self, Position)> {
        let Settings { directory, bounds, when_full, redact, .. } = settings;
        let journal = Journal::open(&directory, &format!("{:016x}", clock.random_u64()), bounds)?;
        let at = journal.last_lines(1)?.last().and_then(|line| place_of(line)).unwrap_or_default();
        state.set_head(journal.chain(), journal.head());
        Ok((Self { journal, items, state, clock, when_full, redact, at, told_dropped: 0 }, at))
    }

    /// Writes until the server stops and nothing waits any more.
    pub(super) async fn run(mut self, exported: watch::Sender<Position>, token: CancellationToken) {
        loop {
            let batch = self.next(&token).await;
            if batch.is_empty() {
                self.pass_given_up(&exported);
                if token.is_cancelled() || self.items.is_closed() {
                    return;
                }
                continue;
            }
            let lines = self.lines(batch);
            self.write(&lines, &token).await;
            exported.send_if_modified(|known| {
                let moved = self.at > *known;
                *known = (*known).max(self.at);
                moved
            });
        }
    }

    async fn next(&mut self, token: &CancellationToken) -> Vec<Item> {
        let items = &mut self.items;
        let mut batch = Vec::new();
        if tokio::time::timeout(IDLE, items.recv_many(&mut batch, BATCH_MAX)).await.is_ok_and(|count| count > 0) {
            tokio::select! {
                () = tokio::time::sleep(LINGER) => {}
                () = token.cancelled() => {}
            }
        }
        while batch.len() < BATCH_MAX
            && let Ok(item) = items.try_recv()
        {
            batch.push(item);
        }
        batch
    }

    fn lines(&mut self, batch: Vec<Item>) -> Vec<String> {
        let mut lines = Vec::with_capacity(batch.len() + 1);
        let dropped = self.state.dropped.load(Ordering::Relaxed);
        if dropped > self.told_dropped {
            lines.push(record::write_dropped(self.at, dropped - self.told_dropped, self.clock.unix_millis()));
            self.told_dropped = dropped;
        }
        for item in batch {
            match item {
                Item::Call(call) => lines.push(call.write(self.at)),
                // Applied again after a restart: it is in the files.
                Item::Entry(entry) if entry.at <= self.at => {}
                Item::Entry(entry) => {
                    self.at = entry.at;
                    entry.write(&self.redact, &mut lines);
                }
                Item::Gap(to) if to <= self.at => {}
                Item::Gap(to) => {
                    lines.push(record::write_gap(self.at, to, self.clock.unix_millis()));
                    self.at = to;
                }
            }
        }
        lines
    }

    /// Until it has worked, or the lines are given up.
    async fn write(&mut self, lines: &[String], token: &CancellationToken) {
        loop {
            let Err(error) = self.journal.append(lines.iter().map(String::as_str)) else {
                if self.state.failing.load(Ordering::Relaxed) {
                    tracing::info!("the audit can be written again");
                    self.state.set_problem(String::new());
                    metrics::gauge!(metric::AUDIT_FAILING).set(0.0);
                }
                metrics::counter!(metric::AUDIT_RECORDS).increment(lines.len() as u64);
                return self.state.set_head(self.journal.chain(), self.journal.head());
            };
            if !self.state.failing.load(Ordering::Relaxed) {
                tracing::error!(%error, "the audit cannot be written");
            }
            self.state.set_problem(error.to_string());
            metrics::gauge!(metric::AUDIT_FAILING).set(1.0);
            if self.when_full == WhenFull::Drop || token.is_cancelled() {
                return self.state.drop_records(lines.len() as u64);
            }
            tokio::select! {
                () = tokio::time::sleep(RETRY) => {}
                () = token.cancelled() => {}
            }
        }
    }

    /// Entries that found no place in the queue are waited for by nobody once it is empty.
    fn pass_given_up(&mut self, exported: &watch::Sender<Position>) {
        let given_up = self.state.given_up();
        if given_up > self.at {
            self.at = given_up;
            exported.send_replace(self.at);
        }
    }
}

/// The place in the log that a line carries.
fn place_of(line: &str) -> Option<Position> {
    let value: serde_json::Value = serde_json::from_str(line).ok()?;
    Some(Position { term: value.get("term")?.as_u64()?, index: value.get("index")?.as_u64()? })
}
