//! Reads entries: from the cache, or from the segments, where each is checked again. Knows no writer.

use std::{collections::BTreeMap, io, sync::Arc};

use super::{
    Log,
    index::{Found, Place},
    record::{self, HEADER_BYTES, Header, Record},
    segment::{self, Segment},
};
use crate::{
    metric_definitions::LOG_ENTRIES_READ_FROM_DISK,
    types::{Entry, LogId},
};

impl Log {
    /// The entries of `start..end`, up to about `bytes_max` but at least one if there is one.
    pub(super) async fn read(&self, start: u64, end: u64, bytes_max: usize) -> io::Result<Vec<Entry>> {
        let (found, segments) = {
            let index = self.shared.index();
            let found = index.read(start, end, bytes_max);
            // Cloned under the lock of the index: a segment is removed only after the index forgot its entries.
            let segments = found.iter().any(|item| matches!(item, Found::OnDisk(..)));
            (found, segments.then(|| self.shared.segments().clone()))
        };
        let Some(segments) = segments else {
            return Ok(found.into_iter().filter_map(cached).collect());
        };
        let fetch = move || found.into_iter().map(|item| fetch(item, &segments)).collect();
        self.tasks.run_blocking("log-read", fetch).await.map_err(io::Error::other)?
    }
}

fn cached(item: Found) -> Option<Entry> {
    match item {
        Found::Cached(entry) => Some(entry),
        Found::OnDisk(..) => None,
    }
}

fn fetch(item: Found, segments: &BTreeMap<u64, Arc<Segment>>) -> io::Result<Entry> {
    let (id, place) = match item {
        Found::Cached(entry) => return Ok(entry),
        Found::OnDisk(id, place) => (id, place),
    };
    let segment =
        segments.get(&place.segment).ok_or_else(|| io::Error::other(format!("the segment of entry {id} is gone")))?;
    metrics::counter!(LOG_ENTRIES_READ_FROM_DISK).increment(1);
    read_entry(segment, id, place).map_err(|problem| {
        let path = segment.path.display();
        io::Error::new(io::ErrorKind::InvalidData, format!("{path} at byte {}: {problem}", place.offset))
    })
}

fn read_entry(segment: &Segment, id: LogId, place: Place) -> Result<Entry, String> {
    let mut frame = vec![0; place.frame_bytes as usize];
    let read = segment::read_up_to(&segment.file, &mut frame, place.offset).map_err(|error| error.to_string())?;
    let header = Header::read(&frame[..read]).ok_or("no record stands here")?;
    if header.frame_bytes() > read || !record::is_intact(&header, &frame, segment.salt) {
        return Err("the checksum is wrong".to_owned());
    }
    let body = &frame[HEADER_BYTES..HEADER_BYTES + header.body_bytes as usize];
    match record::decode(header.kind, body).map_err(|error| error.to_string())? {
        Record::Entry(entry) if entry.log_id == id => Ok(entry),
        _ => Err(format!("another record than entry {id} stands here")),
    }
}
