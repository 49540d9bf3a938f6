//! From the death of the leader to the next write that a client sees accepted.

use std::{fmt, time::Duration};

use boss_proto::object::Resource;
use tokio::time::Instant;

use super::{Setting, Spread};
use crate::{
    cluster::{Cluster, Spec},
    manifests::record,
};

/// What was measured.
#[derive(Debug, Clone)]
pub struct Failover {
    setting: Setting,
    times: Vec<Duration>,
}

/// Kills the leader `runs` times. The client is connected to the leader, so it must notice that too.
pub async fn measure_failover(spec: Spec, runs: usize) -> Failover {
    let setting = Setting::now(spec);
    let mut cluster = Cluster::start(Spec { nodes: 0, ..spec }).await;
    let mut times = Vec::with_capacity(runs);
    for run in 0..runs {
        let leader = cluster.leader().await;
        let client = cluster.client(leader);
        let create = async |name: String| {
            let outcome = client.create(record(&name, "x").into_object()).await;
            outcome.unwrap_or_else(|error| panic!("{name} was not written: {error}"));
        };
        create(format!("before-{run}")).await;
        let start = Instant::now();
        cluster.kill_server(leader);
        create(format!("after-{run}")).await;
        times.push(start.elapsed());
        cluster.start_server(leader);
        cluster.wait_for_server(leader).await;
        // A server that is not yet caught up would make the next election another one than what is measured.
        cluster.assert_states_are_equal().await;
    }
    Failover { setting, times }
}

impl fmt::Display for Failover {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        writeln!(f, "leader kill -9 to the next accepted write\n{}", self.setting)?;
        writeln!(f, "{}", Spread::of(self.times.clone()))?;
        let all: Vec<String> = self.times.iter().map(|time| time.as_millis().to_string()).collect();
        write!(f, "each, in ms: {}", all.join(" "))
    }
}
