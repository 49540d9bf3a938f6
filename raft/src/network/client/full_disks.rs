//! Remembers which peers said last that their disk is full. Knows no connection.

use std::{
    collections::BTreeSet,
    sync::{Arc, Mutex, PoisonError},
};

use boss_proto::{ids::ServerId, raft::v1};
use openraft::errors::RPCError;

use super::failure::unreachable;
use crate::types::TypeConfig;

/// Of every peer, shared by all that speak to it.
#[derive(Clone, Default)]
pub(super) struct FullDisks(Arc<Mutex<BTreeSet<ServerId>>>);

impl FullDisks {
    /// Takes the answer to an append; an answer that only says that there is no room is an error for the core.
    pub(super) fn hear(&self, peer: ServerId, answer: &v1::AppendResponse) -> Result<(), RPCError<TypeConfig>> {
        let mut full = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        let changed = if answer.disk_full { full.insert(peer) } else { full.remove(&peer) };
        if changed {
            tracing::info!(%peer, full = answer.disk_full, "the disk of a server filled up or has room again");
        }
        if answer.result.is_none() && answer.disk_full {
            return Err(unreachable("the disk of the peer is full"));
        }
        Ok(())
    }

    pub(super) fn all(&self) -> BTreeSet<ServerId> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner).clone()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_last_answer_of_a_peer_counts() {
        let (disks, peer) = (FullDisks::default(), ServerId(2));
        let result = Some(v1::append_response::Result::Matching(v1::Matching::default()));
        let mut answer = v1::AppendResponse { result, disk_full: true };
        assert!(disks.hear(peer, &answer).is_ok());
        assert_eq!(disks.all(), BTreeSet::from([peer]));
        answer.disk_full = false;
        assert!(disks.hear(peer, &answer).is_ok());
        assert!(disks.all().is_empty());
    }

    #[test]
    fn entries_refused_for_want_of_room_are_tried_again_later() {
        let answer = v1::AppendResponse { result: None, disk_full: true };
        assert!(matches!(FullDisks::default().hear(ServerId(2), &answer), Err(RPCError::Unreachable(_))));
    }
}
