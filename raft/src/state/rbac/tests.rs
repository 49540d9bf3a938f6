//! Rights by example: `check` builds one rule and one binding and asks.

mod laws;

use boss_proto::{object::Resource, raft::v1::Caller, v1};

use super::{Attributes, Rules, SERVERS_GROUP};
use crate::state::record::Record;

fn words(text: &str) -> Vec<String> {
    text.split_whitespace().map(str::to_owned).collect()
}

fn metadata(namespace: &str, name: &str) -> Option<v1::ObjectMeta> {
    Some(v1::ObjectMeta { name: name.to_owned(), namespace: namespace.to_owned(), ..Default::default() })
}

fn record(object: v1::Object) -> Record {
    Record::new(object).unwrap()
}

fn rule(verbs: &str, resources: &str, names: &str, paths: &str) -> v1::PolicyRule {
    v1::PolicyRule {
        verbs: words(verbs),
        resources: words(resources),
        resource_names: words(names),
        non_resource_paths: words(paths),
    }
}

fn cluster_role(rule: v1::PolicyRule) -> Record {
    record(v1::ClusterRole { metadata: metadata("", "role"), rules: vec![rule], ..Default::default() }.into_object())
}

fn subject(kind: &str, name: &str) -> v1::Subject {
    v1::Subject { kind: kind.to_owned(), name: name.to_owned(), namespace: String::new() }
}

fn role_ref(kind: &str) -> Option<v1::RoleRef> {
    Some(v1::RoleRef { kind: kind.to_owned(), name: "role".to_owned() })
}

fn everywhere(subject: v1::Subject) -> Record {
    let binding = v1::ClusterRoleBinding {
        metadata: metadata("", "binding"),
        role_ref: role_ref("ClusterRole"),
        subjects: vec![subject],
        ..Default::default()
    };
    record(binding.into_object())
}

fn within(namespace: &str, role_kind: &str, subject: v1::Subject) -> Record {
    let binding = v1::RoleBinding {
        metadata: metadata(namespace, "binding"),
        role_ref: role_ref(role_kind),
        subjects: vec![subject],
        ..Default::default()
    };
    record(binding.into_object())
}

fn rules(records: &[Record]) -> Rules {
    let mut rules = Rules::default();
    for record in records {
        rules.change(None, Some(record));
    }
    rules
}

fn ann() -> Caller {
    Caller { uid: "user:ann".to_owned(), username: "ann".to_owned(), groups: words("devs"), ..Default::default() }
}

fn pods<'a>(verb: &'a str, namespace: &'a str, name: &'a str) -> Attributes<'a> {
    Attributes { verb, resource: "pods", namespace, name, ..Default::default() }
}

#[track_caller]
fn check(rule: v1::PolicyRule, attributes: Attributes<'_>, expected: bool) {
    let rules = rules(&[cluster_role(rule), everywhere(subject("User", "ann"))]);
    let decision = rules.authorize(&ann(), &attributes);
    assert_eq!(decision.allowed, expected, "{}", decision.reason);
}

#[test]
fn nothing_is_allowed_without_a_binding_but_to_the_servers() {
    let rules = Rules::default();
    let decision = rules.authorize(&ann(), &pods("get", "default", "a"));
    assert!(!decision.allowed);
    assert_eq!(
        &*decision.reason,
        "user \"ann\" may not get pods \"a\" in namespace \"default\": no binding gives a role that allows it"
    );
    let server = Caller { groups: words(SERVERS_GROUP), ..ann() };
    assert!(rules.authorize(&server, &pods("delete", "default", "a")).allowed);
}

#[test]
fn verbs_resources_parts_and_names_all_must_match() {
    check(rule("get", "pods", "", ""), pods("get", "default", "a"), true);
    check(rule("get", "pods", "", ""), pods("list", "default", ""), false);
    check(rule("*", "nodes", "", ""), pods("get", "default", "a"), false);
    check(rule("*", "*", "", ""), pods("get", "default", "a"), true);
    check(rule("get", "pods", "a", ""), pods("get", "default", "a"), true);
    check(rule("get", "pods", "a", ""), pods("get", "default", "b"), false);
    check(rule("list", "pods", "a", ""), pods("list", "default", ""), false);
}

