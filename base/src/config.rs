//! What the configuration files of all our programs have in common: they are TOML, all their problems are told at
//! once, flags win over them, and they name certificates and the form of the log in the same way. Knows no program.

mod section;

use std::{
    fmt, fs,
    path::{Path, PathBuf},
};

pub use self::section::Section;
use crate::{telemetry::Format, tls};

/// One thing that is wrong with a configuration.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Problem {
    /// The key in the file, the flag, or the file itself.
    pub at: String,
    /// What is wrong and what would be right.
    pub reason: String,
}

impl fmt::Display for Problem {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}: {}", self.at, self.reason)
    }
}

/// What was found wrong so far.
#[derive(Debug, Default)]
pub struct Problems(Vec<Problem>);

impl Problems {
    /// Notes a problem.
    pub fn add(&mut self, at: impl Into<String>, reason: impl Into<String>) {
        self.0.push(Problem { at: at.into(), reason: reason.into() });
    }

    /// Notes a problem and stands for the value that could not be had.
    pub fn none<T>(&mut self, at: impl Into<String>, reason: impl Into<String>) -> Option<T> {
        self.add(at, reason);
        None
    }

    /// Whether nothing is wrong so far.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.0.is_empty()
    }

    /// All of them, in the order in which they were found.
    #[must_use]
    pub fn into_vec(self) -> Vec<Problem> {
        self.0
    }
}

/// Reads the file that `--config` names: its root, and the folder that paths in it are relative to.
pub fn read_file(path: Option<&Path>, problems: &mut Problems) -> Option<(Section, PathBuf)> {
    let Some(path) = path else {
        return problems.none("--config", "is missing: name the configuration file");
    };
    let folder = path.parent().map(Path::to_path_buf).unwrap_or_default();
    let table = fs::read_to_string(path).map_err(|error| format!("cannot be read: {error}")).and_then(|text| {
        text.parse::<toml::Table>().map_err(|error| format!("is not TOML: {}", error.to_string().trim_end()))
    });
    match table {
        Ok(table) => Some((Section::root(table), folder)),
        Err(reason) => problems.none(path.display().to_string(), reason),
    }
}

/// Certificate, key and authority, from `[tls]`.
pub fn read_tls(root: &mut Section, folder: &Path, problems: &mut Problems) -> Option<tls::Files> {
    let mut section = root.section("tls", problems);
    let [certificate, key, ca] =
        ["certificate", "key", "ca"].map(|name| section.required_text(name, problems).map(|text| folder.join(text)));
    section.finish(problems);
    Some(tls::Files { certificate: certificate?, key: key?, ca: ca? })
}

/// How log lines look, from the flag or `[log]`; text when nobody says.
pub fn read_log_format(root: &mut Section, flag: Option<&str>, problems: &mut Problems) -> Option<Format> {
    let mut log = root.section("log", problems);
    let from_file = log.text("format", problems);
    log.finish(problems);
    match flag.or(from_file.as_deref()) {
        None | Some("text") => Some(Format::Text),
        Some("json") => Some(Format::Json),
        Some(other) => problems.none("log.format", format!("{other:?} is no log format: use text or json")),
    }
}

#[cfg(test)]
mod tests;
