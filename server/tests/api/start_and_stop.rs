//! Starting under bad circumstances, stopping, and the plain HTTP port.

use std::net::SocketAddr;

use boss_base::pki::CertificateAuthority;
use boss_proto::{ids::ClusterId, ids::ServerId, v1::WatchRequest};
use boss_server::app::BuildError;
use tokio::{
    io::{AsyncReadExt, AsyncWriteExt},
    net::TcpStream,
};
use tonic::Code;

use crate::support::*;

pub(crate) async fn http_get(address: SocketAddr, path: &str) -> String {
    let mut stream = TcpStream::connect(address).await.unwrap();
    let request = format!("GET {path} HTTP/1.1\r\nHost: x\r\nConnection: close\r\n\r\n");
    stream.write_all(request.as_bytes()).await.unwrap();
    let mut answer = String::new();
    stream.read_to_string(&mut answer).await.unwrap();
    answer
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_server_without_a_cluster_lives_but_is_not_ready() {
    let mut cluster = Cluster::prepare(1);
    cluster.configs[0].initialize = false;
    let _running = cluster.run(0).await.unwrap();
    let http = cluster.configs[0].listen.http;
    assert!(http_get(http, "/livez").await.starts_with("HTTP/1.1 200"));
    let answer = http_get(http, "/readyz").await;
    assert!(answer.starts_with("HTTP/1.1 503") && answer.contains("no formed cluster"), "{answer}");
    assert!(http_get(http, "/nothing").await.starts_with("HTTP/1.1 404"));
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_stopping_server_tells_its_watchers_and_ends_cleanly() {
    let mut cluster = Cluster::start(1).await;
    assert!(http_get(cluster.configs[0].listen.http, "/readyz").await.starts_with("HTTP/1.1 200"));
    let mut registry = cluster.admin(0);
    let request = WatchRequest { kind: "Pod".into(), ..Default::default() };
    let mut events = registry.watch(request).await.unwrap().into_inner();
    let running = cluster.running.remove(0);
    running.shutdown.cancel();
    let ended = async {
        loop {
            if let Err(status) = events.message().await {
                break status;
            }
        }
    };
    let status = tokio::time::timeout(PATIENCE, ended).await.unwrap();
    assert_eq!((status.code(), info(&status).reason.as_str()), (Code::Unavailable, "SHUTTING_DOWN"));
    tokio::time::timeout(PATIENCE, running.ended).await.unwrap().unwrap().unwrap();

    // It starts again on what it left, and --initialize is nothing to do.
    let again = cluster.run(0).await.unwrap();
    cluster.running.push(again);
    eventually("the restarted server", || {
        let mut registry = cluster.admin(0);
        async move { get(&mut registry, key("Namespace", "", "default")).await.is_ok() }
    })
    .await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_port_in_use_is_named() {
    let cluster = Cluster::prepare(1);
    let taken = std::net::TcpListener::bind(cluster.configs[0].listen.peer).unwrap();
    let error = cluster.run(0).await.map(|_| ()).unwrap_err();
    assert!(matches!(error, BuildError::Listen(_)) && !error.is_configuration());
    assert!(error.to_string().contains(&taken.local_addr().unwrap().to_string()), "{error}");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_certificate_that_is_not_this_servers_is_refused() {
    let mut cluster = Cluster::prepare(2);
    let refused = async |cluster: &Cluster| {
        let error = cluster.run(0).await.map(|_| ()).unwrap_err();
        assert!(error.is_configuration(), "{error}");
        error.to_string()
    };
    let own = cluster.configs[0].clone();
    cluster.configs[0].tls = cluster.configs[1].tls.clone();
    assert!(refused(&cluster).await.contains("server/2"));
    cluster.configs[0] = own.clone();
    cluster.configs[0].cluster_id = ClusterId::from("other-cluster");
    assert!(refused(&cluster).await.contains("is for cluster"));
    cluster.configs[0] = own.clone();
    std::fs::write(&own.tls.certificate, "nonsense").unwrap();
    assert!(refused(&cluster).await.contains("server.crt"));
    let (certificate, _key) = issue(&CertificateAuthority::generate(CLUSTER).unwrap(), "server", "1", &[]);
    std::fs::write(&own.tls.certificate, certificate).unwrap();
    refused(&cluster).await;
    cluster.configs[1].token_keys = vec![own.tls.key.clone()];
    let error = cluster.run(1).await.map(|_| ()).unwrap_err();
    assert!(matches!(error, BuildError::TokenKey(_)), "{error}");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn the_data_of_another_cluster_or_server_is_refused() {
    let mut cluster = Cluster::start(1).await;
    let running = cluster.running.remove(0);
    running.shutdown.cancel();
    tokio::time::timeout(PATIENCE, running.ended).await.unwrap().unwrap().unwrap();
    let other = Cluster::prepare(2);
    let mut mixed = other;
    mixed.configs[1].data_dir = data_dir(&cluster, 0);
    let error = mixed.run(1).await.map(|_| ()).unwrap_err();
    assert!(matches!(error, BuildError::Raft(_)) && !error.is_configuration(), "{error}");
    assert_ne!(mixed.configs[1].id, ServerId(1));
    assert!(error.to_string().contains("server"), "{error}");
}
