//! Many simulations, each in a process of its own: what one leaves in its process must not reach the next. Judges nothing.

use std::{
    ops::Range,
    process::Command,
    sync::{
        Mutex, MutexGuard, PoisonError,
        atomic::{AtomicBool, AtomicU64, Ordering},
    },
};

use boss_base::bugs;

use crate::binaries;

const PROGRAM: &str = "boss-simulate";

/// What is simulated.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Wanted {
    /// Which seeds.
    pub seeds: Range<u64>,
    /// Processes at once.
    pub jobs: usize,
    /// Whether each is run a second time: its history must be the same.
    pub twice: bool,
    /// Whether the first bad one is enough.
    pub until_bad: bool,
    /// A deliberate bug in all of them.
    pub bug: Option<String>,
}

/// What one simulation said.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Told {
    /// Its seed.
    pub seed: u64,
    /// Whether every promise was kept, and its history was the same each time.
    pub good: bool,
    /// Its own words.
    pub text: String,
}

/// Runs all of them; how many were good. `tell` hears of each when it has ended.
pub fn run(wanted: &Wanted, tell: &(dyn Fn(&Told) + Sync)) -> Result<u64, String> {
    let (next, good) = (AtomicU64::new(wanted.seeds.start), AtomicU64::new(0));
    let (over, problem) = (AtomicBool::new(false), Mutex::new(None));
    let work = || {
        while !over.load(Ordering::SeqCst) {
            let seed = next.fetch_add(1, Ordering::SeqCst);
            if seed >= wanted.seeds.end {
                return;
            }
            match simulate(wanted, seed) {
                Ok(told) => {
                    good.fetch_add(u64::from(told.good), Ordering::SeqCst);
                    over.fetch_or(wanted.until_bad && !told.good, Ordering::SeqCst);
                    tell(&told);
                }
                Err(error) => {
                    over.store(true, Ordering::SeqCst);
                    lock(&problem).get_or_insert(error);
                }
            }
        }
    };
    std::thread::scope(|scope| {
        for _ in 0..wanted.jobs.max(1) {
            scope.spawn(work);
        }
    });
    let problem = lock(&problem).take();
    problem.map_or_else(|| Ok(good.load(Ordering::SeqCst)), Err)
}

fn lock<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}

fn simulate(wanted: &Wanted, seed: u64) -> Result<Told, String> {
    let first = once(seed, wanted.bug.as_deref())?;
    if !wanted.twice {
        return Ok(first);
    }
    let second = once(seed, wanted.bug.as_deref())?;
    if first == second {
        return Ok(first);
    }
    let text = format!("seed {seed}: NOT THE SAME TWICE\n  {}\n  {}\n", first.text.trim_end(), second.text.trim_end());
    Ok(Told { seed, good: false, text })
}

/// One simulation of this seed in a process of its own, with a deliberate bug if there is to be one.
pub fn once(seed: u64, bug: Option<&str>) -> Result<Told, String> {
    let program = if bug.is_some() { binaries::find_bugged(PROGRAM) } else { binaries::find(PROGRAM) };
    let program = program.map_err(|error| error.to_string())?;
    let mut command = Command::new(&program);
    command.args(["--seed", &seed.to_string()]).env_remove(bugs::VARIABLE);
    if let Some(bug) = bug {
        command.env(bugs::VARIABLE, bug);
    }
    let output = command.output().map_err(|error| format!("{}: {error}", program.display()))?;
    let text = String::from_utf8_lossy(&output.stdout).into_owned();
    if text.is_empty() {
        // It could not run, or died: its last words say why.
        let said = String::from_utf8_lossy(&output.stderr);
        return Ok(Told { seed, good: false, text: format!("seed {seed}: {}, {}\n", output.status, said.trim_end()) });
    }
    Ok(Told { seed, good: output.status.success(), text })
}
