//! The one hop to the leader, from both ends. The caller's own credential travels, never what the forwarding server
//! concluded from it.

use std::time::Duration;

use boss_base::failpoints;
use boss_proto::{
    ids::ServerId,
    peer::v1::{ForwardedOutcome, ForwardedWrite, forwarded_outcome::Result as Forwarded},
};
use boss_raft::Leadership;
use bytes::Bytes;

use super::{
    Answer, Attempt, Error, Reply, Writes, arriving,
    lanes::{Lost, Outgoing},
};
use crate::{admission::Write, api::status, auth::Identity, metric_definitions as metric, turns::Purpose};

/// A leader that says nothing for so long is gone or cut off; whether it did the write is then unknown.
const ANSWER_TIMEOUT: Duration = Duration::from_secs(10);

impl Writes {
    /// Passes the write on to `leader`.
    pub(super) async fn forward(&self, leader: ServerId, identity: &Identity, write: &Write) -> Result<Attempt, Error> {
        let (method, request) = write.encode();
        let outgoing = Outgoing { method, request: request.clone(), credential: identity.credential.clone() };
        metrics::counter!(metric::WRITES_FORWARDED).increment(1);
        failpoints::reach("forward.sending");
        let answer = tokio::select! {
            answer = tokio::time::timeout(ANSWER_TIMEOUT, self.0.lanes.send(leader, outgoing)) => answer,
            () = self.deposed(leader), if write.is_repeatable() => return Ok(Attempt::Lost),
        };
        failpoints::reach("forward.answered");
        match answer {
            Ok(Ok(outcome)) => read_outcome(write, outcome),
            Ok(Err(Lost::NotSent(problem))) => {
                tracing::debug!(%leader, problem, "the leader cannot be reached");
                Ok(Attempt::NoLeader)
            }
            Ok(Err(Lost::Unimplemented)) => self.forward_alone(leader, identity, write, request).await,
            Ok(Err(Lost::Unknown(problem))) => lost(leader, write, &problem),
            Err(_) => lost(leader, write, "no answer in time"),
        }
    }

    /// In a call of its own, to a leader of an older build.
    async fn forward_alone(
        &self,
        leader: ServerId,
        identity: &Identity,
        write: &Write,
        request: Bytes,
    ) -> Result<Attempt, Error> {
        let Ok(mut client) = self.0.peers.client(leader) else { return Ok(Attempt::NoLeader) };
        let (method, _) = write.encode();
        let mut message = tonic::Request::new(ForwardedWrite {
            method: method.to_owned(),
            request,
            credential: Some(identity.credential.clone()),
            from_server: self.0.id.0,
        });
        message.set_timeout(ANSWER_TIMEOUT);
        let answer = tokio::select! {
            answer = client.write(message) => answer,
            () = self.deposed(leader), if write.is_repeatable() => return Ok(Attempt::Lost),
        };
        match answer {
            Ok(response) => read_outcome(write, response.into_inner()),
            Err(status) if never_arrived(&status) => Ok(Attempt::NoLeader),
            Err(status) => lost(leader, write, status.message()),
        }
    }

    /// Resolves when somebody else leads: the old leader's answer need not come any more.
    async fn deposed(&self, leader: ServerId) {
        let mut leadership = self.0.raft.leadership();
        let other = |leadership: &Leadership| leadership.leader.is_some_and(|now| now != leader);
        if leadership.wait_for(other).await.is_err() {
            // The server is stopping; the call ends with it.
            std::future::pending::<()>().await;
        }
    }

    /// The leader's end: authenticates again, admits once, never passes on.
    pub async fn handle_forwarded(&self, forwarded: ForwardedWrite) -> ForwardedOutcome {
        let ForwardedWrite { method, request, credential, .. } = forwarded;
        let answer = match self.0.authenticator.authenticate_forwarded(&credential.unwrap_or_default()) {
            Ok(identity) => self.do_authenticated(&identity, &method, request).await,
            Err(error) => Err(error.into()),
        };
        arriving::outcome(answer)
    }

    /// One write of a caller whose credential was verified here.
    pub(super) async fn do_authenticated(
        &self,
        identity: &Identity,
        method: &str,
        request: Bytes,
    ) -> Result<Answer, Error> {
        let write = Write::decode(method, request)?;
        if self.leader() != Some(self.0.id) {
            return Err(Error::NotLeader);
        }
        let purpose = if matches!(write, Write::Delete(_) | Write::DeleteCollection(_)) {
            Purpose::Delete
        } else {
            Purpose::Other
        };
        let _turn = self.0.turns.writes.enter(identity, purpose).await?;
        match self.admit_and_propose(identity, &write).await? {
            Attempt::Done(answer) => Ok(*answer),
            Attempt::NoLeader | Attempt::Lost => Err(Error::NotLeader),
        }
    }
}

/// With a request id the write can be sent again whatever became of it; without one nobody can tell.
fn lost(leader: ServerId, write: &Write, problem: &str) -> Result<Attempt, Error> {
    if write.is_repeatable() {
        tracing::debug!(%leader, problem, "a forwarded write was lost, trying again");
        return Ok(Attempt::Lost);
    }
    tracing::info!(%leader, problem, "a forwarded write was lost");
    Err(Error::Unknown { retryable: false })
}

fn read_outcome(write: &Write, outcome: ForwardedOutcome) -> Result<Attempt, Error> {
    match outcome.result {
        Some(Forwarded::Response(encoded)) => {
            let reply = Reply::decode(write, encoded)?;
            Ok(Attempt::done(Answer { reply, warnings: outcome.warnings }))
        }
        Some(Forwarded::Refusal(refusal)) if status::says_not_leader(&refusal) => Ok(Attempt::NoLeader),
        Some(Forwarded::Refusal(refusal)) => Err(Error::Forwarded(Box::new(refusal))),
        None => Err(Error::BadMessage("the leader's answer is empty".to_owned())),
    }
}

/// Whether the connection failed before the request could have been sent.
fn never_arrived(status: &tonic::Status) -> bool {
    let mut source = std::error::Error::source(status);
    while let Some(error) = source {
        if error.is::<boss_base::tls::ConnectError>() {
            return true;
        }
        source = error.source();
    }
    false
}
