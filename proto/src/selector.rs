//! Selectors that pick objects out of lists and watches. Labels: `app=web,tier!=db,env in (a,b),!legacy`;
//! fields: `spec.nodeName=n1,status.phase!=Running`. Knows no list and no watch.

use crate::{kind::Kind, labels::BadText, v1};

mod field;
mod label;

pub use field::{Field, FieldSelector};
pub use label::{LabelSelector, Operator, Requirement};

/// The text is no selector.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum BadSelector {
    /// Longer than the limit.
    #[error("the selector has {len} bytes, at most {max} are allowed")]
    TooLong {
        /// How long it is.
        len: usize,
        /// How long it may be.
        max: usize,
    },
    /// Something else was expected here.
    #[error("at character {position}: expected {expected}, found {found}")]
    Syntax {
        /// Counted from 1.
        position: usize,
        /// What could stand there.
        expected: &'static str,
        /// What stands there.
        found: String,
    },
    /// A label key or value that no object can have.
    #[error("at character {position}: the {what} {text:?} {source}")]
    BadLabel {
        /// Counted from 1.
        position: usize,
        /// Label key or label value.
        what: &'static str,
        /// What was found.
        text: String,
        /// What is wrong with it.
        source: BadText,
    },
    /// A field that objects of this kind cannot be selected by.
    #[error("at character {position}: {kind} objects cannot be selected by {field:?}, only by {possible}")]
    UnknownField {
        /// Counted from 1.
        position: usize,
        /// What was asked for.
        field: String,
        /// Of which objects.
        kind: Kind,
        /// What is possible.
        possible: String,
    },
}

/// Both selectors of a list or watch.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Selector {
    /// By labels.
    pub labels: LabelSelector,
    /// By fields.
    pub fields: FieldSelector,
}

impl Selector {
    /// Reads both texts; empty ones select everything.
    pub fn parse(kind: Kind, labels: &str, fields: &str) -> Result<Self, BadSelector> {
        Ok(Self { labels: labels.parse()?, fields: FieldSelector::parse(kind, fields)? })
    }

    /// Whether the object is selected.
    #[must_use]
    pub fn matches(&self, object: &v1::Object) -> bool {
        self.labels.matches_object(object) && self.fields.matches(object)
    }
}
