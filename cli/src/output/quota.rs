//! Quotas and limits in tables.

use boss_proto::v1;

use super::namespace::name_and_age;

pub(super) const HEADERS: (&[&str], &[&str]) = (&["NAME", "USED", "AGE"], &[]);
pub(super) const LIMIT_HEADERS: (&[&str], &[&str]) = (&["NAME", "LIMITS", "AGE"], &[]);

/// Each as `count/pods 3/10`.
pub(super) fn cells(quota: &v1::ResourceQuota, now: u64) -> Vec<String> {
    let [name, age] = name_and_age(quota.metadata.as_ref(), now);
    let hard = quota.spec.iter().flat_map(|spec| &spec.hard);
    let used = quota.status.as_ref().map(|status| &status.used);
    let line = |(what, hard): (&String, &String)| {
        let used = used.and_then(|used| used.get(what)).map_or("?", String::as_str);
        format!("{what} {used}/{hard}")
    };
    vec![name, hard.map(line).collect::<Vec<_>>().join(", "), age]
}

pub(super) fn limit_cells(range: &v1::LimitRange, now: u64) -> Vec<String> {
    let [name, age] = name_and_age(range.metadata.as_ref(), now);
    let types = range.spec.iter().flat_map(|spec| &spec.limits).map(|item| item.r#type.as_str());
    vec![name, types.collect::<Vec<_>>().join(","), age]
}
