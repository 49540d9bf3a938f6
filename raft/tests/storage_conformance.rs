//! What every store behind the registry must do: sled and memory run through the same suite.
#![expect(clippy::unwrap_used, reason = "a failed step is a failed test")]

use boss_raft::{
    state::rows::Row,
    storage::{MemoryStorage, ROW_BYTES_MAX, SledStorage, Storage, StoreError},
};
use bytes::Bytes;

fn row(key: &str, value: Option<&str>) -> Row {
    Row { key: key.as_bytes().to_vec(), value: value.map(|value| Bytes::copy_from_slice(value.as_bytes())) }
}

fn contents(storage: &impl Storage) -> Vec<(String, String)> {
    let mut found = Vec::new();
    let text = |bytes: &[u8]| String::from_utf8(bytes.to_vec()).unwrap();
    storage
        .scan(&mut |key, value| {
            found.push((text(key), text(&value)));
            Ok(())
        })
        .unwrap();
    found
}

fn pairs(pairs: &[(&str, &str)]) -> Vec<(String, String)> {
    pairs.iter().map(|(key, value)| ((*key).to_owned(), (*value).to_owned())).collect()
}

/// A fresh store for each check.
fn conforms<S: Storage>(fresh: impl Fn() -> S) {
    a_fresh_store_is_empty(&fresh());
    a_batch_writes_replaces_and_removes(fresh());
    rows_come_in_key_order(fresh());
    a_batch_without_meta_leaves_the_store_half_replaced(fresh());
    a_cleared_store_is_empty(fresh());
    a_row_above_the_limit_is_refused_with_its_batch(fresh());
    an_error_of_the_reader_ends_the_scan(fresh());
}

fn a_fresh_store_is_empty(storage: &impl Storage) {
    assert!(storage.is_empty().unwrap());
    assert_eq!(storage.meta().unwrap(), None);
    assert_eq!(contents(storage), []);
}

fn a_batch_writes_replaces_and_removes(mut storage: impl Storage) {
    storage.write(&[row("1a", Some("x")), row("1b", Some("y"))], Some(b"one")).unwrap();
    storage.write(&[row("1a", Some("z")), row("1b", None), row("1c", None)], Some(b"two")).unwrap();
    storage.flush().unwrap();
    assert_eq!(contents(&storage), pairs(&[("1a", "z")]));
    assert_eq!(storage.meta().unwrap().as_deref(), Some(&b"two"[..]));
    assert!(!storage.is_empty().unwrap());
}

fn rows_come_in_key_order(mut storage: impl Storage) {
    storage.write(&[row("3", Some("c")), row("1", Some("a")), row("2", Some("b"))], Some(b"m")).unwrap();
    assert_eq!(contents(&storage), pairs(&[("1", "a"), ("2", "b"), ("3", "c")]));
}

fn a_batch_without_meta_leaves_the_store_half_replaced(mut storage: impl Storage) {
    storage.write(&[row("1", Some("a"))], Some(b"m")).unwrap();
    storage.write(&[row("2", Some("b"))], None).unwrap();
    assert_eq!(storage.meta().unwrap(), None);
    assert!(!storage.is_empty().unwrap());
}

fn a_cleared_store_is_empty(mut storage: impl Storage) {
    storage.write(&[row("1", Some("a"))], Some(b"m")).unwrap();
    storage.clear().unwrap();
    a_fresh_store_is_empty(&storage);
}

fn a_row_above_the_limit_is_refused_with_its_batch(mut storage: impl Storage) {
    let value = |bytes| Row { key: b"1".to_vec(), value: Some(vec![7; bytes].into()) };
    let refused = storage.write(&[row("0a", Some("a")), value(ROW_BYTES_MAX + 1)], Some(b"m"));
    assert!(matches!(refused, Err(StoreError::TooLarge { .. })));
    assert!(storage.is_empty().unwrap());
    storage.write(&[value(ROW_BYTES_MAX)], Some(b"m")).unwrap();
}

fn an_error_of_the_reader_ends_the_scan(mut storage: impl Storage) {
    storage.write(&[row("1", Some("a")), row("2", Some("b"))], Some(b"m")).unwrap();
    let mut seen = 0;
    let result = storage.scan(&mut |_, _| {
        seen += 1;
        Err(StoreError::Corrupt("no".to_owned()))
    });
    assert!(matches!(result, Err(StoreError::Corrupt(_))));
    assert_eq!(seen, 1);
}

#[test]
fn memory_conforms() {
    conforms(MemoryStorage::default);
}

#[test]
fn sled_conforms() {
    let directory = tempfile::tempdir().unwrap();
    let next = std::cell::Cell::new(0);
    conforms(|| {
        next.set(next.get() + 1);
        SledStorage::open(&directory.path().join(next.get().to_string())).unwrap()
    });
}

#[test]
fn sled_keeps_its_rows_and_its_lock() {
    let directory = tempfile::tempdir().unwrap();
    let path = directory.path().join("state");
    let mut storage = SledStorage::open(&path).unwrap();
    storage.write(&[row("1", Some("a"))], Some(b"m")).unwrap();
    assert!(matches!(SledStorage::open(&path), Err(StoreError::Locked)));
    drop(storage);
    let storage = open_once_unlocked(&path);
    assert_eq!(contents(&storage), pairs(&[("1", "a")]));
    assert_eq!(storage.meta().unwrap().as_deref(), Some(&b"m"[..]));
}

/// sled lets go of its lock from a thread of its own, some time after the drop.
#[expect(clippy::disallowed_methods, reason = "nothing tells when the lock goes")]
fn open_once_unlocked(path: &std::path::Path) -> SledStorage {
    for _ in 0..1_000 {
        match SledStorage::open(path) {
            Err(StoreError::Locked) => std::thread::sleep(std::time::Duration::from_millis(10)),
            opened => return opened.unwrap(),
        }
    }
    panic!("the lock stayed");
}

#[test]
fn sled_refuses_what_it_left_half_written() {
    let directory = tempfile::tempdir().unwrap();
    drop(SledStorage::open(directory.path()).unwrap());
    std::fs::write(directory.path().join("snap.0000000000000001.generating"), b"").unwrap();
    assert!(matches!(SledStorage::open(directory.path()), Err(StoreError::Corrupt(_))));
}
