//! A snapshot on its way out: a header, the file in chunks, a trailer with its checksum. Knows no entries.

use std::time::Duration;

use boss_proto::raft::v1;
use bytes::Bytes;
use openraft::{
    errors::{NetworkError, ReplicationClosed, StreamingError},
    raft::SnapshotResponse,
};
use tokio::sync::mpsc;
use tokio_stream::wrappers::ReceiverStream;

use super::{
    Peer,
    failure::{failed, nonsense, unreachable, within},
};
use crate::{
    codec::{BadMessage, log_id_to_proto, stored_membership_to_proto, vote_from_proto, vote_to_proto},
    network::SNAPSHOT_CHUNK_BYTES,
    storage::SnapshotFile,
    types::{SnapshotMeta, TypeConfig, Vote},
};

/// A whole snapshot must have been taken over by the peer within it.
const SNAPSHOT_TIMEOUT: Duration = Duration::from_secs(15 * 60);
/// Chunks that are read ahead of the connection.
pub(in crate::network) const SNAPSHOT_PARTS_AHEAD: usize = 4;

pub(super) type Snapshot = openraft::type_config::alias::SnapshotOf<TypeConfig, SnapshotFile>;

/// How long a peer may take to say how much it holds of a transfer that was cut off.
const PROGRESS_TIMEOUT: Duration = Duration::from_secs(5);

/// Sends it, or what the peer lacks of it, and waits until the peer has installed it, or until `cancel` says that nobody
/// needs that any more.
pub(super) async fn send(
    peer: &mut Peer,
    vote: Vote,
    snapshot: Snapshot,
    cancel: impl Future<Output = ReplicationClosed>,
) -> Result<SnapshotResponse<TypeConfig>, StreamingError<TypeConfig>> {
    let covered = snapshot.meta.last_log_id;
    let mut source = Source { vote, meta: snapshot.meta, file: snapshot.snapshot, offset: 0 };
    source.offset = held(peer, &source).await?;
    let (parts, receiver) = mpsc::channel(SNAPSHOT_PARTS_AHEAD);
    let (mut client, request) = peer.call(ReceiverStream::new(receiver)).map_err(failed)?;
    let (acknowledged, id) = (&peer.peers.acknowledged, peer.member.id);
    let install = async {
        // The call ends first when the peer refuses; then what is left of the file is of no use.
        let (sent, answer) = tokio::join!(source.send(parts), client.install_snapshot(request));
        sent.map_err(|error| StreamingError::from(NetworkError::new(&error)))?;
        let answer = answer.map_err(failed)?.into_inner();
        let answered = vote_from_proto(answer.vote.ok_or_else(|| nonsense(BadMessage::Missing("vote")))?);
        if answered == vote {
            acknowledged.believe(id, vote.leader_id.term, Ok(covered)).map(drop)?;
        }
        Ok(SnapshotResponse::new(answered))
    };
    tokio::select! {
        closed = cancel => Err(StreamingError::Closed(closed)),
        result = tokio::time::timeout(SNAPSHOT_TIMEOUT, install) => {
            result.unwrap_or_else(|_| Err(unreachable("the peer did not take the snapshot in time").into()))
        }
    }
}

/// How much of the file the peer holds already.
async fn held(peer: &mut Peer, source: &Source) -> Result<u64, StreamingError<TypeConfig>> {
    let (mut client, request) = peer.call(source.header()).map_err(failed)?;
    let answer = within(PROGRESS_TIMEOUT, client.snapshot_progress(request)).await?;
    let offset = answer.into_inner().offset;
    if offset > 0 {
        tracing::info!(server = %peer.member.id, offset, bytes = source.file.len(), "goes on with a snapshot");
    }
    // More than there is cannot be: it begins anew.
    Ok(if offset <= source.file.len() { offset } else { 0 })
}

/// A snapshot to be sent.
pub(in crate::network) struct Source {
    pub(in crate::network) vote: Vote,
    pub(in crate::network) meta: SnapshotMeta,
    pub(in crate::network) file: SnapshotFile,
    /// The bytes before it are there already.
    pub(in crate::network) offset: u64,
}

impl Source {
    /// Sends everything, or stops early when the other side has gone.
    pub(in crate::network) async fn send(self, parts: mpsc::Sender<v1::SnapshotPart>) -> std::io::Result<()> {
        let mut file = self.file.open().await?;
        if send_part(&parts, v1::snapshot_part::Part::Header(self.header())).await.is_none() {
            return Ok(());
        }
        let (mut bytes, mut checksum) = (0, crc32fast::Hasher::new());
        loop {
            let mut chunk = Bytes::from(file.read_chunk(SNAPSHOT_CHUNK_BYTES).await?);
            if chunk.is_empty() {
                break;
            }
            checksum.update(&chunk);
            // The checksum is of the whole file, what is there already included.
            let there = self.offset.saturating_sub(bytes).min(chunk.len() as u64);
            bytes += chunk.len() as u64;
            drop(chunk.split_to(usize::try_from(there).unwrap_or_default()));
            if chunk.is_empty() {
                continue;
            }
            if send_part(&parts, v1::snapshot_part::Part::Chunk(chunk)).await.is_none() {
                return Ok(());
            }
        }
        let trailer = v1::SnapshotTrailer { bytes, crc32: checksum.finalize() };
        send_part(&parts, v1::snapshot_part::Part::Trailer(trailer)).await;
        Ok(())
    }

    fn header(&self) -> v1::SnapshotHeader {
        v1::SnapshotHeader {
            vote: Some(vote_to_proto(&self.vote)),
            last_log_id: self.meta.last_log_id.as_ref().map(log_id_to_proto),
            membership: Some(stored_membership_to_proto(&self.meta.last_membership)),
            bytes: self.file.len(),
            offset: self.offset,
        }
    }
}

/// `None` when nobody takes parts any more.
async fn send_part(parts: &mpsc::Sender<v1::SnapshotPart>, part: v1::snapshot_part::Part) -> Option<()> {
    parts.send(v1::SnapshotPart { part: Some(part) }).await.ok()
}
