//! The sessions that this server holds, newest per node. Knows no leader.

use std::{
    collections::HashMap,
    sync::{Arc, Mutex, MutexGuard, PoisonError},
};

use boss_proto::{ids::NodeName, v1::ToNode};
use tokio::sync::mpsc;
use tokio_util::sync::CancellationToken;
use tonic::Status;

use super::streams::Streams;

/// One open session, for whoever wants to say something to the node.
#[derive(Clone)]
pub(super) struct Session {
    pub(super) id: u64,
    pub(super) outbound: mpsc::Sender<Result<ToNode, Status>>,
    pub(super) streams: Arc<Streams>,
    /// A newer session of the node exists.
    pub(super) superseded: CancellationToken,
}

#[derive(Default)]
pub(super) struct Table {
    sessions: Mutex<HashMap<NodeName, Session>>,
}

impl Table {
    /// Registers a session; the one before it is told to end.
    pub(super) fn insert(&self, node: NodeName, session: Session) {
        if let Some(old) = self.lock().insert(node, session) {
            old.superseded.cancel();
        }
    }

    /// The session ended; says whether it was the node's newest.
    pub(super) fn remove(&self, node: &NodeName, id: u64) -> bool {
        let mut sessions = self.lock();
        let newest = sessions.get(node).is_some_and(|session| session.id == id);
        if newest {
            sessions.remove(node);
        }
        newest
    }

    pub(super) fn get(&self, node: &NodeName) -> Option<Session> {
        self.lock().get(node).cloned()
    }

    /// The session, if it is still the node's newest here.
    pub(super) fn get_exactly(&self, node: &NodeName, id: u64) -> Option<Session> {
        self.get(node).filter(|session| session.id == id)
    }

    fn lock(&self) -> MutexGuard<'_, HashMap<NodeName, Session>> {
        self.sessions.lock().unwrap_or_else(PoisonError::into_inner)
    }
}
