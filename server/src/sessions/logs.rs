//! A pod's log, through the session of its node, wherever that session is. Knows no rights.

use std::{sync::Arc, time::Duration};

use boss_proto::{
    ids::{NodeName, ServerId},
    limits::LOG_WINDOW_BATCHES,
    peer::v1::{ForwardLogsRequest, LocateRequest},
    v1::{CloseStream, LogRecord, LogsRequest, OpenLogs, StreamCredit, ToNode, to_node},
};
use futures_util::{
    StreamExt,
    stream::{self, BoxStream},
};
use tokio::sync::mpsc;
use tonic::Status;

use super::{
    Sessions,
    streams::{Part, Streams, TooMany},
    table::Session,
};
use crate::{api::Error, writes::PeerClient};

/// A session that cannot take an order for so long is stuck.
const OPEN_MAX: Duration = Duration::from_secs(5);
/// Credit is given back in halves of the window, so that the agent never waits for a round trip per batch.
const CREDIT_BATCHES: u32 = LOG_WINDOW_BATCHES / 2;

pub(super) type Records = BoxStream<'static, Result<LogRecord, Status>>;
type Outbound = mpsc::Sender<Result<ToNode, Status>>;

impl Sessions {
    /// The log of a pod that is bound to `node`.
    pub(super) async fn logs(&self, node: &NodeName, pod_uid: String, asked: LogsRequest) -> Result<Records, Status> {
        if let Some(session) = self.table.get(node) {
            return session.open_logs(pod_uid, asked).await.map_err(Status::from);
        }
        let server = self.find(node).await?;
        let mut peer = self.peer(server)?;
        let request = ForwardLogsRequest { node_name: node.to_string(), pod_uid, request: Some(asked) };
        // Its refusal is the caller's answer as it stands.
        Ok(peer.logs(request).await?.into_inner().boxed())
    }

    /// The other server that holds the node's session.
    async fn find(&self, node: &NodeName) -> Result<ServerId, Status> {
        let leadership = *self.parts.handle.leadership().borrow();
        let holder = match leadership.leader {
            _ if leadership.is_self => self.locate(node).map_err(Status::from)?,
            None => return Err(Error::Unavailable("no leader is known; try again".to_owned()).into()),
            Some(leader) => {
                let asked = LocateRequest { node_name: node.to_string() };
                let found = self.peer(leader)?.locate(asked).await?.into_inner().server_id;
                (found != 0).then_some(ServerId(found))
            }
        };
        // A session that the leader still remembers here has ended.
        holder.filter(|server| *server != self.parts.server_id).ok_or_else(|| not_connected(node).into())
    }

    fn peer(&self, server: ServerId) -> Result<PeerClient, Status> {
        self.parts.peers.client(server).map_err(|error| Error::Unavailable(error.to_string()).into())
    }
}

pub(super) fn not_connected(node: &NodeName) -> Error {
    Error::Unavailable(format!("node {node} is not connected to the control plane; try again when it is Ready"))
}

impl Session {
    /// Asks the agent for a log; what it sends arrives in the stream, and dropping the stream tells it to stop.
    pub(super) async fn open_logs(&self, pod_uid: String, request: LogsRequest) -> Result<Records, Error> {
        let stuck = |_| Error::Unavailable("the node's session takes no orders; try again".to_owned());
        let gone = |_| Error::Unavailable("the node's session has just ended; try again".to_owned());
        let too_many =
            |TooMany| Error::Exhausted("too many logs of this node are being read; try again later".to_owned());
        // The slot for CloseStream is taken before OpenLogs is sent: the end can always be said, without waiting.
        let reserved = tokio::time::timeout(OPEN_MAX, self.outbound.clone().reserve_owned()).await;
        let slot = reserved.map_err(stuck)?.map_err(|_| gone(()))?;
        let (stream_id, parts) = self.streams.open().map_err(too_many)?;
        let close = CloseGuard { streams: Arc::clone(&self.streams), stream_id, slot: Some(slot) };
        let open = OpenLogs { stream_id, pod_uid, request: Some(request), window_batches: LOG_WINDOW_BATCHES };
        let sent = tokio::time::timeout(OPEN_MAX, send(&self.outbound, to_node::Body::OpenLogs(open))).await;
        sent.map_err(stuck)?.map_err(gone)?;
        Ok(Reader { parts, outbound: self.outbound.clone(), close, taken: 0 }.into_stream())
    }
}

async fn send(outbound: &Outbound, body: to_node::Body) -> Result<(), ()> {
    outbound.send(Ok(ToNode { body: Some(body) })).await.map_err(drop)
}

/// Tells the agent to stop when the reader leaves first.
struct CloseGuard {
    streams: Arc<Streams>,
    stream_id: u64,
    slot: Option<mpsc::OwnedPermit<Result<ToNode, Status>>>,
}

impl CloseGuard {
    /// The agent ended the stream by itself.
    fn ended(&mut self) {
        self.slot = None;
    }
}

impl Drop for CloseGuard {
    fn drop(&mut self) {
        self.streams.close(self.stream_id);
        if let Some(slot) = self.slot.take() {
            let close = to_node::Body::CloseStream(CloseStream { stream_id: self.stream_id });
            slot.send(Ok(ToNode { body: Some(close) }));
        }
    }
}

/// Takes batches as fast as the reader does, and lets the agent send as many more.
struct Reader {
    parts: mpsc::Receiver<Part>,
    outbound: Outbound,
    close: CloseGuard,
    taken: u32,
}

impl Reader {
    fn into_stream(self) -> Records {
        let batches = stream::unfold(Some(self), |reader| async move {
            let mut reader = reader?;
            match reader.next().await {
                Ok(Some(records)) => Some((records.into_iter().map(Ok).collect(), Some(reader))),
                Ok(None) => None,
                Err(error) => Some((vec![Err(error.into())], None)),
            }
        });
        batches.flat_map(stream::iter).boxed()
    }

    async fn next(&mut self) -> Result<Option<Vec<LogRecord>>, Error> {
        self.give_credit().await;
        match self.parts.recv().await {
            Some(Part::Records(records)) => {
                self.taken += 1;
                Ok(Some(records))
            }
            Some(Part::End(error)) => {
                self.close.ended();
                if error.is_empty() { Ok(None) } else { Err(Error::Unavailable(error)) }
            }
            None => Err(Error::Unavailable("the node's session ended before the log did; try again".to_owned())),
        }
    }

    /// If the session is gone, the closed channel of parts says so next.
    async fn give_credit(&mut self) {
        if self.taken >= CREDIT_BATCHES {
            let credit = StreamCredit { stream_id: self.close.stream_id, batches: self.taken };
            self.taken = 0;
            let _ = send(&self.outbound, to_node::Body::StreamCredit(credit)).await;
        }
    }
}
