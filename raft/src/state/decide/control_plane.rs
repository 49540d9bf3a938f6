//! What the servers agree on about themselves: written by leaders only, and the one place where the watch history is
//! cut on request.

use boss_proto::{ids::Revision, kind::Kind, raft::v1::Compact};

use super::{Case, Refused, Verdict, forbidden, invalid};

/// The members, the ids that were used and what was signed for whom must not be open to whoever may write objects.
pub(super) fn check_writer(case: &Case<'_>) -> Refused<()> {
    if case.operation.leader_term.is_some() {
        return Ok(());
    }
    match case.key.kind {
        Kind::ControlPlane => Err(forbidden(
            "the control plane's own object is written by the servers only: use the calls of the Cluster service",
        )),
        // Deleted it may not be either: the serials in it are what a revocation finds.
        Kind::CertificateSigningRequest => Err(forbidden(
            "certificate signing requests are written by the servers only: use a join token, or bossctl certs",
        )),
        // Whoever edits a file of audit must not be able to say how it ends.
        Kind::AuditHead => Err(forbidden("heads of audit files are written by the servers only")),
        _ => Ok(()),
    }
}

pub(super) fn decide_compact(case: &Case<'_>, compact: &Compact) -> Refused<Verdict> {
    let (stored, current) = (case.stored()?, case.registry.revision());
    let wanted = Revision(compact.revision);
    if wanted > current {
        let problem = format!("{wanted} lies in the future: the registry is at {current}");
        return Err(invalid("revision", &problem, "name a revision that was reached, or none"));
    }
    Ok(Verdict::Compact(wanted, stored.clone()))
}
