//! Reads a log back at start: cuts a torn tail, refuses a damaged middle, never panics on any bytes.
//! Knows no writer and no consensus.

use std::{collections::BTreeMap, fs, ops::Range, path::Path, sync::Arc};

use crate::types::LogId;

use super::{
    OpenError,
    index::{Index, Place},
    record::{self, ALIGN, HEADER_BYTES, Header, Record},
    segment::{self, Owner, Segment},
};

/// Records whose sequence is further ahead than this are no part of the same log.
const SEQUENCE_GAP_MAX: u64 = 1 << 32;

/// What was found.
pub(super) struct Recovered {
    pub(super) index: Index,
    /// By first sequence, oldest first; the last one is written to.
    pub(super) segments: BTreeMap<u64, Arc<Segment>>,
    /// Sequence of the next record.
    pub(super) sequence: u64,
    /// Where in the last segment the next record goes.
    pub(super) offset: u64,
    /// Bytes of a torn tail that were cut.
    pub(super) cut_bytes: u64,
    /// The last of the entries that lay in segments which are gone.
    hidden: Option<LogId>,
}

/// Reads every segment of the directory. An empty directory is an empty log.
pub(super) fn recover(dir: &Path, owner: &Owner, index: Index) -> Result<Recovered, OpenError> {
    let segments = open_segments(dir, owner)?;
    let mut recovered = Recovered {
        index,
        sequence: segments.keys().next().copied().unwrap_or(1),
        offset: 0,
        cut_bytes: 0,
        hidden: None,
        segments: segments.clone(),
    };
    let mut following = segments.keys().copied().skip(1);
    let oldest = recovered.sequence;
    for segment in segments.values() {
        recovered.replay(segment, following.next(), segment.first_sequence == oldest)?;
    }
    recovered.check_complete(dir)?;
    // The newest file may have got its name just before the process was killed: only the kernel knows it then.
    segment::sync_dir(dir).map_err(OpenError::io(dir))?;
    Ok(recovered)
}

fn open_segments(dir: &Path, owner: &Owner) -> Result<BTreeMap<u64, Arc<Segment>>, OpenError> {
    let mut segments = BTreeMap::new();
    for entry in fs::read_dir(dir).map_err(OpenError::io(dir))? {
        let path = entry.map_err(OpenError::io(dir))?.path();
        let name = path.file_name().and_then(|name| name.to_str()).unwrap_or_default();
        if segment::parse_name(name).is_some() {
            let segment = Segment::open(&path, owner)?;
            segments.insert(segment.first_sequence, segment);
        } else if name.ends_with(".tmp") {
            // A segment whose creation was interrupted; nothing was ever written to it.
            fs::remove_file(&path).map_err(OpenError::io(&path))?;
        }
    }
    Ok(segments)
}

/// Why the reading of a segment stopped.
enum Stop {
    /// At the end of the file or at zeros.
    End,
    /// At bytes that are no intact record.
    Broken,
}

impl Recovered {
    /// `next_first` is the first sequence of the segment after this one; `None` for the last.
    fn replay(&mut self, segment: &Segment, next_first: Option<u64>, oldest: bool) -> Result<(), OpenError> {
        let bytes = read_all(segment)?;
        let mut offset = usize::try_from(segment.records_at).unwrap_or(usize::MAX);
        let mut last_batch = offset;
        let stop = loop {
            let (header, frame) = match intact_at(&bytes, offset, segment.salt) {
                Ok(found) => found,
                Err(stop) => break stop,
            };
            if header.sequence != self.sequence {
                break Stop::Broken;
            }
            let first = oldest && header.sequence == segment.first_sequence;
            self.replay_record(segment, offset, header, frame, first)?;
            self.sequence += 1;
            last_batch = offset.saturating_sub(header.since_batch as usize);
            offset += header.frame_bytes();
        };
        match next_first {
            Some(next) if next == self.sequence => Ok(()),
            Some(next) => Err(corrupt(
                segment,
                offset,
                format!("record {} is damaged; later records up to {next} exist", self.sequence),
            )),
            None => {
                self.end_at(segment, &bytes, offset, stop)?;
                let found = bytes.get(last_batch..offset).unwrap_or_default();
                segment.write_again(found, last_batch as u64).map_err(OpenError::io(&segment.path))
            }
        }
    }

