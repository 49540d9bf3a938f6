//! Says in one line why no node fits: equal reasons of many nodes together, the most frequent first. Knows no rule.

use std::{collections::BTreeMap, fmt};

use boss_raft::state::feasible::Rejected;

use super::NoFit;

/// Kinds of reasons in one message; what is more is counted only, so that a status stays small.
const PHRASES_MAX: usize = 8;

impl NoFit {
    /// Like `0/3 nodes fit: 2 lack 4 cpu (free 1.5), 1 has taint x`. When no node has a provider for the pod, names
    /// every part of the intent that failed first.
    #[must_use]
    pub fn message(&self) -> String {
        let total = self.rejected.len();
        if total == 0 {
            return "0/0 nodes fit: the cluster has no node; start boss-node on a machine".to_owned();
        }
        let mut groups: BTreeMap<Phrase, (usize, u64)> = BTreeMap::new();
        for (_, reasons) in &self.rejected {
            for (phrase, free) in reasons.iter().map(Phrase::of) {
                let (count, most_free) = groups.entry(phrase).or_default();
                *count += 1;
                *most_free = free.max(*most_free);
            }
        }
        let mut groups: Vec<_> = groups.into_iter().collect();
        groups.sort_by(|(left, (left_count, _)), (right, (right_count, _))| {
            right_count.cmp(left_count).then_with(|| left.cmp(right))
        });
        let more = groups.len().saturating_sub(PHRASES_MAX);
        let mut phrases: Vec<_> =
            groups.iter().take(PHRASES_MAX).map(|(phrase, (count, free))| phrase.say(*count, *free)).collect();
        if more > 0 {
            phrases.push(format!("{more} more reasons"));
        }
        format!("{}0/{total} nodes fit: {}", self.no_provider(), phrases.join(", "))
    }

    /// `no provider for class wasm, network mode tap; ` when every node fails by its providers, else nothing.
    fn no_provider(&self) -> String {
        let by_provider = |reasons: &Vec<Rejected>| reasons.iter().any(|reason| intent_part(reason).is_some());
        if !self.rejected.iter().all(|(_, reasons)| by_provider(reasons)) {
            return String::new();
        }
        let mut parts: Vec<_> = self.rejected.iter().flat_map(|(_, reasons)| reasons).filter_map(intent_part).collect();
        parts.sort();
        parts.dedup();
        let parts: Vec<_> = parts.into_iter().map(|(_, text)| text).collect();
        format!("no provider for {}; ", parts.join(", "))
    }
}

impl fmt::Display for NoFit {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.message())
    }
}

/// The part of the intent that no provider of the node has, in the order in which people write it.
fn intent_part(reason: &Rejected) -> Option<(u8, String)> {
    match reason {
        Rejected::Class { class } => Some((0, format!("class {class}"))),
        Rejected::Artifact { artifact } => Some((1, format!("artifact type {artifact}"))),
        Rejected::Network { mode } => Some((2, format!("network mode {mode}"))),
        Rejected::Isolation { floor } => Some((3, format!("isolation {floor}"))),
        _ => None,
    }
}

/// A reason without what differs from node to node. Ordered, so that equal counts are told in a fixed order.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord)]
enum Phrase {
    Lacks {
        resource: &'static str,
        wanted: u64,
    },
    /// With the verb for one node and for many.
    Said {
        one: String,
        many: String,
    },
}

impl Phrase {
    fn of(reason: &Rejected) -> (Self, u64) {
        let said = |one: &str, many: &str, rest: String| {
            (Self::Said { one: format!("{one} {rest}"), many: format!("{many} {rest}") }, 0)
        };
        let is = |rest: &str| said("is", "are", rest.to_owned());
        let has = |rest: String| said("has", "have", rest);
        match reason {
            Rejected::Resources { resource, wanted, free } => (Self::Lacks { resource, wanted: *wanted }, *free),
            Rejected::NotReady => is("not ready"),
            Rejected::Unschedulable => is("marked unschedulable"),
            Rejected::Leaving => is("being deleted"),
            Rejected::Taint { taint } => has(format!("taint {taint}")),
            Rejected::Selector { key, wanted } => said("lacks", "lack", format!("label {key}={wanted}")),
            Rejected::Affinity => said("matches", "match", "no required affinity term".to_owned()),
            Rejected::Region { wanted } => is(&format!("not in region {wanted}")),
            Rejected::Class { class } => has(format!("no provider for class {class}")),
            Rejected::Artifact { artifact } => has(format!("no provider for artifact type {artifact}")),
            Rejected::Isolation { floor } => has(format!("no provider that isolates at least {floor}")),
            Rejected::Network { mode } => has(format!("no provider for network mode {mode}")),
            Rejected::Unhealthy { provider, reason } => has(format!("provider {provider} unhealthy ({reason})")),
            Rejected::Full { provider, max } => has(format!("provider {provider} full with {max} sandboxes")),
            Rejected::InvalidSpec(problem) => said("finds", "find", format!("the spec invalid ({problem})")),
        }
    }

    fn say(&self, count: usize, most_free: u64) -> String {
        match (self, count) {
            (Self::Lacks { resource, wanted }, _) => {
                let verb = if count == 1 { "lacks" } else { "lack" };
                let (wanted, free) = (amount(resource, *wanted), amount(resource, most_free));
                format!("{count} {verb} {wanted} {resource} (free {free})")
            }
            (Self::Said { one, .. }, 1) => format!("1 {one}"),
            (Self::Said { many, .. }, _) => format!("{count} {many}"),
        }
    }
}

/// A number as people write it: cores, or bytes with a binary suffix.
fn amount(resource: &str, number: u64) -> String {
    match resource {
        "cpu" => decimal(number, 1_000, ""),
        "memory" | "disk" | "ephemeralStorage" => bytes(number),
        _ => number.to_string(),
    }
}

fn bytes(number: u64) -> String {
    const UNITS: [(u64, &str); 4] = [(1 << 40, "Ti"), (1 << 30, "Gi"), (1 << 20, "Mi"), (1 << 10, "Ki")];
    let unit = UNITS.into_iter().find(|(unit, _)| number >= *unit);
    unit.map_or_else(|| number.to_string(), |(unit, suffix)| decimal(number, unit, suffix))
}

/// At most two digits after the point, rounded down: more than there is must never be promised.
fn decimal(number: u64, unit: u64, suffix: &str) -> String {
    let hundredths = u128::from(number) * 100 / u128::from(unit);
    let (whole, rest) = (hundredths / 100, hundredths % 100);
    let text = format!("{whole}.{rest:02}");
    format!("{}{suffix}", text.trim_end_matches('0').trim_end_matches('.'))
}
