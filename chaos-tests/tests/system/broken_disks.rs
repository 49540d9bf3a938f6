//! Servers on disks that lose, tear, fail and lie: what was acknowledged is there, and what is wrong is never served.

use std::collections::BTreeMap;

use boss_chaos_tests::{
    api::Api,
    cluster::{Apart, Cluster, PATIENCE, Spec, Where, or_fail},
    disk::Command,
    http,
    manifests::{name_of, record},
    needs,
    nemesis::Family,
    net,
    process::Exit,
    wait,
    workload::{Acknowledged, Workload},
};
use boss_proto::{object::Resource, v1};
use futures_util::future::join_all;

/// Its reserve, and room for what these tests write.
const DISK: u64 = 384 << 20;
/// Writes before something happens: the log has several pages by then.
const BUSY: usize = 200;
/// Bytes of a large object: several pages of a log.
const LARGE: usize = 20_000;

/// Does this with a cluster of so many servers on disks of ours.
fn on_disks_of_ours(servers: usize, work: impl AsyncFnOnce(&mut Cluster) + Send) {
    if !needs::are_met(&[Family::DiskLoss]) {
        return;
    }
    let place = Where::Apart(Apart { disk_bytes: Some(DISK), ..Apart::default() });
    let done = net::on_own_machine(async || {
        let mut cluster = Box::pin(Cluster::start(Spec { servers, nodes: 0, place, ..Spec::default() })).await;
        Box::pin(work(&mut cluster)).await;
    });
    done.expect("root may do this");
}

/// The same to the disks of all three servers.
fn tell_all(cluster: &Cluster, command: &Command) {
    for id in 1..=3 {
        tell(cluster, id, command);
    }
}

fn tell(cluster: &Cluster, id: u64, command: &Command) -> boss_chaos_tests::disk::Answer {
    cluster.disk(id).expect("each has one").tell(command).expect("it takes commands")
}

/// Eight clients write until this has happened; what they were told is added to what was told before.
async fn write_until(
    cluster: &mut Cluster,
    round: usize,
    all: &mut Acknowledged,
    happens: impl AsyncFnOnce(&mut Cluster, &Workload),
) {
    let servers: Vec<Api> = cluster.server_ids().map(|id| cluster.admin_at(id)).collect();
    let workload = Workload::default();
    let writers = join_all((0..8).map(|writer| workload.write(round * 8 + writer, &servers)));
    let happening = async {
        busy(cluster, &workload, BUSY).await;
        happens(cluster, &workload).await;
        workload.stop();
    };
    tokio::join!(writers, happening);
    all.extend(workload.acknowledged());
}

/// Waits until so many more writes were acknowledged.
async fn busy(cluster: &Cluster, workload: &Workload, more: usize) {
    let from = workload.count();
    let written = cluster.wait("the writers are busy", async || {
        wait::holds(workload.count() >= from + more, format!("{} writes", workload.count()))
    });
    written.await;
}

/// What a server shows: names and their revisions.
async fn stored(cluster: &Cluster, id: u64) -> BTreeMap<String, u64> {
    let (stored, _) = cluster.admin_at(id).list::<v1::ServiceAccount>("default").await.expect("the server answers");
    let stored = stored.iter().filter_map(Resource::metadata);
    stored.map(|metadata| (name_of(Some(metadata)).to_owned(), metadata.resource_version)).collect()
}

/// Every server is ready, has everything that was acknowledged, and all have the same.
async fn check(cluster: &Cluster, acknowledged: &Acknowledged) {
    for id in cluster.server_ids() {
        cluster.wait_for_server(id).await;
        let stored = stored(cluster, id).await;
        for (revision, name) in acknowledged {
            assert_eq!(stored.get(name), Some(&revision.0), "server-{id}: {name} was acknowledged at {revision}");
        }
    }
    cluster.assert_states_are_equal().await;
}

/// The servers end, their disks do this, and they start again.
fn cut_the_power(cluster: &mut Cluster, ids: &[u64], command: impl Fn(u64) -> Command) {
    ids.iter().for_each(|id| cluster.kill_server(*id));
    for id in ids {
        tell(cluster, *id, &command(*id));
        cluster.start_server(*id);
    }
}

/// Waits until a server is ready; it may end with a last word first, also a little later, and is started again then.
async fn come_back(cluster: &mut Cluster, id: u64) {
    let ready = wait::until("it is ready", PATIENCE, async || {
        if let Some(exit) = cluster.server(id).and_then(|process| process.exit()) {
            assert_eq!(exit, Exit::Code(1));
            cluster.start_server(id);
        }
        let status = http::get_status(&cluster.addresses(id).http, "/readyz").await;
        wait::holds(status.as_ref().is_ok_and(|status| *status == 200), format!("{status:?}"))
    });
    or_fail(ready.await);
}

/// Writes large objects, one after the other, until one fails.
async fn write_until_it_fails(cluster: &Cluster, round: usize) {
    for number in 0.. {
        let mut large = record(&format!("large-{round}-{number}"), "x");
        let metadata = large.metadata.as_mut().expect("a record has one");
        metadata.annotations.insert("bytes".to_owned(), "x".repeat(LARGE));
        if cluster.admin_at(1).create(large).await.is_err() {
            return;
        }
    }
}

#[test]
fn what_was_acknowledged_survives_the_loss_of_all_unsynced_writes_on_all_servers_at_once() {
    on_disks_of_ours(3, async |cluster| {
        let mut all = Acknowledged::new();
        for round in 0..3 {
            write_until(cluster, round, &mut all, async |cluster, _| {
                cut_the_power(cluster, &[1, 2, 3], |_| Command::LoseUnsynced);
            })
            .await;
            check(cluster, &all).await;
        }
    });
}

