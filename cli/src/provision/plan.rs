//! Which servers and nodes a cluster has, and where they listen. Writes nothing.

use std::{
    collections::{BTreeMap, BTreeSet},
    net::{IpAddr, Ipv4Addr},
};

use boss_proto::{
    ids::{ClusterId, Uid},
    labels,
};
use serde::{Deserialize, Serialize};

/// Ports that belong to one server of a local cluster: api, peer, http, and room for more.
const PORTS_PER_SERVER: u16 = 10;
/// More voters slow every write and help nobody.
const SERVERS_MAX: usize = 7;
/// Of one local cluster or one `cluster init`.
const NODES_MAX: usize = 1_000;

/// A cluster to be made.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Plan {
    /// Its identity; ends up in every certificate and token.
    #[serde(with = "text")]
    pub cluster_id: ClusterId,
    /// Election timing: fast, standard or slow-disk.
    pub profile: String,
    /// The control plane.
    pub servers: Vec<Server>,
    /// The name of the context in the folder's own `bossctl.toml`.
    pub context: String,
    /// The machines that run sandboxes.
    #[serde(default)]
    pub nodes: Vec<Node>,
}

/// One replica of the control plane.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Server {
    /// Never used again for another one.
    pub id: u64,
    /// Its name, a DNS label.
    pub name: String,
    /// Relative to the cluster's folder.
    pub folder: String,
    /// `host:port` for clients and nodes.
    pub api: String,
    /// `host:port` for the other servers.
    pub peer: String,
    /// `host:port` for health and metrics.
    pub http: String,
    /// Where it listens is what it tells others; else it listens on all addresses, at the same ports.
    pub listen_as_advertised: bool,
}

/// One machine that runs sandboxes.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Node {
    /// Its name, a DNS label.
    pub name: String,
    /// Relative to the cluster's folder.
    pub folder: String,
    /// Its labels.
    #[serde(default)]
    pub labels: BTreeMap<String, String>,
    /// A clean stop of its agent stops its sandboxes too; else they go on running until the next agent adopts them.
    #[serde(default)]
    pub stop_sandboxes_on_exit: bool,
}

/// A plan that cannot be carried out.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum BadPlan {
    /// A number that makes no sense.
    #[error("{found} {what} are not possible: from {min} to {max}")]
    Count {
        /// Servers or nodes.
        what: &'static str,
        /// How many were asked for.
        found: usize,
        /// The fewest.
        min: usize,
        /// The most.
        max: usize,
    },
    /// Not a name.
    #[error("the name {name:?} {source}")]
    Name {
        /// Which.
        name: String,
        /// Why not.
        source: labels::BadText,
    },
    /// Not an address.
    #[error("{text:?} is not HOST:PORT")]
    Address {
        /// Which.
        text: String,
    },
    /// The same thing twice.
    #[error("{what} {text:?} is used twice")]
    Twice {
        /// What kind of thing.
        what: &'static str,
        /// Which.
        text: String,
    },
    /// The ports do not fit below 65536.
    #[error("{servers} servers need {} ports from {base_port} on, but the last port is 65535", servers * usize::from(PORTS_PER_SERVER))]
    Ports {
        /// How many servers.
        servers: usize,
        /// The first port.
        base_port: u16,
    },
}

/// A fresh identity for a cluster.
#[must_use]
pub fn random_cluster_id() -> ClusterId {
    ClusterId::new(Uid::random().as_str())
}

