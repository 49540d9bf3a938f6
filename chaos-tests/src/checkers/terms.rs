//! At most one server leads in a term. From what servers say of themselves.

use std::collections::BTreeMap;

use super::{Verdict, broken};
use crate::sample::Sample;

/// The judgement of all samples; unknown when nobody was ever seen to lead.
#[must_use]
pub fn check(samples: &[Sample]) -> Verdict {
    let mut leaders: BTreeMap<u64, u64> = BTreeMap::new();
    for sample in samples {
        let Some(seen) = sample.seen.filter(|seen| seen.leads) else { continue };
        let other = *leaders.entry(seen.term).or_insert(sample.server);
        if other != sample.server {
            let (term, server) = (seen.term, sample.server);
            return broken(format!("server-{other} and server-{server} both led in term {term}"));
        }
    }
    if leaders.is_empty() { Verdict::Unknown("nobody was seen to lead".to_owned()) } else { Verdict::Valid }
}

#[cfg(test)]
pub(super) mod tests {
    use super::*;
    use crate::sample::Seen;

    pub(in crate::checkers) fn sample(at_ns: u64, server: u64, leads: bool, term: u64, size: u64) -> Sample {
        let seen = Seen { leads, term, applied: 1, revision: 1, resident_bytes: size, open_files: size };
        Sample { at_ns, server, seen: Some(seen) }
    }

    #[test]
    fn one_leader_for_each_term_is_good_and_two_are_not() {
        let good = [sample(1, 1, true, 3, 0), sample(2, 2, false, 3, 0), sample(3, 2, true, 4, 0)];
        assert!(check(&good).is_valid());
        let two = [&good[..], &[sample(4, 1, true, 4, 0)]].concat();
        assert!(matches!(check(&two), Verdict::Invalid(_)));
        assert!(matches!(check(&good[1..2]), Verdict::Unknown(_)));
    }
}
