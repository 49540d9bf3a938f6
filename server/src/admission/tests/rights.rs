//! Whatever callers without the right to give more try, in any order and together: no sequence of allowed writes lets
//! one of them do what none of them could do before, nor have a pod given what none of them may read.

use boss_proto::v1::{
    AggregationRule, ClusterRole, ClusterRoleBinding, ObjectMeta, PolicyRule, RoleBinding, RoleRef, Subject,
};
use proptest::{collection::vec, prelude::*, sample::select};

use super::*;

const USERS: [&str; 2] = ["ann", "bob"];
const NAMESPACES: [&str; 2] = ["a", "b"];
const ROLES: [&str; 4] = ["r0", "r1", "r2", "manager"];
/// Nothing with which somebody may give more than he has.
const VERBS: [&str; 3] = ["get", "update", "delete"];
const RESOURCES: [&str; 6] = ["pods", "pods/log", "nodes", "configmaps", "secrets", "*"];
const AGGREGATED: [&[&str]; 3] = [&[], &["area=apps"], &["area=db"]];
const RBAC: [&str; 4] = ["roles", "clusterroles", "rolebindings", "clusterrolebindings"];

fn words(words: &[&str]) -> Vec<String> {
    words.iter().map(|word| (*word).to_owned()).collect()
}

fn meta(namespace: &str, name: &str) -> Option<ObjectMeta> {
    Some(ObjectMeta { name: name.into(), namespace: namespace.into(), ..ObjectMeta::default() })
}

fn any_rule() -> impl Strategy<Value = PolicyRule> {
    let names = select(vec![vec![], words(&["x"])]);
    (vec(select(&VERBS[..]), 1..3), vec(select(&RESOURCES[..]), 1..3), names).prop_map(|(verbs, resources, names)| {
        PolicyRule { verbs: words(&verbs), resources: words(&resources), resource_names: names, ..Default::default() }
    })
}

fn any_cluster_role() -> impl Strategy<Value = Object> {
    let label = select(&["apps", "db"][..]);
    (select(&ROLES[..3]), label, vec(any_rule(), 0..3), select(&AGGREGATED[..])).prop_map(|(name, label, rules, by)| {
        let labels = [("area".to_owned(), label.to_owned())].into();
        let metadata = meta("", name).map(|metadata| ObjectMeta { labels, ..metadata });
        let aggregation_rule = (!by.is_empty()).then(|| AggregationRule { cluster_role_selectors: words(by) });
        ClusterRole { metadata, rules, aggregation_rule, ..Default::default() }.into_object()
    })
}

fn any_role() -> impl Strategy<Value = Object> {
    (select(&ROLES[..3]), select(&NAMESPACES[..]), vec(any_rule(), 0..3)).prop_map(|(name, namespace, rules)| {
        v1::Role { metadata: meta(namespace, name), rules, ..Default::default() }.into_object()
    })
}

fn any_binding() -> impl Strategy<Value = Object> {
    let place = select(&["", "a", "b"][..]);
    let kind = select(&["Role", "ClusterRole"][..]);
    (select(&ROLES[..3]), place, kind, select(&ROLES[..]), select(&USERS[..]))
        .prop_map(|(name, namespace, kind, role, user)| binding(name, namespace, kind, role, user))
}

fn binding(name: &str, namespace: &str, kind: &str, role: &str, user: &str) -> Object {
    let kind = if namespace.is_empty() { "ClusterRole" } else { kind };
    let role_ref = Some(RoleRef { kind: kind.into(), name: role.into() });
    let subjects = vec![Subject { kind: "User".into(), name: user.into(), ..Subject::default() }];
    let metadata = meta(namespace, name);
    match namespace {
        "" => ClusterRoleBinding { metadata, role_ref, subjects, ..Default::default() }.into_object(),
        _ => RoleBinding { metadata, role_ref, subjects, ..Default::default() }.into_object(),
    }
}

