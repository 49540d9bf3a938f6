//! Many writes on one stream: admitted one by one, proposed as few entries, answered in their order. Reads no more of
//! the stream than may be in flight, so that the transport holds back who sends too fast. Knows no transport.

mod entrance;

use std::{
    collections::{HashMap, VecDeque},
    sync::Arc,
};

use boss_proto::{
    encoded::{DeleteResponse, WriteResponse},
    key::Key,
    limits::{COMMAND_BYTES_MAX, COMMAND_OPERATIONS_MAX, STREAM_WRITES_IN_FLIGHT_MAX},
    raft::v1::Operation,
    v1::{self, StreamedResult, StreamedWrite, WriteRefusal, WriteStreamRequest, WriteStreamResponse, streamed_result},
};
use boss_raft::{
    ProposeError,
    state::{Outcome, View},
};
use bytes::Bytes;
use futures_util::{Stream, StreamExt, future::BoxFuture, stream::FuturesOrdered};
use prost::Message;

use self::entrance::Entrance;
use super::{Answer, Attempt, Error, Reply, Writes, generates_name, wire};
use crate::{
    admission::{self, Refusal, Write},
    api::status,
    auth::Identity,
    turns::{Full, Purpose, Turn},
};

/// Entries of one stream on their way: while they are, what arrives is gathered for the next.
const ENTRIES_MAX: usize = 4;
/// Half of an entry's bound: its own fields come on top.
const ENTRY_BYTES_MAX: usize = COMMAND_BYTES_MAX / 2;

/// One write with its place in the stream.
struct Place {
    sequence: u64,
    return_object: bool,
    /// What the write is about; `None` for a transaction, which is alone in flight.
    key: Option<Key>,
    state: State,
    /// Of policies.
    warnings: Vec<String>,
}

enum State {
    /// Its outcome comes with the entry. The write stays at hand for another admission.
    Proposed(Box<Write>),
    Refused(Error),
}

type Entry = (Vec<Place>, Result<Vec<Outcome>, ProposeError>);

/// One stream on the leader.
pub(super) struct WriteStream<S> {
    writes: Writes,
    identity: Arc<Identity>,
    input: S,
    ended: bool,
    waiting: VecDeque<StreamedWrite>,
    running: FuturesOrdered<BoxFuture<'static, Entry>>,
    entrance: Entrance,
    /// The first that waits depends on what is on its way; no turn is asked for before something has come back.
    blocked: bool,
    /// Objects with writes on their way: how many, and whether one of them looked at the old object.
    keys: HashMap<Key, (usize, bool)>,
    in_flight: usize,
    /// A transaction is on its way, which may be about anything.
    alone: bool,
    last_sequence: u64,
}

