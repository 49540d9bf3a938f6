//! Recovery of a log from any bytes. Compiled for tests and fuzzers only.

use std::{
    fs,
    path::{Path, PathBuf},
    sync::atomic::{AtomicU64, Ordering},
};

use boss_proto::ids::{ClusterId, ServerId};

use super::{
    index::Index,
    record::{self, HEADER_BYTES},
    recovery::{self, Recovered},
    segment::{self, Owner},
};

const SALT: u64 = 0x5a17;

/// A folder of its own for each input, gone with it.
struct Folder(PathBuf);

impl Folder {
    fn fresh() -> Self {
        static NUMBER: AtomicU64 = AtomicU64::new(0);
        let number = NUMBER.fetch_add(1, Ordering::Relaxed);
        // In memory where that is possible: a recovery that cuts something syncs it.
        let memory = PathBuf::from("/dev/shm");
        let base = if memory.is_dir() { memory } else { std::env::temp_dir() };
        let path = base.join(format!("boss-fuzz-log-{}-{number}", std::process::id()));
        fs::create_dir_all(&path).expect("the folder for temporary files can be written");
        Self(path)
    }
}

impl Drop for Folder {
    fn drop(&mut self) {
        // What is left stays among the temporary files.
        let _ = fs::remove_dir_all(&self.0);
    }
}

/// The first byte says what the others are: 0 a whole file; 1 records whose checksums are right, whatever is in them;
/// 2 the same in two files. What is recovered is recovered again without anything to cut.
pub fn log_recovery(input: &[u8]) {
    let Some((how, rest)) = input.split_first() else { return };
    let owner = Owner { cluster_id: ClusterId::from("fuzz"), server_id: ServerId(1) };
    let folder = Folder::fresh();
    let store = |first: u64, bytes: &[u8]| {
        fs::write(folder.0.join(segment::file_name(first)), bytes).expect("the folder can be written");
    };
    match how % 3 {
        0 => store(1, rest),
        1 => {
            let (file, _) = file_of(&owner, 1, rest);
            store(1, &file);
        }
        _ => {
            let (older, newer) = rest.split_at(rest.len() / 2);
            let (file, next) = file_of(&owner, 1, older);
            store(1, &file);
            store(next, &file_of(&owner, next, newer).0);
        }
    }
    let Ok(first) = recover(&folder.0, &owner) else { return };
    let again = recover(&folder.0, &owner).unwrap_or_else(|error| panic!("it was cut and is no log now: {error}"));
    assert_eq!(again.cut_bytes, 0, "something was left to cut");
    assert_eq!((again.sequence, again.offset), (first.sequence, first.offset));
    assert_eq!(again.index.summary(), first.index.summary());
}

fn recover(dir: &Path, owner: &Owner) -> Result<Recovered, super::OpenError> {
    recovery::recover(dir, owner, Index::new(1 << 20))
}

/// A file that begins with a right head, and the sequence after its last record. Each record is given by its kind,
/// its distance from the batch in frames of eight bytes, the length of its body, and the body.
fn file_of(owner: &Owner, first: u64, mut input: &[u8]) -> (Vec<u8>, u64) {
    let mut file = segment::encode_head(owner, first, SALT);
    let mut sequence = first;
    while let Some(([kind, since_batch, length], rest)) = input.split_first_chunk() {
        let (body, rest) = rest.split_at(rest.len().min(usize::from(*length)));
        // What a recovered entry is read as later must not panic either.
        let _ = record::decode(*kind, body);
        file.extend_from_slice(&record::frame(*kind, u32::from(*since_batch) * 8, sequence, SALT, body));
        sequence += 1;
        input = rest;
    }
    debug_assert!(file.len() >= HEADER_BYTES);
    (file, sequence)
}
