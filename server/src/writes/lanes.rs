//! Writes on their way to the leader: those of all callers of this server travel on one stream to it, many in one
//! message, so that none of them costs a call of its own. Knows nothing of what is written.

use std::{
    collections::{HashMap, VecDeque},
    sync::{Mutex, PoisonError},
};

use boss_base::tasks::{OnExit, Tasks};
use boss_proto::{
    ids::ServerId,
    peer::v1::{Credential, ForwardedOutcome, ForwardedOutcomes, ForwardedWrites, NumberedOutcome, NumberedWrite},
};
use bytes::Bytes;
use tokio::sync::{mpsc, oneshot};
use tokio_stream::wrappers::ReceiverStream;
use tonic::{Code, Streaming};

use super::peers::Peers;

/// Writes that wait for their place on the stream; above it their callers wait.
const WAITING_MAX: usize = 1_024;
/// Writes without an answer. The leader answers within ten seconds, so that those whose callers have gone do not stay.
const UNANSWERED_MAX: usize = 8_192;
/// Writes of one message: they are answered together by a leader that is quick enough.
const MESSAGE_WRITES_MAX: usize = 256;
/// Bytes of the requests of one message; one larger request may go alone.
const MESSAGE_BYTES_MAX: usize = 512 * 1024;
/// Messages that the transport has not taken yet: while it does not, the next one grows.
const MESSAGES_MAX: usize = 2;

/// The write has no answer.
#[derive(Debug, Clone)]
pub(super) enum Lost {
    /// It never left this server.
    NotSent(String),
    /// The leader may have done it.
    Unknown(String),
    /// The leader is of an older build that knows single writes only. Nothing happened.
    Unimplemented,
}

/// One write, as it came in.
pub(super) struct Outgoing {
    pub(super) method: &'static str,
    pub(super) request: Bytes,
    pub(super) credential: Credential,
}

struct Job {
    write: Outgoing,
    answer: oneshot::Sender<Result<ForwardedOutcome, Lost>>,
}

/// One stream to each server that writes were forwarded to.
pub(super) struct Lanes {
    id: ServerId,
    peers: Peers,
    tasks: Tasks,
    open: Mutex<HashMap<ServerId, mpsc::Sender<Job>>>,
}

impl Lanes {
    /// Lanes of server `id`; they end with `tasks`.
    pub(super) fn new(id: ServerId, peers: Peers, tasks: Tasks) -> Self {
        Self { id, peers, tasks, open: Mutex::default() }
    }

    /// Has the leader do the write. Dropping the future takes nothing back.
    pub(super) async fn send(&self, leader: ServerId, write: Outgoing) -> Result<ForwardedOutcome, Lost> {
        let (answer, answered) = oneshot::channel();
        let lane = self.lane(leader);
        if lane.send(Job { write, answer }).await.is_err() {
            return Err(Lost::NotSent("this server is stopping".to_owned()));
        }
        answered.await.unwrap_or_else(|_| Err(Lost::Unknown("this server is stopping".to_owned())))
    }

    fn lane(&self, leader: ServerId) -> mpsc::Sender<Job> {
        let mut open = self.open.lock().unwrap_or_else(PoisonError::into_inner);
        open.entry(leader).or_insert_with(|| self.start(leader)).clone()
    }

    fn start(&self, leader: ServerId) -> mpsc::Sender<Job> {
        let (sender, jobs) = mpsc::channel(WAITING_MAX);
        let lane = Lane { id: self.id, leader, peers: self.peers.clone(), jobs };
        let token = self.tasks.token();
        self.tasks.spawn("forwarded-writes", OnExit::Log, async move {
            token.run_until_cancelled(lane.run()).await;
        });
        sender
    }
}

/// What goes to one server.
struct Lane {
    id: ServerId,
    leader: ServerId,
    peers: Peers,
    jobs: mpsc::Receiver<Job>,
}

impl Lane {
    /// Opens a stream whenever there is something to send and the one before has ended.
    async fn run(mut self) {
        while let Some(first) = self.jobs.recv().await {
            let waiting = VecDeque::from([first]);
            match self.open().await {
                Ok((messages, answers)) => Flow::new(self.id, messages, answers, waiting).run(&mut self.jobs).await,
                Err(lost) => {
                    tracing::debug!(leader = %self.leader, ?lost, "no stream of forwarded writes");
                    let others = std::iter::from_fn(|| self.jobs.try_recv().ok());
                    fail(waiting.into_iter().chain(others).map(|job| job.answer), &lost);
                }
            }
        }
    }

    async fn open(&self) -> Result<(mpsc::Sender<ForwardedWrites>, Streaming<ForwardedOutcomes>), Lost> {
        let mut client = self.peers.client(self.leader).map_err(|error| Lost::NotSent(error.to_string()))?;
        let (messages, outbound) = mpsc::channel(MESSAGES_MAX);
        match client.writes(ReceiverStream::new(outbound)).await {
            Ok(answers) => Ok((messages, answers.into_inner())),
            Err(status) if status.code() == Code::Unimplemented => Err(Lost::Unimplemented),
            // Nothing was put on the stream yet.
            Err(status) => Err(Lost::NotSent(status.message().to_owned())),
        }
    }
}

/// One open stream.
struct Flow {
    id: ServerId,
    messages: mpsc::Sender<ForwardedWrites>,
    answers: Streaming<ForwardedOutcomes>,
    waiting: VecDeque<Job>,
    unanswered: Unanswered,
    last: u64,
}

