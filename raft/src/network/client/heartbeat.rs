//! Heartbeats: openraft begins a new stream for each; here they all ride on one, because opening a stream costs both
//! sides far more than a message. Knows no entries.

use boss_base::clock::{Clock, SystemClock};
use boss_proto::raft::v1;
use futures_util::{FutureExt, Stream, StreamExt, stream};
use openraft::{OptionalSend, base::BoxStream, errors::RPCError, raft::AppendEntriesRequest};
use tokio::sync::mpsc;
use tokio_stream::wrappers::ReceiverStream;

use super::{
    AppendResult, Peer,
    failure::{failed, nonsense, unreachable},
};
use crate::{
    metric_definitions::PEER_ROUND_TRIP_SECONDS,
    network::convert::{append_result_from_proto, append_to_proto},
    types::TypeConfig,
};

/// One heartbeat is under way at a time; the next one waits for its answer.
const UNDER_WAY_MAX: usize = 1;

/// The answers to the heartbeats that `input` yields, one at a time. The first error ends them.
pub(super) fn answers<'s, S>(peer: &'s mut Peer, input: S) -> BoxStream<'s, AppendResult>
where
    S: Stream<Item = AppendEntriesRequest<TypeConfig>> + OptionalSend + Unpin + 'static,
{
    Box::pin(stream::unfold(Some((peer, input)), |state| async move {
        let (peer, mut input) = state?;
        let request = input.next().await?;
        let result = exchange(peer, &request).await;
        let goes_on = matches!(result, Ok(Ok(_)));
        Some((result, goes_on.then_some((peer, input))))
    }))
}

/// The line is put back only after a good answer: a heartbeat that is given up half-way takes the line along, so that
/// no later one can be given its answer.
async fn exchange(peer: &mut Peer, request: &AppendEntriesRequest<TypeConfig>) -> AppendResult {
    let timeout = peer.peers.append_timeout;
    let line = peer.line.take().and_then(Line::if_quiet);
    let exchanged = tokio::time::timeout(timeout, async {
        let mut line = match line {
            Some(line) => line,
            None => Line::open(peer).await?,
        };
        let answer = line.exchange(append_to_proto(request, true)).await?;
        Ok((line, answer))
    });
    let (line, answer) = exchanged.await.unwrap_or_else(|_| Err(unreachable("the peer did not answer in time")))?;
    peer.peers.full.hear(peer.member.id, &answer)?;
    let result = append_result_from_proto(answer).map_err(nonsense)?;
    let term = request.vote.leader_id.term;
    let result = peer.peers.acknowledged.believe(peer.member.id, term, result)?;
    // The peer ends its side after anything but a match.
    peer.line = result.is_ok().then_some(line);
    Ok(result)
}

/// An open stream of appends on which nothing is under way. Dropped, it is cancelled on both sides.
pub(super) struct Line {
    requests: mpsc::Sender<v1::AppendRequest>,
    answers: tonic::Streaming<v1::AppendResponse>,
    round_trips: metrics::Histogram,
}

impl Line {
    async fn open(peer: &mut Peer) -> Result<Self, RPCError<TypeConfig>> {
        let (requests, receiver) = mpsc::channel(UNDER_WAY_MAX);
        let (mut client, request) = peer.call(ReceiverStream::new(receiver)).map_err(failed)?;
        let answers = peer.heeded(client.append(request)).await.map_err(failed)?.into_inner();
        let round_trips = metrics::histogram!(PEER_ROUND_TRIP_SECONDS, "peer" => peer.member.id.to_string());
        Ok(Self { requests, answers, round_trips })
    }

    /// Itself, while the peer keeps its side open and owes no answer. A peer that has stopped shows here, before a
    /// heartbeat is lost on it.
    fn if_quiet(mut self) -> Option<Self> {
        let quiet = self.answers.message().now_or_never().is_none();
        quiet.then_some(self)
    }

    async fn exchange(&mut self, message: v1::AppendRequest) -> Result<v1::AppendResponse, RPCError<TypeConfig>> {
        let began = SystemClock.monotonic();
        // A stream that has ended says why on its other side.
        self.requests.send(message).await.ok();
        let answer = self.answers.message().await.map_err(failed)?;
        self.round_trips.record(SystemClock.monotonic().saturating_sub(began));
        answer.ok_or_else(|| unreachable("the peer closed the stream"))
    }
}

#[cfg(test)]
mod tests;
