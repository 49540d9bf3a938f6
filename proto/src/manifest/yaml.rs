//! YAML text to JSON values and back. Reading goes through values, because typed reading would turn `name: 123` into
//! text. Knows no message.

use serde_json::Value;
use serde_saphyr::{
    Error, Location,
    options::{DuplicateKeyPolicy, NonFiniteFloatPolicy, Options},
};

use super::Problem;

/// Scalars and brackets that aliases may add. Honest manifests repeat a few labels; bombs want millions.
const REPLAYED_EVENTS_MAX: usize = 10_000;

/// The documents that are not empty. Ends at the first one that cannot be read.
pub(super) fn values(text: &str) -> impl Iterator<Item = Result<Value, Problem>> {
    let mut input = text.as_bytes();
    let read: Vec<_> =
        serde_saphyr::read_with_options(&mut input, options()).map(|value| value.map_err(problem)).collect();
    let end = read.iter().position(Result::is_err).map_or(read.len(), |index| index + 1);
    read.into_iter().take(end)
}

fn options() -> Options {
    serde_saphyr::options! {
        duplicate_keys: DuplicateKeyPolicy::Error,
        // YAML 1.2: yes, no, on and off are text.
        strict_booleans: true,
        non_finite_float_policy: NonFiniteFloatPolicy::Reject,
        reject_unsupported_tags: true,
        alias_limits: serde_saphyr::alias_limits! { max_total_replayed_events: REPLAYED_EVENTS_MAX },
    }
}

fn problem(error: Error) -> Problem {
    let at = error.location().unwrap_or(Location::UNKNOWN);
    let (line, column) = (at.line(), at.column());
    let error = cause(&error);
    match error {
        Error::DuplicateMappingKey { key, .. } => {
            Problem::DuplicateField { line, column, field: key.clone().unwrap_or_default() }
        }
        Error::Budget { .. }
        | Error::AliasReplayLimitExceeded { .. }
        | Error::AliasReplayCounterOverflow { .. }
        | Error::AliasExpansionLimitExceeded { .. }
        | Error::AliasReplayStackDepthExceeded { .. } => Problem::TooComplex { line, column, problem: message(error) },
        _ => Problem::Syntax { line, column, problem: message(error) },
    }
}

/// Without what the reader wraps around it: an excerpt, or the alias through which it came there.
fn cause(error: &Error) -> &Error {
    match error {
        Error::AliasError { error, .. } | Error::WithSnippet { error, .. } => cause(error),
        other => other,
    }
}

/// Its first line, without the position, which we tell ourselves.
fn message(error: &Error) -> String {
    let text = error.to_string();
    let line = text.lines().next().unwrap_or_default();
    line.split_once(" at line ").map_or(line, |(before, _)| before).trim_start_matches("error: ").to_owned()
}

pub(super) fn write(value: &Value) -> String {
    serde_saphyr::to_string(value).unwrap_or_else(|error| format!("# cannot be shown as YAML: {error}\n"))
}
