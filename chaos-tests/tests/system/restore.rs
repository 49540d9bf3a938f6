//! A cluster is lost and goes on from a saved snapshot: with one fresh server, in another incarnation.

use std::path::Path;

use boss_base::tls::{Files, Identity};
use boss_chaos_tests::{
    api::error_info,
    bossctl_run::Bossctl,
    cluster::{Cluster, Spec},
    manifests::record,
};
use boss_proto::{
    ids::ServerId,
    peer::v1::{DescribeRequest, forward_client::ForwardClient},
    v1::{ConfigMap, ServiceAccount},
};
use boss_raft::{Member, PeerDialer, network::INCARNATION_HEADER};
use tonic::{Code, Request, Status};

/// Restores into the data folder of the server.
fn restore(cluster: &Cluster, file: &Path, id: u64, as_id: u64) -> Vec<String> {
    let server = cluster.addresses(id);
    let folder = cluster.layout().server_directory(server).join("data");
    let (file, folder, as_id) = (file.display().to_string(), folder.display().to_string(), as_id.to_string());
    let words = ["cluster", "snapshot", "restore", &file, "--data-dir", &folder, "--id", &as_id];
    let of = ["--name", &server.name, "--peer", &server.peer, "--api", &server.api];
    words.iter().chain(&of).map(|word| (*word).to_owned()).collect()
}

/// What `to` answers the server `from`, which says that it belongs to an incarnation.
async fn ask(cluster: &Cluster, from: u64, to: u64, incarnation: &str) -> Result<(), Status> {
    let tls = cluster.layout().server_directory(cluster.addresses(from)).join("tls");
    let files = Files { certificate: tls.join("server.crt"), key: tls.join("server.key"), ca: tls.join("ca.crt") };
    let identity = Identity::load(&files).expect("its certificate is there");
    let server = cluster.addresses(to);
    let (name, peer, api) = (server.name.clone(), server.peer.clone(), server.api.clone());
    let member = Member { id: ServerId(to), name, peer, api };
    let dialer = PeerDialer::tls(identity, cluster.layout().plan().cluster_id.clone());
    let mut client = ForwardClient::new(dialer.dial(&member).expect("it has an address"));
    let mut request = Request::new(DescribeRequest {});
    request.metadata_mut().insert(INCARNATION_HEADER, incarnation.parse().expect("it is text"));
    client.describe(request).await.map(drop)
}

#[tokio::test(flavor = "multi_thread")]
async fn a_fresh_server_goes_on_from_a_snapshot_and_knows_nothing_of_the_life_before() {
    let mut cluster = Cluster::start(Spec { nodes: 0, ..Spec::default() }).await;
    let admin = cluster.admin();
    for name in ["a", "b", "c", "d"] {
        admin.create(record(name, "saved")).await.expect("the cluster works");
    }
    let (saved, revision) = admin.list::<ServiceAccount>("default").await.expect("it lists");
    let (_, page, _) = admin.list_page::<ServiceAccount>("default", 2, Default::default()).await.expect("it lists");
    assert!(!page.is_empty());
    let before = admin.status().await.expect("it answers");
    let bossctl = Bossctl::of(&cluster);
    let file = cluster.folder().join("saved.snapshot");
    bossctl.succeed(&["cluster", "snapshot", "save", &file.display().to_string()]).await;
    admin.create(record("lost", "later")).await.expect("the cluster works");
    cluster.kill_all_servers();

    let id = cluster.prepare_server();
    for used in [1, 3] {
        let refused = bossctl.run(&restore(&cluster, &file, id, used)).await;
        assert!(refused.code != 0 && refused.stderr.contains("choose a higher one"), "{refused:?}");
    }
    bossctl.succeed(&restore(&cluster, &file, id, id)).await;
    cluster.start_server(id);
    cluster.wait_for_server(id).await;
    let admin = cluster.admin_at(id);
    let (found, now) = admin.list::<ServiceAccount>("default").await.expect("it lists");
    assert_eq!(found, saved, "what was saved, and nothing that came later");
    assert!(now > revision);
    let after = admin.status().await.expect("it answers");
    assert_ne!(after.incarnation, before.incarnation);
    assert_eq!(after.servers.iter().map(|server| server.id).collect::<Vec<_>>(), [id]);

    let refused = admin.list_page::<ServiceAccount>("default", 2, page).await.expect_err("a page of the life before");
    assert_eq!(error_info(&refused).reason, "EXPIRED", "{refused:?}");
    let watched = match admin.watch::<ServiceAccount>("default", Some(revision)).await {
        Ok(mut watch) => watch.next().await.map(drop),
        Err(refused) => Err(refused),
    };
    let refused = watched.expect_err("a watch of the life before");
    assert_eq!(error_info(&refused).reason, "EXPIRED", "{refused:?}");

    let refused = ask(&cluster, 1, id, &before.incarnation).await.expect_err("a server of the life before");
    assert_eq!(refused.code(), Code::FailedPrecondition, "{refused:?}");
    assert!(refused.message().contains("incarnation"), "{refused:?}");
    let refused = ask(&cluster, 1, id, &after.incarnation).await.expect_err("it is no member of the new life");
    assert_eq!(refused.code(), Code::PermissionDenied, "{refused:?}");
    ask(&cluster, id, id, &after.incarnation).await.expect("the present one");
    // Those of the life before still find one another, and change nothing here.
    for old in 1..=3 {
        cluster.start_server(old);
    }
    cluster.wait_for_server(1).await;
    cluster.admin_at(1).create(record("elsewhere", "x")).await.expect("the old cluster works");
    admin.create(record("new", "x")).await.expect("the new cluster works");
    cluster.stop_server(id).await;
    cluster.start_server(id);
    cluster.wait_for_server(id).await;
    let (found, _) = cluster.admin_at(id).list::<ServiceAccount>("default").await.expect("it lists");
    assert_eq!(found.len(), saved.len() + 1);
    assert_eq!(cluster.admin_at(id).list::<ConfigMap>("default").await.expect("it lists").0.len(), 0);
}
