//! Answers one request for a pod's log: from the segments on disk, following while more is written.

use std::{io, path::Path, sync::Arc};

use boss_proto::{limits::LOG_BATCH_BYTES_MAX, v1};
use tokio::sync::{Semaphore, mpsc, watch};

use crate::{
    agent::{board::Progress, status::timestamp},
    logs::{reader::LogReader, record::Record},
    sandbox::{
        SandboxId,
        control::{self, Connection, Request},
    },
};

/// Bytes of a record besides its content, roughly, as it travels.
const RECORD_OVERHEAD_BYTES: usize = 64;

/// One stream.
pub struct LogStream {
    /// Of the session.
    pub stream_id: u64,
    /// What was asked.
    pub request: v1::LogsRequest,
    /// The pod's executions.
    pub progress: watch::Receiver<Progress>,
    /// One permit per batch that may be sent.
    pub credits: Arc<Semaphore>,
    /// The session's way out.
    pub outbound: mpsc::Sender<v1::FromNode>,
}

/// Why a stream stops.
#[derive(Debug, thiserror::Error)]
pub enum Error {
    /// The log cannot be read.
    #[error("the log cannot be read: {0}")]
    Read(#[from] io::Error),
    /// The session is over, so nobody listens.
    #[error("the session is over")]
    SessionOver,
}

impl LogStream {
    /// Sends the log, then the end of the stream.
    pub async fn run(mut self) {
        let error = match self.send_log().await {
            Ok(()) => String::new(),
            Err(Error::SessionOver) => return,
            Err(error) => error.to_string(),
        };
        let end = v1::StreamEnd { stream_id: self.stream_id, error };
        let _ = self.outbound.send(from_node(v1::from_node::Body::StreamEnd(end))).await;
    }

    async fn send_log(&mut self) -> Result<(), Error> {
        let progress = self.progress.borrow_and_update().clone();
        let mut done: Option<SandboxId> = None;
        for (id, mut reader) in self.open(&progress)? {
            self.send_attempt(&id, &mut reader).await?;
            done = Some(id);
        }
        while self.request.follow {
            let progress = self.progress.borrow_and_update().clone();
            let is_new = |id: &SandboxId| done.as_ref().is_none_or(|done| id > done);
            match progress.attempts.into_iter().find(|(id, _)| is_new(id)) {
                Some((id, dir)) => {
                    self.send_attempt(&id, &mut LogReader::from_start(&dir)).await?;
                    done = Some(id);
                }
                None if progress.over => return Ok(()),
                // The pod is gone when its sender is.
                None => {
                    if self.progress.changed().await.is_err() {
                        return Ok(());
                    }
                }
            }
        }
        Ok(())
    }

    /// The executions to send, oldest first, each from where it is to start.
    fn open(&self, progress: &Progress) -> io::Result<Vec<(SandboxId, LogReader)>> {
        let count = if self.request.previous { 2 } else { 1 };
        let mut missing = self.request.tail_lines.map(|lines| lines as usize);
        let mut readers = Vec::new();
        for (id, dir) in progress.attempts.iter().rev().take(count) {
            let reader = match &mut missing {
                None => LogReader::from_start(dir),
                Some(0) if !readers.is_empty() => break,
                Some(missing) => {
                    let (reader, found) = LogReader::from_tail(dir, *missing)?;
                    *missing -= found;
                    reader
                }
            };
            readers.push((id.clone(), reader));
        }
        readers.reverse();
        Ok(readers)
    }

    /// Everything there is of one execution, and while it runs what comes, if that was asked for.
    async fn send_attempt(&mut self, id: &SandboxId, reader: &mut LogReader) -> Result<(), Error> {
        // Subscribe before reading: then nothing written in between is missed.
        let mut news = if self.request.follow { subscribe(reader.dir()).await? } else { None };
        loop {
            self.send_available(id, reader).await?;
            let Some(connection) = &mut news else { return Ok(()) };
            tokio::select! {
                report = connection.next() => match report? {
                    Some(_) => {}
                    // The monitor has written all and is gone: one more look.
                    None => news = None,
                },
                () = self.outbound.closed() => return Err(Error::SessionOver),
            }
        }
    }

