//! What servers of a simulation say of themselves: who leads, and what each has made of the log. Judges nothing.

use std::{cell::RefCell, rc::Rc, time::Duration};

use boss_base::clock::Clock;
use boss_proto::v1;
use tokio::time::{Instant, sleep, timeout};

use crate::{
    api::Api,
    checkers::states::State,
    sample::{Sample, Seen},
    workload::Stop,
};

const EVERY: Duration = Duration::from_millis(250);
/// A server that cannot reach another one answers without it after a second.
const PATIENCE: Duration = Duration::from_millis(1_600);
/// After the last fault all servers come to one index by then.
const CATCHING_UP: Duration = Duration::from_secs(60);

/// Samples of one simulation.
pub(super) struct Looking {
    pub(super) samples: RefCell<Vec<Sample>>,
    /// Who was last seen to lead.
    pub(super) leader: Rc<RefCell<Option<u64>>>,
}

impl Looking {
    /// Asks one server again and again until all is over.
    pub(super) async fn follow(&self, server: u64, api: &Api, clock: &dyn Clock, over: &Stop) {
        while !over.is_set() {
            let at = clock.monotonic().as_nanos();
            let own = own_status(server, api).await;
            let seen = own.map(|own| Seen {
                leads: own.role == "leader",
                term: own.term,
                applied: own.applied_index,
                revision: own.revision,
                resident_bytes: 0,
                open_files: 0,
            });
            self.note(Sample { at_ns: u64::try_from(at).unwrap_or(u64::MAX), server, seen });
            sleep(EVERY).await;
        }
    }

    fn note(&self, sample: Sample) {
        if sample.seen.is_some_and(|seen| seen.leads) {
            self.leader.replace(Some(sample.server));
        }
        self.samples.borrow_mut().push(sample);
    }
}

async fn own_status(server: u64, api: &Api) -> Option<v1::ServerStatus> {
    let answer = timeout(PATIENCE, api.status()).await.ok()?.ok()?;
    answer.servers.into_iter().find(|status| status.id == server)
}

/// What each server holds, when all are at one index; else what they said last.
pub(super) async fn states(servers: &[Api]) -> Vec<State> {
    let until = Instant::now() + CATCHING_UP;
    loop {
        let mut states = Vec::new();
        for (api, server) in servers.iter().zip(1..) {
            let own = own_status(server, api).await;
            states.extend(own.map(|own| State { server, applied: own.applied_index, hash: own.state_hash }));
        }
        let level = states.len() == servers.len() && states.windows(2).all(|pair| pair[0].applied == pair[1].applied);
        if level || Instant::now() >= until {
            return states;
        }
        sleep(EVERY).await;
    }
}
