//! Nothing grows: after its faults a server is about as large as before them. From what servers say of themselves.

use std::collections::BTreeMap;

use super::{Verdict, broken};
use crate::sample::{Sample, Seen};

/// A server may become so many times as large: caches fill, a restart reads everything.
const FACTOR: u64 = 3;
/// And so much larger for that it was hardly anything before, in bytes.
const BYTES_SLACK: u64 = 256 << 20;
/// The same for descriptors.
const FILES_SLACK: u64 = 300;

/// Compares the first and the last that was seen of each server.
#[must_use]
pub fn check(samples: &[Sample]) -> Verdict {
    let mut ends: BTreeMap<u64, (Seen, Seen)> = BTreeMap::new();
    for sample in samples {
        if let Some(seen) = sample.seen {
            ends.entry(sample.server).or_insert((seen, seen)).1 = seen;
        }
    }
    if ends.is_empty() {
        return Verdict::Unknown("no server told its size".to_owned());
    }
    let grown = ends.iter().find_map(|(server, (first, last))| {
        let what = grown(first, last)?;
        Some(format!("server-{server} has grown: {what}"))
    });
    grown.map_or(Verdict::Valid, broken)
}

fn grown(first: &Seen, last: &Seen) -> Option<String> {
    if last.resident_bytes > first.resident_bytes * FACTOR + BYTES_SLACK {
        return Some(format!("{} bytes of memory, then {}", first.resident_bytes, last.resident_bytes));
    }
    let files = last.open_files > first.open_files * FACTOR + FILES_SLACK;
    files.then(|| format!("{} descriptors, then {}", first.open_files, last.open_files))
}

#[cfg(test)]
mod tests {
    use super::{super::terms::tests::sample, *};

    #[test]
    fn a_server_that_stays_as_it_is_is_good_and_one_that_grows_is_not() {
        assert!(check(&[sample(1, 1, true, 1, 100), sample(2, 1, true, 1, 250)]).is_valid());
        let grown = check(&[sample(1, 1, true, 1, 100), sample(2, 1, true, 1, 5_000)]);
        assert!(matches!(grown, Verdict::Invalid(_)), "{grown:?}");
        assert!(matches!(check(&[]), Verdict::Unknown(_)));
    }
}
