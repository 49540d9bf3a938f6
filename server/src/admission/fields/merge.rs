//! Laying one JSON value over another: a manifest over an object, and a merge patch over an object.

use serde_json::{Map, Value};

use super::lists::{self, List};

/// The object with everything that the manifest says: fields one by one, lists by the table.
#[must_use]
pub(crate) fn overlay(live: &Value, wanted: &Value) -> Value {
    let (Value::Object(live), Value::Object(wanted)) = (live, wanted) else { return wanted.clone() };
    let mut merged = live.clone();
    for (name, wanted) in wanted {
        let value = match (live.get(name), wanted) {
            (Some(Value::Array(live)), Value::Array(wanted)) => overlay_list(name, live, wanted),
            (Some(live), wanted) => overlay(live, wanted),
            (None, wanted) => wanted.clone(),
        };
        merged.insert(name.clone(), value);
    }
    Value::Object(merged)
}

fn overlay_list(field: &str, live: &[Value], wanted: &[Value]) -> Value {
    let kind = lists::shared_kind(field, live, wanted);
    if kind == List::Atomic {
        return Value::Array(wanted.to_vec());
    }
    let named = |item: &Value, list: &[Value]| {
        list.iter().position(|other| lists::name_of(kind, other) == lists::name_of(kind, item))
    };
    let mut merged: Vec<Value> = live
        .iter()
        .map(|item| named(item, wanted).map_or_else(|| item.clone(), |index| overlay(item, &wanted[index])))
        .collect();
    merged.extend(wanted.iter().filter(|item| named(item, live).is_none()).cloned());
    Value::Array(merged)
}

/// RFC 7386: objects are merged, `null` removes, everything else replaces.
#[must_use]
pub(crate) fn merge_patch(target: Value, patch: &Value) -> Value {
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
