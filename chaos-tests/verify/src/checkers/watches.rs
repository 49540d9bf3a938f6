//! Watches are ordered, unique and complete: what a watcher was told is exactly what was written, in the order of
//! revisions. Knows no stream.

use std::collections::BTreeMap;

use crate::history::{Action, Answer, Operation};

/// What a watcher was told of one change: of which object, and its value; none for one that is gone.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Told {
    /// Of the change.
    pub revision: u64,
    /// Of which object.
    pub key: String,
    /// What it holds after it.
    pub value: Option<u64>,
}

/// Why a watch broke its promise.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum Broken {
    /// Later news of an earlier change, or the same again.
    #[error("told of revision {revision} after {before}")]
    Order {
        /// Told first.
        before: u64,
        /// Told then.
        revision: u64,
    },
    /// A change that was acknowledged was not told, or told otherwise.
    #[error("{key} was changed at {revision}, and the watch told {told:?}")]
    Missing {
        /// Of the change.
        revision: u64,
        /// Of which object.
        key: String,
        /// What the watch told for that revision.
        told: Option<Told>,
    },
    /// Nobody can have written that.
    #[error("nobody wrote what the watch told: {0:?}")]
    Invented(Told),
    /// Two watches differ.
    #[error("two watches differ at {0:?} and {1:?}")]
    Differ(Option<Told>, Option<Told>),
}

/// Checks one watch of all objects, from before the first operation until after the last.
pub fn check(operations: &[Operation], told: &[Told]) -> Result<(), Broken> {
    for pair in told.windows(2) {
        if pair[0].revision >= pair[1].revision {
            return Err(Broken::Order { before: pair[0].revision, revision: pair[1].revision });
        }
    }
    let by_revision: BTreeMap<u64, &Told> = told.iter().map(|told| (told.revision, told)).collect();
    let mut acknowledged = BTreeMap::new();
    let mut writers = BTreeMap::new();
    let mut unknown_deletes: BTreeMap<&str, usize> = BTreeMap::new();
    for operation in operations {
        let value = match operation.action {
            Action::Read => continue,
            Action::Delete => None,
            Action::Create { value } | Action::Cas { value, .. } | Action::Write { value } => Some(value),
        };
        match (operation.answer(), value) {
            (Some(Answer::Changed { revision }), _) => {
                acknowledged.insert(*revision, ());
                let expected = Told { revision: *revision, key: operation.key.clone(), value };
                let told = by_revision.get(revision).copied();
                if told != Some(&expected) {
                    let (revision, key) = (*revision, operation.key.clone());
                    return Err(Broken::Missing { revision, key, told: told.cloned() });
                }
            }
            (None, Some(value)) => drop(writers.insert((operation.key.as_str(), value), ())),
            (None, None) => *unknown_deletes.entry(&operation.key).or_default() += 1,
            (Some(_), _) => {}
        }
    }
    for told in told.iter().filter(|told| !acknowledged.contains_key(&told.revision)) {
        let explained = match told.value {
            Some(value) => writers.remove(&(told.key.as_str(), value)).is_some(),
            None => unknown_deletes.get_mut(told.key.as_str()).is_some_and(|left| {
                let some = *left > 0;
                *left = left.saturating_sub(1);
                some
            }),
        };
        if !explained {
            return Err(Broken::Invented(told.clone()));
        }
    }
    Ok(())
}

/// Checks that watches on different servers were told the same.
pub fn agree(first: &[Told], second: &[Told]) -> Result<(), Broken> {
    let longest = first.len().max(second.len());
    match (0..longest).find(|at| first.get(*at) != second.get(*at)) {
        Some(at) => Err(Broken::Differ(first.get(at).cloned(), second.get(at).cloned())),
        None => Ok(()),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::history::End;

    fn operation(action: Action, answer: Option<Answer>) -> Operation {
        let end = answer.map_or(End::Unknown, |answer| End::Ok { answer, at_ns: 2 });
        Operation { process: 1, key: "k".into(), action, began_ns: 1, end }
    }

    fn told(revision: u64, value: Option<u64>) -> Told {
        Told { revision, key: "k".into(), value }
    }

    fn written() -> Vec<Operation> {
        vec![
            operation(Action::Create { value: 1 }, Some(Answer::Changed { revision: 5 })),
            operation(Action::Write { value: 2 }, None),
            operation(Action::Delete, Some(Answer::Changed { revision: 9 })),
        ]
    }

    #[test]
    fn what_was_written_and_nothing_else_is_good() {
        let whole = [told(5, Some(1)), told(7, Some(2)), told(9, None)];
        assert_eq!(check(&written(), &whole), Ok(()));
        let without_unknown = [told(5, Some(1)), told(9, None)];
        assert_eq!(check(&written(), &without_unknown), Ok(()));
        assert!(agree(&whole, &without_unknown).is_err());
    }

    #[test]
    fn gaps_repeats_disorder_and_inventions_are_noticed() {
        let broken = |told: &[Told]| check(&written(), told).unwrap_err();
        assert!(matches!(broken(&[told(9, None)]), Broken::Missing { revision: 5, .. }));
        assert!(matches!(broken(&[told(5, Some(3)), told(9, None)]), Broken::Missing { .. }));
        assert!(matches!(broken(&[told(5, Some(1)), told(5, Some(1)), told(9, None)]), Broken::Order { .. }));
        assert!(matches!(broken(&[told(9, None), told(5, Some(1))]), Broken::Order { .. }));
        assert!(matches!(broken(&[told(5, Some(1)), told(6, Some(8)), told(9, None)]), Broken::Invented(_)));
        assert!(matches!(broken(&[told(5, Some(1)), told(6, None), told(9, None)]), Broken::Invented(_)));
    }
}
