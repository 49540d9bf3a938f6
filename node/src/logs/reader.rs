//! Reads a sandbox's log segments in order, while they are being written. Knows no pod and no network.

use std::{
    collections::VecDeque,
    fs::{self, File},
    io,
    os::unix::fs::FileExt,
    path::{Path, PathBuf},
};

use crate::logs::record::{HEADER_BYTES, Header, Record, segment_number, segment_path};

/// Bytes read at once.
const CHUNK_BYTES: usize = 128 * 1024;

/// A position in the log of one execution.
#[derive(Debug)]
pub struct LogReader {
    dir: PathBuf,
    segment: Option<OpenSegment>,
    /// The segment to open next when none is open.
    next: u32,
}

#[derive(Debug)]
struct OpenSegment {
    number: u32,
    file: File,
    offset: u64,
}

impl LogReader {
    /// From the oldest record that is kept.
    pub fn from_start(dir: &Path) -> Self {
        Self { dir: dir.to_owned(), segment: None, next: 0 }
    }

    /// From the last `lines` lines, and how many there are.
    pub fn from_tail(dir: &Path, lines: usize) -> io::Result<(Self, usize)> {
        let mut missing = lines;
        let mut reader = Self::from_start(dir);
        for number in segments(dir)?.into_iter().rev() {
            let Some(file) = open(dir, number)? else { break };
            let starts = line_starts(&file, missing)?;
            reader.segment = Some(OpenSegment { number, file, offset: starts.offset });
            missing -= starts.lines;
            if missing == 0 {
                break;
            }
        }
        Ok((reader, lines - missing))
    }

    /// The folder that it reads.
    #[must_use]
    pub fn dir(&self) -> &Path {
        &self.dir
    }

    /// The next records, at most about a chunk of them; empty when there are no more for now.
    pub fn read(&mut self) -> io::Result<Vec<Record>> {
        loop {
            let Some(segment) = &mut self.segment else {
                if !self.open_next()? {
                    return Ok(Vec::new());
                }
                continue;
            };
            // Look for a successor before reading: then an empty read proves that this segment is complete.
            let number = segment.number;
            let has_successor = segments(&self.dir)?.iter().any(|found| *found > number);
            let records = segment.read_chunk()?;
            if !records.is_empty() {
                return Ok(records);
            }
            if !has_successor {
                return Ok(Vec::new());
            }
            self.next = number + 1;
            self.segment = None;
        }
    }

    fn open_next(&mut self) -> io::Result<bool> {
        // Segments that were rotated away meanwhile are skipped; the sequence numbers show the gap.
        for number in segments(&self.dir)?.into_iter().filter(|number| *number >= self.next) {
            if let Some(file) = open(&self.dir, number)? {
                self.segment = Some(OpenSegment { number, file, offset: 0 });
                return Ok(true);
            }
        }
        Ok(false)
    }
}

impl OpenSegment {
    fn read_chunk(&mut self) -> io::Result<Vec<Record>> {
        let mut chunk = vec![0; CHUNK_BYTES];
        let length = read_at_most(&self.file, &mut chunk, self.offset)?;
        let (records, consumed) = parse(&chunk[..length]);
        self.offset += consumed as u64;
        Ok(records)
    }
}

/// Whole records at the start of `bytes`, and how many bytes they take. A record that is still being written,
/// or that a killed monitor left torn, ends it.
fn parse(bytes: &[u8]) -> (Vec<Record>, usize) {
    let mut records = Vec::new();
    let mut at = 0;
    while let Some(header) = Header::read(&bytes[at..]) {
        let content = at + HEADER_BYTES;
        let Some(content) = bytes.get(content..content + header.length as usize) else { break };
        records.push(Record { header, content: content.to_vec() });
        at += HEADER_BYTES + header.length as usize;
    }
    (records, at)
}

struct LineStarts {
    offset: u64,
    lines: usize,
}

/// Where the last `wanted` lines of a segment start, and how many there are.
fn line_starts(file: &File, wanted: usize) -> io::Result<LineStarts> {
    let mut starts: VecDeque<u64> = VecDeque::new();
    let mut lines = 0;
    let mut line_start = 0;
    let mut segment = OpenSegment { number: 0, file: file.try_clone()?, offset: 0 };
    loop {
        let mut at = segment.offset;
        let records = segment.read_chunk()?;
        if records.is_empty() {
            break;
        }
        for record in records {
            at += (HEADER_BYTES + record.content.len()) as u64;
            if !record.header.partial {
                starts.push_back(line_start);
                line_start = at;
                lines += 1;
                if starts.len() > wanted {
                    starts.pop_front();
                }
            }
        }
    }
    let offset = if wanted == 0 { line_start } else { starts.front().copied().unwrap_or(0) };
    Ok(LineStarts { offset, lines: lines.min(wanted) })
}

fn read_at_most(file: &File, buffer: &mut [u8], offset: u64) -> io::Result<usize> {
    let mut filled = 0;
    while filled < buffer.len() {
        match file.read_at(&mut buffer[filled..], offset + filled as u64)? {
            0 => break,
            length => filled += length,
        }
    }
    Ok(filled)
}

fn open(dir: &Path, number: u32) -> io::Result<Option<File>> {
    match File::open(segment_path(dir, number)) {
        Ok(file) => Ok(Some(file)),
        Err(error) if error.kind() == io::ErrorKind::NotFound => Ok(None),
        Err(error) => Err(error),
    }
}

/// The segments that are there, oldest first.
fn segments(dir: &Path) -> io::Result<Vec<u32>> {
    let entries = match fs::read_dir(dir) {
        Ok(entries) => entries,
        Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(Vec::new()),
        Err(error) => return Err(error),
    };
    let mut found: Vec<u32> = entries.filter_map(|entry| segment_number(entry.ok()?.file_name().to_str()?)).collect();
    found.sort_unstable();
    Ok(found)
}

#[cfg(test)]
#[path = "reader_tests.rs"]
mod tests;
