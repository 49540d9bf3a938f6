//! Breaks disks of servers, and brings servers back that ended because of it. Decides nothing.

use std::{io, time::Duration};

use super::{fault::DiskFault, run::Not};
use crate::{
    cluster::Cluster,
    disk::{Answer, Command, Disk},
    http,
    process::Exit,
    wait,
};

/// Bits of one flip: enough to meet something that is read.
const BITS: u32 = 8;
/// What servers promise when they fail while running.
const FAILED: Exit = Exit::Code(1);
/// A server that was restored, or refused to start, has done so by then.
const REVIVAL: Duration = Duration::from_secs(60);

fn disk(cluster: &Cluster, id: u64) -> Result<&Disk, Not> {
    cluster.disk(id).ok_or_else(|| Not::Skipped(format!("server-{id} has no disk of ours")))
}

/// Puts it in force on the disks of these servers, which run.
pub(super) fn install(cluster: &mut Cluster, fault: DiskFault, ids: &[u64]) -> Result<(), Not> {
    ids.iter().try_for_each(|id| disk(cluster, *id).map(drop))?;
    if matches!(fault, DiskFault::Lose | DiskFault::Tear(_) | DiskFault::Flip(_)) {
        // All of them before the first disk: that is one power cut.
        ids.iter().for_each(|id| cluster.kill_server(*id));
    }
    for id in ids {
        let answer = disk(cluster, *id)?.tell(&command(fault, *id))?;
        if answer.laid == 0 {
            cluster.start_server(*id);
            return Err(Not::Skipped(format!("the disk of server-{id} is empty")));
        }
        if matches!(fault, DiskFault::Flip(_)) {
            cluster.start_server(*id);
        }
    }
    Ok(())
}

fn command(fault: DiskFault, id: u64) -> Command {
    let within = String::new();
    match fault {
        DiskFault::Full => Command::Fill,
        DiskFault::Lose => Command::LoseUnsynced,
        DiskFault::Tear(seed) => Command::Tear { seed: seed ^ id },
        DiskFault::Flip(seed) => Command::Flip { within, seed: seed ^ id, bits: BITS },
        DiskFault::FailSync { drops } => Command::FailSyncs { within, times: 1, drops },
        DiskFault::Slow(sync_ms) => Command::Slow { sync_ms },
        DiskFault::ReadOnly => Command::ReadOnly { on: true },
    }
}

/// Ends it; servers that are down because of it are started, others may still end.
pub(super) fn heal(cluster: &mut Cluster, fault: DiskFault, ids: &[u64]) -> io::Result<()> {
    for id in ids {
        let there = cluster.disk(*id).ok_or_else(|| io::Error::other("there is no disk"))?;
        match fault {
            DiskFault::Full => there.tell(&Command::Room { bytes: there.bytes() }),
            _ => there.tell(&Command::Heal),
        }
        .map(|Answer { .. }| ())?;
        start_if_ended(cluster, *id)?;
    }
    Ok(())
}

/// A server that ended by itself must have said why.
pub(super) fn start_if_ended(cluster: &mut Cluster, id: u64) -> io::Result<()> {
    let exit = cluster.server(id).map(|process| process.exit());
    match exit {
        Some(None) => return Ok(()),
        Some(Some(exit)) if exit != FAILED => {
            return Err(io::Error::other(format!("it ended with {exit:?} and not with {FAILED:?}")));
        }
        Some(Some(_)) | None => {}
    }
    cluster.start_server(id);
    Ok(())
}

/// Waits until a server is ready, and starts it again when it has ended instead.
pub(super) async fn revive(cluster: &mut Cluster, id: u64) -> io::Result<()> {
    let ready = wait::until(format!("server-{id} is ready again"), REVIVAL, async || {
        if cluster.server(id).is_none_or(|process| !process.is_running()) {
            start_if_ended(cluster, id).map_err(|error| error.to_string())?;
        }
        let status = http::get_status(&cluster.addresses(id).http, "/readyz").await;
        wait::holds(status.as_ref().is_ok_and(|status| *status == 200), format!("{status:?}"))
    });
    ready.await.map_err(io::Error::other)
}
