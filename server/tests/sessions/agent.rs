//! The agent's end of a session, without an agent.

use std::time::Duration;

use boss_proto::v1::{
    FromNode, Heartbeat, Hello, LogBatch, LogRecord, OpenLogs, StreamEnd, ToNode, Welcome, from_node,
    node_sessions_client::NodeSessionsClient, to_node,
};
use tokio::sync::mpsc;
use tokio_stream::wrappers::ReceiverStream;
use tonic::{Status, Streaming, transport::Channel};

pub(crate) const PATIENCE: Duration = Duration::from_secs(20);

/// One session.
pub(crate) struct Agent {
    outbound: mpsc::Sender<FromNode>,
    inbound: Streaming<ToNode>,
    sequence: u64,
}

impl Agent {
    /// Opens a session and says nothing.
    pub(crate) async fn connect(channel: Channel) -> Result<Self, Status> {
        let (outbound, messages) = mpsc::channel(64);
        let inbound = NodeSessionsClient::new(channel).session(ReceiverStream::new(messages)).await?.into_inner();
        Ok(Self { outbound, inbound, sequence: 0 })
    }

    /// Opens a session and greets.
    pub(crate) async fn open(channel: Channel, name: &str) -> Result<(Self, Welcome), Status> {
        let mut agent = Self::connect(channel).await?;
        agent.say(from_node::Body::Hello(Hello { node_name: name.to_owned(), ..Default::default() })).await;
        match agent.hear().await? {
            to_node::Body::Welcome(welcome) => Ok((agent, welcome)),
            other => panic!("expected Welcome, got {other:?}"),
        }
    }

    pub(crate) async fn say(&self, body: from_node::Body) {
        // A session that has ended says why when it is listened to.
        let _ = self.outbound.send(FromNode { body: Some(body) }).await;
    }

    /// The next message; the session's end is an error, also a clean one.
    pub(crate) async fn hear(&mut self) -> Result<to_node::Body, Status> {
        let message = tokio::time::timeout(PATIENCE, self.inbound.message()).await.expect("the server says nothing");
        message?.and_then(|message| message.body).ok_or_else(|| Status::cancelled("the session ended"))
    }

    /// Reports until a heartbeat is confirmed; the lease in milliseconds.
    pub(crate) async fn beat(&mut self) -> Result<u32, Status> {
        self.sequence += 1;
        let beat = Heartbeat { sequence: self.sequence, ..Default::default() };
        self.say(from_node::Body::Heartbeat(beat)).await;
        match self.hear().await? {
            to_node::Body::HeartbeatAck(ack) => {
                assert_eq!(ack.sequence, self.sequence);
                Ok(ack.lease_ms)
            }
            other => panic!("expected an acknowledgement, got {other:?}"),
        }
    }

    /// The same, while the cluster may be without a leader.
    pub(crate) async fn beat_until_confirmed(&mut self) -> Result<u32, Status> {
        let confirmed = async {
            loop {
                match self.beat().await? {
                    0 => tokio::time::sleep(Duration::from_millis(50)).await,
                    lease => return Ok(lease),
                }
            }
        };
        tokio::time::timeout(PATIENCE, confirmed).await.expect("nobody confirmed")
    }

    pub(crate) async fn expect_open_logs(&mut self) -> OpenLogs {
        match self.hear().await.expect("the session is open") {
            to_node::Body::OpenLogs(open) => open,
            other => panic!("expected OpenLogs, got {other:?}"),
        }
    }

    /// Sends one batch of lines, numbered from `first`.
    pub(crate) async fn send_lines(&self, stream_id: u64, first: u64, lines: &[&str]) {
        let record = |(number, line): (u64, &&str)| LogRecord {
            stream: "stdout".into(),
            content: line.as_bytes().to_vec().into(),
            sequence: number,
            ..Default::default()
        };
        let records = (first..).zip(lines).map(record).collect();
        self.say(from_node::Body::LogBatch(LogBatch { stream_id, records })).await;
    }

    pub(crate) async fn end_stream(&self, stream_id: u64, error: &str) {
        self.say(from_node::Body::StreamEnd(StreamEnd { stream_id, error: error.to_owned() })).await;
    }
}
