//! Which addresses are worth asking: the members, as the cluster names them, and what the client was given. Pure.

use std::collections::VecDeque;

use crate::Endpoint;

/// Many times the servers of any cluster.
const SERVERS_MAX: usize = 32;
/// Addresses of former members that are remembered, so that a configured one among them is not asked again.
const FORMER_MAX: usize = 128;

/// What is known so far.
pub(super) struct Known {
    /// What the client was given. A name that no member has may lead to all of them, so it stays, as the last resort.
    configured: Vec<Endpoint>,
    members: Vec<Endpoint>,
    /// The latest last.
    former: VecDeque<Endpoint>,
}

impl Known {
    pub(super) fn new(configured: Vec<Endpoint>) -> Self {
        Self { configured, members: Vec::new(), former: VecDeque::new() }
    }

    /// The addresses to use, the members first; empty when the cluster names none, which says nothing.
    pub(super) fn learn(&mut self, members: &[Endpoint]) -> Vec<Endpoint> {
        if members.is_empty() {
            return Vec::new();
        }
        let gone: Vec<Endpoint> = self.members.iter().filter(|old| !members.contains(old)).cloned().collect();
        self.former.retain(|old| !members.contains(old));
        self.former.extend(gone);
        let surplus = self.former.len().saturating_sub(FORMER_MAX);
        self.former.drain(..surplus);
        self.members = members.to_vec();
        let spare = self.configured.iter().filter(|given| !members.contains(given) && !self.former.contains(given));
        members.iter().chain(spare).take(SERVERS_MAX).cloned().collect()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn list(text: &str) -> Vec<Endpoint> {
        text.split_whitespace().map(|address| address.parse().unwrap()).collect()
    }

    fn check(configured: &str, told: &[&str], expected: &str) {
        let mut known = Known::new(list(configured));
        let mut wanted = Vec::new();
        for members in told {
            wanted = known.learn(&list(members));
        }
        assert_eq!(wanted, list(expected), "{configured} | {told:?}");
    }

    #[test]
    fn new_members_are_used_and_former_ones_left() {
        check("a:1", &["a:1 b:1 c:1"], "a:1 b:1 c:1");
        check("a:1", &["a:1 b:1 c:1", "b:1 c:1"], "b:1 c:1");
        check("a:1 b:1", &["a:1 b:1", "b:1", "b:1 a:1"], "b:1 a:1");
    }

    #[test]
    fn an_address_that_is_no_members_own_stays_as_the_last_resort() {
        check("balancer:7400", &["a:1 b:1"], "a:1 b:1 balancer:7400");
        check("balancer:7400", &["a:1 b:1", "b:1 c:1"], "b:1 c:1 balancer:7400");
    }

    #[test]
    fn an_answer_without_members_changes_nothing() {
        check("a:1", &["a:1 b:1", ""], "");
        let mut known = Known::new(list("a:1"));
        known.learn(&list("a:1 b:1"));
        known.learn(&[]);
        assert_eq!(known.learn(&list("b:1")), list("b:1"), "a was a member once");
    }

    #[test]
    fn the_list_is_bounded() {
        let many: Vec<Endpoint> = (1..=SERVERS_MAX + 1).map(|port| format!("a:{port}").parse().unwrap()).collect();
        assert_eq!(Known::new(list("a:1")).learn(&many).len(), SERVERS_MAX);
    }
}
