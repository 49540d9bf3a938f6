//! Merge patches. Knows no object.

use serde_json::{Map, Value};

/// RFC 7386: objects are merged, `null` removes, everything else replaces.
#[must_use]
pub fn merge_patch(target: Value, patch: &Value) -> Value {
    let Value::Object(patch) = patch else { return patch.clone() };
    let mut fields = match target {
        Value::Object(fields) => fields,
        _ => Map::new(),
    };
    for (name, value) in patch {
        if value.is_null() {
            fields.remove(name);
        } else {
            let before = fields.remove(name).unwrap_or(Value::Null);
            fields.insert(name.clone(), merge_patch(before, value));
        }
    }
    Value::Object(fields)
}