#[test]
fn a_part_is_a_right_of_its_own() {
    let status = pods("update", "default", "a").part("status");
    check(rule("*", "pods", "", ""), status, false);
    check(rule("*", "*", "", ""), status, true);
    check(rule("*", "pods/status", "", ""), status, true);
    check(rule("*", "pods/*", "", ""), status, true);
    check(rule("*", "*/status", "", ""), status, true);
    check(rule("*", "*/*", "", ""), status, true);
    check(rule("*", "pods/log", "", ""), status, false);
    check(rule("*", "pods/*", "", ""), pods("update", "default", "a"), false);
}

#[test]
fn paths_match_whole_or_by_prefix() {
    check(rule("get", "", "", "/metrics"), Attributes::path("get", "/metrics"), true);
    check(rule("get", "", "", "/metrics"), Attributes::path("get", "/metrics/x"), false);
    check(rule("get", "", "", "/debug/*"), Attributes::path("get", "/debug/x"), true);
    check(rule("get", "*", "", ""), Attributes::path("get", "/metrics"), false);
}

#[test]
fn a_binding_of_a_namespace_reaches_no_further() {
    let rules =
        rules(&[cluster_role(rule("get", "pods", "", "")), within("a", "ClusterRole", subject("Group", "devs"))]);
    assert!(rules.authorize(&ann(), &pods("get", "a", "x")).allowed);
    assert!(!rules.authorize(&ann(), &pods("get", "b", "x")).allowed);
    assert!(!rules.authorize(&ann(), &pods("list", "", "")).allowed);
}

#[test]
fn a_role_of_a_namespace_gives_no_path_and_no_other_namespace() {
    let role = v1::Role { metadata: metadata("a", "role"), rules: vec![rule("*", "*", "", "*")], ..Default::default() };
    let rules = rules(&[record(role.into_object()), within("a", "Role", subject("User", "ann"))]);
    let decision = rules.authorize(&ann(), &pods("get", "a", "x"));
    assert_eq!((&*decision.reason, decision.allowed), ("RoleBinding binding gives Role role", true));
    assert!(!rules.authorize(&ann(), &Attributes::path("get", "/metrics")).allowed);
    assert!(!rules.authorize(&ann(), &pods("get", "b", "x")).allowed);
}

#[test]
fn a_service_account_is_the_user_of_its_name() {
    let rules = rules(&[
        cluster_role(rule("get", "pods", "", "")),
        within("a", "ClusterRole", subject("ServiceAccount", "ci")),
    ]);
    let ci = Caller { username: "system:serviceaccount:a:ci".to_owned(), ..Caller::default() };
    assert!(rules.authorize(&ci, &pods("get", "a", "x")).allowed);
    let other = Caller { username: "system:serviceaccount:b:ci".to_owned(), ..Caller::default() };
    assert!(!rules.authorize(&other, &pods("get", "a", "x")).allowed);
}

fn labelled(name: &str, label: &str, rules: Vec<v1::PolicyRule>, selectors: &[&str]) -> Record {
    let labels = [("area".to_owned(), label.to_owned())].into();
    let aggregation_rule = (!selectors.is_empty())
        .then(|| v1::AggregationRule { cluster_role_selectors: selectors.iter().map(ToString::to_string).collect() });
    let metadata = metadata("", name).map(|metadata| v1::ObjectMeta { labels, ..metadata });
    record(v1::ClusterRole { metadata, rules, aggregation_rule, ..Default::default() }.into_object())
}

