//! Nothing is done without a right at its own place in the log, and who has a right is not refused: what tenants were told,
//! against a reference that knows nothing but when their one right was given and taken. Knows no cluster.

use std::collections::BTreeMap;

use super::{Verdict, broken};
use crate::history::{Call, Called, Reply};

/// Tenants of whom a run must have seen that they were let in and turned away.
const SEEN_MIN: usize = 1;

/// All that was asked of and by one tenant.
#[derive(Default)]
struct Tenant<'a> {
    changes: Vec<Change<'a>>,
    acts: Vec<(&'a Called, bool)>,
}

struct Change<'a> {
    gives: bool,
    called: &'a Called,
}

/// The judgement of all that tenants did. Each begins without the right, and nobody changes it but the calls. Unknown if no
/// tenant was seen with and without it.
#[must_use]
pub fn check(calls: &[Called]) -> Verdict {
    let mut tenants: BTreeMap<u64, Tenant> = BTreeMap::new();
    for called in calls {
        match called.call {
            Call::Grant { tenant } => tenants.entry(tenant).or_default().changes.push(Change { gives: true, called }),
            Call::Withdraw { tenant } => {
                tenants.entry(tenant).or_default().changes.push(Change { gives: false, called })
            }
            Call::Act { tenant, writes } => tenants.entry(tenant).or_default().acts.push((called, writes)),
            _ => {}
        }
    }
    if let Err(problem) = tenants.iter().try_for_each(|(number, tenant)| tenant.check(*number)) {
        return broken(problem);
    }
    match tenants.values().filter(|tenant| tenant.was_seen_both_ways()).count() {
        seen if seen >= SEEN_MIN => Verdict::Valid,
        seen => Verdict::Unknown(format!("of {} tenants {seen} were seen with and without a right", tenants.len())),
    }
}

