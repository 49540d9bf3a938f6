//! One record of the log as bytes: a frame with a checksum around an entry, a vote or a mark. Knows no file.
//!
//! ```text
//! crc32 u32 | body length u32 | sequence u64 | bytes since the batch began u32 | kind u8, 3 zeros | body | padding to 8
//! ```
//! All numbers are little-endian. The checksum covers everything after itself and the salt of the segment, so that
//! neither what a caller wrote into an object nor what a file held before can pass for a record. The distance to the
//! beginning of the batch tells a torn write from damage: a batch begins only after the one before it was synced.

use boss_proto::limits::COMMAND_BYTES_MAX;
use openraft::EntryPayload;
use prost::Message;

use crate::{
    bugs::{self, Bug},
    codec::{self, BadMessage},
    types::{Entry, LogId, Payload, Proposal, Vote},
};

/// Bytes of a frame before its body.
pub(super) const HEADER_BYTES: usize = 24;
/// Frames begin at multiples of it.
pub(super) const ALIGN: usize = 8;
/// Largest body: a command, or a membership of servers with long names.
pub(super) const BODY_BYTES_MAX: usize = COMMAND_BYTES_MAX + 64 * 1024;

/// Largest frame of a summary: three log ids and a vote, each with a byte that says whether it is there.
pub(super) const SUMMARY_FRAME_BYTES_MAX: usize = HEADER_BYTES + 72;
/// No log reaches such an index or term; above it adding could overflow.
const NUMBER_MAX: u64 = 1 << 62;

const KIND_ENTRY: u8 = 1;
const KIND_VOTE: u8 = 2;
const KIND_COMMITTED: u8 = 3;
const KIND_TRUNCATED: u8 = 4;
const KIND_PURGED: u8 = 5;
const KIND_SUMMARY: u8 = 6;

const PAYLOAD_BLANK: u8 = 0;
const PAYLOAD_COMMAND: u8 = 1;
const PAYLOAD_MEMBERSHIP: u8 = 2;

/// What the log holds.
#[derive(Debug, Clone)]
pub(super) enum Record {
    Entry(Entry),
    Vote(Vote),
    Committed(Option<LogId>),
    /// Everything after it is void.
    Truncated(Option<LogId>),
    /// Everything up to it is covered by a snapshot.
    Purged(LogId),
    /// Opens a segment, so that older ones can go.
    Summary(Summary),
}

/// What must outlive the segments before this one.
#[derive(Debug, Clone, Default, PartialEq)]
pub(super) struct Summary {
    pub(super) vote: Option<Vote>,
    pub(super) committed: Option<LogId>,
    pub(super) purged: Option<LogId>,
    pub(super) last: Option<LogId>,
}

/// The fixed part of a frame.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Header {
    pub(super) crc: u32,
    pub(super) body_bytes: u32,
    pub(super) sequence: u64,
    pub(super) since_batch: u32,
    pub(super) kind: u8,
}

impl Header {
    /// Reads a header that could be one; `None` for anything else, zeros included.
    pub(super) fn read(bytes: &[u8]) -> Option<Self> {
        let bytes: &[u8; HEADER_BYTES] = bytes.get(..HEADER_BYTES)?.try_into().ok()?;
        let header = Self {
            crc: u32_at(bytes, 0),
            body_bytes: u32_at(bytes, 4),
            sequence: u64_at(bytes, 8),
            since_batch: u32_at(bytes, 16),
            kind: bytes[20],
        };
        let plausible = header.sequence > 0
            && header.body_bytes as usize <= BODY_BYTES_MAX
            && (KIND_ENTRY..=KIND_SUMMARY).contains(&header.kind)
            && bytes[21..] == [0; 3];
        plausible.then_some(header)
    }

    /// Whether it opens a segment.
    pub(super) fn is_summary(&self) -> bool {
        self.kind == KIND_SUMMARY
    }

    /// Bytes of the whole frame with its padding.
    pub(super) fn frame_bytes(&self) -> usize {
        HEADER_BYTES + (self.body_bytes as usize).next_multiple_of(ALIGN)
    }
}

