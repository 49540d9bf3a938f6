//! A machine becomes a node with a join token, under the name that the token allows and no other; whoever comes with a
//! used or stolen token, with wishes of his own or under the name of another machine is told why not.

use std::{fs, os::unix::fs::PermissionsExt, path::Path};

use boss_base::pki::CertificateRequest;
use boss_chaos_tests::{
    bossctl_run::{Bossctl, Output},
    cluster::{Cluster, Spec},
    manifests::pod,
};
use boss_client::{Client, Config, Credentials, Source};
use boss_proto::{join_token, object::Resource, v1};

const FORBIDDEN: i32 = 4;
const BAD_INPUT: i32 = 2;

fn one() -> Spec {
    Spec { servers: 1, nodes: 0, ..Spec::default() }
}

#[track_caller]
fn assert_refused(output: &Output, code: i32, words: &str) {
    assert_eq!(output.code, code, "{output:?}");
    assert!(output.stderr.contains(words), "{words:?} is not in {output:?}");
}

fn contents(token: &Path) -> v1::JoinTokenContents {
    join_token::decode(&fs::read_to_string(token).expect("it was written")).expect("it is whole")
}

/// Somebody without a name, who has the token's text and goes around the command line.
async fn join_by_hand(cluster: &Cluster, token: &Path, name: &str, request: Vec<u8>) -> Result<String, String> {
    let contents = contents(token);
    let servers = vec![cluster.addresses(1).api.parse().expect("it is an address")];
    let config = Config::new(servers, Source::Inline(cluster.ca_pem()), Credentials::Anonymous);
    let request = v1::JoinNodeRequest {
        token_id: contents.token_id,
        secret: contents.secret,
        certificate_request: request.into(),
        name: name.to_owned(),
        cluster_id: contents.cluster_id,
    };
    let answer = Client::connect(config).expect("it is complete").join_node(request).await;
    answer.map(|answer| answer.certificate_pem).map_err(|error| error.to_string())
}

async fn uses(cluster: &Cluster) -> u32 {
    let tokens = cluster.client(1).join_tokens().await.expect("it answers").tokens;
    tokens.last().and_then(|token| token.node.as_ref()).expect("it is for nodes").uses
}

