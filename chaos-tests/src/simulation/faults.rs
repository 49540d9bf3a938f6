//! Carries a schedule out, from the simulated host of the clients, and writes down what it did. Decides nothing.

use std::{cell::RefCell, rc::Rc, sync::Arc, time::Duration};

use boss_client::Client;
use boss_verify::history::{FaultOutcome, Recorder};
use tokio::time::{Instant, sleep_until, timeout_at};

use super::{
    clock::SimulatedClock,
    disk::Speed,
    papers::host,
    schedule::{Fault, Step, Target},
};

/// The host of all clients.
pub(super) const CLIENTS: &str = "clients";

/// What only the simulation's own loop can do, between two instants.
#[derive(Debug, Clone, PartialEq)]
pub(super) enum Order {
    /// This host ends.
    Crash(String),
    /// It is started again.
    Start(String),
    /// Messages between two hosts take so long at most; none for as long as usual.
    Latency(String, String, Option<Duration>),
    /// So much of what two hosts send to each other is lost.
    Loss(String, String, f64),
}

/// Everything that faults are put in force with.
pub(super) struct Disturber {
    pub(super) recorder: Arc<Recorder>,
    pub(super) orders: Rc<RefCell<Vec<Order>>>,
    pub(super) clocks: Vec<Arc<SimulatedClock>>,
    pub(super) disks: Vec<Speed>,
    /// Who was last seen to lead.
    pub(super) leader: Rc<RefCell<Option<u64>>>,
}

impl Disturber {
    /// Both rows of a schedule, at once; resolves when everything is healed.
    pub(super) async fn run(&self, rows: &[Vec<Step>; 2], clients: &[Client]) {
        let began = Instant::now();
        tokio::join!(self.row(began, &rows[0], clients), self.row(began, &rows[1], clients));
    }

    async fn row(&self, began: Instant, steps: &[Step], clients: &[Client]) {
        for step in steps {
            sleep_until(began + step.at).await;
            let hit = self.hit(step.target);
            let name =
                format!("{} {}", step.fault.name(), hit.iter().map(|id| host(*id)).collect::<Vec<_>>().join(" "));
            self.tell(&name, FaultOutcome::Installed, &hit);
            hit.iter().for_each(|id| self.install(step.fault, *id));
            // What becomes of what is asked does not matter, as long as it ends.
            drop(timeout_at(began + step.until, ask(step.fault, &hit, clients)).await);
            sleep_until(began + step.until).await;
            hit.iter().for_each(|id| self.heal(step.fault, *id));
            self.tell(&name, FaultOutcome::Healed, &hit);
        }
    }

    fn hit(&self, target: Target) -> Vec<u64> {
        match target {
            Target::Server(id) => vec![id],
            // Before anybody was seen to lead, the first is as good as any.
            Target::Leader => vec![self.leader.borrow().unwrap_or(1)],
            Target::All => self.servers().collect(),
        }
    }

    fn tell(&self, name: &str, outcome: FaultOutcome, hit: &[u64]) {
        self.recorder.fault_on(name, outcome, hit.iter().map(|id| host(*id)).collect());
    }

    fn servers(&self) -> impl Iterator<Item = u64> {
        1..=self.clocks.len() as u64
    }

    fn fellows(&self, id: u64) -> impl Iterator<Item = String> {
        self.servers().filter(move |other| *other != id).map(host)
    }

    fn order(&self, order: Order) {
        self.orders.borrow_mut().push(order);
    }

    fn install(&self, fault: Fault, id: u64) {
        let own = host(id);
        match fault {
            Fault::Crash => self.order(Order::Crash(own)),
            Fault::Hold => self.fellows(id).for_each(|other| turmoil::hold(own.as_str(), other)),
            Fault::HoldAll => {
                self.fellows(id).for_each(|other| turmoil::hold(own.as_str(), other));
                turmoil::hold(own.as_str(), CLIENTS);
            }
            Fault::Cut => self.fellows(id).for_each(|other| turmoil::partition(own.as_str(), other)),
            Fault::Deaf => self.fellows(id).for_each(|other| turmoil::partition_oneway(other, own.as_str())),
            Fault::Mute => self.fellows(id).for_each(|other| turmoil::partition_oneway(own.as_str(), other)),
            Fault::Distant(most) => {
                self.fellows(id).for_each(|other| self.order(Order::Latency(own.clone(), other, Some(most))));
            }
            Fault::Lossy(per_mille) => {
                let part = per_mille as f64 / 1_000.0;
                self.fellows(id).for_each(|other| self.order(Order::Loss(own.clone(), other, part)));
            }
            Fault::SlowDisk(sync) => self.disks[index(id)].slow_down(sync),
            Fault::WrongClock(by_ms) => self.clocks[index(id)].set_wrong(by_ms),
            Fault::AskTransfer | Fault::AskSnapshot => {}
        }
    }

    fn heal(&self, fault: Fault, id: u64) {
        let own = host(id);
        match fault {
            Fault::Crash => self.order(Order::Start(own)),
            Fault::Hold => self.fellows(id).for_each(|other| turmoil::release(own.as_str(), other)),
            Fault::HoldAll => {
                self.fellows(id).for_each(|other| turmoil::release(own.as_str(), other));
                turmoil::release(own.as_str(), CLIENTS);
            }
            Fault::Cut => self.fellows(id).for_each(|other| turmoil::repair(own.as_str(), other)),
            Fault::Deaf => self.fellows(id).for_each(|other| turmoil::repair_oneway(other, own.as_str())),
            Fault::Mute => self.fellows(id).for_each(|other| turmoil::repair_oneway(own.as_str(), other)),
            Fault::Distant(_) => {
                self.fellows(id).for_each(|other| self.order(Order::Latency(own.clone(), other, None)));
            }
            Fault::Lossy(_) => self.fellows(id).for_each(|other| self.order(Order::Loss(own.clone(), other, 0.0))),
            Fault::SlowDisk(_) => self.disks[index(id)].recover(),
            Fault::WrongClock(_) => self.clocks[index(id)].set_wrong(0),
            Fault::AskTransfer | Fault::AskSnapshot => {}
        }
    }
}

/// Each of these clients asks another server first.
async fn ask(fault: Fault, hit: &[u64], clients: &[Client]) {
    let asked = hit.iter().filter_map(|id| clients.get(index(*id)));
    for client in asked {
        match fault {
            Fault::AskTransfer => drop(client.transfer_leader(None).await),
            Fault::AskSnapshot => take_snapshot(client).await,
            _ => {}
        }
    }
}

/// To its end; what is in it is not looked at.
async fn take_snapshot(client: &Client) {
    let Ok(mut parts) = client.save_snapshot().await else { return };
    while let Ok(Some(_)) = parts.message().await {}
}

fn index(id: u64) -> usize {
    usize::try_from(id - 1).unwrap_or_default()
}
