//! Policies over manifests: what matches, what is said, what is refused, and what an evaluation may cost.

mod profiles;
mod writing;

use super::{evaluate::*, *};
use crate::{
    manifest,
    v1::{AdmissionPolicy, ConfigMap, Namespace, Object, object::Body},
};

fn objects(text: &str) -> Vec<Object> {
    let texts = text.split("---\n").map(|text| format!("apiVersion: boss.dev/v1\n{text}"));
    manifest::from_yaml(&texts.collect::<Vec<_>>().join("\n---\n")).unwrap()
}

fn object(text: &str) -> Object {
    objects(text).remove(0)
}

fn parsed(spec: &str) -> AdmissionPolicy {
    match object(&format!("kind: AdmissionPolicy\nmetadata: {{name: rule}}\nspec:\n  {}", spec.replace('\n', "\n  ")))
        .body
    {
        Some(Body::AdmissionPolicy(policy)) => *policy,
        other => panic!("{other:?}"),
    }
}

fn policy(spec: &str) -> Policy {
    Policy::compile(&parsed(spec)).unwrap_or_else(|problems| panic!("{problems:?}"))
}

const POD: &str = "kind: Pod
metadata: {name: p, namespace: team, labels: {app: web}}
spec: {sandboxClass: container, containers: [{name: main, image: reg/a:1, env: [{name: A, value: b}]}]}
";

struct World {
    object: Object,
    old: Option<Object>,
    namespace: Namespace,
    groups: Vec<String>,
    is_system: bool,
    operation: Operation,
}

impl World {
    fn new() -> Self {
        let Some(Body::Namespace(namespace)) =
            object("kind: Namespace\nmetadata: {name: team, labels: {env: prod}}").body
        else {
            unreachable!("it is one")
        };
        let (groups, operation) = (vec!["devs".to_owned()], Operation::Create);
        Self { object: object(POD), old: None, namespace: *namespace, groups, is_system: false, operation }
    }

    fn write(&self) -> Write<'_> {
        let metadata = self.object.metadata().unwrap();
        Write {
            operation: self.operation,
            kind: self.object.kind().unwrap(),
            namespace: &metadata.namespace,
            name: &metadata.name,
            object: Some(&self.object),
            old: self.old.as_ref(),
            namespace_object: Some(&self.namespace),
            caller: Caller { username: "rita", groups: &self.groups, is_system: self.is_system },
            dry_run: false,
        }
    }

    fn validate(&self, policy: &Policy) -> Review {
        validate([policy].into_iter(), &self.write(), &no_params)
    }
}

fn no_params(_: &Params) -> Option<&'static ConfigMap> {
    None
}

#[track_caller]
fn check(spec: &str, expected: &[(Outcome, &str)]) {
    let review = World::new().validate(&policy(spec));
    let found: Vec<_> = review.findings.iter().map(|finding| (finding.result, finding.message.as_str())).collect();
    assert_eq!(found, expected);
}

/// A policy with this one validation.
fn rule(expression: &str) -> String {
    format!("validations: [{{expression: {expression:?}, message: no}}]")
}

#[test]
fn a_validation_that_does_not_hold_denies_with_its_message() {
    check(&rule("object.metadata.labels.app == 'web'"), &[]);
    check(&rule("object.metadata.labels.app == 'db'"), &[(Outcome::Denied, "no")]);
    let computed = "validations:\n- expression: 'false'\n  message: no\n  messageExpression: \"'not ' + request.name\"";
    check(computed, &[(Outcome::Denied, "not p")]);
    let unsaid = "validations: [{expression: 'request.user  ==  \"eve\"'}]";
    check(unsaid, &[(Outcome::Denied, "`request.user == \"eve\"` does not hold")]);
}

#[test]
fn a_policy_can_warn_or_leave_it_to_the_audit() {
    check("action: warn\nvalidations: [{expression: 'false', message: old}]", &[(Outcome::Warned, "old")]);
    check("action: audit\nvalidations: [{expression: 'false', message: old}]", &[(Outcome::Audited, "old")]);
}

