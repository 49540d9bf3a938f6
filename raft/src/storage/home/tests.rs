//! After a crash between any two steps of a swap, one whole generation counts and the rest is cleared away.

use std::path::Path;

use tempfile::TempDir;

use super::*;
use crate::state::rows::Row;

fn row(value: &str) -> Row {
    Row { key: b"1k".to_vec(), value: Some(bytes::Bytes::copy_from_slice(value.as_bytes())) }
}

/// What the store says of itself that counts after a start. sled releases its lock a little after its last user has
/// gone, and nothing tells when.
fn meta_after_restart(directory: &Path) -> Option<String> {
    let mut home = SledHome::open(directory).unwrap();
    let store = loop {
        match home.open_current() {
            Err(StoreError::Locked) => std::thread::park_timeout(std::time::Duration::from_millis(10)),
            opened => break opened.unwrap(),
        }
    };
    home.clean();
    assert!(fs::read_dir(directory).unwrap().count() <= 2, "a pointer, a generation and nothing else");
    store.and_then(|store| store.meta().unwrap()).map(|meta| String::from_utf8(meta.to_vec()).unwrap())
}

/// A home whose current generation is `old`.
fn with_old() -> (TempDir, SledHome, SledStorage) {
    let directory = tempfile::tempdir().unwrap();
    let mut home = SledHome::open(directory.path()).unwrap();
    let mut store = home.start_over().unwrap();
    store.write(&[row("old")], Some(b"old")).unwrap();
    store.flush().unwrap();
    (directory, home, store)
}

#[test]
fn a_crash_before_anything_was_adopted_leaves_nothing_that_counts() {
    let directory = tempfile::tempdir().unwrap();
    let mut home = SledHome::open(directory.path()).unwrap();
    let mut store = home.fresh().unwrap();
    store.write(&[row("new")], Some(b"new")).unwrap();
    drop((store, home));
    assert_eq!(meta_after_restart(directory.path()), None);
}

#[test]
fn a_crash_while_the_new_generation_is_written_leaves_the_old_one() {
    let (directory, mut home, old) = with_old();
    let mut fresh = home.fresh().unwrap();
    fresh.write(&[row("new")], None).unwrap();
    drop((fresh, old, home));
    assert_eq!(meta_after_restart(directory.path()).as_deref(), Some("old"));
}

#[test]
fn a_crash_after_the_new_generation_is_whole_leaves_the_old_one_until_it_is_adopted() {
    let (directory, mut home, old) = with_old();
    let mut fresh = home.fresh().unwrap();
    fresh.write(&[row("new")], Some(b"new")).unwrap();
    fresh.flush().unwrap();
    drop((fresh, old, home));
    assert_eq!(meta_after_restart(directory.path()).as_deref(), Some("old"));
}

#[test]
fn a_crash_before_the_old_generation_is_removed_leaves_the_new_one() {
    let (directory, mut home, old) = with_old();
    let mut fresh = home.fresh().unwrap();
    fresh.write(&[row("new")], Some(b"new")).unwrap();
    fresh.flush().unwrap();
    home.adopt().unwrap();
    drop((fresh, old, home));
    assert_eq!(meta_after_restart(directory.path()).as_deref(), Some("new"));
}

#[test]
fn a_torn_replacement_of_the_pointer_leaves_the_old_one() {
    let (directory, home, old) = with_old();
    drop((old, home));
    fs::write(directory.path().join(".current.0123456789abcdef"), b"2").unwrap();
    assert_eq!(meta_after_restart(directory.path()).as_deref(), Some("old"));
}

#[test]
fn a_pointer_that_cannot_be_read_counts_nothing_and_the_next_generation_is_a_new_one() {
    let (directory, home, old) = with_old();
    drop((old, home));
    fs::write(directory.path().join(POINTER), b"\xff\xfe").unwrap();
    let mut home = SledHome::open(directory.path()).unwrap();
    assert!(home.open_current().unwrap().is_none());
    drop(home.start_over().unwrap());
    assert_eq!(home.current_folder(), Some(directory.path().join("00000002")));
}

#[test]
fn the_layout_of_older_builds_counts_nothing_and_is_cleared_away() {
    let directory = tempfile::tempdir().unwrap();
    fs::write(directory.path().join("db"), b"sled").unwrap();
    fs::create_dir(directory.path().join("blobs")).unwrap();
    assert_eq!(meta_after_restart(directory.path()), None);
    assert_eq!(fs::read_dir(directory.path()).unwrap().count(), 0);
}
