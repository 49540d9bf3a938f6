//! How one line of output stands in a log segment. Knows no file but its name.

use std::path::{Path, PathBuf};

/// Bytes before the content.
pub const HEADER_BYTES: usize = 22;

const MAGIC: u8 = 0xB5;
const FLAG_STDERR: u8 = 1;
const FLAG_PARTIAL: u8 = 2;

/// Where output came from.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Stream {
    /// Standard output.
    Stdout,
    /// Standard error.
    Stderr,
}

impl Stream {
    /// As users see it.
    #[must_use]
    pub fn as_str(self) -> &'static str {
        match self {
            Stream::Stdout => "stdout",
            Stream::Stderr => "stderr",
        }
    }
}

/// What stands before the content.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Header {
    /// Where it came from.
    pub stream: Stream,
    /// The line goes on in this stream's next record.
    pub partial: bool,
    /// Length of the content in bytes.
    pub length: u32,
    /// Position in the pod's log, strictly increasing over all attempts.
    pub sequence: u64,
    /// Unix time in microseconds.
    pub time_us: u64,
}

impl Header {
    /// Appends it to `out`.
    pub fn write(&self, out: &mut Vec<u8>) {
        let stderr = if self.stream == Stream::Stderr { FLAG_STDERR } else { 0 };
        let partial = if self.partial { FLAG_PARTIAL } else { 0 };
        out.extend_from_slice(&[MAGIC, stderr | partial]);
        out.extend_from_slice(&self.length.to_le_bytes());
        out.extend_from_slice(&self.sequence.to_le_bytes());
        out.extend_from_slice(&self.time_us.to_le_bytes());
    }

    /// Reads it from the start of `bytes`; `None` when they are too few or no header.
    #[must_use]
    pub fn read(bytes: &[u8]) -> Option<Self> {
        let bytes = bytes.first_chunk::<HEADER_BYTES>()?;
        if bytes[0] != MAGIC {
            return None;
        }
        Some(Self {
            stream: if bytes[1] & FLAG_STDERR == 0 { Stream::Stdout } else { Stream::Stderr },
            partial: bytes[1] & FLAG_PARTIAL != 0,
            length: u32::from_le_bytes(*bytes[2..].first_chunk()?),
            sequence: u64::from_le_bytes(*bytes[6..].first_chunk()?),
            time_us: u64::from_le_bytes(*bytes[14..].first_chunk()?),
        })
    }
}

/// One line, or a part of a long one.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Record {
    /// What stands before it.
    pub header: Header,
    /// Without its newline.
    pub content: Vec<u8>,
}

/// Sequence numbers of one attempt begin here, so that they increase over all attempts of a pod.
#[must_use]
pub fn first_sequence(attempt: u32) -> u64 {
    u64::from(attempt) << 40
}

/// The file of segment `number` of the sandbox in `dir`.
#[must_use]
pub fn segment_path(dir: &Path, number: u32) -> PathBuf {
    dir.join(format!("log.{number}"))
}

/// Reads what [`segment_path`] wrote.
#[must_use]
pub fn segment_number(file_name: &str) -> Option<u32> {
    file_name.strip_prefix("log.")?.parse().ok()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_header_reads_back() {
        for (stream, partial) in [(Stream::Stdout, false), (Stream::Stderr, true)] {
            let header = Header { stream, partial, length: 9, sequence: first_sequence(3) + 5, time_us: 1 << 50 };
            let mut bytes = Vec::new();
            header.write(&mut bytes);
            assert_eq!(bytes.len(), HEADER_BYTES);
            assert_eq!(Header::read(&bytes), Some(header));
            assert_eq!(Header::read(&bytes[1..]), None);
        }
    }

    #[test]
    fn later_attempts_have_higher_sequences() {
        assert!(first_sequence(2) > first_sequence(1) + 1_000_000_000);
    }
}
