//! A cluster that was restored from a snapshot has the state of the snapshot's revision, in all its parts: as if each had
//! been read at that revision, while the snapshot was saved. Asks nobody.

use super::{Verdict, broken, pairs, sets, witness};
use crate::history::{Action, Answer, Call, Called, End, Event, Operation, Reply, Version, calls, operations};

/// Nobody else has this number.
const READER: u64 = 0;

/// What a restored cluster held, and when its snapshot was saved.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct Restored {
    /// When somebody began to save it, in nanoseconds.
    pub began_ns: u64,
    /// When it was saved.
    pub ended_ns: u64,
    /// The snapshot's revision.
    pub revision: u64,
    /// Registers by their names.
    pub registers: Vec<(String, Option<Version>)>,
    /// Members of the set.
    pub members: Vec<String>,
    /// Both values of each pair.
    pub pairs: Vec<(u64, u64)>,
}

/// The judgement of what was restored, beside the history of the cluster that it was saved from.
#[must_use]
pub fn check(events: &[Event], restored: &Restored) -> Verdict {
    let (mut operations, mut calls) = match (operations(events), calls(events)) {
        (Ok(operations), Ok(calls)) => (operations, calls),
        (Err(bad), _) | (_, Err(bad)) => return Verdict::Unknown(bad.to_string()),
    };
    if restored.revision == 0 || restored.registers.is_empty() {
        return Verdict::Unknown("nothing was restored".to_owned());
    }
    operations.extend(restored.registers.iter().map(|(key, found)| restored.read(key, *found)));
    operations.sort_by_key(|operation| operation.began_ns);
    calls.extend(restored.calls());
    calls.sort_by_key(|called| called.began_ns);
    let verdict = witness::check(&operations).and(sets::check(&calls)).and(pairs::check(&calls));
    match verdict {
        Verdict::Invalid(explanation) => broken(format!("at revision {}: {explanation}", restored.revision)),
        other => other,
    }
}

impl Restored {
    fn read(&self, key: &str, found: Option<Version>) -> Operation {
        let answer = Answer::Read { found, at: self.revision };
        let (began_ns, at_ns) = (self.began_ns, self.ended_ns);
        let end = End::Ok { answer, at_ns };
        Operation { process: READER, key: key.to_owned(), action: Action::Read, began_ns, end }
    }

    fn calls(&self) -> [Called; 2] {
        let revision = self.revision;
        let called = |call, reply| Called {
            process: READER,
            call,
            began_ns: self.began_ns,
            reply: Some((self.ended_ns, reply)),
        };
        let (names, values) = (self.members.clone(), self.pairs.clone());
        [called(Call::List, Reply::Members { revision, names }), called(Call::Look, Reply::Pairs { revision, values })]
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::history::What;

    /// One register, one member and one pair, each with a change before and after the snapshot at revision 20.
    fn history() -> Vec<Event> {
        let changed = |revision| What::Ok { answer: Answer::Changed { revision } };
        let done = |revision| What::Reply { reply: Reply::Done { revision } };
        let invoke = |action| What::Invoke { key: "k".into(), action };
        let set = |from, value| What::Call { call: Call::Set { pair: 0, from, value } };
        let add = |name: &str| What::Call { call: Call::Add { name: name.into() } };
        let all = [
            (invoke(Action::Create { value: 1 }), changed(10)),
            (add("a"), done(11)),
            (set(0, 5), done(12)),
            (invoke(Action::Write { value: 2 }), changed(30)),
            (add("b"), done(31)),
            (set(5, 6), done(32)),
        ];
        let times = (1..).step_by(10);
        let both = all.into_iter().zip(times).flat_map(|((ask, told), at_ns)| [(at_ns, ask), (at_ns + 1, told)]);
        both.map(|(at_ns, what)| Event { at_ns, process: 1, what }).collect()
    }

    fn whole() -> Restored {
        Restored {
            began_ns: 28,
            ended_ns: 45,
            revision: 20,
            registers: vec![("k".into(), Some(Version { value: 1, revision: 10 }))],
            members: vec!["a".into()],
            pairs: vec![(5, 5)],
        }
    }

    #[test]
    fn what_was_there_at_the_revision_is_good_and_everything_else_is_not() {
        assert_eq!(check(&history(), &whole()), Verdict::Valid);
        let bad = [
            Restored { registers: vec![("k".into(), None)], ..whole() },
            Restored { registers: vec![("k".into(), Some(Version { value: 2, revision: 30 }))], ..whole() },
            Restored { members: vec![], ..whole() },
            Restored { members: vec!["a".into(), "b".into()], ..whole() },
            Restored { pairs: vec![(5, 6)], ..whole() },
            // Acknowledged before anybody began to save.
            Restored {
                revision: 9,
                registers: vec![("k".into(), None)],
                members: vec![],
                pairs: vec![(0, 0)],
                ..whole()
            },
        ];
        for restored in bad {
            assert!(matches!(check(&history(), &restored), Verdict::Invalid(_)), "{restored:?}");
        }
        assert!(matches!(check(&history(), &Restored::default()), Verdict::Unknown(_)));
    }
}
