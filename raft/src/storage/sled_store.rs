//! The store on disk: sled, one tree, one batch per write. sled's flush is no fsync, so that the store may be behind
//! or torn after a power loss: it is checked by hash when it is read, and rebuilt when that fails.

use std::{fs, io, path::Path};

use bytes::Bytes;
use sled::{Batch, Db};

use super::store::{RowReader, Storage, StoreError, check_size};
use crate::state::rows::Row;

/// Key of the meta; rows have other first bytes.
const META: &[u8] = b"0";

/// Measured: smaller caches cost more memory, not less.
const CACHE_BYTES: u64 = 64 * 1024 * 1024;

/// sled hands what was written to the operating system this often; not a matter of safety.
const FLUSH_INTERVAL_MS: u64 = 1_000;

/// Rows in sled.
#[derive(Debug)]
pub struct SledStorage {
    db: Db,
}

impl SledStorage {
    /// Opens or makes the store in a directory of its own.
    pub fn open(directory: &Path) -> Result<Self, StoreError> {
        check_leftovers(directory)?;
        let config =
            sled::Config::new().path(directory).cache_capacity(CACHE_BYTES).flush_every_ms(Some(FLUSH_INTERVAL_MS));
        Ok(Self { db: config.open().map_err(store_error)? })
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
        for row in self.db.iter() {
            let (key, value) = row.map_err(store_error)?;
            if key != META {
                each(&key, Bytes::copy_from_slice(&value))?;
            }
        }
        Ok(())
    }

    fn write(&mut self, rows: &[Row], meta: Option<&[u8]>) -> Result<(), StoreError> {
        let mut batch = Batch::default();
        for row in rows {
            check_size(row)?;
            match &row.value {
                Some(value) => batch.insert(&*row.key, &**value),
                None => batch.remove(&*row.key),
            }
        }
        match meta {
            Some(meta) => batch.insert(META, meta),
            None => batch.remove(META),
        }
        self.db.apply_batch(batch).map_err(store_error)
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
