//! A registry with 1,000 roles and as many bindings, half of them of the one who asks.

use boss_proto::{
    object::Resource,
    raft::v1::{Caller, Command, Create, Operation, operation::Action},
    v1::{
        AdmissionPolicy, AdmissionPolicySpec, ClusterRole, ClusterRoleBinding, Namespace, Object, ObjectMeta,
        PolicyMatch, PolicyRule, PolicyValidation, RoleBinding, RoleRef, Subject,
    },
};
use boss_raft::state::{Outcome, Position, State, apply};

/// And so many roles.
pub(crate) const BINDINGS: usize = 1_000;
/// Of the one who asks.
pub(crate) const GROUPS: [&str; 5] = ["g0", "g1", "g2", "g3", "g4"];
/// What roles name; the last of them gives what is asked for.
const RESOURCES: [&str; 8] =
    ["pods", "pods/log", "services", "secrets", "jobs", "leases", "events", "deployments/status"];

/// Who stores it.
pub(crate) fn server_caller() -> Caller {
    Caller { uid: "server:1".into(), groups: vec!["system:servers".into()], ..Caller::default() }
}

/// With so many policies on kinds.
pub(crate) fn registry(policies: &[(&str, usize)]) -> State {
    let mut store = Store { state: State::default(), index: 0 };
    store.create(Namespace { metadata: named("", "bench"), ..Namespace::default() });
    for number in 0..BINDINGS {
        store.create(role(number));
        if number % 2 == 0 {
            store.create(ClusterRoleBinding {
                metadata: named("", &format!("b{number}")),
                role_ref: role_ref(number),
                subjects: vec![subject(number)],
                ..ClusterRoleBinding::default()
            });
        } else {
            store.create(RoleBinding {
                metadata: named("bench", &format!("b{number}")),
                role_ref: role_ref(number),
                subjects: vec![subject(number)],
                ..RoleBinding::default()
            });
        }
    }
    for (kind, count) in policies {
        for number in 0..*count {
            store.create(policy(kind, number));
        }
    }
    store.state
}

fn role(number: usize) -> ClusterRole {
    let rule = |verbs: &[&str], resources: &[&str]| PolicyRule {
        verbs: verbs.iter().map(ToString::to_string).collect(),
        resources: resources.iter().map(ToString::to_string).collect(),
        ..PolicyRule::default()
    };
    let named =
        PolicyRule { resource_names: vec![format!("only-{number}")], ..rule(&["get", "update"], &["configmaps"]) };
    let mut rules = vec![rule(&["get", "list", "watch"], &[RESOURCES[number % 8], RESOURCES[(number / 8) % 8]]), named];
    if number == BINDINGS - 2 {
        rules.push(rule(&["get", "create", "update"], &["configmaps"]));
    }
    ClusterRole { metadata: self::named("", &format!("r{number}")), rules, ..ClusterRole::default() }
}

/// Half of the bindings are his who asks: by his name, or by one of his groups.
fn subject(number: usize) -> Subject {
    let (kind, name) = match number % 4 {
        0 => ("User", "ann".to_owned()),
        1 => ("Group", GROUPS[number % 5].to_owned()),
        2 if number == BINDINGS - 2 => ("Group", GROUPS[4].to_owned()),
        _ => ("User", format!("other-{number}")),
    };
    Subject { kind: kind.to_owned(), name, ..Subject::default() }
}

fn role_ref(number: usize) -> Option<RoleRef> {
    Some(RoleRef { kind: "ClusterRole".to_owned(), name: format!("r{number}") })
}

/// Three terms, as policies of the field have.
fn policy(kind: &str, number: usize) -> AdmissionPolicy {
    let expression = format!(
        "object.metadata.name.startsWith('key-') && size(object.metadata.name) < 64 && request.user != 'nobody-{number}'"
    );
    AdmissionPolicy {
        metadata: named("", &format!("p-{}-{number}", kind.to_lowercase())),
        spec: Some(AdmissionPolicySpec {
            r#match: Some(PolicyMatch { kinds: vec![kind.to_owned()], ..PolicyMatch::default() }),
            validations: vec![PolicyValidation { expression, ..PolicyValidation::default() }],
            ..AdmissionPolicySpec::default()
        }),
        ..AdmissionPolicy::default()
    }
}

fn named(namespace: &str, name: &str) -> Option<ObjectMeta> {
    let uid = format!("{namespace}/{name}");
    Some(ObjectMeta { name: name.to_owned(), namespace: namespace.to_owned(), uid, ..ObjectMeta::default() })
}

struct Store {
    state: State,
    index: u64,
}

impl Store {
    fn create(&mut self, object: impl Resource) {
        self.index += 1;
        let mut object: Object = object.into_object();
        object.fill_type_meta();
        let action = Some(Action::Create(Create { object: Some(object) }));
        let operation =
            Operation { caller: Some(server_caller()), leader_term: Some(1), action, ..Operation::default() };
        let command = Command { format: 1, proposed_at_ms: self.index, operations: vec![operation] };
        let applied = apply(&mut self.state, Position { term: 1, index: self.index }, &command);
        assert!(matches!(applied.outcomes[0], Outcome::Written { .. }), "{:?}", applied.outcomes[0]);
    }
}
