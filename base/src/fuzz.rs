//! Feeds a reader with damaged inputs: a short run that is the same each time, or a long one with new inputs. For
//! tests on the stable toolchain; a fuzzer that follows the code's branches may drive the same readers. Knows no format.

use std::{
    fs,
    io::{self, Write},
    panic::{RefUnwindSafe, catch_unwind, resume_unwind},
    path::{Path, PathBuf},
    time::Duration,
};

use crate::clock::{Clock, SystemClock};

/// Seed of the short run, unless `BOSS_FUZZ_SEED` names another one.
const SEED: u64 = 0xb055;
/// Inputs of the short run, unless `BOSS_FUZZ_SECONDS` asks for a long one.
const INPUTS: u64 = 4_000;
/// Changes that one input gets at most.
const CHANGES_MAX: u64 = 8;
/// Inputs do not grow beyond it.
const INPUT_BYTES_MAX: usize = 64 << 10;
/// Numbers at which readers like to stumble.
const NUMBERS: [u64; 12] =
    [0, 1, 7, 8, 0x7f, 0x80, 0xff, 0xffff, 0x7fff_ffff, 0xffff_ffff, 0x7fff_ffff_ffff_ffff, u64::MAX];

/// Gives `read` every file of the folder `corpus`, then changed ones. Panics with the seed and the file that the input
/// was kept in when `read` panics.
pub fn run(subject: &str, corpus: &Path, read: impl Fn(&[u8]) + RefUnwindSafe) {
    let corpus = files_of(corpus).unwrap_or_else(|error| panic!("{}: {error}", corpus.display()));
    assert!(!corpus.is_empty(), "{subject} has no corpus");
    let seed = number("BOSS_FUZZ_SEED").unwrap_or(SEED);
    let mut plan = Plan { seed, inputs: INPUTS, until: None };
    if let Some(seconds) = number("BOSS_FUZZ_SECONDS") {
        plan.until = Some(SystemClock.monotonic() + Duration::from_secs(seconds));
    }
    // Before anything can hang or be killed.
    drop(writeln!(io::stderr(), "{subject}: BOSS_FUZZ_SEED={seed}"));
    for input in &corpus {
        check(subject, seed, input, &read);
    }
    let mut random = Random(plan.seed);
    let mut given = 0;
    while plan.goes_on(given) {
        let mut input = corpus[random.below(corpus.len() as u64)].clone();
        for _ in 0..=random.below(CHANGES_MAX) {
            change(&mut input, &corpus, &mut random);
        }
        input.truncate(INPUT_BYTES_MAX);
        check(subject, seed, &input, &read);
        given += 1;
    }
    tracing::info!(subject, seed, given, "no input made it panic");
}

struct Plan {
    seed: u64,
    inputs: u64,
    until: Option<Duration>,
}

impl Plan {
    fn goes_on(&self, given: u64) -> bool {
        self.until.map_or(given < self.inputs, |until| SystemClock.monotonic() < until)
    }
}

fn number(variable: &str) -> Option<u64> {
    let text = std::env::var(variable).ok()?;
    Some(text.parse().unwrap_or_else(|_| panic!("{variable} must be a whole number, not {text:?}")))
}

fn files_of(folder: &Path) -> io::Result<Vec<Vec<u8>>> {
    let mut paths: Vec<PathBuf> = fs::read_dir(folder)?.map(|entry| Ok(entry?.path())).collect::<io::Result<_>>()?;
    // The order of a folder is the file system's, that of a run is the seed's.
    paths.sort();
    paths.iter().map(fs::read).collect()
}

fn check(subject: &str, seed: u64, input: &[u8], read: &(impl Fn(&[u8]) + RefUnwindSafe)) {
    if let Err(panic) = catch_unwind(|| read(input)) {
        let kept = std::env::temp_dir().join(format!("boss-fuzz-{subject}-{}.bin", std::process::id()));
        let kept = fs::write(&kept, input).map_or_else(|error| error.to_string(), |()| kept.display().to_string());
        tracing::error!(subject, seed, kept, "an input makes it panic");
        let literal = panic.downcast_ref::<&str>().copied();
        match panic.downcast_ref::<String>().map(String::as_str).or(literal) {
            Some(words) => panic!("{subject} panicked with seed {seed}, the input is in {kept}: {words}"),
            None => resume_unwind(panic),
        }
    }
}

