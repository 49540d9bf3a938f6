//! The audit of a running server: what is refused names its caller, on streams too; who may reads it over the API; and a
//! full file system blocks or drops, as configured.

use std::{fs, io::Write, path::Path, process::Command};

use boss_proto::v1::{
    AuditFilter, CreateRequest, ReadAuditRequest, ReadAuditResponse, StreamedWrite, WriteStreamRequest,
    audit_client::AuditClient, revoke_request, streamed_write::Operation, tokens_client::TokensClient,
};
use boss_server::audit::{Level, WhenFull};
use serde_json::Value;
use tonic::{Code, Request, Status, Streaming};

use crate::{raw::raw, support::*};

async fn open(
    cluster: &Cluster,
    index: usize,
    user: (&str, &[&str]),
    request: ReadAuditRequest,
) -> Result<Streaming<ReadAuditResponse>, Status> {
    let token = cluster.token(user.0, user.1);
    let mut client = AuditClient::with_interceptor(cluster.channel(index, None), Bearer::new(Some(token)));
    Ok(client.read(request).await?.into_inner())
}

const ADMIN: (&str, &[&str]) = ("admin", &["system:admins"]);

/// What a server has kept that fits.
async fn records(cluster: &Cluster, index: usize, filter: AuditFilter) -> Vec<Value> {
    let request = ReadAuditRequest { filter: Some(filter), ..Default::default() };
    let mut answers = open(cluster, index, ADMIN, request).await.unwrap();
    let mut found = Vec::new();
    while let Some(answer) = answers.message().await.unwrap() {
        assert_eq!(answer.server_id, index as u64 + 1);
        found.extend(answer.lines.iter().map(|line| serde_json::from_str::<Value>(line).unwrap()));
    }
    found
}

async fn record_when_there(cluster: &Cluster, filter: AuditFilter) -> Value {
    let found = std::cell::RefCell::new(None);
    eventually("the record", || async {
        *found.borrow_mut() = records(cluster, 0, filter.clone()).await.pop();
        found.borrow().is_some()
    })
    .await;
    found.into_inner().unwrap()
}

