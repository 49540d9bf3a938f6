//! The store on disk: sled, one tree, one batch per write. What a batch writes is packed into a few large values, each
//! behind those before it; the last row of a key counts. Overwritten rows stay until the store is written anew. sled's
//! flush is no fsync, so that the store may be behind or torn after a power loss: it is checked by hash when it is read,
//! and rebuilt when that fails.

use std::{
    collections::{BTreeMap, btree_map::Entry},
    fs, io,
    path::Path,
};

use bytes::Bytes;
use sled::{Batch, Db, IVec};

use super::{
    chunk::{self, Packer},
    store::{RowReader, Storage, StoreError, check_size},
};
use crate::state::rows::Row;

/// Key of the meta; chunks have another first byte.
const META: &[u8] = b"0";

/// First byte of a chunk's key; its number follows. Older builds had a key for each row, with first bytes from `1` on.
const CHUNK: u8 = b'c';

/// Nothing is read while a server runs.
const CACHE_BYTES: u64 = 16 * 1024 * 1024;

/// sled hands what was written to the operating system this often; not a matter of safety.
const FLUSH_INTERVAL_MS: u64 = 1_000;

/// Rows in sled.
#[derive(Debug)]
pub struct SledStorage {
    db: Db,
    packer: Packer,
    /// Number of the next chunk.
    next: u64,
}

impl SledStorage {
    /// Opens or makes the store in a directory of its own.
    pub fn open(directory: &Path) -> Result<Self, StoreError> {
        check_leftovers(directory)?;
        let config =
            sled::Config::new().path(directory).cache_capacity(CACHE_BYTES).flush_every_ms(Some(FLUSH_INTERVAL_MS));
        let db = config.open().map_err(store_error)?;
        // A key that is no chunk's says so when the store is read.
        let last = db.last().map_err(store_error)?.and_then(|(key, _)| chunk_number(&key));
        Ok(Self { db, packer: Packer::new()?, next: last.map_or(0, |last| last + 1) })
    }
}

fn chunk_key(number: u64) -> [u8; 9] {
    let mut key = [CHUNK; 9];
    key[1..].copy_from_slice(&number.to_be_bytes());
    key
}

fn chunk_number(key: &[u8]) -> Option<u64> {
    let (first, number) = key.split_first()?;
    let number = u64::from_be_bytes(number.try_into().ok()?);
    (*first == CHUNK).then_some(number)
}

/// The last row of each key, of all chunks in their order.
#[derive(Default)]
struct Live(BTreeMap<Vec<u8>, Bytes>);

impl Live {
    fn take_in(&mut self, key: &IVec, value: &IVec) -> Result<(), StoreError> {
        if chunk_number(key).is_none() {
            return Err(StoreError::Corrupt("it holds rows in the form of an older build".to_owned()));
        }
        for Row { key, value } in chunk::unpack(value)? {
            match (self.0.entry(key), value) {
                // A slice would keep the whole chunk in memory for one row.
                (Entry::Vacant(place), Some(value)) => drop(place.insert(Bytes::copy_from_slice(&value))),
                (Entry::Occupied(mut place), Some(value)) => drop(place.insert(Bytes::copy_from_slice(&value))),
                (Entry::Occupied(place), None) => drop(place.remove()),
                (Entry::Vacant(_), None) => {}
            }
        }
        Ok(())
    }
}

/// sled leaves this when it died while it wrote its own index; it may not start with it.
fn check_leftovers(directory: &Path) -> Result<(), StoreError> {
    let entries = match fs::read_dir(directory) {
        Ok(entries) => entries,
        Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(()),
        Err(error) => return Err(StoreError::Io(error)),
    };
    for entry in entries {
        let name = entry.map_err(StoreError::Io)?.file_name();
        let name = name.to_string_lossy();
        if name.starts_with("snap.") && name.ends_with(".generating") {
            return Err(StoreError::Corrupt(format!("{name} was left behind")));
        }
    }
    Ok(())
}

fn store_error(error: sled::Error) -> StoreError {
    match error {
        sled::Error::Io(error) if error.to_string().contains("lock") => StoreError::Locked,
        // What sled reads and does not understand comes as one of these kinds, too.
        sled::Error::Io(error) if matches!(error.kind(), io::ErrorKind::InvalidData | io::ErrorKind::UnexpectedEof) => {
            StoreError::Corrupt(error.to_string())
        }
        sled::Error::Io(error) => StoreError::Io(error),
        other => StoreError::Corrupt(other.to_string()),
    }
}

