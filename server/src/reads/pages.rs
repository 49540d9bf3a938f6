//! Long lists in pages: a token pins the revision of the first page, and the server keeps that view for a while.
//! Views share almost everything, so that keeping one costs what has changed since.

use std::{
    collections::VecDeque,
    sync::{Arc, Mutex, PoisonError},
    time::Duration,
};

use boss_base::clock::Clock;
use boss_proto::{ids::Revision, key::Key};
use boss_raft::state::View;
use bytes::{Buf, BufMut, Bytes, BytesMut};

/// Views kept at most; the oldest goes first.
const VIEWS_MAX: usize = 64;
/// A list that pauses for so long begins again.
const AGE_MAX: Duration = Duration::from_secs(5 * 60);
/// First byte of a token.
const FORMAT: u8 = 1;
/// Kind, namespace and name have bounds; this is above all of them.
const TOKEN_BYTES_MAX: usize = 1_024;

/// Where the next page begins.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Token {
    /// Of the first page.
    pub(super) revision: Revision,
    /// Of kind, namespace and selectors: a token continues only its own list.
    pub(super) query: u64,
    /// The last key of the page before.
    pub(super) after: Key,
}

impl Token {
    pub(super) fn encode(&self) -> Bytes {
        let mut bytes = BytesMut::new();
        bytes.put_u8(FORMAT);
        bytes.put_u64(self.revision.0);
        bytes.put_u64(self.query);
        bytes.put(self.after.to_path().as_bytes());
        bytes.freeze()
    }

    pub(super) fn decode(mut bytes: &[u8]) -> Option<Self> {
        if bytes.len() > TOKEN_BYTES_MAX || bytes.try_get_u8().ok()? != FORMAT {
            return None;
        }
        let revision = Revision(bytes.try_get_u64().ok()?);
        let query = bytes.try_get_u64().ok()?;
        let after = Key::from_path(std::str::from_utf8(bytes).ok()?)?;
        Some(Self { revision, query, after })
    }
}

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
    use boss_proto::kind::Kind;

    use super::*;

    #[test]
    fn a_token_is_read_back_and_nonsense_is_not() {
        let token = Token { revision: Revision(7), query: 9, after: Key::new(Kind::Pod, "default", "web") };
        assert_eq!(Token::decode(&token.encode()), Some(token.clone()));
        for nonsense in [&b""[..], b"\x01", b"\x02aaaaaaaabbbbbbbb/registry/pods/a/b", &[1; 2_000]] {
            assert_eq!(Token::decode(nonsense), None);
        }
        let mut broken = token.encode().to_vec();
        broken.truncate(20);
        assert_eq!(Token::decode(&broken), None);
    }

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
