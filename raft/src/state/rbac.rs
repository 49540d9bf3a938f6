//! Who may do what: the evaluator that admission and apply share. Default deny. Kept incrementally: a change of one
//! role or binding costs a few tree operations, and what a subject may do is looked up in a table that is made when it
//! is first asked for. Knows no transport and no token.

mod grants;
mod roles;
mod rules;
mod table;

use std::sync::Arc;

use boss_proto::{
    key::Key,
    kind::Kind,
    raft::v1::{Caller, Operation, operation::Action},
    v1,
};

use self::{
    grants::{Grants, Who},
    roles::Roles,
};
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

/// One rule that somebody has, and from where.
#[derive(Debug, Clone, PartialEq)]
pub struct Held {
    /// What it allows.
    pub rule: Arc<v1::PolicyRule>,
    /// What gives it.
    pub binding: Key,
    /// The role that the binding names.
    pub role: Key,
    /// The role that has the rule: the same, or one that it aggregates.
    pub source: Key,
    /// As which the binding knows the caller.
    pub subject: v1::Subject,
}

/// The username under which a service account acts.
#[must_use]
pub fn service_account_username(namespace: &str, name: &str) -> String {
    format!("system:serviceaccount:{namespace}:{name}")
}

/// Namespace and name of the service account that acts under a username.
#[must_use]
pub fn service_account_of(username: &str) -> Option<(&str, &str)> {
    username.strip_prefix("system:serviceaccount:")?.split_once(':')
}

/// Roles and bindings, ready to be asked. Cloning costs nothing; a clone never changes.
#[derive(Debug, Clone)]
pub struct Rules {
    roles: Roles,
    grants: Grants,
    compiled_in: Arc<str>,
}

impl Default for Rules {
    fn default() -> Self {
        Self {
            roles: Roles::default(),
            grants: Grants::default(),
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
        if is_server(caller) {
            return Decision { allowed: true, reason: self.compiled_in.clone() };
        }
        for who in Who::all_of(caller) {
            if let Some(reason) = self.grants.allowing(&self.roles, who, attributes) {
                return Decision { allowed: true, reason };
            }
        }
        Decision { allowed: false, reason: missing(caller, attributes).into() }
    }

    /// Every rule that counts for the caller in a namespace; in an empty one, those that count everywhere. What is
    /// compiled in for servers is not among them.
    pub fn held<'a>(&'a self, caller: &'a Caller, namespace: &'a str) -> impl Iterator<Item = Held> + 'a {
        Who::all_of(caller)
            .flat_map(move |who| self.grants.of(who, namespace))
            .flat_map(|grant| self.roles.rules_of(&grant.role).map(move |(source, rule)| grant.held(source, rule)))
    }

    /// Every rule by which the caller may do something.
    pub fn held_for<'a>(
        &'a self,
        caller: &'a Caller,
        attributes: &'a Attributes<'a>,
    ) -> impl Iterator<Item = Held> + 'a {
        Who::all_of(caller).flat_map(move |who| self.grants.of(who, attributes.namespace)).flat_map(move |grant| {
            let rules = self.roles.rules_of(&grant.role).filter(|(_, rule)| rule.allows(attributes));
            rules.map(move |(source, rule)| grant.held(source, rule))
        })
    }

    /// The roles that allow something to whom they are bound.
    pub fn roles_for<'a>(&'a self, attributes: &'a Attributes<'a>) -> impl Iterator<Item = &'a Key> + 'a {
        self.roles
            .within(attributes.namespace)
            .filter(|key| self.roles.rules_of(key).any(|(_, rule)| rule.allows(attributes)))
    }

    /// Every rule that a role gives, those that it aggregates with its own.
    pub fn rules_of<'a>(&'a self, role: &'a Key) -> impl Iterator<Item = &'a v1::PolicyRule> + 'a {
        self.roles.rules_of(role).map(|(_, rule)| &**rule.source())
    }

    /// Every rule that a cluster role would take in if it aggregated by these selectors.
    pub fn aggregated<'a>(
        &'a self,
        role: &'a Key,
        aggregation: &v1::AggregationRule,
    ) -> impl Iterator<Item = &'a v1::PolicyRule> + 'a {
        self.roles.aggregated(role, roles::selectors(aggregation)).map(|(_, rule)| &**rule.source())
    }

    /// Takes the change of one object in; other kinds change nothing.
    pub(super) fn change(&mut self, before: Option<&Record>, now: Option<&Record>) {
        self.roles.change(before, now);
        self.grants.change(before, now);
    }
}

fn is_server(caller: &Caller) -> bool {
    caller.groups.iter().any(|group| group == SERVERS_GROUP)
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