impl<S> WriteStream<S>
where
    S: Stream<Item = Result<WriteStreamRequest, Error>> + Send + Unpin + 'static,
{
    pub(super) fn new(writes: Writes, identity: Arc<Identity>, input: S) -> Self {
        let entrance = Entrance::new(writes.0.turns.writes.clone(), Arc::clone(&identity));
        Self {
            writes,
            identity,
            input,
            entrance,
            blocked: false,
            ended: false,
            waiting: VecDeque::new(),
            running: FuturesOrdered::new(),
            keys: HashMap::new(),
            in_flight: 0,
            alone: false,
            last_sequence: 0,
        }
    }

    /// The answers; the stream ends after its first error.
    pub(super) fn into_answers(self) -> impl Stream<Item = Result<WriteStreamResponse, Error>> + Send {
        futures_util::stream::unfold(Some(self), |stream| async move {
            let mut stream = stream?;
            match stream.next().await {
                Ok(Some(answer)) => Some((Ok(answer), Some(stream))),
                Ok(None) => None,
                Err(error) => Some((Err(error), None)),
            }
        })
    }

    async fn next(&mut self) -> Result<Option<WriteStreamResponse>, Error> {
        loop {
            if self.running.len() < ENTRIES_MAX && !self.waiting.is_empty() && !self.alone && !self.blocked {
                self.entrance.ask(self.purpose());
            }
            if self.ended && self.waiting.is_empty() && self.running.is_empty() {
                return Ok(None);
            }
            let may_read = !self.ended && has_room(self.in_flight + self.waiting.len());
            tokio::select! {
                biased;
                Some(entry) = self.running.next(), if !self.running.is_empty() => {
                    self.blocked = false;
                    return self.answer(entry).await.map(Some);
                }
                turn = self.entrance.turn() => match turn {
                    Ok(turn) => self.blocked = !self.start_entry(turn),
                    Err(full) => self.refuse_waiting(full),
                },
                message = self.input.next(), if may_read => self.take(message)?,
            }
        }
    }

    fn take(&mut self, message: Option<Result<WriteStreamRequest, Error>>) -> Result<(), Error> {
        let Some(message) = message else {
            self.ended = true;
            return Ok(());
        };
        self.writes.0.authenticator.check_not_expired(&self.identity)?;
        for write in message?.writes {
            if write.sequence <= self.last_sequence {
                let problem = format!("is {} after {}", write.sequence, self.last_sequence);
                return Err(Refusal::invalid("sequence", problem, "number the writes of a stream upwards").into());
            }
            self.last_sequence = write.sequence;
            self.waiting.push_back(write);
        }
        Ok(())
    }

    /// What makes room passes a full queue, as a call of its own would.
    fn purpose(&self) -> Purpose {
        if self.waiting.iter().all(wire::is_deletion) { Purpose::Delete } else { Purpose::Other }
    }

    /// There is no room to wait; whoever sent it may send it again. An entry of its own, so that answers keep their order.
    fn refuse_waiting(&mut self, full: Full) {
        let count = self.waiting.len().min(COMMAND_OPERATIONS_MAX);
        let refused = self.waiting.drain(..count).map(|streamed| Place {
            sequence: streamed.sequence,
            return_object: streamed.return_object,
            key: None,
            state: State::Refused(full.into()),
            warnings: Vec::new(),
        });
        let places: Vec<Place> = refused.collect();
        self.in_flight += places.len();
        self.running.push_back(Box::pin(async move { (places, Ok(Vec::new())) }));
    }

    /// Proposes what can go now, and has the turn until the outcome is there; `false` when there is nothing.
    fn start_entry(&mut self, turn: Turn) -> bool {
        let view = self.writes.0.raft.view();
        let (mut places, mut operations, mut bytes) = (Vec::new(), Vec::new(), 0);
        while places.len() < COMMAND_OPERATIONS_MAX {
            let Some(streamed) = self.waiting.pop_front() else { break };
            let (sequence, return_object) = (streamed.sequence, streamed.return_object);
            match self.admit(&view, &streamed) {
                Err(error) => {
                    let (state, warnings) = (State::Refused(error), Vec::new());
                    places.push(Place { sequence, return_object, key: None, state, warnings });
                }
                Ok((write, operation)) => {
                    let key = wire::key_of(&operation);
                    let size = operation.encoded_len();
                    let full = !operations.is_empty() && bytes + size > ENTRY_BYTES_MAX;
                    if full || self.must_wait(key.as_ref(), &operation, !operations.is_empty()) {
                        self.waiting.push_front(streamed);
                        break;
                    }
                    bytes += size;
                    self.enter(key.as_ref(), &operation);
                    let (state, warnings) = (State::Proposed(Box::new(write)), admission::warnings(&operation));
                    operations.push(operation);
                    places.push(Place { sequence, return_object, key, state, warnings });
                    if self.alone {
                        break;
                    }
                }
            }
        }
        if places.is_empty() {
            return false;
        }
        self.in_flight += places.len();
        let raft = self.writes.0.raft.clone();
        self.running.push_back(Box::pin(async move {
            let _turn = turn;
            let outcomes = if operations.is_empty() { Ok(Vec::new()) } else { raft.propose(operations).await };
            (places, outcomes)
        }));
        true
    }

    fn admit(&self, view: &View, streamed: &StreamedWrite) -> Result<(Write, Operation), Error> {
        let write = wire::streamed(streamed)?;
        if write.is_dry_run() {
            return Err(Refusal::invalid("dryRun", "is not possible on a stream", "use a call of its own").into());
        }
        let operation = admission::admit(view, &self.identity, write.clone(), self.writes.stamp(0))?;
        Ok((write, operation))
    }

    /// Writes of one object take effect in their order: one that depends on the object waits for those before it.
    fn must_wait(&self, key: Option<&Key>, operation: &Operation, others: bool) -> bool {
        match key {
            None => others || !self.keys.is_empty(),
            Some(key) => self.keys.get(key).is_some_and(|(_, depends)| *depends || !operation.any_revision),
        }
    }

    fn enter(&mut self, key: Option<&Key>, operation: &Operation) {
        let Some(key) = key else {
            self.alone = true;
            return;
        };
        let (count, depends) = self.keys.entry(key.clone()).or_default();
        *count += 1;
        *depends |= !operation.any_revision;
    }

    /// Takes the writes of an entry off the way; whether others of the same object are still on it.
    fn leave(&mut self, place: &Place) -> bool {
        self.in_flight -= 1;
        let Some(key) = &place.key else {
            self.alone &= !matches!(place.state, State::Proposed(_));
            return false;
        };
        let Some((count, _)) = self.keys.get_mut(key) else { return false };
        *count -= 1;
        let others = *count > 0;
        if !others {
            self.keys.remove(key);
        }
        others
    }

    async fn answer(&mut self, (places, outcomes): Entry) -> Result<WriteStreamResponse, Error> {
        let mut outcomes = match outcomes {
            Ok(outcomes) => outcomes.into_iter(),
            // Nothing was proposed; each may be sent again.
            Err(ProposeError::Busy) => return Ok(self.refuse_all(places)),
            // What was proposed may have happened: only request ids can tell, on another stream.
            Err(ProposeError::Timeout | ProposeError::ShuttingDown) => return Err(Error::Unknown { retryable: true }),
            Err(error) => return Err(error.into()),
        };
        let (writes, identity) = (self.writes.clone(), Arc::clone(&self.identity));
        let mut results = Vec::with_capacity(places.len());
        for place in places {
            let others = self.leave(&place);
            let (sequence, return_object, key) = (place.sequence, place.return_object, place.key);
            let warned = |reply| Answer { reply, warnings: place.warnings };
            let answer = match place.state {
                State::Refused(Error::Refused(refusal)) => match writes.refuse(refusal).await {
                    Ok(_) => Err(Error::NoLeader),
                    Err(error) => Err(error),
                },
                State::Refused(error) => Err(error),
                State::Proposed(write) => match outcomes.next() {
                    Some(outcome) if is_unsettled(&outcome, &write) => {
                        admit_again(&writes, &identity, &write, others).await?
                    }
                    Some(outcome) => writes.reply(outcome, key, return_object).map(warned),
                    None => return Err(Error::Unknown { retryable: true }),
                },
            };
            results.push(result(sequence, return_object, answer));
        }
        Ok(WriteStreamResponse { results })
    }

    fn refuse_all(&mut self, places: Vec<Place>) -> WriteStreamResponse {
        let refuse = |place: Place| {
            self.leave(&place);
            let error = if let State::Refused(error) = place.state { error } else { Error::Busy };
            result(place.sequence, place.return_object, Err(error))
        };
        WriteStreamResponse { results: places.into_iter().map(refuse).collect() }
    }
}

