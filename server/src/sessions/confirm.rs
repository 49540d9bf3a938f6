//! The leader asks a majority whether it still leads. Knows no heartbeat.

use std::time::Duration;

use super::Sessions;

/// A majority that has not answered by now will not in this round.
const CONFIRM_MAX: Duration = Duration::from_secs(2);

impl Sessions {
    /// Whether a majority has confirmed, in a round that began after this call, that this server leads in `term`.
    pub(super) async fn confirm(&self, term: u64) -> bool {
        let confirmed = tokio::time::timeout(CONFIRM_MAX, self.parts.handle.confirm_leadership()).await;
        // It may lead in a later term by now, in which another memory of the nodes has begun.
        matches!(confirmed, Ok(Ok(()))) && self.leading_term() == Some(term)
    }

    /// The term in which this server leads and may act.
    pub(super) fn leading_term(&self) -> Option<u64> {
        let leadership = *self.parts.handle.leadership().borrow();
        (leadership.is_self && leadership.ready).then_some(leadership.term)
    }
}
