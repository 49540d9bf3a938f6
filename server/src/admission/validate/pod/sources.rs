//! What containers may take from secrets and config maps, as far as the pod alone shows it. Whether its author may is a
//! question of rights.

use boss_proto::{
    labels,
    limits::ENV_SOURCES_MAX,
    references,
    v1::{Container, EnvFromSource, EnvVar, EnvVarSource, KeyReference, PodSpec},
};

use super::Report;
use crate::admission::validate::small::wrong_config_key;

pub(super) fn check(spec: &PodSpec, report: &mut Report) {
    let allowed = spec.security.as_ref().map_or(&[][..], |security| &security.secrets);
    for (index, container) in spec.containers.iter().enumerate() {
        check_container(&format!("spec.containers[{index}]"), container, allowed, report);
    }
    let count = references::of("", spec).len();
    if count > ENV_SOURCES_MAX {
        let problem = format!("name {count} secrets and config maps, the limit is {ENV_SOURCES_MAX}");
        report.add("spec.containers", problem, "put what belongs together into one object");
    }
}

fn check_container(field: &str, container: &Container, allowed: &[String], report: &mut Report) {
    for (index, variable) in container.env.iter().enumerate() {
        if let Some(from) = &variable.value_from {
            check_variable(&format!("{field}.env[{index}]"), variable, from, allowed, report);
        }
    }
    for (index, from) in container.env_from.iter().enumerate() {
        check_whole(&format!("{field}.envFrom[{index}]"), from, allowed, report);
    }
}

fn check_variable(field: &str, variable: &EnvVar, from: &EnvVarSource, allowed: &[String], report: &mut Report) {
    if !variable.value.is_empty() {
        report.add(format!("{field}.value"), "is set beside valueFrom", "keep one of them");
    }
    let at = format!("{field}.valueFrom");
    match (&from.secret_key_ref, &from.config_map_key_ref) {
        (Some(reference), None) => {
            check_key(&format!("{at}.secretKeyRef"), reference, report);
            check_allowed(&format!("{at}.secretKeyRef.name"), &reference.name, allowed, report);
        }
        (None, Some(reference)) => check_key(&format!("{at}.configMapKeyRef"), reference, report),
        _ => report.add(at, "names not exactly one source", "use secretKeyRef or configMapKeyRef"),
    }
}

fn check_whole(field: &str, from: &EnvFromSource, allowed: &[String], report: &mut Report) {
    let starts_well = from.prefix.chars().next().is_none_or(|first| first.is_ascii_alphabetic() || first == '_');
    if !starts_well || !from.prefix.chars().all(|other| other.is_ascii_alphanumeric() || other == '_') {
        let hint = "letters, digits and underscores, not a digit first";
        report.add(format!("{field}.prefix"), format!("{:?} begins no name of a variable", from.prefix), hint);
    }
    match (&from.secret_ref, &from.config_map_ref) {
        (Some(reference), None) => {
            let at = format!("{field}.secretRef.name");
            report.check(&*at, labels::check_name(&reference.name));
            check_allowed(&at, &reference.name, allowed, report);
        }
        (None, Some(reference)) => {
            report.check(format!("{field}.configMapRef.name"), labels::check_name(&reference.name));
        }
        _ => report.add(field, "names not exactly one source", "use secretRef or configMapRef"),
    }
}

fn check_key(field: &str, reference: &KeyReference, report: &mut Report) {
    report.check(format!("{field}.name"), labels::check_name(&reference.name));
    if let Some((problem, hint)) = wrong_config_key(&reference.key) {
        report.add(format!("{field}.key"), problem, hint);
    }
}

/// A pod can say which secrets it keeps to, whatever its author may read: what somebody adds by mistake is refused.
fn check_allowed(field: &str, name: &str, allowed: &[String], report: &mut Report) {
    if !allowed.is_empty() && !allowed.iter().any(|other| other == name) {
        report.add(field, format!("{name:?} is not among spec.security.secrets"), "name it there, too");
    }
}
