//! Carries out a schedule on a running cluster and writes down what became of each fault. Decides nothing.

use std::{
    collections::{BTreeMap, BTreeSet},
    io,
    time::Duration,
};

use nix::sys::signal::Signal;
use tokio::time::{Instant, sleep_until, timeout};

use super::{
    agents,
    behind::{self, Mark},
    disks,
    fault::{Away, DiskFault, Fault, Target},
    groups::Group,
    schedule::Step,
    servers,
};
use crate::{
    bossctl_run::Bossctl,
    clock::Wrong,
    cluster::Cluster,
    history::{FaultOutcome, Recorder},
    http,
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
    /// By control groups: free again when they are dropped.
    Held(Vec<Group>),
    Joined(u64),
    Behind(Away, u64, Mark),
    Agent(agents::Disturbed),
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
                servers::signal(self.cluster, &ids, Signal::SIGSTOP);
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
                servers::hold_up(self.cluster, &ids, *waiting)?;
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
                servers::set_clocks(self.cluster, &ids, *wrong)?;
                Ok((Active::WrongClocks(ids.clone()), names(&ids)))
            }
            Fault::Starve(target, share) => {
                let ids = self.targets(*target).await?;
                Ok((Active::Held(servers::starve(self.cluster, &ids, *share)?), names(&ids)))
            }
            Fault::Freeze(target) => {
                let ids = self.targets(*target).await?;
                Ok((Active::Held(vec![servers::freeze(self.cluster, &ids).await?]), names(&ids)))
            }
            Fault::Behind(away, id) => self.leave_behind(number, *away, *id).await,
            Fault::Transfer => {
                let leader = self.leader().await?;
                servers::hand_over(self.cluster, leader).await?;
                Ok((Active::Moment, names(&[leader])))
            }
            Fault::Join => {
                let id = self.cluster.add_server(&[]).await;
                Ok((Active::Joined(id), names(&[id])))
            }
            agents => {
                let (disturbed, hosts) = agents::install(self.cluster, agents).await?;
                Ok((Active::Agent(disturbed), hosts))
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
            Active::Paused(ids) => servers::signal(self.cluster, &ids, Signal::SIGCONT),
            Active::Cut(_) | Active::Losing(_) => self.rule().await?,
            Active::Slow(id) => {
                let network = self.cluster.network().ok_or_else(|| io::Error::other("there is no network"))?;
                network.throttle(Host::server(id), None).await?;
            }
            Active::HeldUp(ids) => servers::hold_up(self.cluster, &ids, Waiting::default())?,
            Active::Disks(fault, ids) => disks::heal(self.cluster, fault, &ids)?,
            Active::WrongClocks(ids) => servers::set_clocks(self.cluster, &ids, Wrong::default())?,
            Active::Held(groups) => drop(groups),
            Active::Behind(away, id, mark) => self.come_back(away, id, mark).await?,
            Active::Agent(disturbed) => agents::heal(self.cluster, disturbed).await?,
            Active::Joined(id) => {
                let bossctl = Bossctl::of(self.cluster);
                let removed = bossctl.run(&["cluster", "remove", &id.to_string()]).await;
                if removed.code != 0 {
                    return Err(io::Error::other(format!("it was not removed: {removed:?}")));
                }
                self.cluster.kill_server(id);
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
                Active::Behind(Away::CutOff, id, _) => rules.cut(Shape::Isolate(*id).links(&servers, &self.others)),
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

    async fn targets(&mut self, target: Target) -> Result<Vec<u64>, Not> {
        let ids = match target {
            Target::One(id) => vec![id],
            Target::Leader => vec![self.leader().await?],
            Target::All => self.cluster.running_servers(),
        };
        // What was done to their disks may have ended them only now.
        for id in ids.iter().filter(|id| self.ailing.contains(*id)) {
            disks::start_if_ended(self.cluster, *id)?;
        }
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

    async fn leave_behind(&mut self, number: usize, away: Away, id: u64) -> Result<(Active, Vec<String>), Not> {
        self.targets(Target::One(id)).await?;
        let mark = Mark::of(self.cluster, id).await?;
        let active = |mark| Active::Behind(away, id, mark);
        match away {
            Away::Killed => {
                self.cluster.kill_server(id);
                return Ok((active(mark.killed()), names(&[id])));
            }
            Away::Paused => servers::signal(self.cluster, &[id], Signal::SIGSTOP),
            Away::CutOff => {
                self.active.insert(number, active(mark));
                self.rule().await?;
            }
        }
        Ok((active(mark), names(&[id])))
    }

    /// It comes back in any case, also when the others could not leave it behind.
    async fn come_back(&mut self, away: Away, id: u64, mark: Mark) -> io::Result<()> {
        let past = behind::compact_past(self.cluster, id, mark).await;
        match away {
            Away::Killed => self.cluster.start_server(id),
            Away::Paused => servers::signal(self.cluster, &[id], Signal::SIGCONT),
            Away::CutOff => self.rule().await?,
        }
        past?;
        behind::has_installed(self.cluster, id, mark).await
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
