//! JSON values to messages and back, with the path of what is wrong. Knows no YAML.

use std::fmt;

use serde::{
    Deserialize, Deserializer,
    de::{DeserializeOwned, Error as _, MapAccess, SeqAccess, Visitor},
};
use serde_json::{Map, Number, Value};

use super::Problem;
use crate::{kind::Kind, v1::object::Body};

/// Fields that hold a time, by their JSON names.
const TIMES: &[&str] = &[
    "creationTimestamp",
    "deletionTimestamp",
    "firstTimestamp",
    "lastTimestamp",
    "lastTransitionTime",
    "time",
    "startTime",
    "startedAt",
    "finishedAt",
    "scheduledAt",
    "runtimeReadyAt",
    "dataPlaneReadyAt",
    "activeFrom",
    "retiringFrom",
    "retiredFrom",
    "removedFrom",
    "expiresAt",
];

/// Maps whose keys are the user's own words, never ours.
const USER_MAPS: &[&str] =
    &["labels", "annotations", "nodeSelector", "data", "binaryData", "stringData", "hard", "used"];

/// Reads JSON text; a field that is there twice is an error, which plain serde_json does not see.
pub(super) fn value(text: &[u8]) -> Result<Value, Problem> {
    serde_json::from_slice(text).map(|Strict(value)| value).map_err(|error| {
        let (line, column) = (error.line() as u64, error.column() as u64);
        let problem = error.to_string();
        match problem.strip_prefix(DUPLICATE).and_then(|rest| rest.split_once('\u{0}')) {
            Some((field, _)) => Problem::DuplicateField { line, column, field: field.to_owned() },
            None => Problem::Syntax { line, column, problem },
        }
    })
}

/// What a value is, for messages.
pub(super) fn describe(value: &Value) -> String {
    match value {
        Value::Null => "nothing".to_owned(),
        Value::Bool(value) => format!("the boolean {value}"),
        Value::Number(value) => format!("the number {value}"),
        Value::String(text) => format!("the string {:?}", text.chars().take(40).collect::<String>()),
        Value::Array(_) => "a list".to_owned(),
        Value::Object(_) => "an object".to_owned(),
    }
}

pub(super) fn body(kind: Kind, value: Value) -> Result<Body, Problem> {
    super::read_body(kind, value).map_err(|problem| if kind == Kind::Secret { conceal(problem) } else { problem })
}

/// Of a secret's values no word gets into a message, also not of one that cannot be read.
fn conceal(problem: Problem) -> Problem {
    match problem {
        Problem::WrongType { path, .. } if path.starts_with("data") || path.starts_with("string") => {
            let problem = "values are texts, in data base64, in stringData as they are (yours is not shown)".to_owned();
            Problem::WrongType { path, problem }
        }
        other => other,
    }
}

/// A message from its JSON value.
pub(super) fn typed<M: DeserializeOwned>(value: Value) -> Result<M, Problem> {
    serde_path_to_error::deserialize(value).map_err(|error| {
        let path = error.path().to_string();
        problem(path, &error.into_inner().to_string())
    })
}

/// The generated readers tell what is wrong in words only; tests pin those words.
fn problem(path: String, message: &str) -> Problem {
    let path = if path == "." { String::new() } else { path };
    if let Some((field, rest)) = message.strip_prefix("unknown field `").and_then(|rest| rest.split_once('`')) {
        let possible = possible_fields(rest);
        let meant = closest(field, &possible);
        return Problem::UnknownField { path: join(&path, field), meant, possible };
    }
    let hint = if message.contains("expected a string") { ": put it in quotes if it is meant as text" } else { "" };
    Problem::WrongType { path, problem: format!("{message}{hint}") }
}

/// The path of the reader ends either at the object or already at the field.
fn join(path: &str, field: &str) -> String {
    match path {
        "" => field.to_owned(),
        _ if path == field || path.ends_with(&format!(".{field}")) => path.to_owned(),
        _ => format!("{path}.{field}"),
    }
}

