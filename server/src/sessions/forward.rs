//! What this server does about sessions for the other servers. Its caller has checked that they are servers.

use std::sync::{Arc, atomic::Ordering};

use boss_proto::{
    ids::{NodeName, ServerId},
    peer::v1::{ForwardLogsRequest, HeartbeatBatch, HeartbeatConfirmation},
    v1::LogRecord,
};
use futures_util::{
    Stream, StreamExt,
    stream::{self, BoxStream},
};
use tonic::Status;

use super::{Sessions, liveness::LEASE, logs::not_connected, session::millis};
use crate::api::Error;

impl Sessions {
    /// Confirms the heartbeats that `from` relays, batch by batch, for as long as this server leads.
    pub fn heartbeats(
        self: &Arc<Self>,
        from: ServerId,
        inbound: impl Stream<Item = Result<HeartbeatBatch, Status>> + Send + 'static,
    ) -> Result<BoxStream<'static, Result<HeartbeatConfirmation, Status>>, Error> {
        let term = self.leading_term().ok_or_else(not_leading)?;
        let state = (RelayGuard::new(Arc::clone(self), from), Box::pin(inbound));
        let confirmations = stream::try_unfold(state, move |(guard, mut inbound)| async move {
            let Some(batch) = inbound.next().await.transpose()? else { return Ok(None) };
            let confirmation = guard.sessions.confirm_batch(from, term, &batch).await.map_err(Status::from)?;
            Ok(Some((confirmation, (guard, inbound))))
        });
        Ok(confirmations.boxed())
    }

    async fn confirm_batch(
        &self,
        from: ServerId,
        term: u64,
        batch: &HeartbeatBatch,
    ) -> Result<HeartbeatConfirmation, Error> {
        if self.leading_term() != Some(term) {
            return Err(not_leading());
        }
        let superseded = self.record(from, batch);
        // The end of sessions alone needs no majority.
        let lease_ms = match batch.heartbeats.is_empty() || self.confirm(term).await {
            true => millis(LEASE),
            false => 0,
        };
        Ok(HeartbeatConfirmation { batch: batch.batch, lease_ms, superseded })
    }

    /// The server that holds the node's session. Only the leader knows.
    pub fn locate(&self, node: &NodeName) -> Result<Option<ServerId>, Error> {
        self.leading_term().ok_or_else(not_leading)?;
        Ok(self.liveness().holder(node))
    }

    /// A pod's log from a session of this server. The asking server has authorised the caller.
    pub async fn forwarded_logs(
        &self,
        asked: ForwardLogsRequest,
    ) -> Result<BoxStream<'static, Result<LogRecord, Status>>, Error> {
        let node = NodeName::new(asked.node_name);
        // Never forwarded again: a server that is wrong about its sessions must not start a ring.
        let session = self.table.get(&node).ok_or_else(|| not_connected(&node))?;
        session.open_logs(asked.pod_uid, asked.request.unwrap_or_default()).await
    }
}

fn not_leading() -> Error {
    Error::Unavailable("this server does not lead".to_owned())
}

/// One heartbeat stream of one server. When the newest one ends, nothing is reached by that server for now.
struct RelayGuard {
    sessions: Arc<Sessions>,
    from: ServerId,
    number: u64,
}

impl RelayGuard {
    fn new(sessions: Arc<Sessions>, from: ServerId) -> Self {
        let number = sessions.next_relay.fetch_add(1, Ordering::Relaxed);
        sessions.relays().insert(from, number);
        Self { sessions, from, number }
    }
}

impl Drop for RelayGuard {
    fn drop(&mut self) {
        let mut relays = self.sessions.relays();
        if relays.get(&self.from) == Some(&self.number) {
            relays.remove(&self.from);
            drop(relays);
            self.sessions.liveness().server_left(self.from);
        }
    }
}
