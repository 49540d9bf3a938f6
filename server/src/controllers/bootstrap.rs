//! The objects that every cluster has from its first second: namespaces, roles, bindings. Makes what is missing and
//! puts back the rights that Boss itself needs.

use boss_proto::{
    ids::Uid,
    kind::Kind,
    object::Resource,
    v1::{ClusterRole, ClusterRoleBinding, Namespace, Object, ObjectMeta, PolicyRule, RoleRef, Subject},
};
use boss_raft::state::{Outcome, Rejection, View};

use super::{
    driver::{Controller, Error, NextRun},
    leader::{Changes, Leader, Write},
};

/// Where objects go whose manifest names no namespace.
pub(super) const DEFAULT_NAMESPACE: &str = "default";
/// Where Boss keeps objects of its own.
pub(super) const SYSTEM_NAMESPACE: &str = "boss-system";

/// Keeps the built-in objects.
pub(super) struct Bootstrap {
    leader: Leader,
    changes: Changes,
}

impl Bootstrap {
    /// For one term.
    #[must_use]
    pub(super) fn new(leader: Leader) -> Self {
        let changes = leader.changes(&[Kind::Namespace, Kind::ClusterRole, Kind::ClusterRoleBinding]);
        Self { leader, changes }
    }
}

impl Controller for Bootstrap {
    const NAME: &'static str = "bootstrap";

    async fn reconcile(&mut self) -> Result<NextRun, Error> {
        let writes = repairs(&self.leader.view());
        for outcome in self.leader.write(writes).await? {
            match outcome {
                // Somebody was faster; the change wakes us up again.
                Outcome::Rejected(
                    Rejection::AlreadyExists { .. } | Rejection::Conflict { .. } | Rejection::NotFound,
                ) => {}
                Outcome::Rejected(rejection) => {
                    return Err(Error::Refused { what: "a built-in object".to_owned(), why: rejection.to_string() });
                }
                _ => {}
            }
        }
        Ok(NextRun::OnChange)
    }

    async fn changed(&mut self) {
        self.changes.next().await;
    }
}

/// What is missing, and what was changed of the roles that Boss's own parts live by.
fn repairs(view: &View) -> Vec<Write> {
    builtin().into_iter().filter_map(|object| repair(view, object)).collect()
}

fn repair(view: &View, mut object: Object) -> Option<Write> {
    let key = object.key()?;
    let Some(stored) = view.get(&key) else {
        object.metadata_mut()?.uid = Uid::random().to_string();
        return Some(Write::create(object));
    };
    let wanted = ClusterRole::from_object(&object)?;
    let found = ClusterRole::from_object(&stored.object)?;
    // The other roles are for people, who may know better.
    if !key.name.starts_with("system:") || found.rules == wanted.rules || stored.is_terminating() {
        return None;
    }
    let mut repaired = found.clone();
    repaired.rules.clone_from(&wanted.rules);
    Some(Write::update(stored, repaired))
}

fn builtin() -> Vec<Object> {
    let namespaces = [DEFAULT_NAMESPACE, SYSTEM_NAMESPACE]
        .map(|name| Namespace { metadata: Some(named(name)), ..Default::default() }.into_object());
    namespaces.into_iter().chain(roles()).chain(bindings()).collect()
}

fn named(name: &str) -> ObjectMeta {
    ObjectMeta { name: name.to_owned(), ..Default::default() }
}

const READ: [&str; 3] = ["get", "list", "watch"];
const WRITE: [&str; 4] = ["create", "update", "patch", "delete"];
/// What people who run workloads work with.
const WORKLOADS: [&str; 3] = ["pods", "configmaps", "serviceaccounts"];
/// What they look at besides.
const AROUND: [&str; 4] = ["pods/status", "events", "namespaces", "nodes"];

