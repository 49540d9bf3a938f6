//! The loops that only the leader runs, and the one place that lists them. Each knows the registry and its own kinds,
//! none knows the API.

mod bootstrap;
mod conditions;
mod driver;
mod event_retention;
mod events;
mod garbage;
mod leader;
mod lost_pods;
mod membership;
mod namespaces;
mod node_health;
mod revocations;
mod scheduling;
mod sealing;
mod signing_keys;
#[cfg(test)]
pub(crate) mod testing;

use std::sync::Arc;

use boss_base::{
    clock::Clock,
    tasks::{OnExit, Tasks},
};
use boss_proto::key::Key;
use boss_raft::{
    Handle,
    state::{Outcome, Rejection},
};

use self::{
    bootstrap::Bootstrap,
    driver::Controller,
    event_retention::EventRetention,
    events::{EventWriter, Recorder},
    garbage::Garbage,
    leader::Leader,
    lost_pods::LostPods,
    membership::Membership,
    namespaces::Namespaces,
    node_health::NodeHealth,
    revocations::Revocations,
    scheduling::Scheduling,
    sealing::Sealing,
    signing_keys::SigningKeys,
};
use crate::{sealing::Vault, sessions::Sessions, writes::Peers};

/// What the controllers stand on.
pub struct Parts {
    /// The registry and who leads.
    pub handle: Handle,
    /// Time.
    pub clock: Arc<dyn Clock>,
    /// Owner of the loops.
    pub tasks: Tasks,
    /// What was heard of the nodes.
    pub sessions: Arc<Sessions>,
    /// Seals keys and secrets.
    pub vault: Vault,
    /// The other servers.
    pub peers: Peers,
}

/// What a controller is made from in one term.
struct Kit {
    leader: Leader,
    clock: Arc<dyn Clock>,
    sessions: Arc<Sessions>,
    events: Recorder,
    handle: Handle,
    vault: Vault,
    peers: Peers,
}

/// Starts every controller. Each waits until this server leads.
pub fn start(parts: &Parts) {
    let events = Recorder::new(parts.clock.clone());
    parts.spawn(&events, |kit| NodeHealth::new(kit.leader, kit.sessions, kit.clock, kit.events));
    parts.spawn(&events, |kit| Bootstrap::new(kit.leader));
    parts.spawn(&events, |kit| Membership::new(kit.leader, kit.handle, kit.clock, kit.vault, kit.peers));
    parts.spawn(&events, |kit| Scheduling::new(kit.leader, kit.clock, kit.events));
    parts.spawn(&events, |kit| LostPods::new(kit.leader, kit.clock, kit.events));
    parts.spawn(&events, |kit| Namespaces::new(kit.leader));
    parts.spawn(&events, |kit| Garbage::new(kit.leader, kit.events));
    parts.spawn(&events, |kit| EventWriter::new(kit.leader, kit.events));
    parts.spawn(&events, |kit| Sealing::new(kit.leader, kit.handle, kit.clock, kit.vault, kit.peers));
    parts.spawn(&events, |kit| SigningKeys::new(kit.leader, kit.clock, kit.vault));
    parts.spawn(&events, |kit| Revocations::new(kit.leader, kit.clock));
    parts.spawn(&events, |kit| EventRetention::new(kit.leader, kit.clock));
}

impl Parts {
    fn spawn<C: Controller>(&self, events: &Recorder, make: fn(Kit) -> C) {
        let (handle, clock, sessions) = (self.handle.clone(), self.clock.clone(), self.sessions.clone());
        let (events, raft) = (events.clone(), self.handle.clone());
        let (vault, peers) = (self.vault.clone(), self.peers.clone());
        let make = move |term| {
            let leader = Leader::new(handle.clone(), term, C::NAME);
            make(Kit {
                leader,
                clock: clock.clone(),
                sessions: sessions.clone(),
                events: events.clone(),
                handle: raft.clone(),
                vault: vault.clone(),
                peers: peers.clone(),
            })
        };
        let run = driver::run(self.handle.leadership(), self.clock.clone(), self.tasks.token(), make);
        self.tasks.spawn(C::NAME, OnExit::StopProcess, run);
    }
}

/// Whether a controller's own write took place; `false` when the object has changed or gone since it was looked at,
/// which wakes the controller up again. Any other refusal is an error.
fn was_written(outcome: &Outcome, key: &Key) -> Result<bool, driver::Error> {
    match outcome {
        Outcome::Written { .. } | Outcome::Deleted { .. } | Outcome::Txn { .. } => Ok(true),
        Outcome::Readmit
        | Outcome::Rejected(
            Rejection::Conflict { .. }
            | Rejection::NotFound
            | Rejection::UidMismatch { .. }
            | Rejection::AlreadyExists { .. }
            | Rejection::NamespaceMissing { .. }
            | Rejection::NamespaceTerminating { .. },
        ) => Ok(false),
        Outcome::Rejected(rejection) => {
            Err(driver::Error::Refused { what: key.to_string(), why: rejection.to_string() })
        }
    }
}
