//! Feeds a function bytes that nobody would write: files kept as a corpus, changed at random. For tests; knows no format.
//!
//! `BOSS_FUZZ_SECONDS` says for how long (two by default), `BOSS_FUZZ_SEED` repeats a run. Each input comes from a seed
//! of its own, which a failure prints.

use std::{
    env, fs,
    io::{self, Write},
    panic::{AssertUnwindSafe, catch_unwind, resume_unwind},
    path::Path,
    time::Duration,
};

use crate::clock::{Clock, SystemClock};

const SECONDS: &str = "BOSS_FUZZ_SECONDS";
const SEED: &str = "BOSS_FUZZ_SEED";
const SECONDS_DEFAULT: u64 = 2;
/// Changes of one input at most: more make noise, which the first check refuses.
const CHANGES_MAX: u64 = 8;
/// Numbers at which lengths and indexes tend to break.
const EDGES: [u64; 10] = [0, 1, 7, 8, 0x7f, 0xff, 0xffff, 0x7fff_ffff, 0xffff_ffff, u64::MAX];

/// A source of numbers that is the same for the same seed, for ever: splitmix64.
#[derive(Debug, Clone)]
pub struct Numbers(u64);

impl Numbers {
    /// Begins at the seed.
    #[must_use]
    pub fn new(seed: u64) -> Self {
        Self(seed)
    }

    /// The next one.
    pub fn any(&mut self) -> u64 {
        self.0 = self.0.wrapping_add(0x9e37_79b9_7f4a_7c15);
        let mut mixed = self.0;
        mixed = (mixed ^ (mixed >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
        mixed = (mixed ^ (mixed >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
        mixed ^ (mixed >> 31)
    }

    /// One below `end`; 0 when `end` is 0.
    pub fn below(&mut self, end: usize) -> usize {
        usize::try_from(self.any() % (end.max(1) as u64)).unwrap_or_default()
    }
}

/// Calls `target` with every file below `corpus` as it is, then with changed ones until the time is over. `repair` may
/// mend what would keep every change from getting past the first check, a checksum for one. Returns how many inputs
/// there were.
///
/// # Panics
/// When `target` does, after naming the seed that repeats the input; and when the corpus cannot be read or is empty.
pub fn fuzz(corpus: &Path, repair: impl Fn(&mut Vec<u8>, &mut Numbers), target: impl Fn(&[u8])) -> u64 {
    let corpus = read(corpus);
    let number = |name: &str| env::var(name).ok().and_then(|text| text.parse::<u64>().ok());
    if let Some(seed) = number(SEED) {
        run(&corpus, seed, &repair, &target);
        return 1;
    }
    corpus.iter().for_each(|input| target(input));
    let time = Duration::from_secs(number(SECONDS).unwrap_or(SECONDS_DEFAULT));
    let (end, mut seed, mut inputs) = (SystemClock.monotonic() + time, rand::random::<u64>(), corpus.len() as u64);
    while SystemClock.monotonic() < end {
        run(&corpus, seed, &repair, &target);
        seed = seed.wrapping_add(1);
        inputs += 1;
    }
    inputs
}

fn read(corpus: &Path) -> Vec<Vec<u8>> {
    let mut paths: Vec<_> = fs::read_dir(corpus)
        .expect("the corpus is there")
        .map(|entry| entry.expect("it can be listed").path())
        .collect();
    // The order of a directory is anybody's; a seed must mean the same everywhere.
    paths.sort();
    assert!(!paths.is_empty(), "{} is empty", corpus.display());
    paths.into_iter().map(|path| fs::read(path).expect("it can be read")).collect()
}

fn run(corpus: &[Vec<u8>], seed: u64, repair: &impl Fn(&mut Vec<u8>, &mut Numbers), target: &impl Fn(&[u8])) {
    let mut numbers = Numbers::new(seed);
    let mut input = corpus[numbers.below(corpus.len())].clone();
    for _ in 0..=numbers.any() % CHANGES_MAX {
        change(&mut input, corpus, &mut numbers);
    }
    repair(&mut input, &mut numbers);
    if let Err(panic) = catch_unwind(AssertUnwindSafe(|| target(&input))) {
        // Nobody is left to tell when standard error is closed.
        let _ = writeln!(io::stderr(), "this input comes again with {SEED}={seed}");
        resume_unwind(panic);
    }
}

fn change(input: &mut Vec<u8>, corpus: &[Vec<u8>], numbers: &mut Numbers) {
    let at = numbers.below(input.len());
    let length = numbers.below(input.len() - at).min(64) + 1;
    let end = (at + length).min(input.len());
    match numbers.any() % 7 {
        0 if !input.is_empty() => input[at] ^= 1 << numbers.below(8),
        1 if !input.is_empty() => input[at] = numbers.any().to_le_bytes()[0],
        2 => input.truncate(at),
        3 => input[at..end].fill(0),
        4 => {
            let number = EDGES[numbers.below(EDGES.len())].to_le_bytes();
            let width = [1, 2, 4, 8][numbers.below(4)].min(input.len() - at);
            input[at..at + width].copy_from_slice(&number[..width]);
        }
        5 => drop(input.drain(at..end)),
        _ => {
            let other = &corpus[numbers.below(corpus.len())];
            let from = numbers.below(other.len());
            let piece = &other[from..(from + length).min(other.len())];
            input.splice(at..at, piece.iter().copied());
        }
    }
}

#[cfg(test)]
mod tests {
    use std::sync::atomic::{AtomicU64, Ordering};

    use super::*;

    #[test]
    fn a_bug_behind_one_changed_byte_is_found() {
        let corpus = tempfile::TempDir::new().unwrap();
        fs::write(corpus.path().join("1"), b"hello, world").unwrap();
        let found = catch_unwind(|| {
            fuzz(corpus.path(), |_, _| {}, |input| assert!(input.first() != Some(&0), "found"));
        });
        assert!(found.is_err());
    }

    #[test]
    fn the_corpus_itself_is_fed_and_repairs_are_kept() {
        let corpus = tempfile::TempDir::new().unwrap();
        fs::write(corpus.path().join("1"), b"x").unwrap();
        let fed = AtomicU64::new(0);
        let repair = |input: &mut Vec<u8>, _: &mut Numbers| input.push(b'!');
        let target = |input: &[u8]| {
            assert!(input == b"x" || input.ends_with(b"!"));
            fed.fetch_add(1, Ordering::Relaxed);
        };
        assert_eq!(fuzz(corpus.path(), repair, target), fed.load(Ordering::Relaxed));
    }

    #[test]
    fn the_same_seed_gives_the_same_numbers() {
        let (mut one, mut other) = (Numbers::new(7), Numbers::new(7));
        assert_eq!((one.any(), one.below(10)), (other.any(), other.below(10)));
    }
}
