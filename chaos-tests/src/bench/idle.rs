//! What a cluster costs that has nothing to do.

use std::{fmt, time::Duration};

use tokio::time::Instant;

use super::Setting;
use crate::{
    cluster::{Cluster, Spec},
    manifests::pod,
    proc::{self, Usage},
};

/// `sysconf(_SC_CLK_TCK)` is this on every Linux of the last twenty years.
const TICKS_PER_SECOND: f64 = 100.0;
const MIB: f64 = 1024.0 * 1024.0;
/// Caches fill and logs settle before the measurement.
const SETTLE: Duration = Duration::from_secs(15);

/// What was measured.
#[derive(Debug, Clone)]
pub struct Idle {
    setting: Setting,
    over: Duration,
    lines: Vec<Line>,
}

#[derive(Debug, Clone)]
struct Line {
    what: String,
    before: Usage,
    after: Usage,
}

/// Starts a cluster with one sleeping pod on each node and looks at its processes at the beginning and the end of `over`.
pub async fn measure_idle(spec: Spec, over: Duration) -> Idle {
    let setting = Setting::now(spec);
    let cluster = Cluster::start(spec).await;
    if spec.nodes > 0 {
        let created = cluster.admin().create(pod("sleeper", &["sleep", "100000"])).await;
        created.unwrap_or_else(|status| panic!("the pod was not created: {status}"));
        cluster.wait_for_phase("sleeper", "Running").await;
    }
    let leader = cluster.leader().await;
    tokio::time::sleep(SETTLE).await;
    let processes = processes(&cluster, leader);
    let start = Instant::now();
    let before: Vec<Usage> = processes.iter().map(|(_, pid)| proc::usage(*pid).unwrap_or_default()).collect();
    tokio::time::sleep(over).await;
    let line = |((what, pid), before): ((String, i32), Usage)| {
        let after = proc::usage(pid).unwrap_or_else(|| panic!("{what} has ended"));
        Line { what, before, after }
    };
    let lines = processes.into_iter().zip(before).map(line).collect();
    assert_eq!(cluster.leader().await, leader, "the leader changed: this was no idle cluster");
    Idle { setting, over: start.elapsed(), lines }
}

fn processes(cluster: &Cluster, leader: u64) -> Vec<(String, i32)> {
    let role = |id| if id == leader { "leader" } else { "follower" };
    let server = |id| Some((format!("server {id} ({})", role(id)), cluster.server(id)?.id().pid));
    let mut processes: Vec<(String, i32)> = cluster.server_ids().filter_map(server).collect();
    for agent in (0..).map_while(|index| cluster.node(index)) {
        processes.push(("agent".to_owned(), agent.id().pid));
    }
    // Launchers and monitors are all that is ours besides; sandboxes are not.
    let own = i32::try_from(std::process::id()).expect("process ids are small");
    let known: Vec<i32> = processes.iter().map(|(_, pid)| *pid).collect();
    for stat in proc::descendants(&[own]).into_iter().filter(|stat| !known.contains(&stat.id.pid)) {
        let command = proc::command_line(stat.id.pid);
        if command.contains("boss") {
            let words: Vec<&str> = command.split(' ').take(2).collect();
            processes.push((words.join(" ").rsplit('/').next().unwrap_or_default().to_owned(), stat.id.pid));
        }
    }
    processes
}

impl fmt::Display for Idle {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        writeln!(f, "an idle cluster over {:.0} s\n{}", self.over.as_secs_f64(), self.setting)?;
        write!(f, "{:<24} {:>10} {:>12} {:>18}", "process", "RSS MiB", "CPU % of one", "written KiB/min")?;
        let seconds = self.over.as_secs_f64();
        for Line { what, before, after } in &self.lines {
            let cpu = (after.cpu_ticks - before.cpu_ticks) as f64 / TICKS_PER_SECOND / seconds * 100.0;
            let written = after.written_bytes.saturating_sub(before.written_bytes) as f64 / 1024.0 / seconds * 60.0;
            let resident = after.resident_bytes as f64 / MIB;
            write!(f, "\n{what:<24} {resident:>10.1} {cpu:>12.2} {written:>18.1}")?;
        }
        Ok(())
    }
}
