//! Equal states at equal indexes: what servers of one cluster made of the same log. Asks nobody.

use std::collections::BTreeMap;

use super::{Verdict, broken};

/// What a server says of its state.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct State {
    /// Who.
    pub server: u64,
    /// The last entry that it applied.
    pub applied: u64,
    /// Of all that it holds.
    pub hash: String,
}

/// Compares states of servers; unknown unless all `servers` of them came to the same index.
#[must_use]
pub fn check(states: &[State], servers: usize) -> Verdict {
    let mut by_index: BTreeMap<u64, &State> = BTreeMap::new();
    for state in states {
        let other = *by_index.entry(state.applied).or_insert(state);
        if other.hash != state.hash {
            return broken(format!("two servers have different states at the same index: {other:?} and {state:?}"));
        }
    }
    let complete = states.len() == servers && by_index.len() == 1 && states.iter().all(|state| !state.hash.is_empty());
    if complete { Verdict::Valid } else { Verdict::Unknown(format!("not all servers came to one index: {states:?}")) }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn equal_hashes_are_good_other_hashes_are_not_and_other_indexes_say_nothing() {
        let state = |server, applied, hash: &str| State { server, applied, hash: hash.into() };
        assert!(check(&[state(1, 7, "a"), state(2, 7, "a")], 2).is_valid());
        assert!(matches!(check(&[state(1, 7, "a"), state(2, 7, "b")], 2), Verdict::Invalid(_)));
        assert!(matches!(check(&[state(1, 7, "a"), state(2, 8, "b")], 2), Verdict::Unknown(_)));
        assert!(matches!(check(&[state(1, 7, "a")], 2), Verdict::Unknown(_)));
    }
}
