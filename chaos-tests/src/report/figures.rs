//! What a page shows, drawn from the history: how long answers took, how many came, when none came, and when each fault
//! was in force. Pure; draws nothing.

use std::collections::BTreeMap;

use crate::history::{Event, FaultOutcome, What};

/// Answers are counted over so long.
pub(super) const BUCKET_NS: u64 = 250_000_000;
/// No acknowledged write for so long is worth a line.
const GAP_NS: u64 = 500_000_000;

/// A fault from its beginning to its end.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Window {
    /// What it was.
    pub name: String,
    /// Whom it hit.
    pub hosts: Vec<String>,
    /// When it began, in nanoseconds.
    pub from_ns: u64,
    /// When it ended; the end of the run if it did not.
    pub until_ns: u64,
    /// Whether it took hold.
    pub outcome: FaultOutcome,
}

/// Everything that is drawn.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct Figures {
    /// Of the last event, in nanoseconds.
    pub end_ns: u64,
    /// End and duration of each answered operation, in nanoseconds.
    pub latencies: Vec<(u64, u64)>,
    /// Answers, refusals and unknown outcomes in each span of a quarter of a second.
    pub rates: Vec<[u32; 3]>,
    /// From one acknowledged write to the next, where that took long.
    pub gaps: Vec<(u64, u64)>,
    /// Of the faults.
    pub windows: Vec<Window>,
}

impl Figures {
    /// Of a history.
    #[must_use]
    pub fn of(events: &[Event]) -> Self {
        let end_ns = events.last().map_or(0, |event| event.at_ns);
        let spans = usize::try_from(end_ns / BUCKET_NS).unwrap_or_default() + 1;
        let mut figures = Self { end_ns, rates: vec![[0; 3]; spans], ..Self::default() };
        let mut open: BTreeMap<u64, (u64, bool)> = BTreeMap::new();
        let mut last_write = None;
        for event in events {
            let kind = match &event.what {
                What::Invoke { action, .. } => {
                    open.insert(event.process, (event.at_ns, *action != crate::history::Action::Read));
                    continue;
                }
                What::Call { call } => {
                    open.insert(event.process, (event.at_ns, !call.is_read()));
                    continue;
                }
                What::Fault { name, outcome, hosts } => {
                    figures.note_fault(event.at_ns, name, *outcome, hosts);
                    continue;
                }
                What::Ok { .. } | What::Reply { .. } => 0,
                What::Fail { .. } => 1,
                What::Info { .. } => 2,
            };
            figures.rates[usize::try_from(event.at_ns / BUCKET_NS).unwrap_or_default()][kind] += 1;
            let Some((began, is_write)) = open.remove(&event.process).filter(|_| kind == 0) else { continue };
            figures.latencies.push((event.at_ns, event.at_ns - began));
            if is_write {
                let before = last_write.replace(event.at_ns).unwrap_or(event.at_ns);
                if event.at_ns - before > GAP_NS {
                    figures.gaps.push((before, event.at_ns));
                }
            }
        }
        figures
    }

    fn note_fault(&mut self, at_ns: u64, name: &str, outcome: FaultOutcome, hosts: &[String]) {
        let open = self.windows.iter_mut().find(|window| window.name == name);
        match (outcome, open) {
            (FaultOutcome::Healed, Some(window)) => window.until_ns = at_ns,
            _ => {
                let (name, hosts, until_ns) = (name.to_owned(), hosts.to_vec(), self.end_ns);
                self.windows.push(Window { name, hosts, from_ns: at_ns, until_ns, outcome });
            }
        }
    }

    /// The duration that so many of a hundred answers did not exceed, in nanoseconds.
    #[must_use]
    pub fn percentile(&self, percent: usize) -> u64 {
        let mut sorted: Vec<u64> = self.latencies.iter().map(|(_, took)| *took).collect();
        sorted.sort_unstable();
        sorted.get((sorted.len() * percent / 100).min(sorted.len().saturating_sub(1))).copied().unwrap_or_default()
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::history::{Action, Answer};

    #[test]
    fn answers_gaps_and_faults_are_found_at_their_times() {
        let ms = |at: u64| at * 1_000_000;
        let event = |at, process, what| Event { at_ns: ms(at), process, what };
        let write = || What::Invoke { key: "k".into(), action: Action::Delete };
        let ok = || What::Ok { answer: Answer::Absent };
        let fault = |outcome| What::Fault { name: "1: kill".into(), outcome, hosts: vec!["server-1".into()] };
        let events = [
            event(10, 1, write()),
            event(20, 1, ok()),
            event(100, 0, fault(FaultOutcome::Installed)),
            event(110, 1, write()),
            event(120, 1, What::Fail { why: "no leader".into() }),
            event(900, 0, fault(FaultOutcome::Healed)),
            event(950, 2, write()),
            event(1_000, 2, ok()),
        ];
        let figures = Figures::of(&events);
        assert_eq!(figures.latencies, [(ms(20), ms(10)), (ms(1_000), ms(50))]);
        assert_eq!(figures.gaps, [(ms(20), ms(1_000))]);
        assert_eq!(figures.rates[0], [1, 1, 0]);
        assert_eq!((figures.windows[0].from_ns, figures.windows[0].until_ns), (ms(100), ms(900)));
        assert_eq!(figures.percentile(99), ms(50));
    }
}
