//! The judges are judged: histories of a model pass, the same with one lie in them do not, and both judges agree.

use proptest::prelude::*;

use super::{
    generate::{Random, Shape, linearizable as generate},
    search::{self, Budget},
    witness,
};
use crate::history::{Action, Answer, End, Operation, Version};

const SHAPE: Shape = Shape { operations: 120, clients: 4, keys: 2, unknown_per_mille: 60 };

fn answer(operation: &mut Operation) -> &mut Answer {
    match &mut operation.end {
        End::Ok { answer, .. } => answer,
        End::Unknown => panic!("only what was answered is changed"),
    }
}

fn read_of(operation: &Operation) -> Option<(Option<Version>, u64)> {
    match operation.answer()? {
        Answer::Read { found, at } => Some((*found, *at)),
        _ => None,
    }
}

fn before(first: &Operation, second: &Operation) -> bool {
    first.ended_ns() < second.began_ns
}

/// Pairs of the history that `wanted` wants, by number.
fn pairs(history: &[Operation], wanted: impl Fn(&Operation, &Operation) -> bool) -> Vec<(usize, usize)> {
    let all = (0..history.len()).flat_map(|a| (0..history.len()).map(move |b| (a, b)));
    all.filter(|(a, b)| history[*a].key == history[*b].key && wanted(&history[*a], &history[*b])).collect()
}

/// A lie: changes the history so that no order explains it, if there is an opportunity.
type Lie = fn(&mut [Operation], &mut Random) -> bool;

fn pick(found: &[(usize, usize)], random: &mut Random) -> Option<(usize, usize)> {
    (!found.is_empty()).then(|| found[random.below(found.len())])
}

/// A read shows what an earlier one showed, although another value was written and acknowledged in between.
fn stale_read(history: &mut [Operation], random: &mut Random) -> bool {
    let changed = |history: &[Operation], old: &Operation, new: &Operation| {
        history.iter().any(|change| {
            change.key == old.key
                && matches!(change.answer(), Some(Answer::Changed { .. }))
                && before(old, change)
                && before(change, new)
        })
    };
    let found = pairs(history, |old, new| {
        let differ = matches!((read_of(old), read_of(new)), (Some((Some(was), _)), Some((is, _))) if is != Some(was));
        differ && before(old, new) && changed(history, old, new)
    });
    let Some((old, new)) = pick(&found, random) else { return false };
    let Some((version, at)) = read_of(&history[old]) else { return false };
    *answer(&mut history[new]) = Answer::Read { found: version, at };
    true
}

/// A write was acknowledged, and a later read shows what was before it.
fn lost_write(history: &mut [Operation], random: &mut Random) -> bool {
    let found = pairs(history, |write, read| {
        let value = match write.action {
            Action::Cas { value, .. } => value,
            _ => return false,
        };
        before(write, read) && matches!(read_of(read), Some((Some(version), _)) if version.value == value)
    });
    let Some((write, read)) = pick(&found, random) else { return false };
    let Action::Cas { from, .. } = history[write].action else { return false };
    let writer = history.iter().find_map(|operation| match (operation.answer(), &operation.action) {
        (
            Some(Answer::Changed { revision }),
            Action::Create { value } | Action::Cas { value, .. } | Action::Write { value },
        ) if *revision == from => Some(*value),
        _ => None,
    });
    let (Some(value), Some((_, at))) = (writer, read_of(&history[read])) else { return false };
    *answer(&mut history[read]) = Answer::Read { found: Some(Version { value, revision: from }), at };
    true
}

/// Two compare-and-sets from one revision both succeed.
fn double_apply(history: &mut [Operation], random: &mut Random) -> bool {
    let found = pairs(history, |won, lost| match (&won.action, &lost.action) {
        (Action::Cas { from: a, .. }, Action::Cas { from: b, .. }) => {
            a == b
                && matches!(won.answer(), Some(Answer::Changed { .. }))
                && matches!(lost.answer(), Some(Answer::Conflict { .. }))
        }
        _ => false,
    });
    let Some((_, lost)) = pick(&found, random) else { return false };
    // A revision that nothing else has.
    *answer(&mut history[lost]) = Answer::Changed { revision: 1_000_000 };
    true
}

/// Two reads, one after the other, show two versions in the wrong order.
fn reordered(history: &mut [Operation], random: &mut Random) -> bool {
    let found = pairs(history, |first, second| {
        let (Some((Some(old), _)), Some((Some(new), _))) = (read_of(first), read_of(second)) else { return false };
        let writer_is_between = history.iter().any(|write| {
            matches!(write.action, Action::Create { value } | Action::Cas { value, .. } | Action::Write { value }
                if value == new.value)
                && before(first, write)
        });
        old != new && before(first, second) && writer_is_between
    });
    let Some((first, second)) = pick(&found, random) else { return false };
    let (one, other) = (answer(&mut history[first]).clone(), answer(&mut history[second]).clone());
    *answer(&mut history[first]) = other;
    *answer(&mut history[second]) = one;
    true
}

