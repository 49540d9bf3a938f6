//! Keeping what is applied elsewhere, too: an audit, for example. Nothing that was not exported may be forgotten, so the
//! store behind and the snapshots wait for it. Knows no file and no format.

use std::{fmt, sync::Arc};

use boss_base::tasks::{OnExit, Tasks};
use boss_proto::raft::v1::Command;
use futures_util::future::BoxFuture;
use tokio::sync::watch;

use crate::{
    state::{Outcome, Position},
    types::LogId,
};

/// Takes what is applied, in the order of the log. After a restart entries may come again.
pub trait Exporter: fmt::Debug + Send + Sync {
    /// What comes next lies behind this entry. What is before it and never came, a snapshot brought.
    fn begins_after(&self, at: Position);

    /// An entry was applied. Must not wait.
    fn applied(&self, at: Position, command: Option<&Arc<Command>>, outcomes: &[Outcome]);

    /// Up to here everything is kept, or given up on purpose.
    fn exported(&self) -> watch::Receiver<Position>;

    /// Resolves when there is room for the next entries.
    fn room(&self) -> BoxFuture<'_, ()>;
}

/// The place of an entry, without consensus' own types.
pub(crate) fn position(log_id: Option<LogId>) -> Position {
    log_id.map_or_else(Position::default, |id| Position { term: id.leader_id.term, index: id.index })
}

/// The last entry that is both durable in the log and exported.
pub(crate) fn durable_and_exported(
    log: watch::Receiver<Option<LogId>>,
    exporter: Option<&Arc<dyn Exporter>>,
    tasks: &Tasks,
) -> watch::Receiver<Option<LogId>> {
    let Some(exporter) = exporter else { return log };
    let (mut log, mut exported) = (log, exporter.exported());
    let both = watch::Sender::new(None);
    let (reader, token) = (both.subscribe(), tasks.token());
    tasks.spawn("export-gate", OnExit::StopProcess, async move {
        let follow = async {
            loop {
                let (durable, at) = (*log.borrow_and_update(), *exported.borrow_and_update());
                let kept = (at.index > 0).then(|| LogId::new_term_index(at.term, at.index));
                both.send_if_modified(|known| {
                    let now = durable.min(kept);
                    let moved = now > *known;
                    *known = now.max(*known);
                    moved
                });
                let changed = tokio::select! {
                    changed = log.changed() => changed,
                    changed = exported.changed() => changed,
                };
                if changed.is_err() {
                    return;
                }
            }
        };
        token.run_until_cancelled(follow).await;
    });
    reader
}

/// Waits until an entry is exported.
pub(crate) async fn wait_for(exporter: &Arc<dyn Exporter>, at: Position) {
    // Without an exporter's end there is nothing left to wait for.
    let _ = exporter.exported().wait_for(|exported| *exported >= at).await;
}