impl Storage for SledStorage {
    fn meta(&self) -> Result<Option<Bytes>, StoreError> {
        let meta = self.db.get(META).map_err(store_error)?;
        Ok(meta.map(|meta| Bytes::copy_from_slice(&meta)))
    }

    fn is_empty(&self) -> Result<bool, StoreError> {
        Ok(self.db.is_empty())
    }

    fn scan(&self, each: &mut RowReader<'_>) -> Result<(), StoreError> {
        let mut live = Live::default();
        for row in self.db.iter() {
            let (key, value) = row.map_err(store_error)?;
            if key != META {
                live.take_in(&key, &value)?;
            }
        }
        live.0.into_iter().try_for_each(|(key, value)| each(&key, value))
    }

    fn write(&mut self, rows: &[Row], meta: Option<&[u8]>) -> Result<(), StoreError> {
        rows.iter().try_for_each(check_size)?;
        let (mut batch, mut next) = (Batch::default(), self.next);
        self.packer.pack(rows, |chunk| {
            batch.insert(&chunk_key(next), chunk);
            next += 1;
        })?;
        match meta {
            Some(meta) => batch.insert(META, meta),
            None => batch.remove(META),
        }
        self.db.apply_batch(batch).map_err(store_error)?;
        self.next = next;
        Ok(())
    }

    fn clear(&mut self) -> Result<(), StoreError> {
        // The meta first: what is left after a crash must not look whole.
        self.db.remove(META).map_err(store_error)?;
        self.db.clear().map_err(store_error)
    }

    fn flush(&mut self) -> Result<(), StoreError> {
        self.db.flush().map(|_| ()).map_err(store_error)
    }
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use super::*;

    fn row(key: &str, value: Option<&str>) -> Row {
        Row { key: key.into(), value: value.map(|value| Bytes::copy_from_slice(value.as_bytes())) }
    }

    /// sled releases its lock a little after its last user has gone, and nothing tells when.
    fn open_when_unlocked(path: &Path) -> SledStorage {
        loop {
            match SledStorage::open(path) {
                Err(StoreError::Locked) => std::thread::park_timeout(Duration::from_millis(10)),
                opened => return opened.unwrap(),
            }
        }
    }

    fn content(store: &SledStorage) -> Vec<(String, String)> {
        let text = |bytes: &[u8]| String::from_utf8(bytes.to_vec()).unwrap();
        let mut rows = Vec::new();
        let scanned = store.scan(&mut |key, value| {
            rows.push((text(key), text(&value)));
            Ok(())
        });
        scanned.unwrap();
        rows
    }

    #[test]
    fn the_last_row_of_a_key_counts_also_when_it_came_after_a_restart() {
        let directory = tempfile::tempdir().unwrap();
        let mut store = open_when_unlocked(directory.path());
        store.write(&[row("1b", Some("old")), row("1a", Some("kept")), row("1c", Some("gone"))], Some(b"m")).unwrap();
        store.flush().unwrap();
        drop(store);
        let mut store = open_when_unlocked(directory.path());
        store
            .write(&[row("1b", Some("new")), row("1c", None), row("1d", Some("x")), row("1d", None)], Some(b"n"))
            .unwrap();
        store.flush().unwrap();
        drop(store);
        let store = open_when_unlocked(directory.path());
        let expected = [("1a", "kept"), ("1b", "new")].map(|(key, value)| (key.to_owned(), value.to_owned()));
        assert_eq!(content(&store), expected);
        assert_eq!(store.meta().unwrap().unwrap(), &b"n"[..]);
    }

    #[test]
    fn a_store_with_a_key_for_each_row_is_corrupt_and_not_half_read() {
        let directory = tempfile::tempdir().unwrap();
        let store = open_when_unlocked(directory.path());
        store.db.insert(b"1/registry/pods/default/web", &b"an object"[..]).unwrap();
        let read = store.scan(&mut |_, _| panic!("it hands a row over"));
        assert!(matches!(read, Err(StoreError::Corrupt(_))), "{read:?}");
    }
}