impl Tenant<'_> {
    fn check(&self, number: u64) -> Result<(), String> {
        for Change { gives, called } in &self.changes {
            let done = if *gives { "given" } else { "taken away" };
            if let Some((_, reply @ (Reply::Exists | Reply::Absent))) = &called.reply {
                return Err(format!("a right of tenant {number} was to be {done} once, and the answer was {reply:?}"));
            }
        }
        for (act, writes) in &self.acts {
            let what = if *writes { "a write" } else { "a read" };
            let when = format!("asked at {} ns by process {}", act.began_ns, act.process);
            match &act.reply {
                // A write has a place of its own; a read is of the state at its revision.
                Some((_, Reply::Done { revision })) if !self.may_have_it(revision.saturating_sub(1), act) => {
                    return Err(format!(
                        "{what} of tenant {number} was done at revision {revision} without a right, {when}"
                    ));
                }
                Some((_, Reply::Seen { revision })) if !self.may_have_it(*revision, act) => {
                    return Err(format!(
                        "{what} of tenant {number} was answered at revision {revision} without a right, {when}"
                    ));
                }
                Some((ended_ns, Reply::Denied)) if self.has_it_all_the_time(act.began_ns, *ended_ns) => {
                    return Err(format!("{what} of tenant {number} was refused although he had the right, {when}"));
                }
                _ => {}
            }
        }
        Ok(())
    }

    /// Whether the tenant can have had the right in the state of this revision.
    fn may_have_it(&self, revision: u64, act: &Called) -> bool {
        let known = self.changes.iter().filter_map(|change| Some((change.called.revision()?, change.gives)));
        let last = known.filter(|(at, _)| *at <= revision).max_by_key(|(at, _)| *at);
        // Of unknown outcome: it may have come at any time since.
        let maybe = self
            .changes
            .iter()
            .any(|Change { gives, called }| *gives && called.reply.is_none() && called.began_ns < act.ended_ns());
        last.is_some_and(|(_, gives)| gives) || maybe
    }

    /// Whether the right was acknowledged before, and nobody even began to take it away until after.
    fn has_it_all_the_time(&self, began_ns: u64, ended_ns: u64) -> bool {
        let before = self.changes.iter().filter(|change| change.called.ended_ns() < began_ns);
        let last =
            before.filter_map(|change| Some((change.called.revision()?, change.gives))).max_by_key(|(at, _)| *at);
        let Some((given_at, true)) = last else { return false };
        let is_taken = |change: &Change<'_>| {
            let is_earlier = change.called.revision().is_some_and(|at| at < given_at);
            !change.gives && !is_earlier && change.called.began_ns < ended_ns
        };
        !self.changes.iter().any(is_taken)
    }

    fn was_seen_both_ways(&self) -> bool {
        let was = |wanted: fn(&Reply) -> bool| {
            self.acts.iter().any(|(act, _)| act.reply.as_ref().is_some_and(|(_, reply)| wanted(reply)))
        };
        was(|reply| matches!(reply, Reply::Done { .. } | Reply::Seen { .. })) && was(|reply| *reply == Reply::Denied)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const TENANT: u64 = 3;

    fn called(began_ns: u64, call: Call, reply: Option<Reply>) -> Called {
        Called { process: began_ns, call, began_ns, reply: reply.map(|reply| (began_ns + 5, reply)) }
    }

    fn grant(at: u64, revision: Option<u64>) -> Called {
        called(at, Call::Grant { tenant: TENANT }, revision.map(|revision| Reply::Done { revision }))
    }

    fn withdraw(at: u64, revision: Option<u64>) -> Called {
        called(at, Call::Withdraw { tenant: TENANT }, revision.map(|revision| Reply::Done { revision }))
    }

    fn write(at: u64, revision: u64) -> Called {
        called(at, Call::Act { tenant: TENANT, writes: true }, Some(Reply::Done { revision }))
    }

    fn read(at: u64, revision: u64) -> Called {
        called(at, Call::Act { tenant: TENANT, writes: false }, Some(Reply::Seen { revision }))
    }

    fn denied(at: u64) -> Called {
        called(at, Call::Act { tenant: TENANT, writes: true }, Some(Reply::Denied))
    }

    #[track_caller]
    fn says(calls: &[Called], problem: &str) {
        match check(calls) {
            Verdict::Invalid(explanation) => assert!(explanation.problem.contains(problem), "{explanation}"),
            other => panic!("expected {problem:?}, got {other:?}"),
        }
    }

    #[test]
    fn a_right_counts_from_its_place_in_the_log_to_that_of_its_end() {
        let good = [
            denied(0),
            grant(10, Some(5)),
            // Beside the change it may go either way.
            denied(11),
            write(12, 6),
            write(30, 8),
            read(35, 8),
            withdraw(40, Some(10)),
            write(41, 9),
            denied(42),
            read(43, 9),
            denied(60),
            grant(70, Some(20)),
            read(80, 20),
        ];
        assert_eq!(check(&good), Verdict::Valid);
    }

    #[test]
    fn what_is_done_without_a_right_is_found() {
        says(&[write(0, 4), denied(1)], "at revision 4 without a right");
        says(&[grant(0, Some(5)), withdraw(10, Some(8)), write(11, 9)], "at revision 9 without a right");
        says(&[grant(0, Some(5)), withdraw(10, Some(8)), read(30, 8)], "a read of tenant 3 was answered at revision 8");
        // At the revision of its end the right is gone for what comes after, and counted for what came before.
        assert!(!matches!(check(&[grant(0, Some(5)), withdraw(10, Some(8)), read(11, 7)]), Verdict::Invalid(_)));
    }

    #[test]
    fn who_is_refused_although_he_had_the_right_is_found() {
        says(&[grant(0, Some(5)), write(10, 6), denied(20), withdraw(40, Some(10))], "although he had the right");
        // One that was taken away once and given again.
        let again = [grant(0, Some(5)), withdraw(10, Some(6)), grant(20, Some(7)), denied(30)];
        says(&again, "although he had the right");
    }

    #[test]
    fn a_change_of_unknown_outcome_explains_both() {
        let maybe_given = [grant(0, None), write(10, 4), denied(20)];
        assert_eq!(check(&maybe_given), Verdict::Valid);
        let maybe_taken = [grant(0, Some(5)), withdraw(10, None), write(20, 6), denied(30)];
        assert_eq!(check(&maybe_taken), Verdict::Valid);
        let too_early = [write(0, 4), grant(10, None), denied(20)];
        says(&too_early, "without a right");
    }

    #[test]
    fn a_change_that_was_done_twice_is_found() {
        let twice = called(0, Call::Grant { tenant: TENANT }, Some(Reply::Exists));
        says(&[twice], "the answer was Exists");
    }

    #[test]
    fn a_run_that_saw_one_side_only_says_nothing() {
        assert!(matches!(check(&[grant(0, Some(5)), write(10, 6)]), Verdict::Unknown(_)));
        assert!(matches!(check(&[]), Verdict::Unknown(_)));
    }
}
