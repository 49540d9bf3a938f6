//! What quotas count, and how it is written. Knows no object.

use std::{fmt, str::FromStr};

use boss_proto::{
    intent::SandboxClass,
    kind::Kind,
    quantity::{BadQuantity, BitsPerSecond, Bytes, Devices, MilliCpu},
};

/// One thing that a quota can bound.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Counted {
    /// Objects of a kind: `count/pods`.
    Objects(Kind),
    /// Pods that have not ended: `pods`.
    Pods,
    /// Pods of a class that have not ended: `pods.microvm`.
    PodsOf(SandboxClass),
    /// What pods that have not ended ask for: `requests.cpu`.
    Requests(Resource),
    /// What such pods may take at most: `limits.memory`.
    Limits(Resource),
}

/// A resource, as manifests name it.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Resource {
    /// Thousandths of a core.
    Cpu,
    /// Bytes.
    Memory,
    /// Bytes.
    Disk,
    /// Bytes.
    EphemeralStorage,
    /// Whole devices.
    Gpu,
    /// Bits per second.
    NetworkBandwidth,
}

impl Resource {
    /// In the order of `feasible::Amounts::named`.
    pub(super) const ALL: [Resource; 6] =
        [Self::Cpu, Self::Memory, Self::Disk, Self::EphemeralStorage, Self::Gpu, Self::NetworkBandwidth];

    pub(super) fn as_str(self) -> &'static str {
        match self {
            Self::Cpu => "cpu",
            Self::Memory => "memory",
            Self::Disk => "disk",
            Self::EphemeralStorage => "ephemeralStorage",
            Self::Gpu => "gpu",
            Self::NetworkBandwidth => "networkBandwidth",
        }
    }
}

/// The text names nothing that can be counted.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error(
    "{0:?} is nothing that can be counted: use count/PLURAL, pods, pods.CLASS, requests.RESOURCE or limits.RESOURCE"
)]
pub struct BadCounted(pub String);

impl FromStr for Counted {
    type Err = BadCounted;

    fn from_str(text: &str) -> Result<Self, BadCounted> {
        let bad = || BadCounted(text.to_owned());
        if text == "pods" {
            return Ok(Self::Pods);
        }
        if let Some(plural) = text.strip_prefix("count/") {
            let mut kinds = Kind::ALL.into_iter().filter(|kind| kind.is_namespaced());
            return kinds.find(|kind| kind.plural() == plural).map(Self::Objects).ok_or_else(bad);
        }
        let (group, rest) = text.split_once('.').ok_or_else(bad)?;
        let resource = || Resource::ALL.into_iter().find(|resource| resource.as_str() == rest).ok_or_else(bad);
        match group {
            "pods" => rest.parse().map(Self::PodsOf).map_err(|_| bad()),
            "requests" => resource().map(Self::Requests),
            "limits" => resource().map(Self::Limits),
            _ => Err(bad()),
        }
    }
}

impl fmt::Display for Counted {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Objects(kind) => write!(f, "count/{}", kind.plural()),
            Self::Pods => f.write_str("pods"),
            Self::PodsOf(class) => write!(f, "pods.{class}"),
            Self::Requests(resource) => write!(f, "requests.{}", resource.as_str()),
            Self::Limits(resource) => write!(f, "limits.{}", resource.as_str()),
        }
    }
}

impl Counted {
    /// Reads an amount of it as users write it.
    pub fn amount(self, text: &str) -> Result<u64, BadQuantity> {
        match self {
            Self::Objects(_) | Self::Pods | Self::PodsOf(_) => text.parse().map(|Devices(count)| count),
            Self::Requests(resource) | Self::Limits(resource) => match resource {
                Resource::Cpu => text.parse().map(|MilliCpu(amount)| amount),
                Resource::Memory | Resource::Disk | Resource::EphemeralStorage => {
                    text.parse().map(|Bytes(amount)| amount)
                }
                Resource::Gpu => text.parse().map(|Devices(amount)| amount),
                Resource::NetworkBandwidth => text.parse().map(|BitsPerSecond(amount)| amount),
            },
        }
    }

    /// Writes an amount of it so.
    #[must_use]
    pub(super) fn show(self, amount: u128) -> String {
        let Ok(amount) = u64::try_from(amount) else { return amount.to_string() };
        match self {
            Self::Objects(_) | Self::Pods | Self::PodsOf(_) => amount.to_string(),
            Self::Requests(resource) | Self::Limits(resource) => match resource {
                Resource::Cpu => MilliCpu(amount).to_string(),
                Resource::Memory | Resource::Disk | Resource::EphemeralStorage => Bytes(amount).to_string(),
                Resource::Gpu => amount.to_string(),
                Resource::NetworkBandwidth => BitsPerSecond(amount).to_string(),
            },
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_counted_is_read_as_it_is_written() {
        for text in
            ["count/pods", "count/configmaps", "pods", "pods.microvm", "requests.cpu", "limits.ephemeralStorage"]
        {
            assert_eq!(text.parse::<Counted>().unwrap().to_string(), text);
        }
    }

    #[test]
    fn what_cannot_be_counted_is_refused() {
        for text in ["", "cpu", "count/nodes", "count/", "pods.tiny", "requests.", "limits.cpus", "pods."] {
            assert_eq!(text.parse::<Counted>(), Err(BadCounted(text.to_owned())), "{text}");
        }
    }

    #[test]
    fn amounts_have_the_units_of_what_they_count() {
        for (what, text, amount) in [
            ("count/pods", "10", 10),
            ("requests.cpu", "1500m", 1_500),
            ("requests.memory", "64Mi", 64 << 20),
            ("limits.networkBandwidth", "1G", 1_000_000_000),
        ] {
            let counted: Counted = what.parse().unwrap();
            assert_eq!(counted.amount(text), Ok(amount), "{what}");
            assert_eq!(counted.show(u128::from(amount)), text, "{what}");
        }
        assert!("count/pods".parse::<Counted>().unwrap().amount("1500m").is_err());
        assert!("pods".parse::<Counted>().unwrap().amount("-1").is_err());
    }
}
