//! Rows packed together: one chunk holds many, in the order in which they were written, compressed. Knows no meaning of
//! rows and no store.

use bytes::{Buf, Bytes};

use super::store::{ROW_BYTES_MAX, StoreError};
use crate::state::rows::Row;

/// Rows are packed until the next one would make more bytes than this: a store pays for each value that it takes, and
/// holds several of them in memory for each that it writes.
const CHUNK_BYTES: usize = 64 * 1024;
/// No chunk unpacks to more: a row that is larger than a chunk is alone in its own.
const UNPACKED_BYTES_MAX: usize = ROW_BYTES_MAX + 16 * 1024;
/// Stands for the length of the value of a row that is to be removed.
const REMOVED: u32 = u32::MAX;
/// Length of a chunk before it was packed.
const HEAD_BYTES: usize = 4;
/// Two lengths.
const ROW_HEAD_BYTES: usize = 8;
/// Finds the objects which a chunk holds several times, in their own row and in those of their events. Levels above 0 also
/// pack the letters of what is left, which was a fifth of the store's writing.
const LEVEL: i32 = -1;

const _: () = assert!(CHUNK_BYTES <= UNPACKED_BYTES_MAX);

/// Packs rows. One for many chunks: making one costs more than packing a chunk.
pub(super) struct Packer {
    compressor: zstd::bulk::Compressor<'static>,
    open: Vec<u8>,
}

impl std::fmt::Debug for Packer {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Packer").finish_non_exhaustive()
    }
}

impl Packer {
    pub(super) fn new() -> Result<Self, StoreError> {
        let compressor = zstd::bulk::Compressor::new(LEVEL).map_err(StoreError::Io)?;
        Ok(Self { compressor, open: Vec::with_capacity(CHUNK_BYTES) })
    }

    /// Hands the chunks of these rows over, in order. The rows must be within the bounds of a store.
    pub(super) fn pack(&mut self, rows: &[Row], mut each: impl FnMut(Vec<u8>)) -> Result<(), StoreError> {
        for row in rows {
            let value = row.value.as_deref().unwrap_or_default();
            let bytes = ROW_HEAD_BYTES + row.key.len() + value.len();
            if !self.open.is_empty() && self.open.len() + bytes > CHUNK_BYTES {
                each(self.close()?);
            }
            put(&mut self.open, row);
        }
        if !self.open.is_empty() {
            each(self.close()?);
        }
        Ok(())
    }

    fn close(&mut self) -> Result<Vec<u8>, StoreError> {
        let mut chunk = vec![0; HEAD_BYTES + zstd::zstd_safe::compress_bound(self.open.len())];
        let (head, body) = chunk.split_at_mut(HEAD_BYTES);
        head.copy_from_slice(&length(self.open.len()).to_le_bytes());
        let packed = self.compressor.compress_to_buffer(&self.open, body).map_err(StoreError::Io);
        self.open.clear();
        chunk.truncate(HEAD_BYTES + packed?);
        Ok(chunk)
    }
}

fn put(open: &mut Vec<u8>, row: &Row) {
    let value_len = row.value.as_ref().map_or(REMOVED, |value| length(value.len()));
    open.extend_from_slice(&length(row.key.len()).to_le_bytes());
    open.extend_from_slice(&value_len.to_le_bytes());
    open.extend_from_slice(&row.key);
    open.extend_from_slice(row.value.as_deref().unwrap_or_default());
}

fn length(bytes: usize) -> u32 {
    u32::try_from(bytes).expect("keys, values and chunks are bounded far below 4 GiB")
}

