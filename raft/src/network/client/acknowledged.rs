//! Remembers how far each peer has acknowledged this server's entries, and unmasks the one that denies it. Knows no
//! connection.

use std::{
    collections::HashMap,
    sync::{Arc, Mutex, PoisonError},
};

use boss_proto::ids::ServerId;
use openraft::raft::{StreamAppendError, StreamAppendResult};

use super::{AppendResult, failure::unreachable};
use crate::types::TypeConfig;

/// Of every peer, shared by all that speak to it.
#[derive(Clone, Default)]
pub(super) struct Acknowledged(Arc<Mutex<HashMap<ServerId, Mark>>>);

impl Acknowledged {
    /// What the core may hear. It falls over a peer that denies what it acknowledged, and with it would every leader
    /// in turn; such a peer counts as unreachable until it is replaced.
    pub(super) fn believe(&self, peer: ServerId, term: u64, result: StreamAppendResult<TypeConfig>) -> AppendResult {
        let mut acknowledged = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        let known = acknowledged.entry(peer).or_default();
        match &result {
            Ok(Some(matching)) => known.note(term, matching.index),
            Err(StreamAppendError::Conflict(id)) if known.covers(term, id.index) => {
                tracing::error!(
                    %peer, acknowledged = known.index, denied = id.index,
                    "a server has lost entries that it acknowledged; replace it under a fresh id"
                );
                return Err(unreachable("the peer has lost its log"));
            }
            Ok(None) | Err(_) => {}
        }
        Ok(result)
    }
}

/// How far a peer has acknowledged this server's entries in one term.
#[derive(Debug, Clone, Copy, Default)]
struct Mark {
    term: u64,
    index: u64,
}

impl Mark {
    fn note(&mut self, term: u64, index: u64) {
        *self = if self.term == term { Self { term, index: index.max(self.index) } } else { Self { term, index } };
    }

    /// Whether a peer that finds no entry there has lost what it acknowledged.
    fn covers(&self, term: u64, index: u64) -> bool {
        self.term == term && self.index >= index
    }
}

#[cfg(test)]
mod tests {
    use openraft::errors::RPCError;

    use super::*;
    use crate::types::LogId;

    #[test]
    fn a_peer_that_denies_what_it_acknowledged_counts_as_unreachable() {
        let (peers, peer) = (Acknowledged::default(), ServerId(2));
        let at = |index| LogId::new_term_index(3, index);
        let conflict = |index| Err(StreamAppendError::Conflict(at(index)));
        assert!(peers.believe(peer, 3, conflict(9)).is_ok());
        assert!(peers.believe(peer, 3, Ok(Some(at(7)))).is_ok());
        assert!(peers.believe(peer, 3, conflict(9)).is_ok());
        assert!(matches!(peers.believe(peer, 3, conflict(7)), Err(RPCError::Unreachable(_))));
        assert!(peers.believe(ServerId(3), 3, conflict(7)).is_ok());
        // In another term it may have been made to forget it.
        assert!(peers.believe(peer, 5, conflict(7)).is_ok());
    }
}
