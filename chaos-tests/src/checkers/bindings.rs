//! A pod is bound once: whatever becomes of it, it is never bound to another node. From what a watch told.

use std::collections::BTreeMap;

use super::{Verdict, broken};

/// A pod as a watch showed it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Bound {
    /// Which; another pod of the same name has another one.
    pub uid: String,
    /// Its name.
    pub name: String,
    /// Its node; empty while it has none.
    pub node: String,
    /// Of the change.
    pub revision: u64,
}

/// The judgement of everything that was told, in its order.
#[must_use]
pub fn check(told: &[Bound]) -> Verdict {
    let mut bound: BTreeMap<&str, &Bound> = BTreeMap::new();
    for now in told {
        match bound.get(now.uid.as_str()) {
            Some(before) if before.node != now.node => {
                return broken(format!("a pod was bound to two nodes, or let go again: {before:?}, then {now:?}"));
            }
            None if !now.node.is_empty() => {
                bound.insert(&now.uid, now);
            }
            _ => {}
        }
    }
    Verdict::Valid
}

#[cfg(test)]
mod tests {
    use super::*;

    fn bound(uid: &str, node: &str, revision: u64) -> Bound {
        Bound { uid: uid.into(), name: "web".into(), node: node.into(), revision }
    }

    #[test]
    fn a_binding_is_for_ever_but_another_pod_may_have_another_one() {
        let good = [bound("a", "", 1), bound("a", "n1", 2), bound("a", "n1", 3), bound("b", "n2", 4)];
        assert!(check(&good).is_valid());
        for bad in ["n2", ""] {
            assert!(matches!(check(&[bound("a", "n1", 2), bound("a", bad, 3)]), Verdict::Invalid(_)));
        }
    }
}
