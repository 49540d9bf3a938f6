//! Resources as whole numbers: what a pod asks for, what a node has, what is taken.

use std::collections::BTreeMap;

use boss_proto::v1::{Node, PodSpec, ResourceList};

use super::Rejected;

/// Resources as whole numbers.
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
        let whole =
            |text: &str| millis(text).map_or(0, |millis| u64::try_from(millis.div_ceil(1_000)).unwrap_or(u64::MAX));
        Self {
            cpu_millis: millis(&list.cpu).map_or(0, |millis| u64::try_from(millis).unwrap_or(u64::MAX)),
            memory: whole(&list.memory),
            disk: whole(&list.disk),
            ephemeral_storage: whole(&list.ephemeral_storage),
            gpu: whole(&list.gpu),
            network_bandwidth: whole(&list.network_bandwidth),
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

/// A quantity in thousandths, rounded up: `500m`, `2`, `1.5`, `64Mi`, `1G`. `None` for what is none.
fn millis(text: &str) -> Option<u128> {
    let split = text.find(|c: char| !c.is_ascii_digit() && c != '.').unwrap_or(text.len());
    let (number, suffix) = text.split_at(split);
    // Thousandths of the suffix: a power of ten or of 1024.
    let unit: u128 = match suffix {
        "m" => 1,
        "" => 1_000,
        "k" | "K" => 1_000_000,
        "M" => 1_000_000_000,
        "G" => 1_000_000_000_000,
        "T" => 1_000_000_000_000_000,
        "P" => 1_000_000_000_000_000_000,
        "Ki" => 1_000 << 10,
        "Mi" => 1_000 << 20,
        "Gi" => 1_000 << 30,
        "Ti" => 1_000 << 40,
        "Pi" => 1_000 << 50,
        _ => return None,
    };
    let (whole, fraction) = number.split_once('.').unwrap_or((number, ""));
    if whole.is_empty() || fraction.len() > 9 {
        return None;
    }
    let digits: u128 = format!("{whole}{fraction}").parse().ok()?;
    let divisor = 10_u128.pow(u32::try_from(fraction.len()).ok()?);
    digits.checked_mul(unit).map(|scaled| scaled.div_ceil(divisor))
}
