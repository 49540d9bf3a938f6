//! Everything of this crate that reads bytes which somebody else may have changed: no bytes make any of it panic. Each
//! function is one subject for a fuzzer; the tests here give each a short run. Compiled for tests and fuzzers only.

use boss_proto::{key::Key, raft::v1};
use prost::Message;

use crate::{
    codec,
    state::{
        Limits,
        rows::{self, Loader},
    },
    types::Proposal,
};
pub use crate::{
    log::fuzz::log_recovery,
    storage::snapshot::fuzz::{description, snapshot},
};

/// Keys as text and as rows of the store. The first byte is the length of a row's key, the rest begins with it.
pub fn keys(input: &[u8]) {
    if let Some(key) = std::str::from_utf8(input).ok().and_then(Key::from_path) {
        assert_eq!(Key::from_path(&key.to_path()).as_ref(), Some(&key));
    }
    let Some((length, rest)) = input.split_first() else { return };
    let (key, value) = rest.split_at(rest.len().min(usize::from(*length)));
    for format in 0..=rows::FORMAT {
        let header = rows::Header { hash: vec![0; 16], ..rows::Header::default() };
        if let Ok(loader) = Loader::new(&header, Limits::default()) {
            drop(loader.written_in(format).row(key, value.to_vec().into()));
        }
    }
}

/// What peers send.
pub fn peer_messages(input: &[u8]) {
    drop(Proposal::decode(input));
    if let Ok(entry) = v1::LogEntry::decode(input) {
        drop(codec::entry_from_proto(entry));
    }
    if let Ok(membership) = v1::StoredMembership::decode(input) {
        drop(codec::stored_membership_from_proto(membership));
    }
}

#[cfg(test)]
mod tests {
    use std::{panic::RefUnwindSafe, path::Path};

    use super::*;

    fn run(subject: &str, read: impl Fn(&[u8]) + RefUnwindSafe) {
        boss_base::fuzz::run(subject, &Path::new(env!("CARGO_MANIFEST_DIR")).join("fuzz-corpus").join(subject), read);
    }

    #[test]
    fn no_bytes_make_the_recovery_of_a_log_panic() {
        run("log_recovery", log_recovery);
    }

    #[test]
    fn no_bytes_make_the_reading_of_a_snapshot_panic() {
        run("snapshot", snapshot);
    }

    #[test]
    fn no_bytes_make_the_reading_of_a_description_panic() {
        run("description", description);
    }

    #[test]
    fn no_bytes_make_the_reading_of_a_key_panic() {
        run("keys", keys);
    }

    #[test]
    fn no_bytes_make_the_reading_of_a_peers_message_panic() {
        run("peer_messages", peer_messages);
    }
}
