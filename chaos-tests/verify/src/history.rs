//! What clients did to a cluster and what they were told: one line of JSON for each event, in the order in which they
//! happened, by one monotonic clock. Knows no cluster, and judges nothing.
//!
//! An operation is an *invoke* and at most one end: *ok* with its effect, *fail* when it certainly did nothing, *info*
//! when nobody knows. After an *info* its process is retired: what it began may still happen at any later time.

mod calls;
mod operations;
mod recorder;

use serde::{Deserialize, Serialize};

pub use self::{
    calls::{Call, Called, Reply, calls},
    operations::{BadHistory, End, Operation, operations},
    recorder::{Invocation, Recorder},
};

/// How the reason of a [`What::Fail`] begins that no state of an object explains.
pub const REFUSED: &str = "refused: ";

/// A client that does one thing at a time. Its number is never used again after an *info*.
pub type Process = u64;

/// One line of a history.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Event {
    /// Since the start of the run, in nanoseconds; never goes back.
    pub at_ns: u64,
    /// Who.
    #[serde(default)]
    pub process: Process,
    /// What.
    #[serde(flatten)]
    pub what: What,
}

/// What happened.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(tag = "type", rename_all = "lowercase")]
pub enum What {
    /// A client is about to ask.
    Invoke {
        /// Of which object.
        key: String,
        /// What it asks.
        action: Action,
    },
    /// A client was answered.
    Ok {
        /// The answer.
        answer: Answer,
    },
    /// A client was told that nothing was done, and it was nothing.
    Fail {
        /// Why.
        why: String,
    },
    /// Nobody knows whether it was done, or will be.
    Info {
        /// Why.
        why: String,
    },
    /// A client of another workload than the registers is about to ask; it ends with a reply, or as all do.
    Call {
        /// What it asks.
        call: Call,
    },
    /// A client was told this.
    Reply {
        /// The answer.
        reply: Reply,
    },
    /// Something was done to the cluster.
    Fault {
        /// What, like `kill server-2`.
        name: String,
        /// Whether it took hold.
        outcome: FaultOutcome,
        /// Whom it hit.
        #[serde(default)]
        hosts: Vec<String>,
    },
}

/// What became of a fault.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum FaultOutcome {
    /// It took hold.
    Installed,
    /// It ended: the cluster is left alone again.
    Healed,
    /// It was not possible now.
    Skipped,
    /// Nobody knows.
    Unclear,
}

/// What a client asks of one object, a register with compare-and-set. Every written value is unique in its history.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(tag = "do", rename_all = "lowercase")]
pub enum Action {
    /// The value, linearizably.
    Read,
    /// Makes the object; there must be none.
    Create {
        /// Its first value.
        value: u64,
    },
    /// Replaces the value, if the object is still at this revision.
    Cas {
        /// The object's revision that it was read at.
        from: u64,
        /// The next value.
        value: u64,
    },
    /// Replaces whatever value there is.
    Write {
        /// The next value.
        value: u64,
    },
    /// Removes the object, whatever its value.
    Delete,
}

/// What a client was told.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(tag = "is", rename_all = "lowercase")]
pub enum Answer {
    /// To a read: value and revision of the object, or none; and the registry's revision that the read was made at.
    Read {
        /// The object as it was.
        found: Option<Version>,
        /// Of the registry, at the read. 0 when the answer did not tell: one that there is no object.
        at: u64,
    },
    /// To whatever changed something: the revision of the change.
    Changed {
        /// Of this change alone.
        revision: u64,
    },
    /// Refused because the object is there; at this revision.
    Exists {
        /// Of the object.
        current: u64,
    },
    /// Refused because the object is at another revision.
    Conflict {
        /// Of the object.
        current: u64,
    },
    /// Refused because there is no such object.
    Absent,
}

impl Answer {
    /// Whether such an action can have such an answer at all.
    #[must_use]
    pub fn fits(&self, action: &Action) -> bool {
        match (self, action) {
            (Self::Read { .. }, Action::Read) | (Self::Exists { .. }, Action::Create { .. }) => true,
            (Self::Conflict { current }, Action::Cas { from, .. }) => current != from,
            (Self::Changed { .. }, action) => *action != Action::Read,
            (Self::Absent, action) => matches!(action, Action::Cas { .. } | Action::Write { .. } | Action::Delete),
            (Self::Read { .. } | Self::Exists { .. } | Self::Conflict { .. }, _) => false,
        }
    }

    /// The revision at which its client knows the object now, whose value it knows too; `before` is what it knew, and 0
    /// that there is none. The revision in a refusal teaches nothing: it may be of a value that nobody ever saw.
    #[must_use]
    pub fn known(&self, before: u64) -> u64 {
        match *self {
            Self::Read { found, .. } => found.map_or(0, |version| version.revision),
            Self::Changed { revision } => revision,
            Self::Exists { .. } | Self::Conflict { .. } => before,
            Self::Absent => 0,
        }
    }
}

/// An object as some client saw it.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Serialize, Deserialize)]
pub struct Version {
    /// What it holds.
    pub value: u64,
    /// Of its last change.
    pub revision: u64,
}
