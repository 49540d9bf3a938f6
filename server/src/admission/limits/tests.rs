//! What ranges give, and what they refuse.

use boss_proto::manifest;

use super::*;

fn object(manifest: &str) -> Object {
    manifest::from_yaml(manifest).unwrap().remove(0)
}

fn limits(object: &Object) -> Limits<'_> {
    let range = range(object).unwrap();
    Limits(range.spec.iter().flat_map(|spec| &spec.limits).map(|item| ("r", item)).collect())
}

fn range_of(items: &str) -> Object {
    object(&format!("apiVersion: boss.dev/v1\nkind: LimitRange\nmetadata: {{name: r}}\nspec: {{limits: {items}}}"))
}

fn pod(resources: &str) -> Object {
    object(&format!(
        "apiVersion: boss.dev/v1\nkind: Pod\nmetadata: {{name: p}}\nspec: {{containers: [{{name: main, resources: {resources}}}]}}"
    ))
}

#[track_caller]
fn check_filled(items: &str, before: &str, after: &str) {
    let (range, mut pod) = (range_of(items), self::pod(before));
    limits(&range).fill(&mut pod);
    assert_eq!(manifest::to_yaml(&pod), manifest::to_yaml(&self::pod(after)));
}

#[track_caller]
fn check_refused(items: &str, resources: &str, fields: &[&str]) {
    let (range, pod) = (range_of(items), pod(resources));
    let mut report = Report::default();
    limits(&range).check(&pod, &mut report);
    let found = match report.finish() {
        Err(super::super::Refusal::Invalid(problems)) => {
            assert!(problems.iter().all(|problem| problem.problem.contains("LimitRange \"r\"")), "{problems:?}");
            problems.into_iter().map(|problem| problem.field).collect()
        }
        _ => Vec::new(),
    };
    assert_eq!(found, fields);
}

#[test]
fn a_container_gets_what_it_does_not_say() {
    let both = "[{type: Container, defaultRequest: {cpu: 100m, memory: 64Mi}, defaultLimit: {cpu: 200m}}]";
    check_filled(both, "{}", "{requests: {cpu: 100m, memory: 64Mi}, limits: {cpu: 200m}}");
    check_filled(both, "{requests: {cpu: 150m}}", "{requests: {cpu: 150m, memory: 64Mi}, limits: {cpu: 200m}}");
    check_filled(both, "{limits: {cpu: 50m}}", "{requests: {memory: 64Mi}, limits: {cpu: 50m}}");
}

#[test]
fn a_default_limit_below_the_request_is_not_given() {
    let items = "[{type: Container, defaultLimit: {cpu: 200m}}]";
    check_filled(items, "{requests: {cpu: 300m}}", "{requests: {cpu: 300m}}");
}

#[test]
fn an_item_for_pods_gives_nothing() {
    check_filled("[{type: Pod, max: {cpu: 200m}}]", "{}", "{}");
}

#[test]
fn what_is_outside_of_a_range_is_refused_by_its_field() {
    let items = "[{type: Container, min: {cpu: 100m}, max: {cpu: 200m}}]";
    check_refused(items, "{requests: {cpu: 150m}, limits: {cpu: 200m}}", &[]);
    check_refused(items, "{limits: {cpu: 300m}}", &["spec.containers[0].resources.limits.cpu"]);
    check_refused(items, "{requests: {cpu: 50m}, limits: {cpu: 200m}}", &["spec.containers[0].resources.requests.cpu"]);
    check_refused(items, "{requests: {cpu: 150m}}", &["spec.containers[0].resources.limits.cpu"]);
    check_refused("[{type: Pod, max: {memory: 1Gi}}]", "{limits: {memory: 2Gi}}", &["spec.resources.limits.memory"]);
}
