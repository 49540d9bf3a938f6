//! What a policy may say.

use boss_proto::{policy::Policy, v1::AdmissionPolicy};

use super::Report;

pub(super) fn check(policy: &AdmissionPolicy, report: &mut Report) {
    if policy.spec.is_none() {
        report.add("spec", "is missing", "say what the policy demands");
        return;
    }
    for problem in Policy::compile(policy).err().into_iter().flatten() {
        report.add(problem.field, problem.problem, "try it out with bossctl policy test");
    }
}
