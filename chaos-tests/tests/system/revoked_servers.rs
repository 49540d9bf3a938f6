//! A server whose certificate was revoked speaks for the cluster no more: its clients and agents go elsewhere, it leads
//! nothing, the other servers close their connections with it, and with another certificate it is a server again.

use std::time::Duration;

use boss_chaos_tests::{
    api::{Api, Watch},
    bossctl_run::Bossctl,
    cluster::{Cluster, PATIENCE, Spec, refusal},
    http,
    manifests::{name_of, pod, record},
    wait,
};
use boss_client::{Query, watch::Item};
use boss_proto::{kind::Kind, object::Resource, v1};
use tonic::{Code, Status};

use crate::certificates::shown;

const LIFETIME: Duration = Duration::from_secs(24 * 3_600);

/// Revokes the certificate that the server shows now; who asks is another server's client.
async fn revoke(cluster: &Cluster, id: u64) {
    let serial = shown(cluster, "server", &id.to_string()).await.expect("it shows one").serial;
    let told = Bossctl::of(cluster).succeed(&["certs", "revoke", "--serial", &serial]).await;
    assert!(told.contains(&serial), "{told}");
}

/// What the stream ends with, whatever it tells before.
async fn end_of(mut watch: Watch<v1::ServiceAccount>) -> Status {
    let ended = async {
        loop {
            if let Err(status) = watch.next().await {
                return status;
            }
        }
    };
    tokio::time::timeout(PATIENCE, ended).await.expect("the watch ends")
}

fn says_revoked(status: &Status) {
    assert_eq!(status.code(), Code::Unavailable, "{status:?}");
    assert!(status.message().contains("was revoked") && status.message().contains("ask another server"), "{status:?}");
}

/// Waits until the server says everywhere that it serves nobody, and why.
async fn serves_nobody(cluster: &Cluster, id: u64) {
    let http = cluster.addresses(id).http.clone();
    cluster
        .wait(format!("server {id} is not ready"), async || match http::get(&http, "/readyz").await {
            Ok((503, body)) if body.contains("was revoked") => Ok(()),
            other => Err(format!("{other:?}")),
        })
        .await;
    assert_eq!(http::get_status(&http, "/livez").await.expect("it runs"), 200, "a restart would not help");
    let (_, metrics) = http::get(&http, "/metrics").await.expect("it runs");
    assert!(metrics.contains("boss_server_certificate_revoked 1"), "{metrics}");
    let api: Api = cluster.admin_at(id);
    says_revoked(&refusal(api.get::<v1::Namespace>("", "default").await, "a read there"));
    says_revoked(&refusal(api.create(record("nowhere", "x")).await, "a write there"));
    says_revoked(&refusal(api.status().await, "a question there"));
}

