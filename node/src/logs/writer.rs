//! Splits output into lines and keeps them in a bounded ring of segment files. Used by the monitor; knows no pipe.

use std::{
    fs::{self, File},
    io::{self, Write},
    os::unix::fs::OpenOptionsExt,
    path::PathBuf,
};

use boss_proto::limits::LOG_LINE_BYTES_MAX;

use crate::{
    logs::record::{Header, Stream, first_sequence, segment_path},
    sandbox::files::LogBounds,
};

/// The log of one execution, for writing.
#[derive(Debug)]
pub struct LogWriter {
    dir: PathBuf,
    bounds: LogBounds,
    file: File,
    segment: u32,
    segment_bytes: u64,
    sequence: u64,
    /// Lines that could not be written since the last that could.
    lost: u64,
    stdout: Unfinished,
    stderr: Unfinished,
    batch: Vec<u8>,
    /// Lines in `batch`.
    batch_lines: u64,
}

/// The start of a line whose end has not come yet.
#[derive(Debug, Default)]
struct Unfinished(Vec<u8>);

impl LogWriter {
    /// Starts the log of attempt `attempt` in `dir`.
    pub fn create(dir: PathBuf, attempt: u32, bounds: LogBounds) -> io::Result<Self> {
        let file = create_segment(&dir, 1)?;
        Ok(Self {
            dir,
            bounds,
            file,
            segment: 1,
            segment_bytes: 0,
            sequence: first_sequence(attempt),
            lost: 0,
            stdout: Unfinished::default(),
            stderr: Unfinished::default(),
            batch: Vec::new(),
            batch_lines: 0,
        })
    }

    /// Takes output as it came. Whole lines are in the file when this returns.
    /// A disk that refuses costs lines, never the sandbox; how many is said in the log once it takes lines again.
    pub fn append(&mut self, stream: Stream, mut bytes: &[u8], time_us: u64) {
        while let Some(end) = bytes.iter().position(|byte| *byte == b'\n') {
            self.take(stream, &bytes[..end], time_us);
            self.end_line(stream, time_us);
            bytes = &bytes[end + 1..];
        }
        self.take(stream, bytes, time_us);
        self.flush();
    }

    /// Writes what is left without a newline; nothing more will come.
    pub fn finish(&mut self, time_us: u64) {
        for stream in [Stream::Stdout, Stream::Stderr] {
            if !self.unfinished(stream).0.is_empty() {
                self.end_line(stream, time_us);
            }
        }
        self.flush();
    }

    fn unfinished(&mut self, stream: Stream) -> &mut Unfinished {
        match stream {
            Stream::Stdout => &mut self.stdout,
            Stream::Stderr => &mut self.stderr,
        }
    }

    /// Adds to the unfinished line; what would make it too long goes out in parts.
    fn take(&mut self, stream: Stream, mut bytes: &[u8], time_us: u64) {
        loop {
            let unfinished = &mut self.unfinished(stream).0;
            let room = LOG_LINE_BYTES_MAX - unfinished.len();
            if bytes.len() <= room {
                unfinished.extend_from_slice(bytes);
                return;
            }
            unfinished.extend_from_slice(&bytes[..room]);
            bytes = &bytes[room..];
            let part = std::mem::take(unfinished);
            self.record(stream, true, &part, time_us);
        }
    }

    fn end_line(&mut self, stream: Stream, time_us: u64) {
        let mut line = std::mem::take(&mut self.unfinished(stream).0);
        self.record(stream, false, &line, time_us);
        line.clear();
        self.unfinished(stream).0 = line;
    }

    fn record(&mut self, stream: Stream, partial: bool, content: &[u8], time_us: u64) {
        let length = u32::try_from(content.len()).expect("bounded by LOG_LINE_BYTES_MAX");
        Header { stream, partial, length, sequence: self.sequence, time_us }.write(&mut self.batch);
        self.batch.extend_from_slice(content);
        self.sequence += 1;
        self.batch_lines += 1;
        let batch_bytes = self.batch.len() as u64;
        if batch_bytes >= BATCH_BYTES_MAX || self.segment_bytes + batch_bytes >= self.bounds.segment_bytes_max {
            self.flush();
        }
    }

    fn flush(&mut self) {
        if self.batch.is_empty() {
            return;
        }
        let batch = std::mem::take(&mut self.batch);
        match self.write_batch(&batch) {
            Ok(()) => self.lost = 0,
            Err(_) => self.lost += self.batch_lines,
        }
        self.batch = batch;
        self.batch.clear();
        self.batch_lines = 0;
    }

    fn write_batch(&mut self, batch: &[u8]) -> io::Result<()> {
        if self.segment_bytes >= self.bounds.segment_bytes_max {
            self.rotate()?;
        }
        let notice = self.notice();
        let before = self.segment_bytes;
        let written = self.file.write_all(&notice).and_then(|()| self.file.write_all(batch));
        if let Err(error) = written {
            // No torn record may stand before the next one.
            self.file.set_len(before)?;
            return Err(error);
        }
        self.segment_bytes += (notice.len() + batch.len()) as u64;
        Ok(())
    }

    /// Says in the log itself what is missing from it.
    fn notice(&self) -> Vec<u8> {
        if self.lost == 0 {
            return Vec::new();
        }
        let text = format!("[boss: {} lines lost: the disk took no more]", self.lost);
        let header = Header {
            stream: Stream::Stderr,
            partial: false,
            length: u32::try_from(text.len()).expect("a short text"),
            // The number of the last lost line, which nothing else bears.
            sequence: Header::read(&self.batch).map_or(self.sequence, |first| first.sequence).saturating_sub(1),
            time_us: 0,
        };
        let mut record = Vec::new();
        header.write(&mut record);
        record.extend_from_slice(text.as_bytes());
        record
    }

    fn rotate(&mut self) -> io::Result<()> {
        let next = self.segment + 1;
        self.file = create_segment(&self.dir, next)?;
        self.segment = next;
        self.segment_bytes = 0;
        if let Some(oldest) = next.checked_sub(self.bounds.segments_max).filter(|oldest| *oldest > 0) {
            fs::remove_file(segment_path(&self.dir, oldest))?;
        }
        Ok(())
    }
}

/// Bounds the monitor's memory; a pipe holds as much.
const BATCH_BYTES_MAX: u64 = 64 * 1024;

fn create_segment(dir: &std::path::Path, number: u32) -> io::Result<File> {
    File::options().append(true).create(true).mode(0o600).open(segment_path(dir, number))
}
