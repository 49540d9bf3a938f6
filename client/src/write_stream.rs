//! Many writes on one stream. Writes are sent as they come, answered in their order, and sent again under their
//! request ids when the stream breaks, so that each has one effect. Knows no object's contents.

use std::{collections::VecDeque, sync::Arc, time::Duration};

use boss_base::{
    backoff::Backoff,
    tasks::{OnExit, Tasks},
};
use boss_proto::{
    ids::Revision,
    limits::STREAM_WRITES_IN_FLIGHT_MAX,
    v1::{self, RequestId, StreamedResult, StreamedWrite, streamed_result::Outcome, streamed_write::Operation},
};
use tokio::sync::{OwnedSemaphorePermit, Semaphore, mpsc, oneshot};
use tokio_stream::wrappers::ReceiverStream;

use crate::{
    Client, Error,
    call::{ROUND_DELAY_MAX, ROUND_DELAY_MIN},
    client::{incomplete, registry},
    error::Detail,
};

/// Writes of one message: what fits into one entry of the servers' log.
const MESSAGE_WRITES_MAX: usize = 256;
/// Messages that wait for the transport.
const MESSAGES_MAX: usize = 4;

/// How the stream writes.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct WriteStreamOptions {
    /// Every write carries a request id and is sent again when the stream breaks. Without, a break leaves unanswered
    /// writes unknown.
    pub request_ids: bool,
    /// Answers carry the objects.
    pub return_objects: bool,
    /// Writes that wait for their answer; above it [`WriteStream::send`] waits.
    pub in_flight_max: usize,
}

impl Default for WriteStreamOptions {
    fn default() -> Self {
        Self { request_ids: true, return_objects: false, in_flight_max: STREAM_WRITES_IN_FLIGHT_MAX }
    }
}

/// The sending end. Clones write to the same stream.
#[derive(Clone)]
pub struct WriteStream {
    client: Client,
    options: WriteStreamOptions,
    places: Arc<Semaphore>,
    queue: mpsc::UnboundedSender<Queued>,
}

/// A write that was sent; resolves to its answer.
pub struct PendingWrite(oneshot::Receiver<Result<StreamedResult, Error>>);

struct Queued {
    operation: Operation,
    answer: oneshot::Sender<Result<StreamedResult, Error>>,
    /// Given back with the answer.
    _place: OwnedSemaphorePermit,
}

impl WriteStream {
    pub(crate) fn start(client: Client, tasks: &Tasks, options: WriteStreamOptions) -> Self {
        let in_flight_max = options.in_flight_max.clamp(1, STREAM_WRITES_IN_FLIGHT_MAX);
        // Unbounded only in type: whoever sends holds a place.
        let (queue, queued) = mpsc::unbounded_channel();
        let driver = Driver {
            client: client.clone(),
            options,
            queue: queued,
            unanswered: VecDeque::new(),
            sequence: 0,
            unsent: 0,
        };
        tasks.spawn("write-stream", OnExit::Log, driver.run());
        Self { client, options, places: Arc::new(Semaphore::new(in_flight_max)), queue }
    }

    /// Hands a write over, once there is room for it. A request id that is set stays; without one it gets one.
    pub async fn send(&self, mut operation: Operation) -> Result<PendingWrite, Error> {
        let place = Arc::clone(&self.places).acquire_owned().await.map_err(|_| closed())?;
        if self.options.request_ids {
            let id = request_id_of(&mut operation);
            if id.is_none() {
                *id = Some(self.client.fresh_request_id());
            }
        }
        let (answer, pending) = oneshot::channel();
        self.queue.send(Queued { operation, answer, _place: place }).map_err(|_| closed())?;
        Ok(PendingWrite(pending))
    }

    /// Creates an object.
    pub async fn create(&self, object: v1::Object) -> Result<PendingWrite, Error> {
        self.send(Operation::Create(v1::CreateRequest { object: Some(object), ..Default::default() })).await
    }

