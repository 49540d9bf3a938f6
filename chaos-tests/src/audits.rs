//! Reads what servers keep of the entries that they applied, from the files of their audits. Judges nothing.

use std::{fs, io, path::Path};

use boss_base::journal;
use serde::Deserialize;

use crate::checkers::entries::Kept;

/// The parts of a line that say where it is from.
#[derive(Deserialize)]
struct Line {
    index: u64,
    term: u64,
    r#type: String,
    #[serde(default)]
    ordinal: u64,
}

/// Every write that a server has kept, in the order of its files. The end of the last one may be on its way.
pub fn kept(folder: &Path) -> io::Result<Vec<Kept>> {
    let mut found = Vec::new();
    for (_, path) in journal::paths(folder)? {
        let bytes = fs::read(path)?;
        found.extend(String::from_utf8_lossy(&bytes).lines().filter_map(read));
    }
    Ok(found)
}

fn read(line: &str) -> Option<Kept> {
    let Line { index, term, r#type, ordinal } = serde_json::from_str(line).ok()?;
    // Calls are each server's own; its place in the chain of lines, too.
    let told = line.split_once(r#""prev":""#)?.1.split_once(',')?.1;
    (r#type == "write").then(|| Kept { index, term, ordinal, told: told.to_owned() })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn writes_are_read_and_calls_and_unfinished_lines_are_not() {
        let folder = tempfile::tempdir().unwrap();
        let bounds = journal::Bounds { file_bytes: 1 << 20, files_max: 4 };
        let mut journal = journal::Journal::open(folder.path(), "c", bounds).unwrap();
        let write = r#"{"time":1,"index":7,"term":2,"type":"write","ordinal":1,"result":"done"}"#;
        let call = r#"{"time":1,"index":7,"term":2,"type":"call"}"#;
        journal.append([write, call].into_iter()).unwrap();
        let told = r#""time":1,"index":7,"term":2,"type":"write","ordinal":1,"result":"done"}"#.to_owned();
        assert_eq!(kept(folder.path()).unwrap(), [Kept { index: 7, term: 2, ordinal: 1, told }]);
        assert!(read(r#"{"seq":3,"prev":"x","time":1,"index":8,"te"#).is_none());
    }
}
