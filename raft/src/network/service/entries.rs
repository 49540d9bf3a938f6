//! The entries of a leader's stream, before consensus sees them: what cannot be read, is of somebody else, has no room
//! on this disk or shows that this server has lost its log goes no further. Knows no caller's rights.

use std::sync::atomic::{AtomicBool, Ordering};

use boss_proto::{ids::ServerId, raft::v1};
use openraft::{
    EntryPayload,
    errors::Fatal,
    raft::{AppendEntriesRequest, StreamAppendResult},
};
use tonic::Status;

use super::{PeerService, callers::speaks_for_itself, stopped};
use crate::{
    metric_definitions::APPENDS_REFUSED,
    network::convert::{append_from_proto, append_result_to_proto},
    types::{Entry, TypeConfig},
};

impl PeerService {
    /// The request, or `None` with a line in the log that says why it is not taken.
    pub(super) fn take(
        &self,
        message: Result<v1::AppendRequest, Status>,
        from: ServerId,
        refused: &AtomicBool,
    ) -> Option<AppendEntriesRequest<TypeConfig>> {
        let message = message.inspect_err(|status| tracing::debug!(%from, %status, "a peer's stream of entries ended"));
        let message = message.ok()?;
        let heartbeat = message.heartbeat;
        let request = append_from_proto(message)
            .inspect_err(|error| tracing::warn!(%from, %error, "a peer sent entries that cannot be read"))
            .ok()?;
        let honest = speaks_for_itself(&request.vote, from);
        honest.inspect_err(|error| tracing::warn!(%from, %error, "a peer sent entries of another leader")).ok()?;
        if heartbeat && let Some(lost) = self.lost_entries(&request) {
            self.failure.send_replace(Some(lost));
            return None;
        }
        if self.room.is_full() && request.entries.iter().any(|entry| self.needs_room(entry)) {
            metrics::counter!(APPENDS_REFUSED).increment(1);
            refused.store(true, Ordering::Relaxed);
            return None;
        }
        self.contact.note(from);
        Some(request)
    }

    /// Entries of consensus itself are few and find their place in what is left. A new leader begins by sending what
    /// this server has long had: refused, it could never commit the entry of its own term behind it.
    fn needs_room(&self, entry: &Entry) -> bool {
        matches!(entry.payload, EntryPayload::Normal(_)) && !self.log.holds(entry.log_id)
    }

    /// A leader that this server does not know to be deposed names an entry that this server once acknowledged and
    /// has no more: its disk lied or was replaced. It must not vote on what it has forgotten.
    fn lost_entries(&self, heartbeat: &AppendEntriesRequest<TypeConfig>) -> Option<String> {
        let acknowledged = heartbeat.prev_log_id?;
        let held = self.log.last().max(self.published.applied().borrow().log_id);
        let deposed = self.log.vote().is_some_and(|vote| vote > heartbeat.vote);
        if deposed || held.is_some_and(|held| held.index >= acknowledged.index) {
            return None;
        }
        Some(format!(
            "server {} has lost its log: it acknowledged entries up to {}, its log ends at {}. It must not vote any \
             more: remove it from the cluster and add it under a fresh id with an empty data folder",
            self.server_id,
            acknowledged.index,
            held.map_or(0, |held| held.index),
        ))
    }
}

/// Blank entries and memberships are as small as votes, and without them no leader could serve reads.
pub(super) fn answer(
    result: Result<StreamAppendResult<TypeConfig>, Fatal<TypeConfig>>,
    disk_full: bool,
) -> Result<v1::AppendResponse, Status> {
    let answer = result.map(|result| append_result_to_proto(&result)).map_err(stopped)?;
    Ok(v1::AppendResponse { disk_full, ..answer })
}

/// Refuses entries.
pub(super) fn disk_full() -> v1::AppendResponse {
    v1::AppendResponse { result: None, disk_full: true }
}
