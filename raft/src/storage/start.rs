//! Brings the state up beside its log: a state that was fetched takes the place of the old one, the rest is restored, and
//! a log that begins behind what could be restored is refused. Knows no consensus.

use std::{io, path::Path};

use openraft::storage::RaftLogStorage;

use super::{
    published::Published,
    replacement::{self, Ordered},
    restore::{OpenError, OpenOptions},
    state_machine::StateMachine,
};
use crate::{log::Log, metric_definitions::STATE_REPLACED, types::LogId};

/// A state that openraft can go on from.
pub(crate) struct Started {
    pub(crate) machine: StateMachine,
    pub(crate) published: Published,
    /// Why the state was replaced, if it was.
    pub(crate) notice: Option<String>,
}

/// Restores the state of a log that is open. Can be tried again when it failed.
pub(crate) async fn start(options: OpenOptions, log: &mut Log) -> Result<Started, OpenError> {
    let dir = options.dir.clone();
    let io = |source| OpenError::Io { path: dir.clone(), source };
    let replaced = replacement::prepare(&dir, &options.cluster_id, log).await.map_err(io)?;
    let (machine, published) = StateMachine::open(options).await?;
    let applied = published.applied().borrow().log_id;
    let purged = log.get_log_state().await.map_err(io)?.last_purged_log_id;
    refuse_gap(applied, purged, &dir)?;
    if let Some(ordered) = &replaced {
        finish_replacement(ordered, applied, &dir)?;
    }
    Ok(Started { machine, published, notice: replaced.map(|ordered| ordered.reason) })
}

/// What was purged is in a snapshot; if that one is damaged, nothing leads from the state to the log.
fn refuse_gap(applied: Option<LogId>, purged: Option<LogId>, dir: &Path) -> Result<(), OpenError> {
    let index = |id: Option<LogId>| id.map(|id| id.index);
    if index(purged) <= index(applied) {
        return Ok(());
    }
    let (state, log) = (index(applied).unwrap_or_default(), index(purged).unwrap_or_default());
    Err(OpenError::SnapshotLost { path: dir.join("snapshots"), state, log })
}

fn finish_replacement(ordered: &Ordered, applied: Option<LogId>, dir: &Path) -> Result<(), OpenError> {
    let io = |source| OpenError::Io { path: dir.join("snapshots"), source };
    if applied != Some(ordered.log_id) {
        let problem = "the snapshot that was to replace the state is damaged";
        return Err(io(io::Error::new(io::ErrorKind::InvalidData, problem)));
    }
    replacement::done(dir).map_err(io)?;
    metrics::gauge!(STATE_REPLACED).set(1.0);
    tracing::warn!(index = ordered.log_id.index, reason = ordered.reason, "the state was replaced");
    Ok(())
}
