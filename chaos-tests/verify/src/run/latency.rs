//! How long answers took. Pure.

use std::collections::BTreeMap;

use crate::history::{Action, Event, What};

/// Of answered operations, ascending, in nanoseconds.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Latencies {
    reads: Vec<u64>,
    writes: Vec<u64>,
}

impl Latencies {
    /// Of a history.
    #[must_use]
    pub fn of(events: &[Event]) -> Self {
        let mut open: BTreeMap<u64, (u64, bool)> = BTreeMap::new();
        let mut found = Self::default();
        for event in events {
            match &event.what {
                What::Invoke { action, .. } => {
                    open.insert(event.process, (event.at_ns, *action == Action::Read));
                }
                What::Call { call } => {
                    open.insert(event.process, (event.at_ns, call.is_read()));
                }
                What::Ok { .. } | What::Reply { .. } => {
                    let Some((began, is_read)) = open.remove(&event.process) else { continue };
                    let kind = if is_read { &mut found.reads } else { &mut found.writes };
                    kind.push(event.at_ns.saturating_sub(began));
                }
                What::Fail { .. } | What::Info { .. } | What::Fault { .. } => {}
            }
        }
        found.reads.sort_unstable();
        found.writes.sort_unstable();
        found
    }

    /// What was done, with the median and the 99th of 100, in milliseconds; without what was never answered.
    pub fn named(&self) -> impl Iterator<Item = (&'static str, [f64; 2])> {
        let of = |name, sorted: &[u64]| Some((name, [at(sorted, 0.5)?, at(sorted, 0.99)?]));
        [of("reads", &self.reads), of("writes", &self.writes)].into_iter().flatten()
    }
}

fn at(sorted: &[u64], quantile: f64) -> Option<f64> {
    let last = sorted.len().checked_sub(1)?;
    let nanoseconds = sorted[(last as f64 * quantile).round() as usize];
    Some(nanoseconds as f64 / 1e6)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::history::Answer;

    #[test]
    fn reads_and_writes_are_told_apart_and_the_unanswered_count_nowhere() {
        let event = |at_ms: u64, process, what| Event { at_ns: at_ms * 1_000_000, process, what };
        let ask = |action| What::Invoke { key: "k".into(), action };
        let events = [
            event(0, 1, ask(Action::Read)),
            event(1, 2, ask(Action::Write { value: 1 })),
            event(2, 3, ask(Action::Write { value: 2 })),
            event(4, 1, What::Ok { answer: Answer::Absent }),
            event(11, 2, What::Ok { answer: Answer::Changed { revision: 1 } }),
            event(12, 3, What::Info { why: "timeout".into() }),
        ];
        let named: Vec<_> = Latencies::of(&events).named().collect();
        assert_eq!(named, [("reads", [4.0, 4.0]), ("writes", [10.0, 10.0])]);
        assert_eq!(Latencies::of(&[]).named().count(), 0);
    }
}
