//! What the servers agree on about themselves: written by leaders only, and the one place where the watch history is
//! cut on request.

use boss_proto::{ids::Revision, kind::Kind, raft::v1::Compact};

use super::{Case, Refused, Verdict, forbidden, invalid};

/// The members and the ids that were used must not be open to whoever may write objects.
pub(super) fn check_writer(case: &Case<'_>) -> Refused<()> {
    if case.key.kind != Kind::ControlPlane || case.operation.leader_term.is_some() {
        return Ok(());
    }
    Err(forbidden(
        "the control plane's own object is written by the servers only: use the calls of the Cluster service",
    ))
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
