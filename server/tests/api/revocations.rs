//! Credentials that are ended before their time: on every server, at once, streams included.

use boss_proto::v1::{
    ListRequest, OwnCredential, RevokeRequest, RevokeResponse, WatchRequest, WatchResponse, WriteStreamRequest,
    revoke_request::Target, tokens_client::TokensClient,
};
use tonic::{Code, Status, Streaming};

use crate::support::*;

const ACCOUNT: &str = "kind: ServiceAccount\nmetadata: {name: a}";

/// The id that the tests' tokens have: the name and the second of their issue.
fn id_of(token: &str) -> String {
    use base64_of_json::claims;
    claims(token)["jti"].as_str().unwrap().to_owned()
}

/// Reads the middle part of a token: tests have no other use for base64.
mod base64_of_json {
    pub(super) fn claims(token: &str) -> serde_json::Value {
        let text = token.split('.').nth(1).unwrap();
        let digit = |byte: u8| match byte {
            b'A'..=b'Z' => byte - b'A',
            b'a'..=b'z' => byte - b'a' + 26,
            b'0'..=b'9' => byte - b'0' + 52,
            b'-' => 62,
            _ => 63,
        };
        let mut bytes = Vec::new();
        for chunk in text.as_bytes().chunks(4) {
            let bits =
                chunk.iter().fold(0_u32, |bits, byte| bits << 6 | u32::from(digit(*byte))) << (6 * (4 - chunk.len()));
            bytes.extend_from_slice(&bits.to_be_bytes()[1..chunk.len()]);
        }
        serde_json::from_slice(&bytes).unwrap()
    }
}

async fn revoke(cluster: &Cluster, index: usize, by: String, target: Target) -> Result<RevokeResponse, Status> {
    let mut tokens = TokensClient::with_interceptor(cluster.channel(index, None), Bearer::new(Some(by)));
    let request = RevokeRequest { target: Some(target), ..Default::default() };
    tokens.revoke(request).await.map(tonic::Response::into_inner)
}

fn accounts() -> WatchRequest {
    WatchRequest { kind: "ServiceAccount".into(), namespace: "default".into(), ..Default::default() }
}

async fn list(registry: &mut Registry) -> Result<usize, Status> {
    let request = ListRequest { kind: "ServiceAccount".into(), namespace: "default".into(), ..Default::default() };
    registry.list(request).await.map(|page| page.into_inner().items.len())
}

