//! Which nodes are alive, as the leader remembers it. Pure: time is handed in; knows no stream and no registry.

use std::{collections::HashMap, time::Duration};

use boss_proto::ids::{NodeName, ServerId};

/// How long a confirmed heartbeat keeps a node, counted by the agent from its sending.
pub const LEASE: Duration = Duration::from_secs(10);
/// On top of the lease before the leader says that a node is lost: clocks drift, and the leader counts from receipt.
pub const MARGIN: Duration = Duration::from_secs(2);
/// A leader that did not look for so long was stopped itself: what came meanwhile still waits in its sockets.
const STALL: Duration = Duration::from_secs(5);

/// One session of one node, on the server that holds it.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Holder {
    /// The server.
    pub server: ServerId,
    /// Chosen by that server at random.
    pub session: u64,
}

/// What a heartbeat meant.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Beat {
    /// The node was alive already.
    Expected,
    /// The node was lost or never heard of: somebody should look.
    Returned,
    /// Its session was replaced by a newer one of the same node: it extends nothing.
    Superseded,
}

/// What the leader may say about a node.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Verdict {
    /// It reported in time; ask again at this time.
    Alive {
        /// When the lease and the margin are over.
        until: Duration,
    },
    /// This leader has not heard of it, but has not led long enough to say more; ask again at this time.
    Undecided {
        /// When it is lost unless it reports.
        until: Duration,
    },
    /// Its lease is over.
    Lost,
}

#[derive(Debug)]
struct Seen {
    holder: Option<Holder>,
    /// Sessions that were replaced come back once at most, to be told so.
    replaced: Option<Holder>,
    at: Duration,
    lost: bool,
}

/// The leader's memory. Empty while another server leads.
#[derive(Debug, Default)]
pub struct Liveness {
    /// Since when nobody can be lost: the start of the leadership, or the end of a stall.
    since: Option<Duration>,
    looked_at: Duration,
    nodes: HashMap<NodeName, Seen>,
}

impl Liveness {
    /// Leadership begins: every node gets a full lease from now.
    pub fn lead(&mut self, now: Duration) {
        *self = Self { since: Some(now), looked_at: now, nodes: HashMap::new() };
    }

    /// Leadership is over.
    pub fn resign(&mut self) {
        *self = Self::default();
    }

    /// Whether this server leads.
    #[must_use]
    pub fn is_leading(&self) -> bool {
        self.since.is_some()
    }

    /// A heartbeat came in.
    pub fn beat(&mut self, node: &NodeName, holder: Holder, now: Duration) -> Beat {
        let Some(seen) = self.nodes.get_mut(node) else {
            let seen = Seen { holder: Some(holder), replaced: None, at: now, lost: false };
            self.nodes.insert(node.clone(), seen);
            return Beat::Returned;
        };
        if seen.replaced == Some(holder) {
            return Beat::Superseded;
        }
        if seen.holder != Some(holder) {
            seen.replaced = seen.holder.replace(holder);
        }
        let returned = seen.lost || now.saturating_sub(seen.at) > LEASE + MARGIN;
        (seen.at, seen.lost) = (now, false);
        if returned { Beat::Returned } else { Beat::Expected }
    }

    /// A session ended. The lease runs on: the agent may come back by another server.
    pub fn ended(&mut self, node: &NodeName, holder: Holder) {
        if let Some(seen) = self.nodes.get_mut(node)
            && seen.holder == Some(holder)
        {
            seen.holder = None;
        }
    }

    /// The stream from a server broke: nothing can be reached by it for now.
    pub fn server_left(&mut self, server: ServerId) {
        for seen in self.nodes.values_mut() {
            if seen.holder.is_some_and(|holder| holder.server == server) {
                seen.holder = None;
            }
        }
    }

    /// The server that holds the node's session.
    #[must_use]
    pub fn holder(&self, node: &NodeName) -> Option<ServerId> {
        self.nodes.get(node)?.holder.map(|holder| holder.server)
    }

    /// Must be called before a round of verdicts, at least every few seconds: notices that the leader itself stood.
    pub fn look(&mut self, now: Duration) {
        if now.saturating_sub(self.looked_at) > STALL && self.since.is_some() {
            self.since = Some(now);
        }
        self.looked_at = now;
    }

    /// What may be said about a node now.
    pub fn verdict(&mut self, node: &NodeName, now: Duration) -> Verdict {
        let Some(since) = self.since else { return Verdict::Undecided { until: now + LEASE } };
        let seen = self.nodes.get_mut(node);
        let until = seen.as_ref().map_or(since, |seen| seen.at.max(since)) + LEASE + MARGIN;
        match seen {
            _ if until <= now => {
                seen.into_iter().for_each(|seen| seen.lost = true);
                Verdict::Lost
            }
            Some(seen) if !seen.lost && seen.at + LEASE + MARGIN > now => Verdict::Alive { until },
            Some(_) | None => Verdict::Undecided { until },
        }
    }

