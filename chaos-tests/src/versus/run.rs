//! Rounds in turns: Boss, etcd, and for reads the bare echo. Judges nothing.

use std::time::Duration;

use bossctl::bench::{Pace, Stop};

use super::{
    echo, etcd,
    load::{self, Boss, CONNECTIONS, EtcdSide, Load, Measured},
    report::{Report, Round, Row},
};
use crate::{ports, proc::load_average, process::Process, run_folder};

/// Objects of the loads that touch single ones, and of a list.
const KEYS: u64 = 10_000;
/// Each round begins with so much that is not counted: connections open, caches fill.
const WARM_UP_SHARE: u32 = 5;

/// How to compare.
#[derive(Debug, Clone)]
pub struct Options {
    /// How often each load runs on each side.
    pub rounds: usize,
    /// How long each time.
    pub each: Duration,
    /// Bytes of each value.
    pub value_bytes: usize,
    /// Which loads.
    pub loads: Vec<Load>,
}

/// Compares the loads.
///
/// # Errors
/// When there is no etcd on this machine; tells what to install.
pub async fn compare(options: &Options) -> Result<Report, String> {
    etcd::check_installed()?;
    let boss = Boss::start(KEYS, options.value_bytes).await;
    let etcd = EtcdSide::start(KEYS, options.value_bytes).await;
    let ceiling = Ceiling::start(&boss, options.value_bytes).await;
    let mut report = Report::new(options.rounds, options.each, options.value_bytes, KEYS);
    for load in options.loads.iter().copied() {
        let mut row = Row { load, boss: Vec::new(), etcd: Vec::new(), echo: Vec::new() };
        for round in 0..options.rounds {
            // Whoever comes first finds the machine as the one before left it: they take turns in that, too.
            if round % 2 == 0 {
                row.boss.push(boss_round(&boss, load, options.each).await);
                row.etcd.push(etcd_round(&etcd, load, options.each).await);
            } else {
                row.etcd.push(etcd_round(&etcd, load, options.each).await);
                row.boss.push(boss_round(&boss, load, options.each).await);
            }
            if let Load::Get { clients } = load {
                row.echo.push(ceiling.round(&boss, clients, options.each).await);
            }
        }
        report.rows.push(row);
    }
    Ok(report)
}

async fn boss_round(boss: &Boss, load: Load, each: Duration) -> Round {
    boss.measure(load, Stop::After(each / WARM_UP_SHARE)).await;
    Round::of(&boss.measure(load, Stop::After(each)).await)
}

async fn etcd_round(etcd: &EtcdSide, load: Load, each: Duration) -> Round {
    etcd.measure(load, Stop::After(each / WARM_UP_SHARE)).await;
    Round::of(&etcd.measure(load, Stop::After(each)).await)
}

impl Round {
    fn of(measured: &Measured) -> Self {
        let Measured { summary, cpu } = measured;
        let operations = summary.tally.latencies.total().max(1);
        Self {
            per_second: summary.throughput(),
            p50_ms: summary.millis(0.5),
            p99_ms: summary.millis(0.99),
            cpu_micros: cpu.as_secs_f64() * 1_000_000.0 / operations as f64,
            failed: summary.failed(),
            load_average: load_average(),
        }
    }
}

/// As many echo processes as Boss has servers.
struct Ceiling {
    addresses: Vec<String>,
    processes: Vec<Process>,
    _ports: Vec<ports::Port>,
}

impl Ceiling {
    async fn start(boss: &Boss, value_bytes: usize) -> Self {
        let (mut addresses, mut processes, mut taken) = (Vec::new(), Vec::new(), Vec::new());
        for server in &boss.cluster.layout().plan().servers {
            let port = ports::take(&run_folder::root().join("ports")).unwrap_or_else(|error| panic!("{error}"));
            let folder = boss.cluster.layout().server_directory(server);
            processes.push(echo::spawn(&port, &folder, value_bytes).await);
            addresses.push(format!("127.0.0.1:{}", port.number()));
            taken.push(port);
        }
        Self { addresses, processes, _ports: taken }
    }

    async fn round(&self, boss: &Boss, clients: usize, each: Duration) -> Round {
        let pids: Vec<i32> = self.processes.iter().map(|process| process.id().pid).collect();
        let connections = load::open(&boss.cluster, &self.addresses, CONNECTIONS.min(clients));
        let pace = |duration| Pace { stop: Stop::After(duration), rate: None };
        load::get(&connections, clients, boss.target.clone(), pace(each / WARM_UP_SHARE)).await;
        let work = load::get(&connections, clients, boss.target.clone(), pace(each));
        Round::of(&load::measured(&pids, work).await)
    }
}
