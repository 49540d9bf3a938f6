//! Secrets, keys and revocations in tables: what they are and how much they hold, never what.

use boss_proto::v1;

use super::{namespace::name_and_age, rfc3339};

pub(super) const SECRET_HEADERS: (&[&str], &[&str]) = (&["NAME", "TYPE", "DATA", "AGE"], &[]);
pub(super) const SIGNING_KEY_HEADERS: (&[&str], &[&str]) = (&["NAME", "SIGNS-FROM", "SIGNS-UNTIL", "AGE"], &[]);
pub(super) const SEALING_KEY_HEADERS: (&[&str], &[&str]) =
    (&["NAME", "PHASE", "RESEALED", "REMAINING", "MESSAGE", "AGE"], &[]);
pub(super) const REVOCATION_HEADERS: (&[&str], &[&str]) = (&["NAME", "REVOKES", "BY", "EXPIRES", "AGE"], &["REASON"]);

pub(super) fn secret_cells(secret: &v1::Secret, now: u64) -> Vec<String> {
    let [name, age] = name_and_age(secret.metadata.as_ref(), now);
    vec![name, secret.r#type.clone(), sizes(secret).join(","), age]
}

/// `password=8B`: what may be shown of each value.
pub(super) fn sizes(secret: &v1::Secret) -> Vec<String> {
    secret.data.iter().map(|(key, value)| format!("{key}={}B", value.len())).collect()
}

pub(super) fn signing_key_cells(key: &v1::SigningKey, now: u64) -> Vec<String> {
    let spec = key.spec.clone().unwrap_or_default();
    let [name, age] = name_and_age(key.metadata.as_ref(), now);
    vec![name, time(spec.active_from.map(|at| at.seconds)), time(spec.retired_from.map(|at| at.seconds)), age]
}

pub(super) fn sealing_key_cells(key: &v1::SealingKey, now: u64) -> Vec<String> {
    let spec = key.spec.clone().unwrap_or_default();
    let [name, age] = name_and_age(key.metadata.as_ref(), now);
    vec![name, spec.phase, spec.resealed.to_string(), spec.remaining.to_string(), spec.message, age]
}

pub(super) fn revocation_cells(revocation: &v1::Revocation, wide: bool, now: u64) -> Vec<String> {
    let spec = revocation.spec.clone().unwrap_or_default();
    let what = match (&*spec.token_id, &*spec.certificate_serial, &*spec.subject) {
        ("", "", subject) => format!("all of {subject}"),
        ("", serial, _) => format!("certificate {serial}"),
        (token, ..) => format!("token {token}"),
    };
    let [name, age] = name_and_age(revocation.metadata.as_ref(), now);
    let mut cells = vec![name, what, spec.revoked_by, time(spec.expires_at.map(|at| at.seconds)), age];
    if wide {
        cells.push(spec.reason);
    }
    cells
}

fn time(at: Option<i64>) -> String {
    at.map_or_else(String::new, rfc3339)
}
