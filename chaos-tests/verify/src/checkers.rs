//! Judges of histories. Pure: the same history always has the same verdict. None knows a cluster.
//!
//! Two judges of linearizability that share nothing but the history: [`witness`] believes the revisions that the
//! registry told and checks that they explain everything, in O(n log n); [`search`] looks at each object alone and
//! tries to find any order that explains its answers. A history is good when both say so.

pub mod coverage;
pub mod generate;
pub mod judged;
pub mod pairs;
pub mod quotas;
pub mod refusals;
pub mod revocations;
pub mod rights;
pub mod search;
pub mod sets;
pub mod watches;
pub mod witness;

use std::fmt;

use crate::history::Operation;

/// What a judge says.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Verdict {
    /// Everything is explained.
    Valid,
    /// Something has no explanation.
    Invalid(Explanation),
    /// The judge gave up. For a test that is a failure too.
    Unknown(String),
}

impl Verdict {
    /// Whether everything is explained.
    #[must_use]
    pub fn is_valid(&self) -> bool {
        *self == Self::Valid
    }

    /// The worse of both; of two that are equally bad, this one.
    #[must_use]
    pub fn and(self, other: Self) -> Self {
        match (&self, &other) {
            (Self::Invalid(_), _) => self,
            (_, Self::Invalid(_)) => other,
            (Self::Unknown(_), _) => self,
            _ => other,
        }
    }
}

/// Why a history is not linearizable.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Explanation {
    /// What is wrong, in one sentence.
    pub problem: String,
    /// The operations that show it; for a search, the longest order that could be explained, from its end.
    pub operations: Vec<Operation>,
}

impl fmt::Display for Explanation {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        writeln!(f, "{}", self.problem)?;
        self.operations.iter().try_for_each(|operation| writeln!(f, "  {operation:?}"))
    }
}

/// A broken promise that no single operation of a register shows.
#[must_use]
pub fn broken(problem: impl Into<String>) -> Verdict {
    invalid(problem, [])
}

fn invalid<'a>(problem: impl Into<String>, operations: impl IntoIterator<Item = &'a Operation>) -> Verdict {
    Verdict::Invalid(Explanation { problem: problem.into(), operations: operations.into_iter().cloned().collect() })
}

/// Both judges of linearizability.
#[must_use]
pub fn linearizable(operations: &[Operation]) -> Verdict {
    witness::check(operations).and(search::check(operations, search::Budget::default()))
}

#[cfg(test)]
mod tests;
