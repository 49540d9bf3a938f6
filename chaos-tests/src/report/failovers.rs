//! How long writers waited when the leader was taken away: from the fault to the first acknowledged write that was asked for
//! after it. Pure.

use std::{collections::BTreeMap, time::Duration};

use crate::history::{Action, Event, FaultOutcome, Reply, What};

/// Faults that take the leader away, by the first word of their names, with what tables call them.
const KINDS: [(&str, &str); 3] = [("kill", "kill"), ("pause", "pause"), ("partition", "partition")];

/// One fault of a leader.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub struct Failover {
    /// What was done to it.
    pub kind: &'static str,
    /// Until somebody could write.
    pub took: Duration,
}

/// Every fault of a leader alone, or of all servers' links to it, after which somebody wrote again before the run ended.
#[must_use]
pub fn failovers(events: &[Event]) -> Vec<Failover> {
    let mut waiting: Vec<(&'static str, u64)> = Vec::new();
    let mut asked: BTreeMap<u64, u64> = BTreeMap::new();
    let mut found = Vec::new();
    for event in events {
        match &event.what {
            What::Fault { name, outcome: FaultOutcome::Installed, .. } => {
                waiting.extend(kind_of(name).map(|kind| (kind, event.at_ns)));
            }
            What::Invoke { action, .. } if *action != Action::Read => drop(asked.insert(event.process, event.at_ns)),
            What::Call { call } if !call.is_read() => {
                asked.insert(event.process, event.at_ns);
            }
            What::Ok { .. } | What::Reply { reply: Reply::Done { .. } } => {
                let Some(began) = asked.remove(&event.process) else { continue };
                waiting.retain(|(kind, since)| {
                    if began > *since {
                        let took = Duration::from_nanos(event.at_ns.saturating_sub(*since));
                        found.push(Failover { kind, took });
                    }
                    began <= *since
                });
            }
            What::Reply { .. } | What::Fail { .. } | What::Info { .. } => drop(asked.remove(&event.process)),
            What::Invoke { .. } | What::Call { .. } | What::Fault { .. } => {}
        }
    }
    found
}

/// Of a fault whose name says that it hits the leader.
fn kind_of(name: &str) -> Option<&'static str> {
    let (_, fault) = name.split_once(": ")?;
    let (word, rest) = fault.split_once(' ')?;
    let known = KINDS.iter().find(|(start, _)| *start == word)?;
    rest.ends_with("the leader").then_some(known.1)
}

/// Median and 99th of 100 of each kind, with how many there were.
#[must_use]
pub fn summary(failovers: &[Failover]) -> Vec<(&'static str, usize, [Duration; 2])> {
    let mut by_kind: BTreeMap<&str, Vec<Duration>> = BTreeMap::new();
    failovers.iter().for_each(|one| by_kind.entry(one.kind).or_default().push(one.took));
    let kinds = KINDS.iter().filter_map(|(_, kind)| {
        let times = by_kind.get_mut(kind)?;
        times.sort_unstable();
        let at = |percent: usize| times[(times.len() * percent / 100).min(times.len() - 1)];
        Some((*kind, times.len(), [at(50), at(99)]))
    });
    kinds.collect()
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::history::Answer;

    fn event(at_ms: u64, process: u64, what: What) -> Event {
        Event { at_ns: at_ms * 1_000_000, process, what }
    }

    fn write() -> What {
        What::Invoke { key: "k".into(), action: Action::Write { value: 1 } }
    }

    fn fault(name: &str) -> What {
        What::Fault { name: name.into(), outcome: FaultOutcome::Installed, hosts: Vec::new() }
    }

    #[test]
    fn only_a_write_that_began_after_the_fault_ends_the_wait() {
        let done = || What::Ok { answer: Answer::Changed { revision: 1 } };
        let events = [
            event(0, 1, write()),
            event(10, 0, fault("1: kill the leader")),
            event(11, 1, done()),
            event(12, 2, What::Invoke { key: "k".into(), action: Action::Read }),
            event(13, 2, What::Ok { answer: Answer::Absent }),
            event(20, 1, write()),
            event(900, 1, done()),
            event(1_000, 0, fault("2: pause server-2")),
            event(1_001, 0, fault("3: partition isolating the leader")),
            event(1_100, 1, write()),
        ];
        let found = failovers(&events);
        assert_eq!(found, [Failover { kind: "kill", took: Duration::from_millis(890) }]);
        assert_eq!(summary(&found), [("kill", 1, [Duration::from_millis(890); 2])]);
        assert!(summary(&[]).is_empty());
    }
}
