//! The views that long lists read from, kept for a while so that a list that was begun here goes on even when the
//! history no longer reaches back to it. Views share almost everything, so that keeping one costs what has changed since.

use std::{
    collections::VecDeque,
    sync::{Arc, Mutex, PoisonError},
    time::Duration,
};

use boss_base::clock::Clock;
use boss_proto::ids::Revision;
use boss_raft::state::View;

/// Views kept at most; the oldest goes first.
const VIEWS_MAX: usize = 64;
/// A list that pauses for so long begins again.
const AGE_MAX: Duration = Duration::from_secs(5 * 60);

struct Kept {
    view: View,
    used_at: Duration,
}

/// The views that lists in progress read from.
pub(super) struct Pages {
    kept: Mutex<VecDeque<Kept>>,
    clock: Arc<dyn Clock>,
}

impl Pages {
    pub(super) fn new(clock: Arc<dyn Clock>) -> Self {
        Self { kept: Mutex::default(), clock }
    }

    /// Keeps the view of a list that is not finished.
    pub(super) fn keep(&self, view: &View) {
        let now = self.clock.monotonic();
        let mut kept = self.kept.lock().unwrap_or_else(PoisonError::into_inner);
        kept.retain(|kept| kept.view.revision() != view.revision() && now.saturating_sub(kept.used_at) < AGE_MAX);
        if kept.len() >= VIEWS_MAX {
            kept.pop_front();
        }
        kept.push_back(Kept { view: view.clone(), used_at: now });
    }

    /// The view of an unfinished list, if it is still there.
    pub(super) fn find(&self, revision: Revision) -> Option<View> {
        let kept = self.kept.lock().unwrap_or_else(PoisonError::into_inner);
        kept.iter().find(|kept| kept.view.revision() == revision).map(|kept| kept.view.clone())
    }
}

#[cfg(test)]
mod tests {
    use boss_base::clock::testing::ManualClock;

    use super::*;

    #[test]
    fn a_view_is_kept_until_it_is_too_old() {
        let clock = Arc::new(ManualClock::new(0, 1));
        let pages = Pages::new(clock.clone());
        let view = View::default();
        pages.keep(&view);
        assert!(pages.find(Revision(0)).is_some());
        assert!(pages.find(Revision(1)).is_none());
    }
}