/// A pod that may name a secret or a config map.
fn any_pod() -> impl Strategy<Value = Object> {
    let given = select(
        &[
            "",
            "envFrom: [{secretRef: {name: x}}]",
            "envFrom: [{configMapRef: {name: y}}]",
            "env: [{name: A, valueFrom: {secretKeyRef: {name: y, key: k, optional: true}}}]",
        ][..],
    );
    (select(&NAMESPACES[..]), select(&["p", "q"][..]), given, any::<bool>()).prop_map(|(namespace, name, given, other)| {
        let command = if other { "env" } else { "true" };
        let mut pod = object(&format!(
            "kind: Pod\nmetadata: {{name: {name}, namespace: {namespace}}}\nspec: {{containers: [{{command: ['{command}'], {given}}}]}}"
        ));
        defaults::fill(&mut pod);
        pod
    })
}

fn any_object() -> impl Strategy<Value = Object> {
    prop_oneof![any_cluster_role(), any_role(), any_binding(), any_pod()]
}

/// Who tries what: to create, to replace or to delete.
fn any_attempt() -> impl Strategy<Value = (&'static str, u8, Object)> {
    (select(&USERS[..]), 0..3_u8, any_object())
}

/// Both users may write roles and bindings; what else there is was made by others.
fn beginning(objects: Vec<Object>) -> (State, u64) {
    let manager = PolicyRule {
        verbs: words(&["create", "update", "delete", "get"]),
        resources: words(&[&RBAC[..], &["pods"]].concat()),
        ..PolicyRule::default()
    };
    let manager = ClusterRole { metadata: meta("", "manager"), rules: vec![manager], ..Default::default() };
    let namespaces =
        NAMESPACES.map(|name| v1::Namespace { metadata: meta("", name), ..Default::default() }.into_object());
    let mut state = State::default();
    let given = USERS.map(|user| binding(&format!("manager-{user}"), "", "ClusterRole", "manager", user));
    let mut index = 0;
    for object in namespaces.into_iter().chain([manager.into_object()]).chain(given).chain(objects) {
        index += 1;
        put(&mut state, index, &servers(), Proposed::Create(log::Create { object: Some(with_uid(object, index)) }));
    }
    (state, index)
}

fn servers() -> log::Caller {
    log::Caller { uid: "server:1".into(), groups: vec![SERVERS_GROUP.into()], ..Default::default() }
}

fn with_uid(mut object: Object, index: u64) -> Object {
    object.metadata_mut().unwrap().uid = format!("uid-{index}");
    object
}

/// Whether it was written; a name may be taken.
fn put(state: &mut State, index: u64, caller: &log::Caller, action: Proposed) -> bool {
    let operation =
        Operation { caller: Some(caller.clone()), leader_term: Some(1), action: Some(action), ..Default::default() };
    let command = Command { format: 1, proposed_at_ms: index, operations: vec![operation] };
    let applied = apply(state, Position { term: 1, index }, &command);
    !matches!(applied.outcomes[0], Outcome::Rejected(_))
}

/// Admission as the leader runs it, then apply. Whether the write took place.
fn attempt(state: &mut State, index: u64, user: &str, verb: u8, object: Object) -> bool {
    let who = identity(Role::User, user, &[]);
    let write = match verb {
        0 => Write::Create(v1::CreateRequest { object: Some(object), ..Default::default() }),
        1 => Write::Update(v1::UpdateRequest { object: Some(object), ..Default::default() }),
        _ => {
            let key = object.key().map(|key| key.to_proto());
            Write::Delete(v1::DeleteRequest { key, ..Default::default() })
        }
    };
    let Ok(operation) = admit(&state.view(), &who, write, stamp()) else { return false };
    let mut action = operation.action.unwrap();
    if let Proposed::Create(log::Create { object: Some(object) }) = &mut action {
        object.metadata_mut().unwrap().uid = format!("uid-{index}");
    }
    put(state, index, &who.caller(), action)
}

