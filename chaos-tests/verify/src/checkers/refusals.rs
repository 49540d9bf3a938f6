//! Clients ask for nothing that may be refused but for the state of the object: whoever is told otherwise has no right
//! here, or the cluster is wrong. Knows no cluster.

use super::Verdict;
use crate::history::{Event, REFUSED, What};

/// Unknown if anything was refused: then the clients did not do what they were to do.
#[must_use]
pub fn check(events: &[Event]) -> Verdict {
    let refused = events.iter().find_map(|event| match &event.what {
        What::Fail { why } => why.strip_prefix(REFUSED),
        _ => None,
    });
    refused.map_or(Verdict::Valid, |why| Verdict::Unknown(format!("a client was refused: {why}")))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_refusal_is_no_success_and_an_election_is_no_refusal() {
        let fail = |why: String| Event { at_ns: 1, process: 1, what: What::Fail { why } };
        assert!(check(&[fail("no leader".to_owned())]).is_valid());
        let refused = check(&[fail(format!("{REFUSED}forbidden"))]);
        assert_eq!(refused, Verdict::Unknown("a client was refused: forbidden".to_owned()));
    }
}