    async fn send_available(&mut self, id: &SandboxId, reader: &mut LogReader) -> Result<(), Error> {
        loop {
            let records = reader.read()?;
            if records.is_empty() {
                return Ok(());
            }
            for batch in batches(records) {
                let permit = self.credits.acquire().await.map_err(|_| Error::SessionOver)?;
                permit.forget();
                let records = batch.into_iter().map(|record| to_proto(record, id)).collect();
                let batch = v1::LogBatch { stream_id: self.stream_id, records };
                let sent = self.outbound.send(from_node(v1::from_node::Body::LogBatch(batch))).await;
                sent.map_err(|_| Error::SessionOver)?;
            }
        }
    }
}

/// `None` when the execution is over: its log is complete.
async fn subscribe(dir: &Path) -> io::Result<Option<Connection>> {
    match Connection::open(dir).await {
        Ok(mut connection) => {
            // It may be over just now; the end of the stream then says so.
            let _ = connection.send(&Request::Follow).await;
            Ok(Some(connection))
        }
        Err(error) if control::means_no_monitor(&error) => Ok(None),
        Err(error) => Err(error),
    }
}

fn batches(records: Vec<Record>) -> Vec<Vec<Record>> {
    let mut batches = Vec::new();
    let (mut batch, mut bytes) = (Vec::new(), 0);
    for record in records {
        let length = record.content.len() + RECORD_OVERHEAD_BYTES;
        if bytes + length > LOG_BATCH_BYTES_MAX && !batch.is_empty() {
            batches.push(std::mem::take(&mut batch));
            bytes = 0;
        }
        bytes += length;
        batch.push(record);
    }
    if !batch.is_empty() {
        batches.push(batch);
    }
    batches
}

fn to_proto(record: Record, id: &SandboxId) -> v1::LogRecord {
    v1::LogRecord {
        time: timestamp(record.header.time_us),
        stream: record.header.stream.as_str().to_owned(),
        content: record.content.into(),
        sandbox_id: id.to_string(),
        partial: record.header.partial,
        sequence: record.header.sequence,
    }
}

/// A message of the session.
#[must_use]
pub fn from_node(body: v1::from_node::Body) -> v1::FromNode {
    v1::FromNode { body: Some(body) }
}

#[cfg(test)]
mod tests {
    use boss_proto::v1::from_node::Body;

    use super::*;
    use crate::{
        logs::{record::Stream, writer::LogWriter},
        sandbox::files::LogBounds,
    };

    struct Pod {
        dir: tempfile::TempDir,
        progress: watch::Sender<Progress>,
    }

    impl Pod {
        fn with(attempts: &[(u32, usize)]) -> Self {
            let dir = tempfile::tempdir().unwrap();
            let mut progress = Progress { over: true, ..Progress::default() };
            for (attempt, lines) in attempts {
                let folder = dir.path().join(attempt.to_string());
                std::fs::create_dir(&folder).unwrap();
                let mut writer = LogWriter::create(folder.clone(), *attempt, LogBounds::default()).unwrap();
                for line in 0..*lines {
                    writer.append(Stream::Stdout, format!("{attempt}.{line}\n").as_bytes(), 1);
                }
                progress.attempts.push((SandboxId { uid: "u".into(), attempt: *attempt }, folder));
            }
            Self { dir, progress: watch::Sender::new(progress) }
        }

        async fn log(&self, request: v1::LogsRequest) -> Vec<String> {
            let (outbound, mut sent) = mpsc::channel(64);
            let credits = Arc::new(Semaphore::new(1_000));
            let progress = self.progress.subscribe();
            LogStream { stream_id: 7, request, progress, credits, outbound }.run().await;
            let mut lines = Vec::new();
            while let Some(message) = sent.recv().await {
                match message.body.unwrap() {
                    Body::LogBatch(batch) => lines.extend(
                        batch.records.into_iter().map(|record| String::from_utf8(record.content.to_vec()).unwrap()),
                    ),
                    Body::StreamEnd(end) => assert_eq!((end.stream_id, &*end.error), (7, "")),
                    other => panic!("{other:?}"),
                }
            }
            lines
        }
    }

    fn request() -> v1::LogsRequest {
        v1::LogsRequest::default()
    }

    #[tokio::test]
    async fn the_current_execution_is_sent_and_the_one_before_on_request() {
        let pod = Pod::with(&[(1, 2), (2, 1)]);
        assert_eq!(pod.log(request()).await, ["2.0"]);
        assert_eq!(pod.log(v1::LogsRequest { previous: true, ..request() }).await, ["1.0", "1.1", "2.0"]);
    }

    #[tokio::test]
    async fn a_tail_reaches_back_into_the_execution_before() {
        let pod = Pod::with(&[(1, 5), (2, 2)]);
        let tail = |lines, previous| v1::LogsRequest { tail_lines: Some(lines), previous, ..request() };
        assert_eq!(pod.log(tail(1, true)).await, ["2.1"]);
        assert_eq!(pod.log(tail(3, true)).await, ["1.4", "2.0", "2.1"]);
        assert_eq!(pod.log(tail(3, false)).await, ["2.0", "2.1"]);
        assert!(pod.log(tail(0, false)).await.is_empty());
    }

    #[tokio::test]
    async fn following_a_pod_that_is_over_ends() {
        let pod = Pod::with(&[(1, 3)]);
        assert_eq!(pod.log(v1::LogsRequest { follow: true, ..request() }).await.len(), 3);
        assert!(pod.dir.path().exists());
    }

    #[tokio::test]
    async fn without_credit_nothing_is_sent() {
        let pod = Pod::with(&[(1, 3)]);
        let (outbound, mut sent) = mpsc::channel(64);
        let credits = Arc::new(Semaphore::new(0));
        let stream = LogStream {
            stream_id: 1,
            request: request(),
            progress: pod.progress.subscribe(),
            credits: Arc::clone(&credits),
            outbound,
        };
        let mut running = Box::pin(stream.run());
        assert!(futures_util::poll!(&mut running).is_pending());
        assert!(sent.try_recv().is_err());
        credits.add_permits(1);
        running.await;
        assert!(matches!(sent.recv().await.unwrap().body, Some(Body::LogBatch(_))));
    }
}
