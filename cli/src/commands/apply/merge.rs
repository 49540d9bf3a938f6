//! Lays a manifest over the object that is there: what the manifest says is set, what the last manifest said and this
//! one does not is removed, everything else stays (defaults, the node, others' labels). Pure.

use serde_json::{Map, Value};

use crate::output::APPLIED_FIELDS as APPLIED;

/// The manifest with the note of its own fields in its annotations, and without its status, which nobody applies.
pub(super) fn remember(mut manifest: Value) -> Value {
    if let Value::Object(fields) = &mut manifest {
        fields.remove("status");
    }
    let shape = shape(&manifest).to_string();
    annotations(&mut manifest).insert(APPLIED.to_owned(), Value::String(shape));
    manifest
}

/// The object as it should be: `wanted` came out of [`remember`].
pub(super) fn merge(live: &Value, wanted: &Value) -> Value {
    let note = live.pointer("/metadata/annotations").and_then(|annotations| annotations.get(APPLIED));
    let applied = note.and_then(Value::as_str).and_then(|note| serde_json::from_str(note).ok()).unwrap_or(Value::Null);
    lay_over(live, wanted, &applied)
}

fn lay_over(live: &Value, wanted: &Value, applied: &Value) -> Value {
    match (live, wanted) {
        (Value::Object(live), Value::Object(wanted)) => Value::Object(lay_over_fields(live, wanted, applied)),
        // Containers and the like: the servers' defaults inside stay, as long as the list is the same one.
        (Value::Array(live), Value::Array(wanted)) if live.len() == wanted.len() => {
            let applied = |index: usize| applied.get(index).unwrap_or(&Value::Null);
            let items = live.iter().zip(wanted).enumerate();
            Value::Array(items.map(|(index, (live, wanted))| lay_over(live, wanted, applied(index))).collect())
        }
        _ => wanted.clone(),
    }
}

fn lay_over_fields(live: &Map<String, Value>, wanted: &Map<String, Value>, applied: &Value) -> Map<String, Value> {
    let mut fields = live.clone();
    fields.retain(|name, _| wanted.contains_key(name) || applied.get(name).is_none());
    for (name, wanted) in wanted {
        let merged = match live.get(name) {
            Some(live) => lay_over(live, wanted, applied.get(name).unwrap_or(&Value::Null)),
            None => wanted.clone(),
        };
        fields.insert(name.clone(), merged);
    }
    fields
}

/// The names of the fields without their values, which may be secret and are of no use here.
fn shape(value: &Value) -> Value {
    match value {
        Value::Object(fields) => {
            Value::Object(fields.iter().map(|(name, value)| (name.clone(), shape(value))).collect())
        }
        Value::Array(items) if items.iter().any(Value::is_object) => Value::Array(items.iter().map(shape).collect()),
        _ => Value::from(1),
    }
}

fn annotations(manifest: &mut Value) -> &mut Map<String, Value> {
    let metadata = manifest.as_object_mut().expect("a manifest was read as an object").entry("metadata");
    let metadata = metadata.or_insert_with(|| Value::Object(Map::new()));
    let metadata = metadata.as_object_mut().expect("metadata was read as a message");
    let annotations = metadata.entry("annotations").or_insert_with(|| Value::Object(Map::new()));
    annotations.as_object_mut().expect("annotations were read as a map")
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    /// The object after the first manifest and what servers and others then made of it, and after the second one.
    fn check(first: Value, changes: impl FnOnce(&mut Value), second: Value, expected: &Value) {
        let mut live = remember(first);
        changes(&mut live);
        let mut merged = merge(&live, &remember(second));
        merged["metadata"].as_object_mut().unwrap().remove("annotations");
        assert_eq!(&merged, expected);
    }

    #[test]
    fn what_the_manifest_does_not_speak_of_stays() {
        check(
            json!({"metadata": {"name": "x"}, "spec": {"a": 1}}),
            |live| {
                live["spec"]["nodeName"] = json!("n1");
                live["metadata"]["labels"] = json!({"by": "another"});
            },
            json!({"metadata": {"name": "x"}, "spec": {"a": 2}}),
            &json!({"metadata": {"name": "x", "labels": {"by": "another"}}, "spec": {"a": 2, "nodeName": "n1"}}),
        );
    }

    #[test]
    fn what_only_the_last_manifest_spoke_of_goes() {
        check(
            json!({"metadata": {"name": "x", "labels": {"a": "1", "b": "2"}}, "spec": {"a": 1, "b": {"c": 1}}}),
            |live| live["metadata"]["labels"]["by"] = json!("another"),
            json!({"metadata": {"name": "x", "labels": {"a": "1"}}, "spec": {"a": 1}}),
            &json!({"metadata": {"name": "x", "labels": {"a": "1", "by": "another"}}, "spec": {"a": 1}}),
        );
    }

    #[test]
    fn lists_of_objects_keep_defaults_inside_and_lists_of_words_are_replaced() {
        check(
            json!({"metadata": {}, "c": [{"name": "main", "old": 1}], "args": ["a", "b"]}),
            |live| live["c"][0]["default"] = json!(true),
            json!({"metadata": {}, "c": [{"name": "main"}], "args": ["c"]}),
            &json!({"metadata": {}, "c": [{"name": "main", "default": true}], "args": ["c"]}),
        );
    }

    #[test]
    fn the_same_manifest_again_changes_nothing() {
        let manifest =
            json!({"metadata": {"name": "x", "annotations": {"a": "b"}}, "spec": {"l": [{"n": 1}], "m": {}}});
        let mut live = remember(manifest.clone());
        live["status"] = json!({"phase": "Running"});
        live["spec"]["filled"] = json!("in");
        assert_eq!(merge(&live, &remember(manifest)), live);
    }

    #[test]
    fn the_note_holds_names_and_no_values() {
        let noted =
            remember(json!({"metadata": {}, "spec": {"env": [{"name": "A", "value": "secret"}]}, "status": {"x": 1}}));
        let note = noted["metadata"]["annotations"][APPLIED].as_str().unwrap();
        assert!(note.contains("value") && !note.contains("secret"), "{note}");
        assert!(noted.get("status").is_none());
    }
}
