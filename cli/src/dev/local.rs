//! The processes of one cluster's folder, started and stopped together. Knows nothing of what they say to each other.

use std::{
    fs::{self, OpenOptions},
    future::Future,
    net::TcpListener,
    os::unix::process::CommandExt,
    path::{Path, PathBuf},
    process::{Command, Stdio},
    time::Duration,
};

use futures_util::future::{join_all, select_all};
use rustix::process::Signal;
use tokio::time::timeout;

use super::{Binaries, Error, process::Process, records};
use crate::provision::Cluster;

/// Longer than the deadlines that servers and nodes give themselves.
const TERM: (Signal, Duration) = (Signal::TERM, Duration::from_secs(15));
/// The kernel needs no time for a SIGKILL but for a process that waits for a disk.
const KILL: (Signal, Duration) = (Signal::KILL, Duration::from_secs(5));
/// Enough to see an error and what led to it.
const LAST_LINES: usize = 12;

/// What a process is.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub enum Role {
    /// Stopped first: nodes should say goodbye to servers that still listen.
    Node,
    /// Control plane.
    Server,
}

/// A process that a cluster's folder describes, running or not.
#[derive(Debug, Clone)]
pub struct Member {
    /// Its name.
    pub name: String,
    /// What it is.
    pub role: Role,
    /// Its folder.
    pub directory: PathBuf,
    /// Where a server answers about its health.
    pub http: Option<String>,
    /// Its process, while it runs.
    pub pid: Option<u32>,
}

impl Member {
    /// Where its output goes.
    #[must_use]
    pub fn log_path(&self) -> PathBuf {
        self.directory.join("log")
    }
}

/// How a process was stopped.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Stopped {
    /// Which.
    pub name: String,
    /// It did not end by itself in time.
    pub killed: bool,
}

/// A cluster whose processes are our children.
#[derive(Debug)]
pub struct Local {
    cluster: Cluster,
    processes: Vec<(Member, Process)>,
}

/// Every process that the folder describes, and which of them run.
pub fn members(cluster: &Cluster) -> Result<Vec<Member>, Error> {
    let mut members = described(cluster);
    for (member, process) in found(cluster)? {
        if let Some(known) = members.iter_mut().find(|known| known.name == member.name && known.role == member.role) {
            known.pid = Some(process.record.pid);
        }
    }
    Ok(members)
}

/// Remembers that the servers have agreed on being a cluster, so that they are never told to form one again.
pub fn set_formed(cluster: &Cluster) -> Result<(), Error> {
    records::set_formed(cluster.directory())
}

/// Stops whatever of the cluster runs, whoever started it.
pub async fn stop(cluster: &Cluster) -> Result<Vec<Stopped>, Error> {
    let stopped = stop_all(&mut found(cluster)?).await?;
    records::save(cluster.directory(), &[])?;
    Ok(stopped)
}

impl Local {
    /// Starts every process of the folder that does not run; those that do are taken over. When one cannot be
    /// started, none of the new ones stays. `fresh` says that the folder was made just now, so that another choice of
    /// ports is possible.
    pub async fn start(cluster: Cluster, binaries: &Binaries, fresh: bool) -> Result<Self, Error> {
        let processes = found(&cluster)?;
        let (running, missing): (Vec<_>, Vec<_>) =
            described(&cluster).into_iter().partition(|member| is_among(&processes, member));
        if missing.is_empty() {
            let (directory, names) = (cluster.directory().to_owned(), names(&running));
            return Err(Error::Running { directory, names });
        }
        check_ports(&cluster, &names(&missing), !fresh)?;
        let mut local = Self { cluster, processes };
        for member in missing {
            if let Err(error) = local.start_member(member, binaries) {
                local.stop_new().await;
                return Err(error);
            }
        }
        Ok(local)
    }

    /// The processes that ran before we came.
    #[must_use]
    pub fn taken_over(&self) -> Vec<String> {
        let ours = self.processes.iter().filter(|(_, process)| !process.is_child());
        ours.map(|(member, _)| member.name.clone()).collect()
    }

