//! Reading of snapshots from any bytes. Compiled for tests and fuzzers only.

use std::io::Cursor;

use super::format;

/// The first byte says what the others are: 0 a whole file; else a header and a chunk of rows whose checksums are
/// right, whatever is in them. The second byte is the part of the rest that is the header, in 256ths.
pub fn snapshot(input: &[u8]) {
    match input {
        [0, file @ ..] => drop(format::read_any_from(&mut Cursor::new(file))),
        [_, share, rest @ ..] => {
            let (header, rows) = rest.split_at(rest.len() * usize::from(*share) / 256);
            if let Ok(file) = format::file_of(header, rows) {
                drop(format::read_any_from(&mut Cursor::new(&*file)));
            }
        }
        _ => {}
    }
}

/// A description by itself, as the store keeps it, too.
pub fn description(input: &[u8]) {
    if let Ok(meta) = crate::storage::meta::Meta::read_any(input) {
        drop(meta.place());
    }
}
