//! What roles and bindings may say.

use boss_proto::{
    kind::Kind,
    labels,
    selector::LabelSelector,
    v1::{AggregationRule, PolicyRule, RoleRef, Subject},
};

use super::Report;

/// More rules belong into another role.
const RULES_MAX: usize = 256;
/// More subjects belong into a group.
const SUBJECTS_MAX: usize = 256;

/// More selectors belong into another role.
const SELECTORS_MAX: usize = 16;
/// What roles name beside kinds: whom somebody may speak for.
const SUBJECT_RESOURCES: [&str; 2] = ["users", "groups"];

/// Where a role or binding counts.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Scope {
    Namespace,
    Cluster,
}

pub(super) fn check_role(rules: &[PolicyRule], scope: Scope, report: &mut Report) {
    if rules.len() > RULES_MAX {
        report.add("rules", format!("has {} entries, the limit is {RULES_MAX}", rules.len()), "");
    }
    for (index, rule) in rules.iter().enumerate() {
        check_rule(&format!("rules[{index}]"), rule, scope, report);
    }
}

pub(super) fn check_aggregation(aggregation: &AggregationRule, report: &mut Report) {
    let (field, selectors) = ("aggregationRule.clusterRoleSelectors", &aggregation.cluster_role_selectors);
    if selectors.is_empty() || selectors.len() > SELECTORS_MAX {
        let problem = format!("has {} entries, there may be 1 to {SELECTORS_MAX}", selectors.len());
        report.add(field, problem, "leave out aggregationRule when nothing is to be taken in");
    }
    for (index, text) in selectors.iter().enumerate() {
        let field = format!("{field}[{index}]");
        if text.trim().is_empty() {
            report.add(&field, "is empty, which would take in every role", "name a label, like area=apps");
        }
        report.check(field, text.parse::<LabelSelector>().map(|_| ()));
    }
}

fn check_rule(field: &str, rule: &PolicyRule, scope: Scope, report: &mut Report) {
    if rule.verbs.is_empty() {
        report.add(format!("{field}.verbs"), "is empty", "name what is allowed: get, list, watch, create, ... or *");
    }
    for (index, verb) in rule.verbs.iter().enumerate() {
        if verb != "*" && (verb.is_empty() || !verb.chars().all(|character| character.is_ascii_lowercase())) {
            report.add(
                format!("{field}.verbs[{index}]"),
                format!("{verb:?} is no verb"),
                "verbs are lower-case words, or *",
            );
        }
    }
    if rule.resources.is_empty() && rule.non_resource_paths.is_empty() {
        report.add(format!("{field}.resources"), "is empty", "name kinds in plural, or *");
    }
    if scope == Scope::Namespace && !rule.non_resource_paths.is_empty() {
        report.add(format!("{field}.nonResourcePaths"), "means nothing in a namespace", "use a ClusterRole");
    }
    for (index, resource) in rule.resources.iter().enumerate() {
        check_resource(&format!("{field}.resources[{index}]"), resource, report);
    }
    for (index, path) in rule.non_resource_paths.iter().enumerate() {
        if path != "*" && !path.starts_with('/') {
            report.add(format!("{field}.nonResourcePaths[{index}]"), format!("{path:?} does not start with /"), "");
        }
    }
}

fn check_resource(field: &str, resource: &str, report: &mut Report) {
    let (plural, subresource) = resource.split_once('/').unwrap_or((resource, "x"));
    let is_kind = Kind::ALL.into_iter().any(|kind| kind.plural() == plural);
    if plural != "*" && !is_kind && !SUBJECT_RESOURCES.contains(&plural) {
        let kinds = Kind::ALL.map(Kind::plural).into_iter().chain(SUBJECT_RESOURCES).collect::<Vec<_>>().join(", ");
        report.add(field, format!("{resource:?} is no resource"), format!("use one of {kinds}, or *"));
    }
    if subresource != "*" && labels::check_name(subresource).is_err() {
        report.add(field, format!("{subresource:?} is no subresource"), "");
    }
}

pub(super) fn check_binding(role: Option<&RoleRef>, subjects: &[Subject], scope: Scope, report: &mut Report) {
    match role {
        None => report.add("roleRef", "is missing", "name the role to give"),
        Some(role) => check_role_ref(role, scope, report),
    }
    if subjects.len() > SUBJECTS_MAX {
        report.add("subjects", format!("has {} entries, the limit is {SUBJECTS_MAX}", subjects.len()), "use a group");
    }
    for (index, subject) in subjects.iter().enumerate() {
        check_subject(&format!("subjects[{index}]"), subject, scope, report);
    }
}

fn check_role_ref(role: &RoleRef, scope: Scope, report: &mut Report) {
    match (role.kind.as_str(), scope) {
        ("ClusterRole", _) | ("Role", Scope::Namespace) => {}
        ("Role", Scope::Cluster) => {
            report.add("roleRef.kind", "is Role, but the binding is cluster-wide", "use a ClusterRole")
        }
        (other, _) => report.add("roleRef.kind", format!("is {other:?}"), "use Role or ClusterRole"),
    }
    if role.name.is_empty() {
        report.add("roleRef.name", "is empty", "");
    }
}

fn check_subject(field: &str, subject: &Subject, scope: Scope, report: &mut Report) {
    if subject.name.is_empty() {
        report.add(format!("{field}.name"), "is empty", "");
    }
    match subject.kind.as_str() {
        "User" | "Group" if !subject.namespace.is_empty() => {
            report.add(format!("{field}.namespace"), format!("is set, but a {} lives in none", subject.kind), "");
        }
        "User" | "Group" => {}
        "ServiceAccount" if subject.namespace.is_empty() && scope == Scope::Cluster => {
            report.add(format!("{field}.namespace"), "is missing", "say where the service account lives");
        }
        "ServiceAccount" => {}
        other => report.add(format!("{field}.kind"), format!("is {other:?}"), "use User, Group or ServiceAccount"),
    }
}
