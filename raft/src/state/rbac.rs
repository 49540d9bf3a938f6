//! Who may do what: the evaluator that admission and apply share. Default deny. Kept incrementally: a change of one
//! role or binding costs a few tree operations. Knows no transport and no token.

mod rules;

use std::sync::Arc;

use boss_proto::{
    key::Key,
    kind::Kind,
    raft::v1::{Caller, Operation, operation::Action},
    v1,
};
use rpds::{HashTrieMapSync, RedBlackTreeMapSync};

use self::rules::Rule;
use super::record::Record;

/// The servers themselves and the leader's own loops. The only compiled-in right: without it nothing could create
/// the first role.
pub const SERVERS_GROUP: &str = "system:servers";

/// What somebody wants to do.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct Attributes<'a> {
    /// get, list, watch, create, update, patch, delete, bind, ...
    pub verb: &'a str,
    /// Plural kind; empty for a path.
    pub resource: &'a str,
    /// status, log, ...; empty for the object itself.
    pub subresource: &'a str,
    /// Empty for cluster-scoped kinds and for all namespaces at once.
    pub namespace: &'a str,
    /// Empty for lists and watches.
    pub name: &'a str,
    /// HTTP path outside the registry; empty for resources.
    pub path: &'a str,
}

impl<'a> Attributes<'a> {
    /// Something with one object.
    #[must_use]
    pub fn on(verb: &'a str, key: &'a Key) -> Self {
        Self { verb, resource: key.kind.plural(), namespace: &key.namespace, name: &key.name, ..Self::default() }
    }

    /// Something with all objects of a kind, in one namespace, or everywhere when it is empty.
    #[must_use]
    pub fn over(verb: &'a str, kind: Kind, namespace: &'a str) -> Self {
        Self { verb, resource: kind.plural(), namespace, ..Self::default() }
    }

    /// Something with a part of the object.
    #[must_use]
    pub fn part(self, subresource: &'a str) -> Self {
        Self { subresource, ..self }
    }

    /// A path outside the registry.
    #[must_use]
    pub fn path(verb: &'a str, path: &'a str) -> Self {
        Self { verb, path, ..Self::default() }
    }

    /// What an operation on `key` needs; `None` when it has no action.
    #[must_use]
    pub fn of(operation: &Operation, key: &'a Key) -> Option<Self> {
        let verb = if operation.patch { "patch" } else { "update" };
        Some(match operation.action.as_ref()? {
            Action::Create(_) => Self::on("create", key),
            Action::Update(_) => Self::on(verb, key),
            Action::UpdateStatus(_) => Self::on(verb, key).part("status"),
            Action::Delete(_) => Self::on("delete", key),
            Action::Bind(_) => Self::on("bind", key),
            Action::Compact(_) => Self::on("update", key),
            Action::Read(_) => Self::on("get", key),
            // Nothing by itself: each operation inside is asked for.
            Action::Txn(_) => return None,
        })
    }
}

/// Whether it is allowed, and by what.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Decision {
    /// Whether it is allowed.
    pub allowed: bool,
    /// The binding that allows it, or what is missing.
    pub reason: Arc<str>,
}

/// A subject as bindings name it. A service account is the user of its name.
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

/// The username under which a service account acts.
#[must_use]
pub fn service_account_username(namespace: &str, name: &str) -> String {
    format!("system:serviceaccount:{namespace}:{name}")
}

/// What one binding gives.
#[derive(Debug, Clone)]
struct Grant {
    role: Key,
    reason: Arc<str>,
}

/// What bindings of one namespace give to one subject, by their names.
type Grants = RedBlackTreeMapSync<String, Grant>;
/// By the name of the subject, then by namespace (empty: everywhere): asking takes neither copies nor a walk.
type BySubject = HashTrieMapSync<String, HashTrieMapSync<String, Grants>>;

/// Roles and bindings, ready to be asked. Cloning costs nothing; a clone never changes.
#[derive(Debug, Clone)]
pub struct Rules {
    roles: HashTrieMapSync<Key, Arc<[Rule]>>,
    users: BySubject,
    groups: BySubject,
    compiled_in: Arc<str>,
}

impl Default for Rules {
    fn default() -> Self {
        Self {
            roles: HashTrieMapSync::new_sync(),
            users: HashTrieMapSync::new_sync(),
            groups: HashTrieMapSync::new_sync(),
            compiled_in: Arc::from(format!("group {SERVERS_GROUP} may do everything (compiled in)")),
        }
    }
}

