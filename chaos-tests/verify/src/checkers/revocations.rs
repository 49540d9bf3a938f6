//! A revocation holds everywhere and for ever: once it was acknowledged, nothing that begins later with the token is done,
//! at any server, and no write with it is ordered behind it. Until somebody begins to revoke it, a token counts. Knows no
//! cluster.

use std::collections::BTreeMap;

use super::{Verdict, broken};
use crate::history::{Call, Called, Reply};

/// Tokens of which a run must have seen that they were taken before and refused after their revocation.
const SEEN_MIN: usize = 1;

/// All that was asked about one token.
#[derive(Default)]
struct Token<'a> {
    revokes: Vec<&'a Called>,
    shows: Vec<(&'a Called, bool)>,
}

/// The judgement of all calls with tokens, each of which can be revoked in one way only. Unknown if no revocation was seen
/// at work.
#[must_use]
pub fn check(calls: &[Called]) -> Verdict {
    let mut tokens: BTreeMap<u64, Token> = BTreeMap::new();
    for called in calls {
        match called.call {
            Call::Revoke { token } => tokens.entry(token).or_default().revokes.push(called),
            Call::Show { token, writes } => tokens.entry(token).or_default().shows.push((called, writes)),
            _ => {}
        }
    }
    if let Err(problem) = tokens.iter().try_for_each(|(number, token)| token.check(*number)) {
        return broken(problem);
    }
    match tokens.values().filter(|token| token.was_seen_to_end()).count() {
        seen if seen >= SEEN_MIN => Verdict::Valid,
        seen => Verdict::Unknown(format!("of {} tokens {seen} were taken before and refused after", tokens.len())),
    }
}

