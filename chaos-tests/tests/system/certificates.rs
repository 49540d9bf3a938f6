//! Certificates of running clusters: renewed while everything goes on, taken back everywhere at once, and signed by
//! another authority from one day to the next, without a restart and without an error for anybody who may.

use std::{collections::BTreeSet, time::Duration};

use boss_base::{pki, tasks::Tasks, tls::PeerCertificate};
use boss_chaos_tests::{
    api::{Api, Credential, error_info},
    bossctl_run::Bossctl,
    cluster::{Cluster, PATIENCE, Spec, or_fail, refusal},
    http,
    manifests::{pod, record},
    wait,
};
use boss_proto::v1;
use futures_util::future::{join, join_all};

use crate::load::{assert_nothing_is_lost, start_load};

async fn status(cluster: &Cluster) -> Result<v1::CertificatesStatusResponse, String> {
    cluster.client(1).certificates().await.map_err(|error| error.to_string())
}

/// The certificate that a holder shows now.
pub(crate) async fn shown(cluster: &Cluster, holder: &str, name: &str) -> Result<v1::CertificateStatus, String> {
    let all = status(cluster).await?.certificates;
    let found = all.into_iter().find(|held| held.holder == holder && held.name == name);
    found.ok_or_else(|| format!("{holder} {name} is not listed"))
}

/// Waits until the holder shows a certificate that was not seen before.
async fn renewed(cluster: &Cluster, holder: &str, name: &str, seen: &mut BTreeSet<String>) {
    let serial = wait::until(format!("{holder} {name} has renewed"), PATIENCE, async || {
        let held = shown(cluster, holder, name).await?;
        let is_new = !held.serial.is_empty() && !seen.contains(&held.serial);
        wait::holds(is_new, format!("{held:?}")).map(|()| held.serial)
    });
    seen.insert(or_fail(serial.await));
}

/// Whoever collects metrics sees the end of the certificate that the server shows.
async fn end_is_in_the_metrics(cluster: &Cluster, id: u64) {
    let same = wait::until(format!("server {id} tells the end of its certificate"), PATIENCE, async || {
        let shown = shown(cluster, "server", &id.to_string()).await?.not_after.map_or(0, |end| end.seconds);
        let (_, text) = http::get(&cluster.addresses(id).http, "/metrics").await.map_err(|error| error.to_string())?;
        let name = "boss_server_certificate_expiry_timestamp_seconds{certificate=\"server\"}";
        let line = text.lines().find_map(|line| line.strip_prefix(name)).unwrap_or_default();
        let told = line.trim().parse::<f64>().ok().map(|seconds| seconds as i64);
        wait::holds(shown > 0 && told == Some(shown), format!("it shows {shown} and tells {line:?}"))
    });
    or_fail(same.await);
}

fn log_says(cluster: &Cluster, name: &str, words: &str) -> usize {
    cluster.log_of(name).matches(words).count()
}

#[tokio::test(flavor = "multi_thread")]
async fn agents_renew_at_half_life_while_their_sessions_and_pods_go_on() {
    // Long enough for a busy machine to start in, short enough to outlive it in a test.
    let spec = Spec { servers: 1, nodes: 0, ..Spec::default() };
    let mut cluster = Cluster::prepare(spec).with_lifetimes(40, 3_600).bring_up().await;
    cluster.add_node("short").await;
    cluster.admin().create(pod("sleeper", &["/bin/sleep", "600"])).await.expect("the cluster works");
    let before = cluster.wait_for_phase("sleeper", "Running").await;
    let name = "short".to_owned();
    let sessions = log_says(&cluster, &name, "session open");
    let mut seen = BTreeSet::new();
    // The one of the join, under which the session was opened, has ended when the fourth comes.
    for _ in 0..4 {
        renewed(&cluster, "node", &name, &mut seen).await;
    }
    assert_eq!(log_says(&cluster, &name, "session open"), sessions, "the session goes on: {}", cluster.log_of(&name));
    let after = cluster.wait_for_phase("sleeper", "Running").await;
    assert_eq!(before.status.map(|status| status.attempt), after.status.map(|status| status.attempt));
    cluster.admin().delete::<v1::Pod>("default", "sleeper").await.expect("it is there");
    cluster.wait_until_gone::<v1::Pod>("default", "sleeper").await;
}

