//! What much data costs: memory and disk after many puts, and the time from the start of killed servers to the first
//! linearizable read.

use std::{fmt, path::PathBuf, time::Duration};

use boss_proto::v1;
use bossctl::bench::Stop;
use serde_json::{Value, json};
use tokio::time::Instant;

use super::{
    etcd,
    load::{Boss, EtcdSide, Load, Measured},
    machine,
};
use crate::wait;

const MIB: f64 = 1024.0 * 1024.0;
/// Replay of the largest log that is measured takes less.
const RESTART_PATIENCE: Duration = Duration::from_secs(300);
const CLIENTS: usize = 256;

/// One side after one amount of data.
#[derive(Debug, Clone)]
struct Line {
    side: &'static str,
    objects: u64,
    puts: u64,
    per_second: f64,
    /// For each server, largest first.
    resident_bytes: Vec<u64>,
    /// Of all servers together.
    disk_bytes: u64,
    restart: Duration,
}

/// What was measured.
#[derive(Debug, Clone, Default)]
pub struct Volume(Vec<Line>);

/// Puts `puts` values over `objects` keys on each side, then looks at memory and disk, kills all servers and waits for
/// the first read. Then grows Boss to each of `more` objects and does that again.
///
/// # Errors
/// When there is no etcd on this machine; tells what to install.
pub async fn measure_volume(puts: u64, objects: u64, value_bytes: usize, more: &[u64]) -> Result<Volume, String> {
    etcd::check_installed()?;
    let (load, stop) = (Load::Put { clients: CLIENTS }, Stop::Total(puts));
    let mut volume = Volume::default();
    {
        let mut side = EtcdSide::start(objects, value_bytes).await;
        let measured = side.measure(load, stop).await;
        volume.0.push(etcd_line(&mut side, objects, puts, &measured).await);
    }
    let mut boss = Boss::start(objects, value_bytes).await;
    let measured = boss.measure(load, stop).await;
    volume.0.push(boss_line(&mut boss, objects, puts, &measured).await);
    for objects in more {
        boss.grow(*objects).await;
        let measured = boss.measure(load, Stop::Total(puts / 10)).await;
        volume.0.push(boss_line(&mut boss, *objects, puts / 10, &measured).await);
    }
    Ok(volume)
}

async fn etcd_line(side: &mut EtcdSide, objects: u64, puts: u64, measured: &Measured) -> Line {
    let resident_bytes = machine::resident_bytes(&side.etcd.pids());
    let disk_bytes = side.etcd.data().iter().map(|folder| machine::disk_bytes(folder)).sum();
    let key = String::from_utf8_lossy(&side.target.key(&side.target.keys.name(0))).into_owned();
    side.etcd.kill_all();
    let begin = Instant::now();
    side.etcd.restart_until_read(&key).await;
    let restart = begin.elapsed();
    side.etcd.start_all().await;
    let per_second = measured.summary.throughput();
    Line { side: "etcd", objects, puts, per_second, resident_bytes, disk_bytes, restart }
}

async fn boss_line(boss: &mut Boss, objects: u64, puts: u64, measured: &Measured) -> Line {
    let resident_bytes = machine::resident_bytes(&boss.pids());
    let disk_bytes = data(boss).iter().map(|folder| machine::disk_bytes(folder)).sum();
    let restart = restart(boss).await;
    let per_second = measured.summary.throughput();
    Line { side: "Boss", objects, puts, per_second, resident_bytes, disk_bytes, restart }
}

fn data(boss: &Boss) -> Vec<PathBuf> {
    let layout = boss.cluster.layout();
    layout.plan().servers.iter().map(|server| layout.server_directory(server)).collect()
}

async fn restart(boss: &mut Boss) -> Duration {
    let name = boss.target.keys.name(0);
    boss.cluster.kill_all_servers();
    let begin = Instant::now();
    for id in boss.cluster.server_ids() {
        boss.cluster.start_server(id);
    }
    let looks = boss.cluster.server_ids().map(|id| {
        let (api, name, namespace) = (boss.cluster.admin_at(id), name.clone(), boss.target.namespace.to_string());
        Box::pin(async move {
            wait::until(format!("server {id} answers a read"), RESTART_PATIENCE, async || {
                api.get::<v1::ConfigMap>(&namespace, &name).await.map_err(|status| status.to_string())
            })
            .await
        })
    });
    let (first, ..) = futures_util::future::select_all(looks).await;
    first.unwrap_or_else(|error| panic!("{error}"));
    let restart = begin.elapsed();
    for id in boss.cluster.server_ids() {
        boss.cluster.wait_for_server(id).await;
    }
    restart
}

impl Volume {
    /// For programs.
    #[must_use]
    pub fn to_json(&self) -> Value {
        let line = |it: &Line| {
            json!({
                "side": it.side, "objects": it.objects, "puts": it.puts, "perSecond": it.per_second,
                "residentBytes": it.resident_bytes, "diskBytes": it.disk_bytes,
                "restartSeconds": it.restart.as_secs_f64(),
            })
        };
        self.0.iter().map(line).collect()
    }
}

impl fmt::Display for Volume {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        writeln!(
            f,
            "| side | objects | puts | puts/s | RSS MiB of each server | disk MiB of all | kill -9 to first read s |"
        )?;
        writeln!(f, "|---|---|---|---|---|---|---|")?;
        for it in &self.0 {
            let resident: Vec<String> =
                it.resident_bytes.iter().map(|bytes| format!("{:.0}", *bytes as f64 / MIB)).collect();
            let Line { side, objects, puts, per_second, disk_bytes, restart, .. } = it;
            let (disk, restart) = (*disk_bytes as f64 / MIB, restart.as_secs_f64());
            let resident = resident.join(", ");
            writeln!(f, "| {side} | {objects} | {puts} | {per_second:.0} | {resident} | {disk:.0} | {restart:.2} |")?;
        }
        Ok(())
    }
}
