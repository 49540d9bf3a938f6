//! Overload: every call of a user or node takes its turn, fairly, and is told when to come back if there is no room
//! even to wait. Knows no method and no object.

mod queue;

use std::{
    sync::{
        Arc, Mutex, MutexGuard, PoisonError,
        atomic::{AtomicU64, Ordering},
    },
    time::Duration,
};

use boss_base::clock::Clock;
use boss_proto::limits::{
    DELETES_RESERVED, QUEUE_WAIT_MAX_MS, QUEUED_MAX, QUEUED_PER_SUBJECT_MAX, READS_IN_FLIGHT_MAX, RETRY_AFTER_MAX_MS,
    WRITES_IN_FLIGHT_MAX,
};
use metrics::{Counter, Gauge, Histogram};
use tokio::sync::oneshot;

use self::queue::{Arrival, Queue, Seat};
pub use self::queue::{Bounds, Level};
use crate::{
    auth::{Identity, Role},
    metric_definitions as metric,
};

/// A refused caller stays away for this long at least.
const RETRY_AFTER_MIN: Duration = Duration::from_millis(20);
/// How much the newest call counts in the average time of a turn: one part in so many.
const AVERAGE_OVER: u64 = 16;

/// The queues of one server. Cheap to clone.
#[derive(Clone)]
pub struct Turns {
    /// Before the log.
    pub writes: Line,
    /// Before everything else that is one question and one answer.
    pub reads: Line,
}

impl Turns {
    /// Queues with the product's bounds.
    #[must_use]
    pub fn new(clock: &Arc<dyn Clock>) -> Self {
        let bounds = |in_flight_max: usize, deletes_reserved| Bounds {
            in_flight_max,
            in_flight_per_subject_max: in_flight_max / 4 * 3,
            deletes_reserved,
            queued_max: QUEUED_MAX,
            queued_per_subject_max: QUEUED_PER_SUBJECT_MAX,
        };
        Self {
            writes: Line::new("writes", bounds(WRITES_IN_FLIGHT_MAX, DELETES_RESERVED), clock.clone()),
            reads: Line::new("reads", bounds(READS_IN_FLIGHT_MAX, 0), clock.clone()),
        }
    }
}

/// What the call is about to do, as far as its turn depends on it.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Purpose {
    /// Makes room: always finds a place.
    Delete,
    /// Anything else.
    Other,
}

/// There is no room, also not to wait; nothing was done.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[error(
    "too many {queue} wait on this server; the bounds are {queued_per_subject_max} of one caller and {queued_max} in all"
)]
pub struct Full {
    queue: &'static str,
    queued_per_subject_max: usize,
    queued_max: usize,
    /// When there should be room.
    pub retry_after: Duration,
}

/// One queue and the places that it leads to. Cheap to clone.
#[derive(Clone)]
pub struct Line(Arc<Shared>);

struct Shared {
    name: &'static str,
    bounds: Bounds,
    queue: Mutex<Queue<oneshot::Sender<Turn>>>,
    tickets: AtomicU64,
    /// Of a turn, in microseconds, on average.
    turn_micros: AtomicU64,
    clock: Arc<dyn Clock>,
    meters: Meters,
}

struct Meters {
    in_flight: Gauge,
    depth: [Gauge; 4],
    waited: [Histogram; 4],
    refused: [Counter; 4],
}

impl Meters {
    fn new(queue: &'static str) -> Self {
        let level = |at: usize| Level::ALL[at].as_str();
        Self {
            in_flight: metrics::gauge!(metric::QUEUE_IN_FLIGHT, "queue" => queue),
            depth: std::array::from_fn(
                |at| metrics::gauge!(metric::QUEUE_DEPTH, "queue" => queue, "level" => level(at)),
            ),
            waited: std::array::from_fn(
                |at| metrics::histogram!(metric::QUEUE_WAIT_SECONDS, "queue" => queue, "level" => level(at)),
            ),
            refused: std::array::from_fn(
                |at| metrics::counter!(metric::QUEUE_REFUSED, "queue" => queue, "level" => level(at)),
            ),
        }
    }
}

/// A call's turn; dropped, it is the next one's.
pub struct Turn {
    shared: Arc<Shared>,
    seat: Seat,
    began: Duration,
}

impl Line {
    /// A queue of its own.
    #[must_use]
    pub fn new(name: &'static str, bounds: Bounds, clock: Arc<dyn Clock>) -> Self {
        Self(Arc::new(Shared {
            name,
            bounds,
            queue: Mutex::new(Queue::new(bounds)),
            tickets: AtomicU64::new(0),
            turn_micros: AtomicU64::new(0),
            clock,
            meters: Meters::new(name),
        }))
    }

    /// Waits for the caller's turn. Cancelling it gives up the place in the queue.
    pub async fn enter(&self, caller: &Identity, purpose: Purpose) -> Result<Turn, Full> {
        let level = match (purpose, &caller.role) {
            (_, Role::Server(_)) => Level::System,
            (Purpose::Delete, _) => Level::Deletes,
            (Purpose::Other, Role::Node(_)) => Level::Nodes,
            (Purpose::Other, Role::User) => Level::Users,
        };
        self.enter_as(level, &caller.uid).await
    }

    async fn enter_as(&self, level: Level, subject: &str) -> Result<Turn, Full> {
        let shared = &self.0;
        let ticket = shared.tickets.fetch_add(1, Ordering::Relaxed);
        let (wake, woken) = oneshot::channel();
        let arrival = shared.queue().arrive(level, subject, ticket, wake);
        match arrival {
            Arrival::Go(seat, _) => Ok(Turn::begin(shared.clone(), seat)),
            Arrival::Refused(_) => Err(shared.refuse(level)),
            Arrival::Waits { evicted } => {
                // Its receiver learns from the closed channel that it lost its place.
                drop(evicted);
                let waiting = Waiting { shared: shared.clone(), level, subject: subject.to_owned(), ticket };
                waiting.until(woken).await
            }
        }
    }
}

