//! The smallest part of a list that still fails: delta debugging. Knows no sprint, and runs nothing.

/// How often something may still be tried.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Budget(pub usize);

impl Budget {
    fn take(&mut self) -> bool {
        let some = self.0 > 0;
        self.0 = self.0.saturating_sub(1);
        some
    }
}

/// A part of `items`, in their order, that fails as the whole does. No single item can be left out of it, unless the budget
/// was used up before. The whole is not tried: it is known to fail.
pub fn smallest<T: Clone>(items: &[T], budget: &mut Budget, mut fails: impl FnMut(&[T]) -> bool) -> Vec<T> {
    let mut kept = items.to_vec();
    let mut chunk = kept.len().div_ceil(2);
    while chunk > 0 && !kept.is_empty() {
        let mut at = 0;
        let mut dropped = false;
        while at < kept.len() {
            let end = (at + chunk).min(kept.len());
            let without: Vec<T> = [&kept[..at], &kept[end..]].concat();
            if !budget.take() {
                return kept;
            }
            if fails(&without) {
                // What follows has moved to here.
                (kept, dropped) = (without, true);
            } else {
                at = end;
            }
        }
        // At single items one more round, for what became superfluous meanwhile.
        if chunk > 1 || !dropped {
            chunk /= 2;
        }
    }
    kept
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeSet;

    use proptest::prelude::*;

    use super::*;

    const ENOUGH: Budget = Budget(10_000);

    fn is_part(part: &[u32], whole: &[u32]) -> bool {
        let mut rest = whole.iter();
        part.iter().all(|item| rest.any(|other| other == item))
    }

    proptest! {
        #[test]
        fn what_is_needed_together_is_found_and_nothing_else(
            count in 0..40_u32, needed in proptest::collection::btree_set(0..40_u32, 0..5),
        ) {
            let items: Vec<u32> = (0..count).collect();
            let needed: BTreeSet<u32> = needed.into_iter().filter(|item| *item < count).collect();
            let fails = |part: &[u32]| needed.iter().all(|item| part.contains(item));
            let found = smallest(&items, &mut ENOUGH.clone(), fails);
            prop_assert_eq!(found, needed.iter().copied().collect::<Vec<u32>>());
        }

        #[test]
        fn whatever_fails_and_why_the_result_fails_and_no_item_of_it_can_go(seed in any::<u64>(), count in 1..12_u32) {
            let items: Vec<u32> = (0..count).collect();
            // Not monotone: a part may fail although a larger one does not.
            let word = |part: &[u32]| part.iter().fold(seed, |sum, item| (sum ^ u64::from(*item)).wrapping_mul(0x9E37_79B9_7F4A_7C15));
            let fails = |part: &[u32]| part == items || word(part) % 3 == 0;
            let found = smallest(&items, &mut ENOUGH.clone(), fails);
            prop_assert!(fails(&found) && is_part(&found, &items));
            for at in 0..found.len() {
                let without = [&found[..at], &found[at + 1..]].concat();
                prop_assert!(!fails(&without));
            }
        }

        #[test]
        fn a_budget_is_kept_and_its_result_fails(budget in 0..20_usize, count in 1..30_u32) {
            let items: Vec<u32> = (0..count).collect();
            let mut tried = 0;
            let fails = |part: &[u32]| part.contains(&(count / 2));
            let found = smallest(&items, &mut Budget(budget), |part| { tried += 1; fails(part) });
            prop_assert!(tried <= budget && fails(&found) && is_part(&found, &items));
        }
    }
}
