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

    fn parts(&self) -> Vec<Part> {
        let class = Some(Part::Class(self.class));
        let rest =
            [self.artifact.map(Part::Artifact), self.floor.map(Part::Isolation), self.network.map(Part::Network)];
        class.into_iter().chain(rest.into_iter().flatten()).collect()
    }
}

fn word<T: std::str::FromStr<Err: std::fmt::Display>>(field: &str, text: &str) -> Result<Option<T>, Rejected> {
    match text {
        "" => Ok(None),
        _ => text.parse().map(Some).map_err(|error| Rejected::InvalidSpec(format!("{field}: {error}"))),
    }
}

/// Narrows the node's providers part by part.
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
    let all: Vec<_> = capabilities.map_or(&[][..], |capabilities| &capabilities.providers).iter().collect();
    let parts = wanted.parts();
    let mut providers = all.clone();
    for part in &parts {
        providers = match keep(providers, |provider| part.is_met_by(provider)) {
            Some(kept) => kept,
            None => return Err(unmet(&parts, part, &all)),
        };
    }
    let reasons: Vec<_> = providers.iter().filter_map(|provider| unable(provider, used)).collect();
    keep(providers, |provider| unable(provider, used).is_none()).ok_or(reasons)
}

/// Every part of the intent that no provider of the node has, and the one at which the last provider fell out.
fn unmet(parts: &[Part], last: &Part, providers: &[&Provider]) -> Vec<Rejected> {
    let nobody = |part: &&Part| !providers.iter().any(|provider| part.is_met_by(provider));
    let mut rejected: Vec<_> = parts.iter().filter(nobody).map(Part::rejected).collect();
    if !rejected.contains(&last.rejected()) {
        rejected.push(last.rejected());
    }
    rejected
}

/// One thing that a provider must be able to do.
#[derive(Clone, Copy)]
enum Part {
    Class(SandboxClass),
    Artifact(ArtifactType),
    Isolation(Isolation),
    Network(NetworkMode),
}

impl Part {
    fn is_met_by(&self, provider: &Provider) -> bool {
        match self {
            Self::Class(class) => has(&provider.classes, class.as_str()),
            Self::Artifact(artifact) => has(&provider.artifact_types, artifact.as_str()),
            Self::Isolation(floor) => reaches(provider, *floor),
            Self::Network(mode) => has(&provider.network_modes, mode.as_str()),
        }
    }

    fn rejected(&self) -> Rejected {
        match *self {
            Self::Class(class) => Rejected::Class { class },
            Self::Artifact(artifact) => Rejected::Artifact { artifact },
            Self::Isolation(floor) => Rejected::Isolation { floor },
            Self::Network(mode) => Rejected::Network { mode },
        }
    }
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
