//! Which packets between which hosts are lost, as text for `nft`. Runs nothing, and does not know what a host is for.

use std::{collections::BTreeMap, fmt, fmt::Write, net::Ipv4Addr};

/// Everything is lost.
pub const ALL: u16 = 1_000;
/// The table that holds the rules, in the namespace of the bridge.
const TABLE: &str = "bridge boss";

/// A host of a network, by its number.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Host(u8);

impl Host {
    /// Ids of servers are below it.
    pub const SERVERS: u64 = 100;
    const NODES: u8 = 100;
    const CLIENTS: u8 = 200;
    /// What reaches every host.
    pub const HUB: Self = Self(254);

    /// Of a server, by its id.
    #[must_use]
    pub fn server(id: u64) -> Self {
        Self(u8::try_from(id).ok().filter(|id| (1..Self::NODES).contains(id)).expect("ids are small"))
    }

    /// Of a node, counted from 0.
    #[must_use]
    pub fn node(index: usize) -> Self {
        Self(Self::NODES + u8::try_from(index).expect("there are few nodes"))
    }

    /// Of a client, counted from 0.
    #[must_use]
    pub fn client(index: usize) -> Self {
        Self(Self::CLIENTS + u8::try_from(index).expect("there are few clients"))
    }

    /// Where it is reached.
    #[must_use]
    pub fn address(self) -> Ipv4Addr {
        Ipv4Addr::new(10, 77, 0, self.0)
    }

    /// The bridge's end of its link.
    #[must_use]
    pub fn port(self) -> String {
        format!("boss{}", self.0)
    }
}

impl fmt::Display for Host {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self.0 {
            254 => f.write_str("hub"),
            number if number >= Self::CLIENTS => write!(f, "client-{}", number - Self::CLIENTS + 1),
            number if number >= Self::NODES => write!(f, "node-{}", number - Self::NODES + 1),
            number => write!(f, "server-{number}"),
        }
    }
}

/// One direction between two hosts.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub struct Link {
    /// The sender.
    pub from: Host,
    /// The receiver.
    pub to: Host,
}

/// What is lost on each link, of a thousand packets. Everything else passes.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct Rules {
    lost: BTreeMap<Link, u16>,
}

impl Rules {
    /// Loses so many of a thousand packets; what loses more already stays so.
    pub fn lose(&mut self, link: Link, per_mille: u16) {
        let lost = self.lost.entry(link).or_default();
        *lost = (*lost).max(per_mille.min(ALL));
    }

    /// Lets nothing through.
    pub fn cut(&mut self, links: impl IntoIterator<Item = Link>) {
        links.into_iter().for_each(|link| self.lose(link, ALL));
    }

    /// The whole of them, in place of all before: nft takes all of it or nothing.
    #[must_use]
    pub fn nft(&self) -> String {
        let mut text = format!("flush chain {TABLE} between\n");
        for (Link { from, to }, lost) in &self.lost {
            let some = if *lost < ALL { format!("numgen random mod {ALL} < {lost} ") } else { String::new() };
            let (from, to) = (from.address(), to.address());
            writeln!(text, "add rule {TABLE} between ip saddr {from} ip daddr {to} {some}drop").expect("text grows");
        }
        text
    }
}

/// The table for the rules, still empty. What the hub sends and receives is not forwarded, so it always passes.
#[must_use]
pub fn table() -> String {
    format!("add table {TABLE}\nadd chain {TABLE} between {{ type filter hook forward priority 0; policy accept; }}\n")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn each_direction_is_a_rule_of_its_own_and_the_greater_loss_counts() {
        let (one, two) = (Host::server(1), Host::server(2));
        let mut rules = Rules::default();
        rules.lose(Link { from: one, to: two }, 300);
        rules.lose(Link { from: two, to: one }, 100);
        rules.cut([Link { from: two, to: one }]);
        rules.lose(Link { from: two, to: one }, 200);
        assert_eq!(
            rules.nft(),
            "flush chain bridge boss between\n\
             add rule bridge boss between ip saddr 10.77.0.1 ip daddr 10.77.0.2 numgen random mod 1000 < 300 drop\n\
             add rule bridge boss between ip saddr 10.77.0.2 ip daddr 10.77.0.1 drop\n"
        );
        assert_eq!(Rules::default().nft(), "flush chain bridge boss between\n");
    }

    #[test]
    fn hosts_of_different_use_have_different_addresses_and_names() {
        let hosts = [Host::server(1), Host::server(99), Host::node(0), Host::client(0), Host::HUB];
        let names: Vec<String> = hosts.iter().map(ToString::to_string).collect();
        assert_eq!(names, ["server-1", "server-99", "node-1", "client-1", "hub"]);
        let addresses: std::collections::BTreeSet<Ipv4Addr> = hosts.iter().map(|host| host.address()).collect();
        assert_eq!(addresses.len(), hosts.len());
    }
}