/// Watches through one server until the record `last` is seen. A server that hears no leader for a second ends its
/// watches, on a machine that is busy enough for that, and says so; any other end is an error.
async fn follow_to_last(id: u64, api: Api) -> Result<(), String> {
    loop {
        let opened = wait::until("a watch opens", PATIENCE, async || {
            api.watch::<v1::ServiceAccount>("default", None).await.map_err(|status| format!("server {id}: {status:?}"))
        });
        let mut watch = or_fail(opened.await);
        let ended = loop {
            match watch.next_event().await {
                Ok(event) if event.object.metadata.as_ref().is_some_and(|metadata| metadata.name == "last") => {
                    return Ok(());
                }
                Ok(_) => {}
                Err(status) => break status,
            }
        };
        if error_info(&ended).reason != "NO_LEADER" {
            return Err(format!("server {id}: {ended:?}"));
        }
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn servers_renew_at_half_life_and_no_write_fails_and_no_stream_is_dropped() {
    let spec = Spec { nodes: 0, ..Spec::default() };
    // Long enough for a busy machine to start in, short enough to outlive it in a test.
    let cluster = Cluster::prepare(spec).with_lifetimes(3_600, 60);
    // In place of those of a year.
    cluster.server_ids().for_each(|id| cluster.certify(id, Duration::from_secs(60)));
    let cluster = cluster.bring_up().await;
    let tasks = Tasks::new();
    let (writers, handles) = start_load(&cluster, &tasks);
    let streams = join_all(cluster.server_ids().map(|id| follow_to_last(id, cluster.admin_at(id))));
    let renewing = async {
        // When the second one comes, the one under which the streams were opened is over.
        let renewals = cluster.server_ids().map(async |id| {
            let mut seen = BTreeSet::new();
            for _ in 0..3 {
                renewed(&cluster, "server", &id.to_string(), &mut seen).await;
            }
        });
        join_all(renewals).await;
        join_all(cluster.server_ids().map(|id| end_is_in_the_metrics(&cluster, id))).await;
        writers.go_on().await;
        writers.stop(handles).await;
        tasks.cancel();
        cluster.admin().create(record("last", "x")).await.expect("the cluster works");
    };
    let both = tokio::time::timeout(5 * PATIENCE, join(streams, renewing)).await;
    let (streams, ()) = both.expect("the last write is seen by every stream");
    for ended in streams {
        ended.expect("no stream is dropped");
    }
    assert_nothing_is_lost(&cluster, &writers).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_revoked_node_loses_its_session_and_every_call_on_every_server() {
    let mut cluster = Cluster::start(Spec { nodes: 0, ..Spec::default() }).await;
    let index = cluster.add_node("doomed").await;
    let dir = cluster.node_folder("doomed");
    let read = |name: &str| std::fs::read_to_string(dir.join("tls").join(name)).expect("it was made");
    let stolen = pki::IssuedCert { cert_pem: read("node.crt"), key_pem: read("node.key") };
    for id in cluster.server_ids() {
        let api = cluster.api(id, Credential::Certificate(stolen.clone()));
        api.get::<v1::Node>("", "doomed").await.expect("it reads itself");
    }
    let told = Bossctl::of(&cluster).succeed(&["certs", "revoke", "--node", "doomed"]).await;
    assert!(told.contains("revoked"), "{told}");
    for id in cluster.server_ids() {
        let api = cluster.api(id, Credential::Certificate(stolen.clone()));
        let refused = refusal(api.get::<v1::Node>("", "doomed").await, "a revoked certificate");
        assert_eq!(refused.code(), tonic::Code::Unauthenticated, "server {id}: {refused:?}");
        assert!(refused.message().contains("revoked"), "server {id}: {refused:?}");
    }
    let ended = wait::until("the session is over", PATIENCE, async || {
        let log = cluster.log_of("doomed");
        wait::holds(log.contains("was revoked"), log)
    });
    or_fail(ended.await);
    let certificate = PeerCertificate::from_der(&pki::certificate_der(&stolen.cert_pem).expect("it is one").into());
    let told = Bossctl::of(&cluster).succeed(&["certs", "status"]).await;
    assert!(told.contains(&certificate.expect("it is one").serial) && told.contains("revoked"), "{told}");
    cluster.kill_node(index);
}

#[tokio::test(flavor = "multi_thread")]
async fn another_authority_takes_over_under_load_and_nobody_sees_an_error() {
    let cluster = Cluster::start(Spec::default()).await;
    let (bossctl, dir) = (Bossctl::of(&cluster), cluster.layout().directory().to_str().expect("ours").to_owned());
    let old = status(&cluster).await.expect("it answers").authorities[0].id.clone();
    bossctl.succeed(&["certs", "rotate-ca", "begin", "--dir", &dir]).await;
    let both = wait::until("servers and the node believe both", PATIENCE, async || {
        let status = status(&cluster).await?;
        let late = status.alarms.iter().any(|alarm| alarm.contains("does not believe"));
        let node = cluster.layout().directory().join("nodes").join(cluster.node_name(0)).join("tls/ca.crt");
        let count = std::fs::read_to_string(node).unwrap_or_default().matches("BEGIN CERTIFICATE").count();
        wait::holds(!late && status.authorities.len() == 2 && count == 2, format!("{status:?}, {count} at the node"))
    });
    or_fail(both.await);

    // Users have got the new list by now, as the first step said: they may come and go at any moment from here on.
    let tasks = Tasks::new();
    let (writers, handles) = start_load(&cluster, &tasks);
    writers.go_on().await;
    bossctl.succeed(&["certs", "rotate-ca", "switch", "--dir", &dir]).await;
    let everybody = wait::until("everybody has a certificate of the new authority", PATIENCE, async || {
        let status = status(&cluster).await?;
        let new = status.certificates.iter().filter(|held| !held.authority.is_empty() && held.authority != old).count();
        wait::holds(new == 4, format!("{:?}", status.certificates))
    });
    or_fail(everybody.await);
    writers.go_on().await;
    bossctl.succeed(&["certs", "rotate-ca", "finish", "--dir", &dir]).await;
    let alone = wait::until("the old authority is believed nowhere", PATIENCE, async || {
        let status = status(&cluster).await?;
        wait::holds(status.authorities.len() == 1 && status.alarms.is_empty(), format!("{status:?}"))
    });
    or_fail(alone.await);
    writers.go_on().await;
    writers.stop(handles).await;
    tasks.cancel();
    assert_nothing_is_lost(&cluster, &writers).await;

    // Who comes from nothing, with certificates of the new authority alone, finds a cluster that works.
    let mut cluster = cluster;
    cluster.kill_all_servers();
    for id in cluster.server_ids() {
        cluster.start_server(id);
    }
    for id in cluster.server_ids() {
        cluster.wait_for_server(id).await;
    }
    cluster.kill_node(0);
    cluster.start_node(0);
    cluster.wait_for_node(0).await;
    cluster.admin().create(pod("after", &["/bin/sleep", "600"])).await.expect("the cluster works");
    cluster.wait_for_phase("after", "Running").await;
}
