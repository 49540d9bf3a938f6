//! What operators ask of the registry as a whole: forgetting old revisions, and comparing the members' states.

use std::time::Duration;

use boss_proto::{
    ids::ServerId,
    peer::v1::TakeSnapshotRequest,
    raft::v1::{Caller, Compact, operation::Action},
    v1,
};
use boss_raft::{HashAnswer, ProposeError};

use super::{Members, plane, store::own_caller};
use crate::{api::Error, writes};

/// A server that does not take a snapshot within it is passed over.
const PEER_TIMEOUT: Duration = Duration::from_secs(2);

impl Members {
    pub(super) async fn compact(
        &self,
        caller: &Caller,
        request: v1::CompactRequest,
    ) -> Result<v1::CompactResponse, Error> {
        let current = self.0.raft.view().revision().0;
        let revision = if request.revision == 0 { current } else { request.revision };
        // The operation stands on the control plane's object, so there must be one.
        let members = self.0.raft.members();
        self.edit(&own_caller("compaction"), |spec| {
            plane::note_ids(spec, &members);
            Ok(())
        })
        .await?;
        let term = self.leading_term()?;
        self.propose(term, caller, Action::Compact(Compact { revision }), None).await?;
        let floor = self.0.raft.view().history().floor().0;
        self.tidy_up().await;
        Ok(v1::CompactResponse { floor })
    }

    pub(super) async fn check_hashes(&self) -> Result<v1::CheckHashesResponse, Error> {
        let check = self.0.raft.check_hashes().await.map_err(|error| match error {
            ProposeError::NotLeader { .. } => Error::Write(writes::Error::NotLeader),
            other => Error::Unavailable(other.to_string()),
        })?;
        let answered = |answer: &HashAnswer| v1::HashAnswer {
            id: answer.id.0,
            voter: answer.voter,
            hash: answer.hash.as_ref().map(ToString::to_string).unwrap_or_default(),
            error: answer.hash.as_ref().err().cloned().unwrap_or_default(),
        };
        Ok(v1::CheckHashesResponse {
            index: check.index,
            verdict: check.verdict.as_str().to_owned(),
            agreed_hash: check.agreed.map(|hash| hash.to_string()).unwrap_or_default(),
            servers: check.answers.iter().map(answered).collect(),
        })
    }

    /// Snapshots everywhere; a server that cannot now does it by its own bounds later.
    async fn tidy_up(&self) {
        let own = self.0.raft.server_id();
        let ask = async |id: ServerId| {
            let asked = async {
                match id == own {
                    true => self.0.raft.take_snapshot().await.map_err(|error| error.to_string()),
                    false => {
                        let mut client = self.0.peers.client(id).map_err(|error| error.to_string())?;
                        let answer = client.take_snapshot(TakeSnapshotRequest {}).await;
                        answer.map(drop).map_err(|status| status.message().to_owned())
                    }
                }
            };
            match tokio::time::timeout(PEER_TIMEOUT, asked).await {
                Ok(Ok(())) => {}
                Ok(Err(problem)) => tracing::warn!(server = %id, problem, "no snapshot after the compaction"),
                Err(_) => tracing::warn!(server = %id, "no snapshot after the compaction: no answer"),
            }
        };
        futures_util::future::join_all(self.0.raft.members().into_iter().map(|member| ask(member.id))).await;
    }
}
