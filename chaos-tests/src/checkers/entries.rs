//! What is committed is committed once: every server has the same operations with the same outcomes at the same place of
//! the log, from the leader of one term, and terms never go back. From what servers keep in their audits. Asks nobody.

use std::collections::BTreeMap;

use super::{Verdict, broken};

/// One operation of an entry, as a server has kept it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Kept {
    /// Of the entry.
    pub index: u64,
    /// Of the leader that had it committed.
    pub term: u64,
    /// Within the entry.
    pub ordinal: u64,
    /// Who did what, and what came of it.
    pub told: String,
}

/// Fewer say nothing.
const ENOUGH: usize = 30;

/// The judgement of what each server has kept, in its order.
#[must_use]
pub fn check(servers: &[(u64, Vec<Kept>)]) -> Verdict {
    let mut all: BTreeMap<(u64, u64), (u64, &Kept)> = BTreeMap::new();
    for (server, kept) in servers {
        if let Some(pair) = kept.windows(2).find(|pair| pair[1].index < pair[0].index || pair[1].term < pair[0].term) {
            return broken(format!("server-{server} went back: {:?}, then {:?}", pair[0], pair[1]));
        }
        for now in kept {
            let (other, before) = *all.entry((now.index, now.ordinal)).or_insert((*server, now));
            if before != now {
                return broken(format!("server-{other} has {before:?}, and server-{server} {now:?}"));
            }
        }
    }
    if servers.iter().any(|(_, kept)| kept.len() < ENOUGH) {
        let counts: Vec<(u64, usize)> = servers.iter().map(|(server, kept)| (*server, kept.len())).collect();
        return Verdict::Unknown(format!("servers have kept too little, by their ids: {counts:?}"));
    }
    Verdict::Valid
}

#[cfg(test)]
mod tests {
    use super::*;

    fn kept(index: u64, term: u64, told: &str) -> Kept {
        Kept { index, term, ordinal: 0, told: told.into() }
    }

    fn log() -> Vec<Kept> {
        (1..=40).map(|index| kept(index, 1 + index / 20, "done")).collect()
    }

    #[test]
    fn equal_entries_are_good_also_when_a_server_has_only_the_later_ones() {
        assert!(check(&[(1, log()), (2, log()), (3, log()[5..].to_vec())]).is_valid());
        assert!(matches!(check(&[(1, log()), (2, log()[..5].to_vec())]), Verdict::Unknown(_)));
    }

    #[test]
    fn another_term_outcome_or_order_is_noticed() {
        for other in [kept(30, 3, "done"), kept(30, 2, "refused")] {
            let mut odd = log();
            odd[29] = other;
            assert!(matches!(check(&[(1, log()), (2, odd)]), Verdict::Invalid(_)));
        }
        let mut back = log();
        back.swap(10, 11);
        assert!(matches!(check(&[(1, back)]), Verdict::Invalid(_)));
    }
}
