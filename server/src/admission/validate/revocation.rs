//! What revocations may say.

use boss_proto::{
    limits::{REVOCATION_REASON_BYTES_MAX, TOKEN_ID_LEN_MAX},
    v1::Revocation,
};
use boss_raft::state::credentials::Target;

use super::Report;

/// Whose credentials can be revoked all at once. A server is removed instead.
const SUBJECTS: [&str; 3] = ["user:", "node:", "serviceaccount:"];
/// A serial has at most 20 bytes (RFC 5280).
const SERIAL_LEN_MAX: usize = 40;

pub(super) fn check(revocation: &Revocation, report: &mut Report) {
    let spec = revocation.spec.clone().unwrap_or_default();
    match Target::of(&spec) {
        None => report.add("spec", "names not exactly one thing", "set tokenId, certificateSerial or subject"),
        Some(target) => {
            let name = target.revocation_name();
            if revocation.metadata.as_ref().is_none_or(|metadata| metadata.name != name) {
                report.add("metadata.name", format!("must be {name} for what is revoked"), "use bossctl token revoke");
            }
            check_target(target, report);
        }
    }
    if spec.generation != 0 && spec.subject.is_empty() {
        report.add("spec.generation", "is set without a subject", "leave it out");
    }
    if spec.expires_at.is_none() {
        report.add("spec.expiresAt", "is missing", "say when the credential would have expired");
    }
    if spec.reason.len() > REVOCATION_REASON_BYTES_MAX {
        let problem = format!("has {} bytes, the limit is {REVOCATION_REASON_BYTES_MAX}", spec.reason.len());
        report.add("spec.reason", problem, "");
    }
}

fn check_target(target: Target<'_>, report: &mut Report) {
    match target {
        Target::Token(id) if id.len() > TOKEN_ID_LEN_MAX => {
            report.add("spec.tokenId", format!("has {} bytes, the limit is {TOKEN_ID_LEN_MAX}", id.len()), "");
        }
        Target::Certificate(serial)
            if serial.len() > SERIAL_LEN_MAX
                || !serial.chars().all(|it| it.is_ascii_digit() || ('a'..='f').contains(&it)) =>
        {
            report.add("spec.certificateSerial", "is no serial", "use lower case hexadecimal digits without colons");
        }
        Target::Subject(uid) if !SUBJECTS.iter().any(|prefix| uid.len() > prefix.len() && uid.starts_with(prefix)) => {
            report.add("spec.subject", format!("{uid:?} is no uid"), "use user:NAME, node:NAME or serviceaccount:UID");
        }
        Target::Token(_) | Target::Certificate(_) | Target::Subject(_) => {}
    }
}

/// What is revoked stays so, or more of it is.
pub(super) fn check_change(stored: &Revocation, new: &Revocation, report: &mut Report) {
    let (Some(stored), Some(new)) = (&stored.spec, &new.spec) else { return };
    if new.generation < stored.generation {
        let problem = format!("is {}, but was {} before", new.generation, stored.generation);
        report.add("spec.generation", problem, "it only grows; delete the revocation to take it back");
    }
}