/// From ", expected one of `api_version`, `apiVersion`, ...": the names in their JSON form only.
fn possible_fields(text: &str) -> Vec<String> {
    let names: Vec<&str> = text.split('`').skip(1).step_by(2).collect();
    names.into_iter().filter(|name| !name.contains('_')).map(str::to_owned).collect()
}

fn closest(field: &str, possible: &[String]) -> Option<String> {
    let wanted = field.to_ascii_lowercase();
    let distance = |name: &&String| edits(&wanted, &name.to_ascii_lowercase());
    possible.iter().min_by_key(distance).filter(|name| distance(name) <= 1 + wanted.len() / 5).cloned()
}

/// Insertions, removals and replacements that make one text from the other.
fn edits(from: &str, to: &str) -> usize {
    let to: Vec<char> = to.chars().collect();
    let mut row: Vec<usize> = (0..=to.len()).collect();
    for (i, a) in from.chars().enumerate() {
        let mut diagonal = row[0];
        row[0] = i + 1;
        for (j, &b) in to.iter().enumerate() {
            let replaced = diagonal + usize::from(a != b);
            diagonal = row[j + 1];
            row[j + 1] = replaced.min(diagonal + 1).min(row[j] + 1);
        }
    }
    row[to.len()]
}

pub(super) fn from_body(body: &Body) -> Value {
    super::write_body(body).unwrap_or_else(|error| Value::String(format!("cannot be shown: {error}")))
}

/// `+00:00` becomes `Z` in every time, and in nothing that users wrote.
pub(super) fn shorten_times(value: &mut Value) {
    match value {
        Value::Object(fields) => fields.iter_mut().for_each(|(name, value)| shorten_field(name, value)),
        Value::Array(items) => items.iter_mut().for_each(shorten_times),
        _ => {}
    }
}

fn shorten_field(name: &str, value: &mut Value) {
    match value {
        Value::String(text) if TIMES.contains(&name) => {
            if let Some(time) = text.strip_suffix("+00:00") {
                *text = format!("{time}Z");
            }
        }
        _ if USER_MAPS.contains(&name) => {}
        _ => shorten_times(value),
    }
}

const DUPLICATE: &str = "duplicate field \u{0}";

/// A JSON value in which no field is there twice.
struct Strict(Value);

impl<'de> Deserialize<'de> for Strict {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        deserializer.deserialize_any(StrictVisitor).map(Strict)
    }
}

struct StrictVisitor;

impl<'de> Visitor<'de> for StrictVisitor {
    type Value = Value;

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("JSON")
    }

    fn visit_unit<E>(self) -> Result<Value, E> {
        Ok(Value::Null)
    }

    fn visit_bool<E>(self, value: bool) -> Result<Value, E> {
        Ok(Value::Bool(value))
    }

    fn visit_u64<E>(self, value: u64) -> Result<Value, E> {
        Ok(Value::from(value))
    }

    fn visit_i64<E>(self, value: i64) -> Result<Value, E> {
        Ok(Value::from(value))
    }

    fn visit_f64<E: serde::de::Error>(self, value: f64) -> Result<Value, E> {
        Number::from_f64(value).map(Value::Number).ok_or_else(|| E::custom("not a finite number"))
    }

    fn visit_str<E>(self, text: &str) -> Result<Value, E> {
        Ok(Value::String(text.to_owned()))
    }

    fn visit_string<E>(self, text: String) -> Result<Value, E> {
        Ok(Value::String(text))
    }

    fn visit_seq<A: SeqAccess<'de>>(self, mut items: A) -> Result<Value, A::Error> {
        let mut list = Vec::new();
        while let Some(Strict(item)) = items.next_element()? {
            list.push(item);
        }
        Ok(Value::Array(list))
    }

    fn visit_map<A: MapAccess<'de>>(self, mut entries: A) -> Result<Value, A::Error> {
        let mut fields = Map::new();
        while let Some(name) = entries.next_key::<String>()? {
            if fields.contains_key(&name) {
                return Err(A::Error::custom(format_args!("{DUPLICATE}{name}\u{0}")));
            }
            let Strict(value) = entries.next_value()?;
            fields.insert(name, value);
        }
        Ok(Value::Object(fields))
    }
}
