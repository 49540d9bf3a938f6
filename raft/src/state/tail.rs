//! A persistent queue: things join at its end and leave at its front, in an order of their own that only grows. A clone
//! costs a few reference counts and never changes; joining or leaving copies a small chunk at most, where an ordered
//! tree copies a path from its root. Knows nothing of the things.

use std::sync::Arc;

use rpds::RedBlackTreeMapSync;

/// A push copies half of this on average when a clone holds the end; a full chunk costs the tree one path.
const CHUNK_LEN: usize = 32;

/// See the file's head.
#[derive(Debug, Clone)]
pub(super) struct Tail<T> {
    /// By number, without gaps.
    full: RedBlackTreeMapSync<u64, Arc<Vec<T>>>,
    /// Number of the first chunk, and how many of it have left.
    first: u64,
    left: usize,
    /// The chunk that is being filled; its number follows on the last full one's.
    open: Arc<Vec<T>>,
    len: usize,
}

impl<T: Clone> Default for Tail<T> {
    fn default() -> Self {
        Self { full: RedBlackTreeMapSync::new_sync(), first: 0, left: 0, open: Arc::default(), len: 0 }
    }
}

impl<T: Clone> Tail<T> {
    pub(super) fn len(&self) -> usize {
        self.len
    }

    pub(super) fn is_empty(&self) -> bool {
        self.len == 0
    }

    /// Joins at the end.
    pub(super) fn push(&mut self, item: T) {
        Arc::make_mut(&mut self.open).push(item);
        self.len += 1;
        if self.open.len() == CHUNK_LEN {
            let number = self.open_number();
            self.full.insert_mut(number, std::mem::take(&mut self.open));
        }
    }

    /// The one that has been here for longest.
    pub(super) fn first(&self) -> Option<&T> {
        self.chunk(self.first)?.get(self.left)
    }

    /// The one that came last.
    pub(super) fn last(&self) -> Option<&T> {
        self.iter().next_back()
    }

    /// Takes the first one away.
    pub(super) fn pop(&mut self) -> Option<T> {
        let item = self.first()?.clone();
        self.left += 1;
        self.len -= 1;
        if self.left == CHUNK_LEN {
            self.full.remove_mut(&self.first);
            self.first += 1;
            self.left = 0;
        } else if self.len == 0 {
            // What is left of the only chunk has left, too.
            self.open = Arc::default();
            self.left = 0;
        }
        Some(item)
    }

    /// All of them, in order.
    pub(super) fn iter(&self) -> impl DoubleEndedIterator<Item = &T> {
        self.from(self.first, self.left)
    }

    /// All of them, the last one first. Costs nothing to begin.
    pub(super) fn newest(&self) -> impl Iterator<Item = &T> {
        let chunks = (self.first..=self.open_number()).rev().filter_map(|number| Some((number, self.chunk(number)?)));
        chunks.flat_map(|(number, chunk)| {
            let gone = if number == self.first { self.left } else { 0 };
            chunk.iter().skip(gone).rev()
        })
    }

    /// Those that are not `before`, which must hold for a first part of them only.
    pub(super) fn skip(&self, before: impl Fn(&T) -> bool) -> impl DoubleEndedIterator<Item = &T> {
        let is_before = |number: u64| self.chunk(number).and_then(|chunk| chunk.last()).is_some_and(&before);
        let (mut low, mut high) = (self.first, self.open_number());
        while low < high {
            let middle = low.midpoint(high);
            if is_before(middle) { low = middle + 1 } else { high = middle }
        }
        let chunk = self.chunk(low).map_or(&[][..], |chunk| chunk.as_slice());
        let skipped = chunk.partition_point(|item| before(item));
        self.from(low, if low == self.first { skipped.max(self.left) } else { skipped })
    }

    /// From one item of a chunk on.
    fn from(&self, number: u64, skipped: usize) -> impl DoubleEndedIterator<Item = &T> {
        let full = self.full.range(number..).map(|(number, chunk)| (*number, chunk));
        let chunks = full.chain(std::iter::once((self.open_number(), &self.open)));
        chunks.flat_map(move |(this, chunk)| chunk.iter().skip(if this == number { skipped } else { 0 }))
    }

    fn chunk(&self, number: u64) -> Option<&Arc<Vec<T>>> {
        if number == self.open_number() { Some(&self.open) } else { self.full.get(&number) }
    }

    fn open_number(&self) -> u64 {
        self.first + self.full.size() as u64
    }
}

#[cfg(test)]
mod tests {
    use std::collections::VecDeque;

    use proptest::prelude::*;

    use super::*;

    proptest! {
        #[test]
        fn it_is_a_queue_and_its_clones_never_change(
            steps in proptest::collection::vec(prop_oneof![3 => Just(true), 2 => Just(false)], 0..600),
            bound in 0_u32..400,
        ) {
            let (mut tail, mut model, mut next) = (Tail::default(), VecDeque::new(), 0_u32);
            let mut clones = Vec::new();
            for (step, push) in steps.into_iter().enumerate() {
                if push {
                    tail.push(next);
                    model.push_back(next);
                    next += 1;
                } else {
                    prop_assert_eq!(tail.pop(), model.pop_front());
                }
                prop_assert_eq!((tail.len(), tail.first(), tail.last()), (model.len(), model.front(), model.back()));
                prop_assert_eq!(tail.is_empty(), model.is_empty());
                if step % 50 == 0 {
                    clones.push((tail.clone(), model.clone()));
                }
            }
            clones.push((tail, model));
            for (tail, model) in clones {
                prop_assert!(tail.iter().eq(model.iter()));
                prop_assert!(tail.iter().rev().eq(model.iter().rev()));
                prop_assert!(tail.newest().eq(model.iter().rev()));
                prop_assert!(tail.skip(|item| *item < bound).eq(model.iter().filter(|item| **item >= bound)));
            }
        }
    }

    #[test]
    fn an_empty_one_begins_again_where_a_chunk_ended() {
        let mut tail = Tail::default();
        for round in 0..3 {
            (0..CHUNK_LEN).for_each(|item| tail.push(item + round));
            assert_eq!(tail.iter().count(), CHUNK_LEN);
            (0..CHUNK_LEN).for_each(|item| assert_eq!(tail.pop(), Some(item + round)));
            assert_eq!((tail.pop(), tail.first(), tail.last()), (None, None, None));
        }
    }
}
