//! What a node may say of itself, and people of it.

use boss_proto::{
    intent::{ArtifactType, Isolation, NetworkMode, SandboxClass, TaintEffect},
    labels,
    quantity::Amounts,
    v1::{Node, NodeStatus, Provider, ResourceList},
};

use super::{Report, check_conditions};

/// More providers than kinds of sandboxes could need.
const PROVIDERS_MAX: usize = 64;

pub(super) fn check(node: &Node, report: &mut Report) {
    let taints = node.spec.iter().flat_map(|spec| &spec.taints).enumerate();
    for (index, taint) in taints {
        let field = |name: &str| format!("spec.taints[{index}].{name}");
        report.check(field("key"), labels::check_key(&taint.key));
        report.check(field("value"), labels::check_value(&taint.value));
        report.check(field("effect"), taint.effect.parse::<TaintEffect>().map(|_| ()));
        let earlier = node.spec.iter().flat_map(|spec| &spec.taints).take(index);
        if earlier.into_iter().any(|other| other.key == taint.key && other.effect == taint.effect) {
            report.add(field("key"), format!("{:?} is there twice with this effect", taint.key), "");
        }
    }
}

pub(super) fn check_status(status: Option<&NodeStatus>, report: &mut Report) {
    let Some(status) = status else {
        report.add("status", "is missing", "");
        return;
    };
    check_amounts("status.capacity", status.capacity.as_ref(), report);
    check_amounts("status.allocatable", status.allocatable.as_ref(), report);
    check_conditions(&status.conditions, report);
    let providers = status.runtime_capabilities.as_ref().map_or(&[][..], |capabilities| &capabilities.providers);
    if providers.len() > PROVIDERS_MAX {
        let problem = format!("has {} entries, the limit is {PROVIDERS_MAX}", providers.len());
        report.add("status.runtimeCapabilities.providers", problem, "");
    }
    for (index, provider) in providers.iter().enumerate() {
        check_provider(&format!("status.runtimeCapabilities.providers[{index}]"), provider, report);
        if providers[..index].iter().any(|other| other.name == provider.name) {
            let field = format!("status.runtimeCapabilities.providers[{index}].name");
            report.add(field, format!("{:?} is there twice", provider.name), "");
        }
    }
}

fn check_amounts(field: &str, list: Option<&ResourceList>, report: &mut Report) {
    if let Some(Err(bad)) = list.map(Amounts::try_from) {
        report.add(format!("{field}.{}", bad.field), bad.source, "");
    }
}

fn check_provider(field: &str, provider: &Provider, report: &mut Report) {
    report.check(format!("{field}.name"), labels::check_name(&provider.name));
    provider.classes.iter().for_each(|word| report.word::<SandboxClass>(format!("{field}.classes"), word));
    provider.artifact_types.iter().for_each(|word| report.word::<ArtifactType>(format!("{field}.artifactTypes"), word));
    provider.network_modes.iter().for_each(|word| report.word::<NetworkMode>(format!("{field}.networkModes"), word));
    provider
        .isolation_levels
        .iter()
        .for_each(|word| report.word::<Isolation>(format!("{field}.isolationLevels"), word));
}
