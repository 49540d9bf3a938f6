//! Every answer is explained by one order of all operations that real time allows, whatever happens to leaders; and
//! watches tell exactly what was written. `SEED=123` repeats the choices of a run.

use std::{io::Write, sync::Arc, time::Duration};

use boss_chaos_tests::{
    api::Api,
    checkers::{coverage, generate::Random, linearizable, watches},
    cluster::{Cluster, Spec, or_fail},
    history::{FaultOutcome, Recorder, operations},
    manifests::{NAMESPACE, record},
    wait,
    workload::{Stop, following, register::Registers},
};
use boss_client::Client;
use boss_proto::{ids::Revision, object::Resource, v1};
use futures_util::future::join_all;
use nix::sys::signal::Signal;

const CLIENTS: u64 = 8;
const KEYS: usize = 5;
/// Answered operations before the first fault, between two, and after the last.
const QUIET: usize = 250;
/// For progress between faults, on a machine that is busy with other tests.
const PATIENCE: Duration = Duration::from_secs(90);
const END: &str = "end";

#[derive(Debug, Clone, Copy)]
enum Fault {
    /// kill -9, and a start when the others have gone on.
    KillLeader,
    /// SIGSTOP, and SIGCONT when the others have gone on.
    PauseLeader,
}

const FAULTS: [Fault; 5] =
    [Fault::KillLeader, Fault::KillLeader, Fault::PauseLeader, Fault::KillLeader, Fault::KillLeader];

#[tokio::test(flavor = "multi_thread")]
async fn answers_are_linearizable_and_watches_complete_while_leaders_are_killed_and_paused() {
    let seed = seed();
    say(&format!("SEED={seed} gives the same clients and faults again"));
    let mut cluster = Cluster::start(Spec { nodes: 0, ..Spec::default() }).await;
    let path = cluster.folder().join("history.jsonl");
    let recorder = Arc::new(Recorder::create(&path).expect("the run's folder can be written"));
    let stop = Stop::default();
    let registers = Registers::new(recorder.clone(), NAMESPACE, KEYS, stop.clone());
    let start = cluster.admin().create(record("start", "x")).await.expect("the cluster works").revision;
    let servers: Vec<Api> = cluster.server_ids().map(|id| cluster.admin_at(id)).collect();
    let watchers: Vec<Client> = cluster.server_ids().map(|id| cluster.client(id)).collect();

    let last = cluster.client(1);
    let clients = join_all((0..CLIENTS).map(|client| registers.run(seed.wrapping_add(client), &servers)));
    let told = join_all(watchers.iter().map(|client| following::registers(client, NAMESPACE, start, END)));
    let disturb = async {
        progress(&registers, QUIET).await;
        for fault in shuffled(seed) {
            disturb_leader(&mut cluster, &recorder, &registers, fault).await;
        }
        progress(&registers, QUIET).await;
        stop.set();
    };
    let writing = async {
        tokio::join!(clients, disturb);
        last.create(record(END, "x").into_object()).await.expect("the cluster is whole again");
    };
    let (told, ()) = tokio::join!(told, writing);

    let events = recorder.events().expect("the run's folder can be written");
    let seen = coverage::count(&events);
    say(&format!("seed {seed}: {seen:?}"));
    let operations = operations(&events).unwrap_or_else(|bad| panic!("seed {seed}: {bad}"));
    let wanted = coverage::Wanted { answered_each: QUIET, faults: FAULTS.len() };
    let verdict = linearizable(&operations).and(seen.judge(wanted));
    assert!(verdict.is_valid(), "seed {seed}, history {}: {verdict:?}", path.display());
    let told: Result<Vec<_>, String> = told.into_iter().collect();
    let told = told.unwrap_or_else(|problem| panic!("seed {seed}: {problem}"));
    for told in &told {
        watches::check(&operations, told).unwrap_or_else(|broken| panic!("seed {seed}: {broken}"));
    }
    for pair in told.windows(2) {
        watches::agree(&pair[0], &pair[1]).unwrap_or_else(|broken| panic!("seed {seed}: {broken}"));
    }
    cluster.assert_states_are_equal().await;
}

fn seed() -> u64 {
    match std::env::var("SEED") {
        Ok(text) => text.parse().unwrap_or_else(|_| panic!("SEED={text} is no number")),
        Err(_) => v1::RequestId::random(Revision::ZERO).nonce.iter().fold(0, |seed, byte| seed << 8 | u64::from(*byte)),
    }
}

fn say(line: &str) {
    writeln!(std::io::stderr(), "{line}").expect("standard error is open");
}

fn shuffled(seed: u64) -> [Fault; FAULTS.len()] {
    let (mut faults, mut random) = (FAULTS, Random(seed));
    for at in (1..faults.len()).rev() {
        faults.swap(at, random.below(at + 1));
    }
    faults
}

async fn disturb_leader(cluster: &mut Cluster, recorder: &Recorder, registers: &Registers, fault: Fault) {
    let leader = cluster.leader().await;
    match fault {
        Fault::KillLeader => {
            cluster.kill_server(leader);
            recorder.fault(format!("kill server-{leader}"), FaultOutcome::Installed);
            progress(registers, QUIET).await;
            cluster.start_server(leader);
            recorder.fault(format!("start server-{leader}"), FaultOutcome::Healed);
        }
        Fault::PauseLeader => {
            cluster.server(leader).expect("it leads").signal(Signal::SIGSTOP);
            recorder.fault(format!("pause server-{leader}"), FaultOutcome::Installed);
            progress(registers, QUIET).await;
            cluster.server(leader).expect("it is only stopped").signal(Signal::SIGCONT);
            recorder.fault(format!("resume server-{leader}"), FaultOutcome::Healed);
        }
    }
    cluster.wait_for_server(leader).await;
}

/// Waits until so many more operations were answered.
async fn progress(registers: &Registers, more: usize) {
    let wanted = registers.answered() + more;
    let enough = wait::until(format!("{wanted} operations are answered"), PATIENCE, async || {
        wait::holds(registers.answered() >= wanted, format!("{} are", registers.answered()))
    });
    or_fail(enough.await);
}
