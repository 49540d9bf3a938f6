//! What a cluster of the harness is made of. Starts nothing.

use bossctl::provision::{self, Node, Plan, Server};

use super::apart;
use crate::ports::Port;

/// What to start.
#[derive(Debug, Clone, Copy)]
pub struct Spec {
    /// Servers, 1 to 7.
    pub servers: usize,
    /// Nodes.
    pub nodes: usize,
    /// Election timing: fast, standard or slow-disk.
    pub profile: &'static str,
    /// Where its machines are.
    pub place: Where,
    /// A bug on purpose, in the programs that were built with them.
    pub bug: Option<Bugged>,
    /// Whether servers take snapshots often and keep little of the log behind them: some [`SMALL_LOG_KEEPS`] entries.
    pub small_log: bool,
}

/// What a small log keeps behind a snapshot, in entries.
pub const SMALL_LOG_KEEPS: u64 = 50;

/// A deliberate bug, and who has it.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Bugged {
    /// As `boss_base::bugs` knows it.
    pub name: &'static str,
    /// The one machine that has it; none for all.
    pub only: Option<&'static str>,
}

/// Where the machines of a cluster are.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Where {
    /// All on the loopback address of this machine.
    Here,
    /// Each in a network namespace of its own; only on a machine of one's own ([`crate::net::on_own_machine`]).
    Apart(Apart),
}

/// What machines on hosts of their own have.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct Apart {
    /// Further hosts, for clients.
    pub clients: usize,
    /// Each server's data lies on a disk of ours of so many bytes, which can be broken; none for a real disk.
    pub disk_bytes: Option<u64>,
    /// Each server has a wall clock of its own, which can be wrong.
    pub wrong_clocks: bool,
    /// Each server has a wire that can hold up what it sends.
    pub wires: bool,
}

impl Default for Spec {
    fn default() -> Self {
        Self { servers: 3, nodes: 1, profile: "standard", place: Where::Here, bug: None, small_log: false }
    }
}

/// The layout of it, with these ports of this machine.
pub(super) fn plan(spec: Spec, ports: &[Port]) -> Plan {
    let here =
        |(ports, id): (&[Port], u64)| Server::local(id, [ports[0].number(), ports[1].number(), ports[2].number()]);
    let servers = match spec.place {
        Where::Here => ports.chunks(3).zip(1..).map(here).collect(),
        Where::Apart(_) => (1..=spec.servers as u64).map(apart::server).collect(),
    };
    let nodes = (1..=spec.nodes).map(|index| Node::new(format!("node-{index}"))).collect();
    let (profile, context) = (spec.profile.to_owned(), "chaos".to_owned());
    Plan { cluster_id: provision::random_cluster_id(), profile, servers, context, nodes }
}
