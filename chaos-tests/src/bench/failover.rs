//! From the loss of the leader to the next write that a client sees accepted, and how long a write takes at most when the
//! leadership is handed over.

use std::{cell::Cell, fmt, str::FromStr, time::Duration};

use boss_client::Client;
use boss_proto::object::Resource;
use nix::sys::signal::Signal;
use tokio::time::{Instant, sleep};

use super::{Setting, Spread};
use crate::{
    cluster::{Cluster, Spec},
    manifests::record,
};

/// Before and after a leadership is handed over, so that the writes around it are seen, too.
const AROUND: Duration = Duration::from_millis(300);

/// What is done to the leader.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum By {
    /// kill -9.
    Kill,
    /// SIGSTOP.
    Pause,
    /// SIGTERM: it hands over and ends.
    Stop,
    /// It hands over and goes on as a follower.
    Transfer,
}

impl FromStr for By {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, String> {
        match text {
            "kill" => Ok(Self::Kill),
            "pause" => Ok(Self::Pause),
            "stop" => Ok(Self::Stop),
            "transfer" => Ok(Self::Transfer),
            other => Err(format!("{other:?} is none of kill, pause, stop and transfer")),
        }
    }
}

/// What was measured.
#[derive(Debug, Clone)]
pub struct Failover {
    setting: Setting,
    by: By,
    times: Vec<Duration>,
}

/// Does it to the leader `runs` times. The client is connected to the leader, so it must notice that too.
pub async fn measure_failover(spec: Spec, by: By, runs: usize) -> Failover {
    let setting = Setting::now(spec);
    let mut cluster = Cluster::start(Spec { nodes: 0, ..spec }).await;
    let mut times = Vec::with_capacity(runs);
    for run in 0..runs {
        let leader = cluster.leader().await;
        let client = cluster.client(leader);
        create(&client, format!("before-{run}")).await;
        times.push(match by {
            By::Kill | By::Pause => lose(&mut cluster, by, leader, &client, run).await,
            By::Stop | By::Transfer => hand_over(&mut cluster, by, leader, &client, run).await,
        });
        match by {
            By::Kill | By::Stop => cluster.start_server(leader),
            By::Pause => cluster.server(leader).expect("it is only stopped").signal(Signal::SIGCONT),
            By::Transfer => {}
        }
        cluster.wait_for_server(leader).await;
        // A server that is not yet caught up would make the next election another one than what is measured.
        cluster.assert_states_are_equal().await;
    }
    Failover { setting, by, times }
}

async fn create(client: &Client, name: String) {
    let outcome = client.create(record(&name, "x").into_object()).await;
    outcome.unwrap_or_else(|error| panic!("{name} was not written: {error}"));
}

/// Until the next write is accepted.
async fn lose(cluster: &mut Cluster, by: By, leader: u64, client: &Client, run: usize) -> Duration {
    let start = Instant::now();
    match by {
        By::Pause => cluster.server(leader).expect("it runs").signal(Signal::SIGSTOP),
        _ => cluster.kill_server(leader),
    }
    create(client, format!("after-{run}")).await;
    start.elapsed()
}

/// The longest that one write takes of a client that writes all the time.
async fn hand_over(cluster: &mut Cluster, by: By, leader: u64, client: &Client, run: usize) -> Duration {
    let (over, longest) = (Cell::new(false), Cell::new(Duration::ZERO));
    let writing = async {
        for number in 0.. {
            let start = Instant::now();
            create(client, format!("during-{run}-{number}")).await;
            longest.set(longest.get().max(start.elapsed()));
            if over.get() {
                return;
            }
        }
    };
    let handing = async {
        sleep(AROUND).await;
        longest.set(Duration::ZERO);
        match by {
            By::Stop => drop(cluster.stop_server(leader).await),
            _ => drop(cluster.client(leader).transfer_leader(None).await.expect("the others are there")),
        }
        sleep(AROUND).await;
        over.set(true);
    };
    tokio::join!(writing, handing);
    longest.get()
}

impl fmt::Display for Failover {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let what = match self.by {
            By::Kill => "leader kill -9 to the next accepted write",
            By::Pause => "leader paused to the next accepted write",
            By::Stop => "leader stopped cleanly: the longest write of a client that writes all the time",
            By::Transfer => "leadership transferred: the longest write of a client that writes all the time",
        };
        writeln!(f, "{what}\n{}", self.setting)?;
        writeln!(f, "{}", Spread::of(self.times.clone()))?;
        let all: Vec<String> = self.times.iter().map(|time| time.as_millis().to_string()).collect();
        write!(f, "each, in ms: {}", all.join(" "))
    }
}
