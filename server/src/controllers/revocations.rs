//! Forgets revocations whose credentials have expired anyway.

use std::{sync::Arc, time::Duration};

use boss_base::clock::Clock;
use boss_proto::{kind::Kind, object::Resource, v1::Revocation};
use boss_raft::state::{Record, View};

use super::{
    driver::{Controller, Error, NextRun},
    leader::{Leader, Write},
    was_written,
};

/// How far clocks may differ, many times: a credential must be over on every server before its revocation goes.
const MARGIN: Duration = Duration::from_secs(5 * 60);
/// How often to look; a revocation that is kept for longer does no harm.
const INTERVAL: Duration = Duration::from_secs(60);

/// Keeps the revocations to those that are needed.
pub(super) struct Revocations {
    leader: Leader,
    clock: Arc<dyn Clock>,
}

impl Revocations {
    /// For one term.
    #[must_use]
    pub(super) fn new(leader: Leader, clock: Arc<dyn Clock>) -> Self {
        Self { leader, clock }
    }
}

impl Controller for Revocations {
    const NAME: &'static str = "revocations";

    async fn reconcile(&mut self) -> Result<NextRun, Error> {
        let over = over(&self.leader.view(), self.clock.unix_seconds());
        let writes = over.iter().map(|record| Write::delete(record)).collect();
        for (outcome, record) in self.leader.write(writes).await?.iter().zip(&over) {
            was_written(outcome, &record.key)?;
        }
        Ok(NextRun::Within(INTERVAL))
    }

    /// Nothing but time ends them.
    async fn changed(&mut self) {
        std::future::pending().await
    }
}

fn over(view: &View, now: u64) -> Vec<Arc<Record>> {
    let now = i64::try_from(now.saturating_sub(MARGIN.as_secs())).unwrap_or(i64::MAX);
    let is_over = |record: &&Arc<Record>| {
        let spec = Revocation::from_object(&record.object).and_then(|revocation| revocation.spec.as_ref());
        spec.and_then(|spec| spec.expires_at).is_some_and(|end| end.seconds <= now)
    };
    view.list(Kind::Revocation, None).filter(is_over).cloned().collect()
}

#[cfg(test)]
mod tests {
    use boss_proto::v1::{ObjectMeta, RevocationSpec};
    use boss_raft::state::credentials::Target;
    use pbjson_types::Timestamp;

    use super::*;
    use crate::controllers::testing::registry_with;

    const NOW: u64 = 1_800_000_000;

    fn revocation(id: &str, expires_at: Option<u64>) -> Revocation {
        let expires_at = expires_at.map(|at| Timestamp { seconds: i64::try_from(at).unwrap(), nanos: 0 });
        let metadata = Some(ObjectMeta { name: Target::Token(id).revocation_name(), ..ObjectMeta::default() });
        let spec = RevocationSpec { token_id: id.to_owned(), expires_at, ..RevocationSpec::default() };
        Revocation { metadata, spec: Some(spec), ..Revocation::default() }
    }

    #[test]
    fn a_revocation_goes_only_after_its_credential_has_expired_on_every_clock() {
        let margin = MARGIN.as_secs();
        let view = registry_with([
            revocation("over", Some(NOW - margin)),
            revocation("just-over", Some(NOW - margin + 1)),
            revocation("later", Some(NOW + 1)),
            revocation("for-ever", None),
        ]);
        let names: Vec<_> = over(&view, NOW).iter().map(|record| record.key.name.clone()).collect();
        assert_eq!(names, [Target::Token("over").revocation_name()]);
    }
}
