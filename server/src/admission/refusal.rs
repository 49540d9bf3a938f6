//! Why admission says no.

use boss_proto::{intent::Reason, key::Key, policy::Finding};
use boss_raft::state::credentials::Withdrawn;

use super::fields::Conflict;

/// Why a write is not proposed.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum Refusal {
    /// Fields are wrong; at least one.
    #[error("{}", .0.iter().map(ToString::to_string).collect::<Vec<_>>().join("; "))]
    Invalid(Vec<Invalid>),
    /// The caller has no right to it.
    #[error("{reason}")]
    Forbidden {
        /// What is missing.
        reason: String,
    },
    /// The caller's credential counts no more.
    #[error("{0}")]
    Withdrawn(Withdrawn),
    /// Secrets cannot be sealed or read here at the moment.
    #[error("{0}")]
    Unsealable(String),
    /// There is no such object.
    #[error("{key} does not exist")]
    NotFound {
        /// Its key.
        key: Key,
    },
    /// Other managers own fields that would change; at least one.
    #[error("{}", conflicts(.0))]
    FieldConflicts(Vec<Conflict>),
    /// Policies of the cluster refuse it; at least one.
    #[error("{}", policies(.0))]
    Policies(Vec<Finding>),
    /// The object's encoding is above the limit.
    #[error("the object has {bytes} bytes encoded, the limit is {max}")]
    TooLarge {
        /// Encoded size.
        bytes: usize,
        /// The limit.
        max: usize,
    },
}

impl Refusal {
    /// Whether another state of the registry might not give it.
    #[must_use]
    pub fn follows_from_state(&self) -> bool {
        match self {
            Self::Forbidden { .. }
            | Self::Withdrawn(_)
            | Self::NotFound { .. }
            | Self::FieldConflicts(_)
            | Self::Policies(_)
            | Self::Invalid(_) => true,
            Self::Unsealable(_) | Self::TooLarge { .. } => false,
        }
    }
}

impl From<crate::sealing::Error> for Refusal {
    fn from(error: crate::sealing::Error) -> Self {
        Self::Unsealable(error.to_string())
    }
}

/// One wrong field.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("{field}: {problem}")]
pub struct Invalid {
    /// Its path: `spec.containers[0].command`.
    pub field: String,
    /// What is wrong.
    pub problem: String,
    /// What to do instead; may be empty.
    pub hint: String,
    /// The stable reason, where there is one beyond "invalid".
    pub reason: Option<Reason>,
}

impl Refusal {
    /// One wrong field.
    #[must_use]
    pub fn invalid(field: impl Into<String>, problem: impl Into<String>, hint: impl Into<String>) -> Self {
        let (field, problem, hint) = (field.into(), problem.into(), hint.into());
        Self::Invalid(vec![Invalid { field, problem, hint, reason: None }])
    }

    /// The same with the fields below `prefix`.
    #[must_use]
    pub(super) fn inside(self, prefix: &str) -> Self {
        match self {
            Self::Invalid(problems) => Self::Invalid(
                problems
                    .into_iter()
                    .map(|invalid| Invalid { field: format!("{prefix}.{}", invalid.field), ..invalid })
                    .collect(),
            ),
            other => other,
        }
    }
}

fn policies(findings: &[Finding]) -> String {
    let words = findings.iter().map(|finding| format!("policy {:?} refuses it: {}", finding.policy, finding.message));
    words.collect::<Vec<_>>().join("; ")
}

fn conflicts(conflicts: &[Conflict]) -> String {
    let words = conflicts.iter().map(|conflict| format!("{} is owned by {:?}", conflict.field, conflict.manager));
    words.collect::<Vec<_>>().join("; ")
}
