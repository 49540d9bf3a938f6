//! What a revocation need not say: who makes it, until when it must be kept, and which credentials it still lets count.

use std::time::Duration;

use boss_proto::{
    limits::BOOTSTRAP_TOKEN_LIFETIME_MAX,
    object::Resource,
    v1::{Object, Revocation, object::Body},
};
use pbjson_types::Timestamp;

use super::Case;

/// No credential of the cluster is good for longer.
const CREDENTIAL_LIFETIME_MAX: Duration = BOOTSTRAP_TOKEN_LIFETIME_MAX;

impl Case<'_> {
    /// Fills in what is left out of a revocation; other objects stay as they are.
    pub(super) fn fill_revocation(&self, object: &mut Object, stored: Option<&Object>) {
        let Some(Body::Revocation(revocation)) = &mut object.body else { return };
        let Some(spec) = &mut revocation.spec else { return };
        let stored = stored.and_then(Revocation::from_object).and_then(|stored| stored.spec.as_ref());
        let now = self.stamp.now_ms / 1_000;
        spec.revoked_by = match stored {
            Some(stored) if stored.generation == spec.generation => stored.revoked_by.clone(),
            _ => self.identity.username.clone(),
        };
        if !spec.subject.is_empty() && spec.generation == 0 {
            // Whatever was issued up to now is older, and so is what an earlier revocation let count.
            let before = stored.map_or(0, |stored| stored.generation);
            spec.generation = (now + 1).max(before + 1);
        }
        if spec.expires_at.is_none() {
            let seconds = now.saturating_add(CREDENTIAL_LIFETIME_MAX.as_secs());
            spec.expires_at = Some(Timestamp { seconds: i64::try_from(seconds).unwrap_or(i64::MAX), nanos: 0 });
        }
    }
}
