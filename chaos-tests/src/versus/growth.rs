//! What a put costs as the number of objects grows.

use std::{fmt, time::Duration};

use bossctl::bench::Stop;
use serde_json::{Value, json};

use super::{
    etcd,
    load::{Boss, EtcdSide, Load, Measured},
    machine,
};

const MIB: f64 = 1024.0 * 1024.0;
const CLIENTS: usize = 256;

#[derive(Debug, Clone)]
struct Point {
    side: &'static str,
    objects: u64,
    per_second: f64,
    p50_ms: f64,
    p99_ms: f64,
    cpu_micros: f64,
    resident_bytes: u64,
}

/// The curve of each side.
#[derive(Debug, Clone, Default)]
pub struct Growth(Vec<Point>);

/// Measures puts for `each` at every number of objects, which must ascend.
///
/// # Errors
/// When there is no etcd on this machine; tells what to install.
pub async fn measure_growth(objects: &[u64], each: Duration, value_bytes: usize) -> Result<Growth, String> {
    etcd::check_installed()?;
    let (load, stop) = (Load::Put { clients: CLIENTS }, Stop::After(each));
    let mut growth = Growth::default();
    let mut boss = Boss::start(0, value_bytes).await;
    let mut etcd = EtcdSide::start(0, value_bytes).await;
    for objects in objects {
        boss.grow(*objects).await;
        etcd.grow(*objects).await;
        growth.0.push(point("Boss", *objects, &boss.measure(load, stop).await, &boss.pids()));
        growth.0.push(point("etcd", *objects, &etcd.measure(load, stop).await, &etcd.etcd.pids()));
    }
    Ok(growth)
}

fn point(side: &'static str, objects: u64, measured: &Measured, pids: &[i32]) -> Point {
    let Measured { summary, cpu } = measured;
    Point {
        side,
        objects,
        per_second: summary.throughput(),
        p50_ms: summary.millis(0.5),
        p99_ms: summary.millis(0.99),
        cpu_micros: cpu.as_secs_f64() * 1_000_000.0 / summary.tally.latencies.total().max(1) as f64,
        resident_bytes: machine::resident_bytes(pids).first().copied().unwrap_or_default(),
    }
}

impl Growth {
    /// For programs.
    #[must_use]
    pub fn to_json(&self) -> Value {
        let point = |it: &Point| {
            json!({
                "side": it.side, "objects": it.objects, "perSecond": it.per_second, "p50Millis": it.p50_ms,
                "p99Millis": it.p99_ms, "serverCpuMicros": it.cpu_micros, "residentBytes": it.resident_bytes,
            })
        };
        self.0.iter().map(point).collect()
    }
}

impl fmt::Display for Growth {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        writeln!(f, "| objects | side | puts/s | p50 ms | p99 ms | server CPU us per put | largest RSS MiB |")?;
        writeln!(f, "|---|---|---|---|---|---|---|")?;
        for Point { side, objects, per_second, p50_ms, p99_ms, cpu_micros, resident_bytes } in &self.0 {
            let resident = *resident_bytes as f64 / MIB;
            writeln!(
                f,
                "| {objects} | {side} | {per_second:.0} | {p50_ms:.2} | {p99_ms:.2} | {cpu_micros:.1} | {resident:.0} |"
            )?;
        }
        Ok(())
    }
}
