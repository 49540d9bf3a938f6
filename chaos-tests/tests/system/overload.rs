//! A crowd of one tenant costs nobody else their answers, and costs the servers a bounded amount of memory.

use std::{
    io::Write,
    sync::atomic::{AtomicBool, AtomicUsize, Ordering},
    time::{Duration, Instant},
};

use boss_chaos_tests::{
    api::{Api, Credential},
    cluster::{Cluster, Spec},
    manifests::record,
    proc,
};
use boss_proto::v1;
use futures_util::future::join_all;
use tonic::Code;

const CLIENTS: usize = 1_000;
const WATCHERS: usize = 1_000;
/// Clients and watchers share so many connections.
const CONNECTIONS: usize = 16;
/// Calls of the quiet tenant, one after the other.
const CALLS: usize = 25;
/// Of one server, debug build, with all of it: a crowd that is queued without a bound needs more.
const RESIDENT_BYTES_MAX: u64 = 600 << 20;

#[expect(clippy::disallowed_methods, reason = "the test measures how long a caller really waits")]
#[tokio::test(flavor = "multi_thread")]
async fn a_thousand_clients_of_one_tenant_do_not_starve_another_and_memory_stays_bounded() {
    let cluster = Cluster::start(Spec { nodes: 0, ..Spec::default() }).await;
    let leader = cluster.leader().await;
    let tenant = |name: &str| Credential::Token(cluster.token(name, &["system:admins"]));
    let connect = |count: usize, name: &str| -> Vec<Api> {
        (0..count).map(|at| cluster.api(at as u64 % 3 + 1, tenant(name))).collect()
    };
    let (crowd, watching) = (connect(CONNECTIONS, "crowd"), connect(CONNECTIONS, "watcher"));
    let quiet = cluster.api(leader, tenant("quiet"));
    let (stopped, written, refused) = (AtomicBool::new(false), AtomicUsize::new(0), AtomicUsize::new(0));
    let told = AtomicUsize::new(0);

    let writing = join_all((0..CLIENTS).map(async |client| {
        let mut waits = Vec::new();
        for number in 0.. {
            if stopped.load(Ordering::Relaxed) {
                break;
            }
            let began = Instant::now();
            match crowd[client % CONNECTIONS].create(record(&format!("c{client}-{number}"), "x")).await {
                Ok(_) => {
                    written.fetch_add(1, Ordering::Relaxed);
                    waits.push(began.elapsed());
                }
                Err(status) if status.code() == Code::ResourceExhausted => {
                    refused.fetch_add(1, Ordering::Relaxed);
                    tokio::time::sleep(Duration::from_millis(50)).await;
                }
                Err(status) if matches!(status.code(), Code::DeadlineExceeded | Code::Unavailable) => {}
                Err(status) => panic!("the crowd was refused: {status}"),
            }
        }
        waits
    }));
    let following = join_all((0..WATCHERS).map(async |watcher| {
        let mut watch = watching[watcher % CONNECTIONS].watch::<v1::ServiceAccount>("default", None).await?;
        while !stopped.load(Ordering::Relaxed) {
            if let Ok(event) = tokio::time::timeout(Duration::from_millis(200), watch.next_event()).await {
                event?;
                told.fetch_add(1, Ordering::Relaxed);
            }
        }
        Ok::<_, tonic::Status>(())
    }));
    let asking = async {
        cluster
            .wait("the crowd is busy and everybody watches", async || {
                let (written, told) = (written.load(Ordering::Relaxed), told.load(Ordering::Relaxed));
                boss_chaos_tests::wait::holds(
                    written > CLIENTS && told > WATCHERS,
                    format!("{written} writes, {told} events"),
                )
            })
            .await;
        let mut waits = Vec::new();
        for number in 0..CALLS {
            let began = Instant::now();
            quiet.create(record(&format!("quiet-{number}"), "x")).await.expect("nobody else's crowd is in its way");
            waits.push(began.elapsed());
        }
        let resident: Vec<u64> = cluster.server_ids().map(|id| resident_bytes(&cluster, id)).collect();
        stopped.store(true, Ordering::Relaxed);
        (waits, resident)
    };
    let (crowds, followed, (mut quiet_waits, resident)) = tokio::join!(writing, following, asking);
    let mut crowd_waits: Vec<Duration> = crowds.into_iter().flatten().collect();
    followed.into_iter().for_each(|watch| watch.unwrap_or_else(|status| panic!("a watch ended: {status}")));
    let (crowd_wait, quiet_wait) = (median(&mut crowd_waits), median(&mut quiet_waits));
    let line = format!(
        "crowd: {} writes, median {crowd_wait:?}, {} refused; quiet: median {quiet_wait:?}, worst {:?}; {} events; \
         resident {resident:?}",
        written.load(Ordering::Relaxed),
        refused.load(Ordering::Relaxed),
        quiet_waits.last(),
        told.load(Ordering::Relaxed),
    );
    writeln!(std::io::stderr(), "{line}").expect("standard error is open");
    assert!(quiet_wait <= crowd_wait, "the quiet tenant waits behind the crowd: {line}");
    assert!(resident.iter().all(|bytes| *bytes < RESIDENT_BYTES_MAX), "{line}");
}

fn median(waits: &mut [Duration]) -> Duration {
    waits.sort_unstable();
    waits[waits.len() / 2]
}

fn resident_bytes(cluster: &Cluster, server: u64) -> u64 {
    let process = cluster.server(server).expect("it runs");
    proc::usage(process.id().pid).expect("it runs").resident_bytes
}
