//! Whether and when a sandbox that ended is started again. Pure: knows no clock and no process.

use std::time::Duration;

use boss_proto::intent::RestartPolicy;

use crate::sandbox::files::{Exit, ExitKind};

/// Wait before the first restart in a row.
pub const BACKOFF_FIRST: Duration = Duration::from_millis(500);
/// Longest wait.
pub const BACKOFF_MAX: Duration = Duration::from_secs(60);
/// A run of this length was no quick failure: the next wait is the first one again.
pub const BACKOFF_RESET_AFTER: Duration = Duration::from_secs(10 * 60);

/// What follows an end.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Verdict {
    /// It stays ended.
    Final,
    /// It is started again.
    Restart {
        /// After this wait.
        after: Duration,
        /// Quick failures in a row, this one included.
        failures: u32,
    },
}

/// Decides by policy. `failures_before` counts the quick failures in a row before this execution.
#[must_use]
pub fn decide(policy: RestartPolicy, exit: &Exit, failures_before: u32) -> Verdict {
    let again = match policy {
        RestartPolicy::Always => true,
        RestartPolicy::OnFailure => !exit.is_success(),
        RestartPolicy::Never => false,
    };
    if !again || is_hopeless(exit) {
        return Verdict::Final;
    }
    let long_run = u128::from(exit.ran_for_us()) >= BACKOFF_RESET_AFTER.as_micros();
    let failures = if long_run { 1 } else { failures_before.saturating_add(1) };
    Verdict::Restart { after: backoff(failures), failures }
}

/// The wait before restart number `failures` in a row, from 1.
#[must_use]
pub fn backoff(failures: u32) -> Duration {
    let doublings = failures.saturating_sub(1).min(16);
    BACKOFF_FIRST.saturating_mul(1 << doublings).min(BACKOFF_MAX)
}

/// A spec that is wrong in itself does not get better by trying again.
fn is_hopeless(exit: &Exit) -> bool {
    matches!(&exit.how, ExitKind::NotStarted { reason, .. } if reason == "InvalidSpec")
}

#[cfg(test)]
mod tests {
    use super::*;

    fn exit(how: ExitKind, ran: Duration) -> Exit {
        let ran_us = u64::try_from(ran.as_micros()).unwrap();
        Exit { how, started_at_us: 1_000, finished_at_us: 1_000 + ran_us }
    }

    #[test]
    fn policy_decides_by_how_it_ended() {
        let success = exit(ExitKind::Code(0), Duration::from_secs(1));
        let failure = exit(ExitKind::Code(3), Duration::from_secs(1));
        let killed = exit(ExitKind::Signal { number: 9, out_of_memory: false }, Duration::from_secs(1));
        let lost = exit(ExitKind::Lost { message: String::new() }, Duration::from_secs(1));
        let restarts = |policy, exit| decide(policy, exit, 0) != Verdict::Final;
        for (policy, wanted) in [
            (RestartPolicy::Always, [true, true, true, true]),
            (RestartPolicy::OnFailure, [false, true, true, true]),
            (RestartPolicy::Never, [false, false, false, false]),
        ] {
            let got = [&success, &failure, &killed, &lost].map(|exit| restarts(policy, exit));
            assert_eq!(got, wanted, "{policy}");
        }
    }

    #[test]
    fn an_invalid_spec_is_never_tried_again() {
        let how = ExitKind::NotStarted { reason: "InvalidSpec".into(), message: String::new() };
        assert_eq!(decide(RestartPolicy::Always, &exit(how, Duration::ZERO), 0), Verdict::Final);
    }

    #[test]
    fn waits_double_up_to_the_longest() {
        let millis: Vec<u128> = (1..=9).map(|n| backoff(n).as_millis()).collect();
        assert_eq!(millis, [500, 1_000, 2_000, 4_000, 8_000, 16_000, 32_000, 60_000, 60_000]);
        assert_eq!(backoff(u32::MAX), BACKOFF_MAX);
    }

    #[test]
    fn a_long_run_starts_the_count_again() {
        let failure = |ran| exit(ExitKind::Code(1), ran);
        let after = |ran, before| match decide(RestartPolicy::Always, &failure(ran), before) {
            Verdict::Restart { failures, .. } => failures,
            Verdict::Final => 0,
        };
        assert_eq!(after(Duration::from_secs(599), 5), 6);
        assert_eq!(after(Duration::from_secs(600), 5), 1);
    }
}
