//! What every object's metadata may say, and what of it only the registry sets.

use boss_proto::{
    ids::Uid,
    key::Key,
    labels,
    limits::{ANNOTATIONS_BYTES_MAX, FINALIZERS_MAX, LABELS_MAX, OWNERS_MAX},
    v1::{Object, ObjectMeta, Preconditions},
};

use super::checks::Report;

/// An object of which only the name is known.
pub(super) fn empty(key: &Key) -> Object {
    let mut object = Object::empty(key.kind);
    if let Some(metadata) = object.metadata_mut() {
        metadata.name.clone_from(&key.name);
        metadata.namespace.clone_from(&key.namespace);
    }
    object
}

/// Makes the metadata of a new object: a fresh uid, nothing that only the registry sets.
pub(super) fn prepare_new(object: &mut Object, uid: Uid, report: &mut Report) {
    let Some(metadata) = object.metadata_mut() else { return };
    if metadata.resource_version != 0 {
        report.add("metadata.resourceVersion", "is set, but the object is new", "leave it out, or update instead");
    }
    metadata.uid = uid.to_string();
    clear_registry_fields(metadata);
    check(metadata, report);
}

/// What an update's metadata demands of the stored object; the demands leave the object.
pub(super) fn take_preconditions(object: &mut Object, report: &mut Report) -> Option<Preconditions> {
    let metadata = object.metadata_mut()?;
    let resource_version = (metadata.resource_version != 0).then_some(metadata.resource_version);
    let uid = (!metadata.uid.is_empty()).then(|| metadata.uid.clone());
    clear_registry_fields(metadata);
    check(metadata, report);
    (resource_version.is_some() || uid.is_some()).then_some(Preconditions { resource_version, uid })
}

/// Looks again, at metadata that somebody has changed since.
pub(super) fn recheck(object: &Object, report: &mut Report) {
    if let Some(metadata) = object.metadata() {
        check(metadata, report);
    }
}

fn clear_registry_fields(metadata: &mut ObjectMeta) {
    metadata.resource_version = 0;
    metadata.generation = 0;
    metadata.creation_timestamp = None;
    metadata.deletion_timestamp = None;
    metadata.managed_fields.clear();
}

fn check(metadata: &ObjectMeta, report: &mut Report) {
    check_labels(metadata, report);
    check_annotations(metadata, report);
    check_finalizers(metadata, report);
    check_owners(metadata, report);
}

fn check_labels(metadata: &ObjectMeta, report: &mut Report) {
    if metadata.labels.len() > LABELS_MAX {
        let problem = format!("has {} labels, the limit is {LABELS_MAX}", metadata.labels.len());
        report.add("metadata.labels", problem, "labels are for selecting; keep the rest in annotations");
    }
    for (key, value) in &metadata.labels {
        report.check(format!("metadata.labels[{key:?}]"), labels::check_key(key).and(labels::check_value(value)));
    }
}

fn check_annotations(metadata: &ObjectMeta, report: &mut Report) {
    let bytes: usize = metadata.annotations.iter().map(|(key, value)| key.len() + value.len()).sum();
    if bytes > ANNOTATIONS_BYTES_MAX {
        let problem = format!("has {bytes} bytes, the limit is {ANNOTATIONS_BYTES_MAX}");
        report.add("metadata.annotations", problem, "keep larger things in an object of their own");
    }
    for key in metadata.annotations.keys() {
        report.check(format!("metadata.annotations[{key:?}]"), labels::check_key(key));
    }
}

fn check_finalizers(metadata: &ObjectMeta, report: &mut Report) {
    if metadata.finalizers.len() > FINALIZERS_MAX {
        let problem = format!("has {} entries, the limit is {FINALIZERS_MAX}", metadata.finalizers.len());
        report.add("metadata.finalizers", problem, "let one finalizer stand for several steps");
    }
    for (index, finalizer) in metadata.finalizers.iter().enumerate() {
        report.check(format!("metadata.finalizers[{index}]"), labels::check_key(finalizer));
        if metadata.finalizers[..index].contains(finalizer) {
            report.add(format!("metadata.finalizers[{index}]"), "is there twice", "");
        }
    }
}

fn check_owners(metadata: &ObjectMeta, report: &mut Report) {
    let owners = &metadata.owner_references;
    if owners.len() > OWNERS_MAX {
        let problem = format!("has {} entries, the limit is {OWNERS_MAX}", owners.len());
        report.add("metadata.ownerReferences", problem, "name the owners whose end must be its end, no others");
    }
    for (index, owner) in owners.iter().enumerate() {
        let field = |name: &str| format!("metadata.ownerReferences[{index}].{name}");
        report.check(field("kind"), owner.kind.parse::<boss_proto::kind::Kind>().map(|_| ()));
        for (name, text) in [("name", &owner.name), ("uid", &owner.uid)] {
            if text.is_empty() {
                report.add(field(name), "is empty", "");
            }
        }
    }
    if owners.iter().filter(|owner| owner.controller).count() > 1 {
        report.add("metadata.ownerReferences", "names more than one controller", "one owner can be the controller");
    }
}
