//! Points of a program at which chaos tests can kill it, between two things that belong together. They are there in builds
//! with deliberate bugs ([`crate::bugs`]) only; a normal build has none, and a process that is told to die refuses to start.

/// What a process is told: `name@3`, to die when the point of that name is reached for the third time.
pub const VARIABLE: &str = "BOSS_DIE_AT";

#[cfg(not(feature = "deliberate-bugs"))]
mod order {
    /// The process is here now: nothing happens.
    #[inline]
    pub const fn reach(_: &str) {}
}

#[cfg(feature = "deliberate-bugs")]
mod order {
    use std::sync::{
        OnceLock,
        atomic::{AtomicU64, Ordering},
    };

    use rustix::process::{Signal, getpid, kill_process};

    struct Order {
        point: String,
        left: AtomicU64,
    }

    fn read() -> Option<Order> {
        let text = std::env::var(super::VARIABLE).ok()?;
        let (point, times) = text.split_once('@')?;
        Some(Order { point: point.to_owned(), left: AtomicU64::new(times.parse().ok()?) })
    }

    /// The process is here now. Threads that are at other points die with it, at once and without a word.
    pub fn reach(point: &str) {
        static ORDER: OnceLock<Option<Order>> = OnceLock::new();
        let Some(order) = ORDER.get_or_init(read) else { return };
        if order.point == point && order.left.fetch_sub(1, Ordering::SeqCst) == 1 {
            // The signal needs a moment to arrive; nothing may happen until then.
            while kill_process(getpid(), Signal::KILL).is_ok() {
                std::thread::park();
            }
        }
    }
}

pub use order::reach;
