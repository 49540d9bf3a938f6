//! Links of hosts, as text for `ip` and `tc`. Runs nothing.

use super::rules::Host;

/// What all links are plugged into.
const BRIDGE: &str = "boss-bridge";
/// The host's end of its link.
const INSIDE: &str = "eth0";
/// Of all addresses.
const BITS: u8 = 24;
/// A packet may wait so long for its turn on a slow link before it is lost.
const QUEUE: &str = "400ms";
/// A slow link may send so much at once; less than a jumbo segment would never pass.
const BURST: &str = "64kb";

/// The bridge, in the namespace that reaches all hosts. Nothing to find out: no spanning tree, no snooping, no delay.
#[must_use]
pub fn hub() -> String {
    format!(
        "link set lo up\n\
         link add {BRIDGE} type bridge stp_state 0 forward_delay 0 mcast_snooping 0\n\
         addr add {}/{BITS} dev {BRIDGE}\n\
         link set {BRIDGE} up\n",
        Host::HUB.address()
    )
}

/// A link from the bridge into the namespace of a process.
#[must_use]
pub fn plug(host: Host, pid: i32) -> String {
    let port = host.port();
    format!(
        "link add {port} type veth peer name {INSIDE} netns {pid}\n\
         link set {port} master {BRIDGE}\n\
         link set {port} up\n"
    )
}

/// An end of a wire in user space.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum End {
    /// It becomes the host's own interface.
    Host,
    /// It becomes the bridge's end.
    Bridge,
}

/// What this end is called before it is where it belongs.
#[must_use]
pub fn end(host: Host, end: End) -> String {
    match end {
        End::Host => format!("in-{}", host.port()),
        End::Bridge => host.port(),
    }
}

/// Puts both ends of a wire where they belong: one into the namespace of a process, one into the bridge.
#[must_use]
pub fn connect(host: Host, pid: i32) -> String {
    let (inside, port) = (end(host, End::Host), end(host, End::Bridge));
    format!(
        "link set {inside} netns {pid} name {INSIDE}\n\
         link set {port} master {BRIDGE}\n\
         link set {port} up\n"
    )
}

/// The host's own end; to be run in its namespace.
#[must_use]
pub fn inside(host: Host) -> String {
    format!("link set lo up\naddr add {}/{BITS} dev {INSIDE}\nlink set {INSIDE} up\n", host.address())
}

/// A command that bounds what this host receives in a second; none for no bound.
#[must_use]
pub fn throttle(host: Host, kbit: Option<u32>) -> Vec<String> {
    let port = host.port();
    let text = match kbit {
        Some(kbit) => {
            format!("tc qdisc replace dev {port} root tbf rate {kbit}kbit burst {BURST} latency {QUEUE}")
        }
        None => format!("tc qdisc del dev {port} root"),
    };
    text.split(' ').map(str::to_owned).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn both_ends_of_a_link_belong_to_the_same_host() {
        assert!(plug(Host::server(3), 77).contains("link add boss3 type veth peer name eth0 netns 77"));
        assert!(inside(Host::server(3)).contains("addr add 10.77.0.3/24 dev eth0"));
        assert_eq!(throttle(Host::client(1), None).join(" "), "tc qdisc del dev boss201 root");
    }
}
