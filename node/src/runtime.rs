//! What runs sandboxes: one trait, one provider per file. Knows no pod and no registry.

pub mod absent;
pub mod fake;
pub mod process;

use std::{path::PathBuf, time::Duration};

use boss_proto::{
    intent::{Reason, SandboxClass},
    v1,
};
use futures_util::future::BoxFuture;

use crate::sandbox::{
    SandboxId, Spec, Values,
    files::{Exit, Running},
};

/// Why a provider did not do what it was asked.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum Error {
    /// It cannot be done for this sandbox; the reason is the pod's.
    #[error("{message}")]
    Sandbox {
        /// A stable word.
        reason: Reason,
        /// The provider's own words.
        message: String,
    },
    /// The provider can do nothing any more until the agent is restarted.
    #[error("{0}")]
    Broken(String),
}

impl Error {
    /// A failure of one sandbox.
    pub fn sandbox(reason: Reason, message: impl Into<String>) -> Self {
        Self::Sandbox { reason, message: message.into() }
    }
}

/// How a sandbox stands.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Status {
    /// There is none of that id.
    Absent,
    /// Prepared, not started.
    Prepared,
    /// It runs.
    Running(Running),
    /// It is over, and nothing of it runs any more.
    Ended(Exit),
}

/// A provider. Every call may be repeated: what is done already is done.
pub trait Runtime: Send + Sync + 'static {
    /// Its name, unique on a node.
    fn name(&self) -> &'static str;

    /// The class it runs.
    fn class(&self) -> SandboxClass;

    /// Finds out, by trying, what it can do here.
    fn probe(&self) -> BoxFuture<'_, v1::Provider>;

    /// Makes everything ready for a start.
    fn prepare<'a>(&'a self, spec: &'a Spec) -> BoxFuture<'a, Result<(), Error>>;

    /// Starts what was prepared, with the values that its spec says are given; answers when the program runs.
    fn start<'a>(&'a self, id: &'a SandboxId, values: &'a Values) -> BoxFuture<'a, Result<Running, Error>>;

    /// Answers when it is over and nothing of it is left.
    fn wait<'a>(&'a self, id: &'a SandboxId) -> BoxFuture<'a, Result<Exit, Error>>;

    /// Asks it to end, kills it after `grace`; answers when it is proven that nothing of it is left.
    fn stop<'a>(&'a self, id: &'a SandboxId, grace: Duration) -> BoxFuture<'a, Result<(), Error>>;

    /// Removes what is left on disk. Refused while it runs.
    fn remove<'a>(&'a self, id: &'a SandboxId) -> BoxFuture<'a, Result<(), Error>>;

    /// How it stands.
    fn status<'a>(&'a self, id: &'a SandboxId) -> BoxFuture<'a, Result<Status, Error>>;

    /// Everything it has, running or not, in order of ids.
    fn list(&self) -> BoxFuture<'_, Result<Vec<SandboxId>, Error>>;

    /// The folder with the sandbox's log segments, if the provider keeps any.
    fn log_dir(&self, id: &SandboxId) -> Option<PathBuf>;

    /// What a sandbox was made from; `None` when there is none of that id.
    fn spec<'a>(&'a self, id: &'a SandboxId) -> BoxFuture<'a, Result<Option<Spec>, Error>>;
}
