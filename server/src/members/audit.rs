//! Heads of the members' audits: the leader asks each for its own and has them committed, so that a file that is cut or
//! written anew no longer fits what the registry remembers. Knows no file.

use std::time::Duration;

use boss_proto::{
    ids::{ServerId, Uid},
    key::Key,
    kind::Kind,
    object::Resource,
    raft::v1::{Create, Update, operation::Action},
    v1::{AuditHead, AuditHeadSpec, AuditState, ObjectMeta, Preconditions, ServerStatus},
};
use pbjson_types::Timestamp;
use tokio_util::sync::CancellationToken;

use super::{Members, store::own_caller};

/// How often the members are asked.
const ASK_INTERVAL: Duration = Duration::from_secs(5);
/// So many new records are committed at once,
const RECORDS_DUE: u64 = 1_000;
/// and fewer after so many seconds.
const AGE_DUE_SECONDS: u64 = 30;

impl Members {
    pub(crate) fn describe_audit(&self, status: &mut ServerStatus) {
        status.audit = self.0.audit.state();
    }

    /// Has heads committed for as long as this server leads, whenever it does.
    pub(crate) async fn keep_audit_heads(self, token: CancellationToken) {
        let keep = async {
            loop {
                tokio::time::sleep(ASK_INTERVAL).await;
                if self.leading_term().is_ok() {
                    self.commit_audit_heads().await;
                }
            }
        };
        token.run_until_cancelled(keep).await;
    }

    async fn commit_audit_heads(&self) {
        let all = self.describe_all().await;
        let members = all.len() as u64;
        for (member, answer) in all {
            let Some(state) = answer.ok().and_then(|status| status.audit) else { continue };
            if !state.problem.is_empty() {
                tracing::warn!(server = %member.id, problem = %state.problem, "the audit of a server cannot be written");
            }
            self.commit_audit_head(member.id, &state, members).await;
        }
    }

    async fn commit_audit_head(&self, server: ServerId, state: &AuditState, members: u64) {
        let (view, now_s) = (self.0.raft.view(), self.0.clock.unix_seconds());
        let key = Key::cluster(Kind::AuditHead, format!("server-{server}"));
        let record = view.get(&key).cloned();
        let stored = record.as_ref().and_then(|record| AuditHead::from_object(&record.object));
        let before = stored.and_then(|head| head.spec.clone()).unwrap_or_default();
        if !is_due(&before, state, members, now_s) {
            return;
        }
        let mut head = stored.cloned().unwrap_or_else(|| AuditHead {
            metadata: Some(ObjectMeta {
                name: key.name.clone(),
                uid: Uid::random().to_string(),
                ..ObjectMeta::default()
            }),
            ..AuditHead::default()
        });
        head.spec = Some(AuditHeadSpec {
            server_id: server.0,
            chain: state.chain.clone(),
            sequence: state.sequence,
            hash: state.hash.clone(),
            time: Some(Timestamp { seconds: i64::try_from(now_s).unwrap_or(i64::MAX), nanos: 0 }),
        });
        let object = Some(head.into_object());
        let (action, preconditions) = match &record {
            None => (Action::Create(Create { object }), None),
            Some(record) => {
                let resource_version = Some(record.revision.0);
                (Action::Update(Update { object }), Some(Preconditions { resource_version, uid: None }))
            }
        };
        let Ok(term) = self.leading_term() else { return };
        if let Err(error) = self.propose(term, &own_caller("audit"), action, preconditions).await {
            tracing::debug!(%error, %server, "the head of an audit could not be committed; the next one will be");
        }
    }
}

/// Whether enough is new. A head's own write is a record in every audit: those alone are no reason for another.
fn is_due(before: &AuditHeadSpec, state: &AuditState, members: u64, now_s: u64) -> bool {
    if before.chain != state.chain {
        return state.sequence > 0;
    }
    let new = state.sequence.saturating_sub(before.sequence);
    let then = before.time.as_ref().map_or(0, |time| u64::try_from(time.seconds).unwrap_or(0));
    new >= RECORDS_DUE || (new > members && now_s.saturating_sub(then) >= AGE_DUE_SECONDS)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_head_is_due_after_many_records_or_some_time_but_not_for_the_writes_of_heads() {
        let before = AuditHeadSpec {
            chain: "a".into(),
            sequence: 10,
            time: Some(Timestamp { seconds: 100, nanos: 0 }),
            ..AuditHeadSpec::default()
        };
        let state = |chain: &str, sequence| AuditState { chain: chain.into(), sequence, ..AuditState::default() };
        for (state, now_s, due) in [
            (state("a", 13), 1_000, false),
            (state("a", 14), 1_000, true),
            (state("a", 14), 110, false),
            (state("a", 1_010), 101, true),
            (state("b", 1), 101, true),
            (state("b", 0), 101, false),
        ] {
            assert_eq!(is_due(&before, &state, 3, now_s), due, "{state:?} at {now_s}");
        }
    }
}
