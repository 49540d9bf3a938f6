//! A set of fields as a tree, and its compact text: `metadata{labels{app}},spec{containers{[main]{.,image}}}`.

use std::{collections::BTreeMap, iter::Peekable, str::Chars};

use serde_json::Value;

use super::{
    lists::{self, List},
    path::{Element, Path},
};

/// Deeper than any object: what a manifest can nest is bounded where it is read.
const DEPTH_MAX: usize = 64;

/// A set of fields.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub(crate) struct FieldSet {
    /// The field itself is in the set.
    own: bool,
    children: BTreeMap<Element, FieldSet>,
}

impl FieldSet {
    /// Every field that a value speaks of: its leaves, and the items of its lists.
    #[must_use]
    pub(crate) fn of(value: &Value) -> Self {
        let mut set = Self::default();
        if let Value::Object(fields) = value {
            for (name, value) in fields {
                set.children.insert(Element::Field(name.clone()), Self::of_field(name, value));
            }
        }
        set
    }

    fn of_field(name: &str, value: &Value) -> Self {
        let leaf = Self { own: true, children: BTreeMap::new() };
        match value {
            Value::Object(fields) if !fields.is_empty() => Self::of(value),
            Value::Array(items) if !items.is_empty() => match lists::kind_of(name, items) {
                List::Atomic => leaf,
                kind => {
                    let named = items.iter().filter_map(|item| Some((lists::name_of(kind, item)?, item)));
                    let children = named.map(|(name, item)| {
                        let inside = if kind == List::Set { Self::default() } else { Self::of(item) };
                        (Element::Item(name.to_owned()), Self { own: true, ..inside })
                    });
                    Self { own: false, children: children.collect() }
                }
            },
            _ => leaf,
        }
    }

    /// Whether nothing is in it.
    #[must_use]
    pub(crate) fn is_empty(&self) -> bool {
        !self.own && self.children.values().all(Self::is_empty)
    }

    /// Whether it holds this very field.
    #[must_use]
    pub(super) fn contains(&self, path: &[Element]) -> bool {
        match path.split_first() {
            None => self.own,
            Some((step, rest)) => self.children.get(step).is_some_and(|child| child.contains(rest)),
        }
    }

    /// Whether it holds the field or anything inside it.
    #[must_use]
    pub(super) fn reaches_into(&self, path: &[Element]) -> bool {
        match path.split_first() {
            None => !self.is_empty(),
            Some((step, rest)) => self.children.get(step).is_some_and(|child| child.reaches_into(rest)),
        }
    }

    /// Every field in it, parents before what is inside them.
    #[must_use]
    pub(super) fn paths(&self) -> Vec<Path> {
        let (mut found, mut here) = (Vec::new(), Vec::new());
        self.collect(&mut here, &mut found);
        found
    }

    fn collect(&self, here: &mut Path, found: &mut Vec<Path>) {
        if self.own {
            found.push(here.clone());
        }
        for (step, child) in &self.children {
            here.push(step.clone());
            child.collect(here, found);
            here.pop();
        }
    }

    pub(super) fn insert(&mut self, path: &[Element]) {
        match path.split_first() {
            None => self.own = true,
            Some((step, rest)) => self.children.entry(step.clone()).or_default().insert(rest),
        }
    }

    /// Takes the field and everything inside it away.
    pub(super) fn remove(&mut self, path: &[Element]) {
        let Some((step, rest)) = path.split_first() else {
            *self = Self::default();
            return;
        };
        if let Some(child) = self.children.get_mut(step) {
            child.remove(rest);
            if child.is_empty() {
                self.children.remove(step);
            }
        }
    }

    /// The compact text.
    #[must_use]
    pub(crate) fn to_text(&self) -> String {
        let mut text = String::new();
        self.write(&mut text);
        text
    }

    fn write(&self, text: &mut String) {
        let mut first = true;
        for (step, child) in self.children.iter().filter(|(_, child)| !child.is_empty()) {
            if !std::mem::take(&mut first) {
                text.push(',');
            }
            match step {
                Element::Field(name) => write_name(name, text),
                Element::Item(name) => {
                    text.push('[');
                    write_name(name, text);
                    text.push(']');
                }
            }
            if child.children.values().all(Self::is_empty) {
                continue;
            }
            text.push('{');
            if child.own {
                text.push_str(".,");
            }
            child.write(text);
            text.push('}');
        }
    }

    /// Reads what [`FieldSet::to_text`] wrote; `None` for anything else.
    #[must_use]
    pub(crate) fn from_text(text: &str) -> Option<Self> {
        if text.is_empty() {
            return Some(Self::default());
        }
        let mut rest = text.chars().peekable();
        let set = read(&mut rest, 0)?;
        rest.next().is_none().then_some(set)
    }
}

fn is_plain(c: char) -> bool {
    c.is_ascii_alphanumeric() || matches!(c, '-' | '_' | '/' | '.')
}

/// A lone dot means "itself", so that it is quoted as a name.
fn write_name(name: &str, text: &mut String) {
    if !name.is_empty() && name != "." && name.chars().all(is_plain) {
        text.push_str(name);
    } else {
        text.push_str(&Value::from(name).to_string());
    }
}

fn read(rest: &mut Peekable<Chars<'_>>, depth: usize) -> Option<FieldSet> {
    let mut set = FieldSet::default();
    if depth > DEPTH_MAX {
        return None;
    }
    loop {
        let step = if rest.next_if_eq(&'[').is_some() {
            let name = read_name(rest)?;
            rest.next_if_eq(&']')?;
            Some(Element::Item(name))
        } else {
            let quoted = rest.peek() == Some(&'"');
            Some(read_name(rest)?).filter(|name| quoted || name != ".").map(Element::Field)
        };
        match step {
            // The whole object is no field.
            None if depth == 0 => return None,
            None => set.own = true,
            Some(step) => {
                let child = if rest.next_if_eq(&'{').is_some() {
                    let child = read(rest, depth + 1)?;
                    rest.next_if_eq(&'}')?;
                    child
                } else {
                    FieldSet { own: true, children: BTreeMap::new() }
                };
                set.children.insert(step, child);
            }
        }
        if rest.next_if_eq(&',').is_none() {
            return Some(set);
        }
    }
}

fn read_name(rest: &mut Peekable<Chars<'_>>) -> Option<String> {
    if rest.peek() != Some(&'"') {
        let mut name = String::new();
        while let Some(c) = rest.next_if(|c| is_plain(*c)) {
            name.push(c);
        }
        return (!name.is_empty()).then_some(name);
    }
    let mut quoted = String::from(rest.next()?);
    loop {
        let c = rest.next()?;
        quoted.push(c);
        match c {
            '\\' => quoted.push(rest.next()?),
            '"' => return serde_json::from_str(&quoted).ok(),
            _ => {}
        }
    }
}
