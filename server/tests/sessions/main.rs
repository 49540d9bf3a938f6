//! Sessions of agents over real TLS: who may open one, whose heartbeats are confirmed, whose logs arrive where.
#![expect(clippy::disallowed_methods, reason = "the servers of a test refuse what no test asks of them")]
#![expect(clippy::unwrap_used, reason = "a test ends at the first surprise")]

mod agent;
mod cluster;

use std::time::Duration;

use boss_proto::{
    key::Key,
    kind::Kind,
    limits::LOG_WINDOW_BATCHES,
    object::Resource,
    v1::{
        self, CreateRequest, GetRequest, LogRecord, LogsRequest, Object, ObjectMeta, from_node,
        pods_client::PodsClient, registry_client::RegistryClient, to_node,
    },
};
use tonic::{Code, Status, Streaming, transport::Channel};

use self::{
    agent::{Agent, PATIENCE},
    cluster::{Cluster, Who},
};

const NODE: &str = "n1";

/// Repeats a call that a cluster without a leader refuses.
async fn eventually<T>(mut call: impl AsyncFnMut() -> Result<T, Status>) -> T {
    let tries = async {
        loop {
            match call().await {
                Ok(value) => return value,
                Err(_) => tokio::time::sleep(Duration::from_millis(50)).await,
            }
        }
    };
    tokio::time::timeout(PATIENCE, tries).await.expect("the call never worked")
}

async fn create(channel: &Channel, object: Object) {
    let request_id = Some(v1::RequestId::random(Default::default()));
    let request = CreateRequest { object: Some(object), request_id, ..Default::default() };
    eventually(async || match RegistryClient::new(channel.clone()).create(request.clone()).await {
        Err(status) if status.code() == Code::AlreadyExists => Ok(()),
        other => other.map(drop),
    })
    .await;
}

async fn get(channel: &Channel, key: &Key) -> Result<Object, Status> {
    let request = GetRequest { key: Some(key.to_proto()), ..Default::default() };
    let found = RegistryClient::new(channel.clone()).get(request).await?.into_inner();
    found.object.ok_or_else(|| Status::not_found("no object"))
}

fn node(name: &str) -> Object {
    let metadata = Some(ObjectMeta { name: name.into(), ..Default::default() });
    v1::Node { metadata, ..Default::default() }.into_object()
}

fn node_status(name: &str) -> v1::NodeStatus {
    let provider = v1::Provider {
        name: format!("process-of-{name}"),
        classes: vec!["process".into()],
        healthy: true,
        artifact_types: vec!["Executable".into()],
        network_modes: vec!["host".into()],
        isolation_levels: vec!["sharedHost".into()],
        ..Default::default()
    };
    v1::NodeStatus {
        allocatable: Some(v1::ResourceList { cpu: "4".into(), memory: "8Gi".into(), ..Default::default() }),
        runtime_capabilities: Some(v1::RuntimeCapabilities { providers: vec![provider] }),
        ..Default::default()
    }
}

/// Registers the node as its agent does.
async fn register(cluster: &Cluster, server: usize, name: &str) {
    let channel = cluster.channel(server, &Who::Node(name));
    create(&channel, node(name)).await;
    let key = Key::cluster(Kind::Node, name);
    eventually(async || {
        let mut object = get(&channel, &key).await?;
        if let Some(v1::object::Body::Node(node)) = object.body.as_mut() {
            let conditions = node.status.take().unwrap_or_default().conditions;
            node.status = Some(v1::NodeStatus { conditions, ..node_status(name) });
        }
        let request = v1::UpdateRequest { object: Some(object), request_id: None, ..Default::default() };
        RegistryClient::new(channel.clone()).update_status(request).await
    })
    .await;
}

