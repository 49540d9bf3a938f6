//! Logging in with an ID token of the cluster's provider of identities: who gets a token, for whom, and until when.

use std::time::Duration;

use boss_base::{
    clock::{Clock, SystemClock},
    jwt::testing::{ProviderKey, key_set, unsigned},
};
use boss_proto::v1::{
    CreateTokenResponse, ExchangeTokenRequest, OwnCredential, RevokeRequest, WhoAmIRequest, WhoAmIResponse,
    auth_client::AuthClient, login_client::LoginClient, revoke_request::Target, tokens_client::TokensClient,
};
use boss_server::auth::oidc::Settings;
use serde_json::{Value, json};
use tonic::{Code, Status};

use crate::support::*;

const ISSUER: &str = "https://id.example";
const LIFETIME_MAX: Duration = Duration::from_secs(3_600);

async fn start(servers: u64, key: &ProviderKey) -> Cluster {
    let mut cluster = Cluster::prepare(servers);
    for config in &mut cluster.configs {
        let keys = config.data_dir.with_file_name("provider.json");
        std::fs::write(&keys, key_set([key]).to_string()).unwrap();
        config.oidc = Some(Settings {
            issuer: ISSUER.into(),
            client_id: "boss".into(),
            keys,
            user_claim: "sub".into(),
            groups_claim: Some("groups".into()),
            prefix: "oidc:".into(),
            lifetime_max: LIFETIME_MAX,
        });
    }
    cluster.bring_up().await
}

fn claims(sub: &str) -> Value {
    let now = SystemClock.unix_seconds();
    json!({
        "iss": ISSUER, "aud": "boss", "sub": sub, "iat": now, "exp": now + 300, "nonce": "n-1",
        "groups": ["builders", "system:admins", "boss:admins"],
    })
}

fn with(name: &str, value: Value) -> Value {
    let mut claims = claims("anna");
    claims[name] = value;
    claims
}

fn request(id_token: String) -> ExchangeTokenRequest {
    ExchangeTokenRequest { id_token, nonce: "n-1".into(), lifetime_seconds: 0 }
}

async fn exchange(cluster: &Cluster, index: usize, asked: ExchangeTokenRequest) -> Result<CreateTokenResponse, Status> {
    LoginClient::new(cluster.channel(index, None)).exchange(asked).await.map(tonic::Response::into_inner)
}

/// Waits for the first signing key, which is published some seconds before it signs.
async fn logged_in(cluster: &Cluster, id_token: &str) -> CreateTokenResponse {
    let answer = std::cell::RefCell::new(CreateTokenResponse::default());
    eventually("a key that signs", || async {
        match exchange(cluster, 0, request(id_token.to_owned())).await {
            Ok(given) => {
                *answer.borrow_mut() = given;
                true
            }
            Err(status) => {
                assert_eq!(status.code(), Code::Unavailable, "{status:?}");
                false
            }
        }
    })
    .await;
    answer.into_inner()
}

async fn who_am_i(cluster: &Cluster, index: usize, token: &str) -> Result<WhoAmIResponse, Status> {
    let bearer = Bearer::new(Some(token.to_owned()));
    let mut auth = AuthClient::with_interceptor(cluster.channel(index, None), bearer);
    auth.who_am_i(WhoAmIRequest {}).await.map(tonic::Response::into_inner)
}

