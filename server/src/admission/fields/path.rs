//! Steps from an object to one of its fields, and what stands there.

use std::fmt::Write;

use serde_json::Value;

use super::lists;

/// One step.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) enum Element {
    /// Into a field, or to a key of a map.
    Field(String),
    /// To the item of this name in a list.
    Item(String),
}

/// From the object's root.
pub(super) type Path = Vec<Element>;

/// As people write it: `spec.containers[main].image`.
pub(super) fn display(path: &[Element]) -> String {
    let mut text = String::new();
    for element in path {
        let written = match element {
            Element::Field(name) if is_plain(name) && text.is_empty() => write!(text, "{name}"),
            Element::Field(name) if is_plain(name) => write!(text, ".{name}"),
            Element::Field(name) => write!(text, "[{name:?}]"),
            Element::Item(name) => write!(text, "[{name}]"),
        };
        written.expect("writing to a string never fails");
    }
    text
}

fn is_plain(name: &str) -> bool {
    !name.is_empty() && name.chars().all(|c| c.is_ascii_alphanumeric() || c == '_')
}

/// What stands at a path, if anything.
pub(super) fn find<'v>(value: &'v Value, path: &[Element]) -> Option<&'v Value> {
    let Some((step, rest)) = path.split_first() else { return Some(value) };
    let Element::Field(name) = step else { return None };
    let inner = value.get(name)?;
    match (rest.split_first(), inner) {
        (Some((Element::Item(item), rest)), Value::Array(items)) => {
            let kind = lists::kind_of(name, items);
            find(items.iter().find(|other| lists::name_of(kind, other) == Some(&**item))?, rest)
        }
        _ => find(inner, rest),
    }
}

/// Whether the field is the one that tells its item from the others of a list.
pub(super) fn names_item(path: &[Element]) -> bool {
    match path {
        [.., Element::Field(list), Element::Item(_), Element::Field(field)] => lists::key_of(list) == Some(&**field),
        _ => false,
    }
}

/// Takes what stands at a path away, and the messages that are empty without it.
pub(super) fn remove(value: &mut Value, path: &[Element]) {
    let Some((Element::Field(name), rest)) = path.split_first() else { return };
    let Value::Object(fields) = value else { return };
    let Some(inner) = fields.get_mut(name) else { return };
    match rest.split_first() {
        None => {
            fields.remove(name);
            return;
        }
        Some((Element::Item(item), rest)) => remove_in_list(name, inner, item, rest),
        Some(_) => remove(inner, rest),
    }
    let empty = inner.as_object().is_some_and(serde_json::Map::is_empty) || inner.as_array().is_some_and(Vec::is_empty);
    if empty {
        fields.remove(name);
    }
}

fn remove_in_list(field: &str, list: &mut Value, item: &str, rest: &[Element]) {
    let Value::Array(items) = list else { return };
    let kind = lists::kind_of(field, items);
    let Some(index) = items.iter().position(|other| lists::name_of(kind, other) == Some(item)) else { return };
    if rest.is_empty() {
        items.remove(index);
    } else {
        remove(&mut items[index], rest);
    }
}
