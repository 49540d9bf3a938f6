//! Waits until a local cluster does its work: every server says that it is ready, a linearizable read works, every
//! node is Ready. Starts nothing.

use std::{cell::RefCell, collections::BTreeSet, time::Duration};

use boss_client::{
    Query,
    watch::{EventKind, Item},
};
use boss_proto::{
    kind::Kind,
    v1::{self, object::Body},
};
use futures_util::future::join_all;
use tokio::time::{MissedTickBehavior, interval, timeout};

use crate::{
    dev::{self, Health, Local},
    failure::Failure,
    output,
    session::Session,
    terminal,
};

/// A server's health is asked for over a new connection each time, so not too often.
const HEALTH_INTERVAL: Duration = Duration::from_millis(50);

/// Waits for `patience`; a process that ends meanwhile ends the wait.
pub(super) async fn wait(local: &mut Local, session: &Session, patience: Duration) -> Result<(), Failure> {
    let missing = RefCell::new(String::from("the servers are not ready"));
    let addresses: Vec<String> = local.members().filter_map(|member| member.http.clone()).collect();
    let logs = local.members().map(dev::Member::log_path).collect();
    let cluster = local.cluster().clone();
    let work = async {
        join_all(addresses.iter().map(|address| server_ready(address, &missing))).await;
        dev::set_formed(&cluster)?;
        missing.replace("no linearizable read works".to_owned());
        let read = session.client.list(&Query::all(Kind::Namespace)).await;
        read.map_err(|error| Failure::from_client("the local cluster does not answer", &error))?;
        let nodes = cluster.plan().nodes.iter().map(|node| node.name.clone()).collect();
        nodes_ready(nodes, session, &missing).await
    };
    let watched = async {
        tokio::select! {
            died = local.died() => Err(died.into()),
            done = timeout(patience, work) => done.unwrap_or_else(|_| {
                Err(dev::Error::NotReady { what: missing.take(), seconds: patience.as_secs(), logs }.into())
            }),
        }
    };
    terminal::waiting("waiting until the cluster is ready", watched).await
}

async fn server_ready(address: &str, missing: &RefCell<String>) {
    let mut ticks = interval(HEALTH_INTERVAL);
    ticks.set_missed_tick_behavior(MissedTickBehavior::Delay);
    loop {
        ticks.tick().await;
        match dev::ready(address).await {
            Health::Ready => return,
            Health::NotReady(reason) => {
                missing.replace(format!("the server at {address} is not ready ({reason})"));
            }
            Health::Silent(reason) => {
                missing.replace(format!("the server at {address} does not answer ({reason})"));
            }
        }
    }
}

async fn nodes_ready(
    mut waited_for: BTreeSet<String>,
    session: &Session,
    missing: &RefCell<String>,
) -> Result<(), Failure> {
    let mut watch = session.client.watch(Query::all(Kind::Node));
    while !waited_for.is_empty() {
        let names: Vec<&str> = waited_for.iter().map(String::as_str).collect();
        missing.replace(format!("not Ready: {}", names.join(", ")));
        let item = watch.next().await.map_err(|error| Failure::from_client("cannot watch the nodes", &error))?;
        let objects = match item {
            Item::Restarted { objects, .. } => objects,
            Item::Event { kind: EventKind::Added | EventKind::Modified, object, .. } => vec![object],
            _ => continue,
        };
        objects.iter().filter_map(ready_node).for_each(|name| {
            waited_for.remove(name);
        });
    }
    Ok(())
}

fn ready_node(object: &v1::Object) -> Option<&str> {
    match &object.body {
        Some(Body::Node(node)) if output::node_is_ready(node) => Some(&object.metadata()?.name),
        _ => None,
    }
}
