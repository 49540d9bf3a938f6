//! The folder that a sprint leaves: history, samples, logs, and one page that shows what happened. The page needs nothing
//! but itself. Judges nothing.

mod failovers;
mod figures;
mod page;

use std::{fs, io};

use crate::sprint::{Outcome, Seen};

pub use self::{
    failovers::{Failover, failovers, summary},
    figures::{Figures, Window},
};

/// Writes samples and page beside the history.
pub fn write(outcome: &Outcome, seen: &Seen) -> io::Result<()> {
    let samples: Result<Vec<String>, _> = seen.samples.iter().map(serde_json::to_string).collect();
    fs::write(outcome.folder.join("samples.jsonl"), samples?.join("\n"))?;
    fs::write(outcome.folder.join("report.html"), page::html(outcome, Some(seen)))
}

/// Writes the page of a sprint that came to no judgement.
pub fn write_bare(outcome: &Outcome) -> io::Result<()> {
    fs::write(outcome.folder.join("report.html"), page::html(outcome, None))
}