    /// Replaces an object.
    pub async fn update(&self, object: v1::Object) -> Result<PendingWrite, Error> {
        self.send(Operation::Update(v1::UpdateRequest { object: Some(object), ..Default::default() })).await
    }

    /// Replaces an object's status.
    pub async fn update_status(&self, object: v1::Object) -> Result<PendingWrite, Error> {
        self.send(Operation::UpdateStatus(v1::UpdateRequest { object: Some(object), ..Default::default() })).await
    }
}

impl PendingWrite {
    /// The answer: the revision, and what the server tells beside it.
    pub async fn answer(self) -> Result<StreamedResult, Error> {
        self.0.await.unwrap_or_else(|_| Err(closed()))
    }
}

fn request_id_of(operation: &mut Operation) -> &mut Option<RequestId> {
    match operation {
        Operation::Create(request) => &mut request.request_id,
        Operation::Update(request) | Operation::UpdateStatus(request) => &mut request.request_id,
        Operation::Patch(request) => &mut request.request_id,
        Operation::Apply(request) => &mut request.request_id,
        Operation::Delete(request) => &mut request.request_id,
        Operation::Txn(request) => &mut request.request_id,
    }
}

fn closed() -> Error {
    Error::Unavailable(Detail::new("the stream of writes has ended"))
}

struct Driver {
    client: Client,
    options: WriteStreamOptions,
    queue: mpsc::UnboundedReceiver<Queued>,
    /// In the order of the stream; the last `unsent` were not sent on the stream as it is now.
    unanswered: VecDeque<(u64, Queued)>,
    sequence: u64,
    unsent: usize,
}

/// How a stream came to its end.
enum End {
    /// Nobody writes any more, and everything is answered.
    Done,
    /// Another stream may do better.
    Broken(Error),
    /// No stream will do better.
    Refused(Error),
}

impl Driver {
    async fn run(mut self) {
        let clock = Arc::clone(self.client.clock());
        let mut backoff = Backoff::new(ROUND_DELAY_MIN, ROUND_DELAY_MAX);
        let mut broken_since: Option<Duration> = None;
        loop {
            if self.unanswered.is_empty() {
                // A stream is opened when there is something to say.
                let Some(queued) = self.queue.recv().await else { return };
                self.push(queued);
            }
            let before = self.sequence_answered();
            let error = match self.converse().await {
                End::Done => return,
                End::Refused(error) => {
                    self.fail_all(&error);
                    continue;
                }
                End::Broken(error) => error,
            };
            if !self.options.request_ids {
                let what = Detail::new(format!("the stream of writes broke off: {}", error.detail().message));
                self.fail_all(&Error::Timeout(what));
                continue;
            }
            let now = clock.monotonic();
            if self.sequence_answered() != before {
                broken_since = None;
                backoff.reset();
            }
            let since = *broken_since.get_or_insert(now);
            if now.saturating_sub(since) >= self.client.overall_deadline() {
                self.fail_all(&Error::Timeout(error.detail().clone()));
                broken_since = None;
                continue;
            }
            tokio::time::sleep(backoff.next_delay(&*clock)).await;
        }
    }

    fn push(&mut self, queued: Queued) {
        self.sequence += 1;
        self.unsent += 1;
        self.unanswered.push_back((self.sequence, queued));
    }

    /// Number of the oldest write that has no answer.
    fn sequence_answered(&self) -> u64 {
        self.unanswered.front().map_or(self.sequence, |(sequence, _)| *sequence)
    }

    fn fail_all(&mut self, error: &Error) {
        self.unsent = 0;
        for (_, queued) in self.unanswered.drain(..) {
            // Whoever no longer waits does not hear of it.
            let _ = queued.answer.send(Err(error.clone()));
        }
    }

