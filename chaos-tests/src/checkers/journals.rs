//! A pod has one running sandbox at a time: from what agents wrote down of executions and what the kernel says of their
//! processes. Asks nobody.

use std::collections::BTreeMap;

use super::{Verdict, broken};

/// One execution of a pod.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Execution {
    /// Of which pod.
    pub uid: String,
    /// On which node.
    pub node: String,
    /// Which one, as the agent counts.
    pub attempt: u32,
    /// Its main process.
    pub pid: i32,
    /// From when on it is known to have run, in nanoseconds.
    pub from_ns: u64,
    /// Until when at least.
    pub until_ns: u64,
}

/// The judgement of all executions.
#[must_use]
pub fn check(executions: &[Execution]) -> Verdict {
    if executions.is_empty() {
        return Verdict::Unknown("no agent wrote of a sandbox".to_owned());
    }
    let mut by_pod: BTreeMap<&str, Vec<&Execution>> = BTreeMap::new();
    executions.iter().for_each(|one| by_pod.entry(&one.uid).or_default().push(one));
    for mut all in by_pod.into_values() {
        all.sort_by_key(|one| one.from_ns);
        let together = all.windows(2).find(|pair| pair[1].from_ns <= pair[0].until_ns);
        if let Some(pair) = together {
            return broken(format!("two sandboxes of a pod ran at once: {:?} and {:?}", pair[0], pair[1]));
        }
    }
    Verdict::Valid
}

#[cfg(test)]
mod tests {
    use super::*;

    fn execution(uid: &str, attempt: u32, from_ns: u64, until_ns: u64) -> Execution {
        Execution { uid: uid.into(), node: "n".into(), attempt, pid: 7, from_ns, until_ns }
    }

    #[test]
    fn one_after_the_other_is_good_and_two_at_once_are_not() {
        let good = [execution("a", 1, 1, 5), execution("a", 2, 6, 9), execution("b", 1, 2, 8)];
        assert!(check(&good).is_valid());
        let bad = [&good[..], &[execution("a", 3, 8, 10)]].concat();
        assert!(matches!(check(&bad), Verdict::Invalid(_)));
        assert!(matches!(check(&[]), Verdict::Unknown(_)));
    }
}
