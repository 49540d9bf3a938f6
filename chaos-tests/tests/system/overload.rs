//! A crowd of one tenant keeps nobody else from their answers, and costs the servers a bounded amount of memory.
//! `boss-bench overload` does the same with a thousand clients and a thousand watchers.

use boss_chaos_tests::{bench::measure_overload, cluster::Spec};

const CLIENTS: usize = 200;
const WATCHERS: usize = 200;
/// Of one server, debug build: a crowd that is queued without a bound needs more.
const RESIDENT_BYTES_MAX: u64 = 600 << 20;

#[tokio::test(flavor = "multi_thread")]
async fn a_quiet_tenant_is_answered_beside_a_crowd_and_memory_stays_bounded() {
    let overload = measure_overload(Spec { nodes: 0, ..Spec::default() }, CLIENTS, WATCHERS).await;
    // That the quiet tenant got all of its answers is known by now: without them there is no measurement.
    assert!(overload.written > CLIENTS && overload.told > WATCHERS, "{overload}");
    assert!(overload.resident_bytes.iter().all(|bytes| *bytes < RESIDENT_BYTES_MAX), "{overload}");
}
