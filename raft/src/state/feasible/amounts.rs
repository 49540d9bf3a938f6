//! Resources as whole numbers: what a pod asks for, what a node has, what is taken.

use std::collections::BTreeMap;

use boss_proto::{
    quantity::{BitsPerSecond, Bytes, Devices, MilliCpu},
    v1::{Node, PodSpec, ResourceList},
};

use super::Rejected;

/// Resources as plain numbers, for sums over many pods.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct Amounts {
    /// Thousandths of a core.
    pub cpu_millis: u64,
    /// Bytes.
    pub memory: u64,
    /// Bytes.
    pub disk: u64,
    /// Bytes.
    pub ephemeral_storage: u64,
    /// Whole devices.
    pub gpu: u64,
    /// Bits per second.
    pub network_bandwidth: u64,
}

impl Amounts {
    /// Reads quantities as users write them. Admission refuses what cannot be read; here it asks for nothing.
    #[must_use]
    pub fn read(list: &ResourceList) -> Self {
        Self {
            cpu_millis: list.cpu.parse().map_or(0, |MilliCpu(amount)| amount),
            memory: list.memory.parse().map_or(0, |Bytes(amount)| amount),
            disk: list.disk.parse().map_or(0, |Bytes(amount)| amount),
            ephemeral_storage: list.ephemeral_storage.parse().map_or(0, |Bytes(amount)| amount),
            gpu: list.gpu.parse().map_or(0, |Devices(amount)| amount),
            network_bandwidth: list.network_bandwidth.parse().map_or(0, |BitsPerSecond(amount)| amount),
        }
    }

    /// What a pod asks for: its own requests and those of its containers, limits standing in for missing requests.
    #[must_use]
    pub fn requested(pod: &PodSpec) -> Self {
        let lists = std::iter::once(&pod.resources).chain(pod.containers.iter().map(|container| &container.resources));
        lists.flatten().fold(Self::default(), |sum, resources| {
            let requests = resources.requests.as_ref().map(Self::read).unwrap_or_default();
            let limits = resources.limits.as_ref().map(Self::read).unwrap_or_default();
            sum.zip(
                requests.zip(limits, |request, limit| if request == 0 { limit } else { request }),
                u64::saturating_add,
            )
        })
    }

    /// What a pod may take at most, where it says so: its own limits and those of its containers.
    #[must_use]
    pub fn limited(pod: &PodSpec) -> Self {
        let lists = std::iter::once(&pod.resources).chain(pod.containers.iter().map(|container| &container.resources));
        let limits = lists.flatten().flat_map(|resources| &resources.limits);
        limits.fold(Self::default(), |sum, limits| sum.plus(Self::read(limits)))
    }

    /// The sum.
    #[must_use]
    pub fn plus(self, other: Self) -> Self {
        self.zip(other, u64::saturating_add)
    }

    /// The difference, never below nothing.
    #[must_use]
    pub fn minus(self, other: Self) -> Self {
        self.zip(other, u64::saturating_sub)
    }

    fn zip(self, other: Self, combine: impl Fn(u64, u64) -> u64) -> Self {
        Self {
            cpu_millis: combine(self.cpu_millis, other.cpu_millis),
            memory: combine(self.memory, other.memory),
            disk: combine(self.disk, other.disk),
            ephemeral_storage: combine(self.ephemeral_storage, other.ephemeral_storage),
            gpu: combine(self.gpu, other.gpu),
            network_bandwidth: combine(self.network_bandwidth, other.network_bandwidth),
        }
    }

    /// Each with its name.
    #[must_use]
    pub fn named(self) -> [(&'static str, u64); 6] {
        [
            ("cpu", self.cpu_millis),
            ("memory", self.memory),
            ("disk", self.disk),
            ("ephemeralStorage", self.ephemeral_storage),
            ("gpu", self.gpu),
            ("networkBandwidth", self.network_bandwidth),
        ]
    }
}

/// What the pods of a node take that have not ended.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Used {
    /// Their requests.
    pub amounts: Amounts,
    /// How many there are.
    pub pods: u32,
    /// How many each provider runs.
    pub sandboxes: BTreeMap<String, u32>,
}

impl Used {
    /// One pod more, run by `provider`.
    pub fn add(&mut self, pod: &PodSpec, provider: &str) {
        // Wrapping, so that taking away undoes it exactly: servers that counted along and servers that counted anew
        // after a restart must agree. What fits a node cannot overflow.
        self.amounts = self.amounts.zip(Amounts::requested(pod), u64::wrapping_add);
        self.pods += 1;
        *self.sandboxes.entry(provider.to_owned()).or_default() += 1;
    }

    /// One pod less. Only what was added may be taken away.
    pub fn remove(&mut self, pod: &PodSpec, provider: &str) {
        self.amounts = self.amounts.zip(Amounts::requested(pod), u64::wrapping_sub);
        self.pods = self.pods.saturating_sub(1);
        if let Some(count) = self.sandboxes.get_mut(provider) {
            *count = count.saturating_sub(1);
            if *count == 0 {
                self.sandboxes.remove(provider);
            }
        }
    }
}

pub(super) fn check(pod: &PodSpec, node: &Node, used: &Used, rejected: &mut Vec<Rejected>) {
    let allocatable = node.status.as_ref().and_then(|status| status.allocatable.as_ref().or(status.capacity.as_ref()));
    let free = allocatable.map(Amounts::read).unwrap_or_default().minus(used.amounts);
    for ((resource, wanted), (_, free)) in Amounts::requested(pod).named().into_iter().zip(free.named()) {
        if wanted > free {
            rejected.push(Rejected::Resources { resource, wanted, free });
        }
    }
}
