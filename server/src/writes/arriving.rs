//! The leader's end of the streams on which other servers pass the writes of their callers on. Each write is
//! authenticated, waits for its turn, is admitted and proposed for itself; none waits for another. Knows no transport.

use std::sync::Arc;

use boss_proto::{
    limits::WRITES_IN_FLIGHT_MAX,
    peer::v1::{
        ForwardedOutcome, ForwardedOutcomes, ForwardedWrites, NumberedOutcome, forwarded_outcome::Result as Forwarded,
    },
};
use futures_util::{
    FutureExt, Stream, StreamExt,
    future::BoxFuture,
    stream::{self, FuturesUnordered},
};

use super::{Answer, Error, Writes};
use crate::{api::status, auth::Identity};

/// Writes of one stream on their way, those that wait for their turn included; above it no more is read.
const RUNNING_MAX: usize = 4 * WRITES_IN_FLIGHT_MAX;
/// Outcomes of one message: what is ready at the same time goes together.
const OUTCOMES_MAX: usize = 256;

struct Arriving<S> {
    writes: Writes,
    input: S,
    /// The input has ended, or this server leads no more.
    closed: bool,
    running: FuturesUnordered<BoxFuture<'static, NumberedOutcome>>,
}

impl Writes {
    /// Answers to the writes that another server passes on. Ends when this server leads no more and what has come in
    /// has its answer.
    pub fn handle_forwarded_many(
        &self,
        input: impl Stream<Item = Result<ForwardedWrites, Error>> + Send + Unpin + 'static,
    ) -> impl Stream<Item = Result<ForwardedOutcomes, Error>> + Send + 'static {
        let arriving = Arriving { writes: self.clone(), input, closed: false, running: FuturesUnordered::new() };
        stream::try_unfold(arriving, |mut arriving| async move {
            Ok(arriving.next().await?.map(|outcomes| (outcomes, arriving)))
        })
    }

    async fn do_arrived(
        &self,
        identity: Result<Arc<Identity>, Error>,
        method: &str,
        request: bytes::Bytes,
    ) -> ForwardedOutcome {
        outcome(match identity {
            Ok(identity) => self.do_authenticated(&identity, method, request).await,
            Err(error) => Err(error),
        })
    }
}

/// As it travels back.
pub(super) fn outcome(answer: Result<Answer, Error>) -> ForwardedOutcome {
    let (result, warnings) = match answer {
        Ok(Answer { reply, warnings }) => (Forwarded::Response(reply.encode()), warnings),
        Err(error) => (Forwarded::Refusal(status::to_refusal(&error.into())), Vec::new()),
    };
    ForwardedOutcome { result: Some(result), warnings }
}

impl<S> Arriving<S>
where
    S: Stream<Item = Result<ForwardedWrites, Error>> + Send + Unpin + 'static,
{
    async fn next(&mut self) -> Result<Option<ForwardedOutcomes>, Error> {
        let mut leadership = self.writes.0.raft.leadership();
        loop {
            if self.closed && self.running.is_empty() {
                return Ok(None);
            }
            let may_read = !self.closed && self.running.len() < RUNNING_MAX;
            tokio::select! {
                biased;
                Some(first) = self.running.next(), if !self.running.is_empty() => return Ok(Some(self.gather(first))),
                message = self.input.next(), if may_read => match message {
                    Some(message) => self.take(message?),
                    None => self.closed = true,
                },
                // The senders find the next leader by themselves; an error means that this server stops.
                _ = leadership.wait_for(|leadership| !leadership.is_self), if !self.closed => self.closed = true,
            }
        }
    }

    /// The outcome with those that are ready beside it.
    fn gather(&mut self, first: NumberedOutcome) -> ForwardedOutcomes {
        let mut outcomes = vec![first];
        while outcomes.len() < OUTCOMES_MAX
            && let Some(Some(outcome)) = self.running.next().now_or_never()
        {
            outcomes.push(outcome);
        }
        ForwardedOutcomes { outcomes }
    }

    fn take(&mut self, message: ForwardedWrites) {
        let authenticator = &self.writes.0.authenticator;
        let identities: Vec<Result<Arc<Identity>, Error>> = message
            .credentials
            .iter()
            .map(|credential| authenticator.authenticate_forwarded(credential).map_err(Error::from))
            .collect();
        for write in message.writes {
            let identity = identities.get(write.credential as usize).cloned().unwrap_or_else(|| {
                Err(Error::BadMessage("a forwarded write names a credential that did not come".to_owned()))
            });
            let writes = self.writes.clone();
            self.running.push(Box::pin(async move {
                let outcome = writes.do_arrived(identity, &write.method, write.request).await;
                NumberedOutcome { number: write.number, outcome: Some(outcome) }
            }));
        }
    }
}
