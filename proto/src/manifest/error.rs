//! What can be wrong with a manifest. Knows no reader.

use crate::{API_VERSION, kind::UnknownKind};

/// A problem and the document it was found in.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("document {document}: {problem}")]
pub struct Error {
    /// Counted from 1; empty documents do not count.
    pub document: usize,
    /// What is wrong.
    #[source]
    pub problem: Problem,
}

/// What is wrong with a document.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum Problem {
    /// The whole text is over the limit.
    #[error("the text has {bytes} bytes, at most {max} are allowed")]
    FileTooLarge {
        /// How large it is.
        bytes: usize,
        /// How large it may be.
        max: usize,
    },
    /// Neither YAML nor JSON.
    #[error("line {line}, column {column}: {problem}")]
    Syntax {
        /// Counted from 1.
        line: u64,
        /// Counted from 1.
        column: u64,
        /// What the reader says.
        problem: String,
    },
    /// The same field twice in one mapping.
    #[error("line {line}, column {column}: the field {field:?} is there twice: remove one")]
    DuplicateField {
        /// Counted from 1.
        line: u64,
        /// Counted from 1.
        column: u64,
        /// The field.
        field: String,
    },
    /// Aliases, nesting or repetition that would blow up when read.
    #[error("line {line}, column {column}: refused as too complex: {problem}")]
    TooComplex {
        /// Counted from 1.
        line: u64,
        /// Counted from 1.
        column: u64,
        /// Which bound was hit.
        problem: String,
    },
    /// A document that is not a mapping.
    #[error("found {found}, expected an object with apiVersion, kind and metadata")]
    NotAnObject {
        /// What it is instead.
        found: String,
    },
    /// A field without which the document means nothing.
    #[error("{path} is missing")]
    Missing {
        /// The field.
        path: &'static str,
    },
    /// No such kind.
    #[error("kind: {0}")]
    UnknownKind(UnknownKind),
    /// Another version of the API.
    #[error("apiVersion: {found:?} is unknown: use {API_VERSION}")]
    UnknownVersion {
        /// What was found.
        found: String,
    },
    /// The message has no such field.
    #[error("{path}: there is no such field{}", suggestion(.meant.as_deref(), .possible))]
    UnknownField {
        /// Where, with the field itself: `spec.containers[0].comand`.
        path: String,
        /// The likeliest field.
        meant: Option<String>,
        /// Every field that may stand there.
        possible: Vec<String>,
    },
    /// A value of another type than the field's.
    #[error("{path}: {problem}")]
    WrongType {
        /// Where: `spec.containers[0].env[1].value`.
        path: String,
        /// What was found and what was expected.
        problem: String,
    },
    /// The object is over the limit.
    #[error("the object has {bytes} bytes when encoded, at most {max} are allowed")]
    ObjectTooLarge {
        /// How large it is.
        bytes: usize,
        /// How large it may be.
        max: usize,
    },
}

impl Problem {
    /// The path of the field that is to blame, if there is one.
    #[must_use]
    pub fn field(&self) -> Option<&str> {
        match self {
            Problem::Missing { path } => Some(path),
            Problem::UnknownKind(_) => Some("kind"),
            Problem::UnknownVersion { .. } => Some("apiVersion"),
            Problem::UnknownField { path, .. } | Problem::WrongType { path, .. } => Some(path),
            Problem::FileTooLarge { .. }
            | Problem::Syntax { .. }
            | Problem::DuplicateField { .. }
            | Problem::TooComplex { .. }
            | Problem::NotAnObject { .. }
            | Problem::ObjectTooLarge { .. } => None,
        }
    }
}

fn suggestion(meant: Option<&str>, possible: &[String]) -> String {
    match meant {
        Some(meant) => format!(": did you mean {meant}?"),
        None if possible.is_empty() => String::new(),
        None => format!(": possible are {}", possible.join(", ")),
    }
}
