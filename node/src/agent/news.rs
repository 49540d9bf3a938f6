//! What the engine's helpers tell it.

use boss_proto::ids::Uid;

use crate::{
    runtime,
    sandbox::{
        Values,
        files::{Exit, Running},
    },
};

/// One piece of news about one pod.
#[derive(Debug)]
pub(super) struct Message {
    pub(super) uid: Uid,
    /// The execution that it is about: news of an earlier one are late.
    pub(super) attempt: u32,
    pub(super) news: News,
}

/// What happened.
#[derive(Debug)]
pub(super) enum News {
    /// Ready to start, with what it is given.
    Prepared(Values),
    /// What the container names is not there yet; in words.
    Unready(String),
    Started(Running),
    /// Preparing or starting failed.
    NotStarted(runtime::Error),
    Exited(Exit),
    BackoffOver,
    /// The registry was asked once more: the pod is really gone.
    VanishConfirmed,
    Absent,
    Removed,
    /// Stopping, removing or releasing failed and was waited on.
    RetryDue,
}
