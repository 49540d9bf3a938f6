//! How long clients go on, and how fast. Knows no client.

use std::{
    sync::{
        Arc,
        atomic::{AtomicBool, Ordering},
    },
    time::Duration,
};

use tokio::{
    sync::Mutex,
    time::{Instant, sleep_until},
};

/// Bounds of a pace, in operations per second.
const PER_SECOND_MIN: f64 = 0.001;
const PER_SECOND_MAX: f64 = 1e6;
/// How often whoever waits for a turn looks whether all is over.
const LOOK: Duration = Duration::from_millis(100);

/// Ends the clients that share it after what they are at, and lets them ask no faster than they may.
#[derive(Debug, Clone, Default)]
pub struct Stop {
    stopped: Arc<AtomicBool>,
    /// Whatever ends more than these clients ends them, too.
    outer: Option<Arc<AtomicBool>>,
    pace: Option<Arc<Pace>>,
}

#[derive(Debug)]
struct Pace {
    between: Duration,
    next: Mutex<Instant>,
}

impl Pace {
    fn new(per_second: f64) -> Arc<Self> {
        let between = Duration::from_secs_f64(1.0 / per_second.clamp(PER_SECOND_MIN, PER_SECOND_MAX));
        Arc::new(Self { between, next: Mutex::new(Instant::now()) })
    }
}

impl Stop {
    /// The same, whose clients ask so often in a second, all together.
    #[must_use]
    pub fn at(&self, per_second: f64) -> Self {
        Self { pace: Some(Pace::new(per_second)), ..self.clone() }
    }

    /// Another one at that pace, that ends with this one at the latest.
    #[must_use]
    pub fn child(&self, per_second: f64) -> Self {
        let outer = Some(self.stopped.clone());
        Self { stopped: Arc::default(), outer, pace: Some(Pace::new(per_second)) }
    }

    /// Ends them.
    pub fn set(&self) {
        self.stopped.store(true, Ordering::SeqCst);
    }

    /// Whether they are to end.
    #[must_use]
    pub fn is_set(&self) -> bool {
        let outer = self.outer.as_ref().is_some_and(|outer| outer.load(Ordering::SeqCst));
        outer || self.stopped.load(Ordering::SeqCst)
    }

    /// Waits for the next turn. Whether there is one.
    pub async fn turn(&self) -> bool {
        if let Some(pace) = &self.pace {
            // Held while waiting: whoever comes later waits for a later turn.
            let mut next = pace.next.lock().await;
            while !self.is_set() && Instant::now() < *next {
                sleep_until((*next).min(Instant::now() + LOOK)).await;
            }
            // Turns that nobody took are not made up for.
            *next = (*next).max(Instant::now()) + pace.between;
        }
        !self.is_set()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[tokio::test(start_paused = true)]
    async fn clients_that_share_a_pace_keep_to_it_and_end_at_once() {
        let (stop, began) = (Stop::default().at(10.0), Instant::now());
        let client = async {
            for _ in 0..10 {
                assert!(stop.turn().await);
            }
        };
        tokio::join!(client, async {
            for _ in 0..10 {
                assert!(stop.turn().await);
            }
        });
        let took = began.elapsed();
        assert!(took >= Duration::from_millis(1_900) && took < Duration::from_millis(2_100), "{took:?}");
        let child = stop.child(1.0);
        assert!(child.turn().await);
        stop.set();
        assert!(!stop.turn().await && !child.turn().await);
    }
}
