//! Networks of hosts on this machine: each host a network namespace with a veth of its own, all on one bridge, and
//! rules between them. Knows no cluster.
//!
//! The bridge is in a namespace of the test's own ([`apart`]), which is the *hub*: whoever runs there reaches every host
//! whatever the rules say, so a harness can always see. Nothing here is on any disk: namespaces, links, rules and mounts
//! end with the last process in them, and the processes with their run.

pub mod apart;
pub mod partition;
pub mod relay;
pub mod rules;
pub mod wire;
pub mod wires;

use std::{
    collections::BTreeMap,
    fs,
    io::{self, Write},
    path::Path,
    process::{Command, Stdio},
    time::Duration,
};

pub use self::{
    apart::{Place, in_place, on_own_machine, why_not},
    partition::Shape,
    relay::Waiting,
    rules::{Host, Link, Rules},
    wire::Wire,
};

use crate::{
    proc,
    process::{Exit, Process},
    wait,
};

/// Tools answer at once, but the machine may be busy.
const TOOL_DEADLINE: Duration = Duration::from_secs(30);

/// Hosts and what is between them. Dropped, it is gone.
pub struct Network {
    // The process keeps its namespace alive.
    hosts: BTreeMap<Host, Process>,
    wires: BTreeMap<Host, Wire>,
}

impl Network {
    /// Makes a network of these hosts, of which some have a wire that can hold up what they send. Call it on a machine of
    /// one's own: it makes links and rules where it runs.
    pub async fn create(run: &Path, hosts: &[Host], wired: &[Host]) -> io::Result<Self> {
        tool(&["ip", "-batch", "-"], &wires::hub()).await?;
        tool(&["nft", "-f", "-"], &rules::table()).await?;
        let mut network = Self { hosts: BTreeMap::new(), wires: BTreeMap::new() };
        for host in hosts {
            network.add(run, *host, wired.contains(host)).await?;
        }
        Ok(network)
    }

    /// One host more, with such a wire or an ordinary link.
    pub async fn add(&mut self, run: &Path, host: Host, wired: bool) -> io::Result<()> {
        let mut command = Command::new("unshare");
        command.args(["--net", "sleep", "infinity"]).env(proc::RUN_VARIABLE, run).stdin(Stdio::null());
        let keeper = Process::spawn(&mut command)?;
        let (pid, own) = (keeper.id().pid, fs::read_link("/proc/thread-self/ns/net")?);
        let moved = wait::until(format!("{host} has a namespace"), TOOL_DEADLINE, async || {
            let there = fs::read_link(format!("/proc/{pid}/ns/net")).map_err(|error| error.to_string())?;
            wait::holds(there != own, "it is on its way")
        });
        moved.await.map_err(io::Error::other)?;
        if wired {
            self.wires.insert(host, Wire::lay(run, host).await?);
            tool(&["ip", "-batch", "-"], &wires::connect(host, pid)).await?;
        } else {
            tool(&["ip", "-batch", "-"], &wires::plug(host, pid)).await?;
        }
        let inside = Place::of(pid).command_line(&["ip", "-batch", "-"]);
        tool(&inside.iter().map(String::as_str).collect::<Vec<_>>(), &wires::inside(host)).await?;
        self.hosts.insert(host, keeper);
        Ok(())
    }

    /// Where processes of this host must run.
    #[must_use]
    pub fn place(&self, host: Host) -> Option<Place> {
        self.hosts.get(&host).map(|keeper| Place::of(keeper.id().pid))
    }

    /// The wire of a host; none when it has an ordinary link.
    #[must_use]
    pub fn wire(&self, host: Host) -> Option<&Wire> {
        self.wires.get(&host)
    }

    /// Puts these rules in place of all before, in one step.
    pub async fn rule(&self, rules: &Rules) -> io::Result<()> {
        tool(&["nft", "-f", "-"], &rules.nft()).await
    }

    /// Lets this host receive only so much per second, and send as before; none for as much as it can.
    pub async fn throttle(&self, host: Host, kbit: Option<u32>) -> io::Result<()> {
        let words = wires::throttle(host, kbit);
        tool(&words.iter().map(String::as_str).collect::<Vec<_>>(), "").await
    }
}

/// Runs a tool to its end with this as its input.
async fn tool(words: &[&str], input: &str) -> io::Result<()> {
    let mut file = tempfile::tempfile()?;
    file.write_all(input.as_bytes())?;
    io::Seek::rewind(&mut file)?;
    let mut said = tempfile::tempfile()?;
    let mut command = Command::new(words[0]);
    command.args(&words[1..]).stdin(file).stdout(said.try_clone()?).stderr(said.try_clone()?);
    let process = Process::spawn(&mut command)?;
    let exit = process.wait(TOOL_DEADLINE).await.map_err(io::Error::other)?;
    if exit == Exit::Code(0) {
        return Ok(());
    }
    io::Seek::rewind(&mut said)?;
    let said = io::read_to_string(said)?;
    Err(io::Error::other(format!("`{}` ended with {exit:?}: {said}; its input was:\n{input}", words.join(" "))))
}