/// A read shows a value that nobody wrote.
fn invented_value(history: &mut [Operation], random: &mut Random) -> bool {
    let found = pairs(history, |a, b| std::ptr::eq(a, b) && matches!(read_of(a), Some((Some(_), _))));
    let Some((read, _)) = pick(&found, random) else { return false };
    let Some((Some(version), at)) = read_of(&history[read]) else { return false };
    *answer(&mut history[read]) = Answer::Read { found: Some(Version { value: 999_999, ..version }), at };
    true
}

/// An object that is there is said to be absent, although no delete was ever tried.
fn vanished(history: &mut [Operation], random: &mut Random) -> bool {
    let found = pairs(history, |create, read| {
        let deletes = history.iter().any(|other| other.key == read.key && other.action == Action::Delete);
        matches!(create.answer(), Some(Answer::Changed { .. }))
            && before(create, read)
            && read_of(read).is_some()
            && !deletes
    });
    let Some((_, read)) = pick(&found, random) else { return false };
    let Some((_, at)) = read_of(&history[read]) else { return false };
    *answer(&mut history[read]) = Answer::Read { found: None, at };
    true
}

const LIES: [(&str, Lie); 6] = [
    ("stale read", stale_read),
    ("lost write", lost_write),
    ("double apply", double_apply),
    ("reordered", reordered),
    ("invented value", invented_value),
    ("vanished", vanished),
];

/// The seed after `seed` whose history gives the lie its opportunity, with the lie in it.
fn lying(seed: u64, shape: Shape, lie: Lie) -> Vec<Operation> {
    for seed in seed.. {
        let mut history = generate(seed, shape);
        if lie(&mut history, &mut Random(seed)) {
            return history;
        }
    }
    unreachable!("every lie finds its opportunity in some history")
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(48))]

    #[test]
    fn what_a_registry_did_is_valid_for_both_judges(seed in any::<u64>(), clients in 1..8_usize, keys in 1..4_usize) {
        let history = generate(seed, Shape { clients, keys, ..SHAPE });
        prop_assert_eq!(witness::check(&history), super::Verdict::Valid);
        prop_assert_eq!(search::check(&history, Budget::default()), super::Verdict::Valid);
    }

    #[test]
    fn every_lie_is_caught_by_both_judges(seed in any::<u32>(), which in 0..LIES.len()) {
        let (name, lie) = LIES[which];
        // To be told a lie from an unknown outcome, some histories have none.
        let shape = Shape { unknown_per_mille: if seed % 2 == 0 { 0 } else { 20 }, ..SHAPE };
        let history = lying(seed.into(), shape, lie);
        let (by_witness, by_search) = (witness::check(&history), search::check(&history, Budget::default()));
        prop_assert!(matches!(by_witness, super::Verdict::Invalid(_)), "{} against the witness: {:?}", name, by_witness);
        prop_assert!(matches!(by_search, super::Verdict::Invalid(_)), "{} against the search: {:?}", name, by_search);
    }

    #[test]
    fn what_the_witness_explains_the_search_explains_too(seed in any::<u64>(), wrong in any::<u64>()) {
        // Without unknown outcomes: with them the witness gives some refusals the benefit of the doubt.
        let mut history = generate(seed, Shape { unknown_per_mille: 0, ..SHAPE });
        let mut random = Random(wrong);
        let at = random.below(history.len());
        let other = random.below(history.len());
        if history[at].answer().is_some() && history[other].answer().is_some() {
            *answer(&mut history[at]) = answer(&mut history[other]).clone();
        }
        if witness::check(&history).is_valid() {
            prop_assert_eq!(search::check(&history, Budget::default()), super::Verdict::Valid);
        }
    }
}

#[test]
fn revisions_that_contradict_real_time_are_seen_by_the_witness_alone_also_across_objects() {
    let change = |key: &str, value, began_ns, at_ns, revision| Operation {
        process: value,
        key: key.into(),
        action: Action::Create { value },
        began_ns,
        end: End::Ok { answer: Answer::Changed { revision }, at_ns },
    };
    let history = [change("a", 1, 1, 2, 9), change("b", 2, 3, 4, 5)];
    assert!(matches!(witness::check(&history), super::Verdict::Invalid(_)));
    assert!(search::check(&history, Budget::default()).is_valid());
    assert!(matches!(super::linearizable(&history), super::Verdict::Invalid(_)));
}

#[test]
fn an_explanation_ends_with_what_cannot_follow() {
    let history = lying(1, Shape { unknown_per_mille: 0, ..SHAPE }, stale_read);
    let super::Verdict::Invalid(explanation) = search::check(&history, Budget::default()) else {
        panic!("it is a lie")
    };
    assert!(explanation.operations.len() >= 2, "{explanation}");
    assert!(explanation.problem.contains("can be explained"), "{explanation}");
}

#[test]
fn a_search_that_runs_out_of_its_budget_says_so() {
    let history = generate(3, SHAPE);
    assert!(matches!(search::check(&history, Budget { steps: 3 }), super::Verdict::Unknown(_)));
}

#[test]
fn the_witness_judges_a_hundred_thousand_operations_at_once() {
    let history = generate(7, Shape { operations: 100_000, clients: 64, keys: 100, unknown_per_mille: 5 });
    assert!(witness::check(&history).is_valid());
}
