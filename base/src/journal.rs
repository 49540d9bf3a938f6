//! Append-only files of lines, each with the hash of the line before it, so that a gap, an edited line and a cut end
//! are found. Knows nothing of what the lines say.
//!
//! A line is a JSON object that begins with `{"seq":N,"prev":"HASH"`, where HASH is the SHA-256 of the whole line
//! before, without its newline. Files are called after their first line's number; old ones go when there are too many.

mod reader;
mod verify;

use std::{
    fmt::Write as _,
    fs::{self, File},
    io::{self, BufRead, BufReader, Seek, SeekFrom, Write},
    path::{Path, PathBuf},
};

use sha2::{Digest, Sha256};

pub use self::{
    reader::Reader,
    verify::{Problem, Verified, Verifier, verify},
};
use crate::files;

/// The hash before the first line.
pub const NO_HASH: &str = "0000000000000000000000000000000000000000000000000000000000000000";
const ENDING: &str = "jsonl";
/// Of the file that names the chain.
const CHAIN_FILE: &str = "chain";

/// The end of a journal.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Head {
    /// Number of the last line; 0 before the first.
    pub sequence: u64,
    /// Its hash, in hex.
    pub hash: String,
}

impl Default for Head {
    fn default() -> Self {
        Self { sequence: 0, hash: NO_HASH.to_owned() }
    }
}

/// How large a journal may become.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Bounds {
    /// A file that has more gets a successor.
    pub file_bytes: u64,
    /// With more files the oldest go.
    pub files_max: usize,
}

/// A journal that is open for writing.
#[derive(Debug)]
pub struct Journal {
    directory: PathBuf,
    bounds: Bounds,
    chain: String,
    head: Head,
    file: Option<Open>,
}

#[derive(Debug)]
struct Open {
    file: File,
    bytes: u64,
}

impl Journal {
    /// Opens the journal of a folder, or begins one under the name `chain`. A line that was not finished is cut off.
    pub fn open(directory: &Path, chain: &str, bounds: Bounds) -> io::Result<Self> {
        files::create_private_directory(directory)?;
        let chain = name_chain(directory, chain)?;
        let mut journal = Self { directory: directory.to_owned(), bounds, chain, head: Head::default(), file: None };
        if let Some((first, path)) = paths(directory)?.pop() {
            journal.resume(first, &path)?;
        }
        Ok(journal)
    }

    /// What tells this journal from one of another folder.
    #[must_use]
    pub fn chain(&self) -> &str {
        &self.chain
    }

    /// The last line.
    #[must_use]
    pub fn head(&self) -> &Head {
        &self.head
    }