/// Whether a stream with so many writes that are not answered may read on.
fn has_room(unanswered: usize) -> bool {
    unanswered < STREAM_WRITES_IN_FLIGHT_MAX
}

/// What the write depends on has changed since it was admitted. If later writes of the same object are on their way,
/// doing it now would put it behind them.
async fn admit_again(
    writes: &Writes,
    identity: &Identity,
    write: &Write,
    others: bool,
) -> Result<Result<Answer, Error>, Error> {
    if others {
        return Ok(Err(Error::Unsettled));
    }
    match writes.admit_and_propose(identity, write).await {
        Ok(Attempt::Done(answer)) => Ok(Ok(*answer)),
        Ok(Attempt::NoLeader | Attempt::Lost) => Err(Error::NotLeader),
        Err(error) => Ok(Err(error)),
    }
}

fn is_unsettled(outcome: &Outcome, write: &Write) -> bool {
    use boss_raft::state::Rejection;
    match outcome {
        Outcome::Readmit => true,
        Outcome::Rejected(Rejection::AlreadyExists { .. }) => generates_name(write),
        _ => false,
    }
}

fn result(sequence: u64, return_object: bool, answer: Result<Answer, Error>) -> StreamedResult {
    use streamed_result::Outcome as Told;
    let (reply, warnings) = match answer {
        Ok(Answer { reply, warnings }) => (Ok(reply), warnings),
        Err(error) => (Err(error), Vec::new()),
    };
    let (revision, outcome) = match reply {
        Ok(Reply::Written(WriteResponse { object, revision })) => match shown(object, return_object) {
            Ok(object) => (revision, Told::Written(v1::WriteResponse { object, revision })),
            Err(error) => (0, refused(error)),
        },
        Ok(Reply::Deleted(DeleteResponse { object, revision, gone })) => match shown(object, return_object) {
            Ok(object) => (revision, Told::Deleted(v1::DeleteResponse { object, revision, gone })),
            Err(error) => (0, refused(error)),
        },
        Ok(Reply::Txn(response)) => (response.revision, Told::Txn(response)),
        Ok(Reply::Collected(_)) => (0, refused(Error::BadMessage("the answer is to another question".to_owned()))),
        Err(error) => (0, refused(error)),
    };
    StreamedResult { sequence, revision, outcome: Some(outcome), warnings }
}

/// Most streams do not ask for their objects, so that these are read again only here.
fn shown(object: Bytes, return_object: bool) -> Result<Option<v1::Object>, Error> {
    let bad = |error| Error::BadMessage(format!("a written object cannot be read: {error}"));
    return_object.then(|| v1::Object::decode(object).map_err(bad)).transpose()
}

fn refused(error: Error) -> streamed_result::Outcome {
    let refusal = status::to_refusal(&error.into());
    let (code, message, info) = (refusal.code, refusal.message, refusal.info);
    streamed_result::Outcome::Refused(WriteRefusal { code, message, info })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_last_write_that_may_be_in_flight_is_read_and_the_next_one_waits() {
        assert!(has_room(STREAM_WRITES_IN_FLIGHT_MAX - 1));
        assert!(!has_room(STREAM_WRITES_IN_FLIGHT_MAX));
    }
}