async fn wait_ready(cluster: &Cluster, server: usize, name: &str) {
    let channel = cluster.channel(server, &Who::Admin);
    let key = Key::cluster(Kind::Node, name);
    eventually(async || {
        let object = get(&channel, &key).await?;
        let status = v1::Node::from_object(&object).and_then(|node| node.status.clone()).unwrap_or_default();
        let ready = status.conditions.iter().any(|said| said.r#type == "Ready" && said.status == "True");
        if ready { Ok(()) } else { Err(Status::unavailable("not ready yet")) }
    })
    .await;
}

/// Creates a pod and waits until it is bound; its uid.
async fn bound_pod(cluster: &Cluster, server: usize, name: &str) -> String {
    let channel = cluster.channel(server, &Who::Admin);
    create(&channel, pod(name, "1")).await;
    let key = Key::new(Kind::Pod, "default", name);
    eventually(async || {
        let object = get(&channel, &key).await?;
        let pod = v1::Pod::from_object(&object).expect("a pod");
        let bound = pod.spec.as_ref().is_some_and(|spec| !spec.node_name.is_empty());
        let uid = pod.metadata.as_ref().map(|metadata| metadata.uid.clone());
        uid.filter(|_| bound).ok_or_else(|| Status::unavailable("not bound yet"))
    })
    .await
}

fn pod(name: &str, cpu: &str) -> Object {
    let requests = Some(v1::ResourceList { cpu: cpu.into(), ..Default::default() });
    let container = v1::Container { name: "main".into(), command: vec!["/bin/true".into()], ..Default::default() };
    let spec = v1::PodSpec {
        sandbox_class: "process".into(),
        resources: Some(v1::Resources { requests, limits: None }),
        containers: vec![container],
        ..Default::default()
    };
    let metadata = Some(ObjectMeta { name: name.into(), namespace: "default".into(), ..Default::default() });
    v1::Pod { metadata, spec: Some(spec), ..Default::default() }.into_object()
}

fn logs_of(name: &str) -> LogsRequest {
    LogsRequest { namespace: "default".into(), name: name.into(), follow: true, ..Default::default() }
}

async fn logs(channel: &Channel, request: LogsRequest) -> Result<Streaming<LogRecord>, Status> {
    PodsClient::new(channel.clone()).logs(request).await.map(tonic::Response::into_inner)
}

async fn read_line(records: &mut Streaming<LogRecord>) -> Option<String> {
    let record = tokio::time::timeout(PATIENCE, records.message()).await.expect("no record came").unwrap()?;
    Some(String::from_utf8(record.content.to_vec()).unwrap())
}

#[tokio::test]
async fn only_a_node_may_open_a_session_and_only_its_own() {
    let cluster = Cluster::start(1).await;
    let refused = Agent::open(cluster.channel(1, &Who::Admin), NODE).await.err().expect("a user is no node");
    assert_eq!(refused.code(), Code::PermissionDenied, "{refused}");
    let refused = Agent::open(cluster.channel(1, &Who::Node("n2")), NODE).await.err().expect("n2 is not n1");
    assert_eq!(refused.code(), Code::PermissionDenied, "{refused}");
    let mut silent = Agent::connect(cluster.channel(1, &Who::Node(NODE))).await.unwrap();
    silent.say(from_node::Body::Heartbeat(v1::Heartbeat::default())).await;
    let refused = silent.hear().await.expect_err("Hello comes first");
    assert_eq!(refused.code(), Code::FailedPrecondition, "{refused}");
    let (_, welcome) = Agent::open(cluster.channel(1, &Who::Node(NODE)), NODE).await.unwrap();
    assert_eq!((welcome.server_id, welcome.lease_ms, &*welcome.cluster_id), (1, 10_000, "test-cluster"));
    cluster.stop().await;
}

#[tokio::test]
async fn heartbeats_are_confirmed_by_any_server_and_make_the_node_ready() {
    let cluster = Cluster::start(3).await;
    for (server, name) in [(1, "a"), (2, "b"), (3, "c")] {
        register(&cluster, server, name).await;
        let (mut agent, _) = Agent::open(cluster.channel(server, &Who::Node(name)), name).await.unwrap();
        assert_eq!(agent.beat_until_confirmed().await.unwrap(), 10_000);
        wait_ready(&cluster, 1, name).await;
    }
    cluster.stop().await;
}

#[tokio::test]
async fn the_newest_session_of_a_node_wins_on_the_same_and_on_another_server() {
    let cluster = Cluster::start(3).await;
    let channel = |server| cluster.channel(server, &Who::Node(NODE));
    let (mut first, _) = Agent::open(channel(1), NODE).await.unwrap();
    first.beat_until_confirmed().await.unwrap();
    let (mut second, _) = Agent::open(channel(1), NODE).await.unwrap();
    let ended = first.hear().await.expect_err("replaced on the same server");
    assert_eq!(ended.code(), Code::Aborted, "{ended}");
    second.beat_until_confirmed().await.unwrap();
    let (mut third, _) = Agent::open(channel(2), NODE).await.unwrap();
    third.beat_until_confirmed().await.unwrap();
    let ended = loop {
        match second.beat().await {
            Ok(_) => tokio::time::sleep(Duration::from_millis(20)).await,
            Err(ended) => break ended,
        }
    };
    assert_eq!(ended.code(), Code::Aborted, "{ended}");
    assert_eq!(third.beat_until_confirmed().await.unwrap(), 10_000);
    cluster.stop().await;
}

#[tokio::test]
async fn heartbeats_go_on_when_the_leader_stops() {
    let mut cluster = Cluster::start(3).await;
    let (mut one, _) = Agent::open(cluster.channel(1, &Who::Node("a")), "a").await.unwrap();
    one.beat_until_confirmed().await.unwrap();
    let channel = cluster.channel(1, &Who::Admin);
    let status = eventually(async || {
        let asked = v1::ClusterStatusRequest::default();
        v1::cluster_client::ClusterClient::new(channel.clone()).status(asked).await
    })
    .await
    .into_inner();
    let leader = usize::try_from(status.leader_id).unwrap();
    let other = leader % 3 + 1;
    let (mut agent, _) = Agent::open(cluster.channel(other, &Who::Node(NODE)), NODE).await.unwrap();
    agent.beat_until_confirmed().await.unwrap();
    drop(one);
    cluster.stop_server(leader).await;
    assert_eq!(agent.beat_until_confirmed().await.unwrap(), 10_000);
    cluster.stop().await;
}

#[tokio::test]
async fn logs_arrive_from_whichever_server_holds_the_session() {
    let cluster = Cluster::start(3).await;
    register(&cluster, 1, NODE).await;
    let (mut agent, _) = Agent::open(cluster.channel(1, &Who::Node(NODE)), NODE).await.unwrap();
    agent.beat_until_confirmed().await.unwrap();
    let uid = bound_pod(&cluster, 2, "p").await;
    for server in 1..=3 {
        let channel = cluster.channel(server, &Who::Admin);
        let read = async {
            let mut records = logs(&channel, logs_of("p")).await.unwrap();
            let mut lines = Vec::new();
            while let Some(line) = read_line(&mut records).await {
                lines.push(line);
            }
            lines
        };
        let answer = async {
            let open = agent.expect_open_logs().await;
            assert_eq!((&open.pod_uid, open.window_batches), (&uid, LOG_WINDOW_BATCHES));
            assert!(open.request.is_some_and(|request| request.follow));
            agent.send_lines(open.stream_id, 1, &["one", "two"]).await;
            agent.send_lines(open.stream_id, 3, &["three"]).await;
            agent.end_stream(open.stream_id, "").await;
        };
        let (lines, ()) = tokio::join!(read, answer);
        assert_eq!(lines, ["one", "two", "three"], "by server {server}");
    }
    cluster.stop().await;
}

#[tokio::test]
async fn a_slow_reader_stops_the_agent_at_its_window_and_its_end_is_told() {
    let cluster = Cluster::start(1).await;
    register(&cluster, 1, NODE).await;
    let (mut agent, _) = Agent::open(cluster.channel(1, &Who::Node(NODE)), NODE).await.unwrap();
    agent.beat_until_confirmed().await.unwrap();
    bound_pod(&cluster, 1, "p").await;
    let channel = cluster.channel(1, &Who::Admin);
    let (records, open) = tokio::join!(logs(&channel, logs_of("p")), agent.expect_open_logs());
    let mut records = records.unwrap();
    for batch in 0..u64::from(LOG_WINDOW_BATCHES) {
        agent.send_lines(open.stream_id, batch, &["line"]).await;
    }
    for _ in 0..LOG_WINDOW_BATCHES {
        assert_eq!(read_line(&mut records).await.as_deref(), Some("line"));
    }
    let mut credit = 0;
    while credit < LOG_WINDOW_BATCHES / 2 {
        match agent.hear().await.unwrap() {
            to_node::Body::StreamCredit(given) => credit += given.batches,
            other => panic!("expected credit, got {other:?}"),
        }
    }
    assert!(credit <= LOG_WINDOW_BATCHES);
    // The session goes on beside the stream.
    drop(records);
    loop {
        match agent.hear().await.unwrap() {
            to_node::Body::CloseStream(close) => break assert_eq!(close.stream_id, open.stream_id),
            to_node::Body::StreamCredit(_) => {}
            other => panic!("expected CloseStream, got {other:?}"),
        }
    }
    assert_eq!(agent.beat_until_confirmed().await.unwrap(), 10_000);
    cluster.stop().await;
}

#[tokio::test]
async fn logs_that_cannot_be_had_say_why() {
    let cluster = Cluster::start(1).await;
    let admin = cluster.channel(1, &Who::Admin);
    create(&admin, pod("waits", "1")).await;
    let refused = async |channel: &Channel, request: LogsRequest| logs(channel, request).await.expect_err("refused");
    let missing = refused(&admin, logs_of("missing")).await;
    assert_eq!(missing.code(), Code::NotFound, "{missing}");
    let waits = refused(&admin, logs_of("waits")).await;
    assert_eq!(waits.code(), Code::FailedPrecondition, "{waits}");
    assert!(waits.message().contains("bound to no node"), "{waits}");
    let nobody = refused(&cluster.channel(1, &Who::Nobody), logs_of("waits")).await;
    assert_eq!(nobody.code(), Code::PermissionDenied, "{nobody}");
    let nobody = refused(&cluster.channel(1, &Who::Nobody), logs_of("missing")).await;
    assert_eq!(nobody.code(), Code::PermissionDenied, "rights come before existence: {nobody}");
    register(&cluster, 1, NODE).await;
    let (mut agent, _) = Agent::open(cluster.channel(1, &Who::Node(NODE)), NODE).await.unwrap();
    agent.beat_until_confirmed().await.unwrap();
    bound_pod(&cluster, 1, "waits").await;
    let container = refused(&admin, LogsRequest { container: "other".into(), ..logs_of("waits") }).await;
    assert_eq!(container.code(), Code::NotFound, "{container}");
    drop(agent);
    let away = eventually(async || match logs(&admin, logs_of("waits")).await {
        Err(status) if status.message().contains("not connected") => Ok(status),
        Err(status) => Err(status),
        Ok(_) => Err(Status::unavailable("the session is still there")),
    })
    .await;
    assert_eq!(away.code(), Code::Unavailable, "{away}");
    cluster.stop().await;
}
