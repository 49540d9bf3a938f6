//! Requests for certificates in columns.

use boss_proto::v1;

use super::{namespace::name_and_age, rfc3339};

/// Always, and with more room.
pub(super) const HEADERS: (&[&str], &[&str]) = (&["NAME", "BY", "STATE", "UNTIL", "AGE"], &[]);

pub(super) fn cells(request: &v1::CertificateSigningRequest, now: u64) -> Vec<String> {
    let [name, age] = name_and_age(request.metadata.as_ref(), now);
    let by = request.spec.as_ref().map(|spec| spec.requested_by.clone()).unwrap_or_default();
    let status = request.status.clone().unwrap_or_default();
    let latest = status.issued.last();
    let state = match latest {
        None => "waits",
        Some(latest) if latest.revoked => "revoked",
        Some(_) => "issued",
    };
    let until = latest.and_then(|latest| latest.not_after.as_ref()).map(|time| rfc3339(time.seconds));
    vec![name, by, state.to_owned(), until.unwrap_or_default(), age]
}
