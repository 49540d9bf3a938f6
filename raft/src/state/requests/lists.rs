//! Effects by request id: sorted lists that never change, few and long for the old ones. A clone costs one reference
//! count, and what is added costs the same however many there are. Knows nothing of time and limits.

use std::sync::Arc;

use boss_proto::ids::Revision;

use super::{Effect, Remembered, RequestKey};

/// Effects of the shortest list: these are looked through one by one until they are one.
pub(super) const SHORTEST: usize = 256;
/// So many lists of one length become one.
const MERGED: usize = 16;
/// Lists that are merged no more have `SHORTEST * MERGED^2` effects, and are dropped as a whole when they are old.
const TALLEST: u32 = 2;

/// See the file's head.
#[derive(Debug, Clone, Default)]
pub(super) struct Lists(Arc<Vec<Arc<List>>>);

#[derive(Debug)]
struct List {
    by_key: Vec<Remembered>,
    /// The newest revision in it.
    last: Revision,
    /// How often it was merged.
    height: u32,
}

impl Lists {
    /// Adds effects that are newer than all before.
    pub(super) fn add(&mut self, effects: Vec<Remembered>) {
        let lists = Arc::make_mut(&mut self.0);
        lists.push(Arc::new(List::new(effects, 0)));
        for height in 0..TALLEST {
            let alike = lists.iter().rev().take_while(|list| list.height == height).count();
            if alike < MERGED {
                return;
            }
            let merged = lists.split_off(lists.len() - alike);
            let effects = merged.iter().flat_map(|list| list.by_key.iter().cloned()).collect();
            lists.push(Arc::new(List::new(effects, height + 1)));
        }
    }

    /// The effect of an id, if it is newer than a revision.
    pub(super) fn find(&self, key: RequestKey, after: Revision) -> Option<&Arc<Effect>> {
        self.0.iter().rev().take_while(|list| list.last > after).find_map(|list| list.find(key, after))
    }

    /// Nobody asks for effects up to this revision any more.
    pub(super) fn drop_through(&mut self, revision: Revision) {
        let dropped = self.0.iter().take_while(|list| list.last <= revision).count();
        if dropped > 0 {
            Arc::make_mut(&mut self.0).drain(..dropped);
        }
    }
}

impl List {
    fn new(mut by_key: Vec<Remembered>, height: u32) -> Self {
        let last = by_key.iter().map(|known| known.revision).max().unwrap_or_default();
        // Stable, for it takes sorted parts as they are.
        by_key.sort_by_key(|known| known.key);
        Self { by_key, last, height }
    }

    fn find(&self, key: RequestKey, after: Revision) -> Option<&Arc<Effect>> {
        let at = self.by_key.binary_search_by_key(&key, |known| known.key).ok()?;
        let known = &self.by_key[at];
        (known.revision > after).then_some(&known.effect)
    }
}