    /// Forgets nodes that are not registered, once they are silent: an agent reports before it has registered.
    pub fn retain(&mut self, registered: impl Fn(&NodeName) -> bool, now: Duration) {
        self.nodes.retain(|name, seen| registered(name) || seen.at + LEASE + MARGIN > now);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const N: &str = "n1";

    fn holder(server: u64, session: u64) -> Holder {
        Holder { server: ServerId(server), session }
    }

    fn s(seconds: u64) -> Duration {
        Duration::from_secs(seconds)
    }

    fn leading() -> Liveness {
        let mut liveness = Liveness::default();
        liveness.lead(s(100));
        liveness
    }

    /// Events at seconds since the leadership began, then the verdict: `beat@1 look@4`, asked at `at`.
    #[track_caller]
    fn check(events: &str, at: u64, expected: Verdict) {
        let mut liveness = leading();
        for event in events.split_whitespace() {
            let (what, when) = event.split_once('@').expect("what@when");
            let now = s(100 + when.parse::<u64>().expect("seconds"));
            match what {
                "beat" => {
                    liveness.beat(&N.into(), holder(1, 1), now);
                }
                "verdict" => {
                    liveness.verdict(&N.into(), now);
                }
                "end" => liveness.ended(&N.into(), holder(1, 1)),
                "look" => liveness.look(now),
                other => panic!("unknown event {other}"),
            }
        }
        assert_eq!(liveness.verdict(&N.into(), s(100 + at)), expected, "{events} asked at {at}");
    }

    #[test]
    fn leases_run_from_the_last_heartbeat_or_the_start_of_the_leadership() {
        check("", 0, Verdict::Undecided { until: s(112) });
        check("", 11, Verdict::Undecided { until: s(112) });
        check("", 12, Verdict::Lost);
        check("beat@1", 2, Verdict::Alive { until: s(113) });
        check("beat@1", 13, Verdict::Lost);
        check("beat@1 beat@5", 13, Verdict::Alive { until: s(117) });
        check("beat@1 end@2", 12, Verdict::Alive { until: s(113) });
        check("beat@1 verdict@14 beat@15", 16, Verdict::Alive { until: s(127) });
    }

    #[test]
    fn a_leader_that_stood_still_loses_nobody_for_another_lease() {
        check("beat@1 look@2 look@40", 40, Verdict::Undecided { until: s(152) });
        check("beat@1 look@2 look@40 look@44 look@48", 53, Verdict::Lost);
        check("beat@1 look@2 look@40 beat@41", 42, Verdict::Alive { until: s(153) });
    }

    #[test]
    fn somebody_looks_when_a_node_appears_or_comes_back() {
        let mut liveness = leading();
        let node = NodeName::new(N);
        assert_eq!(liveness.beat(&node, holder(1, 1), s(101)), Beat::Returned);
        assert_eq!(liveness.beat(&node, holder(1, 1), s(102)), Beat::Expected);
        assert_eq!(liveness.verdict(&node, s(120)), Verdict::Lost);
        assert_eq!(liveness.beat(&node, holder(1, 1), s(121)), Beat::Returned);
        assert_eq!(liveness.beat(&node, holder(1, 1), s(122)), Beat::Expected);
    }

    #[test]
    fn the_newest_session_wins_and_the_replaced_one_is_told() {
        let mut liveness = leading();
        let node = NodeName::new(N);
        liveness.beat(&node, holder(1, 1), s(101));
        liveness.beat(&node, holder(2, 7), s(102));
        assert_eq!(liveness.holder(&node), Some(ServerId(2)));
        assert_eq!(liveness.beat(&node, holder(1, 1), s(103)), Beat::Superseded);
        liveness.ended(&node, holder(1, 1));
        assert_eq!(liveness.holder(&node), Some(ServerId(2)), "the end of a replaced session ends nothing");
        assert_eq!(liveness.verdict(&node, s(113)), Verdict::Alive { until: s(114) }, "nor did its heartbeat count");
    }

    #[test]
    fn nothing_is_reached_by_a_server_that_left() {
        let mut liveness = leading();
        let node = NodeName::new(N);
        liveness.beat(&node, holder(1, 1), s(101));
        liveness.server_left(ServerId(2));
        assert_eq!(liveness.holder(&node), Some(ServerId(1)));
        liveness.server_left(ServerId(1));
        assert_eq!(liveness.holder(&node), None);
        assert_eq!(liveness.beat(&node, holder(1, 1), s(102)), Beat::Expected);
        assert_eq!(liveness.holder(&node), Some(ServerId(1)));
    }

    #[test]
    fn what_is_not_registered_is_forgotten_once_it_is_silent() {
        let mut liveness = leading();
        let node = NodeName::new(N);
        liveness.beat(&node, holder(1, 1), s(101));
        liveness.retain(|_| false, s(112));
        assert_eq!(liveness.holder(&node), Some(ServerId(1)));
        liveness.retain(|_| true, s(113));
        assert_eq!(liveness.holder(&node), Some(ServerId(1)));
        liveness.retain(|_| false, s(113));
        assert_eq!(liveness.holder(&node), None);
    }

    #[test]
    fn who_does_not_lead_decides_nothing() {
        let mut liveness = leading();
        liveness.beat(&N.into(), holder(1, 1), s(101));
        liveness.resign();
        assert!(!liveness.is_leading());
        assert!(matches!(liveness.verdict(&N.into(), s(500)), Verdict::Undecided { .. }));
    }
}