impl Plan {
    /// A cluster on this machine's loopback address. Server i, from 1, has the ports `base_port + 10 * (i - 1)` (api),
    /// that plus 1 (peer) and plus 2 (http).
    pub fn local(servers: usize, nodes: usize, base_port: u16) -> Result<Self, BadPlan> {
        check_count("servers", servers, 1, SERVERS_MAX)?;
        check_count("nodes", nodes, 0, NODES_MAX)?;
        let ports = |index: u16| base_port.checked_add(index * PORTS_PER_SERVER)?.checked_add(PORTS_PER_SERVER - 1);
        let server = |index: u16| {
            let first = ports(index)? - (PORTS_PER_SERVER - 1);
            Some(Server::local(u64::from(index) + 1, [first, first + 1, first + 2]))
        };
        let servers_max = u16::try_from(servers).unwrap_or(u16::MAX);
        let servers: Option<Vec<Server>> = (0..servers_max).map(server).collect();
        let servers = servers.ok_or(BadPlan::Ports { servers: usize::from(servers_max), base_port })?;
        let nodes = (1..=nodes).map(|index| Node::new(format!("node-{index}"))).collect();
        let (profile, context) = ("standard".to_owned(), "dev".to_owned());
        Ok(Self { cluster_id: random_cluster_id(), profile, servers, context, nodes })
    }

    /// Whether it can be carried out.
    pub fn check(&self) -> Result<(), BadPlan> {
        check_count("servers", self.servers.len(), 1, SERVERS_MAX)?;
        check_count("nodes", self.nodes.len(), 0, NODES_MAX)?;
        for name in self.servers.iter().map(|server| &server.name).chain(self.nodes.iter().map(|node| &node.name)) {
            labels::check_name(name).map_err(|source| BadPlan::Name { name: name.clone(), source })?;
        }
        check_unique("the server", self.servers.iter().map(|server| server.name.clone()))?;
        check_unique("the server id", self.servers.iter().map(|server| server.id.to_string()))?;
        check_unique("the node", self.nodes.iter().map(|node| node.name.clone()))?;
        check_unique("the address", self.servers.iter().flat_map(Server::advertised).map(str::to_owned))?;
        self.servers.iter().flat_map(Server::addresses).try_for_each(|address| split_address(address).map(|_| ()))
    }
}

impl Server {
    /// One on the loopback address, with its ports for api, peer and http.
    #[must_use]
    pub fn local(id: u64, [api, peer, http]: [u16; 3]) -> Self {
        let at = |port: u16| format!("{}:{port}", Ipv4Addr::LOCALHOST);
        let (name, folder) = (format!("server-{id}"), format!("servers/{id}"));
        Self { id, name, folder, api: at(api), peer: at(peer), http: at(http), listen_as_advertised: true }
    }

    /// Whether its name and addresses can be used at all.
    pub fn check(&self) -> Result<(), BadPlan> {
        labels::check_name(&self.name).map_err(|source| BadPlan::Name { name: self.name.clone(), source })?;
        check_unique("the address", self.advertised().map(str::to_owned))?;
        self.addresses().into_iter().try_for_each(|address| split_address(address).map(|_| ()))
    }

    /// api, peer, http.
    #[must_use]
    pub fn addresses(&self) -> [&str; 3] {
        [&self.api, &self.peer, &self.http]
    }

    /// Those of its addresses that no other server may have; http is the own business of servers on other machines.
    fn advertised(&self) -> impl Iterator<Item = &str> {
        self.addresses().into_iter().take(if self.listen_as_advertised { 3 } else { 2 })
    }
}

impl Node {
    /// One without labels whose sandboxes outlive its agent, in the folder of its name.
    #[must_use]
    pub fn new(name: String) -> Self {
        Self { folder: format!("nodes/{name}"), name, labels: BTreeMap::new(), stop_sandboxes_on_exit: false }
    }
}

/// Host and port of `host:port` or `[v6]:port`.
pub(super) fn split_address(text: &str) -> Result<(Host, u16), BadPlan> {
    let bad = || BadPlan::Address { text: text.to_owned() };
    let (host, port) = text.rsplit_once(':').ok_or_else(bad)?;
    let port = port.parse().ok().filter(|port| *port != 0).ok_or_else(bad)?;
    let bare = host.strip_prefix('[').and_then(|host| host.strip_suffix(']')).unwrap_or(host);
    match bare.parse::<IpAddr>() {
        Ok(ip) if ip.is_ipv6() == (bare.len() != host.len()) => Ok((Host::Ip(ip), port)),
        Ok(_) => Err(bad()),
        Err(_) if host.split('.').all(|label| labels::check_name(label).is_ok()) => {
            Ok((Host::Name(host.to_owned()), port))
        }
        Err(_) => Err(bad()),
    }
}