    /// The cluster's folder.
    #[must_use]
    pub fn cluster(&self) -> &Cluster {
        &self.cluster
    }

    /// Its processes.
    pub fn members(&self) -> impl Iterator<Item = &Member> {
        self.processes.iter().map(|(member, _)| member)
    }

    /// Waits until a process ends, which none should; says which, and the end of its log.
    pub async fn died(&mut self) -> Error {
        if self.processes.is_empty() {
            return std::future::pending().await;
        }
        let endings = self.processes.iter_mut().map(|(_, process)| Box::pin(process.ended()));
        let (status, index, _) = select_all(endings).await;
        let (member, _) = &self.processes[index];
        let log = member.log_path();
        let last_lines = last_lines(&log);
        Error::Died { name: member.name.clone(), status: status.ok().flatten(), log, last_lines }
    }

    /// Starts a process again that has ended.
    pub fn start_again(&mut self, name: &str, binaries: &Binaries) -> Result<(), Error> {
        let ended = self.processes.iter().position(|(member, _)| member.name == name);
        match ended.map(|index| self.processes.remove(index)) {
            Some((member, _)) => self.start_member(member, binaries),
            None => Ok(()),
        }
    }

    /// Goes on without a process that has ended.
    pub fn leave_out(&mut self, name: &str) -> Result<(), Error> {
        self.processes.retain(|(member, _)| member.name != name);
        self.remember()
    }

    /// Stops nodes, then servers; all at once and without asking when `hurry` comes.
    pub async fn stop(mut self, hurry: impl Future<Output = ()>) -> Result<Vec<Stopped>, Error> {
        let hurried = tokio::select! {
            stopped = stop_all(&mut self.processes) => Some(stopped?),
            () = hurry => None,
        };
        let stopped = match hurried {
            Some(stopped) => stopped,
            None => kill_all(&mut self.processes).await?,
        };
        records::save(self.cluster.directory(), &[])?;
        Ok(stopped)
    }

    /// After a failed start, whose error is the one to tell.
    async fn stop_new(&mut self) {
        let (mut new, kept): (Vec<_>, Vec<_>) =
            self.processes.drain(..).partition(|(_, process): &(Member, Process)| process.is_child());
        let _ = stop_all(&mut new).await;
        self.processes = kept;
        let _ = self.remember();
    }

    fn remember(&self) -> Result<(), Error> {
        let records: Vec<_> = self.processes.iter().map(|(_, process)| process.record.clone()).collect();
        records::save(self.cluster.directory(), &records)
    }

    fn start_member(&mut self, member: Member, binaries: &Binaries) -> Result<(), Error> {
        let forms =
            member.name == self.cluster.plan().servers[0].name && !records::was_formed(self.cluster.directory());
        let spawn = |source| Error::Spawn { name: member.name.clone(), source };
        let child = command(&member, binaries, forms)?.spawn().map_err(spawn)?;
        let process = Process::of_child(&member.name, child).map_err(spawn)?;
        let member = Member { pid: Some(process.record.pid), ..member };
        self.processes.push((member, process));
        self.remember()
    }
}

fn described(cluster: &Cluster) -> Vec<Member> {
    let servers = cluster.plan().servers.iter().map(|server| Member {
        name: server.name.clone(),
        role: Role::Server,
        directory: cluster.server_directory(server),
        http: Some(server.http.clone()),
        pid: None,
    });
    let nodes = cluster.plan().nodes.iter().map(|node| Member {
        name: node.name.clone(),
        role: Role::Node,
        directory: cluster.node_directory(node),
        http: None,
        pid: None,
    });
    servers.chain(nodes).collect()
}

/// The processes that earlier commands started and that still run.
fn found(cluster: &Cluster) -> Result<Vec<(Member, Process)>, Error> {
    let described = described(cluster);
    let mut found = Vec::new();
    for record in records::load(cluster.directory())? {
        let process = Process::of_record(&record)
            .map_err(|source| Error::Io { path: PathBuf::from(format!("/proc/{}", record.pid)), source })?;
        let member = described.iter().find(|member| member.name == record.name);
        if let (Some(process), Some(member)) = (process, member) {
            found.push((Member { pid: Some(record.pid), ..member.clone() }, process));
        }
    }
    Ok(found)
}

