//! The life of one pod's sandboxes on this node, as a table. Pure: knows no process, no clock, no registry.
//!
//! ```text
//! Waiting -> Preparing -> Starting -> Running -> Ended          (or -> BackingOff -> Preparing ...)
//!        any of these -> Stopping -> Removing -> Gone
//! ```

/// Where a pod stands on this node.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub enum Phase {
    /// Known, nothing done.
    Waiting,
    /// The provider makes the sandbox ready.
    Preparing,
    /// The provider starts it.
    Starting,
    /// It runs.
    Running,
    /// It ended and will be started again after a wait.
    BackingOff,
    /// It ended and stays ended. Its folder, with its output, is kept until the pod is deleted.
    Ended,
    /// It is being stopped, for good.
    Stopping,
    /// Proven to be stopped; what is left on disk is being removed.
    Removing,
    /// Nothing is left here.
    Gone,
}

impl Phase {
    /// Every phase.
    pub const ALL: [Phase; 9] = [
        Phase::Waiting,
        Phase::Preparing,
        Phase::Starting,
        Phase::Running,
        Phase::BackingOff,
        Phase::Ended,
        Phase::Stopping,
        Phase::Removing,
        Phase::Gone,
    ];

    /// Whether a stop was ordered, or is not needed any more.
    #[must_use]
    pub fn is_leaving(self) -> bool {
        matches!(self, Phase::Stopping | Phase::Removing | Phase::Gone)
    }
}

/// Something that happened.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Event {
    /// The pod is wanted here.
    Begin,
    /// The sandbox is ready to start.
    Prepared,
    /// It runs.
    Started,
    /// Preparing or starting failed, or what ran has ended; it is not to run again.
    EndedForGood,
    /// The same, but it is to run again.
    EndedForNow,
    /// The wait before the next attempt is over.
    BackoffOver,
    /// The pod is to go.
    StopWanted,
    /// Nothing of the sandbox runs any more, which is proven.
    Absent,
    /// What was left on disk is removed.
    Removed,
    /// Stopping or removing failed, and it is time to try again.
    RetryDue,
}

impl Event {
    /// Every event.
    pub const ALL: [Event; 10] = [
        Event::Begin,
        Event::Prepared,
        Event::Started,
        Event::EndedForGood,
        Event::EndedForNow,
        Event::BackoffOver,
        Event::StopWanted,
        Event::Absent,
        Event::Removed,
        Event::RetryDue,
    ];
}

/// What the agent is to do.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Effect {
    /// Make the next attempt's sandbox ready.
    Prepare,
    /// Start it.
    Start,
    /// Tell when it ends.
    WatchForEnd,
    /// Tell when the wait before the next attempt is over.
    ArmBackoff,
    /// Stop it and prove that it is gone.
    Stop,
    /// Remove what is left on disk.
    Remove,
    /// Write the pod's status.
    Report,
    /// Tell the registry that nothing is left, if the pod was deleted there.
    Release,
}

/// One step. What does not fit the phase changes nothing: it is late news of something that was overtaken.
#[must_use]
pub fn step(phase: Phase, event: Event) -> (Phase, Vec<Effect>) {
    use Effect::{ArmBackoff, Prepare, Release, Remove, Report, Start, Stop, WatchForEnd};
    match (phase, event) {
        (Phase::Waiting, Event::Begin) | (Phase::BackingOff, Event::BackoffOver) => (Phase::Preparing, vec![Prepare]),
        (Phase::Preparing, Event::Prepared) => (Phase::Starting, vec![Start]),
        (Phase::Starting, Event::Started) => (Phase::Running, vec![Report, WatchForEnd]),
        (Phase::Preparing | Phase::Starting | Phase::Running, Event::EndedForNow) => {
            (Phase::BackingOff, vec![Report, ArmBackoff])
        }
        (Phase::Waiting | Phase::Preparing | Phase::Starting | Phase::Running, Event::EndedForGood) => {
            (Phase::Ended, vec![Report])
        }
        (
            Phase::Waiting | Phase::Preparing | Phase::Starting | Phase::Running | Phase::BackingOff | Phase::Ended,
            Event::StopWanted,
        ) => (Phase::Stopping, vec![Stop]),
        (Phase::Stopping, Event::RetryDue) => (Phase::Stopping, vec![Stop]),
        (Phase::Stopping, Event::Absent) => (Phase::Removing, vec![Remove]),
        (Phase::Removing, Event::RetryDue) => (Phase::Removing, vec![Remove]),
        (Phase::Removing, Event::Removed) => (Phase::Gone, vec![Release]),
        (Phase::Gone, Event::RetryDue | Event::StopWanted) => (Phase::Gone, vec![Release]),
        (phase, _) => (phase, Vec::new()),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// One row per phase, one word per event in the order of `Event::ALL`; `-` means that nothing happens.
    const TABLE: &[(Phase, &str)] = &[
        (Phase::Waiting, "Preparing:Prepare - - Ended:Report - - Stopping:Stop - - -"),
        (Phase::Preparing, "- Starting:Start - Ended:Report BackingOff:Report+ArmBackoff - Stopping:Stop - - -"),
        (
            Phase::Starting,
            "- - Running:Report+WatchForEnd Ended:Report BackingOff:Report+ArmBackoff - Stopping:Stop - - -",
        ),
        (Phase::Running, "- - - Ended:Report BackingOff:Report+ArmBackoff - Stopping:Stop - - -"),
        (Phase::BackingOff, "- - - - - Preparing:Prepare Stopping:Stop - - -"),
        (Phase::Ended, "- - - - - - Stopping:Stop - - -"),
        (Phase::Stopping, "- - - - - - - Removing:Remove - Stopping:Stop"),
        (Phase::Removing, "- - - - - - - - Gone:Release Removing:Remove"),
        (Phase::Gone, "- - - - - - Gone:Release - - Gone:Release"),
    ];

    fn describe(before: Phase, (after, effects): (Phase, Vec<Effect>)) -> String {
        if effects.is_empty() {
            assert_eq!(before, after, "a change without an effect would never be noticed");
            return "-".to_owned();
        }
        let effects: Vec<String> = effects.iter().map(|effect| format!("{effect:?}")).collect();
        format!("{after:?}:{}", effects.join("+"))
    }

    #[test]
    fn every_pair_of_phase_and_event_does_what_the_table_says() {
        assert_eq!(TABLE.iter().map(|(phase, _)| *phase).collect::<Vec<_>>(), Phase::ALL);
        for (phase, row) in TABLE {
            let got: Vec<String> = Event::ALL.iter().map(|event| describe(*phase, step(*phase, *event))).collect();
            assert_eq!(got.join(" "), *row, "{phase:?}");
        }
    }

    #[test]
    fn once_leaving_nothing_starts_again() {
        for phase in Phase::ALL.into_iter().filter(|phase| phase.is_leaving()) {
            for event in Event::ALL {
                let (after, effects) = step(phase, event);
                assert!(after.is_leaving(), "{phase:?} {event:?}");
                assert!(!effects.contains(&Effect::Start) && !effects.contains(&Effect::Prepare));
            }
        }
    }

    #[test]
    fn nothing_is_released_before_its_absence_is_proven() {
        for phase in Phase::ALL.into_iter().filter(|phase| *phase < Phase::Removing) {
            for event in Event::ALL {
                assert!(!step(phase, event).1.contains(&Effect::Release), "{phase:?} {event:?}");
            }
        }
    }
}