async fn revoke(cluster: &Cluster, by: &str, target: Target) {
    let bearer = Bearer::new(Some(by.to_owned()));
    let mut tokens = TokensClient::with_interceptor(cluster.channel(0, None), bearer);
    tokens.revoke(RevokeRequest { target: Some(target), ..Default::default() }).await.unwrap();
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn whom_the_provider_knows_has_his_bindings_rights_on_every_server_until_he_logs_out() {
    let key = ProviderKey::generate("k1");
    let cluster = start(3, &key).await;
    let id_token = key.sign(&claims("anna"));
    let given = logged_in(&cluster, &id_token).await;
    for index in 0..3 {
        eventually("the key at every server", || async { who_am_i(&cluster, index, &given.token).await.is_ok() }).await;
    }
    let me = who_am_i(&cluster, 0, &given.token).await.unwrap();
    assert_eq!((&*me.username, &*me.uid, &*me.method), ("oidc:anna", "user:oidc:anna", "token"));
    let groups = ["oidc:builders", "oidc:system:admins", "oidc:boss:admins", "system:authenticated"];
    assert_eq!(me.groups, groups, "a group that calls itself ours is nobody's");
    let thing = || object("kind: ConfigMap\nmetadata: {name: thing}");
    let mut anna = cluster.registry(0, Some(given.token.clone()));
    assert_eq!(create(&mut anna, thing()).await.unwrap_err().code(), Code::PermissionDenied);
    let binding = "kind: RoleBinding\nmetadata: {name: builders}\nroleRef: {kind: ClusterRole, name: edit}\n\
                   subjects: [{kind: Group, name: \"oidc:builders\"}]";
    create(&mut cluster.admin(0), object(binding)).await.unwrap();
    create(&mut anna, thing()).await.unwrap();

    revoke(&cluster, &given.token, Target::Own(OwnCredential {})).await;
    for index in 0..3 {
        eventually("the end on every server", || async { who_am_i(&cluster, index, &given.token).await.is_err() })
            .await;
        check_reason(who_am_i(&cluster, index, &given.token).await, "CREDENTIALS_REVOKED");
    }
    // Who else holds the ID token gets nothing for it either.
    check_reason(exchange(&cluster, 1, request(id_token)).await, "CREDENTIALS_REVOKED");
    let again = logged_in(&cluster, &key.sign(&with("auth_time", json!(1)))).await;
    assert_eq!(who_am_i(&cluster, 0, &again.token).await.unwrap().username, "oidc:anna");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn an_id_token_that_is_not_for_this_login_gets_nothing() {
    let (key, other) = (ProviderKey::generate("k1"), ProviderKey::generate("k1"));
    let cluster = start(1, &key).await;
    let now = SystemClock.unix_seconds();
    let mut nameless = claims("anna");
    nameless.as_object_mut().unwrap().remove("sub");
    let cluster_token = cluster.token("admin", &["system:admins"]);
    for (what, id_token) in [
        ("of another issuer", key.sign(&with("iss", json!("https://other.example")))),
        ("for another audience", key.sign(&with("aud", json!("other")))),
        ("asked for by another client", key.sign(&with("azp", json!("other")))),
        ("of another login", key.sign(&with("nonce", json!("n-2")))),
        ("expired", key.sign(&with("exp", json!(now - 60)))),
        ("of a login long ago", key.sign(&with("iat", json!(now - 3_600)))),
        ("from the future", key.sign(&with("iat", json!(now + 600)))),
        ("without a subject", key.sign(&nameless)),
        ("with groups of another type", key.sign(&with("groups", json!({ "system:admins": true })))),
        ("unsigned", unsigned("k1", &claims("anna"))),
        ("signed with the public key as a secret", key.sign_with_public_key(&claims("anna"))),
        ("signed by another key of that name", other.sign(&claims("anna"))),
        ("signed by an unknown key", ProviderKey::generate("k2").sign(&claims("anna"))),
        ("a token of the cluster", cluster_token),
        ("nothing", String::new()),
    ] {
        let refused = exchange(&cluster, 0, request(id_token)).await;
        assert_eq!(refused.unwrap_err().code(), Code::Unauthenticated, "{what}");
    }
    let long = ExchangeTokenRequest { lifetime_seconds: 3_601, ..request(key.sign(&claims("anna"))) };
    assert_eq!(exchange(&cluster, 0, long).await.unwrap_err().code(), Code::InvalidArgument);
    let huge = exchange(&cluster, 0, request("a".repeat(64 << 10))).await;
    assert_eq!(huge.unwrap_err().code(), Code::InvalidArgument, "more than a login can need");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn who_logged_in_before_all_of_his_was_revoked_has_to_log_in_again() {
    let key = ProviderKey::generate("k1");
    let cluster = start(1, &key).await;
    let admin = cluster.token("admin", &["system:admins"]);
    let before = key.sign(&claims("anna"));
    let given = logged_in(&cluster, &key.sign(&with("auth_time", json!(1)))).await;
    // Seconds are all that tokens tell.
    tokio::time::sleep(Duration::from_millis(1_100)).await;
    revoke(&cluster, &admin, Target::User("oidc:anna".into())).await;
    check_reason(who_am_i(&cluster, 0, &given.token).await, "CREDENTIALS_REVOKED");
    check_reason(exchange(&cluster, 0, request(before)).await, "CREDENTIALS_REVOKED");
    let later = std::cell::RefCell::new(String::new());
    eventually("a login of a later second", || async {
        let answer = exchange(&cluster, 0, request(key.sign(&claims("anna")))).await;
        answer.map(|given| *later.borrow_mut() = given.token).is_ok()
    })
    .await;
    assert_eq!(who_am_i(&cluster, 0, &later.into_inner()).await.unwrap().username, "oidc:anna");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_cluster_without_a_provider_lets_nobody_log_in() {
    let cluster = Cluster::start(1).await;
    let refused = exchange(&cluster, 0, request(ProviderKey::generate("k1").sign(&claims("anna")))).await;
    assert_eq!(refused.unwrap_err().code(), Code::FailedPrecondition);
}
