//! Carries out a schedule on a running cluster and writes down what became of each fault. Decides nothing.

use std::{
    collections::{BTreeMap, BTreeSet},
    io,
    time::Duration,
};

use nix::sys::signal::Signal;
use tokio::time::{Instant, sleep_until, timeout};

use super::{
    disks,
    fault::{DiskFault, Fault, Target},
    schedule::Step,
};
use crate::{
    bossctl_run::Bossctl,
    clock::Wrong,
    cluster::Cluster,
    history::{FaultOutcome, Recorder},
    http,
    nemesis::starve::Group,
    net::{Host, Link, Rules, Shape, Waiting},
    wait,
};

/// A cluster that was left alone before has a leader by then; one that was disturbed mostly too.
const LEADER_PATIENCE: Duration = Duration::from_secs(5);
/// For the answer of a server that may be paused.
const LOOK: Duration = Duration::from_millis(500);

/// Disturbs one cluster.
pub struct Disturber<'a> {
    cluster: &'a mut Cluster,
    recorder: &'a Recorder,
    /// Hosts of clients and nodes.
    others: Vec<Host>,
    active: BTreeMap<usize, Active>,
    /// Servers that may end because of what was done to their disks, also a little later.
    ailing: BTreeSet<u64>,
}

/// What is in force and how it ends.
enum Active {
    Killed(Vec<u64>),
    Paused(Vec<u64>),
    Cut(Shape),
    Losing(u16),
    Slow(u64),
    HeldUp(Vec<u64>),
    Disks(DiskFault, Vec<u64>),
    WrongClocks(Vec<u64>),
    Starved(Vec<Group>),
    Joined(u64),
    AgentKilled(usize),
    AgentPaused(usize),
    /// It is over when it is done.
    Moment,
}

/// A fault that could not be put in force.
pub(super) enum Not {
    /// There was nothing to hit.
    Skipped(String),
    /// Nobody knows whether it took hold.
    Unclear(String),
}

impl From<io::Error> for Not {
    fn from(error: io::Error) -> Self {
        Self::Unclear(error.to_string())
    }
}

impl<'a> Disturber<'a> {
    /// Of a cluster on hosts of its own.
    pub fn new(cluster: &'a mut Cluster, recorder: &'a Recorder, others: Vec<Host>) -> Self {
        Self { cluster, recorder, others, active: BTreeMap::new(), ailing: BTreeSet::new() }
    }

    /// Carries out all steps; at the end nothing is disturbed any more.
    pub async fn carry_out(&mut self, start: Instant, steps: &[Step]) {
        let begins = steps.iter().enumerate().map(|(number, step)| (step.at_ms, true, number));
        let ends = steps.iter().enumerate().map(|(number, step)| (step.until_ms, false, number));
        let mut moments: Vec<(u64, bool, usize)> = begins.chain(ends).collect();
        // What ends comes before what begins at the same time.
        moments.sort_unstable();
        for (at_ms, begins, number) in moments {
            sleep_until(start + Duration::from_millis(at_ms)).await;
            if begins {
                Box::pin(self.begin(number, &steps[number].fault)).await;
            } else {
                Box::pin(self.end(number, &steps[number].fault)).await;
            }
        }
        for id in std::mem::take(&mut self.ailing) {
            if let Err(error) = disks::revive(self.cluster, id).await {
                self.recorder.fault(format!("server-{id} after its disk was broken: {error}"), FaultOutcome::Unclear);
            }
        }
    }

    async fn begin(&mut self, number: usize, fault: &Fault) {
        let (outcome, name, hosts) = match self.install(number, fault).await {
            Ok((active, hosts)) => {
                let outcome = FaultOutcome::Installed;
                self.active.insert(number, active);
                (outcome, title(number, fault), hosts)
            }
            Err(Not::Skipped(why)) => (FaultOutcome::Skipped, format!("{}: {why}", title(number, fault)), Vec::new()),
            Err(Not::Unclear(why)) => (FaultOutcome::Unclear, format!("{}: {why}", title(number, fault)), Vec::new()),
        };
        if outcome != FaultOutcome::Installed {
            self.active.remove(&number);
        }
        self.recorder.fault_on(name, outcome, hosts);
    }