/// Everything that some user may do.
fn rights(view: &View) -> Vec<Attributes<'static>> {
    let mut rights = Vec::new();
    for verb in VERBS.into_iter().chain(["create", "bind", "escalate", "impersonate", "*"]) {
        for resource in RESOURCES.into_iter().chain(RBAC) {
            let (resource, subresource) = resource.split_once('/').unwrap_or((resource, ""));
            for namespace in ["", "a", "b"] {
                rights.extend(["", "x", "y"].map(|name| Attributes {
                    verb,
                    resource,
                    subresource,
                    namespace,
                    name,
                    path: "",
                }));
            }
        }
    }
    let callers = USERS.map(|user| identity(Role::User, user, &[]).caller());
    rights.retain(|attributes| callers.iter().any(|caller| view.authorize(caller, attributes).allowed));
    rights
}

/// Every pod, but for what only the registry sets.
fn pods(view: &View) -> Vec<Object> {
    let bare = |mut object: Object| {
        if let Some(v1::object::Body::Pod(pod)) = &mut object.body {
            pod.metadata =
                meta(&pod.metadata.as_ref().unwrap().namespace.clone(), &pod.metadata.as_ref().unwrap().name.clone());
            pod.status = None;
        }
        object
    };
    view.list(Kind::Pod, None).map(|record| bare(record.object.clone())).collect()
}

/// What of secrets and config maps some user may read.
fn readable(view: &View) -> Vec<Key> {
    let callers = USERS.map(|user| identity(Role::User, user, &[]).caller());
    let mut keys = Vec::new();
    for kind in [Kind::Secret, Kind::ConfigMap] {
        for namespace in NAMESPACES {
            keys.extend(["x", "y"].map(|name| Key::new(kind, namespace, name)));
        }
    }
    keys.retain(|key| callers.iter().any(|caller| view.authorize(caller, &Attributes::on("get", key)).allowed));
    keys
}

#[test]
fn rights_can_be_given_and_taken_at_all() {
    let (mut state, index) = beginning(Vec::new());
    let give = binding("r0", "a", "ClusterRole", "manager", "bob");
    assert!(attempt(&mut state, index + 1, "ann", 0, give.clone()), "who holds a role's rights may give them");
    assert!(attempt(&mut state, index + 2, "bob", 2, give));
    let more = PolicyRule { verbs: words(&["get"]), resources: words(&["nodes"]), ..PolicyRule::default() };
    let role = ClusterRole { metadata: meta("", "r1"), rules: vec![more], ..Default::default() };
    assert!(!attempt(&mut state, index + 3, "ann", 0, role.into_object()), "but no others");
    let pod = |more: &str| {
        object(&format!(
            "kind: Pod\nmetadata: {{name: p, namespace: a}}\nspec: {{containers: [{{command: [a]{more}}}]}}"
        ))
    };
    assert!(!attempt(&mut state, index + 4, "ann", 0, pod(", envFrom: [{secretRef: {name: x}}]")));
    assert!(attempt(&mut state, index + 5, "ann", 0, pod("")));
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(64))]

    #[test]
    fn no_sequence_of_allowed_writes_gains_a_right(
        objects in vec(any_object(), 0..8),
        attempts in vec(any_attempt(), 1..16),
    ) {
        let (mut state, mut index) = beginning(objects);
        let before = rights(&state.view());
        let (pods, readable) = (pods(&state.view()), readable(&state.view()));
        for (user, verb, object) in attempts {
            index += 1;
            attempt(&mut state, index, user, verb, object);
        }
        for right in rights(&state.view()) {
            prop_assert!(before.contains(&right), "{right:?} was gained");
        }
        for object in self::pods(&state.view()).into_iter().filter(|object| !pods.contains(object)) {
            for given in boss_proto::references::newly_given(None, &object) {
                prop_assert!(readable.contains(&given), "{given} was given to a pod, and nobody could read it");
            }
        }
    }
}
