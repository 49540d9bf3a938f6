//! Who is bound to which role, and where. Knows of a role no more than its key.

use std::sync::Arc;

use arc_swap::ArcSwapOption;
use boss_proto::{key::Key, kind::Kind, raft::v1::Caller, v1};
use rpds::{HashTrieMapSync, RedBlackTreeMapSync};

use super::{Attributes, Held, roles::Roles, rules::Rule, service_account_username, table::Table};
use crate::{
    bugs::{self, Bug},
    state::record::Record,
};

/// A subject as bindings name it. A service account is the user of its name.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Who<'a> {
    User(&'a str),
    Group(&'a str),
}

impl<'a> Who<'a> {
    /// As whom bindings may know a caller.
    pub(super) fn all_of(caller: &'a Caller) -> impl Iterator<Item = Self> + 'a {
        std::iter::once(Self::User(&caller.username)).chain(caller.groups.iter().map(|group| Self::Group(group)))
    }
}

/// One role, given to one subject by one binding.
#[derive(Debug, Clone)]
pub(super) struct Grant {
    pub(super) role: Key,
    pub(super) reason: Arc<str>,
    binding: Key,
    subject: v1::Subject,
}

impl Grant {
    pub(super) fn held(&self, source: &Key, rule: &Rule) -> Held {
        Held {
            rule: rule.source().clone(),
            binding: self.binding.clone(),
            role: self.role.clone(),
            source: source.clone(),
            subject: self.subject.clone(),
        }
    }
}

/// What bindings of one namespace give one subject, by the bindings' names.
#[derive(Debug, Default)]
struct Place {
    grants: RedBlackTreeMapSync<String, Grant>,
    /// Made when it is first asked for, and again after a change of the roles.
    table: ArcSwapOption<Table>,
}

impl Place {
    fn allowing(&self, roles: &Roles, attributes: &Attributes<'_>) -> Option<Arc<str>> {
        let made = self.table.load();
        if let Some(table) = made.as_ref().filter(|table| table.is_of(roles)) {
            return table.allowing(attributes).cloned();
        }
        let table = Arc::new(Table::new(roles, self.grants.values()));
        self.table.store(Some(table.clone()));
        table.allowing(attributes).cloned()
    }

    fn changed(&self, change: impl FnOnce(&mut RedBlackTreeMapSync<String, Grant>)) -> Self {
        let mut grants = self.grants.clone();
        change(&mut grants);
        let old = self.table.load_full().filter(|_| bugs::on(Bug::StaleRights));
        Self { grants, table: ArcSwapOption::new(old) }
    }
}

/// By namespace; the empty one is everywhere.
type Places = RedBlackTreeMapSync<String, Arc<Place>>;

/// All bindings, by subject.
#[derive(Debug, Clone)]
pub(super) struct Grants {
    users: HashTrieMapSync<String, Places>,
    groups: HashTrieMapSync<String, Places>,
}

impl Default for Grants {
    fn default() -> Self {
        Self { users: HashTrieMapSync::new_sync(), groups: HashTrieMapSync::new_sync() }
    }
}

impl Grants {
    /// Why a subject may do something, by what it was given for everywhere or for the namespace in question.
    pub(super) fn allowing(&self, roles: &Roles, who: Who<'_>, attributes: &Attributes<'_>) -> Option<Arc<str>> {
        self.places(who, attributes.namespace).find_map(|place| place.allowing(roles, attributes))
    }

    /// What a subject was given for everywhere and for a namespace.
    pub(super) fn of<'a>(&'a self, who: Who<'_>, namespace: &str) -> impl Iterator<Item = &'a Grant> + use<'a> {
        let places: Vec<_> = self.places(who, namespace).collect();
        places.into_iter().flat_map(|place| place.grants.values())
    }

    fn places<'a>(&'a self, who: Who<'_>, namespace: &str) -> impl Iterator<Item = &'a Place> + use<'a> {
        let places = match who {
            Who::User(name) => self.users.get(name),
            Who::Group(name) => self.groups.get(name),
        };
        let within = if namespace.is_empty() { None } else { places.and_then(|places| places.get(namespace)) };
        let everywhere = places.and_then(|places| places.get(""));
        everywhere.into_iter().chain(within).map(|place| &**place)
    }

    pub(super) fn change(&mut self, before: Option<&Record>, now: Option<&Record>) {
        if let Some(record) = before {
            for (who, _) in &grants_of(record) {
                self.update(who, record, |grants| {
                    grants.remove_mut(&*record.key.name);
                });
            }
        }
        if let Some(record) = now {
            for (who, grant) in grants_of(record) {
                self.update(&who, record, |grants| grants.insert_mut(record.key.name.clone(), grant));
            }
        }
    }

    fn update(&mut self, who: &Subject, record: &Record, change: impl FnOnce(&mut RedBlackTreeMapSync<String, Grant>)) {
        let (subjects, name) = match who {
            Subject::User(name) => (&mut self.users, name),
            Subject::Group(name) => (&mut self.groups, name),
        };
        let namespace = &record.key.namespace;
        let mut places = subjects.get(name).cloned().unwrap_or_default();
        let place = places.get(namespace).cloned().unwrap_or_default().changed(change);
        if place.grants.is_empty() {
            places.remove_mut(namespace);
        } else {
            places.insert_mut(namespace.clone(), Arc::new(place));
        }
        if places.is_empty() {
            subjects.remove_mut(name);
        } else {
            subjects.insert_mut(name.clone(), places);
        }
    }
}

enum Subject {
    User(String),
    Group(String),
}

impl Subject {
    fn of(subject: &v1::Subject, binding_namespace: &str) -> Option<Self> {
        match subject.kind.as_str() {
            "User" => Some(Self::User(subject.name.clone())),
            "Group" => Some(Self::Group(subject.name.clone())),
            "ServiceAccount" => {
                let own = subject.namespace.as_str();
                let namespace = if own.is_empty() { binding_namespace } else { own };
                Some(Self::User(service_account_username(namespace, &subject.name)))
            }
            _ => None,
        }
    }
}

/// What a binding gives to whom; nothing when the object is none.
fn grants_of(record: &Record) -> Vec<(Subject, Grant)> {
    let (role_ref, subjects) = match &record.object.body {
        Some(v1::object::Body::RoleBinding(binding)) => (&binding.role_ref, &binding.subjects),
        Some(v1::object::Body::ClusterRoleBinding(binding)) => (&binding.role_ref, &binding.subjects),
        _ => return Vec::new(),
    };
    let Some(role_ref) = role_ref else { return Vec::new() };
    let namespace = &record.key.namespace;
    let role = match role_ref.kind.as_str() {
        "ClusterRole" => Key::cluster(Kind::ClusterRole, &*role_ref.name),
        "Role" if !namespace.is_empty() => Key::new(Kind::Role, &**namespace, &*role_ref.name),
        _ => return Vec::new(),
    };
    let reason: Arc<str> =
        format!("{} {} gives {} {}", record.kind(), record.key.name, role_ref.kind, role_ref.name).into();
    let grant = |subject: &v1::Subject| Grant {
        role: role.clone(),
        reason: reason.clone(),
        binding: record.key.clone(),
        subject: subject.clone(),
    };
    subjects.iter().filter_map(|subject| Some((Subject::of(subject, namespace)?, grant(subject)))).collect()
}
