//! Bugs that a build can be made with on purpose, so that the chaos tests can show that they would find them. A normal
//! build has none: there [`on`] is always false and costs nothing, and a process that is told to have one refuses to start.

/// A promise that is broken when the bug is at work. Each is one line where it is put in.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
#[expect(missing_docs, reason = "what each one does is said where it is named")]
pub enum Bug {
    StaleRead,
    AckBeforeFsync,
    LostWatchEvent,
    LostAtCompaction,
    ExpiredSwallowed,
    BookmarkAhead,
    DoubleBind,
    StaleRights,
    RequestForgotten,
    PurgeBeforeSnapshot,
    HalfTxn,
    RevocationIgnored,
    QuotaNotApplied,
    StateDiffers,
    TornTailTaken,
    VoteNotKept,
    OrphanSandbox,
    SecondSandbox,
    PagesDiffer,
    PreconditionIgnored,
}

/// What chooses the bug of a process, in a build that has them.
pub const VARIABLE: &str = "BOSS_BUG";

/// The process is told to have a bug that it cannot have.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum Refused {
    /// A normal build has no bugs on purpose, and no points to die at.
    #[error("{0} is set, but this build has no deliberate bugs: unset it, or build with `make bugs`")]
    NotBuilt(&'static str),
    /// No bug has that name.
    #[error("{VARIABLE}: there is no bug {0:?}; there are {known}", known = known())]
    Unknown(String),
}

#[cfg(not(feature = "deliberate-bugs"))]
mod chosen {
    use super::{Bug, Refused, VARIABLE};
    use crate::failpoints;

    /// Whether this bug is at work: never.
    #[must_use]
    #[inline]
    pub const fn on(_: Bug) -> bool {
        false
    }

    /// Whether the process may start.
    pub fn check() -> Result<(), Refused> {
        let ordered = [VARIABLE, failpoints::VARIABLE].into_iter().find(|name| std::env::var_os(name).is_some());
        ordered.map_or(Ok(()), |name| Err(Refused::NotBuilt(name)))
    }

    pub(super) fn known() -> String {
        String::new()
    }
}

#[cfg(feature = "deliberate-bugs")]
mod chosen {
    use std::sync::OnceLock;

    use super::{Bug, Refused, VARIABLE};

    /// Every bug by its name, with what it does.
    const NAMES: [(&str, Bug); 20] = [
        // A leader answers reads without asking whether it still leads.
        ("stale-read", Bug::StaleRead),
        // The log answers before it has written.
        ("ack-before-fsync", Bug::AckBeforeFsync),
        // Nobody is woken by some events, and whoever looks later looks past them.
        ("lost-watch-event", Bug::LostWatchEvent),
        // The history says that it reaches back further than it does.
        ("lost-at-compaction", Bug::LostAtCompaction),
        // A watch from before the history begins with what is left of it.
        ("expired-swallowed", Bug::ExpiredSwallowed),
        // A bookmark promises what was not delivered yet.
        ("bookmark-ahead", Bug::BookmarkAhead),
        // A new leader's scheduler binds every pod once more, and apply lets it.
        ("double-bind", Bug::DoubleBind),
        // Rights are looked up in a table that the removal of a binding does not renew.
        ("stale-rights", Bug::StaleRights),
        // Request ids are forgotten after a second, and nobody is told.
        ("request-forgotten", Bug::RequestForgotten),
        // The log goes before the snapshot is durable.
        ("purge-before-snapshot", Bug::PurgeBeforeSnapshot),
        // Of a transaction only the first operation is done.
        ("half-txn", Bug::HalfTxn),
        // A server takes credentials that were revoked.
        ("revocation-ignored", Bug::RevocationIgnored),
        // Apply counts nothing against quotas.
        ("quota-not-applied", Bug::QuotaNotApplied),
        // Applying the same gives another state here.
        ("state-differs", Bug::StateDiffers),
        // Records of the log are believed without their checksum.
        ("torn-tail-taken", Bug::TornTailTaken),
        // Votes are not written down.
        ("vote-not-kept", Bug::VoteNotKept),
        // An agent lets a deleted pod go without ending its sandbox.
        ("orphan-sandbox", Bug::OrphanSandbox),
        // An agent that starts anew does not look for what runs already.
        ("second-sandbox", Bug::SecondSandbox),
        // Each page of a list is of another revision.
        ("pages-differ", Bug::PagesDiffer),
        // Compare-and-set does not compare.
        ("precondition-ignored", Bug::PreconditionIgnored),
    ];

    fn named(name: &str) -> Option<Bug> {
        NAMES.iter().find(|(known, _)| *known == name).map(|(_, bug)| *bug)
    }

    /// Whether this bug is at work.
    #[must_use]
    pub fn on(bug: Bug) -> bool {
        static CHOSEN: OnceLock<Option<Bug>> = OnceLock::new();
        *CHOSEN.get_or_init(|| named(&std::env::var(VARIABLE).ok()?)) == Some(bug)
    }

    /// Whether the process may start.
    pub fn check() -> Result<(), Refused> {
        match std::env::var(VARIABLE) {
            Ok(name) if named(&name).is_none() => Err(Refused::Unknown(name)),
            _ => Ok(()),
        }
    }

    pub(super) fn known() -> String {
        NAMES.map(|(name, _)| name).join(", ")
    }
}

use chosen::known;
pub use chosen::{check, on};
