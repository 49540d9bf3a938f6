//! Why a node cannot take a pod, one reason at a time. Knows no rule.

use boss_proto::{
    intent::{ArtifactType, Isolation, NetworkMode, Reason, SandboxClass},
    quantity::{BitsPerSecond, Bytes, Devices, MilliCpu},
};

/// One reason why a node cannot take a pod.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, thiserror::Error)]
pub enum Rejected {
    /// The pod's own words make no sense.
    #[error("{0}")]
    InvalidSpec(String),
    /// The node is closed for new pods.
    #[error("the node is unschedulable")]
    Unschedulable,
    /// The node is being deleted.
    #[error("the node is being deleted")]
    Leaving,
    /// The node's Ready condition is not True.
    #[error("the node is not ready")]
    NotReady,
    /// The pod does not tolerate a taint.
    #[error("taint {taint} is not tolerated")]
    Taint {
        /// `key=value:effect`.
        taint: String,
    },
    /// The node selector asks for another label.
    #[error("label {key}={wanted} is missing")]
    Selector {
        /// Label.
        key: String,
        /// Value.
        wanted: String,
    },
    /// No term of the required affinity holds.
    #[error("no required affinity term matches the node's labels")]
    Affinity,
    /// The node is in another region.
    #[error("the node is not in region {wanted}")]
    Region {
        /// Region of the pod.
        wanted: String,
    },
    /// No provider runs the class.
    #[error("no provider runs class {class}")]
    Class {
        /// Class of the pod.
        class: SandboxClass,
    },
    /// No provider of the class takes the artifact.
    #[error("no provider of the class takes artifact type {artifact}")]
    Artifact {
        /// Type of the pod's artifact.
        artifact: ArtifactType,
    },
    /// No provider isolates far enough.
    #[error("no provider isolates at least {floor}")]
    Isolation {
        /// The least that the pod accepts.
        floor: Isolation,
    },
    /// No provider has the network mode.
    #[error("no provider has network mode {mode}")]
    Network {
        /// Mode of the pod.
        mode: NetworkMode,
    },
    /// The provider does not work.
    #[error("provider {provider} is not healthy: {reason}")]
    Unhealthy {
        /// Its name.
        provider: String,
        /// What it says.
        reason: String,
    },
    /// The provider runs as many sandboxes as it can.
    #[error("provider {provider} is full with {max} sandboxes")]
    Full {
        /// Its name.
        provider: String,
        /// Its bound.
        max: u32,
    },
    /// Too little is left.
    #[error("not enough {resource}: {} wanted, {} free", amount(resource, *wanted), amount(resource, *free))]
    Resources {
        /// cpu, memory, ...
        resource: &'static str,
        /// In the resource's unit; cores in thousandths.
        wanted: u64,
        /// The same.
        free: u64,
    },
}

/// An amount as users write it.
fn amount(resource: &str, amount: u64) -> String {
    match resource {
        "cpu" => MilliCpu(amount).to_string(),
        "gpu" => Devices(amount).to_string(),
        "networkBandwidth" => BitsPerSecond(amount).to_string(),
        _ => Bytes(amount).to_string(),
    }
}

impl Rejected {
    /// The stable word for it.
    #[must_use]
    pub fn reason(&self) -> Reason {
        match self {
            Self::InvalidSpec(_) => Reason::InvalidSpec,
            Self::Class { .. } => Reason::UnsupportedClass,
            Self::Artifact { .. } => Reason::UnsupportedArtifact,
            Self::Isolation { .. } => Reason::IsolationMismatch,
            Self::Unhealthy { .. } => Reason::ProviderUnavailable,
            Self::Resources { .. } | Self::Full { .. } => Reason::InsufficientResources,
            Self::Unschedulable
            | Self::Leaving
            | Self::NotReady
            | Self::Taint { .. }
            | Self::Selector { .. }
            | Self::Affinity
            | Self::Region { .. }
            | Self::Network { .. } => Reason::Unschedulable,
        }
    }
}