#[test]
fn what_was_acknowledged_survives_writes_that_are_torn_on_all_servers_at_once() {
    on_disks_of_ours(3, async |cluster| {
        let mut all = Acknowledged::new();
        for round in 0..5 {
            write_until(cluster, round, &mut all, async |cluster, _| {
                cut_the_power(cluster, &[1, 2, 3], |id| Command::Tear { seed: round as u64 * 3 + id });
            })
            .await;
            check(cluster, &all).await;
        }
    });
}

#[test]
fn a_server_whose_sync_fails_ends_with_a_last_word_and_comes_back_with_what_it_acknowledged() {
    on_disks_of_ours(3, async |cluster| {
        let mut all = Acknowledged::new();
        for (round, drops) in [true, false].into_iter().enumerate() {
            let leader = cluster.leader().await;
            write_until(cluster, round, &mut all, async |cluster, _| {
                tell(cluster, leader, &Command::FailSyncs { within: "log".to_owned(), times: 1, drops });
                let ended = cluster.wait("the leader ends", async || {
                    cluster.server(leader).and_then(|process| process.exit()).ok_or("it runs")
                });
                assert_eq!(ended.await, Exit::Code(1));
                let log = cluster.log_of(&format!("server-{leader}"));
                assert!(log.contains("the log cannot be written"), "{log}");
                cut_the_power(cluster, &[leader], |_| Command::LoseUnsynced);
            })
            .await;
            check(cluster, &all).await;
        }
    });
}

#[test]
fn what_a_server_shows_after_a_failed_sync_survives_a_power_cut() {
    on_disks_of_ours(1, async |cluster| {
        for round in 0..3 {
            tell(cluster, 1, &Command::FailSyncs { within: "log".to_owned(), times: 1, drops: true });
            write_until_it_fails(cluster, round).await;
            let ended = cluster.wait("the server ends", async || {
                cluster.server(1).and_then(|process| process.exit()).ok_or("it runs")
            });
            assert_eq!(ended.await, Exit::Code(1));
            cluster.start_server(1);
            cluster.wait_for_server(1).await;
            let shown = stored(cluster, 1).await;
            cut_the_power(cluster, &[1], |_| Command::LoseUnsynced);
            cluster.wait_for_server(1).await;
            let still = stored(cluster, 1).await;
            let lost: Vec<_> = shown.iter().filter(|(name, revision)| still.get(*name) != Some(revision)).collect();
            assert!(lost.is_empty(), "round {round}: {lost:?}");
        }
    });
}

#[test]
fn the_folders_of_a_server_survive_a_power_cut() {
    on_disks_of_ours(1, async |cluster| {
        cluster.kill_server(1);
        tell(cluster, 1, &Command::LoseUnsynced);
        for name in ["log", "snapshots", "state"] {
            let folder = cluster.data_of(1).join(name);
            assert!(folder.is_dir(), "{name} was lost, and with it all that is synced in it");
        }
        cluster.start_server(1);
        cluster.wait_for_server(1).await;
    });
}

#[test]
fn a_server_that_reads_wrong_bits_refuses_or_rebuilds_and_never_serves_them() {
    on_disks_of_ours(3, async |cluster| {
        let mut all = Acknowledged::new();
        write_until(cluster, 0, &mut all, async |_, _| {}).await;
        for seed in 0..6 {
            let id = 1 + seed % 3;
            let within = ["log", "state", ""][usize::try_from(seed / 2).expect("it is small")].to_owned();
            cluster.kill_server(id);
            let laid = tell(cluster, id, &Command::Flip { within, seed, bits: 4 }).laid;
            assert_eq!(laid, 4);
            cluster.start_server(id);
            let came = cluster.wait("it is ready or refuses", async || {
                if let Some(exit) = cluster.server(id).and_then(|process| process.exit()) {
                    return Ok(Some(exit));
                }
                let status = http::get_status(&cluster.addresses(id).http, "/readyz").await;
                wait::holds(status.as_ref().is_ok_and(|status| *status == 200), format!("{status:?}")).map(|()| None)
            });
            match came.await {
                None => check(cluster, &all).await,
                Some(exit) => {
                    assert_eq!(exit, Exit::Code(1), "seed {seed}");
                    tell(cluster, id, &Command::Heal);
                    cluster.start_server(id);
                    check(cluster, &all).await;
                }
            }
            tell(cluster, id, &Command::Heal);
        }
    });
}

#[test]
fn a_cluster_on_slow_disks_goes_on_and_one_whose_disks_were_full_or_read_only_comes_back_by_itself() {
    on_disks_of_ours(3, async |cluster| {
        let mut all = Acknowledged::new();
        write_until(cluster, 0, &mut all, async |cluster, workload| {
            tell_all(cluster, &Command::Slow { sync_ms: 50 });
            busy(cluster, workload, 20).await;
            tell_all(cluster, &Command::Heal);
        })
        .await;

        tell_all(cluster, &Command::Fill);
        cluster
            .wait("a full cluster refuses", async || {
                let tried = cluster.admin_at(1).create(record("no-room", "x")).await;
                wait::holds(tried.is_err(), "it took it")
            })
            .await;
        tell_all(cluster, &Command::Room { bytes: DISK });
        write_until(cluster, 1, &mut all, async |_, _| {}).await;

        let leader = cluster.leader().await;
        write_until(cluster, 2, &mut all, async |cluster, workload| {
            tell(cluster, leader, &Command::ReadOnly { on: true });
            busy(cluster, workload, 20).await;
            tell(cluster, leader, &Command::Heal);
        })
        .await;
        come_back(cluster, leader).await;
        check(cluster, &all).await;
    });
}