fn is_among(processes: &[(Member, Process)], member: &Member) -> bool {
    processes.iter().any(|(running, _)| running.name == member.name && running.role == member.role)
}

fn names(members: &[Member]) -> Vec<String> {
    members.iter().map(|member| member.name.clone()).collect()
}

/// Nobody else may listen where servers that are about to start want to; asked by listening there for a moment.
fn check_ports(cluster: &Cluster, starting: &[String], kept: bool) -> Result<(), Error> {
    for server in cluster.plan().servers.iter().filter(|server| starting.contains(&server.name)) {
        for address in server.addresses() {
            if let Err(error) = TcpListener::bind(address) {
                let in_use = error.kind() == std::io::ErrorKind::AddrInUse;
                let (address, server) = (address.to_owned(), server.name.clone());
                return Err(match in_use {
                    true => Error::PortInUse { address, server, kept },
                    false => Error::Spawn { name: format!("{server} on {address}"), source: error },
                });
            }
        }
    }
    Ok(())
}

fn command(member: &Member, binaries: &Binaries, forms: bool) -> Result<Command, Error> {
    let log = member.log_path();
    let open = || OpenOptions::new().create(true).append(true).open(&log);
    let io = |source| Error::Io { path: log.clone(), source };
    let (binary, config) = match member.role {
        Role::Server => (&binaries.server, "server.toml"),
        Role::Node => (&binaries.node, "node.toml"),
    };
    let mut command = Command::new(binary);
    command.arg("--config").arg(member.directory.join(config)).current_dir(&member.directory);
    if forms {
        command.arg("--initialize");
    }
    // What overrides one server's configuration would override that of all.
    for (name, _) in std::env::vars_os().filter(|(name, _)| name.to_string_lossy().starts_with("BOSS_")) {
        command.env_remove(name);
    }
    command.stdin(Stdio::null()).stdout(open().map_err(io)?).stderr(open().map_err(io)?);
    // A group of its own: Ctrl-C is ours, and we stop the processes in their order.
    command.process_group(0);
    Ok(command)
}

async fn stop_all(processes: &mut [(Member, Process)]) -> Result<Vec<Stopped>, Error> {
    let mut stopped = Vec::new();
    for role in [Role::Node, Role::Server] {
        let of_role = processes.iter_mut().filter(|(member, _)| member.role == role);
        stopped.extend(join_all(of_role.map(|(_, process)| stop_one(process, &[TERM, KILL]))).await);
    }
    all_ended(stopped)
}

async fn kill_all(processes: &mut [(Member, Process)]) -> Result<Vec<Stopped>, Error> {
    all_ended(join_all(processes.iter_mut().map(|(_, process)| stop_one(process, &[KILL]))).await)
}

fn all_ended(results: Vec<Result<Stopped, String>>) -> Result<Vec<Stopped>, Error> {
    let (stopped, names): (Vec<_>, Vec<_>) = results.into_iter().partition(Result::is_ok);
    if names.is_empty() {
        return Ok(stopped.into_iter().filter_map(Result::ok).collect());
    }
    Err(Error::StillThere { names: names.into_iter().filter_map(Result::err).collect() })
}

/// Sends one signal after the other until it ends; its name, when none took effect.
async fn stop_one(process: &mut Process, signals: &[(Signal, Duration)]) -> Result<Stopped, String> {
    let name = process.record.name.clone();
    for &(signal, patience) in signals {
        // Whether it worked is seen by the process's end alone.
        let _ = process.signal(signal);
        if timeout(patience, process.ended()).await.is_ok() {
            return Ok(Stopped { name, killed: signal == Signal::KILL });
        }
    }
    Err(name)
}

fn last_lines(log: &Path) -> Vec<String> {
    let Ok(bytes) = fs::read(log) else { return Vec::new() };
    let text = String::from_utf8_lossy(&bytes);
    let mut lines: Vec<String> = text.lines().rev().take(LAST_LINES).map(str::to_owned).collect();
    lines.reverse();
    lines
}
