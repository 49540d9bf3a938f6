//! Laws under random roles and bindings: the tables say what the rules say, and nothing depends on how one got there.

use proptest::{collection::vec, prelude::*, sample::select};

use super::*;

const VERBS: [&str; 4] = ["get", "list", "bind", "*"];
const RESOURCES: [&str; 8] = ["pods", "nodes", "pods/status", "pods/*", "*/status", "*/*", "*", "pods/log"];
const NAMES: [&str; 2] = ["x", "y"];
const NAMESPACES: [&str; 3] = ["", "a", "b"];
const PATHS: [&str; 4] = ["/metrics", "/cluster/*", "*", "/cluster/status"];
const ROLES: [&str; 4] = ["r0", "r1", "r2", "r3"];
const AGGREGATED: [&[&str]; 3] = [&[], &["area=apps"], &["area=db"]];
const SUBJECTS: [(&str, &str); 3] = [("User", "ann"), ("Group", "devs"), ("User", "bob")];

fn some(words: &'static [&'static str], most: usize) -> impl Strategy<Value = Vec<String>> {
    vec(select(words).prop_map(str::to_owned), 0..=most)
}

fn any_rule() -> impl Strategy<Value = v1::PolicyRule> {
    (some(&VERBS, 2), some(&RESOURCES, 2), some(&NAMES, 1), some(&PATHS, 1)).prop_map(
        |(verbs, resources, resource_names, non_resource_paths)| v1::PolicyRule {
            verbs,
            resources,
            resource_names,
            non_resource_paths,
        },
    )
}

fn any_cluster_role() -> impl Strategy<Value = Record> {
    let label = select(&["apps", "db"][..]);
    let aggregates = select(&AGGREGATED[..]);
    (select(&ROLES[..]), label, vec(any_rule(), 0..3), aggregates)
        .prop_map(|(name, label, rules, selectors)| labelled(name, label, rules, selectors))
}

fn any_role() -> impl Strategy<Value = Record> {
    (select(&ROLES[..]), select(&NAMESPACES[1..]), vec(any_rule(), 0..3)).prop_map(|(name, namespace, rules)| {
        record(v1::Role { metadata: metadata(namespace, name), rules, ..Default::default() }.into_object())
    })
}

fn any_binding() -> impl Strategy<Value = Record> {
    let kind = select(&["Role", "ClusterRole"][..]);
    (select(&ROLES[..]), select(&NAMESPACES[..]), kind, select(&ROLES[..]), select(&SUBJECTS[..])).prop_map(
        |(name, namespace, kind, role, (subject_kind, subject_name))| {
            let role_ref = Some(v1::RoleRef { kind: kind.to_owned(), name: role.to_owned() });
            let (metadata, subjects) = (metadata(namespace, name), vec![subject(subject_kind, subject_name)]);
            record(match namespace {
                "" => v1::ClusterRoleBinding { metadata, role_ref, subjects, ..Default::default() }.into_object(),
                _ => v1::RoleBinding { metadata, role_ref, subjects, ..Default::default() }.into_object(),
            })
        },
    )
}

/// What stands at a key from now on, or that nothing does.
fn any_change() -> impl Strategy<Value = (Record, bool)> {
    (prop_oneof![any_cluster_role(), any_role(), any_binding(), any_binding()], prop::bool::weighted(0.8))
}

fn questions() -> Vec<Attributes<'static>> {
    let mut questions: Vec<_> = PATHS.iter().map(|path| Attributes::path("get", path.trim_end_matches('*'))).collect();
    for verb in VERBS {
        for namespace in NAMESPACES {
            for name in ["", "x", "z"] {
                for (resource, subresource) in
                    [("pods", ""), ("pods", "status"), ("nodes", "log"), ("*", ""), ("pods", "*")]
                {
                    questions.push(Attributes { verb, resource, subresource, namespace, name, path: "" });
                }
            }
        }
    }
    questions.retain(|question| !question.resource.is_empty() || !question.path.is_empty());
    questions
}

fn answers(rules: &Rules) -> Vec<bool> {
    questions().iter().map(|question| rules.authorize(&ann(), question).allowed).collect()
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(48))]

    #[test]
    fn tables_say_what_the_rules_say_after_any_changes(changes in vec(any_change(), 1..10)) {
        let (mut rules, mut stand) = (Rules::default(), std::collections::BTreeMap::<boss_proto::key::Key, Record>::new());
        for (record, stays) in changes {
            let before = stand.remove(&record.key);
            rules.change(before.as_ref(), stays.then_some(&record));
            if stays {
                stand.insert(record.key.clone(), record);
            }
            // Asked after each change, so that tables of before are there to be wrong.
            for question in questions() {
                let held = rules.held_for(&ann(), &question).next().is_some();
                prop_assert_eq!(rules.authorize(&ann(), &question).allowed, held, "{:?}", question);
            }
        }
        let mut afresh = Rules::default();
        for record in stand.values().rev() {
            afresh.change(None, Some(record));
        }
        prop_assert_eq!(answers(&afresh), answers(&rules));
    }
}
