//! Makes a bad sprint smaller, by leaving out faults and kinds of clients as long as the same promise breaks. What real
//! processes do differs from run to run, so each part is tried a few times before it counts as good.

use std::{io, path::Path};

use super::{
    Options, Outcome, Work, run,
    smallest::{Budget, smallest},
};
use crate::{checkers::Verdict, nemesis::schedule};

/// What became of it.
#[derive(Debug, Clone)]
pub struct Shrunk {
    /// The smallest sprint that still breaks it.
    pub options: Options,
    /// The promise.
    pub promise: &'static str,
    /// How many sprints that took.
    pub sprints: usize,
}

/// Runs the sprint, and then smaller ones, at most `budget` parts of it and each `tries` times. None when the sprint
/// itself breaks nothing. `tell` hears of each part.
pub fn shrink(
    options: &Options,
    reports: &Path,
    (budget, tries): (usize, usize),
    tell: &dyn Fn(&Options, bool),
) -> io::Result<Option<Shrunk>> {
    let mut runs = Runs { reports, tries, sprints: 0, failed: None, tell };
    let Some(promise) = runs.first(options)? else { return Ok(None) };
    let (mut budget, mut found) = (Budget(budget), options.clone());
    let all: Vec<usize> = (0..schedule::plan(options.seed, &options.plan()).len()).collect();
    let faults = found.faults.clone().unwrap_or(all);
    let faults = smallest(&faults, &mut budget, |part| {
        runs.breaks(&Options { faults: Some(part.to_vec()), ..options.clone() }, promise)
    });
    found.faults = Some(faults);
    let work = smallest(&found.work, &mut budget, |part: &[Work]| {
        !part.is_empty() && runs.breaks(&Options { work: part.to_vec(), ..found.clone() }, promise)
    });
    found.work = work;
    match runs.failed {
        Some(error) => Err(error),
        None => Ok(Some(Shrunk { options: found, promise, sprints: runs.sprints })),
    }
}

struct Runs<'a> {
    reports: &'a Path,
    tries: usize,
    sprints: usize,
    failed: Option<io::Error>,
    tell: &'a dyn Fn(&Options, bool),
}

impl Runs<'_> {
    fn first(&mut self, options: &Options) -> io::Result<Option<&'static str>> {
        for _ in 0..self.tries {
            self.sprints += 1;
            let outcome = run(options, self.reports, false)?;
            if let Some(promise) = first_broken(&outcome) {
                (self.tell)(options, true);
                return Ok(Some(promise));
            }
        }
        (self.tell)(options, false);
        Ok(None)
    }

    fn breaks(&mut self, options: &Options, promise: &str) -> bool {
        for _ in 0..self.tries {
            if self.failed.is_some() {
                return false;
            }
            self.sprints += 1;
            match run(options, self.reports, false) {
                Ok(outcome) if broken(&outcome).any(|other| other == promise) => {
                    (self.tell)(options, true);
                    return true;
                }
                Ok(_) => {}
                Err(error) => self.failed = Some(error),
            }
        }
        (self.tell)(options, false);
        false
    }
}

fn broken(outcome: &Outcome) -> impl Iterator<Item = &'static str> {
    let invalid = outcome.judged.iter().filter(|judged| matches!(judged.verdict, Verdict::Invalid(_)));
    invalid.map(|judged| judged.promise)
}

fn first_broken(outcome: &Outcome) -> Option<&'static str> {
    broken(outcome).next()
}