#[tokio::test(flavor = "multi_thread")]
async fn a_machine_with_a_token_becomes_a_node_that_runs_pods() {
    // Of three servers, so that the one that is asked may not lead.
    let mut cluster = Cluster::start(Spec { servers: 3, nodes: 0, ..Spec::default() }).await;
    cluster.add_node("joined").await;
    let dir = cluster.node_folder("joined");
    let mode = fs::metadata(dir.join("tls/node.key")).expect("it was made").permissions().mode() & 0o777;
    assert_eq!(mode, 0o600, "the key is its owner's alone");
    cluster.admin().create(pod("works", &["sleep", "600"])).await.expect("the cluster works");
    cluster.wait_for_phase("works", "Running").await;
    let stored = cluster.admin().get::<v1::CertificateSigningRequest>("", "joined").await.expect("it is written down");
    let status = stored.status.expect("it was answered");
    assert_eq!(status.issued.len(), 1, "{status:?}");
    assert!(status.certificate.contains("BEGIN CERTIFICATE"));
    let told = Bossctl::of(&cluster).succeed(&["certs", "status"]).await;
    for wanted in ["server/1", "server/3", "node/joined", &status.issued[0].serial] {
        assert!(told.contains(wanted), "{wanted}: {told}");
    }
    let listed = Bossctl::of(&cluster).succeed(&["token", "list"]).await;
    assert!(listed.contains("joined"), "{listed}");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_stolen_token_is_of_no_use_after_its_use_and_for_no_other_name() {
    let mut cluster = Cluster::start(one()).await;
    let token = cluster.node_token(&["--name", "good"]).await;
    let (good, bad) = (cluster.node_folder("good"), cluster.node_folder("bad"));
    let other_name = cluster.join_node("bad", &token, &bad).await;
    assert_refused(&other_name, FORBIDDEN, "the token lets in node good, not bad");
    assert!(!bad.exists(), "nothing is left behind");
    assert_eq!(uses(&cluster).await, 0, "a refused join uses nothing up");
    assert_eq!(cluster.join_node("good", &token, &good).await.code, 0);
    let stolen = cluster.join_node("good", &token, &bad).await;
    assert_refused(&stolen, FORBIDDEN, "it was used already, once, at last by node good");
    assert!(!bad.exists(), "nothing is left behind");
    let index = cluster.start_joined_node("good", &good);
    cluster.wait_for_node(index).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn two_agents_cannot_have_one_name_until_the_first_is_revoked() {
    let cluster = Cluster::start(one()).await;
    let token = cluster.node_token(&["--name-prefix", "ci-", "--uses", "3"]).await;
    let (first, second) = (cluster.node_folder("first"), cluster.node_folder("second"));
    assert_eq!(cluster.join_node("ci-1", &token, &first).await.code, 0);
    let twin = cluster.join_node("ci-1", &token, &second).await;
    assert_refused(&twin, FORBIDDEN, "two agents cannot have one name");
    assert_eq!(uses(&cluster).await, 1, "a refused join uses nothing up");
    let outside = cluster.join_node("prod-1", &token, &second).await;
    assert_refused(&outside, FORBIDDEN, "begin with \"ci-\"");
    Bossctl::of(&cluster).succeed(&["certs", "revoke", "--node", "ci-1"]).await;
    let replaced = cluster.join_node("ci-1", &token, &second).await;
    assert_eq!(replaced.code, 0, "{replaced:?}");
    let stored = cluster.admin().get::<v1::CertificateSigningRequest>("", "ci-1").await.expect("it is written down");
    let revoked: Vec<bool> = stored.status.expect("it was answered").issued.iter().map(|one| one.revoked).collect();
    assert_eq!(revoked, [true, false]);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_request_with_foreign_names_is_refused_with_the_reason_and_uses_nothing_up() {
    let cluster = Cluster::start(one()).await;
    let token = cluster.node_token(&["--name", "n1"]).await;
    let id = cluster.layout().plan().cluster_id.to_string();
    for foreign in [format!("boss://{id}/server/1"), format!("boss://{id}/node/n2"), format!("boss://{id}/user/admin")]
    {
        let request = CertificateRequest::generate("n1", std::slice::from_ref(&foreign)).expect("it can be made").der;
        let refused = join_by_hand(&cluster, &token, "n1", request).await.expect_err("that is not its name");
        assert!(refused.contains(&foreign) && refused.contains("is not its own"), "{refused}");
    }
    let other = CertificateRequest::generate("system:admin", &[]).expect("it can be made").der;
    let refused = join_by_hand(&cluster, &token, "n1", other).await.expect_err("that is not its name");
    assert!(refused.contains("common name"), "{refused}");
    let refused = join_by_hand(&cluster, &token, "n1", b"no request".to_vec()).await.expect_err("it is none");
    assert!(refused.contains("certificateRequest"), "{refused}");
    let long = vec![0x30; 9 << 10];
    let refused = join_by_hand(&cluster, &token, "n1", long).await.expect_err("it is too long");
    assert!(refused.contains("9216 bytes, the limit is 8192"), "{refused}");
    assert_eq!(uses(&cluster).await, 0);
    // The same request twice is one join: its answer may have been lost.
    let own = CertificateRequest::generate("n1", &[]).expect("it can be made").der;
    let first = join_by_hand(&cluster, &token, "n1", own.clone()).await.expect("it may");
    assert_eq!(join_by_hand(&cluster, &token, "n1", own).await, Ok(first));
    assert_eq!(uses(&cluster).await, 1);
}

#[tokio::test(flavor = "multi_thread")]
async fn expired_revoked_and_wrong_tokens_let_no_node_in() {
    let cluster = Cluster::start(one()).await;
    let dir = cluster.node_folder("late");
    let revoked = cluster.node_token(&["--name", "late"]).await;
    let id = contents(&revoked).token_id;
    Bossctl::of(&cluster).succeed(&["token", "revoke", &id]).await;
    assert_refused(&cluster.join_node("late", &revoked, &dir).await, FORBIDDEN, "it was revoked");
    let for_server = cluster.join_token(&[]).await;
    assert_refused(&cluster.join_node("late", &for_server, &dir).await, BAD_INPUT, "lets a server in, not a node");
    let request = CertificateRequest::generate("late", &[]).expect("it can be made").der;
    let refused = join_by_hand(&cluster, &for_server, "late", request).await.expect_err("it is for a server");
    assert!(refused.contains("lets a server in, not a node"), "{refused}");
    assert!(!dir.exists(), "nothing is left behind");
}

#[tokio::test(flavor = "multi_thread")]
async fn nobody_writes_what_was_signed_for_whom_not_even_the_administrator() {
    let cluster = Cluster::start(one()).await;
    let token = cluster.node_token(&["--name", "n1"]).await;
    assert_eq!(cluster.join_node("n1", &token, &cluster.node_folder("n1")).await.code, 0);
    let client = cluster.client(1);
    let api = client.api::<v1::CertificateSigningRequest>("");
    let mut stored = api.get("n1").await.expect("it is written down");
    stored.status.get_or_insert_default().issued.clear();
    let forged = v1::CertificateSigningRequest {
        metadata: Some(v1::ObjectMeta { name: "n2".to_owned(), ..v1::ObjectMeta::default() }),
        ..stored.clone()
    };
    let attempts =
        [client.update(stored.into_object()).await.map(drop), client.create(forged.into_object()).await.map(drop)];
    for attempt in attempts {
        let refused = attempt.expect_err("the servers alone write it").to_string();
        assert!(refused.contains("written by the servers only"), "{refused}");
    }
    let key = boss_proto::key::Key::cluster(boss_proto::kind::Kind::CertificateSigningRequest, "n1");
    let refused = client.delete(&key, &boss_client::DeleteOptions::default()).await.expect_err("nor deletes it");
    assert!(refused.to_string().contains("written by the servers only"), "{refused}");
}
