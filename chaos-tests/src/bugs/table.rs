//! Every deliberate bug, what runs to find it, and in which servers it is.

use futures_util::future::LocalBoxFuture;

use super::{agents, durability, reading, rights, states, working};
use crate::{
    checkers::judged::Judged,
    cluster::{Cluster, Spec},
};

/// What kind of test finds a bug.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Layer {
    /// The workloads and judges that all sprints and `bossctl verify` have, without any fault.
    Clients,
    /// A scenario that brings about what the bug needs.
    Scenario,
}

impl Layer {
    /// As tables show it.
    #[must_use]
    pub fn name(self) -> &'static str {
        match self {
            Self::Clients => "clients and judges",
            Self::Scenario => "scenario",
        }
    }
}

/// Runs on a cluster and tells which promises were kept.
type Run = for<'a> fn(&'a mut Cluster) -> LocalBoxFuture<'a, Vec<Judged>>;

/// One deliberate bug.
pub struct Known {
    /// As the programs know it.
    pub name: &'static str,
    /// What kind of test finds it.
    pub layer: Layer,
    /// The machine that has it; none for all.
    pub only: Option<&'static str>,
    /// Servers and nodes that it needs.
    pub size: (usize, usize),
    /// What finds it.
    pub run: Run,
}

impl Known {
    const fn new(name: &'static str, layer: Layer, size: (usize, usize), run: Run) -> Self {
        Self { name, layer, only: None, size, run }
    }

    const fn only(self, machine: &'static str) -> Self {
        Self { only: Some(machine), ..self }
    }

    /// What is started for it, without the bug.
    #[must_use]
    pub fn spec(&self) -> Spec {
        Spec { servers: self.size.0, nodes: self.size.1, ..Spec::default() }
    }
}

/// All that are found by whole clusters. `raft` finds some of them, and two more, in the state machine alone.
pub const ALL: [Known; 20] = [
    Known::new("stale-read", Layer::Scenario, (3, 0), |cluster| Box::pin(reading::from_a_deposed_leader(cluster))),
    Known::new("ack-before-fsync", Layer::Scenario, (3, 0), |cluster| Box::pin(durability::kill_all(cluster))),
    Known::new("lost-watch-event", Layer::Clients, (3, 0), |cluster| Box::pin(working::briefly(cluster))),
    Known::new("lost-at-compaction", Layer::Scenario, (1, 0), |cluster| {
        Box::pin(reading::across_a_compaction(cluster))
    }),
    Known::new("expired-swallowed", Layer::Scenario, (1, 0), |cluster| Box::pin(reading::across_a_compaction(cluster))),
    Known::new("bookmark-ahead", Layer::Clients, (3, 0), |cluster| Box::pin(working::past_bookmarks(cluster))),
    Known::new("double-bind", Layer::Scenario, (3, 2), |cluster| Box::pin(agents::bindings_across_leaders(cluster))),
    Known::new("stale-rights", Layer::Scenario, (3, 0), |cluster| Box::pin(rights::take_a_binding_away(cluster))),
    Known::new("request-forgotten", Layer::Scenario, (3, 0), |cluster| Box::pin(working::ask_again(cluster))),
    Known::new("purge-before-snapshot", Layer::Scenario, (1, 0), |cluster| {
        Box::pin(durability::kill_after_a_snapshot(cluster))
    }),
    Known::new("half-txn", Layer::Clients, (3, 0), |cluster| Box::pin(working::briefly(cluster))),
    Known::new("revocation-ignored", Layer::Scenario, (3, 0), |cluster| Box::pin(rights::revoke_a_token(cluster)))
        .only("server-2"),
    Known::new("quota-not-applied", Layer::Scenario, (3, 0), |cluster| Box::pin(rights::crowd_a_quota(cluster))),
    Known::new("state-differs", Layer::Scenario, (3, 0), |cluster| Box::pin(states::write_and_compare(cluster)))
        .only("server-2"),
    Known::new("torn-tail-taken", Layer::Scenario, (3, 0), |cluster| Box::pin(durability::flip_a_byte(cluster)))
        .only("server-3"),
    Known::new("vote-not-kept", Layer::Scenario, (3, 0), |cluster| Box::pin(durability::restart_alone(cluster))),
    Known::new("orphan-sandbox", Layer::Scenario, (1, 1), |cluster| Box::pin(agents::delete_a_pod(cluster))),
    Known::new("second-sandbox", Layer::Scenario, (1, 1), |cluster| Box::pin(agents::restart_an_agent(cluster))),
    Known::new("pages-differ", Layer::Clients, (3, 0), |cluster| Box::pin(working::briefly(cluster))),
    Known::new("precondition-ignored", Layer::Clients, (3, 0), |cluster| Box::pin(working::briefly(cluster))),
];

/// The bug of this name.
#[must_use]
pub fn named(name: &str) -> Option<&'static Known> {
    static TABLE: [Known; 20] = ALL;
    TABLE.iter().find(|known| known.name == name)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn each_bug_has_one_line_and_a_name_of_its_own() {
        let names: std::collections::BTreeSet<&str> = ALL.iter().map(|known| known.name).collect();
        assert_eq!(names.len(), ALL.len());
        assert!(ALL.iter().all(|known| named(known.name).is_some_and(|found| found.size == known.size)));
    }
}
