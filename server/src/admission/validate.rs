//! What the objects of each kind may say. Each rule names the field that breaks it.

mod limits;
mod node;
mod pod;
mod policy;
mod quota;
mod rbac;
mod revocation;
mod secret;
mod small;

use boss_proto::v1::{Condition, Object, object::Body};

use super::checks::Report;

/// An object as it is about to be stored, with its defaults.
pub(super) fn new_object(object: &Object, report: &mut Report) {
    match object.body.as_ref() {
        Some(Body::Pod(pod)) => pod::check(pod, report),
        Some(Body::Node(node)) => node::check(node, report),
        Some(Body::ConfigMap(map)) => small::check_config_map(map, report),
        Some(Body::Event(event)) => small::check_event(event, report),
        Some(Body::Role(role)) => rbac::check_role(&role.rules, rbac::Scope::Namespace, report),
        Some(Body::ClusterRole(role)) => {
            rbac::check_role(&role.rules, rbac::Scope::Cluster, report);
            if let Some(aggregation) = &role.aggregation_rule {
                rbac::check_aggregation(aggregation, report);
            }
        }
        Some(Body::RoleBinding(binding)) => {
            rbac::check_binding(binding.role_ref.as_ref(), &binding.subjects, rbac::Scope::Namespace, report);
        }
        Some(Body::ClusterRoleBinding(binding)) => {
            rbac::check_binding(binding.role_ref.as_ref(), &binding.subjects, rbac::Scope::Cluster, report);
        }
        Some(Body::ResourceQuota(quota)) => quota::check(quota, report),
        Some(Body::LimitRange(range)) => limits::check(range, report),
        Some(Body::AdmissionPolicy(policy)) => policy::check(policy, report),
        Some(Body::Secret(secret)) => secret::check(secret, report),
        Some(Body::Revocation(revocation)) => revocation::check(revocation, report),
        // The servers alone write the last five, and not through here.
        Some(
            Body::Namespace(_)
            | Body::ServiceAccount(_)
            | Body::ControlPlane(_)
            | Body::AuditHead(_)
            | Body::CertificateSigningRequest(_)
            | Body::SigningKey(_)
            | Body::SealingKey(_),
        )
        | None => {}
    }
}

/// What of an object may change; fields that only the registry sets are taken over from the stored one.
pub(super) fn change(stored: &Object, new: &mut Object, report: &mut Report) {
    if let (Some(Body::Pod(stored)), Some(Body::Pod(new))) = (&stored.body, &mut new.body) {
        pod::check_change(stored, new, report);
    }
    if let (Some(Body::Secret(stored)), Some(Body::Secret(new))) = (&stored.body, &new.body)
        && stored.r#type != new.r#type
    {
        report.add("type", "cannot change", "delete the secret and create another one");
    }
    if let (Some(Body::Revocation(stored)), Some(Body::Revocation(new))) = (&stored.body, &new.body) {
        revocation::check_change(stored, new, report);
    }
    if let (Some(Body::RoleBinding(stored)), Some(Body::RoleBinding(new))) = (&stored.body, &new.body)
        && stored.role_ref != new.role_ref
    {
        report.add("roleRef", "cannot change", "delete the binding and create another one");
    }
    if let (Some(Body::ClusterRoleBinding(stored)), Some(Body::ClusterRoleBinding(new))) = (&stored.body, &new.body)
        && stored.role_ref != new.role_ref
    {
        report.add("roleRef", "cannot change", "delete the binding and create another one");
    }
}

/// A status as an agent or a controller reports it.
pub(super) fn status(object: &Object, report: &mut Report) {
    match object.body.as_ref() {
        Some(Body::Pod(pod)) => pod::check_status(pod.status.as_ref(), report),
        Some(Body::Node(node)) => node::check_status(node.status.as_ref(), report),
        Some(Body::Namespace(_)) => {}
        Some(
            Body::Event(_)
            | Body::ConfigMap(_)
            | Body::CertificateSigningRequest(_)
            | Body::ResourceQuota(_)
            | Body::LimitRange(_)
            | Body::AdmissionPolicy(_)
            | Body::AuditHead(_)
            | Body::ControlPlane(_)
            | Body::ServiceAccount(_)
            | Body::Secret(_)
            | Body::SigningKey(_)
            | Body::SealingKey(_)
            | Body::Revocation(_)
            | Body::Role(_)
            | Body::ClusterRole(_)
            | Body::RoleBinding(_)
            | Body::ClusterRoleBinding(_),
        )
        | None => report.add("status", "does not exist in objects of this kind", ""),
    }
}

/// Conditions have a type of their own and one of three answers.
fn check_conditions(conditions: &[Condition], report: &mut Report) {
    for (index, condition) in conditions.iter().enumerate() {
        let field = |name: &str| format!("status.conditions[{index}].{name}");
        if condition.r#type.is_empty() {
            report.add(field("type"), "is empty", "");
        }
        if conditions[..index].iter().any(|other| other.r#type == condition.r#type) {
            report.add(field("type"), format!("{:?} is there twice", condition.r#type), "");
        }
        if !matches!(condition.status.as_str(), "True" | "False" | "Unknown") {
            report.add(field("status"), format!("is {:?}", condition.status), "use True, False or Unknown");
        }
    }
}
