//! What single faults do to servers. Decides nothing, and remembers nothing.

use std::{io, time::Duration};

use nix::sys::signal::Signal;
use tokio::time::timeout;

use super::{groups::Group, run::Not};
use crate::{
    clock::Wrong,
    cluster::Cluster,
    net::{Host, Waiting},
};

/// For a leader to hand over.
const TRANSFER: Duration = Duration::from_secs(5);

/// Sends a signal to those that run.
pub(super) fn signal(cluster: &Cluster, ids: &[u64], signal: Signal) {
    ids.iter().filter_map(|id| cluster.server(*id)).for_each(|process| process.signal(signal));
}

/// Has the leader hand over to whom it likes.
pub(super) async fn hand_over(cluster: &Cluster, leader: u64) -> Result<(), Not> {
    match timeout(TRANSFER, cluster.client(leader).transfer_leader(None)).await {
        Ok(Ok(_)) => Ok(()),
        Ok(Err(error)) => Err(Not::Unclear(error.to_string())),
        Err(_) => Err(Not::Unclear("no answer".to_owned())),
    }
}

/// Holds up what they send.
pub(super) fn hold_up(cluster: &Cluster, ids: &[u64], waiting: Waiting) -> io::Result<()> {
    ids.iter().try_for_each(|id| {
        let wire = cluster.network().and_then(|network| network.wire(Host::server(*id)));
        wire.ok_or_else(|| io::Error::other(format!("server-{id} has no wire")))?.hold_up(waiting)
    })
}

/// Makes their wall clocks so wrong.
pub(super) fn set_clocks(cluster: &Cluster, ids: &[u64], wrong: Wrong) -> io::Result<()> {
    let clock = |id: &u64| cluster.clock(*id).ok_or_else(|| io::Error::other(format!("server-{id} has none")));
    ids.iter().try_for_each(|id| clock(id)?.set(wrong))
}

/// Lets each have so many of a thousand parts of a processor.
pub(super) fn starve(cluster: &Cluster, ids: &[u64], share: u32) -> io::Result<Vec<Group>> {
    let group = |id: &u64| {
        let process = cluster.server(*id).ok_or_else(|| io::Error::other("it is down"))?;
        Group::starve(cluster.folder(), *id, process.id().pid, share)
    };
    ids.iter().map(group).collect()
}

/// Lets none of them run.
pub(super) async fn freeze(cluster: &Cluster, ids: &[u64]) -> io::Result<Group> {
    let pids: Vec<i32> = ids.iter().filter_map(|id| cluster.server(*id)).map(|process| process.id().pid).collect();
    let names: Vec<String> = ids.iter().map(ToString::to_string).collect();
    Group::freeze(cluster.folder(), &format!("servers-{}", names.join("-")), &pids).await
}
