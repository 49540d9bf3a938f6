//! What agent and launcher say to each other.

use std::path::PathBuf;

use serde::{Deserialize, Serialize};

use crate::sandbox::Values;

/// From the agent: start the monitor of this sandbox.
#[derive(Debug, Serialize, Deserialize)]
pub(super) struct Launch {
    /// Comes back in the answer.
    pub(super) id: u64,
    /// The sandbox's folder.
    pub(super) dir: PathBuf,
    /// What it is given and nobody writes down.
    pub(super) values: Values,
}

/// The answer.
#[derive(Debug, Serialize, Deserialize)]
pub(super) struct Launched {
    /// Of the question.
    pub(super) id: u64,
    /// The monitor's pid, or what failed.
    pub(super) result: Result<u32, String>,
}