/// Bytes that are no record although their checksum is right, or that a newer build wrote.
#[derive(Debug, thiserror::Error)]
pub(super) enum BadRecord {
    #[error("the record is too short")]
    Short,
    #[error("the number {0} is impossible")]
    Number(u64),
    #[error("unknown payload {0}")]
    Payload(u8),
    #[error("{0}")]
    Message(#[from] BadMessage),
}

/// Appends the record's frame to `out`; `batch_at` is where in `out` the batch begins.
pub(super) fn encode(record: &Record, sequence: u64, salt: u64, batch_at: usize, out: &mut Vec<u8>) {
    let at = out.len();
    out.resize(at + HEADER_BYTES, 0);
    let kind = encode_body(record, out);
    let body_bytes = out.len() - at - HEADER_BYTES;
    out.resize(at + HEADER_BYTES + body_bytes.next_multiple_of(ALIGN), 0);
    let frame = &mut out[at..];
    put_u32(frame, 4, body_bytes);
    frame[8..16].copy_from_slice(&sequence.to_le_bytes());
    put_u32(frame, 16, at - batch_at);
    frame[20] = kind;
    let crc = checksum(salt, &frame[4..HEADER_BYTES + body_bytes]);
    frame[..4].copy_from_slice(&crc.to_le_bytes());
}

/// The frame around a body of whatever kind and content.
#[cfg(any(test, fuzzing))]
pub(super) fn frame(kind: u8, since_batch: u32, sequence: u64, salt: u64, body: &[u8]) -> Vec<u8> {
    let mut frame = vec![0; HEADER_BYTES];
    put_u32(&mut frame, 4, body.len());
    frame[8..16].copy_from_slice(&sequence.to_le_bytes());
    frame[16..20].copy_from_slice(&since_batch.to_le_bytes());
    frame[20] = kind;
    frame.extend_from_slice(body);
    let crc = checksum(salt, &frame[4..]);
    frame[..4].copy_from_slice(&crc.to_le_bytes());
    frame.resize(HEADER_BYTES + body.len().next_multiple_of(ALIGN), 0);
    frame
}

/// Largest number of bytes that [`encode`] appends for the record.
pub(super) fn frame_bytes_max(record: &Record) -> usize {
    let body = match record {
        Record::Entry(entry) => match &entry.payload {
            EntryPayload::Blank => 17,
            EntryPayload::Normal(proposal) => 17 + proposal.encoded().len(),
            EntryPayload::Membership(membership) => 17 + codec::membership_to_proto(membership).encoded_len(),
        },
        _ => SUMMARY_FRAME_BYTES_MAX - HEADER_BYTES,
    };
    HEADER_BYTES + body.next_multiple_of(ALIGN)
}

/// Whether the bytes of a frame, from its beginning, are what was written.
pub(super) fn is_intact(header: &Header, frame: &[u8], salt: u64) -> bool {
    let end = HEADER_BYTES + header.body_bytes as usize;
    let checked = |covered| checksum(salt, covered) == header.crc || bugs::on(Bug::TornTailTaken);
    frame.get(4..end).is_some_and(checked)
}

/// Reads the body of an intact frame.
pub(super) fn decode(kind: u8, body: &[u8]) -> Result<Record, BadRecord> {
    let mut body = Reader(body);
    Ok(match kind {
        KIND_ENTRY => Record::Entry(decode_entry(&mut body)?),
        KIND_VOTE => Record::Vote(body.vote()?),
        KIND_COMMITTED => Record::Committed(body.optional(Reader::log_id)?),
        KIND_TRUNCATED => Record::Truncated(body.optional(Reader::log_id)?),
        KIND_PURGED => Record::Purged(body.log_id()?),
        KIND_SUMMARY => Record::Summary(Summary {
            vote: body.optional(Reader::vote)?,
            committed: body.optional(Reader::log_id)?,
            purged: body.optional(Reader::log_id)?,
            last: body.optional(Reader::log_id)?,
        }),
        other => return Err(BadRecord::Payload(other)),
    })
}

/// The id of an entry without its payload, for the index; `None` when the record is no entry.
pub(super) fn peek_entry(kind: u8, body: &[u8]) -> Result<Option<LogId>, BadRecord> {
    if kind == KIND_ENTRY { Reader(body).log_id().map(Some) } else { Ok(None) }
}

fn encode_body(record: &Record, out: &mut Vec<u8>) -> u8 {
    match record {
        Record::Entry(entry) => {
            encode_entry(entry, out);
            KIND_ENTRY
        }
        Record::Vote(vote) => {
            put_vote(vote, out);
            KIND_VOTE
        }
        Record::Committed(id) => {
            put_optional(id.as_ref(), put_log_id, out);
            KIND_COMMITTED
        }
        Record::Truncated(id) => {
            put_optional(id.as_ref(), put_log_id, out);
            KIND_TRUNCATED
        }
        Record::Purged(id) => {
            put_log_id(id, out);
            KIND_PURGED
        }
        Record::Summary(summary) => {
            put_optional(summary.vote.as_ref(), put_vote, out);
            for id in [&summary.committed, &summary.purged, &summary.last] {
                put_optional(id.as_ref(), put_log_id, out);
            }
            KIND_SUMMARY
        }
    }
}

fn encode_entry(entry: &Entry, out: &mut Vec<u8>) {
    put_log_id(&entry.log_id, out);
    match &entry.payload {
        EntryPayload::Blank => out.push(PAYLOAD_BLANK),
        EntryPayload::Normal(proposal) => {
            out.push(PAYLOAD_COMMAND);
            out.extend_from_slice(proposal.encoded());
        }
        EntryPayload::Membership(membership) => {
            out.push(PAYLOAD_MEMBERSHIP);
            out.extend_from_slice(&codec::membership_to_proto(membership).encode_to_vec());
        }
    }
}

fn decode_entry(body: &mut Reader<'_>) -> Result<Entry, BadRecord> {
    let log_id = body.log_id()?;
    let payload: Payload = match body.byte()? {
        PAYLOAD_BLANK => EntryPayload::Blank,
        PAYLOAD_COMMAND => EntryPayload::Normal(Proposal::decode(body.0).map_err(BadMessage::from)?),
        PAYLOAD_MEMBERSHIP => {
            let message =
                prost::Message::decode(body.0).map_err(|source| BadMessage::Decode { what: "membership", source })?;
            EntryPayload::Membership(codec::membership_from_proto(message)?)
        }
        other => return Err(BadRecord::Payload(other)),
    };
    Ok(Entry { log_id, payload })
}

fn checksum(salt: u64, bytes: &[u8]) -> u32 {
    let mut hasher = crc32fast::Hasher::new();
    hasher.update(&salt.to_le_bytes());
    hasher.update(bytes);
    hasher.finalize()
}

fn put_u32(frame: &mut [u8], at: usize, value: usize) {
    let value = u32::try_from(value).expect("a batch is far below 4 GiB");
    frame[at..at + 4].copy_from_slice(&value.to_le_bytes());
}

fn put_log_id(id: &LogId, out: &mut Vec<u8>) {
    out.extend_from_slice(&id.leader_id.term.to_le_bytes());
    out.extend_from_slice(&id.index.to_le_bytes());
}

fn put_vote(vote: &Vote, out: &mut Vec<u8>) {
    out.extend_from_slice(&vote.leader_id.term.to_le_bytes());
    out.extend_from_slice(&vote.leader_id.voted_for.to_le_bytes());
    out.push(u8::from(vote.committed));
}

fn put_optional<T>(value: Option<&T>, put: impl FnOnce(&T, &mut Vec<u8>), out: &mut Vec<u8>) {
    out.push(u8::from(value.is_some()));
    if let Some(value) = value {
        put(value, out);
    }
}

fn u32_at(bytes: &[u8; HEADER_BYTES], at: usize) -> u32 {
    u32::from_le_bytes([bytes[at], bytes[at + 1], bytes[at + 2], bytes[at + 3]])
}

fn u64_at(bytes: &[u8; HEADER_BYTES], at: usize) -> u64 {
    u64::from(u32_at(bytes, at)) | u64::from(u32_at(bytes, at + 4)) << 32
}

/// Takes values off the front of a body.
struct Reader<'a>(&'a [u8]);

