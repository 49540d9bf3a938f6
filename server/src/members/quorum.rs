//! Whether the voters that really answer are enough. Pure.

use std::collections::BTreeSet;

use boss_proto::{ids::ServerId, v1::MembershipChange};

/// Too few of the voters answer.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error(
    "the quorum would be lost: of the voters {} a majority of {need} must answer and be caught up, but only {} do",
    list(.voters), list(.fit)
)]
pub struct QuorumLost {
    /// Who would vote.
    pub voters: BTreeSet<ServerId>,
    /// Those of them that answer and are caught up.
    pub fit: BTreeSet<ServerId>,
    /// How many it takes.
    pub need: usize,
}

fn list(ids: &BTreeSet<ServerId>) -> String {
    if ids.is_empty() {
        return "none".to_owned();
    }
    ids.iter().map(ToString::to_string).collect::<Vec<_>>().join(", ")
}

/// Whether these voters could decide anything, going by who answers now.
pub(crate) fn check_quorum(voters: &BTreeSet<ServerId>, fit: &BTreeSet<ServerId>) -> Result<(), QuorumLost> {
    let need = voters.len() / 2 + 1;
    let fit: BTreeSet<ServerId> = voters.intersection(fit).copied().collect();
    if !voters.is_empty() && fit.len() >= need { Ok(()) } else { Err(QuorumLost { voters: voters.clone(), fit, need }) }
}

/// The voters once the change is done.
pub(crate) fn voters_after(voters: &[ServerId], change: &MembershipChange) -> BTreeSet<ServerId> {
    let kept = voters.iter().copied().filter(|id| id.0 != change.remove_id);
    kept.chain(change.add.iter().map(|member| ServerId(member.id))).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn ids(ids: &[u64]) -> BTreeSet<ServerId> {
        ids.iter().map(|id| ServerId(*id)).collect()
    }

    fn check(voters: &[u64], fit: &[u64], holds: bool) {
        assert_eq!(check_quorum(&ids(voters), &ids(fit)).is_ok(), holds, "{voters:?} of which {fit:?} answer");
    }

    #[test]
    fn a_majority_of_the_voters_must_answer() {
        check(&[1], &[1], true);
        check(&[1, 2], &[1], false);
        check(&[1, 2, 3], &[1, 3], true);
        check(&[1, 2, 3], &[1, 7, 8], false);
        check(&[1, 2, 3, 4], &[1, 2], false);
        check(&[], &[1], false);
    }

    #[test]
    fn the_refusal_names_who_is_missing() {
        let error = check_quorum(&ids(&[1, 2, 3]), &ids(&[1])).unwrap_err();
        let expected = "the quorum would be lost: of the voters 1, 2, 3 a majority of 2 must answer and be caught up, but \
                        only 1 do";
        assert_eq!(error.to_string(), expected);
    }

    #[test]
    fn a_replacement_changes_two_voters_at_once() {
        let add = Some(boss_proto::v1::Member { id: 4, ..Default::default() });
        let change = MembershipChange { add, remove_id: 2, ..Default::default() };
        assert_eq!(voters_after(&[1, 2, 3].map(ServerId), &change), ids(&[1, 3, 4]));
    }
}
