//! Streams of writes find the leader: here, or over one stream to it. A stream ends when its leader does; its client
//! opens another and sends again what was not answered.

use std::sync::Arc;

use boss_proto::{
    ids::ServerId,
    peer::v1::{ForwardedStreamWrites, StreamOpening, forwarded_stream_writes::Body},
    v1::{WriteStreamRequest, WriteStreamResponse},
};
use futures_util::{Stream, StreamExt, future, stream::BoxStream};

use super::{Error, LEADER_WAIT, Writes, stream::WriteStream};
use crate::{api::status, auth::Identity, metric_definitions as metric};

type Answers = BoxStream<'static, Result<WriteStreamResponse, Error>>;

impl Writes {
    /// Opens a stream of writes of an authenticated caller, wherever the leader is.
    pub async fn stream(
        &self,
        identity: Arc<Identity>,
        input: impl Stream<Item = Result<WriteStreamRequest, Error>> + Send + Unpin + 'static,
    ) -> Result<Answers, Error> {
        let give_up_at = self.0.clock.monotonic() + LEADER_WAIT;
        loop {
            match self.leader() {
                Some(leader) if leader == self.0.id => {
                    return Ok(WriteStream::new(self.clone(), identity, input).into_answers().boxed());
                }
                Some(leader) => return self.forward_stream(leader, &identity, input).await,
                None if self.0.clock.monotonic() >= give_up_at => return Err(Error::NoLeader),
                None => self.wait_for_news().await,
            }
        }
    }

    async fn forward_stream(
        &self,
        leader: ServerId,
        identity: &Identity,
        input: impl Stream<Item = Result<WriteStreamRequest, Error>> + Send + Unpin + 'static,
    ) -> Result<Answers, Error> {
        let mut client = self.0.peers.client(leader).map_err(|_| Error::NoLeader)?;
        metrics::counter!(metric::WRITES_FORWARDED).increment(1);
        let opening = StreamOpening { credential: Some(identity.credential.clone()), from_server: self.0.id.0 };
        let opening = ForwardedStreamWrites { body: Some(Body::Opening(opening)) };
        // A client that breaks off ends its stream: what it sent is done, nothing else can be.
        let writes = input.take_while(|message| future::ready(message.is_ok()));
        let writes = writes.filter_map(|message| future::ready(message.ok()));
        let writes = writes.map(|message| ForwardedStreamWrites { body: Some(Body::Writes(message)) });
        let messages = futures_util::stream::iter([opening]).chain(writes);
        let answers = client.write_stream(messages).await.map_err(|status| lost(&status))?.into_inner();
        Ok(answers.map(|answer| answer.map_err(|status| lost(&status))).boxed())
    }

    /// The leader's end of a stream that another server passes on: authenticates again, never passes on.
    pub fn handle_forwarded_stream(
        &self,
        opening: StreamOpening,
        input: impl Stream<Item = Result<WriteStreamRequest, Error>> + Send + Unpin + 'static,
    ) -> Result<Answers, Error> {
        let identity = self.0.authenticator.authenticate_forwarded(&opening.credential.unwrap_or_default())?;
        if self.leader() != Some(self.0.id) {
            return Err(Error::NotLeader);
        }
        Ok(WriteStream::new(self.clone(), identity, input).into_answers().boxed())
    }
}

/// The leader's own words, or that it is gone.
fn lost(status: &tonic::Status) -> Error {
    match status::read_refusal(status) {
        Some(refusal) => Error::Forwarded(Box::new(refusal)),
        None => Error::Unknown { retryable: true },
    }
}
