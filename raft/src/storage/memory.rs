//! A store in memory, for tests and simulations. Keeps the same rules as the one on disk.

use std::collections::BTreeMap;

use bytes::Bytes;

use super::store::{RowReader, Storage, StoreError, check_size};
use crate::state::rows::Row;

/// Rows in a map.
#[derive(Debug, Default, Clone)]
pub struct MemoryStorage {
    rows: BTreeMap<Vec<u8>, Bytes>,
    meta: Option<Bytes>,
}

impl Storage for MemoryStorage {
    fn meta(&self) -> Result<Option<Bytes>, StoreError> {
        Ok(self.meta.clone())
    }

    fn is_empty(&self) -> Result<bool, StoreError> {
        Ok(self.rows.is_empty() && self.meta.is_none())
    }

    fn scan(&self, each: &mut RowReader<'_>) -> Result<(), StoreError> {
        self.rows.iter().try_for_each(|(key, value)| each(key, value.clone()))
    }

    fn write(&mut self, rows: &[Row], meta: Option<&[u8]>) -> Result<(), StoreError> {
        rows.iter().try_for_each(check_size)?;
        for row in rows {
            match &row.value {
                Some(value) => self.rows.insert(row.key.clone(), value.clone()),
                None => self.rows.remove(&row.key),
            };
        }
        self.meta = meta.map(Bytes::copy_from_slice);
        Ok(())
    }

    fn clear(&mut self) -> Result<(), StoreError> {
        *self = Self::default();
        Ok(())
    }

    fn flush(&mut self) -> Result<(), StoreError> {
        Ok(())
    }
}
