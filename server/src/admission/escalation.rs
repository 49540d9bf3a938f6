//! Nobody gives what they do not have: roles and bindings are checked against the rights of who writes them, and so is
//! what a pod's sandbox is given of secrets and config maps.

use boss_proto::{
    key::Key,
    kind::Kind,
    references,
    v1::{Object, PolicyRule, RoleRef, object::Body},
};
use boss_raft::state::{View, rbac::Attributes};

use super::Refusal;
use crate::auth::Identity;

/// Refuses a role with rights, or a binding of a role with rights, that the caller lacks. `escalate` and `bind`
/// lift the check. Refuses a pod that would be given what the caller may not read.
pub(super) fn check(view: &View, identity: &Identity, old: Option<&Object>, object: &Object) -> Result<(), Refusal> {
    let Some(key) = object.key() else { return Ok(()) };
    let giving = Giving { view, identity, namespace: &key.namespace };
    match &object.body {
        Some(Body::Pod(_)) => giving.pod(old, object),
        Some(Body::Role(role)) => giving.role(&key, role.rules.iter()),
        Some(Body::ClusterRole(role)) => {
            let selected = role.aggregation_rule.iter().flat_map(|by| view.rules().aggregated(&key, by));
            giving.role(&key, role.rules.iter().chain(selected))
        }
        Some(Body::RoleBinding(binding)) => giving.binding(binding.role_ref.as_ref()),
        Some(Body::ClusterRoleBinding(binding)) => giving.binding(binding.role_ref.as_ref()),
        _ => Ok(()),
    }
}

struct Giving<'a> {
    view: &'a View,
    identity: &'a Identity,
    /// Where the rights will count; empty is everywhere.
    namespace: &'a str,
}

impl Giving<'_> {
    fn role<'r>(&self, key: &Key, rules: impl Iterator<Item = &'r PolicyRule>) -> Result<(), Refusal> {
        if self.may(&Attributes::on("escalate", key)) {
            return Ok(());
        }
        self.holds_all(rules, "the role")
    }

    /// A sandbox can show what it was given to whoever says what it runs.
    fn pod(&self, old: Option<&Object>, object: &Object) -> Result<(), Refusal> {
        for given in references::newly_given(old, object) {
            let decision = self.view.authorize(&self.identity.caller(), &Attributes::on("get", &given));
            if !decision.allowed {
                let reason = format!("the pod is given {given}: {}", decision.reason);
                return Err(Refusal::Forbidden { reason });
            }
        }
        Ok(())
    }

    fn binding(&self, role: Option<&RoleRef>) -> Result<(), Refusal> {
        let Some(key) = role.and_then(|role| self.role_key(role)) else { return Ok(()) };
        if self.may(&Attributes { namespace: self.namespace, ..Attributes::on("bind", &key) }) {
            return Ok(());
        }
        if self.view.get(&key).is_none() {
            let reason = format!("{key} does not exist, so nobody without the right to bind it can give it");
            return Err(Refusal::Forbidden { reason });
        }
        self.holds_all(self.view.rules().rules_of(&key), "the binding")
    }

    /// `None` for what validation has refused already.
    fn role_key(&self, role: &RoleRef) -> Option<Key> {
        match role.kind.as_str() {
            "ClusterRole" => Some(Key::cluster(Kind::ClusterRole, &*role.name)),
            "Role" => Some(Key::new(Kind::Role, self.namespace, &*role.name)),
            _ => None,
        }
    }

    fn holds_all<'r>(&self, rules: impl Iterator<Item = &'r PolicyRule>, giver: &str) -> Result<(), Refusal> {
        for attributes in rules.flat_map(|rule| rights_of(rule, self.namespace)) {
            if !self.may(&attributes) {
                return Err(Refusal::Forbidden {
                    reason: format!("{giver} gives {}, which you do not have", name(&attributes)),
                });
            }
        }
        Ok(())
    }

    fn may(&self, attributes: &Attributes<'_>) -> bool {
        self.view.authorize(&self.identity.caller(), attributes).allowed
    }
}

/// Each right of a rule. A `*` is asked for literally: only a `*` gives it.
fn rights_of<'a>(rule: &'a PolicyRule, namespace: &'a str) -> Vec<Attributes<'a>> {
    let mut rights = Vec::new();
    for verb in &rule.verbs {
        for resource in &rule.resources {
            let (resource, subresource) = resource.split_once('/').unwrap_or((resource, ""));
            rights.extend(names_of(rule).map(|name| Attributes {
                verb,
                resource,
                subresource,
                namespace,
                name,
                path: "",
            }));
        }
        rights.extend(rule.non_resource_paths.iter().map(|path| Attributes::path(verb, path)));
    }
    rights
}

fn names_of(rule: &PolicyRule) -> impl Iterator<Item = &str> {
    let every = rule.resource_names.is_empty().then_some("");
    every.into_iter().chain(rule.resource_names.iter().map(String::as_str))
}

fn name(attributes: &Attributes<'_>) -> String {
    let Attributes { verb, resource, subresource, name, path, .. } = attributes;
    let what = match (path.is_empty(), subresource.is_empty()) {
        (false, _) => (*path).to_owned(),
        (true, true) => (*resource).to_owned(),
        (true, false) => format!("{resource}/{subresource}"),
    };
    if name.is_empty() { format!("{verb} {what}") } else { format!("{verb} {what} {name}") }
}