#[test]
fn what_cannot_be_evaluated_refuses_unless_it_is_to_be_ignored() {
    let broken = "object.spec.nothing.there == 1";
    let review = World::new().validate(&policy(&rule(broken)));
    assert_eq!(review.findings[0].result, Outcome::Denied);
    assert!(review.findings[0].message.contains("No such key: nothing"), "{review:?}");
    let review = World::new().validate(&policy(&format!("failurePolicy: ignore\n{}", rule(broken))));
    assert_eq!(review.findings[0].result, Outcome::Ignored);
    let review = World::new().validate(&policy(&rule("object.metadata.name")));
    assert!(review.findings[0].message.contains("gives string, not true or false"), "{review:?}");
}

#[test]
fn an_expression_sees_object_old_object_request_and_namespace() {
    for holds in [
        "object.spec.containers.all(c, c.image.startsWith('reg/'))",
        "oldObject == null",
        "request.user == 'rita' && 'devs' in request.groups && request.operation == 'create' && !request.dryRun",
        "request.namespace == 'team' && request.name == 'p' && request.kind == 'Pod'",
        "namespaceObject.metadata.labels.env == 'prod'",
        "!has(object.spec.security)",
        "object.spec.?security.?privileged.orValue(false) == false",
        "size(object.spec.containers) == 1",
    ] {
        check(&rule(holds), &[]);
    }
}

#[test]
fn nothing_is_converted_when_no_policy_matches_and_one_time_for_all_that_do() {
    let world = World::new();
    let other = policy(&format!("match: {{kinds: [ConfigMap]}}\n{}", rule("false")));
    let review = validate([&other, &other].into_iter(), &world.write(), &no_params);
    assert_eq!((review.matched, review.conversions), (0, 0));
    let matching = policy(&rule("object.metadata.name == 'p'"));
    let review = validate([&matching, &other, &matching].into_iter(), &world.write(), &no_params);
    assert_eq!((review.matched, review.conversions), (2, 1));
}

#[test]
fn a_policy_matches_by_kind_operation_labels_and_caller() {
    let matched = |said: &str, world: &World| {
        world.validate(&policy(&format!("match: {{{said}}}\n{}", rule("false")))).matched == 1
    };
    let mut world = World::new();
    for said in
        ["", "kinds: [Pod]", "operations: [create]", "namespaceSelector: env=prod", "objectSelector: app in (web)"]
    {
        assert!(matched(said, &world), "{said}");
    }
    for said in [
        "kinds: [ConfigMap]",
        "operations: [update, delete, status]",
        "namespaceSelector: env!=prod",
        "objectSelector: app=db",
        "excludedUsers: [rita]",
        "excludedGroups: [ops, devs]",
    ] {
        assert!(!matched(said, &world), "{said}");
    }
    world.is_system = true;
    assert!(!matched("", &world));
    assert!(matched("includeSystem: true", &world));
}

#[test]
fn taking_the_label_off_does_not_get_around_its_policy() {
    let mut world = World::new();
    world.operation = Operation::Update;
    world.old = Some(world.object.clone());
    world.object.metadata_mut().unwrap().labels.clear();
    let review = world.validate(&policy(&format!("match: {{objectSelector: app=web}}\n{}", rule("false"))));
    assert_eq!(review.matched, 1);
}

#[test]
fn no_policy_sees_policies() {
    let mut world = World::new();
    world.object = Object::from(parsed(&rule("true")));
    assert_eq!(world.validate(&policy(&rule("false"))).matched, 0);
}

#[test]
fn parameters_come_from_a_config_map_and_their_absence_fails_closed() {
    let spec = format!("params: {{name: limits}}\n{}", rule("int(params.containers) >= size(object.spec.containers)"));
    let policy = policy(&spec);
    let map = ConfigMap { data: [("containers".to_owned(), "1".to_owned())].into(), ..ConfigMap::default() };
    let find = |params: &Params| {
        assert_eq!((params.namespace.as_str(), params.name.as_str()), ("team", "limits"));
        Some(&map)
    };
    let world = World::new();
    assert_eq!(validate([&policy].into_iter(), &world.write(), &find).findings, []);
    let missing = validate([&policy].into_iter(), &world.write(), &no_params);
    assert!(missing.denials().next().unwrap().message.contains("team/limits"), "{missing:?}");
}