    async fn install(&mut self, number: usize, fault: &Fault) -> Result<(Active, Vec<String>), Not> {
        match fault {
            Fault::Kill(target) => {
                let ids = self.targets(*target).await?;
                ids.iter().for_each(|id| self.cluster.kill_server(*id));
                Ok((Active::Killed(ids.clone()), names(&ids)))
            }
            Fault::Pause(target) => {
                let ids = self.targets(*target).await?;
                ids.iter().for_each(|id| self.signal(*id, Signal::SIGSTOP));
                Ok((Active::Paused(ids.clone()), names(&ids)))
            }
            Fault::Cut(shape) => self.cut(number, shape.clone()).await,
            Fault::CutLeader(around) => {
                let leader = self.leader().await?;
                self.cut(number, around.shape(leader)).await
            }
            Fault::Loss(lost) => {
                self.active.insert(number, Active::Losing(*lost));
                self.rule().await?;
                Ok((Active::Losing(*lost), names(&self.cluster.running_servers())))
            }
            Fault::Wait(waiting, target) => {
                let ids = self.targets(*target).await?;
                self.hold_up(&ids, *waiting)?;
                Ok((Active::HeldUp(ids.clone()), names(&ids)))
            }
            Fault::Bandwidth(id, kbit) => {
                self.network()?.throttle(Host::server(*id), Some(*kbit)).await?;
                Ok((Active::Slow(*id), names(&[*id])))
            }
            Fault::Disk(fault, target) => {
                let ids = self.targets(*target).await?;
                if fault.ends_servers() {
                    self.ailing.extend(&ids);
                }
                disks::install(self.cluster, *fault, &ids)?;
                Ok((Active::Disks(*fault, ids.clone()), names(&ids)))
            }
            Fault::Clock(wrong, target) => {
                let ids = self.targets(*target).await?;
                self.set_clocks(&ids, *wrong)?;
                Ok((Active::WrongClocks(ids.clone()), names(&ids)))
            }
            Fault::Starve(target, share) => {
                let ids = self.targets(*target).await?;
                Ok((Active::Starved(self.starve(&ids, *share)?), names(&ids)))
            }
            Fault::Transfer => self.transfer().await,
            Fault::Join => {
                let id = self.cluster.add_server(&[]).await;
                Ok((Active::Joined(id), names(&[id])))
            }
            Fault::KillAgent(index) => {
                let name = self.cluster.node_name(*index).to_owned();
                self.cluster.kill_node(*index);
                Ok((Active::AgentKilled(*index), vec![name]))
            }
            Fault::PauseAgent(index) => {
                let agent = self.cluster.node(*index).ok_or_else(|| Not::Skipped("it is down".to_owned()))?;
                agent.signal(Signal::SIGSTOP);
                Ok((Active::AgentPaused(*index), vec![self.cluster.node_name(*index).to_owned()]))
            }
        }
    }

    async fn end(&mut self, number: usize, fault: &Fault) {
        let Some(active) = self.active.remove(&number) else { return };
        let outcome = match self.heal(active).await {
            Ok(()) => FaultOutcome::Healed,
            Err(error) => {
                self.recorder.fault(format!("{}: {error}", title(number, fault)), FaultOutcome::Unclear);
                return;
            }
        };
        self.recorder.fault(title(number, fault), outcome);
    }

    async fn heal(&mut self, active: Active) -> io::Result<()> {
        match active {
            Active::Killed(ids) => ids.iter().for_each(|id| self.cluster.start_server(*id)),
            Active::Paused(ids) => ids.iter().for_each(|id| self.signal(*id, Signal::SIGCONT)),
            Active::Cut(_) | Active::Losing(_) => self.rule().await?,
            Active::Slow(id) => {
                let network = self.cluster.network().ok_or_else(|| io::Error::other("there is no network"))?;
                network.throttle(Host::server(id), None).await?;
            }
            Active::HeldUp(ids) => self.hold_up(&ids, Waiting::default())?,
            Active::Disks(fault, ids) => disks::heal(self.cluster, fault, &ids)?,
            Active::WrongClocks(ids) => self.set_clocks(&ids, Wrong::default())?,
            Active::Starved(groups) => drop(groups),
            Active::Joined(id) => {
                let bossctl = Bossctl::of(self.cluster);
                let removed = bossctl.run(&["cluster", "remove", &id.to_string()]).await;
                if removed.code != 0 {
                    return Err(io::Error::other(format!("it was not removed: {removed:?}")));
                }
                self.cluster.kill_server(id);
            }
            Active::AgentKilled(index) => self.cluster.start_node(index),
            Active::AgentPaused(index) => {
                if let Some(agent) = self.cluster.node(index) {
                    agent.signal(Signal::SIGCONT);
                }
            }
            Active::Moment => {}
        }
        Ok(())
    }

    async fn cut(&mut self, number: usize, shape: Shape) -> Result<(Active, Vec<String>), Not> {
        let hit = match &shape {
            Shape::Isolate(id) | Shape::Alone(id) | Shape::Deaf(id) | Shape::Mute(id) => vec![*id],
            Shape::Halves(half) => half.clone(),
            Shape::Bridge(_) | Shape::Ring => self.cluster.running_servers(),
        };
        // Not in force until the rules are there; they are made from what is active.
        self.active.insert(number, Active::Cut(shape.clone()));
        if let Err(error) = self.rule().await {
            self.active.remove(&number);
            return Err(error.into());
        }
        Ok((Active::Cut(shape), names(&hit)))
    }