    /// One stream, from its opening to its end.
    async fn converse(&mut self) -> End {
        let session = self.client.session();
        let (messages, outgoing) = mpsc::channel(MESSAGES_MAX);
        self.unsent = self.unanswered.len();
        let request = session.request(ReceiverStream::new(outgoing));
        let mut registry = registry(session.channel());
        let opened = Box::pin(registry.write_stream(request));
        let mut answers = match tokio::time::timeout(self.client.attempt_deadline(), opened).await {
            Ok(Ok(response)) => response.into_inner(),
            Ok(Err(status)) => {
                session.mark_bad();
                return end_of(Error::from_status(&status));
            }
            Err(_elapsed) => {
                session.mark_bad();
                return End::Broken(Error::Timeout(Detail::new("the stream of writes was not opened in time")));
            }
        };
        let mut messages = Some(messages);
        let mut incoming = Vec::with_capacity(MESSAGE_WRITES_MAX);
        loop {
            if self.queue.is_closed() && self.queue.is_empty() && self.unsent == 0 {
                // The server answers what is left and ends the stream.
                messages = None;
                if self.unanswered.is_empty() {
                    return End::Done;
                }
            }
            let may_send = messages.is_some() && self.unsent > 0;
            let may_take = messages.is_some() && self.unsent < MESSAGE_WRITES_MAX;
            tokio::select! {
                biased;
                answer = answers.message() => match answer {
                    Ok(Some(answer)) => if let Err(error) = self.take(answer) {
                        session.mark_bad();
                        return End::Broken(error);
                    },
                    Ok(None) => return End::Broken(incomplete("an early end of a stream of writes")),
                    Err(status) => {
                        session.mark_bad();
                        return end_of(Error::from_status(&status));
                    }
                },
                taken = self.queue.recv_many(&mut incoming, MESSAGE_WRITES_MAX), if may_take => {
                    if taken == 0 {
                        continue;
                    }
                    incoming.drain(..).for_each(|queued| self.push(queued));
                }
                place = reserve(messages.as_ref()), if may_send => match place {
                    Some(place) => place.send(self.message()),
                    None => return End::Broken(closed()),
                },
            }
        }
    }

    fn message(&mut self) -> v1::WriteStreamRequest {
        let first = self.unanswered.len() - self.unsent;
        let count = self.unsent.min(MESSAGE_WRITES_MAX);
        let return_object = self.options.return_objects;
        let write = |(sequence, queued): &(u64, Queued)| StreamedWrite {
            sequence: *sequence,
            return_object,
            operation: Some(queued.operation.clone()),
        };
        let writes = self.unanswered.range(first..first + count).map(write).collect();
        self.unsent -= count;
        v1::WriteStreamRequest { writes }
    }

    fn take(&mut self, answer: v1::WriteStreamResponse) -> Result<(), Error> {
        for mut result in answer.results {
            match self.unanswered.front() {
                Some((sequence, _)) if *sequence == result.sequence => {}
                _ => return Err(incomplete("an answer to a write that was not sent")),
            }
            let Some((_, queued)) = self.unanswered.pop_front() else { continue };
            self.client.saw(result.revision);
            self.client.warn(&result.warnings);
            let told = match result.outcome.take() {
                Some(Outcome::Refused(refusal)) => Err(Error::from_refusal(refusal)),
                outcome => Ok(StreamedResult { outcome, ..result }),
            };
            let _ = queued.answer.send(told);
        }
        Ok(())
    }
}

async fn reserve(
    messages: Option<&mpsc::Sender<v1::WriteStreamRequest>>,
) -> Option<mpsc::Permit<'_, v1::WriteStreamRequest>> {
    messages?.reserve().await.ok()
}

fn end_of(error: Error) -> End {
    match error {
        Error::Unauthenticated(_) | Error::Forbidden(_) | Error::Invalid { .. } | Error::Config(_) => {
            End::Refused(error)
        }
        other => End::Broken(other),
    }
}

impl Client {
    pub(crate) fn fresh_request_id(&self) -> RequestId {
        self.request_id(Revision(self.seen()))
    }
}
