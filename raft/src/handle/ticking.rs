//! Lets a follower rest between heartbeats. openraft ticks five times per heartbeat, on a follower only to notice that
//! its leader is silent; while heartbeats come, these ticks are most of what an idle follower does. So they are off
//! as long as the leader was heard lately, and on long before its lease ends. Knows no entries.

use std::time::Duration;

use boss_proto::ids::ServerId;
use openraft::{Raft, ServerState, async_runtime::watch::WatchReceiver, metrics::RaftServerMetrics};

use crate::{network::Contact, storage::StateMachine, types::TypeConfig};

pub(super) struct Ticking {
    pub(super) raft: Raft<TypeConfig, StateMachine>,
    pub(super) contact: Contact,
    /// A leader that was heard within it needs no watching. At most the shortest election timeout: no election may
    /// begin before that and the leader's lease, which is longer, are both over.
    pub(super) patience: Duration,
}

impl Ticking {
    /// Runs until the core is gone.
    pub(super) async fn run(self) {
        let mut servers = self.raft.server_metrics();
        // Whatever ends this task, the core must not be left without ticks.
        let _restore = Restore(&self.raft);
        loop {
            let need = self.need(&servers.borrow_watched());
            self.raft.runtime_config().tick(!matches!(need, Need::NoneFor(_)));
            let look_again = match need {
                Need::Always => None,
                Need::NoneFor(time) => Some(time),
                Need::UntilHeard => Some(self.patience),
            };
            tokio::select! {
                changed = servers.changed() => if changed.is_err() { return },
                () = sleep(look_again) => {}
            }
        }
    }

    fn need(&self, metrics: &RaftServerMetrics<TypeConfig>) -> Need {
        let silence = metrics.current_leader.and_then(|leader| self.contact.silence_of(ServerId(leader)));
        need(metrics.state, silence, self.patience)
    }
}

/// When the core needs its ticks.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Need {
    /// As long as this server is what it is.
    Always,
    /// Not before this time is over.
    NoneFor(Duration),
    /// Until a leader is heard.
    UntilHeard,
}

fn need(state: ServerState, silence: Option<Duration>, patience: Duration) -> Need {
    match state {
        ServerState::Follower | ServerState::Learner => match silence.map(|silence| patience.saturating_sub(silence)) {
            Some(rest) if !rest.is_zero() => Need::NoneFor(rest),
            Some(_) | None => Need::UntilHeard,
        },
        ServerState::Leader | ServerState::Candidate | ServerState::Shutdown => Need::Always,
    }
}

async fn sleep(time: Option<Duration>) {
    match time {
        Some(time) => tokio::time::sleep(time).await,
        None => std::future::pending().await,
    }
}

struct Restore<'a>(&'a Raft<TypeConfig, StateMachine>);

impl Drop for Restore<'_> {
    fn drop(&mut self) {
        self.0.runtime_config().tick(true);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const PATIENCE: Duration = Duration::from_millis(300);

    fn check(state: ServerState, silent_ms: Option<u64>, expected: Need) {
        assert_eq!(need(state, silent_ms.map(Duration::from_millis), PATIENCE), expected, "{state:?} {silent_ms:?}");
    }

    #[test]
    fn a_follower_rests_until_its_leader_has_been_silent_for_a_while() {
        for state in [ServerState::Follower, ServerState::Learner] {
            check(state, Some(0), Need::NoneFor(PATIENCE));
            check(state, Some(299), Need::NoneFor(Duration::from_millis(1)));
            check(state, Some(300), Need::UntilHeard);
            check(state, Some(60_000), Need::UntilHeard);
        }
    }

    #[test]
    fn a_follower_that_has_not_heard_its_leader_does_not_rest() {
        check(ServerState::Follower, None, Need::UntilHeard);
    }

    #[test]
    fn whoever_leads_or_wants_to_never_rests() {
        check(ServerState::Leader, Some(0), Need::Always);
        check(ServerState::Candidate, Some(0), Need::Always);
    }
}
