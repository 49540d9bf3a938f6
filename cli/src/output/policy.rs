//! Policies and audit heads in tables.

use boss_proto::v1;

use super::{namespace::name_and_age, text::rfc3339};

pub(super) const HEADERS: (&[&str], &[&str]) = (&["NAME", "KINDS", "ACTION", "AGE"], &["MUTATIONS", "VALIDATIONS"]);
pub(super) const HEAD_HEADERS: (&[&str], &[&str]) = (&["NAME", "RECORDS", "AT"], &["HASH"]);

pub(super) fn cells(policy: &v1::AdmissionPolicy, wide: bool, now: u64) -> Vec<String> {
    let [name, age] = name_and_age(policy.metadata.as_ref(), now);
    let spec = policy.spec.clone().unwrap_or_default();
    let kinds = spec.r#match.unwrap_or_default().kinds;
    let kinds = if kinds.is_empty() { "*".to_owned() } else { kinds.join(",") };
    let mut cells = vec![name, kinds, spec.action, age];
    if wide {
        cells.extend([spec.mutations.len().to_string(), spec.validations.len().to_string()]);
    }
    cells
}

pub(super) fn head_cells(head: &v1::AuditHead, wide: bool, now: u64) -> Vec<String> {
    let [name, _] = name_and_age(head.metadata.as_ref(), now);
    let spec = head.spec.clone().unwrap_or_default();
    let at = spec.time.as_ref().map_or_else(String::new, |time| rfc3339(time.seconds));
    let mut cells = vec![name, spec.sequence.to_string(), at];
    if wide {
        cells.push(spec.hash);
    }
    cells
}