impl Token<'_> {
    /// When a revocation was first acknowledged, in nanoseconds; never, if none was.
    fn acknowledged_ns(&self) -> u64 {
        let acknowledged = self.revokes.iter().filter(|revoke| revoke.revision().is_some());
        acknowledged.map(|revoke| revoke.ended_ns()).min().unwrap_or(u64::MAX)
    }

    /// From which revision on it counts no more, as far as anybody was told.
    fn revoked_at(&self) -> u64 {
        self.revokes.iter().filter_map(|revoke| revoke.revision()).min().unwrap_or(u64::MAX)
    }

    fn check(&self, number: u64) -> Result<(), String> {
        let (acknowledged_ns, revoked_at) = (self.acknowledged_ns(), self.revoked_at());
        let begun_ns = self.revokes.iter().map(|revoke| revoke.began_ns).min().unwrap_or(u64::MAX);
        for (show, writes) in &self.shows {
            let what = if *writes { "a write" } else { "a read" };
            let when = format!("asked at {} ns by process {}", show.began_ns, show.process);
            match &show.reply {
                Some((_, Reply::Done { revision } | Reply::Seen { revision })) => {
                    if acknowledged_ns < show.began_ns {
                        return Err(format!(
                            "{what} with token {number} was done at revision {revision}, {when}, after its revocation was \
                             acknowledged at {acknowledged_ns} ns"
                        ));
                    }
                    if *revision >= revoked_at {
                        return Err(format!(
                            "{what} with token {number} was done at revision {revision}, {when}; the token was revoked at \
                             {revoked_at}"
                        ));
                    }
                }
                Some((ended_ns, Reply::Denied)) if *ended_ns < begun_ns => {
                    return Err(format!("{what} with token {number} was refused before anybody revoked it, {when}"));
                }
                _ => {}
            }
        }
        Ok(())
    }

    fn was_seen_to_end(&self) -> bool {
        let was = |wanted: fn(&Reply) -> bool| {
            self.shows.iter().any(|(show, _)| show.reply.as_ref().is_some_and(|(_, reply)| wanted(reply)))
        };
        self.revoked_at() < u64::MAX
            && was(|reply| matches!(reply, Reply::Done { .. } | Reply::Seen { .. }))
            && was(|reply| *reply == Reply::Denied)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const TOKEN: u64 = 7;

    fn called(began_ns: u64, call: Call, reply: Option<Reply>) -> Called {
        Called { process: began_ns, call, began_ns, reply: reply.map(|reply| (began_ns + 5, reply)) }
    }

    fn write(at: u64, reply: Option<Reply>) -> Called {
        called(at, Call::Show { token: TOKEN, writes: true }, reply)
    }

    fn read(at: u64, reply: Option<Reply>) -> Called {
        called(at, Call::Show { token: TOKEN, writes: false }, reply)
    }

    fn revoke(at: u64, revision: Option<u64>) -> Called {
        called(at, Call::Revoke { token: TOKEN }, revision.map(|revision| Reply::Done { revision }))
    }

    fn done(revision: u64) -> Option<Reply> {
        Some(Reply::Done { revision })
    }

    fn seen(revision: u64) -> Option<Reply> {
        Some(Reply::Seen { revision })
    }

    #[track_caller]
    fn says(calls: &[Called], problem: &str) {
        match check(calls) {
            Verdict::Invalid(explanation) => assert!(explanation.problem.contains(problem), "{explanation}"),
            other => panic!("expected {problem:?}, got {other:?}"),
        }
    }

    #[test]
    fn a_token_counts_until_its_revocation_and_not_after() {
        let good = [
            write(0, done(3)),
            revoke(10, Some(8)),
            // Beside the revocation it may go either way, as the log has it.
            write(11, done(7)),
            write(12, Some(Reply::Denied)),
            read(12, seen(7)),
            write(30, Some(Reply::Denied)),
            read(40, Some(Reply::Denied)),
            write(41, None),
        ];
        assert_eq!(check(&good), Verdict::Valid);
    }

    #[test]
    fn what_begins_after_the_acknowledgement_and_is_done_is_found() {
        let late = [write(0, done(3)), revoke(10, Some(8)), write(20, done(9)), read(30, Some(Reply::Denied))];
        says(&late, "after its revocation was acknowledged at 15 ns");
        // A stale server that answers from before: the revision looks innocent, the time does not.
        let stale = [write(0, done(3)), revoke(10, Some(8)), read(20, seen(7)), read(30, Some(Reply::Denied))];
        says(&stale, "a read with token 7 was done at revision 7");
    }

    #[test]
    fn what_is_ordered_behind_the_revocation_is_found_although_it_began_before() {
        let behind = [revoke(10, Some(8)), write(11, done(9)), read(30, Some(Reply::Denied))];
        says(&behind, "the token was revoked at 8");
        let at = [revoke(10, Some(8)), read(11, seen(8)), read(30, Some(Reply::Denied))];
        says(&at, "the token was revoked at 8");
    }

    #[test]
    fn a_good_token_that_is_refused_is_found() {
        let refused = [write(0, done(3)), write(10, Some(Reply::Denied)), revoke(20, Some(8))];
        says(&refused, "before anybody revoked it");
        assert!(!check(&[write(0, done(3)), write(10, Some(Reply::Denied))]).is_valid());
    }

    #[test]
    fn a_revocation_of_unknown_outcome_explains_both_and_proves_nothing() {
        let unknown = [write(0, done(3)), revoke(10, None), write(20, done(9)), write(30, Some(Reply::Denied))];
        assert!(matches!(check(&unknown), Verdict::Unknown(_)));
        // Asked again, it is known after all.
        let again = [&unknown[..2], &[revoke(40, Some(12)), write(50, Some(Reply::Denied))]].concat();
        assert_eq!(check(&again), Verdict::Valid);
    }

    #[test]
    fn a_run_in_which_nothing_was_revoked_says_nothing() {
        assert!(matches!(check(&[write(0, done(3))]), Verdict::Unknown(_)));
        assert!(matches!(check(&[]), Verdict::Unknown(_)));
    }
}