    /// Adds lines, made of JSON objects, and has them on the disk when it returns. When it fails, none of them is
    /// there.
    pub fn append<'l>(&mut self, objects: impl Iterator<Item = &'l str>) -> io::Result<()> {
        let (mut head, mut text) = (self.head.clone(), String::new());
        for object in objects {
            let start = text.len();
            push_line(&mut text, &head, object);
            head = Head { sequence: head.sequence + 1, hash: hash(&text.as_bytes()[start..]) };
            text.push('\n');
        }
        if text.is_empty() {
            return Ok(());
        }
        let open = self.writable()?;
        let written = open.file.write_all(text.as_bytes()).and_then(|()| open.file.sync_data());
        if let Err(error) = written {
            // What was half written must not stand before the next line.
            open.file.set_len(open.bytes)?;
            open.file.seek(SeekFrom::End(0))?;
            return Err(error);
        }
        open.bytes += text.len() as u64;
        self.head = head;
        Ok(())
    }

    /// The last line's own text; for who wants to know how far he had come.
    pub fn last_lines(&self, count: usize) -> io::Result<Vec<String>> {
        let mut lines = std::collections::VecDeque::new();
        for (_, path) in paths(&self.directory)?.into_iter().rev().take(1) {
            for line in BufReader::new(File::open(path)?).lines() {
                lines.push_back(line?);
                if lines.len() > count {
                    lines.pop_front();
                }
            }
        }
        Ok(lines.into())
    }

    fn resume(&mut self, first: u64, path: &Path) -> io::Result<()> {
        let mut file = File::options().read(true).append(true).open(path)?;
        let mut head = None;
        let mut bytes = 0;
        let mut reader = BufReader::new(&file);
        let mut line = Vec::new();
        let mut sequence = first;
        while reader.read_until(b'\n', &mut line)? > 0 {
            if line.last() != Some(&b'\n') {
                break;
            }
            bytes += line.len() as u64;
            line.pop();
            head = Some(Head { sequence, hash: hash(&line) });
            sequence += 1;
            line.clear();
        }
        drop(reader);
        file.set_len(bytes)?;
        file.seek(SeekFrom::End(0))?;
        self.head = match head {
            Some(head) => head,
            // A file without a line: its first one has the number that it is called by.
            None => last_before(&self.directory, path, first)?,
        };
        self.file = Some(Open { file, bytes });
        Ok(())
    }

    fn writable(&mut self) -> io::Result<&mut Open> {
        if self.file.as_ref().is_none_or(|open| open.bytes >= self.bounds.file_bytes) {
            self.file = Some(self.begin_file()?);
            self.forget_old()?;
        }
        self.file.as_mut().ok_or_else(|| io::Error::other("no file is open"))
    }

    fn begin_file(&self) -> io::Result<Open> {
        use std::os::unix::fs::OpenOptionsExt;
        let path = self.directory.join(format!("{:020}.{ENDING}", self.head.sequence + 1));
        let file = File::options().create(true).append(true).read(true).mode(files::PRIVATE).open(path)?;
        files::sync_directory(&self.directory)?;
        let bytes = file.metadata()?.len();
        Ok(Open { file, bytes })
    }

    fn forget_old(&self) -> io::Result<()> {
        let mut all = paths(&self.directory)?;
        while all.len() > self.bounds.files_max.max(1) {
            fs::remove_file(all.remove(0).1)?;
        }
        Ok(())
    }
}

fn name_chain(directory: &Path, chain: &str) -> io::Result<String> {
    let path = directory.join(CHAIN_FILE);
    match fs::read_to_string(&path) {
        Ok(name) => Ok(name.trim().to_owned()),
        Err(error) if error.kind() == io::ErrorKind::NotFound => {
            files::write_atomic(&path, chain.as_bytes(), files::PRIVATE)?;
            Ok(chain.to_owned())
        }
        Err(error) => Err(error),
    }
}

fn last_before(directory: &Path, path: &Path, first: u64) -> io::Result<Head> {
    let before = paths(directory)?.into_iter().rev().find(|(_, other)| other != path);
    let Some((_, before)) = before else { return Ok(Head { sequence: first.saturating_sub(1), ..Head::default() }) };
    let last = BufReader::new(File::open(before)?).lines().last().transpose()?;
    let hash = last.map_or_else(|| NO_HASH.to_owned(), |line| hash(line.as_bytes()));
    Ok(Head { sequence: first.saturating_sub(1), hash })
}

/// The files of a journal, oldest first, each with the number of its first line.
pub fn paths(directory: &Path) -> io::Result<Vec<(u64, PathBuf)>> {
    let mut found = Vec::new();
    for entry in fs::read_dir(directory)? {
        let path = entry?.path();
        let is_ours = path.extension().is_some_and(|ending| ending == ENDING);
        let first = path.file_stem().and_then(|stem| stem.to_str()).and_then(|stem| stem.parse().ok());
        found.extend(first.filter(|_| is_ours).map(|first| (first, path)));
    }
    found.sort();
    Ok(found)
}

fn push_line(text: &mut String, head: &Head, object: &str) {
    let rest = object.trim().strip_prefix('{').unwrap_or("}");
    let comma = if rest.trim_start().starts_with('}') { "" } else { "," };
    // Writing to a string does not fail.
    let _ = write!(text, "{{\"seq\":{},\"prev\":\"{}\"{comma}{rest}", head.sequence + 1, head.hash);
}

/// SHA-256 in hex.
#[must_use]
pub fn hash(line: &[u8]) -> String {
    format!("{:x}", Sha256::digest(line))
}

#[cfg(test)]
mod tests;
