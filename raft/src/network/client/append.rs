//! Replication: one stream per session of openraft, as many requests under way as it likes. Knows no heartbeat.

use std::{
    sync::{
        Arc,
        atomic::{AtomicU64, Ordering},
    },
    time::Duration,
};

use boss_proto::{ids::ServerId, raft::v1};
use futures_util::{Stream, StreamExt, stream};
use openraft::{OptionalSend, base::BoxStream, errors::RPCError, raft::AppendEntriesRequest};

use super::{
    AppendResult, Peer,
    acknowledged::Acknowledged,
    failure::{failed, nonsense, unreachable, within},
    full_disks::FullDisks,
};
use crate::{
    failpoints::failpoint,
    network::convert::{append_result_from_proto, append_to_proto},
    types::TypeConfig,
};

/// Sends what `input` yields and gives the answers in its order. The first error ends both.
pub(super) async fn pipeline<'s, S>(
    peer: &mut Peer,
    mut input: S,
) -> Result<BoxStream<'s, AppendResult>, RPCError<TypeConfig>>
where
    S: Stream<Item = AppendEntriesRequest<TypeConfig>> + OptionalSend + Unpin + 'static,
{
    // Taken before the call: openraft waits out its back-off while it makes a request, and a call to a peer that is
    // not there ends before it asks for one.
    let Some(first) = input.next().await else { return Ok(Box::pin(stream::empty())) };
    let term = first.vote.leader_id.term;
    let sent = Arc::new(AtomicU64::new(0));
    let counted = Arc::clone(&sent);
    let requests = stream::iter([first]).chain(input).map(move |request| {
        counted.fetch_add(1, Ordering::Relaxed);
        failpoint!("append.sending");
        append_to_proto(&request, false)
    });
    let timeout = peer.peers.append_timeout;
    let (mut client, request) = peer.call(requests).map_err(failed)?;
    let answers = within(timeout, peer.heeded(client.append(request))).await?.into_inner();
    let (acknowledged, full) = (peer.peers.acknowledged.clone(), peer.peers.full.clone());
    let waiting = Answers { answers, sent, received: 0, timeout, acknowledged, full, peer: peer.member.id, term };
    let results = stream::unfold(Some(waiting), |waiting| async move {
        let mut waiting = waiting?;
        let result = waiting.next().await?;
        // After an error, whichever, nothing that follows can be told what it answers.
        let goes_on = matches!(result, Ok(Ok(_)));
        Some((result, goes_on.then_some(waiting)))
    });
    Ok(Box::pin(results))
}

/// The answers of one stream; notices a peer that takes requests and does not answer.
struct Answers {
    answers: tonic::Streaming<v1::AppendResponse>,
    sent: Arc<AtomicU64>,
    received: u64,
    timeout: Duration,
    acknowledged: Acknowledged,
    full: FullDisks,
    peer: ServerId,
    term: u64,
}

impl Answers {
    async fn next(&mut self) -> Option<AppendResult> {
        let answer = loop {
            let sent_before = self.sent.load(Ordering::Relaxed);
            match tokio::time::timeout(self.timeout, self.answers.message()).await {
                Ok(answer) => {
                    failpoint!("append.answered");
                    break answer;
                }
                // An idle stream is quiet on both sides.
                Err(_) if sent_before <= self.received => {}
                Err(_) => return Some(Err(unreachable("the peer did not answer in time"))),
            }
        };
        self.received += 1;
        match answer {
            Ok(Some(answer)) => Some(self.take(answer)),
            Ok(None) => None,
            Err(status) => Some(Err(failed(status))),
        }
    }

    fn take(&self, answer: v1::AppendResponse) -> AppendResult {
        self.full.hear(self.peer, &answer)?;
        let result = append_result_from_proto(answer).map_err(nonsense)?;
        self.acknowledged.believe(self.peer, self.term, result)
    }
}
