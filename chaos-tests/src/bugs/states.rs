//! Equal states at equal indexes, as servers tell them.

use std::time::Duration;

use tokio::time::{Instant, sleep};

use crate::{
    checkers::{
        Verdict,
        judged::Judged,
        states::{State, check},
    },
    cluster::Cluster,
    manifests::record,
};

/// For all to come to one index.
const SETTLED: Duration = Duration::from_secs(20);

/// A few writes, and what each server has made of them.
pub(super) async fn write_and_compare(cluster: &mut Cluster) -> Vec<Judged> {
    let admin = cluster.admin();
    for number in 0..20 {
        admin.create(record(&format!("r-{number}"), "x")).await.expect("it is new");
    }
    let until = Instant::now() + SETTLED;
    let mut verdict = Verdict::Unknown("nobody told".to_owned());
    while Instant::now() < until && matches!(verdict, Verdict::Unknown(_)) {
        verdict = check(&told(cluster).await, 3);
        sleep(Duration::from_millis(100)).await;
    }
    vec![Judged { promise: "equal states at equal indexes", verdict }]
}

/// What each server that answers says of itself.
pub(super) async fn told(cluster: &Cluster) -> Vec<State> {
    let Ok(status) = cluster.admin().status().await else { return Vec::new() };
    let answered = status.servers.into_iter().filter(|server| server.error.is_empty());
    let state = |server: boss_proto::v1::ServerStatus| State {
        server: server.id,
        applied: server.applied_index,
        hash: server.state_hash,
    };
    answered.map(state).collect()
}