async fn end_of(mut events: Streaming<WatchResponse>) -> Status {
    let waiting = async {
        loop {
            match events.message().await {
                Ok(Some(_)) => {}
                Ok(None) => panic!("the stream ended without a reason"),
                Err(status) => return status,
            }
        }
    };
    tokio::time::timeout(PATIENCE, waiting).await.expect("the stream is cut")
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_revoked_token_is_refused_by_every_server_from_the_next_request_on() {
    let cluster = Cluster::start(3).await;
    let (admin, ann) = (cluster.token("admin", &["system:admins"]), cluster.token("ann", &["system:admins"]));
    let mut callers: Vec<_> = (0..3).map(|index| cluster.registry(index, Some(ann.clone()))).collect();
    for caller in &mut callers {
        list(caller).await.unwrap();
    }
    let answer = revoke(&cluster, 1, admin.clone(), Target::TokenId(id_of(&ann))).await.unwrap();
    let spec = answer.revocation.unwrap().spec.unwrap();
    assert_eq!((spec.token_id, spec.revoked_by.as_str()), (id_of(&ann), "admin"));
    for caller in &mut callers {
        let refused = list(caller).await;
        assert_eq!(refused.as_ref().unwrap_err().code(), Code::Unauthenticated);
        check_reason(refused, "CREDENTIALS_REVOKED");
        check_reason(create(caller, object(ACCOUNT)).await, "CREDENTIALS_REVOKED");
    }
    // Revoked once more is still revoked, and the one who did it still works.
    revoke(&cluster, 2, admin.clone(), Target::TokenId(id_of(&ann))).await.unwrap();
    assert_eq!(list(&mut cluster.registry(2, Some(admin))).await.unwrap(), 0);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn open_watches_and_streams_of_a_revoked_token_are_cut_on_every_server() {
    let cluster = Cluster::start(3).await;
    let (admin, ann) = (cluster.token("admin", &["system:admins"]), cluster.token("ann", &["system:admins"]));
    let mut streams = Vec::new();
    for index in 0..3 {
        let mut caller = cluster.registry(index, Some(ann.clone()));
        streams.push(caller.watch(accounts()).await.unwrap().into_inner());
    }
    let mut writer = cluster.registry(1, Some(ann.clone()));
    let (_input, messages) = tokio::sync::mpsc::channel::<WriteStreamRequest>(1);
    let messages = tokio_stream::wrappers::ReceiverStream::new(messages);
    let mut answers = writer.write_stream(messages).await.unwrap().into_inner();
    revoke(&cluster, 0, admin, Target::TokenId(id_of(&ann))).await.unwrap();
    for stream in streams {
        check_reason::<()>(Err(end_of(stream).await), "CREDENTIALS_REVOKED");
    }
    let end = tokio::time::timeout(PATIENCE, answers.message()).await.expect("the stream of writes is cut");
    check_reason(end, "CREDENTIALS_REVOKED");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn everybody_may_log_out_and_nobody_without_the_right_ends_others() {
    let cluster = Cluster::start(1).await;
    let (bob, eve) = (cluster.token("bob", &[]), cluster.token("eve", &[]));
    let refused = revoke(&cluster, 0, eve.clone(), Target::TokenId(id_of(&bob))).await;
    assert_eq!(refused.unwrap_err().code(), Code::PermissionDenied);
    let refused = revoke(&cluster, 0, eve.clone(), Target::User("bob".into())).await;
    assert_eq!(refused.unwrap_err().code(), Code::PermissionDenied);
    revoke(&cluster, 0, eve.clone(), Target::Own(OwnCredential {})).await.unwrap();
    check_reason(revoke(&cluster, 0, eve, Target::Own(OwnCredential {})).await, "CREDENTIALS_REVOKED");
    let known = list(&mut cluster.registry(0, Some(bob))).await;
    assert_eq!(known.unwrap_err().code(), Code::PermissionDenied, "bob is still somebody");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn all_of_a_subject_ends_and_what_is_issued_later_counts() {
    let cluster = Cluster::start(1).await;
    let (admin, ann) = (cluster.token("admin", &["system:admins"]), cluster.token("ann", &["system:admins"]));
    let mut by_certificate = cluster.registry_by_certificate(0, "user", "ann", &["system:admins"]);
    let (mut by_token, mut other) = (cluster.registry(0, Some(ann)), cluster.admin(0));
    list(&mut by_token).await.unwrap();
    list(&mut by_certificate).await.unwrap();
    revoke(&cluster, 0, admin, Target::User("ann".into())).await.unwrap();
    check_reason(list(&mut by_token).await, "CREDENTIALS_REVOKED");
    check_reason(list(&mut by_certificate).await, "CREDENTIALS_REVOKED");
    list(&mut other).await.unwrap();
    eventually("a token of the next second", || async {
        list(&mut cluster.registry(0, Some(cluster.token("ann", &["system:admins"])))).await.is_ok()
    })
    .await;
    check_reason(list(&mut by_token).await, "CREDENTIALS_REVOKED");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_revoked_certificate_is_refused_while_its_connection_lives() {
    let cluster = Cluster::start(1).await;
    let admin = cluster.token("admin", &["system:admins"]);
    let channel = cluster.channel(0, Some((&cluster.ca, "user", "ann", &["system:admins"])));
    let mut tokens = TokensClient::new(channel.clone());
    let mut caller = boss_proto::v1::registry_client::RegistryClient::new(channel);
    let request = || ListRequest { kind: "Namespace".into(), ..Default::default() };
    caller.list(request()).await.unwrap();
    // Its own serial, as its logout would name it.
    let own = RevokeRequest { target: Some(Target::Own(OwnCredential {})), ..Default::default() };
    let serial = tokens.revoke(own).await.unwrap().into_inner().revocation.unwrap().spec.unwrap().certificate_serial;
    assert!(!serial.is_empty());
    check_reason(caller.list(request()).await, "CREDENTIALS_REVOKED");
    // Another certificate of the same user is another credential.
    list(&mut cluster.registry_by_certificate(0, "user", "ann", &["system:admins"])).await.unwrap();
    let pretty = serial.to_uppercase();
    let again = revoke(&cluster, 0, admin, Target::CertificateSerial(pretty)).await.unwrap();
    assert_eq!(again.revocation.unwrap().spec.unwrap().certificate_serial, serial);
}
