//! Streams that one session carries to readers, each with a window of its own: a slow reader slows nobody else.
//! Knows no pod.

use std::{
    collections::HashMap,
    sync::{
        Mutex, MutexGuard, PoisonError,
        atomic::{AtomicU64, Ordering},
    },
};

use boss_proto::{limits::LOG_WINDOW_BATCHES, v1::LogRecord};
use tokio::sync::mpsc;

/// Streams of one session. Each holds a slot of the session's outbound channel for its end.
pub(super) const STREAMS_MAX: usize = 64;

/// What arrives of a stream.
#[derive(Debug, PartialEq)]
pub(super) enum Part {
    Records(Vec<LogRecord>),
    /// The agent ended it; empty when all was said.
    End(String),
}

/// Why a stream was not opened.
#[derive(Debug, PartialEq, Eq)]
pub(super) struct TooMany;

/// Nobody reads this stream, or the agent sent more than its window: the agent must be told to stop.
#[derive(Debug, PartialEq, Eq)]
pub(super) struct Unwanted;

/// Open streams by id.
#[derive(Debug, Default)]
pub(super) struct Streams {
    next_id: AtomicU64,
    open: Mutex<HashMap<u64, mpsc::Sender<Part>>>,
}

impl Streams {
    /// A new stream and where its parts arrive.
    pub(super) fn open(&self) -> Result<(u64, mpsc::Receiver<Part>), TooMany> {
        let mut open = self.lock();
        if open.len() >= STREAMS_MAX {
            return Err(TooMany);
        }
        let id = self.next_id.fetch_add(1, Ordering::Relaxed) + 1;
        // The window, and one more for the end.
        let (sender, receiver) = mpsc::channel(LOG_WINDOW_BATCHES as usize + 1);
        open.insert(id, sender);
        Ok((id, receiver))
    }

    /// Hands a batch to its reader; never waits.
    pub(super) fn deliver(&self, id: u64, records: Vec<LogRecord>) -> Result<(), Unwanted> {
        let mut open = self.lock();
        let sent = open.get(&id).ok_or(Unwanted)?.try_send(Part::Records(records));
        sent.map_err(|_| {
            open.remove(&id);
            Unwanted
        })
    }

    /// The agent ended the stream.
    pub(super) fn end(&self, id: u64, error: String) {
        if let Some(sender) = self.lock().remove(&id) {
            // Full only if the agent overran its window; then the reader sees the channel close without an end.
            let _ = sender.try_send(Part::End(error));
        }
    }

    /// The reader left.
    pub(super) fn close(&self, id: u64) {
        self.lock().remove(&id);
    }

    /// The session ended: readers see their channels close without an end.
    pub(super) fn close_all(&self) {
        self.lock().clear();
    }

    fn lock(&self) -> MutexGuard<'_, HashMap<u64, mpsc::Sender<Part>>> {
        self.open.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_reader_that_does_not_read_loses_its_stream_when_the_window_is_overrun() {
        let streams = Streams::default();
        let (id, mut reader) = streams.open().expect("the first one fits");
        for _ in 0..=LOG_WINDOW_BATCHES {
            streams.deliver(id, Vec::new()).expect("within the window");
        }
        assert_eq!(streams.deliver(id, Vec::new()), Err(Unwanted));
        assert_eq!(streams.deliver(id, Vec::new()), Err(Unwanted), "and stays closed");
        let mut taken = 0;
        while reader.try_recv().is_ok() {
            taken += 1;
        }
        assert_eq!(taken, LOG_WINDOW_BATCHES + 1, "what had come is not lost");
    }

    #[test]
    fn the_end_arrives_after_a_full_window() {
        let streams = Streams::default();
        let (id, mut reader) = streams.open().expect("the first one fits");
        for _ in 0..LOG_WINDOW_BATCHES {
            streams.deliver(id, Vec::new()).expect("within the window");
        }
        streams.end(id, String::new());
        let mut last = None;
        while let Ok(part) = reader.try_recv() {
            last = Some(part);
        }
        assert_eq!(last, Some(Part::End(String::new())));
    }

    #[test]
    fn a_session_carries_a_bounded_number_of_streams() {
        let streams = Streams::default();
        let readers: Vec<_> = (0..STREAMS_MAX).map(|_| streams.open().expect("fits")).collect();
        assert_eq!(streams.open().err(), Some(TooMany));
        streams.close(readers[0].0);
        assert!(streams.open().is_ok());
    }
}
