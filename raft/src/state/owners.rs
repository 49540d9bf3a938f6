//! Who names whom as owner: dependents by their owner's uid, kept in step with the objects. Part of no hash: it
//! follows from the objects. Knows no rule about deletion.

use boss_proto::{
    ids::{Revision, Uid},
    key::Key,
};
use rpds::{RedBlackTreeMapSync, RedBlackTreeSetSync};

use super::{finalizers, record::Record};

/// Dependents by owner. Cloning costs nothing; a clone never changes.
#[derive(Debug, Clone)]
pub struct Owners {
    by_owner: RedBlackTreeMapSync<Uid, RedBlackTreeSetSync<Key>>,
    /// Objects whose deletion waits for their dependents.
    waiting: RedBlackTreeSetSync<Key>,
    /// Revision of the last write that may give the garbage collector something to do.
    moved: Revision,
}

impl Default for Owners {
    fn default() -> Self {
        Self {
            by_owner: RedBlackTreeMapSync::new_sync(),
            waiting: RedBlackTreeSetSync::new_sync(),
            moved: Revision::ZERO,
        }
    }
}

impl Owners {
    /// Every uid that is named as an owner, with what names it, in order.
    pub fn iter(&self) -> impl Iterator<Item = (&Uid, impl Iterator<Item = &Key>)> {
        self.by_owner.iter().map(|(uid, keys)| (uid, keys.iter()))
    }

    /// What names this uid as an owner, in key order.
    pub fn dependents(&self, owner: &Uid) -> impl Iterator<Item = &Key> {
        self.by_owner.get(owner).into_iter().flat_map(RedBlackTreeSetSync::iter)
    }

    /// Objects whose deletion waits for their dependents, in key order.
    pub fn waiting(&self) -> impl Iterator<Item = &Key> {
        self.waiting.iter()
    }

    /// Revision of the last write that changed who owns whom, or took an owner away.
    #[must_use]
    pub fn moved(&self) -> Revision {
        self.moved
    }

    pub(super) fn add(&mut self, record: &Record) {
        if waits(record) {
            self.waiting.insert_mut(record.key.clone());
        }
        for owner in &record.metadata().owner_references {
            let uid = Uid::new(&*owner.uid);
            let mut keys = self.by_owner.get(&uid).cloned().unwrap_or_else(RedBlackTreeSetSync::new_sync);
            keys.insert_mut(record.key.clone());
            self.by_owner.insert_mut(uid, keys);
        }
    }

    pub(super) fn remove(&mut self, record: &Record) {
        if waits(record) {
            self.waiting.remove_mut(&record.key);
        }
        for owner in &record.metadata().owner_references {
            let uid = Uid::new(&*owner.uid);
            let Some(keys) = self.by_owner.get(&uid) else { continue };
            let mut keys = keys.clone();
            keys.remove_mut(&record.key);
            if keys.is_empty() {
                self.by_owner.remove_mut(&uid);
            } else {
                self.by_owner.insert_mut(uid, keys);
            }
        }
    }

    /// Takes note of a write if the garbage collector should look at what it did.
    pub(super) fn note(&mut self, before: Option<&Record>, now: Option<&Record>, revision: Revision) {
        let is_owner = |record: &Record| self.by_owner.contains_key(&record.uid());
        let concerns = match (before, now) {
            (Some(gone), None) => is_owner(gone) || !gone.metadata().owner_references.is_empty(),
            (before, Some(now)) => {
                let owners = &now.metadata().owner_references;
                let unchanged = before.is_some_and(|before| before.metadata().owner_references == *owners);
                waits(now) || !(unchanged || owners.is_empty())
            }
            (None, None) => false,
        };
        if concerns {
            self.moved = revision;
        }
    }
}

fn waits(record: &Record) -> bool {
    let ours = |finalizer: &String| [finalizers::FOREGROUND, finalizers::ORPHAN].contains(&&**finalizer);
    record.is_terminating() && record.metadata().finalizers.iter().any(ours)
}
