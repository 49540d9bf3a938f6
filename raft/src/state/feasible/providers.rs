//! Which providers of a node could run a pod: class, artifact, isolation, network, health, room.

use boss_proto::{
    intent::{ArtifactType, Isolation, NetworkMode, SandboxClass},
    v1::{Node, PodSpec, Provider},
};

use super::{Rejected, Used};

struct Wanted {
    class: SandboxClass,
    artifact: Option<ArtifactType>,
    floor: Option<Isolation>,
    network: Option<NetworkMode>,
}

impl Wanted {
    fn of(pod: &PodSpec) -> Result<Self, Rejected> {
        let artifact = pod.artifact.as_ref().map_or("", |artifact| &artifact.r#type);
        let network = pod.network.as_ref().map_or("", |network| &network.mode);
        Ok(Self {
            class: SandboxClass::resolve(pod).map_err(|problem| Rejected::InvalidSpec(problem.to_string()))?,
            artifact: word("spec.artifact.type", artifact)?,
            floor: word("spec.isolation", &pod.isolation)?,
            network: word("spec.network.mode", network)?,
        })
    }
}

fn word<T: std::str::FromStr<Err: std::fmt::Display>>(field: &str, text: &str) -> Result<Option<T>, Rejected> {
    match text {
        "" => Ok(None),
        _ => text.parse().map(Some).map_err(|error| Rejected::InvalidSpec(format!("{field}: {error}"))),
    }
}

/// Narrows the node's providers step by step; the first step that leaves none is the reason.
pub(super) fn fitting<'n>(
    pod: &PodSpec,
    node: &'n Node,
    used: &Used,
    rejected: &mut Vec<Rejected>,
) -> Vec<&'n Provider> {
    let wanted = match Wanted::of(pod) {
        Ok(wanted) => wanted,
        Err(reason) => {
            rejected.push(reason);
            return Vec::new();
        }
    };
    match narrow(&wanted, node, used) {
        Ok(providers) => providers,
        Err(reasons) => {
            rejected.extend(reasons);
            Vec::new()
        }
    }
}

fn narrow<'n>(wanted: &Wanted, node: &'n Node, used: &Used) -> Result<Vec<&'n Provider>, Vec<Rejected>> {
    let capabilities = node.status.as_ref().and_then(|status| status.runtime_capabilities.as_ref());
    let all = capabilities.map_or(&[][..], |capabilities| &capabilities.providers);
    let providers = keep(all.iter().collect(), |provider| has(&provider.classes, wanted.class.as_str()))
        .ok_or_else(|| vec![Rejected::Class { class: wanted.class }])?;
    let providers = match wanted.artifact {
        None => providers,
        Some(artifact) => keep(providers, |provider| has(&provider.artifact_types, artifact.as_str()))
            .ok_or_else(|| vec![Rejected::Artifact { artifact }])?,
    };
    let providers = match wanted.floor {
        None => providers,
        Some(floor) => {
            keep(providers, |provider| reaches(provider, floor)).ok_or_else(|| vec![Rejected::Isolation { floor }])?
        }
    };
    let providers = match wanted.network {
        None => providers,
        Some(mode) => keep(providers, |provider| has(&provider.network_modes, mode.as_str()))
            .ok_or_else(|| vec![Rejected::Network { mode }])?,
    };
    let reasons: Vec<_> = providers.iter().filter_map(|provider| unable(provider, used)).collect();
    keep(providers, |provider| unable(provider, used).is_none()).ok_or(reasons)
}

/// Those that pass, or `None` when none does.
fn keep(providers: Vec<&Provider>, passes: impl Fn(&Provider) -> bool) -> Option<Vec<&Provider>> {
    let kept: Vec<_> = providers.into_iter().filter(|provider| passes(provider)).collect();
    (!kept.is_empty()).then_some(kept)
}

fn has(words: &[String], word: &str) -> bool {
    words.iter().any(|other| other == word)
}

fn reaches(provider: &Provider, floor: Isolation) -> bool {
    provider.isolation_levels.iter().filter_map(|level| level.parse::<Isolation>().ok()).any(|level| level >= floor)
}

fn unable(provider: &Provider, used: &Used) -> Option<Rejected> {
    if !provider.healthy {
        return Some(Rejected::Unhealthy { provider: provider.name.clone(), reason: provider.reason.clone() });
    }
    let max = provider.concurrency_max;
    let running = used.sandboxes.get(&provider.name).copied().unwrap_or(0);
    (max != 0 && running >= max).then(|| Rejected::Full { provider: provider.name.clone(), max })
}
