//! Reads a journal from a line on, beside whoever writes it: file after file, whole lines only.

use std::{
    fs::File,
    io::{self, BufRead, BufReader, Seek, SeekFrom},
    path::PathBuf,
};

use super::paths;

/// A place in a journal that moves towards its end.
#[derive(Debug)]
pub struct Reader {
    directory: PathBuf,
    /// Number of the line that is wanted next.
    next: u64,
    open: Option<Open>,
}

#[derive(Debug)]
struct Open {
    /// Number of the file's first line.
    first: u64,
    /// Number of the line at `offset`.
    number: u64,
    /// After the last whole line.
    offset: u64,
    reader: BufReader<File>,
    /// There is a file after it, so nothing more is written to this one.
    is_closed: bool,
}

impl Reader {
    /// Begins with the line after this one, or with the oldest that is left.
    #[must_use]
    pub fn after(directory: PathBuf, sequence: u64) -> Self {
        Self { directory, next: sequence + 1, open: None }
    }

    /// The next lines, without their newlines, with some `bytes_max` bytes; none when there are no more now.
    pub fn read(&mut self, bytes_max: usize) -> io::Result<Vec<String>> {
        let (mut lines, mut bytes) = (Vec::new(), 0);
        while bytes < bytes_max {
            if self.open.is_none() && !self.begin()? {
                break;
            }
            match self.line()? {
                Some(line) => {
                    bytes += line.len();
                    lines.push(line);
                }
                None if self.move_on()? => {}
                None => break,
            }
        }
        Ok(lines)
    }

    /// Opens the file with the line that is wanted next; false when there is no file.
    fn begin(&mut self) -> io::Result<bool> {
        let files = paths(&self.directory)?;
        let holding = files.iter().rev().find(|(first, _)| *first <= self.next).or(files.first());
        let Some((first, path)) = holding else { return Ok(false) };
        let reader = match File::open(path) {
            Ok(file) => BufReader::new(file),
            // The oldest has just been let go.
            Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(false),
            Err(error) => return Err(error),
        };
        self.next = self.next.max(*first);
        self.open = Some(Open { first: *first, number: *first, offset: 0, reader, is_closed: false });
        Ok(true)
    }

    /// The next line of the open file that is wanted; `None` at its end.
    fn line(&mut self) -> io::Result<Option<String>> {
        let Some(open) = &mut self.open else { return Ok(None) };
        loop {
            let mut line = Vec::new();
            open.reader.read_until(b'\n', &mut line)?;
            if line.last() != Some(&b'\n') {
                // Half a line is being written, or will be taken back.
                open.reader.seek(SeekFrom::Start(open.offset))?;
                return Ok(None);
            }
            open.offset += line.len() as u64;
            open.number += 1;
            line.pop();
            if open.number > self.next {
                self.next = open.number;
                return Ok(Some(String::from_utf8_lossy(&line).into_owned()));
            }
        }
    }

    /// From the end of the open file to the one after it, once surely nothing more comes into the open one.
    fn move_on(&mut self) -> io::Result<bool> {
        let Some(open) = &mut self.open else { return Ok(false) };
        let has_next = paths(&self.directory)?.iter().any(|(first, _)| *first > open.first);
        if has_next && open.is_closed {
            self.open = None;
            return Ok(true);
        }
        // What was written before the next file began may have come after our look: once more.
        open.is_closed = has_next;
        Ok(has_next)
    }
}