/// A call in the queue; dropped, it is not there any more.
struct Waiting {
    shared: Arc<Shared>,
    level: Level,
    subject: String,
    ticket: u64,
}

impl Waiting {
    async fn until(self, woken: oneshot::Receiver<Turn>) -> Result<Turn, Full> {
        let (shared, level) = (&self.shared, self.level);
        shared.meters.depth[level as usize].increment(1);
        let began = shared.clock.monotonic();
        let turn = tokio::time::timeout(Duration::from_millis(QUEUE_WAIT_MAX_MS), woken).await;
        let waited = shared.clock.monotonic().saturating_sub(began);
        shared.meters.waited[level as usize].record(waited.as_secs_f64());
        match turn {
            Ok(Ok(turn)) => Ok(turn),
            Ok(Err(_)) | Err(_) => Err(shared.refuse(level)),
        }
    }
}

impl Drop for Waiting {
    fn drop(&mut self) {
        self.shared.meters.depth[self.level as usize].decrement(1);
        self.shared.queue().cancel(self.level, &self.subject, self.ticket);
    }
}

impl Shared {
    fn queue(&self) -> MutexGuard<'_, Queue<oneshot::Sender<Turn>>> {
        // Nothing between lock and unlock can leave the queue half changed.
        self.queue.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn refuse(&self, level: Level) -> Full {
        self.meters.refused[level as usize].increment(1);
        let waiting = self.queue().waiting(level) as u64;
        let turn_micros = self.turn_micros.load(Ordering::Relaxed);
        let Bounds { in_flight_max, queued_max, queued_per_subject_max, .. } = self.bounds;
        let drained = Duration::from_micros(waiting * turn_micros / (in_flight_max as u64).max(1));
        let retry_after = drained.clamp(RETRY_AFTER_MIN, Duration::from_millis(RETRY_AFTER_MAX_MS.into()));
        Full { queue: self.name, queued_per_subject_max, queued_max, retry_after }
    }

    /// Concurrent calls may lose one another's sample; an average does not mind.
    fn note_turn(&self, took: Duration) {
        let took = u64::try_from(took.as_micros()).unwrap_or(u64::MAX);
        let average = self.turn_micros.load(Ordering::Relaxed);
        let next = average - average / AVERAGE_OVER + took / AVERAGE_OVER;
        self.turn_micros.store(next, Ordering::Relaxed);
    }
}

impl Turn {
    fn begin(shared: Arc<Shared>, seat: Seat) -> Self {
        shared.meters.in_flight.increment(1);
        Self { began: shared.clock.monotonic(), shared, seat }
    }
}

impl Drop for Turn {
    fn drop(&mut self) {
        self.shared.meters.in_flight.decrement(1);
        self.shared.note_turn(self.shared.clock.monotonic().saturating_sub(self.began));
        let next = self.shared.queue().leave(self.seat);
        if let Some((_, seat, wake)) = next {
            // Whoever has gone meanwhile gives the turn back, and on to the next.
            drop(wake.send(Self::begin(self.shared.clone(), seat)));
        }
    }
}

#[cfg(test)]
mod tests {
    use boss_base::clock::SystemClock;

    use super::*;

    const BOUNDS: Bounds = Bounds {
        in_flight_max: 2,
        in_flight_per_subject_max: 2,
        deletes_reserved: 1,
        queued_max: 4,
        queued_per_subject_max: 2,
    };

    fn line() -> Line {
        Line::new("test", BOUNDS, Arc::new(SystemClock))
    }

    #[tokio::test]
    async fn turns_are_handed_on_and_given_back_by_who_has_gone() {
        let line = line();
        let first = line.enter_as(Level::Users, "a").await.unwrap();
        let second = line.enter_as(Level::Users, "a").await.unwrap();
        let mut gone = Box::pin(line.enter_as(Level::Users, "a"));
        let mut patient = Box::pin(line.enter_as(Level::Users, "b"));
        assert!(futures_util::poll!(&mut gone).is_pending());
        assert!(futures_util::poll!(&mut patient).is_pending());
        drop(gone);
        drop(first);
        let third = patient.await.unwrap();
        drop((second, third));
        assert!(line.enter_as(Level::Users, "c").await.is_ok());
    }

    #[tokio::test]
    async fn a_full_queue_refuses_with_a_hint_and_deletes_pass() {
        let line = line();
        let _turns = [line.enter_as(Level::Users, "a").await.unwrap(), line.enter_as(Level::Users, "a").await.unwrap()];
        let mut waiting = [Box::pin(line.enter_as(Level::Users, "a")), Box::pin(line.enter_as(Level::Users, "a"))];
        for call in &mut waiting {
            assert!(futures_util::poll!(call).is_pending());
        }
        let full = line.enter_as(Level::Users, "a").await.err().expect("its queue is full");
        assert!(full.retry_after >= RETRY_AFTER_MIN, "{full:?}");
        assert!(full.to_string().contains("bounds are 2 of one caller and 4 in all"), "{full}");
        assert!(line.enter_as(Level::Deletes, "a").await.is_ok());
    }

    #[tokio::test]
    async fn nobody_waits_for_ever() {
        let line = line();
        let _turns = [line.enter_as(Level::Users, "a").await.unwrap(), line.enter_as(Level::Users, "a").await.unwrap()];
        assert!(line.enter_as(Level::Users, "b").await.is_err());
        assert_eq!(line.0.queue().waiting(Level::Users), 0, "who gives up leaves the queue");
    }
}
