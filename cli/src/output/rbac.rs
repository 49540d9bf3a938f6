//! Roles and bindings in tables.

use boss_proto::v1;

use super::{namespace::name_and_age, plain};

pub(super) const ROLE_HEADERS: (&[&str], &[&str]) = (&["NAME", "RULES", "AGE"], &[]);
pub(super) const BINDING_HEADERS: (&[&str], &[&str]) = (&["NAME", "ROLE", "AGE"], &["SUBJECTS"]);

pub(super) fn role_cells(metadata: Option<&v1::ObjectMeta>, rules: &[v1::PolicyRule], now: u64) -> Vec<String> {
    let [name, age] = name_and_age(metadata, now);
    vec![name, rules.len().to_string(), age]
}

pub(super) fn binding_cells(
    metadata: Option<&v1::ObjectMeta>,
    role: Option<&v1::RoleRef>,
    subjects: &[v1::Subject],
    wide: bool,
    now: u64,
) -> Vec<String> {
    let [name, age] = name_and_age(metadata, now);
    let role = role.map_or_else(String::new, |role| format!("{}/{}", role.kind, role.name));
    let mut cells = vec![name, role, age];
    if wide {
        let subject = |subject: &v1::Subject| format!("{}:{}", subject.kind, subject.name);
        cells.push(subjects.iter().map(subject).collect::<Vec<_>>().join(","));
    }
    cells
}

const RIGHT_HEADERS: [&str; 5] = ["VERBS", "ON", "NAMES", "BY", "AS"];

/// Rules that somebody has, each with the binding that gives it and the role in which it stands.
#[must_use]
pub fn rights(grants: &[v1::Grant]) -> String {
    plain(&RIGHT_HEADERS, &grants.iter().map(right_cells).collect::<Vec<_>>())
}

fn right_cells(grant: &v1::Grant) -> Vec<String> {
    let rule = grant.rule.as_ref().cloned().unwrap_or_default();
    let on = rule.resources.iter().chain(&rule.non_resource_paths).map(String::as_str).collect::<Vec<_>>();
    let given = |key: &Option<v1::ObjectKey>| key.as_ref().map(role).unwrap_or_default();
    let by = match (&grant.role, &grant.source) {
        (role, source) if role == source => format!("{} ({})", given(&grant.binding), given(role)),
        (role, source) => format!("{} ({}, from {})", given(&grant.binding), given(role), given(source)),
    };
    let subject =
        grant.subject.as_ref().map_or_else(String::new, |subject| format!("{} {}", subject.kind, subject.name));
    vec![rule.verbs.join(","), on.join(","), rule.resource_names.join(","), by, subject]
}

/// A role or binding in one word: `Role default/pod-reader`, `ClusterRole view`.
#[must_use]
pub fn role(key: &v1::ObjectKey) -> String {
    match key.namespace.as_str() {
        "" => format!("{} {}", key.kind, key.name),
        namespace => format!("{} {namespace}/{}", key.kind, key.name),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn key(kind: &str, namespace: &str, name: &str) -> Option<v1::ObjectKey> {
        Some(v1::ObjectKey { kind: kind.to_owned(), namespace: namespace.to_owned(), name: name.to_owned() })
    }

    #[test]
    fn a_right_names_its_binding_and_where_its_rule_stands() {
        let rule = v1::PolicyRule {
            verbs: vec!["get".to_owned(), "list".to_owned()],
            resources: vec!["pods".to_owned()],
            ..v1::PolicyRule::default()
        };
        let subject = v1::Subject { kind: "Group".to_owned(), name: "devs".to_owned(), ..v1::Subject::default() };
        let direct = v1::Grant {
            rule: Some(rule),
            binding: key("RoleBinding", "a", "readers"),
            role: key("ClusterRole", "", "view"),
            source: key("ClusterRole", "", "view"),
            subject: Some(subject),
        };
        let aggregated = v1::Grant { source: key("ClusterRole", "", "more"), ..direct.clone() };
        let table = rights(&[direct, aggregated]);
        let lines: Vec<_> = table.lines().collect();
        assert_eq!(
            lines[1].split_whitespace().collect::<Vec<_>>().join(" "),
            "get,list pods - RoleBinding a/readers (ClusterRole view) Group devs"
        );
        assert!(lines[2].contains("(ClusterRole view, from ClusterRole more)"), "{table}");
    }
}
