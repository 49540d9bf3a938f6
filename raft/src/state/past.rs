//! The registry as it was: what stands now, with what the history knows of before put back in its place. As far back as
//! the history reaches, on every server alike.

use std::{collections::BTreeMap, iter::Peekable, sync::Arc};

use boss_proto::{ids::Revision, key::Key, kind::Kind, selector::Selector};

use super::{record::Record, registry::Registry, select::Candidates};

/// Why the registry cannot be shown as it was.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
pub enum PastError {
    /// The history does not reach back so far.
    #[error("the history does not reach back so far; the registry is at revision {current}")]
    Expired {
        /// The registry's revision.
        current: Revision,
    },
    /// That revision is still to come.
    #[error("the registry is only at revision {current}")]
    Ahead {
        /// The registry's revision.
        current: Revision,
    },
}

impl Registry {
    /// One object as it was after a revision; `None` when there was none.
    pub fn get_at(&self, key: &Key, revision: Revision) -> Result<Option<&Arc<Record>>, PastError> {
        self.check_kept(revision)?;
        let later = self.history().of_kind_after(key.kind, revision).find(|event| event.key() == key);
        Ok(match later {
            Some(event) => event.previous.as_ref(),
            None => self.get(key),
        })
    }

    /// What [`Registry::candidates`] were after a revision.
    pub fn candidates_at(
        &self,
        revision: Revision,
        kind: Kind,
        namespace: Option<&str>,
        selector: &Selector,
        after: Option<&Key>,
    ) -> Result<Candidates<'_>, PastError> {
        self.check_kept(revision)?;
        let mut changed: BTreeMap<&Key, Option<&Arc<Record>>> = BTreeMap::new();
        for event in self.history().of_kind_after(kind, revision) {
            let inside = namespace.is_none_or(|namespace| namespace == event.key().namespace);
            if inside && after.is_none_or(|after| event.key() > after) {
                // Of several changes the first tells what was before all of them.
                changed.entry(event.key()).or_insert(event.previous.as_ref());
            }
        }
        if changed.is_empty() {
            return Ok(self.candidates(kind, namespace, selector, after));
        }
        let before: Vec<&Arc<Record>> = changed.values().copied().flatten().collect();
        let unchanged = self.candidates(kind, namespace, selector, after);
        let unchanged = unchanged.filter(move |record| !changed.contains_key(&record.key));
        Ok(Box::new(Merged { one: unchanged.peekable(), two: before.into_iter().peekable() }))
    }

    fn check_kept(&self, revision: Revision) -> Result<(), PastError> {
        let current = self.revision();
        if revision > current {
            return Err(PastError::Ahead { current });
        }
        if revision < self.history().floor() {
            return Err(PastError::Expired { current });
        }
        Ok(())
    }
}

/// Two sequences in key order as one.
struct Merged<A: Iterator, B: Iterator> {
    one: Peekable<A>,
    two: Peekable<B>,
}

impl<'a, A, B> Iterator for Merged<A, B>
where
    A: Iterator<Item = &'a Arc<Record>>,
    B: Iterator<Item = &'a Arc<Record>>,
{
    type Item = &'a Arc<Record>;

    fn next(&mut self) -> Option<Self::Item> {
        match (self.one.peek(), self.two.peek()) {
            (Some(one), Some(two)) if two.key < one.key => self.two.next(),
            (Some(_), _) => self.one.next(),
            (None, _) => self.two.next(),
        }
    }
}

#[cfg(test)]
mod tests;
