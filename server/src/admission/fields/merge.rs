//! Laying one JSON value over another: a manifest over an object.

use serde_json::Value;

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