fn roles() -> [Object; 6] {
    let read_all = [&WORKLOADS[..], &AROUND[..]].concat();
    let view = [rule(&READ, &read_all), rule(&["get"], &["pods/log"]), paths()];
    let edit = [&view[..], &[rule(&WRITE, &WORKLOADS)]].concat();
    // For who ends credentials that leaked: none of it lets anybody see or make one.
    let credentials = [
        rule(&READ, &["revocations", "signingkeys", "sealingkeys"]),
        rule(&WRITE, &["revocations"]),
        rule(&["update", "patch"], &["signingkeys", "sealingkeys"]),
    ];
    let node = [
        rule(&READ, &["pods", "nodes"]),
        rule(&["create", "update", "delete"], &["nodes"]),
        rule(&["update"], &["nodes/status", "pods/status"]),
        // Only with the proof that nothing is left of the sandbox: the node authorizer sees to that.
        rule(&["delete"], &["pods"]),
        rule(&["get", "create", "update"], &["events"]),
        // Only what containers of its own pods name: the node authorizer sees to that, too.
        rule(&["get"], &["secrets", "configmaps"]),
    ];
    [
        role("admin", &[everything()]),
        role("credentials", &credentials),
        role("edit", &edit),
        role("view", &view),
        role("system:node", &node),
        role("system:server", &[everything()]),
    ]
}

fn bindings() -> [Object; 3] {
    [bind("system:admins", "admin"), bind("system:nodes", "system:node"), bind("system:servers", "system:server")]
}

fn rule(verbs: &[&str], resources: &[&str]) -> PolicyRule {
    PolicyRule { verbs: owned(verbs), resources: owned(resources), ..Default::default() }
}

fn everything() -> PolicyRule {
    PolicyRule { non_resource_paths: owned(&["*"]), ..rule(&["*"], &["*"]) }
}

/// The state of the control plane, for whoever may look at objects.
fn paths() -> PolicyRule {
    PolicyRule { verbs: owned(&["get"]), non_resource_paths: owned(&["/cluster/*"]), ..Default::default() }
}

fn owned(words: &[&str]) -> Vec<String> {
    words.iter().map(|word| (*word).to_owned()).collect()
}

fn role(name: &str, rules: &[PolicyRule]) -> Object {
    ClusterRole { metadata: Some(named(name)), rules: rules.to_vec(), ..Default::default() }.into_object()
}

/// Binds a group to the role of a name. The binding has the group's name: an operator looks for who has a right.
fn bind(group: &str, role: &str) -> Object {
    let subject = Subject { kind: "Group".to_owned(), name: group.to_owned(), namespace: String::new() };
    let role_ref = RoleRef { kind: Kind::ClusterRole.to_string(), name: role.to_owned() };
    let binding = ClusterRoleBinding {
        metadata: Some(named(group)),
        role_ref: Some(role_ref),
        subjects: vec![subject],
        ..Default::default()
    };
    binding.into_object()
}

#[cfg(test)]
mod tests {
    use boss_proto::{key::Key, v1::object::Body};

    use super::*;

    #[test]
    fn an_empty_registry_gets_every_built_in_object_once() {
        let writes = repairs(&View::default());
        assert_eq!(writes.len(), builtin().len());
        let mut keys: Vec<_> = builtin().iter().filter_map(Object::key).collect();
        keys.sort();
        keys.dedup();
        assert_eq!(keys.len(), builtin().len());
    }

    #[test]
    fn every_binding_names_a_built_in_role() {
        for object in builtin() {
            if let Some(Body::ClusterRoleBinding(binding)) = object.body {
                let role = binding.role_ref.expect("built-in bindings have a role").name;
                assert!(
                    builtin().iter().any(|object| object.key() == Some(Key::cluster(Kind::ClusterRole, &*role))),
                    "{role}"
                );
            }
        }
    }

    #[test]
    fn nobody_but_admins_may_touch_rights() {
        for object in roles() {
            let role = ClusterRole::from_object(&object).expect("a role");
            let name = &role.metadata.as_ref().expect("named").name;
            let reaches =
                |rule: &PolicyRule| rule.resources.iter().any(|resource| resource == "*" || resource.contains("role"));
            assert_eq!(role.rules.iter().any(reaches), ["admin", "system:server"].contains(&name.as_str()), "{name}");
        }
    }
}