impl Flow {
    fn new(
        id: ServerId,
        messages: mpsc::Sender<ForwardedWrites>,
        answers: Streaming<ForwardedOutcomes>,
        waiting: VecDeque<Job>,
    ) -> Self {
        Self { id, messages, answers, waiting, unanswered: HashMap::new(), last: 0 }
    }

    /// Until the stream ends or nobody can send any more.
    async fn run(mut self, jobs: &mut mpsc::Receiver<Job>) {
        let mut arrived = Vec::new();
        let problem = loop {
            let may_take = self.waiting.len() < MESSAGE_WRITES_MAX && self.unanswered.len() < UNANSWERED_MAX;
            tokio::select! {
                answer = self.answers.message() => match answer {
                    Ok(Some(outcomes)) => deliver(&mut self.unanswered, outcomes),
                    Ok(None) => break "the leader ended the stream".to_owned(),
                    Err(status) => break status.message().to_owned(),
                },
                place = self.messages.reserve(), if !self.waiting.is_empty() => match place {
                    Ok(place) => place.send(pack(self.id, &mut self.waiting, &mut self.unanswered, &mut self.last)),
                    Err(_) => break "the stream was reset".to_owned(),
                },
                count = jobs.recv_many(&mut arrived, MESSAGE_WRITES_MAX), if may_take => {
                    if count == 0 {
                        break "this server is stopping".to_owned();
                    }
                    self.waiting.extend(arrived.drain(..));
                }
            }
        };
        fail(self.waiting.into_iter().map(|job| job.answer), &Lost::NotSent(problem.clone()));
        fail(self.unanswered.into_values(), &Lost::Unknown(problem));
    }
}

type Unanswered = HashMap<u64, oneshot::Sender<Result<ForwardedOutcome, Lost>>>;

fn deliver(unanswered: &mut Unanswered, outcomes: ForwardedOutcomes) {
    for NumberedOutcome { number, outcome } in outcomes.outcomes {
        if let Some(answer) = unanswered.remove(&number) {
            // Whoever asked may have gone.
            drop(answer.send(Ok(outcome.unwrap_or_default())));
        }
    }
}

/// A message of the writes that have waited longest.
fn pack(id: ServerId, waiting: &mut VecDeque<Job>, unanswered: &mut Unanswered, last: &mut u64) -> ForwardedWrites {
    let mut message = ForwardedWrites { from_server: id.0, ..ForwardedWrites::default() };
    let mut bytes = 0;
    while let Some(job) = waiting.pop_front() {
        bytes += job.write.request.len();
        let full = message.writes.len() >= MESSAGE_WRITES_MAX || bytes > MESSAGE_BYTES_MAX;
        if full && !message.writes.is_empty() {
            waiting.push_front(job);
            break;
        }
        let Job { write: Outgoing { method, request, credential }, answer } = job;
        // Few callers write at once; mostly it is the same one as just before.
        let known = message.credentials.iter().rposition(|other| *other == credential);
        let place = known.unwrap_or_else(|| {
            message.credentials.push(credential);
            message.credentials.len() - 1
        });
        *last += 1;
        unanswered.insert(*last, answer);
        let credential = u32::try_from(place).expect("a message has a few hundred writes");
        message.writes.push(NumberedWrite { number: *last, credential, method: method.to_owned(), request });
    }
    message
}

fn fail(answers: impl Iterator<Item = oneshot::Sender<Result<ForwardedOutcome, Lost>>>, lost: &Lost) {
    for answer in answers {
        drop(answer.send(Err(lost.clone())));
    }
}

#[cfg(test)]
mod tests {
    use boss_proto::peer::v1::credential::Proof;

    use super::*;

    fn job(caller: &str, bytes: usize) -> Job {
        let credential = Credential { proof: Some(Proof::Token(caller.to_owned())) };
        let write = Outgoing { method: "/boss.v1.Registry/Update", request: vec![0; bytes].into(), credential };
        Job { write, answer: oneshot::channel().0 }
    }

    fn packed(jobs: Vec<Job>) -> Vec<ForwardedWrites> {
        let (mut waiting, mut unanswered, mut last) = (VecDeque::from(jobs), HashMap::new(), 0);
        let mut messages = Vec::new();
        while !waiting.is_empty() {
            messages.push(pack(ServerId(2), &mut waiting, &mut unanswered, &mut last));
        }
        assert_eq!(unanswered.len() as u64, last, "each write has a number of its own");
        messages
    }

    #[test]
    fn a_message_names_each_caller_once() {
        let messages = packed(vec![job("ann", 1), job("bob", 1), job("ann", 1)]);
        let [message] = &messages[..] else { panic!("{messages:?}") };
        assert_eq!((message.from_server, message.credentials.len()), (2, 2));
        let places: Vec<u32> = message.writes.iter().map(|write| write.credential).collect();
        assert_eq!(places, [0, 1, 0]);
    }

    #[test]
    fn a_message_is_bounded_and_a_large_write_goes_alone() {
        let many = (0..MESSAGE_WRITES_MAX + 1).map(|_| job("ann", 1)).collect();
        assert_eq!(
            packed(many).iter().map(|message| message.writes.len()).collect::<Vec<_>>(),
            [MESSAGE_WRITES_MAX, 1]
        );
        let large = vec![job("ann", 10), job("ann", MESSAGE_BYTES_MAX + 1), job("ann", 10)];
        assert_eq!(packed(large).iter().map(|message| message.writes.len()).collect::<Vec<_>>(), [1, 1, 1]);
    }
}
