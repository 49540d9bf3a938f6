//! Disturbs agents and whole nodes, and lets them be again. Decides nothing.

use std::{fs, io, path::Path, time::Duration};

use nix::sys::signal::Signal;

use super::{fault::Fault, groups::Group, run::Not};
use crate::{
    cluster::Cluster,
    proc::{self, Stat},
    process::{Exit, Process},
};

/// An agent that finds another one in its folder waits for that one's end for 5 s.
const REFUSAL: Duration = Duration::from_secs(30);
/// How an agent refuses to start.
const REFUSED: Exit = Exit::Code(2);
/// Monitors may make files while their folder is removed.
const REMOVALS: usize = 100;

/// What is in force and how it ends.
pub(super) enum Disturbed {
    Killed(usize),
    Paused(usize),
    Doubled(Process),
    /// Free again when it is dropped.
    Frozen(Group),
}

/// Puts it in force; other faults than those of agents are not for here.
pub(super) async fn install(cluster: &mut Cluster, fault: &Fault) -> Result<(Disturbed, Vec<String>), Not> {
    let (disturbed, index) = match fault {
        Fault::KillAgent(index) => {
            running(cluster, *index)?;
            cluster.kill_node(*index);
            (Disturbed::Killed(*index), *index)
        }
        Fault::PauseAgent(index) => {
            running(cluster, *index)?.signal(Signal::SIGSTOP);
            (Disturbed::Paused(*index), *index)
        }
        Fault::TwinAgent(index) => {
            running(cluster, *index)?;
            (Disturbed::Doubled(cluster.start_node_twice(*index)), *index)
        }
        Fault::LoseAgentState(index) => {
            running(cluster, *index)?;
            cluster.kill_node(*index);
            remove(&cluster.state_of(*index))?;
            (Disturbed::Killed(*index), *index)
        }
        Fault::FreezeNode(index) => {
            let pid = running(cluster, *index)?.id().pid;
            let pids = everything_on(pid, &cluster.state_of(*index));
            let group = Group::freeze(cluster.folder(), &format!("node-{index}"), &pids).await?;
            (Disturbed::Frozen(group), *index)
        }
        other => return Err(Not::Skipped(format!("{other} is not about agents"))),
    };
    Ok((disturbed, vec![cluster.node_name(index).to_owned()]))
}

fn running(cluster: &Cluster, index: usize) -> Result<&Process, Not> {
    cluster.node(index).ok_or_else(|| Not::Skipped("it is down".to_owned()))
}

/// The agent with its launcher, and all monitors with their sandboxes: those of an earlier agent are not below this one.
fn everything_on(agent: i32, state: &Path) -> Vec<i32> {
    let state = state.display().to_string();
    let is_monitor = |stat: &Stat| proc::command_line(stat.id.pid).contains(&state);
    let mut roots: Vec<i32> = proc::all().iter().filter(|stat| is_monitor(stat)).map(|stat| stat.id.pid).collect();
    roots.push(agent);
    let below: Vec<i32> = proc::descendants(&roots).iter().map(|stat| stat.id.pid).collect();
    roots.extend(below);
    roots.sort_unstable();
    roots.dedup();
    roots.retain(|pid| Stat::read(*pid).is_some_and(|stat| stat.is_alive()));
    roots
}

fn remove(folder: &Path) -> io::Result<()> {
    let mut removed = Ok(());
    for _ in 0..REMOVALS {
        removed = fs::remove_dir_all(folder);
        if !folder.exists() {
            return Ok(());
        }
    }
    removed
}

/// Ends it. A second agent must have ended by itself, or do so now.
pub(super) async fn heal(cluster: &mut Cluster, disturbed: Disturbed) -> io::Result<()> {
    match disturbed {
        Disturbed::Killed(index) => cluster.start_node(index),
        Disturbed::Paused(index) => {
            if let Some(agent) = cluster.node(index) {
                agent.signal(Signal::SIGCONT);
            }
        }
        Disturbed::Doubled(twin) => {
            let exit = twin.wait(REFUSAL).await.map_err(io::Error::other)?;
            if exit != REFUSED {
                return Err(io::Error::other(format!("the second agent ended with {exit:?} and not with {REFUSED:?}")));
            }
        }
        Disturbed::Frozen(group) => drop(group),
    }
    Ok(())
}
