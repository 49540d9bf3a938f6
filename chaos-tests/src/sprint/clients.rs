//! The clients of a sprint: each host runs some of every workload, on a thread of its own.

use std::{
    path::{Path, PathBuf},
    sync::Arc,
    thread::{self, JoinHandle},
};

use futures_util::future::{LocalBoxFuture, join_all};

use super::{CLIENT_HOSTS, MEMBERS, Options, PAIRS, QUOTA, RIGHTS, TOKENS, Work};
use crate::{
    cluster::{Cluster, Doors},
    history::{Call, Recorder, Reply},
    manifests::NAMESPACE,
    net::{Host, in_place},
    workload::{
        Stop,
        members::{self, Members},
        pairs::Pairs,
        pods::Pods,
        quota::Bank,
        register::Registers,
        rights::Tenants,
        tokens::Tokens,
    },
};

/// Of each host.
const REGISTER_CLIENTS: u64 = 8;
/// Few, so that clients meet.
pub(super) const REGISTERS: usize = 12;
/// Of each host: more than one may take what there is room for at once.
const QUOTA_CLIENTS: u64 = 3;

/// What one host works with.
struct Desk {
    seed: u64,
    work: Vec<Work>,
    doors: Doors,
    recorder: Arc<Recorder>,
    stop: Stop,
    /// Where pods keep their locks; none where none are started.
    locks: Option<PathBuf>,
}

/// Starts all clients.
pub(super) fn start(
    options: &Options,
    cluster: &Cluster,
    recorder: &Arc<Recorder>,
    stop: &Stop,
    locks: &Path,
) -> Vec<JoinHandle<()>> {
    let network = cluster.network().expect("a sprint has a network");
    let start_one = |number: usize| {
        let place = network.place(Host::client(number)).expect("it was made with so many");
        let host = Desk {
            seed: options.seed.wrapping_add(1_000 * (number as u64 + 1)),
            work: options.work.clone(),
            doors: cluster.doors(),
            recorder: recorder.clone(),
            stop: stop.clone(),
            locks: (options.nodes > 0 && number == 0).then(|| locks.to_owned()),
        };
        thread::spawn(move || {
            in_place(&place, async || run(&host).await).expect("the host is there as long as the sprint");
        })
    };
    (0..CLIENT_HOSTS).map(start_one).collect()
}

async fn run(host: &Desk) {
    let servers = host.doors.open();
    let Desk { recorder, stop, .. } = host;
    let registers = Registers::new(recorder.clone(), NAMESPACE, REGISTERS, stop.clone());
    let members = Members::new(recorder.clone(), MEMBERS, stop.clone());
    let pairs = Pairs::new(recorder.clone(), PAIRS, stop.clone());
    let tokens = Tokens::new(recorder.clone(), TOKENS, stop.clone());
    let tenants = Tenants::new(recorder.clone(), RIGHTS, stop.clone());
    let bank = Bank::new(recorder.clone(), QUOTA, stop.clone());
    let pods = host.locks.as_ref().map(|locks| Pods::new(recorder.clone(), stop.clone(), locks));
    let pods = pods.transpose().expect("the folder of the run is ours");
    let mut all: Vec<LocalBoxFuture<'_, ()>> = Vec::new();
    for work in &host.work {
        match (work, &pods) {
            (Work::Registers, _) => {
                for client in 0..REGISTER_CLIENTS {
                    all.push(Box::pin(registers.run(host.seed.wrapping_add(client), &servers)));
                }
            }
            (Work::Set, _) => all.push(Box::pin(members.run(host.seed.wrapping_add(100), &servers))),
            (Work::Pairs, _) => all.push(Box::pin(pairs.run(host.seed.wrapping_add(200), &servers))),
            (Work::Pods, Some(pods)) => all.push(Box::pin(pods.run(host.seed.wrapping_add(300), &servers))),
            // That is no client's.
            (Work::Pods, None) | (Work::Backup, _) => {}
            (Work::Tokens, _) => all.push(Box::pin(tokens.run(host.seed.wrapping_add(400), &servers))),
            (Work::Rights, _) => all.push(Box::pin(tenants.run(host.seed.wrapping_add(500), &servers))),
            (Work::Quota, _) => {
                for client in 0..QUOTA_CLIENTS {
                    all.push(Box::pin(bank.run(host.seed.wrapping_add(600 + client), &servers)));
                }
            }
        }
    }
    join_all(all).await;
}

/// A list of all members through each server, when all is over.
pub(super) async fn list_everywhere(cluster: &Cluster, recorder: &Recorder) {
    for id in cluster.running_servers() {
        let invocation = recorder.call(recorder.process(), Call::List);
        match members::members(&cluster.admin_at(id), MEMBERS).await {
            Ok((names, revision)) => invocation.reply(Reply::Members { revision, names }),
            Err(status) => invocation.fail(status.to_string()),
        }
    }
}
