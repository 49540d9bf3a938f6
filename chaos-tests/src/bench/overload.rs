//! A crowd of one tenant that writes as fast as it can while many watch: what a quiet tenant beside it waits, and how
//! much memory the servers take. Many clients share few connections, as behind a proxy, so that what is measured is the
//! servers' queues and not the machine's handshakes.

use std::{
    fmt,
    sync::atomic::{AtomicBool, AtomicUsize, Ordering},
    time::Duration,
};

use futures_util::future::join_all;
use tokio::time::Instant;
use tonic::Code;

use super::{Setting, Spread};
use crate::{
    api::{Api, Credential},
    cluster::{Cluster, Spec},
    manifests::record,
    proc,
    wait::holds,
};
use boss_proto::v1;

/// Clients and watchers share so many connections.
const CONNECTIONS: usize = 16;
/// Calls of the quiet tenant, one after the other.
const QUIET_CALLS: usize = 25;
/// A watcher looks so often whether it is over.
const LOOK_INTERVAL: Duration = Duration::from_millis(200);
const MIB: f64 = 1024.0 * 1024.0;

/// What was measured.
#[derive(Debug, Clone)]
pub struct Overload {
    setting: Setting,
    clients: usize,
    watchers: usize,
    /// Writes of the crowd that were done.
    pub written: usize,
    /// Writes of the crowd that were refused, with a time to come back after.
    pub refused: usize,
    /// Events that were told to watchers.
    pub told: usize,
    crowd: Spread,
    quiet: Spread,
    /// Of each server when the crowd was at its work, in bytes.
    pub resident_bytes: Vec<u64>,
}

#[derive(Default)]
struct Counts {
    stopped: AtomicBool,
    written: AtomicUsize,
    refused: AtomicUsize,
    told: AtomicUsize,
}

/// Starts a cluster and lets the crowd in. Panics when a call fails in a way that overload does not explain.
pub async fn measure_overload(spec: Spec, clients: usize, watchers: usize) -> Overload {
    let setting = Setting::now(spec);
    let cluster = Cluster::start(spec).await;
    let tenant = |name: &str| Credential::Token(cluster.token(name, &["system:admins"]));
    let connect = |name: &str| -> Vec<Api> {
        (0..CONNECTIONS as u64).map(|at| cluster.api(at % spec.servers as u64 + 1, tenant(name))).collect()
    };
    let (crowd, watching) = (connect("crowd"), connect("watcher"));
    let quiet = cluster.api(cluster.leader().await, tenant("quiet"));
    let counts = Counts::default();
    let writing = join_all((0..clients).map(|client| write(&crowd[client % CONNECTIONS], client, &counts)));
    let following = join_all((0..watchers).map(|watcher| follow(&watching[watcher % CONNECTIONS], &counts)));
    let asking = async {
        cluster
            .wait("the crowd is busy and everybody watches", async || {
                let (written, told) = (counts.written.load(Ordering::Relaxed), counts.told.load(Ordering::Relaxed));
                holds(written > clients && told > watchers, format!("{written} writes, {told} events"))
            })
            .await;
        let waits = ask(&cluster, &quiet).await;
        let resident = cluster.server_ids().map(|id| resident_bytes(&cluster, id)).collect();
        counts.stopped.store(true, Ordering::Relaxed);
        (waits, resident)
    };
    let (crowd_waits, _, (quiet_waits, resident_bytes)) = tokio::join!(writing, following, asking);
    Overload {
        setting,
        clients,
        watchers,
        written: counts.written.into_inner(),
        refused: counts.refused.into_inner(),
        told: counts.told.into_inner(),
        crowd: Spread::of(crowd_waits.into_iter().flatten().collect()),
        quiet: Spread::of(quiet_waits),
        resident_bytes,
    }
}

/// Creates one object after the other until it is over; how long each took.
async fn write(api: &Api, client: usize, counts: &Counts) -> Vec<Duration> {
    let mut waits = Vec::new();
    for number in 0.. {
        if counts.stopped.load(Ordering::Relaxed) {
            break;
        }
        let began = Instant::now();
        match api.create(record(&format!("c{client}-{number}"), "x")).await {
            Ok(_) => {
                counts.written.fetch_add(1, Ordering::Relaxed);
                waits.push(began.elapsed());
            }
            Err(status) if status.code() == Code::ResourceExhausted => {
                counts.refused.fetch_add(1, Ordering::Relaxed);
                tokio::time::sleep(Duration::from_millis(50)).await;
            }
            // Two busy cores may keep a leader from its heartbeats; that is the machine's doing, not a queue's.
            Err(status) if matches!(status.code(), Code::DeadlineExceeded | Code::Unavailable) => {}
            Err(status) => panic!("the crowd was refused: {status}"),
        }
    }
    waits
}

/// Watches until it is over, and again when a server without a leader ends the watch.
async fn follow(api: &Api, counts: &Counts) {
    while !counts.stopped.load(Ordering::Relaxed) {
        let Ok(mut watch) = api.watch::<v1::ServiceAccount>("default", None).await else {
            tokio::time::sleep(LOOK_INTERVAL).await;
            continue;
        };
        while !counts.stopped.load(Ordering::Relaxed) {
            match tokio::time::timeout(LOOK_INTERVAL, watch.next_event()).await {
                Ok(Ok(_)) => drop(counts.told.fetch_add(1, Ordering::Relaxed)),
                Ok(Err(_)) => break,
                Err(_elapsed) => {}
            }
        }
    }
}

async fn ask(cluster: &Cluster, quiet: &Api) -> Vec<Duration> {
    let mut waits = Vec::new();
    for number in 0..QUIET_CALLS {
        let (began, name, id) = (Instant::now(), format!("quiet-{number}"), quiet.seen().request_id());
        cluster
            .wait("nobody else's crowd is in its way", async || {
                let written = quiet.create_as(record(&name, "x"), id.clone()).await;
                match &written {
                    Err(status) if !matches!(status.code(), Code::Unavailable | Code::DeadlineExceeded) => {
                        panic!("the quiet tenant was refused: {status}")
                    }
                    _ => written.map(drop),
                }
            })
            .await;
        waits.push(began.elapsed());
    }
    waits
}

fn resident_bytes(cluster: &Cluster, server: u64) -> u64 {
    let process = cluster.server(server).expect("nobody stops it");
    proc::usage(process.id().pid).expect("it runs").resident_bytes
}

impl fmt::Display for Overload {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self { clients, watchers, written, refused, told, crowd, quiet, .. } = self;
        writeln!(f, "{clients} clients of one tenant and {watchers} watchers over {CONNECTIONS} connections each")?;
        writeln!(f, "{}", self.setting)?;
        writeln!(f, "crowd: {written} writes done, {refused} refused; {crowd}")?;
        writeln!(f, "quiet tenant beside it: {quiet}")?;
        let resident: Vec<String> = self.resident_bytes.iter().map(|it| format!("{:.0}", *it as f64 / MIB)).collect();
        write!(f, "{told} events told; resident MiB of the servers: {}", resident.join(", "))
    }
}
