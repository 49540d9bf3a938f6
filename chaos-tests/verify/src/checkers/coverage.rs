//! Whether a run says anything at all: enough was answered before, during and after its faults, and every fault took
//! hold. A run without it proves nothing, however good its history looks.

use super::Verdict;
use crate::history::{Event, FaultOutcome, What};

/// What a run must have seen at least.
#[derive(Debug, Clone, Copy)]
pub struct Wanted {
    /// Answered operations in each of the three parts.
    pub answered_each: usize,
    /// Faults that took hold.
    pub faults: usize,
}

/// What a run has seen.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct Coverage {
    /// Answered before the first fault.
    pub before: usize,
    /// Answered from the first fault until the last healing.
    pub during: usize,
    /// Answered after it.
    pub after: usize,
    /// Operations of unknown outcome.
    pub unknown: usize,
    /// Operations that certainly did nothing.
    pub failed: usize,
    /// Faults that took hold.
    pub faults: usize,
    /// Faults that did not, or nobody knows.
    pub doubtful_faults: usize,
}

/// Counts what a history has seen.
#[must_use]
pub fn count(events: &[Event]) -> Coverage {
    let is_fault = |event: &&Event| matches!(event.what, What::Fault { .. });
    let first = events.iter().find(is_fault).map_or(u64::MAX, |event| event.at_ns);
    let last = events.iter().rev().find(is_fault).map_or(u64::MAX, |event| event.at_ns);
    let mut seen = Coverage::default();
    for event in events {
        match &event.what {
            What::Ok { .. } | What::Reply { .. } if event.at_ns < first => seen.before += 1,
            What::Ok { .. } | What::Reply { .. } if event.at_ns <= last => seen.during += 1,
            What::Ok { .. } | What::Reply { .. } => seen.after += 1,
            What::Info { .. } => seen.unknown += 1,
            What::Fail { .. } => seen.failed += 1,
            What::Fault { outcome: FaultOutcome::Installed, .. } => seen.faults += 1,
            What::Fault { outcome: FaultOutcome::Skipped | FaultOutcome::Unclear, .. } => seen.doubtful_faults += 1,
            What::Fault { outcome: FaultOutcome::Healed, .. } | What::Invoke { .. } | What::Call { .. } => {}
        }
    }
    seen
}

impl Coverage {
    /// Answered in all.
    #[must_use]
    pub fn answered(&self) -> usize {
        self.before + self.during + self.after
    }

    /// As [`Coverage::judge`], of a run without faults: the sum of its parts counts.
    #[must_use]
    pub fn judge_quiet(&self, wanted: Wanted) -> Verdict {
        if self.answered() >= 3 * wanted.answered_each && self.faults + self.doubtful_faults == 0 {
            return Verdict::Valid;
        }
        Verdict::Unknown(format!("the run has seen too little: {self:?}, wanted {wanted:?}"))
    }

    /// Unknown unless the run has seen enough.
    #[must_use]
    pub fn judge(&self, wanted: Wanted) -> Verdict {
        let enough = [self.before, self.during, self.after].iter().all(|part| *part >= wanted.answered_each);
        if enough && self.faults >= wanted.faults && self.doubtful_faults == 0 {
            return Verdict::Valid;
        }
        Verdict::Unknown(format!("the run has seen too little: {self:?}, wanted {wanted:?}"))
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::history::Answer;

    #[test]
    fn answers_are_counted_around_the_faults_and_a_quiet_part_is_no_proof() {
        let ok = || What::Ok { answer: Answer::Absent };
        let fault = |outcome| What::Fault { name: "kill".into(), outcome, hosts: Vec::new() };
        let whats = [ok(), ok(), fault(FaultOutcome::Installed), ok(), fault(FaultOutcome::Healed), ok()];
        let events: Vec<Event> =
            whats.into_iter().zip(1..).map(|(what, at_ns)| Event { at_ns, process: 1, what }).collect();
        let seen = count(&events);
        assert_eq!((seen.before, seen.during, seen.after, seen.faults), (2, 1, 1, 1));
        assert!(seen.judge(Wanted { answered_each: 1, faults: 1 }).is_valid());
        assert!(!seen.judge(Wanted { answered_each: 2, faults: 1 }).is_valid());
        assert!(!seen.judge(Wanted { answered_each: 1, faults: 2 }).is_valid());
    }
}
