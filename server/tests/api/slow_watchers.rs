//! A watcher that does not read costs nobody else anything.

use boss_proto::v1::{Object, WatchRequest, watch_response::Body};

use crate::support::*;

/// Far above what the buffers of a connection hold: a watcher that does not read cannot swallow it.
const WRITES: usize = 100;

fn large(number: usize) -> Object {
    let text = "x".repeat(32 * 1024);
    object(&format!("kind: ServiceAccount\nmetadata: {{name: a{number}, annotations: {{text: {text}}}}}"))
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_watcher_that_never_reads_holds_up_neither_writes_nor_other_watchers() {
    let cluster = Cluster::start(1).await;
    let mut registry = cluster.admin(0);
    let request = || WatchRequest { kind: "ServiceAccount".into(), ..Default::default() };
    let mut stuck = Vec::new();
    for _ in 0..8 {
        // Connections of their own: the windows of one connection are shared.
        stuck.push(cluster.admin(0).watch(request()).await.unwrap().into_inner());
    }
    let mut reading = cluster.admin(0).watch(request()).await.unwrap().into_inner();
    let writing = async {
        for number in 0..WRITES {
            create(&mut registry, large(number)).await.unwrap();
        }
    };
    let following = async {
        let mut seen = 0;
        while seen < WRITES {
            if let Some(Body::Event(event)) = reading.message().await.unwrap().unwrap().body
                && event.object.unwrap().metadata().unwrap().name == format!("a{seen}")
            {
                seen += 1;
            }
        }
    };
    tokio::time::timeout(PATIENCE, Box::pin(async { tokio::join!(writing, following) }))
        .await
        .expect("somebody is held up");
    // Whoever begins to read at last has missed nothing.
    let mut late = stuck.swap_remove(7);
    let catching_up = async {
        for number in 0..WRITES {
            loop {
                if let Some(Body::Event(event)) = late.message().await.unwrap().unwrap().body
                    && event.object.unwrap().metadata().unwrap().name == format!("a{number}")
                {
                    break;
                }
            }
        }
    };
    tokio::time::timeout(PATIENCE, catching_up).await.expect("an event is missing");
}
