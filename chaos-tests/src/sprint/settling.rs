//! What a sprint waits for: clients that are answered, servers that are back, pods and states that are as they should be.
//! Judges nothing.

use std::{thread::JoinHandle, time::Duration};

use boss_proto::v1;
use tokio::time::sleep;

use super::{Ending, RECOVERY, judge, text_of};
use crate::{
    checkers::{self, Verdict, states::State},
    cluster::Cluster,
    history::{self, Recorder},
    http,
    manifests::name_of,
    nemesis::run::leader_of,
    wait, workload,
};

/// Waits for all clients; tells of those that panicked.
pub(super) async fn join(threads: Vec<JoinHandle<()>>) -> Vec<String> {
    let mut problems = Vec::new();
    for thread in threads {
        // A client stops after what it is at, and that has a bound of its own.
        while !thread.is_finished() {
            sleep(Duration::from_millis(20)).await;
        }
        if let Err(panic) = thread.join() {
            problems.push(format!("a client: {}", text_of(&*panic)));
        }
    }
    problems
}

/// Waits until clients have got answers enough to say something, on a machine however slow.
pub(super) async fn progress(recorder: &Recorder, from: usize) -> Result<(), String> {
    let enough = wait::until("clients are answered", RECOVERY, async || {
        let answered = recorder.answered() - from;
        wait::holds(answered >= 2 * judge::ANSWERED_EACH, format!("{answered} times"))
    });
    enough.await.map_err(|timed_out| timed_out.to_string())
}

/// Waits until everything works again.
pub(super) async fn recover(cluster: &Cluster) -> Result<(), String> {
    let recovered = wait::until("all servers are ready", RECOVERY, async || {
        if leader_of(cluster).await.is_none() {
            return Err("nobody leads".to_owned());
        }
        for id in cluster.running_servers() {
            match http::get_status(&cluster.addresses(id).http, "/readyz").await {
                Ok(200) => {}
                other => return Err(format!("server-{id}: {other:?}")),
            }
        }
        Ok(())
    });
    recovered.await.map_err(|timed_out| timed_out.to_string())
}

/// Servers and agents that were not told to end, and have.
pub(super) fn ended(cluster: &Cluster) -> Vec<String> {
    let servers = cluster.running_servers().into_iter().filter_map(|id| {
        let exit = cluster.server(id)?.exit()?;
        Some(format!("server-{id} ended by itself: {exit:?}"))
    });
    servers.collect()
}

/// Waits until pods are as they should be, or will not be any more.
pub(super) async fn pods(cluster: &Cluster, ending: &Ending<'_>) -> Result<Vec<checkers::pods::Found>, String> {
    let events = ending.recorder.events().map_err(|error| error.to_string())?;
    let calls = history::calls(&events).map_err(|bad| bad.to_string())?;
    let mut last = Vec::new();
    let settled = wait::until("all pods are as they should be", RECOVERY, async || {
        let admin = cluster.admin();
        let (found, _) = admin.list::<v1::Pod>("default").await.map_err(|status| status.to_string())?;
        let phase = |pod: &v1::Pod| pod.status.as_ref().map_or(String::new(), |status| status.phase.clone());
        let registry: Vec<(String, String)> =
            found.iter().map(|pod| (name_of(pod.metadata.as_ref()).to_owned(), phase(pod))).collect();
        last = workload::pods::found(&calls, &registry, ending.locks);
        match checkers::pods::check(&last) {
            Verdict::Valid => Ok(()),
            other => Err(format!("{other:?}")),
        }
    });
    // What it says then is judged like everything else.
    match settled.await {
        Ok(()) => Ok(last),
        Err(timed_out) if last.is_empty() => Err(timed_out.to_string()),
        Err(_) => Ok(last),
    }
}

/// The states of all servers, at one index if they come to one.
pub(super) async fn states(cluster: &Cluster) -> Vec<State> {
    let mut last = Vec::new();
    let equal = wait::until("all servers are at one index", RECOVERY, async || {
        let status = cluster.admin().status().await.map_err(|status| status.to_string())?;
        let state = |server: &v1::ServerStatus| State {
            server: server.id,
            applied: server.applied_index,
            hash: server.state_hash.clone(),
        };
        last = status.servers.iter().filter(|server| server.error.is_empty()).map(state).collect();
        wait::holds(checkers::states::check(&last, status.servers.len()).is_valid(), "they are not")
    });
    let _ = equal.await;
    last
}
