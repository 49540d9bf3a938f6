//! The leader asks a majority whether it still leads. Knows no heartbeat.

use std::time::Duration;

use super::Sessions;

/// A majority that has not answered by now will not in this round.
const CONFIRM_MAX: Duration = Duration::from_secs(2);

impl Sessions {
    /// Whether a majority has confirmed, in a round that began after this call, that this server leads in `term`.
    pub(super) async fn confirm(&self, term: u64) -> bool {
        let handle = &self.parts.handle;
        let confirmed = tokio::time::timeout(CONFIRM_MAX, handle.linearizable()).await;
        // A server that was deposed meanwhile reads through its successor, so that the read alone proves nothing.
        matches!(confirmed, Ok(Ok(_))) && self.leads_in(term)
    }

    /// The term in which this server leads and may act.
    pub(super) fn leading_term(&self) -> Option<u64> {
        let leadership = *self.parts.handle.leadership().borrow();
        (leadership.is_self && leadership.ready).then_some(leadership.term)
    }

    fn leads_in(&self, term: u64) -> bool {
        self.leading_term() == Some(term)
    }
}
