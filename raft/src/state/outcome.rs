//! What became of one operation. A refusal by the rules is a value, replicated like any other. Knows no transport.

use std::sync::Arc;

use boss_proto::{
    ids::{NodeName, Revision, Uid},
    key::Key,
};

use super::{credentials::Withdrawn, record::Record};

/// What became of one operation.
#[derive(Debug, Clone, PartialEq)]
pub enum Outcome {
    /// The object stands as `record` says. `revision` is that of this write, or of the last one when the write
    /// changed nothing.
    Written {
        /// The object after the write.
        record: Arc<Record>,
        /// Revision of the write.
        revision: Revision,
    },
    /// The deletion is done (`gone`), or asked for and waiting for something.
    Deleted {
        /// The object's last state, or the object with its deletion timestamp.
        record: Arc<Record>,
        /// Revision of the deletion, or of the write that set the timestamp.
        revision: Revision,
        /// Whether the object is away.
        gone: bool,
    },
    /// A transaction was done.
    Txn {
        /// Whether its comparisons held.
        succeeded: bool,
        /// Of everything it wrote; the registry's own when it wrote nothing.
        revision: Revision,
        /// One for each operation of the list that was chosen.
        results: Vec<Part>,
    },
    /// What admission decided on has changed since: admit again and propose again.
    Readmit,
    /// The rules refuse it; nothing changed.
    Rejected(Rejection),
}

/// What became of one operation of a transaction.
#[derive(Debug, Clone, PartialEq)]
pub enum Part {
    /// The object stands so.
    Written(Arc<Record>),
    /// The deletion is done, or asked for.
    Deleted {
        /// The object's last state, or the object with its deletion timestamp.
        record: Arc<Record>,
        /// Whether the object is away.
        gone: bool,
    },
    /// The object before the transaction, if there was one.
    Read(Option<Arc<Record>>),
}

/// Why the rules refuse an operation.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum Rejection {
    /// Create: the name is taken.
    #[error("it exists already, at revision {current}")]
    AlreadyExists {
        /// Revision of the object that has the name.
        current: Revision,
    },
    /// There is no such object.
    #[error("it does not exist")]
    NotFound,
    /// The object has changed since the caller read it.
    #[error("its revision is {current}, not the expected one")]
    Conflict {
        /// Its revision now.
        current: Revision,
    },
    /// The name belongs to another object now.
    #[error("its uid is {current}, not the expected one")]
    UidMismatch {
        /// Uid of the object that has the name.
        current: Uid,
    },
    /// The caller has no right to it at this index of the log.
    #[error("{reason}")]
    Forbidden {
        /// What is missing.
        reason: String,
    },
    /// The caller's credential counts no more at this index of the log.
    #[error("{0}")]
    Withdrawn(Withdrawn),
    /// The pod does not fit the node by what is committed.
    #[error("{reason}")]
    Infeasible {
        /// Every reason, joined.
        reason: String,
    },
    /// The pod has a node already; a pod is bound once in its life.
    #[error("it is bound to node {node}")]
    AlreadyBound {
        /// Its node.
        node: NodeName,
    },
    /// The request id is older than what is remembered: whether it had an effect cannot be told.
    #[error("the request id is older than revision {floor}, up to which effects are forgotten")]
    RequestExpired {
        /// Ids that have seen less than this are not known any more.
        floor: Revision,
    },
    /// The leader's own loop proposed it in another term.
    #[error("it was proposed by the leader of term {proposed}, its entry is of term {entry}")]
    StaleLeader {
        /// Term that the operation carries.
        proposed: u64,
        /// Term of its entry.
        entry: u64,
    },
    /// A field is wrong.
    #[error("{field}: {problem}")]
    Invalid {
        /// Path of the field: `spec.nodeName`.
        field: String,
        /// What is wrong.
        problem: String,
        /// What to do instead; may be empty.
        hint: String,
    },
    /// The namespace is not there.
    #[error("namespace {namespace:?} does not exist")]
    NamespaceMissing {
        /// Its name.
        namespace: String,
    },
    /// The namespace is being deleted and takes nothing new.
    #[error("namespace {namespace:?} is being deleted")]
    NamespaceTerminating {
        /// Its name.
        namespace: String,
    },
    /// The object's encoding is above the limit.
    #[error("it has {bytes} bytes encoded, the limit is {max}")]
    TooLarge {
        /// Encoded size.
        bytes: usize,
        /// The limit.
        max: usize,
    },
    /// A quota of the namespace leaves no room for it.
    #[error("quota {quota:?} allows {hard} of {resource}: {used} are used, {asked} more are asked for")]
    QuotaExceeded {
        /// Name of the quota.
        quota: String,
        /// What it counts.
        resource: String,
        /// How much the namespace holds.
        used: String,
        /// How much more the write wants.
        asked: String,
        /// How much there may be.
        hard: String,
    },
    /// One operation of a transaction is refused, so that nothing of it was done.
    #[error("operation {index} of the transaction, {key}: {rejection}")]
    InTxn {
        /// Its place in the list that was chosen.
        index: usize,
        /// The object that it names.
        key: Key,
        /// Why.
        rejection: Box<Rejection>,
    },
    /// Applying it panicked; it was discarded in the same way on every server. A bug of Boss.
    #[error("applying it failed inside Boss; it was discarded on every server")]
    Internal,
}

impl Rejection {
    pub(super) fn invalid(field: impl Into<String>, problem: impl Into<String>, hint: impl Into<String>) -> Self {
        Self::Invalid { field: field.into(), problem: problem.into(), hint: hint.into() }
    }
}
