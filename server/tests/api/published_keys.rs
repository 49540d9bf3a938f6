//! The public keys of tokens over plain HTTP, and what others who know nothing but them can check.

use boss_base::{
    clock::{Clock, SystemClock},
    jwt::{ExpectedId, KeySet},
};
use boss_proto::v1::{
    CreateTokenRequest, TokenServiceAccount, TokenUser, create_token_request::Subject, tokens_client::TokensClient,
};
use tonic::{Code, Status};

use crate::{start_and_stop::http_get, support::*};

const ISSUER: &str = "https://boss.example";

fn account() -> Subject {
    let (namespace, name) = ("default".to_owned(), "bot".to_owned());
    Subject::ServiceAccount(TokenServiceAccount { namespace, name, ..Default::default() })
}

async fn ask(cluster: &Cluster, subject: Subject, audience: &str) -> Result<String, Status> {
    let by = cluster.token("admin", &["system:admins"]);
    let mut tokens = TokensClient::with_interceptor(cluster.channel(0, None), Bearer::new(Some(by)));
    let request = CreateTokenRequest { subject: Some(subject), audience: audience.into(), ..Default::default() };
    tokens.create(request).await.map(|answer| answer.into_inner().token)
}

async fn document(cluster: &Cluster, path: &str) -> String {
    let answer = http_get(cluster.configs[0].listen.http, path).await;
    assert!(answer.starts_with("HTTP/1.1 200"), "{answer}");
    answer.split_once("\r\n\r\n").unwrap().1.to_owned()
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn others_check_a_service_account_s_token_by_the_published_keys_and_the_servers_do_not_take_it() {
    let mut cluster = Cluster::prepare(1);
    cluster.configs[0].token_issuer = Some(ISSUER.into());
    let cluster = cluster.bring_up().await;
    create(&mut cluster.admin(0), object("kind: ServiceAccount\nmetadata: {name: bot}")).await.unwrap();
    let token = std::cell::RefCell::new(String::new());
    eventually("a key that signs", || async {
        ask(&cluster, account(), "vault").await.map(|made| *token.borrow_mut() = made).is_ok()
    })
    .await;
    let token = token.into_inner();

    let discovery: serde_json::Value =
        serde_json::from_str(&document(&cluster, "/.well-known/openid-configuration").await).unwrap();
    assert_eq!(
        (&discovery["issuer"], &discovery["jwks_uri"]),
        (&ISSUER.into(), &format!("{ISSUER}/openid/v1/jwks").into())
    );
    let published = document(&cluster, "/openid/v1/jwks").await;
    assert!(!published.contains("\"d\""), "public parts only: {published}");
    let keys = KeySet::from_json(published.as_bytes()).unwrap();
    let expected = ExpectedId {
        issuer: ISSUER,
        client_id: "vault",
        nonce: None,
        leeway: std::time::Duration::from_secs(30),
        age_max: std::time::Duration::from_secs(600),
        now: SystemClock.unix_seconds(),
    };
    let verified = keys.verify_id_token(&token, &expected).unwrap();
    assert_eq!(verified.claims["name"], "system:serviceaccount:default:bot");
    // The key of files signs for administrators, whom nobody outside has to believe.
    assert!(keys.kids().all(|kid| kid != cluster.signing_key.kid()));

    let mut registry = cluster.registry(0, Some(token));
    let refused = get(&mut registry, key("Namespace", "", "default")).await;
    assert_eq!(refused.unwrap_err().code(), Code::Unauthenticated, "it is for somebody else");
    for (subject, audience) in
        [(account(), CLUSTER), (Subject::User(TokenUser { name: "anna".into(), groups: Vec::new() }), "vault")]
    {
        assert_eq!(ask(&cluster, subject, audience).await.unwrap_err().code(), Code::InvalidArgument);
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_cluster_without_a_name_for_others_makes_them_no_tokens() {
    let cluster = Cluster::start(1).await;
    create(&mut cluster.admin(0), object("kind: ServiceAccount\nmetadata: {name: bot}")).await.unwrap();
    assert_eq!(ask(&cluster, account(), "vault").await.unwrap_err().code(), Code::FailedPrecondition);
    let http = cluster.configs[0].listen.http;
    assert!(http_get(http, "/.well-known/openid-configuration").await.starts_with("HTTP/1.1 404"));
}
