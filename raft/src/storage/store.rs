//! The seam of the store that is written behind apply: rows by key, one batch at a time. Knows no meaning of rows.

use std::io;

use boss_proto::limits::OBJECT_BYTES_MAX;
use bytes::Bytes;

use crate::state::rows::Row;

/// A row holds one object and a little around it; above about 128 KB sled puts values into files that it never syncs.
pub const ROW_BYTES_MAX: usize = OBJECT_BYTES_MAX + 8 * 1024;

/// The store cannot be used as it is.
#[derive(Debug, thiserror::Error)]
pub enum StoreError {
    /// Another process holds it; after a kill -9 for a moment still the dead one.
    #[error("the store is locked by another process")]
    Locked,
    /// What is in it cannot be what was written: it has to be deleted and rebuilt.
    #[error("the store is corrupt: {0}")]
    Corrupt(String),
    /// A row above the limit.
    #[error("a row of {bytes} bytes is above the limit of {ROW_BYTES_MAX}")]
    TooLarge {
        /// Its size.
        bytes: usize,
    },
    /// The disk says no.
    #[error("the store cannot be read or written")]
    Io(#[source] io::Error),
}

/// Takes the rows of a scan, key and value; its error ends the scan.
pub type RowReader<'a> = dyn FnMut(&[u8], Bytes) -> Result<(), StoreError> + 'a;

/// A store of rows. It may lose its latest batches in a crash, never a part of one; it is never the root of
/// durability.
pub trait Storage: Send + 'static {
    /// What the last batch said about itself; `None` when the store is empty or was left half replaced.
    fn meta(&self) -> Result<Option<Bytes>, StoreError>;

    /// Whether there is nothing in it at all.
    fn is_empty(&self) -> Result<bool, StoreError>;

    /// Hands every row over, in key order.
    fn scan(&self, each: &mut RowReader<'_>) -> Result<(), StoreError>;

    /// Writes and removes rows and replaces the meta, all or nothing. Without a meta the store counts as half
    /// replaced until a batch brings one.
    fn write(&mut self, rows: &[Row], meta: Option<&[u8]>) -> Result<(), StoreError>;

    /// Takes everything away.
    fn clear(&mut self) -> Result<(), StoreError>;

    /// Hands everything written to the operating system.
    fn flush(&mut self) -> Result<(), StoreError>;
}

/// Refuses a row above the limit.
pub(super) fn check_size(row: &Row) -> Result<(), StoreError> {
    let bytes = row.value.as_ref().map_or(0, Bytes::len);
    if bytes > ROW_BYTES_MAX { Err(StoreError::TooLarge { bytes }) } else { Ok(()) }
}