#[test]
fn an_aggregating_role_has_the_rules_of_the_roles_that_it_selects() {
    let read = labelled("read", "apps", vec![rule("get", "pods", "", "")], &[]);
    let other = labelled("other", "db", vec![rule("delete", "pods", "", "")], &[]);
    let outer = labelled("role", "none", vec![rule("list", "pods", "", "")], &["area=apps"]);
    let mut rules = rules(&[read.clone(), other.clone(), outer, everywhere(subject("User", "ann"))]);
    let allowed =
        |rules: &Rules| ["get", "list", "delete"].map(|verb| rules.authorize(&ann(), &pods(verb, "a", "")).allowed);
    assert_eq!(allowed(&rules), [true, true, false]);
    let held: Vec<_> = rules.held(&ann(), "a").collect();
    assert_eq!(held.iter().map(|held| held.source.name.as_str()).collect::<Vec<_>>(), ["role", "read"]);
    assert!(held.iter().all(|held| held.role.name == "role" && held.binding.name == "binding"));

    // Labels come and go.
    let moved = labelled("other", "apps", vec![rule("delete", "pods", "", "")], &[]);
    rules.change(Some(&other), Some(&moved));
    assert_eq!(allowed(&rules), [true, true, true]);
    rules.change(Some(&read), None);
    assert_eq!(allowed(&rules), [false, true, true]);
}

#[test]
fn what_a_taken_in_role_aggregates_itself_is_not_passed_on() {
    let inner = labelled("inner", "inner", vec![rule("get", "pods", "", "")], &[]);
    let middle = labelled("middle", "middle", Vec::new(), &["area=inner"]);
    let outer = labelled("role", "outer", Vec::new(), &["area=middle", "area=outer"]);
    let rules = rules(&[inner, middle, outer, everywhere(subject("User", "ann"))]);
    assert!(!rules.authorize(&ann(), &pods("get", "a", "")).allowed);
}

#[test]
fn roles_that_would_allow_something_are_found() {
    let in_namespace =
        v1::Role { metadata: metadata("a", "role"), rules: vec![rule("get", "pods", "", "")], ..Default::default() };
    let rules = rules(&[record(in_namespace.into_object()), cluster_role(rule("*", "pods", "", ""))]);
    let names = |namespace: &str| {
        let attributes = pods("get", namespace, "x");
        rules.roles_for(&attributes).map(|key| key.kind.as_str()).collect::<Vec<_>>()
    };
    assert_eq!(names("a"), ["ClusterRole", "Role"]);
    assert_eq!(names("b"), ["ClusterRole"]);
}

#[test]
fn clones_that_part_ways_do_not_share_what_they_looked_up() {
    let binding = everywhere(subject("User", "ann"));
    let mut one = rules(&[cluster_role(rule("get", "pods", "", "")), binding]);
    let mut two = one.clone();
    let role = cluster_role(rule("get", "pods", "", ""));
    one.change(Some(&role), Some(&cluster_role(rule("delete", "pods", "", ""))));
    assert!(one.authorize(&ann(), &pods("delete", "a", "")).allowed);
    two.change(Some(&role), Some(&cluster_role(rule("list", "pods", "", ""))));
    assert!(!two.authorize(&ann(), &pods("delete", "a", "")).allowed);
    assert!(two.authorize(&ann(), &pods("list", "a", "")).allowed);
    assert!(one.authorize(&ann(), &pods("delete", "a", "")).allowed);
}

#[test]
fn a_right_ends_with_its_binding_and_with_its_role() {
    let (role, binding) = (cluster_role(rule("get", "pods", "", "")), everywhere(subject("User", "ann")));
    let get = pods("get", "default", "a");
    let mut without_binding = rules(&[role.clone(), binding.clone()]);
    without_binding.change(Some(&binding), None);
    assert!(!without_binding.authorize(&ann(), &get).allowed);
    let mut without_role = rules(&[role.clone(), binding]);
    without_role.change(Some(&role), None);
    assert!(!without_role.authorize(&ann(), &get).allowed);
    without_role.change(None, Some(&role));
    assert!(without_role.authorize(&ann(), &get).allowed);
}
