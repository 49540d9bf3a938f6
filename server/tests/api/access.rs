//! Who may do what: each bad credential, each missing right, each method without a caller.

use std::time::Duration;

use boss_base::{
    clock::{Clock, SystemClock},
    jwt::SigningKey,
    pki::CertificateAuthority,
};
use boss_proto::v1::{
    CanIRequest, ClusterStatusRequest, GetRequest, ListRequest, MembersRequest, UpdateRequest, WatchRequest,
    WhoAmIRequest, auth_client::AuthClient, cluster_client::ClusterClient,
};
use serde_json::json;
use tonic::Code;

use crate::{raw::*, support::*};

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn each_bad_credential_is_refused() {
    let cluster = Cluster::start(1).await;
    let now = SystemClock.unix_seconds();
    let claims = json!({
        "iss": "boss", "aud": CLUSTER, "sub": "user:admin", "jti": "x", "iat": now, "nbf": now, "exp": now + 60,
        "name": "admin", "groups": ["system:admins"],
    });
    let with = |name: &str, value: serde_json::Value| {
        let mut claims = claims.clone();
        claims[name] = value;
        cluster.signing_key.sign(&claims).unwrap()
    };
    let request = || GetRequest { key: Some(key("Namespace", "", "default")), ..Default::default() };
    let refused = [
        (None, "UNAUTHENTICATED"),
        (Some("garbage".to_owned()), "UNAUTHENTICATED"),
        (Some(SigningKey::generate().unwrap().sign(&claims).unwrap()), "UNAUTHENTICATED"),
        (Some(with("aud", json!("other-cluster"))), "UNAUTHENTICATED"),
        (Some(with("groups", json!(["system:servers"]))), "UNAUTHENTICATED"),
        (Some(with("exp", json!("2999-01-01"))), "UNAUTHENTICATED"),
        (Some(with("exp", json!(now - 60))), "CREDENTIALS_EXPIRED"),
    ];
    for (token, reason) in refused {
        let status = cluster.registry(0, token.clone()).get(request()).await.unwrap_err();
        assert_eq!((status.code(), info(&status).reason.as_str()), (Code::Unauthenticated, reason), "{token:?}");
    }
    let good = cluster.signing_key.sign(&claims).unwrap();
    assert!(cluster.registry(0, Some(good)).get(request()).await.is_ok());
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_certificate_of_another_authority_does_not_connect() {
    let cluster = Cluster::start(1).await;
    let foreign = CertificateAuthority::generate(CLUSTER).unwrap();
    let channel = cluster.channel(0, Some((&foreign, "user", "admin", &["system:admins"])));
    let status = AuthClient::new(channel).who_am_i(WhoAmIRequest {}).await.unwrap_err();
    assert_ne!(status.code(), Code::Ok);
    assert!(status.metadata().get_bin("boss-error-bin").is_none(), "it must fail below gRPC: {status:?}");

    // Nor on the port for servers, whatever it claims to be; nor a user of ours there.
    let peer = cluster.configs[0].listen.peer;
    let forward = |ca: &CertificateAuthority, role: &str, name: &str| {
        let channel = cluster.dial(peer, Some((ca, role, name, &[])));
        async move {
            let mut client = boss_proto::peer::v1::forward_client::ForwardClient::new(channel);
            client.describe(boss_proto::peer::v1::DescribeRequest {}).await
        }
    };
    assert!(forward(&foreign, "server", "2").await.is_err());
    let status = forward(&cluster.ca, "user", "ann").await.unwrap_err();
    assert_eq!(status.code(), Code::PermissionDenied);
    let status = forward(&cluster.ca, "node", "n1").await.unwrap_err();
    assert_eq!(status.code(), Code::PermissionDenied);
    // A server's certificate is of no use without a place among the members.
    let status = forward(&cluster.ca, "server", "2").await.unwrap_err();
    assert_eq!(status.code(), Code::PermissionDenied);
    assert!(status.message().contains("server 2 is no member"), "{status:?}");
    assert!(forward(&cluster.ca, "server", "1").await.is_ok());
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn each_verb_needs_its_right() {
    let cluster = Cluster::start(1).await;
    let mut admin = cluster.admin(0);
    create(&mut admin, pod("web", "")).await.unwrap();
    let mut nobody = cluster.registry(0, Some(cluster.token("nobody", &["nothing"])));
    let place = key("Pod", "default", "web");
    check_reason(create(&mut nobody, pod("mine", "")).await, "FORBIDDEN");
    check_reason(get(&mut nobody, place.clone()).await, "FORBIDDEN");
    check_reason(update(&mut nobody, pod("web", "a: b")).await, "FORBIDDEN");
    let status = UpdateRequest {
        object: Some(object("kind: Pod\nmetadata: {name: web}\nstatus: {}")),
        request_id: None,
        ..Default::default()
    };
    check_reason(nobody.update_status(status).await, "FORBIDDEN");
    check_reason(delete(&mut nobody, place.clone()).await, "FORBIDDEN");
    check_reason(nobody.list(ListRequest { kind: "Pod".into(), ..Default::default() }).await, "FORBIDDEN");
    let watch = WatchRequest { kind: "Pod".into(), ..Default::default() };
    check_reason(nobody.watch(watch).await.map(|_| ()), "FORBIDDEN");
    // Whether something exists is not for everybody to know either.
    check_reason(get(&mut nobody, key("Pod", "default", "absent")).await, "FORBIDDEN");
    assert!(get(&mut admin, place).await.is_ok());
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_right_counts_in_its_namespace_and_for_its_verbs_only() {
    let cluster = Cluster::start(1).await;
    let mut admin = cluster.admin(0);
    create(&mut admin, object("kind: Namespace\nmetadata: {name: other}")).await.unwrap();
    create(
        &mut admin,
        object("kind: Role\nmetadata: {name: reader}\nrules: [{verbs: [get, list], resources: [pods]}]"),
    )
    .await
    .unwrap();
    let binding = "kind: RoleBinding\nmetadata: {name: readers}\nroleRef: {kind: Role, name: reader}\nsubjects: [{kind: Group, name: devs}]";
    create(&mut admin, object(binding)).await.unwrap();
    create(&mut admin, pod("web", "")).await.unwrap();
    // By certificate this time: the group stands in its organisation.
    let mut dev = cluster.registry_by_certificate(0, "user", "dora", &["devs"]);
    assert!(get(&mut dev, key("Pod", "default", "web")).await.is_ok());
    let list = |namespace: &str| ListRequest { kind: "Pod".into(), namespace: namespace.into(), ..Default::default() };
    assert!(dev.list(list("default")).await.is_ok());
    check_reason(dev.list(list("other")).await, "FORBIDDEN");
    check_reason(dev.list(list("")).await, "FORBIDDEN");
    check_reason(delete(&mut dev, key("Pod", "default", "web")).await, "FORBIDDEN");
    check_reason(create(&mut dev, pod("x", "")).await, "FORBIDDEN");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn callers_can_ask_about_themselves() {
    let cluster = Cluster::start(1).await;
    let bearer = Bearer::new(Some(cluster.token("ann", &["devs"])));
    let mut auth = AuthClient::with_interceptor(cluster.channel(0, None), bearer.clone());
    let me = auth.who_am_i(WhoAmIRequest {}).await.unwrap().into_inner();
    assert_eq!((me.username.as_str(), me.uid.as_str(), me.method.as_str()), ("ann", "user:ann", "token"));
    assert_eq!(me.groups, ["devs", "system:authenticated"]);
    assert!(me.expires_at > SystemClock.unix_seconds());
    let ask = CanIRequest {
        verb: "create".into(),
        resource: "pod".into(),
        namespace: "default".into(),
        ..Default::default()
    };
    let answer = auth.can_i(ask.clone()).await.unwrap().into_inner();
    assert!(!answer.allowed && answer.reason.contains("ann"), "{answer:?}");
    let admin = Bearer::new(Some(cluster.token("admin", &["system:admins"])));
    let mut admin_auth = AuthClient::with_interceptor(cluster.channel(0, None), admin.clone());
    assert!(admin_auth.can_i(ask).await.unwrap().into_inner().allowed);
    check_reason(auth.can_i(CanIRequest::default()).await, "INVALID");

    let mut control = ClusterClient::with_interceptor(cluster.channel(0, None), bearer);
    check_reason(control.status(ClusterStatusRequest {}).await, "FORBIDDEN");
    let members = control.members(MembersRequest {}).await.unwrap().into_inner();
    assert_eq!((members.members.len(), members.leader_id), (1, 1));
    let mut control = ClusterClient::with_interceptor(cluster.channel(0, None), admin);
    let status = control.status(ClusterStatusRequest {}).await.unwrap().into_inner();
    assert_eq!((status.leader_id, status.servers[0].role.as_str()), (1, "leader"));
    assert!(status.servers[0].objects > 0 && !status.servers[0].state_hash.is_empty());
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn no_method_but_health_answers_a_caller_that_is_nobody() {
    let cluster = Cluster::start(1).await;
    let channel = cluster.channel(0, None);
    // Who joins or logs in brings a secret instead of an identity.
    let by_secret = ["/boss.v1.ServerJoin/Join", "/boss.v1.NodeJoin/Join", "/boss.v1.Login/Exchange"];
    for method in by_secret {
        call(channel.clone(), method).await.expect_err("it brings no secret");
    }
    for method in declared_methods().into_iter().filter(|method| !by_secret.contains(&&**method)) {
        let status = call(channel.clone(), &method).await.expect_err("nobody may not call it");
        assert_eq!(status.code(), Code::Unauthenticated, "{method}: {status:?}");
    }
    let admin = cluster.token("admin", &["system:admins"]);
    for method in declared_methods()
        .into_iter()
        .filter(|method| method.starts_with("/boss.peer.") || method.starts_with("/boss.raft."))
    {
        let status = call_as(channel.clone(), &method, &admin).await.expect_err("it is for servers");
        assert_eq!(status.code(), Code::Unimplemented, "{method}: {status:?}");
    }
    assert!(call(channel.clone(), "/grpc.health.v1.Health/Check").await.is_ok());
    for method in ["/grpc.reflection.v1.ServerReflection/ServerReflectionInfo", "/boss.v1.Registry/Nothing", "/x"] {
        assert_eq!(call(channel.clone(), method).await.unwrap_err().code(), Code::Unauthenticated, "{method}");
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_watch_ends_with_its_token() {
    let cluster = Cluster::start(1).await;
    let token = cluster.token_for("admin", &["system:admins"], Duration::from_secs(2));
    let mut registry = cluster.registry(0, Some(token));
    let request = WatchRequest { kind: "Namespace".into(), ..Default::default() };
    let mut events = registry.watch(request).await.unwrap().into_inner();
    let ended = async {
        loop {
            if let Err(status) = events.message().await {
                break status;
            }
        }
    };
    let status = tokio::time::timeout(PATIENCE, ended).await.unwrap();
    assert_eq!((status.code(), info(&status).reason.as_str()), (Code::Unauthenticated, "CREDENTIALS_EXPIRED"));
}
