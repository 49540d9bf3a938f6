//! Callers that cannot prove who they are, each with its own answer, and none of them changes anything.

use boss_base::pki::{CertificateAuthority, IssuedCert, Subject};
use boss_chaos_tests::{
    api::{Api, Credential, error_info},
    cluster::{Cluster, Spec, refusal},
    manifests::record,
    tokens,
};
use boss_proto::v1;
use serde_json::{Value, json};
use tonic::Code;

#[tokio::test(flavor = "multi_thread")]
async fn bad_tokens_are_refused_each_for_its_own_reason() {
    let cluster = Cluster::start(Spec { servers: 1, nodes: 0, ..Spec::default() }).await;
    let other = Cluster::prepare(Spec { servers: 1, nodes: 0, ..Spec::default() });
    let good = tokens::claims(&cluster, "admin", &["system:admins"]);
    let with = |name: &str, value: Value| {
        let mut claims = good.clone();
        claims[name] = value;
        claims
    };
    let without = |name: &str| {
        let mut claims = good.clone();
        claims.as_object_mut().expect("claims are an object").remove(name);
        claims
    };
    let sign = |claims: &Value| tokens::sign(&cluster, claims);
    let long_ago = 1_000_000_000;
    let cases = [
        ("expired", sign(&with("exp", json!(long_ago))), "expired"),
        ("not valid yet", sign(&with("nbf", json!(99_999_999_999_u64))), "not valid yet"),
        ("signed by another cluster's key", tokens::sign(&other, &good), "unknown key"),
        ("unsigned", tokens::unsigned(&good), "malformed"),
        (
            "with other claims than were signed",
            tokens::tampered(&sign(&good), &with("name", json!("eve"))),
            "signature",
        ),
        ("for another audience", sign(&with("aud", json!("someone-else"))), "another audience"),
        ("of another issuer", sign(&with("iss", json!("someone-else"))), "another issuer"),
        ("that never ends", sign(&without("exp")), "exp"),
        ("whose end is a text", sign(&with("exp", json!("9999999999"))), "exp"),
        ("without an id", sign(&without("jti")), "jti"),
        ("of a node's group", sign(&with("groups", json!(["system:nodes"]))), "system:nodes"),
        ("of the servers' group", sign(&with("groups", json!(["system:servers"]))), "system:servers"),
        ("whose subject is someone else", sign(&with("sub", json!("node:node-1"))), "sub"),
        ("that is no token", "abc".to_owned(), "malformed"),
        ("longer than any token", "x".repeat(9 * 1024), "longer"),
    ];
    for (what, token, words) in cases {
        let api = cluster.api(1, Credential::Token(token));
        for outcome in [api.create(record("intruder", "x")).await.map(drop), api.list::<v1::Pod>("").await.map(drop)] {
            let status = refusal(outcome, what);
            assert_eq!(status.code(), Code::Unauthenticated, "a token {what}: {status:?}");
            assert!(status.message().contains(words), "a token {what}: {:?} does not say {words:?}", status.message());
            assert!(!error_info(&status).reason.is_empty());
        }
    }
    check_untouched(&cluster).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn nobody_is_not_anybody() {
    let cluster = Cluster::start(Spec { servers: 1, nodes: 0, ..Spec::default() }).await;
    let nobody = cluster.api(1, Credential::Anonymous);
    let outcomes = [
        nobody.create(record("intruder", "x")).await.map(drop),
        nobody.list::<v1::Pod>("").await.map(drop),
        nobody.status().await.map(drop),
        nobody.members().await.map(drop),
        nobody.who_am_i().await.map(drop),
        nobody.can_i("get", "pods", "default").await.map(drop),
        nobody.log_lines("default", "any").await.map(drop),
    ];
    for outcome in outcomes {
        assert_eq!(refusal(outcome, "a call without credentials").code(), Code::Unauthenticated);
    }
    check_untouched(&cluster).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_certificate_of_another_authority_gets_no_connection() {
    let cluster = Cluster::start(Spec { servers: 1, nodes: 0, ..Spec::default() }).await;
    let id = cluster.layout().plan().cluster_id.to_string();
    let foreign = CertificateAuthority::generate(&id).expect("an authority can be made");
    let certificate = foreign.issue(&admin_subject(&id)).expect("a certificate can be made");
    let api = cluster.api(1, Credential::Certificate(certificate));
    let status = refusal(api.create(record("intruder", "x")).await, "a foreign certificate");
    // In TLS 1.3 the client learns of the refusal only after its own handshake: the connection breaks under the call.
    assert!(matches!(status.code(), Code::Unavailable | Code::Unknown | Code::Cancelled), "{status:?}");
    check_untouched(&cluster).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_client_does_not_speak_to_a_server_of_another_authority() {
    let cluster = Cluster::start(Spec { servers: 1, nodes: 0, ..Spec::default() }).await;
    let foreign = CertificateAuthority::generate("other").expect("an authority can be made");
    let address = &cluster.addresses(1).api;
    let api = Api::new(address, foreign.cert_pem(), Credential::Token(cluster.token("admin", &[]))).expect("it can");
    let status = refusal(api.who_am_i().await, "a server of another authority");
    assert_eq!(status.code(), Code::Unavailable, "{status:?}");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_certificate_gives_the_role_that_it_names_and_no_other() {
    let cluster = Cluster::start(Spec { nodes: 0, ..Spec::default() }).await;
    let id = cluster.layout().plan().cluster_id.to_string();
    let authority = cluster.layout().authority().expect("the folder has its authority");
    let issue = |subject: Subject| authority.issue(&subject).expect("a certificate can be made");
    let nameless = issue(Subject { uris: vec![], ..admin_subject(&id) });
    let elsewhere = issue(admin_subject("another-cluster"));
    let reserved = issue(Subject { organizations: vec!["system:servers".to_owned()], ..admin_subject(&id) });
    for (what, certificate) in [("no role", nameless), ("another cluster", elsewhere), ("a reserved group", reserved)] {
        let status = refusal(as_certificate(&cluster, certificate).list::<v1::Pod>("").await, what);
        assert_eq!(status.code(), Code::Unauthenticated, "a certificate with {what}: {status:?}");
    }
    let admin = issue(admin_subject(&id));
    as_certificate(&cluster, admin.clone()).list::<v1::Pod>("").await.expect("an administrator's certificate is good");

    // The peer listener takes servers only.
    let peer = Api::new(&cluster.addresses(1).peer, &cluster.ca_pem(), Credential::Certificate(admin)).expect("it can");
    let status = refusal(peer.who_am_i().await, "a user at the peer listener");
    assert_ne!(status.code(), Code::Ok);
    check_untouched(&cluster).await;
}

fn as_certificate(cluster: &Cluster, certificate: IssuedCert) -> Api {
    cluster.api(1, Credential::Certificate(certificate))
}

fn admin_subject(cluster_id: &str) -> Subject {
    Subject {
        common_name: "admin".to_owned(),
        organizations: vec!["system:admins".to_owned()],
        uris: vec![format!("boss://{cluster_id}/user/admin")],
        client_auth: true,
        lifetime: std::time::Duration::from_secs(3_600),
        ..Subject::default()
    }
}

async fn check_untouched(cluster: &Cluster) {
    let (stored, _) = cluster.admin().list::<v1::ServiceAccount>("").await.expect("the administrator may");
    let names: Vec<_> = stored.iter().filter_map(|object| object.metadata.as_ref()).map(|meta| &meta.name).collect();
    assert!(!names.iter().any(|name| *name == "intruder"), "something was changed: {names:?}");
}
