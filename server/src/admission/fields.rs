//! Field ownership and merging, over the JSON form of objects: what a manifest speaks of, who owns it, what another
//! manager would lose. Pure; knows no kind beyond the table of lists.

mod lists;
mod managers;
mod merge;
mod path;
mod set;
#[cfg(test)]
mod tests;

pub(super) use self::managers::Managers;
#[cfg(test)]
use self::set::FieldSet;
pub(super) use boss_proto::manifest::merge_patch;

use serde_json::Value;

/// A field that another manager owns and that would get another value.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Conflict {
    /// Who owns it.
    pub manager: String,
    /// Its path: `spec.containers[main].image`.
    pub field: String,
}

/// Fields that say which object it is, and those that only the registry sets: nobody owns them.
const UNOWNED: [&str; 9] = [
    "name",
    "namespace",
    "uid",
    "resourceVersion",
    "generation",
    "creationTimestamp",
    "deletionTimestamp",
    "generateName",
    "managedFields",
];

/// The part of an object that managers can own.
pub(super) fn ownable(object: &Value) -> Value {
    let mut object = object.clone();
    if let Value::Object(fields) = &mut object {
        for name in ["apiVersion", "kind", "status"] {
            fields.remove(name);
        }
        if let Some(Value::Object(metadata)) = fields.get_mut("metadata") {
            metadata.retain(|name, _| !UNOWNED.contains(&&**name));
            // Boss's own notes about an object are not the manifest's.
            if let Some(Value::Object(annotations)) = metadata.get_mut("annotations") {
                annotations.retain(|name, _| !boss_raft::state::annotations::OWNED.contains(&&**name));
            }
        }
    }
    object
}