/// One change somewhere.
fn change(input: &mut Vec<u8>, corpus: &[Vec<u8>], random: &mut Random) {
    let at = random.below(input.len() as u64 + 1);
    let until = (at + 1 + random.below(16)).min(input.len());
    match random.below(9) {
        0 => flip(input, at, 1 << random.below(8)),
        1 => flip(input, at, random.next().to_le_bytes()[0]),
        2 => overwrite(input, at, &number_bytes(random)),
        3 => drop(input.splice(at..at, number_bytes(random))),
        4 => drop(input.drain(at.min(until)..until)),
        5 => input.extend_from_within(at.min(until)..until),
        6 => input.truncate(at),
        7 => input.extend((0..random.below(32)).map(|_| random.next().to_le_bytes()[0]).collect::<Vec<u8>>()),
        _ => {
            let other = &corpus[random.below(corpus.len() as u64)];
            let from = random.below(other.len() as u64 + 1);
            input.truncate(at);
            input.extend_from_slice(&other[from..]);
        }
    }
}

fn flip(input: &mut [u8], at: usize, bits: u8) {
    if let Some(byte) = input.get_mut(at) {
        *byte ^= bits;
    }
}

fn overwrite(input: &mut [u8], at: usize, bytes: &[u8]) {
    for (byte, new) in input.iter_mut().skip(at).zip(bytes) {
        *byte = *new;
    }
}

/// A number in one of the ways in which formats write numbers.
fn number_bytes(random: &mut Random) -> Vec<u8> {
    let number = NUMBERS[random.below(NUMBERS.len() as u64)];
    let (little, big) = (number.to_le_bytes(), number.to_be_bytes());
    match random.below(4) {
        0 => little[..1].to_vec(),
        1 => little[..4].to_vec(),
        2 => little.to_vec(),
        _ => big.to_vec(),
    }
}

/// SplitMix64: small, and the same everywhere for ever, so that a seed means the same inputs.
struct Random(u64);

impl Random {
    fn next(&mut self) -> u64 {
        self.0 = self.0.wrapping_add(0x9e37_79b9_7f4a_7c15);
        let mixed = (self.0 ^ (self.0 >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
        let mixed = (mixed ^ (mixed >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
        mixed ^ (mixed >> 31)
    }

    /// Below `end`, which is more than 0 and fits into memory.
    fn below(&mut self, end: u64) -> usize {
        usize::try_from(self.next() % end).expect("it is below a length in memory")
    }
}

#[cfg(test)]
mod tests {
    use std::sync::Mutex;

    use super::*;

    fn inputs_of(folder: &Path) -> Vec<Vec<u8>> {
        let seen = Mutex::new(Vec::new());
        run("a test", folder, |input| seen.lock().unwrap().push(input.to_vec()));
        seen.into_inner().unwrap()
    }

    #[test]
    fn a_run_is_the_same_each_time_and_begins_with_the_corpus() {
        let folder = tempfile::tempdir().unwrap();
        fs::write(folder.path().join("a"), b"first").unwrap();
        fs::write(folder.path().join("b"), b"second").unwrap();
        let inputs = inputs_of(folder.path());
        assert_eq!(inputs[..2], [b"first".to_vec(), b"second".to_vec()]);
        assert_eq!(inputs.len() as u64, INPUTS + 2);
        assert_eq!(inputs, inputs_of(folder.path()));
    }

    #[test]
    fn a_reader_that_panics_is_reported_with_seed_and_input() {
        let folder = tempfile::tempdir().unwrap();
        fs::write(folder.path().join("a"), b"abcdef").unwrap();
        let careless = |input: &[u8]| assert!(input.len() != 3, "{} bytes are too few", input.len());
        let panic = catch_unwind(|| run("careless", folder.path(), careless)).unwrap_err();
        let words = panic.downcast_ref::<String>().unwrap();
        assert!(words.contains(&format!("seed {SEED}")) && words.contains("3 bytes are too few"), "{words}");
        let kept = words.split("the input is in ").nth(1).unwrap().split(": ").next().unwrap();
        assert_eq!(fs::read(kept).unwrap().len(), 3);
        fs::remove_file(kept).unwrap();
    }
}
