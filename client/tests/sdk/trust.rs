//! Who we are and whom we believe.

use std::time::Duration;

use boss_base::pki::{CertificateAuthority, Subject};
use boss_client::{Client, Config, Credentials, Error, Source};
use boss_proto::v1;
use tonic::Code;

use crate::fake::{CLUSTER, Cluster, Step, answer, refusal};

async fn get(client: &Client) -> Result<v1::Pod, Error> {
    client.api::<v1::Pod>("default").get("web").await
}

fn unauthenticated() -> Step {
    Step::Refuse(refusal(Code::Unauthenticated, "UNAUTHENTICATED", 0, false))
}

#[tokio::test]
async fn servers_of_another_authority_are_not_believed_and_not_asked_again() {
    let (cluster, other) = (Cluster::start(2, []), Cluster::start(0, []));
    let config = Config { ca: Source::Inline(other.authority.cert_pem().to_owned()), ..cluster.config() };
    let error = get(&Client::connect(config).unwrap()).await.unwrap_err();
    assert!(matches!(error, Error::Untrusted(_)), "{error}");
    assert!(cluster.seen().is_empty());
}

#[tokio::test]
async fn servers_of_another_cluster_are_not_believed() {
    let cluster = Cluster::start(1, [answer("web", 1)]);
    let config = Config { cluster_id: Some("c2".into()), ..cluster.config() };
    let error = get(&Client::connect(config).unwrap()).await.unwrap_err();
    assert!(matches!(&error, Error::Untrusted(detail) if detail.message.contains("boss://c1/server/0")), "{error}");
    let config = Config { cluster_id: Some(CLUSTER.into()), ..cluster.config() };
    get(&Client::connect(config).unwrap()).await.unwrap();
}

fn certificate(cluster: &Cluster, authority: &CertificateAuthority) -> Credentials {
    let subject = Subject {
        common_name: "anna".into(),
        client_auth: true,
        lifetime: Duration::from_secs(3_600),
        ..Subject::default()
    };
    let issued = authority.issue(&subject).unwrap();
    let [certificate, key] = ["anna.crt", "anna.key"].map(|name| cluster.directory.path().join(name));
    std::fs::write(&certificate, issued.cert_pem).unwrap();
    std::fs::write(&key, issued.key_pem).unwrap();
    Credentials::Certificate { certificate, key }
}

#[tokio::test]
async fn a_good_certificate_is_welcome_and_a_foreign_one_is_explained() {
    let cluster = Cluster::start(2, [answer("web", 1)]);
    let credentials = certificate(&cluster, &cluster.authority);
    get(&Client::connect(Config { credentials, ..cluster.config() }).unwrap()).await.unwrap();
    assert_eq!(cluster.seen()[0].token, "");

    let foreign = CertificateAuthority::generate("c1").unwrap();
    let credentials = certificate(&cluster, &foreign);
    let error = get(&Client::connect(Config { credentials, ..cluster.config() }).unwrap()).await.unwrap_err();
    assert!(matches!(error, Error::Untrusted(_)), "{error}");
}

#[tokio::test]
async fn a_refused_token_is_read_again_once() {
    let cluster = Cluster::start(1, [unauthenticated(), answer("web", 1), unauthenticated()]);
    let client = cluster.client();
    std::fs::write(cluster.token_path(), "token-2\n").unwrap();
    get(&client).await.unwrap();
    let tokens: Vec<_> = cluster.seen().into_iter().map(|call| call.token).collect();
    assert_eq!(tokens, ["token-1", "token-2"]);
    // The same token again is not worth a second try.
    assert!(matches!(get(&client).await, Err(Error::Unauthenticated(_))));
    assert_eq!(cluster.seen().len(), 3);
}

#[tokio::test]
async fn what_cannot_work_is_refused_before_the_first_call() {
    let cluster = Cluster::start(1, []);
    let check = |config: Config, expected: &str| {
        let Err(Error::Config(detail)) = Client::connect(config) else { panic!("expected {expected}") };
        assert!(detail.message.contains(expected), "{detail}");
    };
    check(Config { servers: Vec::new(), ..cluster.config() }, "no server address");
    check(Config { ca: Source::Inline("junk".into()), ..cluster.config() }, "CA certificate");
    check(Config { ca: Source::File("/nowhere/ca".into()), ..cluster.config() }, "/nowhere/ca");
    let token = |text: &str| Credentials::Token(Source::Inline(text.to_owned()));
    check(Config { credentials: token(" \n"), ..cluster.config() }, "empty");
    check(Config { credentials: token("a\nb"), ..cluster.config() }, "characters");
    let missing = Credentials::Token(Source::File("/nowhere/token".into()));
    check(Config { credentials: missing, ..cluster.config() }, "/nowhere/token");
}
