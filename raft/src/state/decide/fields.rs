//! Parts of an object that only some writes may touch: spec, status, metadata that apply owns.

use boss_proto::{
    kind::Kind,
    v1::{self, ObjectMeta, object::Body},
};
use pbjson_types::Timestamp;

use crate::state::annotations;

/// Registry time as objects carry it.
pub(super) fn timestamp(time_ms: u64) -> Timestamp {
    let seconds = i64::try_from(time_ms / 1_000).unwrap_or(i64::MAX);
    let nanos = i32::try_from(time_ms % 1_000 * 1_000_000).unwrap_or(0);
    Timestamp { seconds, nanos }
}

/// An object with nothing in it.
pub(super) fn empty(kind: Kind) -> v1::Object {
    v1::Object::empty(kind)
}

/// Whether the two differ in metadata only. Their status must be the same already.
pub(super) fn same_spec(object: &mut v1::Object, stored: &v1::Object) -> bool {
    // Comparing in place spares two copies of the whole.
    let borrowed = stored.metadata().cloned().unwrap_or_default();
    let Some(own) = object.metadata_mut().map(|metadata| std::mem::replace(metadata, borrowed)) else { return false };
    let same = object == stored;
    if let Some(metadata) = object.metadata_mut() {
        *metadata = own;
    }
    same
}

/// Copies the status from one object to another of the same kind; `false` when the kind has none.
pub(super) fn copy_status(from: &v1::Object, to: &mut v1::Object) -> bool {
    match (&from.body, to.body.as_mut()) {
        (Some(Body::Pod(from)), Some(Body::Pod(to))) => to.status.clone_from(&from.status),
        (Some(Body::Node(from)), Some(Body::Node(to))) => to.status.clone_from(&from.status),
        (Some(Body::Namespace(from)), Some(Body::Namespace(to))) => to.status.clone_from(&from.status),
        _ => return false,
    }
    true
}

/// Takes away what is computed when the object is read, and never stored.
pub(super) fn clear_computed(object: &mut v1::Object) {
    if let Some(Body::ResourceQuota(quota)) = object.body.as_mut() {
        quota.status = None;
    }
}

/// What stays as stored in an update, whatever the caller sent.
pub(super) fn keep_owned_metadata(stored: &ObjectMeta, wanted: &mut ObjectMeta) {
    wanted.uid.clone_from(&stored.uid);
    wanted.generation = stored.generation;
    wanted.resource_version = stored.resource_version;
    wanted.creation_timestamp.clone_from(&stored.creation_timestamp);
    wanted.deletion_timestamp.clone_from(&stored.deletion_timestamp);
    wanted.generate_name.clone_from(&stored.generate_name);
    for key in annotations::OWNED {
        wanted.annotations.remove(key);
        if let Some(value) = stored.annotations.get(key) {
            wanted.annotations.insert(key.to_owned(), value.clone());
        }
    }
}

/// Puts a condition of another writer in place of what the new list says about its type.
pub(super) fn keep_condition(stored: &[v1::Condition], wanted: &mut Vec<v1::Condition>, condition: &str) {
    let Some(kept) = stored.iter().find(|other| other.r#type == condition) else {
        wanted.retain(|other| other.r#type != condition);
        return;
    };
    match wanted.iter_mut().find(|other| other.r#type == condition) {
        Some(place) => place.clone_from(kept),
        None => wanted.push(kept.clone()),
    }
}