    fn replay_record(
        &mut self,
        segment: &Segment,
        offset: usize,
        header: Header,
        frame: &[u8],
        first: bool,
    ) -> Result<(), OpenError> {
        let bad = |problem: String| corrupt(segment, offset, problem);
        if first && !header.is_summary() {
            return Err(bad("the oldest file does not begin with the marks of those before it".into()));
        }
        let body = &frame[HEADER_BYTES..HEADER_BYTES + header.body_bytes as usize];
        if let Some(id) = record::peek_entry(header.kind, body).map_err(|error| bad(error.to_string()))? {
            let place = Place {
                segment: segment.first_sequence,
                offset: offset as u64,
                frame_bytes: u32::try_from(frame.len()).map_err(|_| bad("the record is too long".into()))?,
            };
            return self.index.append_found(id, place).map_err(|hole| bad(hole.to_string()));
        }
        match record::decode(header.kind, body).map_err(|error| bad(error.to_string()))? {
            Record::Entry(_) => {}
            Record::Vote(vote) => self.index.vote = Some(vote),
            Record::Committed(id) => self.index.committed = id,
            Record::Truncated(keep) => {
                self.hidden = self.hidden.min(keep);
                self.index.truncate_after(keep);
            }
            Record::Purged(upto) => self.index.purge(upto),
            // What later segments open with repeats what was read already.
            Record::Summary(summary) if first => {
                self.hidden = summary.last;
                self.index.begin(summary);
            }
            Record::Summary(_) => {}
        }
        Ok(())
    }

    /// The last segment ends here, unless a later batch proves that what stands here was once durable.
    fn end_at(&mut self, segment: &Segment, bytes: &[u8], offset: usize, stop: Stop) -> Result<(), OpenError> {
        let dirty_end = dirty_end(bytes).max(offset);
        if let Some(later) = later_batch(bytes, offset..dirty_end, segment.salt, self.sequence) {
            let problem = format!(
                "record {} is damaged; it was durable, for the records from byte {later} on were written after it",
                self.sequence
            );
            return Err(corrupt(segment, offset, problem));
        }
        let dirty = dirty_end - offset;
        if matches!(stop, Stop::Broken) || dirty > 0 {
            self.cut_bytes = dirty as u64;
            segment.cut(offset as u64..dirty_end as u64).map_err(OpenError::io(&segment.path))?;
        }
        self.offset = offset as u64;
        Ok(())
    }

    /// Segments go only when a snapshot covers what is in them.
    fn check_complete(&self, dir: &Path) -> Result<(), OpenError> {
        let purged = self.index.purged().map(|purged| purged.index);
        match self.hidden.map(|hidden| hidden.index) {
            Some(hidden) if Some(hidden) > purged => {
                let from = purged.map_or(0, |purged| purged + 1);
                let problem = format!("entries {from} to {hidden} are missing: a file is gone that no snapshot covers");
                Err(OpenError::Corrupt { path: dir.to_owned(), offset: 0, problem })
            }
            _ => Ok(()),
        }
    }
}

fn read_all(segment: &Segment) -> Result<Vec<u8>, OpenError> {
    let length = usize::try_from(segment.bytes).unwrap_or(usize::MAX);
    let mut bytes = vec![0; length];
    let read = segment::read_up_to(&segment.file, &mut bytes, 0).map_err(OpenError::io(&segment.path))?;
    bytes.truncate(read);
    Ok(bytes)
}

fn intact_at(bytes: &[u8], offset: usize, salt: u64) -> Result<(Header, &[u8]), Stop> {
    let rest = bytes.get(offset..).unwrap_or_default();
    if rest.iter().take(HEADER_BYTES).all(|byte| *byte == 0) {
        return Err(Stop::End);
    }
    let header = Header::read(rest).ok_or(Stop::Broken)?;
    let frame = rest.get(..header.frame_bytes()).ok_or(Stop::Broken)?;
    if record::is_intact(&header, frame, salt) { Ok((header, frame)) } else { Err(Stop::Broken) }
}

/// The end of what is not zero. Compares whole blocks: most of a segment was never written, and its length decides how
/// long a start takes.
fn dirty_end(bytes: &[u8]) -> usize {
    const BLOCK: [u8; 4096] = [0; 4096];
    let mut rest = bytes;
    while rest.ends_with(&BLOCK) {
        rest = &rest[..rest.len() - BLOCK.len()];
    }
    rest.iter().rposition(|byte| *byte != 0).map_or(0, |last| last + 1)
}

/// Where in `range` an intact record stands that belongs to a batch begun after its start.
fn later_batch(bytes: &[u8], range: Range<usize>, salt: u64, sequence: u64) -> Option<usize> {
    let offset = range.start;
    let mut at = offset.next_multiple_of(ALIGN);
    while at < range.end && at + HEADER_BYTES <= bytes.len() {
        let Ok((header, frame)) = intact_at(bytes, at, salt) else {
            at += ALIGN;
            continue;
        };
        let ours = header.sequence >= sequence && header.sequence - sequence < SEQUENCE_GAP_MAX;
        if ours && at.saturating_sub(header.since_batch as usize) > offset {
            return Some(at);
        }
        at += if ours { frame.len() } else { ALIGN };
    }
    None
}

fn corrupt(segment: &Segment, offset: usize, problem: String) -> OpenError {
    OpenError::Corrupt { path: segment.path.clone(), offset: offset as u64, problem }
}
