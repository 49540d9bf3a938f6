//! What a point does in a process that was told to die at one, or to name those that it comes by.

pub(super) mod children;

use std::{
    env,
    io::Write,
    sync::{
        OnceLock,
        atomic::{AtomicU64, Ordering},
    },
};

/// `name@3`: die when the point is reached for the third time.
const DIE_AT: &str = "BOSS_TEST_DIE_AT";
/// A file to which each point's name is added when it is reached.
const TRACE: &str = "BOSS_TEST_TRACE_POINTS";

enum Order {
    None,
    Die { point: String, left: AtomicU64 },
    Trace { file: std::fs::File },
}

impl Order {
    fn read() -> Self {
        if let Some((point, left)) = env::var(DIE_AT).ok().as_deref().and_then(|order| order.split_once('@')) {
            let left = AtomicU64::new(left.parse().expect("the parent writes a number"));
            return Self::Die { point: point.to_owned(), left };
        }
        match env::var(TRACE) {
            Ok(path) => Self::Trace { file: std::fs::File::options().append(true).create(true).open(path).unwrap() },
            Err(_) => Self::None,
        }
    }
}

/// The process is here now. Threads that are at other points die with it, at once and without a word.
pub(crate) fn reach(point: &str) {
    static ORDER: OnceLock<Order> = OnceLock::new();
    match ORDER.get_or_init(Order::read) {
        Order::None => {}
        Order::Trace { file } => (&*file).write_all(format!("{point}\n").as_bytes()).unwrap(),
        Order::Die { point: deadly, left } => {
            if deadly == point && left.fetch_sub(1, Ordering::SeqCst) == 1 {
                rustix::process::kill_process(rustix::process::getpid(), rustix::process::Signal::KILL).unwrap();
                // The signal needs a moment to arrive; nothing may happen until then.
                loop {
                    std::thread::park();
                }
            }
        }
    }
}