    /// Makes the rules that everything in force asks for.
    async fn rule(&self) -> io::Result<()> {
        let servers: Vec<u64> = self.cluster.server_ids().collect();
        let mut rules = Rules::default();
        for active in self.active.values() {
            match active {
                Active::Cut(shape) => rules.cut(shape.links(&servers, &self.others)),
                Active::Losing(lost) => between(&servers).for_each(|link| rules.lose(link, *lost)),
                _ => {}
            }
        }
        let network = self.cluster.network().ok_or_else(|| io::Error::other("there is no network"))?;
        network.rule(&rules).await
    }

    fn network(&self) -> Result<&crate::net::Network, Not> {
        self.cluster.network().ok_or_else(|| Not::Skipped("the servers have no hosts of their own".to_owned()))
    }

    fn signal(&self, id: u64, signal: Signal) {
        if let Some(process) = self.cluster.server(id) {
            process.signal(signal);
        }
    }

    async fn targets(&self, target: Target) -> Result<Vec<u64>, Not> {
        let ids = match target {
            Target::One(id) => vec![id],
            Target::Leader => vec![self.leader().await?],
            Target::All => self.cluster.running_servers(),
        };
        match ids.iter().find(|id| self.cluster.server(**id).is_none()) {
            Some(id) => Err(Not::Skipped(format!("server-{id} is down"))),
            None => Ok(ids),
        }
    }

    async fn leader(&self) -> Result<u64, Not> {
        let found =
            wait::until("somebody leads", LEADER_PATIENCE, async || leader_of(self.cluster).await.ok_or("nobody"));
        found.await.map_err(|timed_out| Not::Skipped(timed_out.to_string()))
    }

    async fn transfer(&self) -> Result<(Active, Vec<String>), Not> {
        let leader = self.leader().await?;
        let asked = self.cluster.client(leader);
        match timeout(LEADER_PATIENCE, asked.transfer_leader(None)).await {
            Ok(Ok(_)) => Ok((Active::Moment, names(&[leader]))),
            Ok(Err(error)) => Err(Not::Unclear(error.to_string())),
            Err(_) => Err(Not::Unclear("no answer".to_owned())),
        }
    }

    fn hold_up(&self, ids: &[u64], waiting: Waiting) -> io::Result<()> {
        ids.iter().try_for_each(|id| {
            let wire = self.cluster.network().and_then(|network| network.wire(Host::server(*id)));
            wire.ok_or_else(|| io::Error::other(format!("server-{id} has no wire")))?.hold_up(waiting)
        })
    }

    fn set_clocks(&self, ids: &[u64], wrong: Wrong) -> io::Result<()> {
        let clock = |id: &u64| self.cluster.clock(*id).ok_or_else(|| io::Error::other(format!("server-{id} has none")));
        ids.iter().try_for_each(|id| clock(id)?.set(wrong))
    }

    fn starve(&self, ids: &[u64], share: u32) -> io::Result<Vec<Group>> {
        let group = |id: &u64| {
            let process = self.cluster.server(*id).ok_or_else(|| io::Error::other("it is down"))?;
            Group::create(self.cluster.folder(), *id, process.id().pid, share)
        };
        ids.iter().map(group).collect()
    }
}

/// The server that says that it leads; of several, the one of the highest term. A server that is paused or cut off from
/// its majority may still say so, for a moment.
pub async fn leader_of(cluster: &Cluster) -> Option<u64> {
    let mut best: Option<(u64, u64)> = None;
    for id in cluster.running_servers() {
        let asked = timeout(LOOK, http::get(&cluster.addresses(id).http, "/metrics")).await;
        let Ok(Ok((_, text))) = asked else { continue };
        let value = |name: &str| crate::sample::value(&text, name);
        if value("boss_raft_is_leader") == Some(1.0) {
            let term = value("boss_raft_term").map_or(0, |term| term as u64);
            best = best.max(Some((term, id)));
        }
    }
    best.map(|(_, id)| id)
}

fn title(number: usize, fault: &Fault) -> String {
    format!("{}: {fault}", number + 1)
}

fn names(ids: &[u64]) -> Vec<String> {
    ids.iter().map(|id| format!("server-{id}")).collect()
}

fn between(servers: &[u64]) -> impl Iterator<Item = Link> {
    let pairs = servers.iter().flat_map(|from| servers.iter().map(move |to| (*from, *to)));
    pairs.filter(|(from, to)| from != to).map(|(from, to)| Link { from: Host::server(from), to: Host::server(to) })
}