/// Whether objects of this kind say who may do what.
#[must_use]
pub fn is_rbac(kind: Kind) -> bool {
    matches!(kind, Kind::Role | Kind::ClusterRole | Kind::RoleBinding | Kind::ClusterRoleBinding)
}

impl Rules {
    /// Decides; the default is no.
    #[must_use]
    pub fn authorize(&self, caller: &Caller, attributes: &Attributes<'_>) -> Decision {
        if caller.groups.iter().any(|group| group == SERVERS_GROUP) {
            return Decision { allowed: true, reason: self.compiled_in.clone() };
        }
        let user = self.users.get(&caller.username);
        let groups = caller.groups.iter().filter_map(|group| self.groups.get(group));
        for of_subject in user.into_iter().chain(groups) {
            let everywhere = of_subject.get("");
            let here = of_subject.get(attributes.namespace).filter(|_| !attributes.namespace.is_empty());
            for grants in everywhere.into_iter().chain(here) {
                if let Some(grant) = grants.values().find(|grant| self.role_allows(&grant.role, attributes)) {
                    return Decision { allowed: true, reason: grant.reason.clone() };
                }
            }
        }
        Decision { allowed: false, reason: missing(caller, attributes).into() }
    }

    fn role_allows(&self, role: &Key, attributes: &Attributes<'_>) -> bool {
        self.roles.get(role).is_some_and(|rules| rules.iter().any(|rule| rule.allows(attributes)))
    }

    /// Takes the change of one object in; other kinds change nothing.
    pub(super) fn change(&mut self, before: Option<&Record>, now: Option<&Record>) {
        if let Some(record) = before {
            for (subject, _) in grants_of(record) {
                self.of(subject, &record.key.namespace, |grants| {
                    grants.remove_mut(&record.key.name);
                });
            }
            self.roles.remove_mut(&record.key);
        }
        let Some(record) = now else { return };
        for (subject, grant) in grants_of(record) {
            self.of(subject, &record.key.namespace, |grants| {
                grants.insert_mut(record.key.name.clone(), grant);
            });
        }
        if let Some(rules) = rules_of(record) {
            self.roles.insert_mut(record.key.clone(), rules);
        }
    }
}

impl Rules {
    /// Changes what bindings of one namespace give to the subject; nothing stays of a subject without any.
    fn of(&mut self, subject: Subject, namespace: &str, change: impl FnOnce(&mut Grants)) {
        let (all, name) = match subject {
            Subject::User(name) => (&mut self.users, name),
            Subject::Group(name) => (&mut self.groups, name),
        };
        let mut of_subject = all.get(&name).cloned().unwrap_or_else(HashTrieMapSync::new_sync);
        let mut grants = of_subject.get(namespace).cloned().unwrap_or_else(RedBlackTreeMapSync::new_sync);
        change(&mut grants);
        if grants.is_empty() {
            of_subject.remove_mut(namespace);
        } else {
            of_subject.insert_mut(namespace.to_owned(), grants);
        }
        if of_subject.is_empty() {
            all.remove_mut(&name);
        } else {
            all.insert_mut(name, of_subject);
        }
    }
}

fn rules_of(record: &Record) -> Option<Arc<[Rule]>> {
    match record.object.body.as_ref()? {
        v1::object::Body::Role(role) => Some(role.rules.iter().map(Rule::namespaced).collect()),
        v1::object::Body::ClusterRole(role) => Some(role.rules.iter().map(Rule::new).collect()),
        _ => None,
    }
}

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
    subjects
        .iter()
        .filter_map(|subject| Subject::of(subject, namespace))
        .map(|subject| (subject, Grant { role: role.clone(), reason: reason.clone() }))
        .collect()
}

fn missing(caller: &Caller, attributes: &Attributes<'_>) -> String {
    let Attributes { verb, resource, subresource, namespace, name, path } = attributes;
    let what = match (path.is_empty(), subresource.is_empty()) {
        (false, _) => (*path).to_owned(),
        (true, true) => (*resource).to_owned(),
        (true, false) => format!("{resource}/{subresource}"),
    };
    let name = if name.is_empty() { String::new() } else { format!(" {name:?}") };
    let place = match (path.is_empty(), namespace.is_empty()) {
        (true, false) => format!(" in namespace {namespace:?}"),
        _ => String::new(),
    };
    format!("user {:?} may not {verb} {what}{name}{place}: no binding gives a role that allows it", caller.username)
}

#[cfg(test)]
mod tests;