impl Reader<'_> {
    fn byte(&mut self) -> Result<u8, BadRecord> {
        let (first, rest) = self.0.split_first().ok_or(BadRecord::Short)?;
        self.0 = rest;
        Ok(*first)
    }

    fn bits(&mut self) -> Result<u64, BadRecord> {
        let (first, rest) = self.0.split_first_chunk::<8>().ok_or(BadRecord::Short)?;
        self.0 = rest;
        Ok(u64::from_le_bytes(*first))
    }

    fn number(&mut self) -> Result<u64, BadRecord> {
        let number = self.bits()?;
        if number < NUMBER_MAX { Ok(number) } else { Err(BadRecord::Number(number)) }
    }

    fn log_id(&mut self) -> Result<LogId, BadRecord> {
        Ok(LogId::new_term_index(self.number()?, self.number()?))
    }

    fn vote(&mut self) -> Result<Vote, BadRecord> {
        let (term, server) = (self.number()?, self.bits()?);
        Ok(if self.byte()? == 0 { Vote::new(term, server) } else { Vote::new_committed(term, server) })
    }

    fn optional<T>(&mut self, read: impl FnOnce(&mut Self) -> Result<T, BadRecord>) -> Result<Option<T>, BadRecord> {
        if self.byte()? == 0 { Ok(None) } else { read(self).map(Some) }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const SALT: u64 = 0x5a17;

    fn there_and_back(record: &Record) -> Record {
        let mut bytes = Vec::new();
        encode(record, 7, SALT, 0, &mut bytes);
        assert!(bytes.len() <= frame_bytes_max(record), "{record:?}");
        let header = Header::read(&bytes).unwrap();
        assert_eq!((header.sequence, header.frame_bytes()), (7, bytes.len()));
        assert!(is_intact(&header, &bytes, SALT));
        decode(header.kind, &bytes[HEADER_BYTES..HEADER_BYTES + header.body_bytes as usize]).unwrap()
    }

    #[test]
    fn records_survive_the_way_there_and_back() {
        let id = LogId::new_term_index(3, 14);
        let summary = Summary { vote: Some(Vote::new(3, 1)), committed: None, purged: Some(id), last: Some(id) };
        let Record::Summary(read) = there_and_back(&Record::Summary(summary.clone())) else { panic!("no summary") };
        assert_eq!(read, summary);
        let Record::Truncated(read) = there_and_back(&Record::Truncated(None)) else { panic!("no truncation") };
        assert_eq!(read, None);
        let entry = Entry { log_id: id, payload: EntryPayload::Blank };
        let Record::Entry(read) = there_and_back(&Record::Entry(entry.clone())) else { panic!("no entry") };
        assert_eq!(read, entry);
    }

    #[test]
    fn every_flipped_bit_is_noticed() {
        let mut bytes = Vec::new();
        encode(&Record::Vote(Vote::new_committed(9, 2)), 1, SALT, 0, &mut bytes);
        let covered = HEADER_BYTES + Header::read(&bytes).unwrap().body_bytes as usize;
        for bit in 0..covered * 8 {
            let mut damaged = bytes.clone();
            damaged[bit / 8] ^= 1 << (bit % 8);
            let noticed = Header::read(&damaged).is_none_or(|header| !is_intact(&header, &damaged, SALT));
            assert!(noticed, "bit {bit}");
        }
    }

    #[test]
    fn a_record_of_another_segment_is_not_taken() {
        let mut bytes = Vec::new();
        encode(&Record::Committed(None), 1, SALT, 0, &mut bytes);
        assert!(!is_intact(&Header::read(&bytes).unwrap(), &bytes, SALT + 1));
    }

    #[test]
    fn zeros_are_no_header() {
        assert_eq!(Header::read(&[0; HEADER_BYTES]), None);
    }
}
