//! Shapes of partitions, as the links that they cut. Pure: no rule is made here.

use super::rules::{Host, Link};

/// Who cannot talk to whom. Servers are meant; clients and nodes reach all, unless a shape says otherwise: that a server
/// without its fellows still hears clients is what makes a partition dangerous.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord)]
pub enum Shape {
    /// A server and the others.
    Isolate(u64),
    /// A server and everybody, clients and nodes too.
    Alone(u64),
    /// These servers and the others.
    Halves(Vec<u64>),
    /// Two halves, and a server that reaches both.
    Bridge(u64),
    /// Each server reaches only its neighbours in a ring: each a majority of five, and no two the same.
    Ring,
    /// A server hears no other one, and is heard.
    Deaf(u64),
    /// A server is heard by no other one, and hears.
    Mute(u64),
}

impl Shape {
    /// What is cut, among these servers and these others.
    #[must_use]
    pub fn links(&self, servers: &[u64], others: &[Host]) -> Vec<Link> {
        let mut links: Vec<Link> = pairs(servers)
            .filter(|(from, to)| self.cuts(servers, *from, *to))
            .map(|(from, to)| Link { from: Host::server(from), to: Host::server(to) })
            .collect();
        if let Self::Alone(id) = self {
            let server = Host::server(*id);
            links.extend(others.iter().flat_map(|other| both(server, *other)));
        }
        links
    }

    fn cuts(&self, servers: &[u64], from: u64, to: u64) -> bool {
        match self {
            Self::Isolate(id) | Self::Alone(id) => from == *id || to == *id,
            Self::Halves(half) => half.contains(&from) != half.contains(&to),
            Self::Bridge(middle) => {
                from != *middle && to != *middle && half(servers, *middle, from) != half(servers, *middle, to)
            }
            Self::Ring => !are_neighbours(servers, from, to),
            Self::Deaf(id) => to == *id,
            Self::Mute(id) => from == *id,
        }
    }
}

fn both(one: Host, other: Host) -> [Link; 2] {
    [Link { from: one, to: other }, Link { from: other, to: one }]
}

fn pairs(servers: &[u64]) -> impl Iterator<Item = (u64, u64)> {
    servers.iter().flat_map(|from| servers.iter().map(|to| (*from, *to))).filter(|(from, to)| from != to)
}

/// Whether it is in the first half of the servers without the middle one.
fn half(servers: &[u64], middle: u64, id: u64) -> bool {
    let rest: Vec<u64> = servers.iter().copied().filter(|id| *id != middle).collect();
    rest.iter().position(|one| *one == id).is_some_and(|at| at < rest.len() / 2)
}

fn are_neighbours(servers: &[u64], one: u64, other: u64) -> bool {
    let place = |id: u64| servers.iter().position(|server| *server == id);
    let (Some(one), Some(other)) = (place(one), place(other)) else { return false };
    let apart = one.abs_diff(other);
    apart == 1 || apart == servers.len() - 1
}

#[cfg(test)]
mod tests {
    use super::*;

    fn cut(shape: &Shape, servers: u64) -> Vec<String> {
        let servers: Vec<u64> = (1..=servers).collect();
        let mut links: Vec<String> = shape
            .links(&servers, &[Host::client(0)])
            .iter()
            .map(|link| format!("{}>{}", link.from, link.to).replace("server-", "").replace("client-1", "c"))
            .collect();
        links.sort();
        links
    }

    #[test]
    fn a_server_can_be_cut_off_from_its_fellows_or_from_all() {
        assert_eq!(cut(&Shape::Isolate(2), 3), ["1>2", "2>1", "2>3", "3>2"]);
        assert_eq!(cut(&Shape::Alone(2), 3), ["1>2", "2>1", "2>3", "2>c", "3>2", "c>2"]);
    }

    #[test]
    fn one_way_means_one_way() {
        assert_eq!(cut(&Shape::Deaf(1), 3), ["2>1", "3>1"]);
        assert_eq!(cut(&Shape::Mute(1), 3), ["1>2", "1>3"]);
    }

    #[test]
    fn halves_and_bridges_leave_each_half_whole() {
        assert_eq!(cut(&Shape::Halves(vec![3]), 3), cut(&Shape::Isolate(3), 3));
        assert_eq!(cut(&Shape::Bridge(2), 3), ["1>3", "3>1"]);
        let bridge = cut(&Shape::Bridge(3), 5);
        assert_eq!(bridge, ["1>4", "1>5", "2>4", "2>5", "4>1", "4>2", "5>1", "5>2"]);
    }

    #[test]
    fn in_a_ring_of_five_each_reaches_two_others() {
        let ring = cut(&Shape::Ring, 5);
        assert_eq!(ring.len(), 5 * 2);
        assert!(ring.contains(&"1>3".to_owned()) && !ring.contains(&"1>5".to_owned()));
    }
}
