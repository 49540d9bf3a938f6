//! Which lists are merged item by item, in one table. Every other list is a value of its own: who changes one item
//! changes all of it.

use serde_json::Value;

/// How the items of a list are told apart.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum List {
    /// The list is one value.
    Atomic,
    /// Each item is an object, named by this field.
    Keyed(&'static str),
    /// Each item is its own name.
    Set,
}

/// By the name of the field that holds the list: the same name means the same everywhere.
const LISTS: [(&str, List); 8] = [
    ("containers", List::Keyed("name")),
    ("initContainers", List::Keyed("name")),
    ("env", List::Keyed("name")),
    ("volumes", List::Keyed("name")),
    ("rlimits", List::Keyed("type")),
    ("conditions", List::Keyed("type")),
    ("ownerReferences", List::Keyed("uid")),
    ("finalizers", List::Set),
];

/// How the list in `field` is merged. A list in which an item has no name, or two have the same, is one value.
pub(super) fn kind_of(field: &str, items: &[Value]) -> List {
    let kind = LISTS.iter().find(|(name, _)| *name == field).map_or(List::Atomic, |(_, kind)| *kind);
    let mut names: Vec<&str> = items.iter().filter_map(|item| name_of(kind, item)).collect();
    names.sort_unstable();
    names.dedup();
    if names.len() == items.len() { kind } else { List::Atomic }
}

/// The field that names the items of the list in `field`, if one does.
pub(super) fn key_of(field: &str) -> Option<&'static str> {
    LISTS.iter().find_map(|(name, kind)| match kind {
        List::Keyed(key) if *name == field => Some(*key),
        _ => None,
    })
}

/// The name of an item in such a list.
pub(super) fn name_of(kind: List, item: &Value) -> Option<&str> {
    match kind {
        List::Atomic => None,
        List::Keyed(field) => item.get(field).and_then(Value::as_str).filter(|name| !name.is_empty()),
        List::Set => item.as_str(),
    }
}

/// How two versions of one list are merged: item by item only if both can be.
pub(super) fn shared_kind(field: &str, one: &[Value], other: &[Value]) -> List {
    match (kind_of(field, one), kind_of(field, other)) {
        (one, other) if one == other => one,
        _ => List::Atomic,
    }
}
