//! A backup in the middle of a sprint: a snapshot is saved while clients work and faults are in force, checked, and made
//! into a cluster of its own at the end, whose content is read. Judges nothing.

use std::{
    path::{Path, PathBuf},
    time::Duration,
};

use boss_base::clock::{Clock, SystemClock};
use tokio::time::{Instant, sleep};

use super::{MEMBERS, PAIRS, RECOVERY, clients::REGISTERS};
use crate::{
    bossctl_run::Bossctl,
    checkers::restored::Restored,
    cluster::Cluster,
    history::Recorder,
    manifests::NAMESPACE,
    workload::{members, pairs, register},
};

/// Something is there to be saved by then.
const EARLIEST: Duration = Duration::from_secs(3);
/// It begins at some moment of this time, which the seed chooses.
const WITHIN_MS: u64 = 6_000;
/// Between two attempts, when the faults leave nobody to ask.
const PAUSE: Duration = Duration::from_millis(300);

/// A snapshot in a file.
#[derive(Debug, Clone)]
pub(super) struct Saved {
    file: PathBuf,
    began_ns: u64,
    ended_ns: u64,
    revision: u64,
}

/// Saves a snapshot, as often as it takes, and has the file checked.
pub(super) async fn save(bossctl: &Bossctl, folder: &Path, recorder: &Recorder, seed: u64) -> Result<Saved, String> {
    sleep(EARLIEST + Duration::from_millis(seed % WITHIN_MS)).await;
    let until = Instant::now() + RECOVERY;
    let file = folder.join("backup.snapshot");
    let path = file.display().to_string();
    loop {
        let began_ns = now(recorder);
        let output = bossctl.run(&["cluster", "snapshot", "save", &path]).await;
        if output.code == 0 {
            let ended_ns = now(recorder);
            let revision = verify(bossctl, &path).await?;
            return Ok(Saved { file, began_ns, ended_ns, revision });
        }
        if Instant::now() > until {
            return Err(format!("no snapshot could be saved: {}", output.stderr));
        }
        sleep(PAUSE).await;
    }
}

async fn verify(bossctl: &Bossctl, path: &str) -> Result<u64, String> {
    let output = bossctl.run(&["cluster", "snapshot", "verify", path, "--output", "json"]).await;
    let contents: serde_json::Value = serde_json::from_str(&output.stdout).unwrap_or_default();
    contents["revision"].as_u64().ok_or_else(|| format!("the snapshot that was saved is not whole: {output:?}"))
}

fn now(recorder: &Recorder) -> u64 {
    let since = SystemClock.monotonic().saturating_sub(recorder.began());
    u64::try_from(since.as_nanos()).unwrap_or(u64::MAX)
}

/// Makes a cluster of it, and reads what the clients of the sprint have written.
pub(super) async fn restore(cluster: &mut Cluster, saved: &Saved) -> Result<Restored, String> {
    let server = cluster.restore(&saved.file, RECOVERY).await?;
    let api = server.api();
    let told = |status: tonic::Status| format!("the restored server: {status}");
    let mut registers = Vec::new();
    for key in (0..REGISTERS).map(register::name) {
        let found = register::read(api, NAMESPACE, &key).await.map_err(told)?;
        registers.push((key, found));
    }
    let (members, _) = members::members(api, MEMBERS).await.map_err(told)?;
    let (pairs, _) = pairs::values(api, PAIRS).await.map_err(told)?;
    let Saved { began_ns, ended_ns, revision, .. } = *saved;
    Ok(Restored { began_ns, ended_ns, revision, registers, members, pairs })
}
