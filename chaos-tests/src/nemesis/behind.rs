//! Keeps a server away until the log of the others reaches back to it no more, so that it must take a snapshot when it is
//! back; and looks whether it did. Decides nothing.

use std::{io, time::Duration};

use tokio::time::{Instant, timeout};

use super::run::leader_of;
use crate::{cluster::Cluster, http, sample, wait};

/// Writes that a server misses at least: more than the log keeps in a cluster of [`crate::cluster::Spec::small_log`].
const MISSED: u64 = 200;
/// For clients to write so much, for a snapshot, and for the log to go up to it, on a machine however busy.
const COMPACTION: Duration = Duration::from_secs(30);
/// For one order to save a snapshot.
const SAVING: Duration = Duration::from_secs(10);
/// For a server to take a snapshot from the leader.
const INSTALLATION: Duration = Duration::from_secs(30);
/// For the answer of a server that may be paused.
const LOOK: Duration = Duration::from_millis(500);

/// How far a server was when it went away.
#[derive(Debug, Clone, Copy)]
pub(super) struct Mark {
    applied: u64,
    installed: u64,
}

impl Mark {
    /// Of a server that is still there.
    pub(super) async fn of(cluster: &Cluster, id: u64) -> io::Result<Self> {
        let text = metrics(cluster, id).await?;
        Ok(Self { applied: value(&text, "boss_raft_applied_index"), installed: installed(&text) })
    }

    /// The same of a server that counts from the beginning when it is back.
    pub(super) fn killed(self) -> Self {
        Self { installed: 0, ..self }
    }
}

/// Waits until the leader's log has gone past what this server has; it is still away.
pub(super) async fn compact_past(cluster: &Cluster, id: u64, mark: Mark) -> io::Result<()> {
    let mut saved_at: Option<Instant> = None;
    let past = wait::until(format!("the log goes past server-{id}"), COMPACTION, async || {
        let leader = leader_of(cluster).await.filter(|leader| *leader != id).ok_or("nobody else leads")?;
        let text = metrics(cluster, leader).await.map_err(|error| error.to_string())?;
        let (applied, purged) = (value(&text, "boss_raft_applied_index"), value(&text, "boss_raft_log_purged_index"));
        if purged > mark.applied {
            return Ok(());
        }
        if applied >= mark.applied + MISSED && saved_at.is_none_or(|at| at.elapsed() > SAVING / 5) {
            saved_at = Some(Instant::now());
            // It is there then, or another one is on its way; whose it is does not matter.
            let _ = timeout(SAVING, save(cluster, leader)).await;
        }
        Err(format!("server-{leader} is at {applied} and keeps what is after {purged}, beside {mark:?}"))
    });
    past.await.map_err(io::Error::other)
}

async fn save(cluster: &Cluster, leader: u64) -> Result<(), String> {
    let mut parts = cluster.client(leader).save_snapshot().await.map_err(|error| error.to_string())?;
    while parts.message().await.map_err(|status| status.to_string())?.is_some() {}
    Ok(())
}

/// Waits until the server, which is back, has taken a snapshot.
pub(super) async fn has_installed(cluster: &Cluster, id: u64, mark: Mark) -> io::Result<()> {
    let took = wait::until(format!("server-{id} takes a snapshot"), INSTALLATION, async || {
        let text = metrics(cluster, id).await.map_err(|error| error.to_string())?;
        let (now, applied) = (installed(&text), value(&text, "boss_raft_applied_index"));
        wait::holds(now > mark.installed, format!("{now} so far, and it is at {applied} beside {mark:?}"))
    });
    took.await.map_err(io::Error::other)
}

async fn metrics(cluster: &Cluster, id: u64) -> io::Result<String> {
    let asked = timeout(LOOK, http::get(&cluster.addresses(id).http, "/metrics")).await;
    asked.map_err(io::Error::other)?.map(|(_, text)| text)
}

fn installed(text: &str) -> u64 {
    value(text, "boss_raft_snapshots_installed_total")
}

/// What never was counted is not told.
fn value(text: &str, name: &str) -> u64 {
    sample::value(text, name).map_or(0, |value| value as u64)
}
