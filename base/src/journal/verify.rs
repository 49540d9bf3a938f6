//! Looks whether a journal is whole. Writes nothing.

use std::{
    collections::BTreeMap,
    fmt,
    fs::File,
    io::{self, BufRead, BufReader},
    path::{Path, PathBuf},
};

use super::{Head, NO_HASH, hash, paths};

/// What is wrong with a journal.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Problem {
    /// The line does not hold the hash of the line before: one of the two was changed.
    Edited {
        /// The file.
        file: PathBuf,
        /// Number of the line that does not fit.
        sequence: u64,
    },
    /// Lines are missing.
    Gap {
        /// The file.
        file: PathBuf,
        /// The number that should follow.
        expected: u64,
        /// The number that does; `None` when there is no number.
        found: Option<u64>,
    },
    /// The last line is not whole.
    Torn {
        /// The file.
        file: PathBuf,
    },
    /// Somebody has seen a line that is not there any more.
    CutOff {
        /// The last line that is there.
        last: u64,
        /// The line that was seen.
        seen: u64,
    },
    /// A line is another one than was seen under its number.
    Replaced {
        /// Its number.
        sequence: u64,
    },
}

impl fmt::Display for Problem {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Edited { file, sequence } => {
                write!(f, "{}: record {sequence} does not fit the one before: one of them was edited", file.display())
            }
            Self::Gap { file, expected, found: Some(found) } => {
                write!(f, "{}: record {expected} is missing, {found} follows", file.display())
            }
            Self::Gap { file, expected, found: None } => {
                write!(f, "{}: record {expected} cannot be read", file.display())
            }
            Self::Torn { file } => write!(f, "{}: the last record is not whole", file.display()),
            Self::CutOff { last, seen } => {
                write!(f, "the records end at {last}, but {seen} was committed: the end was cut off")
            }
            Self::Replaced { sequence } => {
                write!(f, "record {sequence} is another one than was committed: the records were written anew")
            }
        }
    }
}

/// What a journal holds.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Verified {
    /// Number of its first line; what was before has been let go.
    pub first: u64,
    /// Its last line.
    pub head: Head,
    /// What is wrong, in the order in which it stands.
    pub problems: Vec<Problem>,
}

/// Reads every line. `seen` are ends that somebody else has remembered.
pub fn verify(directory: &Path, seen: &[Head]) -> io::Result<Verified> {
    let mut verifier = Verifier::new(seen);
    let files = paths(directory)?;
    let last = files.len().saturating_sub(1);
    for (index, (first, path)) in files.into_iter().enumerate() {
        verifier.file(first, &path, index == last)?;
    }
    Ok(verifier.finish())
}

/// Looks at lines one after the other, wherever they come from.
#[derive(Debug)]
pub struct Verifier {
    verified: Verified,
    /// Number and hash before the next line; unknown before the first.
    expected: Option<Head>,
    seen: BTreeMap<u64, String>,
}

impl Verifier {
    /// Before the first line. `seen` are ends that somebody else has remembered.
    #[must_use]
    pub fn new(seen: &[Head]) -> Self {
        let seen = seen.iter().map(|head| (head.sequence, head.hash.clone())).collect();
        Self { verified: Verified::default(), expected: None, seen }
    }

    /// After the last line.
    #[must_use]
    pub fn finish(mut self) -> Verified {
        let end = self.verified.head.sequence;
        for &sequence in self.seen.range(end + 1..).map(|(sequence, _)| sequence) {
            self.verified.problems.push(Problem::CutOff { last: end, seen: sequence });
        }
        self.verified
    }

    fn file(&mut self, first: u64, path: &Path, is_last: bool) -> io::Result<()> {
        let mut reader = BufReader::new(File::open(path)?);
        if self.verified.first == 0 {
            self.verified.first = first;
        }
        let before = self.expected.get_or_insert_with(|| before(first));
        if before.sequence + 1 != first {
            let expected = before.sequence + 1;
            self.verified.problems.push(Problem::Gap { file: path.to_owned(), expected, found: Some(first) });
        }
        let mut line = Vec::new();
        while reader.read_until(b'\n', &mut line)? > 0 {
            if line.pop() != Some(b'\n') {
                // Where a server may be writing, or has died while it did.
                let torn = Problem::Torn { file: path.to_owned() };
                self.verified.problems.extend((!is_last).then_some(torn));
                break;
            }
            self.line(path, &line);
            line.clear();
        }
        Ok(())
    }

    /// Looks at the next line, without its newline. The first one may have any number: older lines are let go.
    pub fn line(&mut self, path: &Path, line: &[u8]) {
        let read = read(line);
        let expected = self.expected.take();
        let expected = expected.unwrap_or_else(|| before(read.as_ref().map_or(1, |(sequence, _)| *sequence)));
        let next = expected.sequence + 1;
        if self.verified.first == 0 {
            self.verified.first = next;
        }
        let sequence = match &read {
            Some((sequence, previous)) => {
                if *sequence != next {
                    self.note(Problem::Gap { file: path.to_owned(), expected: next, found: Some(*sequence) });
                } else if !expected.hash.is_empty() && *previous != expected.hash {
                    self.note(Problem::Edited { file: path.to_owned(), sequence: *sequence });
                }
                *sequence
            }
            None => {
                self.note(Problem::Gap { file: path.to_owned(), expected: next, found: None });
                next
            }
        };
        let head = Head { sequence, hash: hash(line) };
        if self.seen.get(&sequence).is_some_and(|seen| *seen != head.hash) {
            self.note(Problem::Replaced { sequence });
        }
        self.verified.head = head.clone();
        self.expected = Some(head);
    }

    fn note(&mut self, problem: Problem) {
        self.verified.problems.push(problem);
    }
}

/// What stood before a line that is the first of all that are left.
fn before(first: u64) -> Head {
    Head { sequence: first.saturating_sub(1), hash: if first <= 1 { NO_HASH.to_owned() } else { String::new() } }
}

/// Number and previous hash of a line.
fn read(line: &[u8]) -> Option<(u64, String)> {
    let value: serde_json::Value = serde_json::from_slice(line).ok()?;
    Some((value.get("seq")?.as_u64()?, value.get("prev")?.as_str()?.to_owned()))
}