#[test]
fn a_mutation_is_a_merge_patch_and_the_next_one_sees_it() {
    let labels = policy(
        "mutations:\n- expression: \"{'metadata': {'labels': {'owner': request.user}}}\"\n- expression: \
                         \"has(object.metadata.labels.owner) ? {'metadata': {'labels': {'app': null}}} : null\"",
    );
    let review = mutate([&labels].into_iter(), &World::new().write(), &no_params);
    let labels = &review.mutated.as_ref().unwrap().metadata().unwrap().labels;
    assert_eq!(labels.iter().map(|(key, value)| format!("{key}={value}")).collect::<Vec<_>>(), ["owner=rita"]);
    assert_eq!(review.findings[0].result, Outcome::Mutated);
}

#[test]
fn a_mutation_that_changes_nothing_is_none() {
    let policy =
        policy("mutations: [{expression: \"{'metadata': {'labels': {'app': 'web'}}}\"}, {expression: 'null'}]");
    let review = mutate([&policy].into_iter(), &World::new().write(), &no_params);
    assert_eq!((review.mutated, review.findings), (None, vec![]));
}

#[test]
fn a_mutation_cannot_make_another_object_of_it_or_something_that_is_none() {
    for patch in [
        "{'metadata': {'name': 'q'}}",
        "{'metadata': {'namespace': 'other'}}",
        "{'metadata': {'uid': 'u'}}",
        "{'kind': 'ConfigMap'}",
        "{'metadata': {'ownerReferences': [{'kind': 'Pod', 'name': 'x', 'uid': 'y'}]}}",
        "{'status': {'phase': 'Running'}}",
        "{'spec': {'nonsense': 1}}",
        "{'spec': 7}",
        "'text'",
    ] {
        let policy = policy(&format!("mutations: [{{expression: {patch:?}}}]"));
        let review = mutate([&policy].into_iter(), &World::new().write(), &no_params);
        assert_eq!(review.mutated, None, "{patch}");
        assert!(review.denials().next().is_some(), "{patch}: {review:?}");
    }
}

#[test]
fn loops_that_take_too_long_are_refused_and_cannot_hide_it() {
    let mut world = World::new();
    let Some(Body::Pod(pod)) = &mut world.object.body else { unreachable!("it is a pod") };
    let container = &mut pod.spec.as_mut().unwrap().containers[0];
    container.args = vec!["x".to_owned(); 400];
    let args = "object.spec.containers[0].args";
    for hungry in [
        format!("{args}.all(a, {args}.all(b, a == b))"),
        format!("{args}.map(a, {args}.map(b, a + b)).size() == 400"),
        format!("!{args}.exists(a, {args}.exists(b, a != b))"),
        // An answer that an error beside it does not change.
        format!("{args}.all(a, {args}.all(b, a == b)) || true"),
    ] {
        let review = world.validate(&policy(&rule(&hungry)));
        let message = &review.denials().next().unwrap_or_else(|| panic!("{hungry}")).message;
        assert!(message.contains("too many steps"), "{message}");
    }
    let modest = format!("{args}.all(a, a == 'x') && {args}.filter(a, a == 'x').size() == 400");
    assert_eq!(world.validate(&policy(&rule(&modest))).findings, []);
}

#[test]
fn each_policy_has_steps_of_its_own() {
    let mut world = World::new();
    let Some(Body::Pod(pod)) = &mut world.object.body else { unreachable!("it is a pod") };
    pod.spec.as_mut().unwrap().containers[0].args = vec!["x".to_owned(); 400];
    let hungry = policy(&rule("object.spec.containers[0].args.all(a, object.spec.containers[0].args.all(b, a == b))"));
    let modest = policy(&rule("object.spec.containers[0].args.all(a, a == 'x')"));
    let review = validate([&hungry, &modest].into_iter(), &world.write(), &no_params);
    assert_eq!(review.denials().count(), 1);
}

#[test]
fn a_stored_policy_that_cannot_be_compiled_refuses_what_it_matches() {
    let broken = Policy::stored(&parsed(&format!("match: {{kinds: [Pod]}}\n{}", rule("object.("))));
    let mut world = World::new();
    assert!(world.validate(&broken).denials().next().unwrap().message.contains("cannot be compiled"));
    world.object = object("kind: ConfigMap\nmetadata: {name: c, namespace: team}");
    assert_eq!(world.validate(&broken).matched, 0);
}