/// Waits until the server is one of the cluster again.
async fn comes_back(cluster: &Cluster, id: u64) {
    cluster.wait_for_server(id).await;
    cluster.admin_at(id).create(record(&format!("back-{id}"), "x")).await.expect("it serves again");
    cluster.assert_states_are_equal().await;
    let (_, metrics) = http::get(&cluster.addresses(id).http, "/metrics").await.expect("it runs");
    assert!(metrics.contains("boss_server_certificate_revoked 0"), "{metrics}");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_server_whose_certificate_was_revoked_loses_its_clients_and_agents_until_it_has_another() {
    let cluster = Cluster::start(Spec::default()).await;
    let leader = cluster.leader().await;
    let doomed = cluster.server_ids().find(|id| *id != leader).expect("there are three");
    let open = cluster.admin_at(doomed).watch::<v1::ServiceAccount>("default", None).await.expect("it watches");
    // Users of the client begin there, and see nothing of it all.
    let client = cluster.client(doomed);
    let mut following = client.watch(Query::all(Kind::ServiceAccount).in_namespace("default"));
    let first = following.next().await.expect("the cluster works");
    assert!(matches!(first, Item::Restarted { .. }), "{first:?}");

    revoke(&cluster, doomed).await;
    says_revoked(&end_of(open).await);
    serves_nobody(&cluster, doomed).await;
    client.create(record("elsewhere", "x").into_object()).await.expect("the client asks another server");
    loop {
        match following.next().await.expect("nothing is wrong with the query") {
            Item::Event { .. } => break,
            Item::Bookmark(_) | Item::Interrupted(_) => {}
            Item::Restarted { .. } => panic!("the watch began anew instead of going on elsewhere"),
        }
    }
    // Wherever the agent's session was: it has one with a server that may speak for the cluster.
    cluster.admin_at(leader).create(pod("moved", &["/bin/sleep", "600"])).await.expect("the cluster works");
    let api = cluster.admin_at(leader);
    cluster
        .wait("the pod runs", async || {
            let pod = api.get::<v1::Pod>("default", "moved").await.map_err(|status| status.to_string())?;
            let phase = pod.status.unwrap_or_default().phase;
            wait::holds(phase == "Running", format!("it is {phase:?}"))
        })
        .await;
    let others = api.status().await.expect("it leads").servers.into_iter().find(|server| server.id == doomed);
    let problem = others.expect("it is a member").error;
    assert!(!problem.is_empty(), "the other servers speak with it");
    cluster.certify(doomed, LIFETIME);
    comes_back(&cluster, doomed).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_leader_whose_certificate_was_revoked_leads_no_more_until_that_is_taken_back() {
    let cluster = Cluster::start(Spec { nodes: 0, ..Spec::default() }).await;
    let doomed = cluster.leader().await;
    let open = cluster.admin_at(doomed).watch::<v1::ServiceAccount>("default", None).await.expect("it watches");
    revoke(&cluster, doomed).await;
    says_revoked(&end_of(open).await);
    serves_nobody(&cluster, doomed).await;
    let others: Vec<u64> = cluster.server_ids().filter(|id| *id != doomed).collect();
    for id in others {
        let api = cluster.admin_at(id);
        cluster
            .wait(format!("server {id} takes writes"), async || {
                let written = api.create(record(&format!("without-{doomed}-at-{id}"), "x")).await;
                match written {
                    Ok(_) => Ok(()),
                    Err(status) if status.code() == Code::AlreadyExists => Ok(()),
                    Err(status) => Err(status.to_string()),
                }
            })
            .await;
        let leads = api.status().await.expect("it answers").leader_id;
        assert_ne!(leads, doomed, "what leads has a certificate that counts");
    }
    let admin = cluster.admin_at(cluster.server_ids().find(|id| *id != doomed).expect("there are three"));
    let (revocations, _) = admin.list::<v1::Revocation>("").await.expect("the administrator may");
    assert_eq!(revocations.len(), 1, "{revocations:?}");
    let name = name_of(revocations[0].metadata.as_ref());
    admin.delete::<v1::Revocation>("", name).await.expect("the administrator may");
    comes_back(&cluster, doomed).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_revocation_that_would_leave_too_few_servers_is_refused() {
    let cluster = Cluster::start(Spec { servers: 1, nodes: 0, ..Spec::default() }).await;
    let serial = shown(&cluster, "server", "1").await.expect("it shows one").serial;
    let refused = Bossctl::of(&cluster).run(&["certs", "revoke", "--serial", &serial]).await;
    assert_ne!(refused.code, 0, "{refused:?}");
    assert!(refused.stderr.contains("quorum") && refused.stderr.contains("another one first"), "{refused:?}");
    cluster.certify(1, LIFETIME);
    let renewed = cluster.wait("the server shows the new one", async || {
        let now = shown(&cluster, "server", "1").await?.serial;
        wait::holds(now != serial, now)
    });
    renewed.await;
    Bossctl::of(&cluster).succeed(&["certs", "revoke", "--serial", &serial]).await;
    cluster.admin().create(record("after", "x")).await.expect("what it shows now counts");
}
