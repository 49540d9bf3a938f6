//! What clients ask beside registers: members of a set, pairs that change together, tokens, rights, room under a quota.
//! Events made into calls.

use std::collections::BTreeMap;

use serde::{Deserialize, Serialize};

use super::{BadHistory, Event, Process, What};

/// What a client asks. Names and values are unique in their history.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(tag = "ask", rename_all = "lowercase")]
pub enum Call {
    /// A new member of the set; asked again under the same request id until somebody answers.
    Add {
        /// Which.
        name: String,
    },
    /// A member less; asked again in the same way.
    Remove {
        /// Which.
        name: String,
    },
    /// All members, in pages.
    List,
    /// Both objects of a pair get a value, if they still are at these revisions.
    Set {
        /// Of which pair.
        pair: u64,
        /// What the client saw in both; 0 for none.
        from: u64,
        /// What they get.
        value: u64,
    },
    /// Both objects of all pairs, at one revision.
    Look,
    /// A new pod; asked again as members are.
    Run {
        /// Which.
        name: String,
    },
    /// A pod less.
    End {
        /// Which.
        name: String,
    },
    /// Something for which a token is shown.
    Show {
        /// Which token.
        token: u64,
        /// Whether it is a write.
        writes: bool,
    },
    /// A token is to count no more.
    Revoke {
        /// Which.
        token: u64,
    },
    /// A tenant gets the right to read and write.
    Grant {
        /// Who.
        tenant: u64,
    },
    /// A tenant loses it.
    Withdraw {
        /// Who.
        tenant: u64,
    },
    /// A tenant does something that he needs the right for.
    Act {
        /// Who.
        tenant: u64,
        /// Whether it is a write.
        writes: bool,
    },
    /// One object more under the quota; asked again as members are.
    Take {
        /// Which.
        name: String,
    },
    /// One less.
    Free {
        /// Which.
        name: String,
    },
    /// All objects under the quota.
    Count,
}

impl Call {
    /// Whether it changes nothing.
    #[must_use]
    pub fn is_read(&self) -> bool {
        matches!(
            self,
            Self::List | Self::Look | Self::Count | Self::Show { writes: false, .. } | Self::Act { writes: false, .. }
        )
    }
}

/// What a client was told.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(tag = "told", rename_all = "lowercase")]
pub enum Reply {
    /// It was done.
    Done {
        /// In this revision.
        revision: u64,
    },
    /// There is such an object already.
    Exists,
    /// There is no such object.
    Absent,
    /// Something was not as the caller had seen it.
    Changed,
    /// The members at this revision.
    Members {
        /// Of the list.
        revision: u64,
        /// In the order in which they came.
        names: Vec<String>,
    },
    /// It was read.
    Seen {
        /// At this revision of the registry.
        revision: u64,
    },
    /// The caller is nobody, or has no right.
    Denied,
    /// There is no room under the quota.
    Full,
    /// Both values of each pair.
    Pairs {
        /// Of the look.
        revision: u64,
        /// By pair; 0 for none.
        values: Vec<(u64, u64)>,
    },
}

/// One call with its end.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Called {
    /// Who.
    pub process: Process,
    /// What was asked.
    pub call: Call,
    /// When, in nanoseconds.
    pub began_ns: u64,
    /// The reply and when it came; none when nobody knows.
    pub reply: Option<(u64, Reply)>,
}

impl Called {
    /// When it ended, in nanoseconds; never, if nobody knows.
    #[must_use]
    pub fn ended_ns(&self) -> u64 {
        self.reply.as_ref().map_or(u64::MAX, |(at, _)| *at)
    }

    /// The revision of what it did.
    #[must_use]
    pub fn revision(&self) -> Option<u64> {
        match self.reply {
            Some((_, Reply::Done { revision })) => Some(revision),
            _ => None,
        }
    }
}

/// The calls of a history in the order in which they began. What certainly did nothing is left out.
pub fn calls(events: &[Event]) -> Result<Vec<Called>, BadHistory> {
    let mut found: Vec<Option<Called>> = Vec::new();
    let mut open: BTreeMap<Process, usize> = BTreeMap::new();
    for (index, event) in events.iter().enumerate() {
        match &event.what {
            What::Call { call } => {
                let (process, call) = (event.process, call.clone());
                found.push(Some(Called { process, call, began_ns: event.at_ns, reply: None }));
                if open.insert(process, found.len() - 1).is_some() {
                    return Err(BadHistory { index, problem: "the process does something already".to_owned() });
                }
            }
            What::Reply { reply } => {
                let at = open.remove(&event.process);
                let Some(call) = at.and_then(|at| found[at].as_mut()) else {
                    return Err(BadHistory { index, problem: "nothing was begun that could end".to_owned() });
                };
                call.reply = Some((event.at_ns, reply.clone()));
            }
            // The end of a call, or of an operation on a register.
            What::Fail { .. } => {
                if let Some(at) = open.remove(&event.process) {
                    found[at] = None;
                }
            }
            What::Info { .. } => {
                open.remove(&event.process);
            }
            What::Invoke { .. } | What::Ok { .. } | What::Fault { .. } => {}
        }
    }
    Ok(found.into_iter().flatten().collect())
}

#[cfg(test)]
mod tests {
    use super::*;

    fn event(at_ns: u64, process: Process, what: What) -> Event {
        Event { at_ns, process, what }
    }

    fn add(name: &str) -> What {
        What::Call { call: Call::Add { name: name.into() } }
    }

    #[test]
    fn each_call_finds_its_reply_and_registers_are_left_alone() {
        let done = What::Reply { reply: Reply::Done { revision: 4 } };
        let events = [
            event(1, 1, add("a")),
            event(2, 2, add("b")),
            event(3, 3, add("c")),
            event(4, 1, done.clone()),
            event(5, 2, What::Fail { why: "no leader".into() }),
            event(6, 3, What::Info { why: "timeout".into() }),
        ];
        let found = calls(&events).unwrap();
        let seen: Vec<(u64, Option<u64>)> = found.iter().map(|call| (call.process, call.revision())).collect();
        assert_eq!(seen, [(1, Some(4)), (3, None)]);
        assert_eq!(super::super::operations(&events), Ok(vec![]));
        assert!(calls(&[event(1, 1, done)]).is_err());
    }
}
