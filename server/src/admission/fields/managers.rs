//! Who owns which fields of one object, and what an apply or another write makes of it.

use boss_proto::{API_VERSION, limits::FIELD_MANAGERS_MAX, v1::ManagedFields};
use pbjson_types::Timestamp;
use serde_json::Value;

use super::{Conflict, merge, ownable, path, path::Path, set::FieldSet};

/// How a manager writes.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Operation {
    /// With manifests: what a later one leaves out goes.
    Apply,
    /// In any other way.
    Update,
}

impl Operation {
    fn as_str(self) -> &'static str {
        match self {
            Self::Apply => "Apply",
            Self::Update => "Update",
        }
    }
}

#[derive(Debug, Clone, PartialEq)]
struct Manager {
    name: String,
    operation: Operation,
    time: Option<Timestamp>,
    fields: FieldSet,
}

/// The managers of one object.
#[derive(Debug, Clone, Default, PartialEq)]
pub(crate) struct Managers(Vec<Manager>);

impl Managers {
    /// What the object remembers. What cannot be read owns nothing.
    #[must_use]
    pub(crate) fn read(stored: &[ManagedFields]) -> Self {
        let manager = |entry: &ManagedFields| {
            let operation = if entry.operation == "Apply" { Operation::Apply } else { Operation::Update };
            let fields = FieldSet::from_text(&entry.fields)?;
            Some(Manager { name: entry.manager.clone(), operation, time: entry.time, fields })
        };
        Self(stored.iter().filter_map(manager).collect())
    }

    /// What the object is to remember.
    #[must_use]
    pub(crate) fn write(mut self) -> Vec<ManagedFields> {
        self.0.retain(|manager| !manager.fields.is_empty());
        // Somebody who writes under ever new names must not fill the object: the oldest of the others forget first.
        while self.0.len() > FIELD_MANAGERS_MAX {
            let oldest = self.0.iter().position(|manager| manager.operation == Operation::Update).unwrap_or(0);
            self.0.remove(oldest);
        }
        let entry = |manager: Manager| ManagedFields {
            manager: manager.name,
            operation: manager.operation.as_str().to_owned(),
            api_version: API_VERSION.to_owned(),
            time: manager.time,
            fields: manager.fields.to_text(),
        };
        self.0.into_iter().map(entry).collect()
    }

    /// Lays `wanted` over `live` for a manager: the object as it is to be, without what only this manager's last
    /// manifest spoke of. Fields of others that would change are conflicts; `force` takes them over.
    pub(crate) fn apply(
        &mut self,
        name: &str,
        live: &Value,
        wanted: &Value,
        force: bool,
        now: Timestamp,
    ) -> Result<Value, Vec<Conflict>> {
        let fields = FieldSet::of(&ownable(wanted));
        let lost = self.conflicts(name, live, wanted, &fields);
        if !lost.is_empty() && !force {
            let conflict =
                |(manager, path): &(String, Path)| Conflict { manager: manager.clone(), field: path::display(path) };
            return Err(lost.iter().map(conflict).collect());
        }
        for (_, path) in &lost {
            self.take_from_others(name, Operation::Apply, path);
        }
        let before = self.set(name, Operation::Apply, fields, now);
        let mut merged = merge::overlay(live, wanted);
        self.remove_dropped(name, &before, &mut merged);
        Ok(merged)
    }

    fn conflicts(&self, name: &str, live: &Value, wanted: &Value, fields: &FieldSet) -> Vec<(String, Path)> {
        let mut found = Vec::new();
        for path in fields.paths() {
            let wanted = path::find(wanted, &path);
            // An item that is there is no conflict; what differs inside it is one of its own.
            let differs = wanted.is_some_and(|wanted| !wanted.is_object()) && wanted != path::find(live, &path);
            let others = self.0.iter().filter(|other| other.name != name && other.fields.contains(&path));
            if differs {
                found.extend(others.map(|other| (other.name.clone(), path.clone())));
            }
        }
        found
    }

    /// What the manager owned before and nobody owns any more goes from the object. Items go whole, before what is in
    /// them; an item that stays keeps its name, whoever owns that.
    fn remove_dropped(&self, name: &str, before: &FieldSet, merged: &mut Value) {
        for path in before.paths().into_iter().filter(|path| !path::names_item(path)) {
            let still = self.0.iter().any(|other| other.fields.reaches_into(&path));
            let mine = self.0.iter().find(|manager| manager.name == name && manager.operation == Operation::Apply);
            if !still && !mine.is_some_and(|mine| mine.fields.reaches_into(&path)) {
                path::remove(merged, &path);
            }
        }
    }

    /// Takes note of a write that is no apply: its manager owns what it changed.
    pub(crate) fn changed(&mut self, name: &str, before: &Value, after: &Value, now: Timestamp) {
        let (before, after) = (ownable(before), ownable(after));
        let mut own = self.of(name, Operation::Update);
        let mut any = false;
        for path in FieldSet::of(&after).paths() {
            let (was, is) = (path::find(&before, &path), path::find(&after, &path));
            let differs = was.is_none() || (is.is_some_and(|is| !is.is_object()) && was != is);
            if differs {
                any = true;
                self.take_from_others(name, Operation::Update, &path);
                own.insert(&path);
            }
        }
        for path in FieldSet::of(&before).paths() {
            if path::find(&after, &path).is_none() {
                any = true;
                self.0.iter_mut().for_each(|manager| manager.fields.remove(&path));
                own.remove(&path);
            }
        }
        if any {
            self.set(name, Operation::Update, own, now);
        }
    }

    fn take_from_others(&mut self, name: &str, operation: Operation, path: &[path::Element]) {
        let others = self.0.iter_mut().filter(|other| other.name != name || other.operation != operation);
        others.filter(|other| other.fields.contains(path)).for_each(|other| other.fields.remove(path));
    }

    fn of(&self, name: &str, operation: Operation) -> FieldSet {
        let found = self.0.iter().find(|manager| manager.name == name && manager.operation == operation);
        found.map(|manager| manager.fields.clone()).unwrap_or_default()
    }

    /// Gives a manager this set; the one before. The time moves only when the set does, so that applying the same
    /// manifest again changes nothing.
    fn set(&mut self, name: &str, operation: Operation, fields: FieldSet, now: Timestamp) -> FieldSet {
        let time = Some(now);
        match self.0.iter_mut().find(|manager| manager.name == name && manager.operation == operation) {
            Some(manager) if manager.fields == fields => fields,
            Some(manager) => {
                manager.time = time;
                std::mem::replace(&mut manager.fields, fields)
            }
            None => {
                self.0.push(Manager { name: name.to_owned(), operation, time, fields });
                FieldSet::default()
            }
        }
    }
}
