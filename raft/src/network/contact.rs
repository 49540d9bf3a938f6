//! Remembers when this server last heard its leader. Knows no consensus.

use std::{
    sync::{Arc, Mutex, PoisonError},
    time::Duration,
};

use boss_base::clock::Clock;
use boss_proto::ids::ServerId;

/// The last word of a leader. Clones share it.
#[derive(Clone)]
pub(crate) struct Contact {
    clock: Arc<dyn Clock>,
    last: Arc<Mutex<Option<Heard>>>,
}

struct Heard {
    leader: ServerId,
    at: Duration,
}

impl Contact {
    pub(crate) fn new(clock: Arc<dyn Clock>) -> Self {
        Self { clock, last: Arc::default() }
    }

    /// The leader has just sent something.
    pub(super) fn note(&self, leader: ServerId) {
        let at = self.clock.monotonic();
        *self.last.lock().unwrap_or_else(PoisonError::into_inner) = Some(Heard { leader, at });
    }

    /// How long this leader has been silent; `None` when another one was heard since, or nobody yet.
    pub(crate) fn silence_of(&self, leader: ServerId) -> Option<Duration> {
        let last = self.last.lock().unwrap_or_else(PoisonError::into_inner);
        let heard = last.as_ref().filter(|heard| heard.leader == leader)?;
        Some(self.clock.monotonic().saturating_sub(heard.at))
    }
}
