//! What a server without room on its disk says of it: in its status, to probes and to whoever writes.

use boss_proto::v1::{ClusterStatusRequest, cluster_client::ClusterClient};
use tonic::Code;

use crate::{start_and_stop::http_get, support::*};

/// No disk is that large, so that the reserve never fits.
const NEVER_ENOUGH_BYTES: u64 = 1 << 60;

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_full_server_is_ready_for_reads_and_says_everywhere_that_it_takes_no_writes() {
    // Who may do what must be written before there is no room for it.
    let mut cluster = Cluster::start(1).await;
    let running = cluster.running.remove(0);
    running.shutdown.cancel();
    tokio::time::timeout(PATIENCE, running.ended).await.unwrap().unwrap().unwrap();
    cluster.configs[0].disk_reserve_bytes = NEVER_ENOUGH_BYTES;
    let running = cluster.run(0).await.unwrap();
    cluster.running.push(running);
    let http = cluster.configs[0].listen.http;
    eventually("the probe tells of the full disk", || async move {
        let answer = http_get(http, "/readyz").await;
        answer.starts_with("HTTP/1.1 200") && answer.ends_with("ok; the disk is full: this server takes no writes\n")
    })
    .await;

    let identity = Some((&cluster.ca, "user", "root", ["system:admins"].as_slice()));
    let mut status = ClusterClient::new(cluster.channel(0, identity));
    let status = status.status(ClusterStatusRequest::default()).await.unwrap().into_inner();
    let alarm = status.alarms.first().map(String::as_str).unwrap_or_default();
    assert!(alarm.starts_with("server 1: its disk is full (") && alarm.contains("takes no writes"), "{alarm}");
    assert!(status.servers[0].disk_full);

    let mut registry = cluster.registry_by_certificate(0, "user", "root", &["system:admins"]);
    // The leader looks at its disk from time to time; what it takes before is what the reserve is for.
    let refused = tokio::time::timeout(PATIENCE, async {
        for attempt in 0.. {
            let late = object(&format!("kind: Namespace\nmetadata: {{name: late-{attempt}}}"));
            if let Err(refused) = create(&mut registry, late).await {
                return refused;
            }
        }
        unreachable!("the loop has no end")
    });
    let refused = refused.await.unwrap();
    let told = info(&refused);
    assert_eq!((refused.code(), told.reason.as_str()), (Code::ResourceExhausted, "DISK_FULL"), "{refused}");
    assert!(refused.message().contains('1') && !told.hint.is_empty(), "{refused} {told:?}");
}