/// Reads the rows of a chunk in their order; the values are slices of one buffer. Never panics, whatever the bytes are.
pub(super) fn unpack(chunk: &[u8]) -> Result<Vec<Row>, StoreError> {
    let corrupt = |problem: &str| StoreError::Corrupt(format!("a chunk of rows {problem}"));
    let (head, packed) = chunk.split_first_chunk::<HEAD_BYTES>().ok_or_else(|| corrupt("is cut off"))?;
    let unpacked = u32::from_le_bytes(*head) as usize;
    if unpacked > UNPACKED_BYTES_MAX {
        return Err(corrupt("says that it is longer than one can be"));
    }
    let bytes = zstd::bulk::decompress(packed, unpacked).map_err(|_| corrupt("cannot be unpacked"))?;
    if bytes.len() != unpacked {
        return Err(corrupt("has another length than it says"));
    }
    let mut bytes = Bytes::from(bytes);
    let mut rows = Vec::new();
    while bytes.has_remaining() {
        rows.push(take(&mut bytes).ok_or_else(|| corrupt("ends within a row"))?);
    }
    Ok(rows)
}

fn take(bytes: &mut Bytes) -> Option<Row> {
    let key_len = bytes.try_get_u32_le().ok()? as usize;
    let value_len = bytes.try_get_u32_le().ok()?;
    let key = part(bytes, key_len)?.to_vec();
    let value = if value_len == REMOVED { None } else { Some(part(bytes, value_len as usize)?) };
    Some(Row { key, value })
}

fn part(bytes: &mut Bytes, len: usize) -> Option<Bytes> {
    (len <= bytes.len()).then(|| bytes.split_to(len))
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn chunks(rows: &[Row]) -> Vec<Vec<u8>> {
        let mut chunks = Vec::new();
        Packer::new().unwrap().pack(rows, |chunk| chunks.push(chunk)).unwrap();
        chunks
    }

    fn row() -> impl Strategy<Value = Row> {
        let value = prop_oneof![
            1 => Just(None),
            6 => proptest::collection::vec(any::<u8>(), 0..300).prop_map(Some),
            1 => (0..ROW_BYTES_MAX).prop_map(|len| Some(vec![7; len])),
        ];
        let key = proptest::collection::vec(any::<u8>(), 0..30);
        (key, value).prop_map(|(key, value)| Row { key, value: value.map(Bytes::from) })
    }

    proptest! {
        #[test]
        fn what_was_packed_comes_back_in_its_order(rows in proptest::collection::vec(row(), 0..60)) {
            let back: Vec<Row> = chunks(&rows).iter().flat_map(|chunk| unpack(chunk).unwrap()).collect();
            prop_assert_eq!(back, rows);
        }

        #[test]
        fn no_bytes_make_it_panic(bytes in proptest::collection::vec(any::<u8>(), 0..400)) {
            let _ = unpack(&bytes);
        }

        #[test]
        fn a_changed_byte_is_an_error_or_other_rows_never_a_panic(at in 0_usize..500, with in 1_u8..) {
            let rows: Vec<Row> = (0_u8..20).map(|n| Row { key: vec![n], value: Some(vec![n; 30].into()) }).collect();
            let mut chunk = chunks(&rows).remove(0);
            let at = at % chunk.len();
            chunk[at] ^= with;
            let _ = unpack(&chunk);
        }
    }

    #[test]
    fn the_largest_row_fits_and_is_alone() {
        let noise = |seed: u64| {
            let mut state = seed;
            let mut next = || {
                state = state.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1);
                (state >> 56) as u8
            };
            (0..ROW_BYTES_MAX).map(|_| next()).collect::<Vec<_>>()
        };
        let rows = [1, 2].map(|seed| Row { key: b"k".to_vec(), value: Some(noise(seed).into()) });
        let chunks = chunks(&rows);
        assert_eq!(chunks.len(), 2);
        // Above about 128 KB a value goes into a file that the store never syncs.
        assert!(chunks.iter().all(|chunk| chunk.len() < 120 * 1024));
    }

    #[test]
    fn a_cut_chunk_is_corrupt() {
        let chunk = chunks(&[Row { key: b"k".to_vec(), value: Some(vec![1; 1_000].into()) }]).remove(0);
        for len in 0..chunk.len() {
            assert!(matches!(unpack(&chunk[..len]), Err(StoreError::Corrupt(_))), "{len}");
        }
    }
}