/// Whether the address is one of this machine alone.
pub(super) fn is_loopback(address: &str) -> bool {
    matches!(split_address(address), Ok((Host::Ip(ip), _)) if ip.is_loopback())
}

/// How a machine is reached.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) enum Host {
    /// By its address.
    Ip(IpAddr),
    /// By its name.
    Name(String),
}

fn check_count(what: &'static str, found: usize, min: usize, max: usize) -> Result<(), BadPlan> {
    if (min..=max).contains(&found) { Ok(()) } else { Err(BadPlan::Count { what, found, min, max }) }
}

fn check_unique(what: &'static str, texts: impl Iterator<Item = String>) -> Result<(), BadPlan> {
    let mut seen = BTreeSet::new();
    for text in texts {
        if !seen.insert(text.clone()) {
            return Err(BadPlan::Twice { what, text });
        }
    }
    Ok(())
}

mod text {
    //! A cluster id as plain text.
    use boss_proto::ids::ClusterId;
    use serde::{Deserialize, Deserializer, Serializer};

    pub(super) fn serialize<S: Serializer>(id: &ClusterId, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.serialize_str(id.as_str())
    }

    pub(super) fn deserialize<'de, D: Deserializer<'de>>(deserializer: D) -> Result<ClusterId, D::Error> {
        String::deserialize(deserializer).map(ClusterId::from)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_local_plan_gives_each_server_its_ports() {
        let plan = Plan::local(3, 2, 7400).unwrap();
        let addresses: Vec<_> = plan.servers.iter().flat_map(Server::addresses).collect();
        assert_eq!(addresses[..4], ["127.0.0.1:7400", "127.0.0.1:7401", "127.0.0.1:7402", "127.0.0.1:7410"]);
        assert_eq!(plan.nodes[1].name, "node-2");
        assert_eq!(plan.check(), Ok(()));
    }

    #[test]
    fn impossible_numbers_are_refused() {
        assert!(matches!(Plan::local(0, 1, 7400), Err(BadPlan::Count { what: "servers", .. })));
        assert!(matches!(Plan::local(8, 1, 7400), Err(BadPlan::Count { what: "servers", .. })));
        assert!(matches!(Plan::local(1, 1_001, 7400), Err(BadPlan::Count { what: "nodes", .. })));
        assert!(matches!(Plan::local(3, 1, 65_510), Err(BadPlan::Ports { servers: 3, base_port: 65_510 })));
        assert!(Plan::local(3, 1, 65_506).is_ok());
    }

    #[test]
    fn what_is_there_twice_is_named() {
        let mut plan = Plan::local(2, 2, 7400).unwrap();
        plan.servers[1].peer = "127.0.0.1:7400".into();
        assert_eq!(plan.check(), Err(BadPlan::Twice { what: "the address", text: "127.0.0.1:7400".into() }));
        plan = Plan::local(2, 2, 7400).unwrap();
        plan.nodes[1].name = "node-1".into();
        assert_eq!(plan.check(), Err(BadPlan::Twice { what: "the node", text: "node-1".into() }));
        plan.nodes[1].name = "Node".into();
        assert!(matches!(plan.check(), Err(BadPlan::Name { .. })));
    }

    #[test]
    fn addresses_are_a_host_and_a_port() {
        for good in ["127.0.0.1:1", "[::1]:7400", "boss-1.example.com:65535", "boss:80"] {
            assert!(split_address(good).is_ok(), "{good}");
        }
        for bad in [
            "",
            "host",
            "host:",
            ":80",
            "host:0",
            "host:65536",
            "::1:80",
            "ho st:80",
            "[host]:80",
            "[1.2.3.4]:80",
            "-x:80",
        ] {
            assert!(split_address(bad).is_err(), "{bad}");
        }
    }
}
