//! Objects as people write them: YAML and JSON to messages and back. A manifest is the kind's own message, chosen by
//! `kind`; the envelope never shows. Knows no rules about the contents beyond their types.

use prost::Message;
use serde_json::Value;

use crate::{
    API_VERSION,
    kind::Kind,
    limits::{MANIFEST_BYTES_MAX, OBJECT_BYTES_MAX},
    object::with_kinds,
    v1::{self, object::Body},
};

mod error;
mod json;
mod merge;
mod yaml;

pub use error::{Error, Problem};
pub use merge::merge_patch;

/// Reads every document of a YAML (or JSON) text. Empty documents are skipped; the first error ends it.
pub fn from_yaml(text: &str) -> Result<Vec<v1::Object>, Error> {
    documents(text).collect()
}

/// Reads the documents of a YAML (or JSON) text one by one, so that a bad one does not hide the others. A syntax error
/// is the last item, since nothing after it can be trusted.
pub fn documents(text: &str) -> impl Iterator<Item = Result<v1::Object, Error>> {
    let read: Box<dyn Iterator<Item = Result<Value, Problem>>> = if text.len() > MANIFEST_BYTES_MAX {
        Box::new(std::iter::once(Err(Problem::FileTooLarge { bytes: text.len(), max: MANIFEST_BYTES_MAX })))
    } else {
        Box::new(yaml::values(text))
    };
    read.enumerate()
        .map(|(index, value)| value.and_then(from_value).map_err(|problem| Error { document: index + 1, problem }))
}

/// Reads one object from JSON text.
pub fn from_json(text: &[u8]) -> Result<v1::Object, Error> {
    let whole = |problem| Error { document: 1, problem };
    if text.len() > MANIFEST_BYTES_MAX {
        return Err(whole(Problem::FileTooLarge { bytes: text.len(), max: MANIFEST_BYTES_MAX }));
    }
    json::value(text).and_then(from_value).map_err(whole)
}

/// Reads JSON text that is only a part of an object: a patch, or a manifest that is looked at as it was written.
pub fn value_from_json(text: &[u8]) -> Result<Value, Problem> {
    if text.len() > MANIFEST_BYTES_MAX {
        return Err(Problem::FileTooLarge { bytes: text.len(), max: MANIFEST_BYTES_MAX });
    }
    json::value(text)
}

/// Reads the one document of a YAML (or JSON) text that is no object by itself.
pub fn value_from_yaml(text: &str) -> Result<Value, Problem> {
    if text.len() > MANIFEST_BYTES_MAX {
        return Err(Problem::FileTooLarge { bytes: text.len(), max: MANIFEST_BYTES_MAX });
    }
    let mut documents = yaml::values(text);
    let value = documents.next().unwrap_or(Ok(Value::Null))?;
    match documents.next() {
        None => Ok(value),
        Some(_) => Err(Problem::NotAnObject { found: "several documents".to_owned() }),
    }
}

/// Turns a JSON value into the message that its `kind` says.
pub fn from_value(value: Value) -> Result<v1::Object, Problem> {
    let Value::Object(fields) = &value else {
        return Err(Problem::NotAnObject { found: json::describe(&value) });
    };
    let text = |field: &'static str| match fields.get(field) {
        None | Some(Value::Null) => Err(Problem::Missing { path: field }),
        Some(Value::String(text)) => Ok(text.as_str()),
        Some(other) => Err(Problem::WrongType {
            path: field.to_owned(),
            problem: format!("found {}, expected a string", json::describe(other)),
        }),
    };
    let version = text("apiVersion")?;
    let kind: Kind = text("kind")?.parse().map_err(Problem::UnknownKind)?;
    if version != API_VERSION {
        return Err(Problem::UnknownVersion { found: version.to_owned() });
    }
    let object = v1::Object { body: Some(json::body(kind, value)?) };
    match object.encoded_len() {
        bytes if bytes > OBJECT_BYTES_MAX => Err(Problem::ObjectTooLarge { bytes, max: OBJECT_BYTES_MAX }),
        _ => Ok(object),
    }
}

/// The object as a JSON value, without the envelope. Times are RFC 3339 in UTC, written with `Z`.
#[must_use]
pub fn to_value(object: &v1::Object) -> Value {
    let mut value = object.body.as_ref().map_or(Value::Null, json::from_body);
    json::shorten_times(&mut value);
    value
}

/// The object as indented JSON with a newline at its end.
#[must_use]
pub fn to_json(object: &v1::Object) -> String {
    format!("{:#}\n", to_value(object))
}

/// The object as one YAML document, without the line of hyphens.
#[must_use]
pub fn to_yaml(object: &v1::Object) -> String {
    yaml::write(&to_value(object))
}

/// Any JSON value as YAML: for parts of objects that are shown alone.
#[must_use]
pub fn value_to_yaml(value: &Value) -> String {
    yaml::write(value)
}

/// Several objects as the documents of one YAML text.
#[must_use]
pub fn to_yaml_documents<'a>(objects: impl IntoIterator<Item = &'a v1::Object>) -> String {
    objects.into_iter().map(to_yaml).collect::<Vec<_>>().join("---\n")
}

macro_rules! bodies {
    ($($kind:ident),* $(,)?) => {
        /// Reads the kind's own message.
        fn read_body(kind: Kind, value: Value) -> Result<Body, Problem> {
            match kind { $(Kind::$kind => json::typed(value).map(Body::$kind),)* }
        }

        /// Writes the kind's own message, without the envelope; times as the generated writers do.
        pub fn serialize_body<S: serde::Serializer>(object: &v1::Object, serializer: S) -> Result<S::Ok, S::Error> {
            match &object.body {
                $(Some(Body::$kind(message)) => serde::Serialize::serialize(message, serializer),)*
                None => serializer.serialize_unit(),
            }
        }

        fn write_body(body: &Body) -> Result<Value, serde_json::Error> {
            match body { $(Body::$kind(message) => serde_json::to_value(message),)* }
        }
    };
}
with_kinds!(bodies);

#[cfg(test)]
mod tests;
