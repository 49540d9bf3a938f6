//! The whole control plane in one thread: real servers in simulated time, on a simulated network and simulated disks, with
//! clients of every workload, faults, and the judges of all other layers. The same seed gives the same history. Only
//! `boss-simulate` can run it: that program answers in the machine's stead when somebody asks for time or random bytes.

mod clock;
mod disk;
mod fabric;
mod faults;
mod looking;
pub mod many;
mod papers;
mod schedule;
mod work;
mod world;

use std::{io, path::Path, time::Duration};

use boss_verify::checkers::generate::Random;
use sha2::{Digest, Sha256};

pub use self::clock::EPOCH_UNIX;
pub use crate::checkers::judged::Judged;

/// Clusters that seeds draw from; most are of the usual size.
const SIZES: [u64; 6] = [3, 3, 3, 5, 3, 1];
/// From the first call of a client to the last, in simulated time.
const DURATION: Duration = Duration::from_secs(12);
/// Operations of all clients in a second: more find more for each simulated second, and take longer.
const RATE: f64 = 120.0;

/// What a simulation is made of.
#[derive(Debug, Clone, PartialEq)]
pub struct Options {
    /// Where all choices come from.
    pub seed: u64,
    /// Servers.
    pub servers: u64,
    /// From the first call of a client to the last, in simulated time.
    pub duration: Duration,
    /// Operations of all clients in a second.
    pub rate: f64,
    /// Whether there are faults.
    pub faults: bool,
}

impl Options {
    /// What the seed draws.
    #[must_use]
    pub fn of_seed(seed: u64) -> Self {
        let servers = SIZES[Random(seed).below(SIZES.len())];
        Self { seed, servers, duration: DURATION, rate: RATE, faults: true }
    }
}

/// What became of a simulation.
#[derive(Debug, Clone)]
pub struct Outcome {
    /// One for each promise.
    pub judged: Vec<Judged>,
    /// Answered operations and calls.
    pub answered: usize,
    /// Of everything that clients did and were told, and when.
    pub history_hash: String,
    /// Of what the servers hold at the end.
    pub state_hash: String,
    /// In simulated time, from the start of the servers.
    pub lasted: Duration,
}

impl Outcome {
    /// Whether every promise was kept, and enough was seen to say so.
    #[must_use]
    pub fn is_good(&self) -> bool {
        !self.judged.is_empty() && self.judged.iter().all(|judged| judged.verdict.is_valid())
    }
}

/// Runs a simulation. Its history is in `folder` afterwards, as `history.jsonl`; `tell_time` hears how much time has passed in
/// it, for whoever asks the machine.
pub fn run(options: &Options, folder: &Path, tell_time: fn(Duration)) -> io::Result<Outcome> {
    let history = folder.join("history.jsonl");
    let (done, lasted) = world::run(options, &history, tell_time)?;
    let history_hash = hash(&history)?;
    Ok(Outcome { judged: done.judged, answered: done.answered, history_hash, state_hash: done.state_hash, lasted })
}

fn hash(history: &Path) -> io::Result<String> {
    let digest = Sha256::digest(std::fs::read(history)?);
    Ok(digest.iter().take(16).map(|byte| format!("{byte:02x}")).collect())
}
