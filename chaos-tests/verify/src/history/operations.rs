//! Events made into operations: each invoke with its end. Refuses a history that breaks the rules of its own form.

use std::collections::{BTreeMap, BTreeSet};

use super::{Action, Answer, Event, Process, What};

/// One thing that one client asked, and what it was told.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Operation {
    /// Who.
    pub process: Process,
    /// Of which object.
    pub key: String,
    /// What it asked.
    pub action: Action,
    /// When it began, in nanoseconds.
    pub began_ns: u64,
    /// How it ended.
    pub end: End,
}

/// How an operation ended.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum End {
    /// With an answer.
    Ok {
        /// What was told.
        answer: Answer,
        /// When.
        at_ns: u64,
    },
    /// It may have been done, or be done at any later time.
    Unknown,
}

impl Operation {
    /// Nothing that ends before it can be affected by it.
    #[must_use]
    pub fn ended_ns(&self) -> u64 {
        match self.end {
            End::Ok { at_ns, .. } => at_ns,
            End::Unknown => u64::MAX,
        }
    }

    /// The answer, if there is one.
    #[must_use]
    pub fn answer(&self) -> Option<&Answer> {
        match &self.end {
            End::Ok { answer, .. } => Some(answer),
            End::Unknown => None,
        }
    }
}

/// The history cannot have been recorded by clients that do one thing at a time: a bug of the recorder.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("event {index}: {problem}")]
pub struct BadHistory {
    /// Of which event, from 0.
    pub index: usize,
    /// What is wrong.
    pub problem: String,
}

/// The operations of a history in the order in which they began. What certainly did nothing is left out; what has no
/// end by the end of the history is unknown.
pub fn operations(events: &[Event]) -> Result<Vec<Operation>, BadHistory> {
    let mut done: Vec<Option<Operation>> = Vec::new();
    let mut open: BTreeMap<Process, usize> = BTreeMap::new();
    let mut retired = BTreeSet::new();
    let mut elsewhere = BTreeSet::new();
    let mut last_ns = 0;
    for (index, event) in events.iter().enumerate() {
        let bad = |problem: &str| BadHistory { index, problem: problem.to_owned() };
        if event.at_ns < last_ns {
            return Err(bad("time goes back"));
        }
        last_ns = event.at_ns;
        match &event.what {
            What::Fault { .. } => {}
            // The workloads beside the registers have processes of their own.
            What::Call { .. } => {
                elsewhere.insert(event.process);
            }
            _ if elsewhere.contains(&event.process) => {}
            What::Reply { .. } => return Err(bad("nothing was begun that could end")),
            What::Invoke { key, action } => {
                if retired.contains(&event.process) {
                    return Err(bad("the process was retired"));
                }
                let (key, action) = (key.clone(), action.clone());
                let end = End::Unknown;
                done.push(Some(Operation { process: event.process, key, action, began_ns: event.at_ns, end }));
                if open.insert(event.process, done.len() - 1).is_some() {
                    return Err(bad("the process does something already"));
                }
            }
            ended @ (What::Ok { .. } | What::Fail { .. } | What::Info { .. }) => {
                let at = open.remove(&event.process).ok_or_else(|| bad("nothing was begun that could end"))?;
                match (ended, &mut done[at]) {
                    (What::Ok { answer }, Some(operation)) => {
                        operation.end = End::Ok { answer: answer.clone(), at_ns: event.at_ns };
                    }
                    (What::Fail { .. }, operation) => *operation = None,
                    _ => {
                        retired.insert(event.process);
                    }
                }
            }
        }
    }
    Ok(done.into_iter().flatten().collect())
}

#[cfg(test)]
mod tests {
    use super::*;

    fn event(at_ns: u64, process: Process, what: What) -> Event {
        Event { at_ns, process, what }
    }

    fn read() -> What {
        What::Invoke { key: "k".into(), action: Action::Read }
    }

    #[test]
    fn each_invoke_finds_its_end_and_what_did_nothing_is_left_out() {
        let info = What::Info { why: "timeout".into() };
        let fail = What::Fail { why: "no leader".into() };
        let absent = What::Ok { answer: Answer::Absent };
        let events = [
            event(1, 1, read()),
            event(2, 2, read()),
            event(3, 3, read()),
            event(4, 2, fail),
            event(5, 1, absent),
            event(6, 3, info),
            event(7, 4, read()),
        ];
        let found = operations(&events).unwrap();
        let ends: Vec<(Process, u64)> =
            found.iter().map(|operation| (operation.process, operation.ended_ns())).collect();
        assert_eq!(ends, [(1, 5), (3, u64::MAX), (4, u64::MAX)]);
    }

    #[test]
    fn a_history_that_no_client_can_have_made_is_refused() {
        let info = What::Info { why: "timeout".into() };
        for (events, problem) in [
            (vec![event(1, 1, read()), event(2, 1, read())], "does something already"),
            (vec![event(1, 1, What::Ok { answer: Answer::Absent })], "nothing was begun"),
            (vec![event(2, 1, read()), event(1, 2, read())], "time goes back"),
            (vec![event(1, 1, read()), event(2, 1, info), event(3, 1, read())], "retired"),
        ] {
            let error = operations(&events).unwrap_err();
            assert!(error.problem.contains(problem), "{error}");
        }
    }
}
