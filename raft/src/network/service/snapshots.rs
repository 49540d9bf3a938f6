//! Snapshots that come in: from the start, or from where a transfer of the same file was cut off. Knows no consensus.

use boss_proto::{ids::ServerId, raft::v1};
use tonic::{Status, Streaming};

use super::{
    PeerService, bad_message,
    callers::{Refused, speaks_for_itself},
};
use crate::{
    codec::{BadMessage, log_id_from_proto, stored_membership_from_proto, vote_from_proto},
    disk::says_full,
    metric_definitions::SNAPSHOTS_RESUMED,
    storage::{Incoming, SnapshotFile, SnapshotReceiver, Transfer},
    types::{SnapshotMeta, Vote},
};

impl PeerService {
    pub(super) async fn receive(
        &self,
        mut parts: Streaming<v1::SnapshotPart>,
        from: ServerId,
    ) -> Result<(Vote, SnapshotMeta, SnapshotFile), Status> {
        use v1::snapshot_part::Part;
        let Some(Part::Header(header)) = next_part(&mut parts).await? else {
            return Err(Status::invalid_argument("a snapshot begins with its header"));
        };
        let (bytes, offset) = (header.bytes, header.offset);
        let (vote, meta) = snapshot_meta(header).map_err(bad_message)?;
        speaks_for_itself(&vote, from)?;
        let transfer = Transfer { from, last: meta.last_log_id, bytes };
        let receiver = self.begin_receiving(transfer, offset).await?;
        let mut incoming = Incoming::new(transfer, receiver, self.published.cut_off().clone());
        loop {
            match next_part(&mut parts).await? {
                Some(Part::Chunk(_)) if self.room.is_full() => {
                    incoming.discard();
                    return Err(Refused::DiskFull.into());
                }
                Some(Part::Chunk(chunk)) => incoming.write_chunk(&chunk).await.map_err(disk)?,
                Some(Part::Trailer(trailer)) => {
                    let file = incoming.finish(trailer.bytes, trailer.crc32).await.map_err(disk)?;
                    return Ok((vote, meta, file));
                }
                Some(Part::Header(_)) => return Err(Status::invalid_argument("a second header")),
                None => return Err(Status::invalid_argument("the snapshot ends before its trailer")),
            }
        }
    }

    /// From the start, or from where a transfer of the same file was cut off.
    async fn begin_receiving(&self, transfer: Transfer, offset: u64) -> Result<SnapshotReceiver, Status> {
        if offset > 0 {
            let mut kept = self.published.cut_off().take(transfer, offset).ok_or(Refused::NothingHeld { offset })?;
            kept.go_on().await.map_err(disk)?;
            metrics::counter!(SNAPSHOTS_RESUMED).increment(1);
            return Ok(kept);
        }
        if transfer.bytes > self.room.free_bytes() {
            return Err(Refused::DiskFull.into());
        }
        self.published.receive_snapshot().await.map_err(disk)
    }
}

async fn next_part(parts: &mut Streaming<v1::SnapshotPart>) -> Result<Option<v1::snapshot_part::Part>, Status> {
    Ok(parts.message().await?.and_then(|part| part.part))
}

fn snapshot_meta(header: v1::SnapshotHeader) -> Result<(Vote, SnapshotMeta), BadMessage> {
    let vote = vote_from_proto(header.vote.ok_or(BadMessage::Missing("vote"))?);
    let meta = SnapshotMeta {
        last_log_id: header.last_log_id.map(log_id_from_proto),
        last_membership: stored_membership_from_proto(header.membership.unwrap_or_default())?,
    };
    Ok((vote, meta))
}

fn disk(error: std::io::Error) -> Status {
    if says_full(&error) {
        return Refused::DiskFull.into();
    }
    Status::internal(format!("the snapshot cannot be stored: {error}"))
}
