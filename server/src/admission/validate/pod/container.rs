//! What a container may say.

use boss_proto::{
    intent::{Reason, SandboxClass},
    labels,
    v1::{Container, EnvVar, Rlimit},
};

use super::{Report, check_resources, check_text};

/// The names of getrlimit(2), without their prefix.
const RLIMITS: [&str; 16] = [
    "as",
    "core",
    "cpu",
    "data",
    "fsize",
    "locks",
    "memlock",
    "msgqueue",
    "nice",
    "nofile",
    "nproc",
    "rss",
    "rtprio",
    "rttime",
    "sigpending",
    "stack",
];

pub(super) fn check(field: &str, container: &Container, class: Option<SandboxClass>, report: &mut Report) {
    report.check(format!("{field}.name"), labels::check_name(&container.name));
    check_command(field, container, class, report);
    check_env(field, &container.env, report);
    check_working_dir(field, container, report);
    check_rlimits(field, &container.rlimits, report);
    check_resources(&format!("{field}.resources"), container.resources.as_ref(), report);
    check_text(&format!("{field}.image"), &container.image, report);
    if container.wasm.is_some() && class.is_some_and(|class| class != SandboxClass::Wasm) {
        let problem = "is set, but the pod's class is not wasm";
        report.add_reason(Reason::InvalidSpec, format!("{field}.wasm"), problem);
    }
}

fn check_command(field: &str, container: &Container, class: Option<SandboxClass>, report: &mut Report) {
    if class == Some(SandboxClass::Process) && container.command.first().is_none_or(String::is_empty) {
        report.add(format!("{field}.command"), "is empty", "name the program to run: [\"/bin/sleep\", \"300\"]");
    }
    for (name, texts) in [("command", &container.command), ("args", &container.args)] {
        for (index, text) in texts.iter().enumerate() {
            check_text(&format!("{field}.{name}[{index}]"), text, report);
        }
    }
}

fn check_env(field: &str, env: &[EnvVar], report: &mut Report) {
    for (index, variable) in env.iter().enumerate() {
        let at = format!("{field}.env[{index}]");
        let mut characters = variable.name.chars();
        let starts_well = characters.next().is_some_and(|first| first.is_ascii_alphabetic() || first == '_');
        if !starts_well || !characters.all(|other| other.is_ascii_alphanumeric() || other == '_') {
            let hint = "letters, digits and underscores, not a digit first";
            report.add(format!("{at}.name"), format!("{:?} is no name of a variable", variable.name), hint);
        }
        if env[..index].iter().any(|other| other.name == variable.name) {
            report.add(format!("{at}.name"), format!("{:?} is there twice", variable.name), "");
        }
        check_text(&format!("{at}.value"), &variable.value, report);
    }
}

fn check_working_dir(field: &str, container: &Container, report: &mut Report) {
    let at = format!("{field}.workingDir");
    if !container.working_dir.is_empty() && !container.working_dir.starts_with('/') {
        report.add(&*at, format!("{:?} is not absolute", container.working_dir), "start it with /");
    }
    check_text(&at, &container.working_dir, report);
}

fn check_rlimits(field: &str, rlimits: &[Rlimit], report: &mut Report) {
    for (index, rlimit) in rlimits.iter().enumerate() {
        let at = |name: &str| format!("{field}.rlimits[{index}].{name}");
        if !RLIMITS.contains(&rlimit.r#type.as_str()) {
            let hint = format!("use one of {}", RLIMITS.join(", "));
            report.add(at("type"), format!("{:?} is no limit", rlimit.r#type), hint);
        }
        if rlimits[..index].iter().any(|other| other.r#type == rlimit.r#type) {
            report.add(at("type"), format!("{:?} is there twice", rlimit.r#type), "");
        }
        if rlimit.soft > rlimit.hard {
            report.add(at("soft"), format!("{} is more than hard, {}", rlimit.soft, rlimit.hard), "");
        }
    }
}
