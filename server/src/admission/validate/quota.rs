//! What a quota may say.

use boss_proto::v1::ResourceQuota;
use boss_raft::state::quota::Counted;

use super::Report;

pub(super) fn check(quota: &ResourceQuota, report: &mut Report) {
    let hard = quota.spec.iter().flat_map(|spec| &spec.hard);
    if hard.clone().next().is_none() {
        report.add("spec.hard", "is empty", "say how much of what there may be, like count/pods: \"10\"");
    }
    for (what, amount) in hard {
        let field = format!("spec.hard[{what:?}]");
        match what.parse::<Counted>() {
            Ok(counted) => report.check(field, counted.amount(amount).map(|_| ())),
            Err(bad) => report.add(field, bad, ""),
        }
    }
}