fn refused_of(user: &str) -> AuditFilter {
    AuditFilter { user: user.into(), refused: true, ..Default::default() }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn what_is_refused_at_the_gate_names_who_was_known() {
    let cluster = Cluster::start(1).await;
    let call = async |method: &str, token: &str| {
        let mut request = Request::new(bytes::Bytes::new());
        request.metadata_mut().insert("authorization", format!("Bearer {token}").parse().unwrap());
        raw(cluster.channel(0, None), method, request).await.unwrap_err()
    };
    // Known, but no agent of a node.
    let told = call("/boss.v1.NodeSessions/Session", &cluster.token("mallory", &[])).await;
    assert_eq!(told.code(), Code::PermissionDenied);
    let record = record_when_there(&cluster, refused_of("mallory")).await;
    assert_eq!(
        (&record["method"], &record["code"]),
        (&"/boss.v1.NodeSessions/Session".into(), &"PERMISSION_DENIED".into())
    );
    assert_eq!(record["uid"], "user:mallory");

    // Known, but his token was taken back.
    let token = cluster.token("ivan", &[]);
    assert_eq!(call("/boss.v1.Registry/Get", &token).await.code(), Code::InvalidArgument);
    let mut tokens =
        TokensClient::with_interceptor(cluster.channel(0, None), Bearer::new(Some(cluster.token("admin", ADMIN.1))));
    let target = Some(revoke_request::Target::User("ivan".to_owned()));
    tokens.revoke(boss_proto::v1::RevokeRequest { target, ..Default::default() }).await.unwrap();
    assert_eq!(call("/boss.v1.Registry/Get", &token).await.code(), Code::Unauthenticated);
    let filter = AuditFilter { verb: "Registry/Get".into(), ..refused_of("ivan") };
    eventually("the record of the withdrawn token", || async {
        records(&cluster, 0, filter.clone()).await.iter().any(|record| record["code"] == "UNAUTHENTICATED")
    })
    .await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn what_is_refused_within_a_stream_is_kept_like_a_call_of_its_own() {
    let cluster = Cluster::start(3).await;
    // On every server, so that one of them passes the stream on.
    for index in 0..3 {
        let user = format!("eve-{index}");
        let mut registry = cluster.registry(index, Some(cluster.token(&user, &[])));
        let write = |sequence: u64| StreamedWrite {
            sequence,
            operation: Some(Operation::Create(CreateRequest {
                object: Some(object(&format!("kind: ConfigMap\nmetadata: {{name: c{sequence}}}"))),
                ..Default::default()
            })),
            ..Default::default()
        };
        let message = WriteStreamRequest { writes: vec![write(1), write(2)] };
        let mut answers = registry.write_stream(tokio_stream::iter([message])).await.unwrap().into_inner();
        while answers.message().await.unwrap().is_some() {}
        let filter = refused_of(&user);
        eventually("both records", || async { records(&cluster, index, filter.clone()).await.len() == 2 }).await;
        let record = &records(&cluster, index, filter).await[1];
        for (field, value) in [
            ("method", "/boss.v1.Registry/WriteStream/Create"),
            ("object", "ConfigMap/default/c2"),
            ("code", "PERMISSION_DENIED"),
            ("uid", format!("user:{user}").as_str()),
        ] {
            assert_eq!(record[field], value, "{record}");
        }
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn who_may_read_the_audit_follows_it_until_he_may_not() {
    let cluster = Cluster::start(1).await;
    let follow = ReadAuditRequest { last: 5, follow: true, ..Default::default() };
    let tenant = ("tom", ["nobody"].as_slice());
    let refused = async |request| match open(&cluster, 0, tenant, request).await {
        Err(status) => status,
        Ok(mut answers) => answers.message().await.unwrap_err(),
    };
    assert_eq!(refused(follow.clone()).await.code(), Code::PermissionDenied);

    let mut admin = cluster.admin(0);
    let role = "kind: ClusterRole\nmetadata: {name: auditor}\nrules: [{verbs: [get], nonResourcePaths: [/audit]}]";
    create(&mut admin, object(role)).await.unwrap();
    let binding = "kind: ClusterRoleBinding\nmetadata: {name: auditor}\nroleRef: {kind: ClusterRole, name: auditor}\n\
                   subjects: [{kind: User, name: tom}]";
    create(&mut admin, object(binding)).await.unwrap();
    let mut answers = open(&cluster, 0, tenant, follow).await.unwrap();
    create(&mut admin, object("kind: ConfigMap\nmetadata: {name: seen}")).await.unwrap();
    let seen = async {
        loop {
            let answer = answers.message().await.unwrap().expect("it goes on");
            if answer.lines.iter().any(|line| line.contains("configmaps/default/seen")) {
                break;
            }
        }
    };
    tokio::time::timeout(PATIENCE, seen).await.expect("what comes is told");
    delete(&mut admin, key("ClusterRoleBinding", "", "auditor")).await.unwrap();
    let ended = async {
        loop {
            if let Err(status) = answers.message().await {
                break status;
            }
        }
    };
    let ended = tokio::time::timeout(PATIENCE, ended).await.expect("the stream ends with the right");
    assert_eq!(ended.code(), Code::PermissionDenied, "{ended:?}");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn content_is_redacted_where_it_was_asked_for_and_secrets_are_never_in_clear_text() {
    const CANARY: &str = "canary-a01d-of-a-secret";
    const REDACTED: &str = "canary-a01d-of-a-config-map";
    const PLAIN: &str = "canary-a01d-of-an-annotation";
    let mut cluster = Cluster::prepare(1);
    cluster.configs[0].audit.level = Level::Request;
    cluster.configs[0].audit.redact = vec![boss_proto::kind::Kind::ConfigMap];
    let running = cluster.run(0).await.unwrap();
    cluster.running.push(running);
    let mut admin = cluster.admin(0);
    let secret = object(&format!("kind: Secret\nmetadata: {{name: s}}\nstringData: {{a: {CANARY}}}"));
    eventually("a sealing key", || {
        let (mut admin, secret) = (admin.clone(), secret.clone());
        async move { create(&mut admin, secret).await.is_ok() }
    })
    .await;
    create(&mut admin, object(&format!("kind: ConfigMap\nmetadata: {{name: m}}\ndata: {{a: {REDACTED}}}")))
        .await
        .unwrap();
    let plain = format!("kind: ServiceAccount\nmetadata: {{name: a, annotations: {{note: {PLAIN}}}}}");
    create(&mut admin, object(&plain)).await.unwrap();
    let all = || async { format!("{:?}", records(&cluster, 0, AuditFilter::default()).await) };
    eventually("the last record", || async { all().await.contains(PLAIN) }).await;
    let all = all().await;
    assert!(all.contains("secrets/default/s") && all.contains("configmaps/default/m"), "{all}");
    assert!(!all.contains(CANARY) && !all.contains(REDACTED), "{all}");
}

/// A small file system in memory under the folder of an audit; `None` without the right to mount one.
struct SmallDisk<'p>(&'p Path);

impl<'p> SmallDisk<'p> {
    fn under(folder: &'p Path) -> Option<Self> {
        fs::create_dir_all(folder).unwrap();
        let mounted = Command::new("mount").args(["-t", "tmpfs", "-o", "size=256k", "tmpfs"]).arg(folder).output();
        if mounted.is_ok_and(|output| output.status.success()) {
            return Some(Self(folder));
        }
        drop(writeln!(std::io::stderr(), "skipped: mounting a small disk needs root"));
        None
    }

    fn fill(&self) {
        let mut filler = fs::File::create(self.0.join("filler")).unwrap();
        while filler.write_all(&[0x5a; 512]).is_ok() {}
    }

    fn make_room(&self) {
        fs::remove_file(self.0.join("filler")).unwrap();
    }
}

impl Drop for SmallDisk<'_> {
    fn drop(&mut self) {
        // Lazily: a server may still have files open.
        let _ = Command::new("umount").arg("-l").arg(self.0).status();
    }
}

async fn on_a_full_file_system(when_full: WhenFull) {
    let mut cluster = Cluster::prepare(1);
    cluster.configs[0].audit.when_full = when_full;
    let folder = cluster.configs[0].audit.directory.clone();
    let Some(disk) = SmallDisk::under(&folder) else { return };
    let running = cluster.run(0).await.unwrap();
    cluster.running.push(running);
    let mut admin = cluster.admin(0);
    let map = |name: String| object(&format!("kind: ConfigMap\nmetadata: {{name: {name}}}"));
    eventually("the built-in objects", || {
        let mut admin = admin.clone();
        async move { create(&mut admin, map("first".to_owned())).await.is_ok() }
    })
    .await;
    disk.fill();
    let mut refused = None;
    // What waits in memory fills up what is left of the last block first.
    for number in 0..2_000 {
        if let Err(status) = create(&mut admin, map(format!("full-{number}"))).await {
            refused = Some(status);
            break;
        }
        let dropped = audit_of(&cluster).await.dropped;
        if when_full == WhenFull::Drop && dropped > 0 {
            break;
        }
    }
    match when_full {
        WhenFull::Drop => {
            assert!(refused.is_none(), "{refused:?}");
            let state = audit_of(&cluster).await;
            assert!(state.dropped > 0 && !state.problem.is_empty(), "{state:?}");
        }
        WhenFull::Block => {
            let refused = refused.expect("what cannot be kept is not done");
            assert_eq!(refused.code(), Code::ResourceExhausted, "{refused:?}");
            assert!(refused.message().contains("the audit cannot be written"), "{refused:?}");
        }
    }
    disk.make_room();
    eventually("writes go on", || {
        let mut admin = admin.clone();
        async move {
            create(&mut admin, map("after".to_owned())).await.is_ok()
                || get(&mut admin, key("ConfigMap", "default", "after")).await.is_ok()
        }
    })
    .await;
    let types = |records: Vec<Value>| records.iter().filter(|record| record["type"] == "dropped").count();
    eventually("the record of the last write", || async {
        let filter = AuditFilter { object: "configmaps/default/after".into(), ..Default::default() };
        !records(&cluster, 0, filter).await.is_empty()
    })
    .await;
    let dropped = types(records(&cluster, 0, AuditFilter::default()).await);
    assert_eq!(dropped > 0, when_full == WhenFull::Drop, "what was lost is told, and nothing was when it blocks");
    let verified = boss_base::journal::verify(&folder, &[]).unwrap();
    assert_eq!(verified.problems, Vec::new(), "half a record would break the chain");
    if when_full == WhenFull::Block {
        let kept =
            records(&cluster, 0, AuditFilter { object: "configmaps/default/".into(), ..Default::default() }).await;
        let list = boss_proto::v1::ListRequest { kind: "ConfigMap".into(), ..Default::default() };
        let stored = admin.list(list).await.unwrap().into_inner().items.len();
        assert_eq!(kept.iter().filter(|record| record["result"] == "done").count(), stored, "every write is kept");
    }
}

async fn audit_of(cluster: &Cluster) -> boss_proto::v1::AuditState {
    let identity = Some((&cluster.ca, "user", "root", ["system:admins"].as_slice()));
    let mut client = boss_proto::v1::cluster_client::ClusterClient::new(cluster.channel(0, identity));
    // A server that blocks tells nobody; what it refuses says why.
    let answer = client.status(boss_proto::v1::ClusterStatusRequest::default()).await;
    answer.ok().and_then(|answer| answer.into_inner().servers.remove(0).audit).unwrap_or_default()
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_full_file_system_refuses_calls_when_the_audit_blocks_and_no_write_is_lost() {
    on_a_full_file_system(WhenFull::Block).await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_full_file_system_loses_and_counts_records_when_the_audit_drops() {
    on_a_full_file_system(WhenFull::Drop).await;
}
