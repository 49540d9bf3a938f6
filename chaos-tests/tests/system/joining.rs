//! A machine becomes a server with a join token; with anything else it becomes nothing, is told why in words of its
//! own, and neither cluster nor machine is changed.

use std::{fs, path::Path};

use boss_chaos_tests::{
    bossctl_run::{Bossctl, Output},
    cluster::{Cluster, Newcomer, PATIENCE, Spec, or_fail},
    manifests::record,
    wait,
};
use boss_client::{Client, Config, Credentials, Source};
use boss_proto::{join_token, v1};

const BAD_INPUT: i32 = 2;
const FORBIDDEN: i32 = 4;
const CONFLICT: i32 = 6;

fn one() -> Spec {
    Spec { servers: 1, nodes: 0, ..Spec::default() }
}

#[track_caller]
fn assert_refused(output: &Output, code: i32, words: &str) {
    assert_eq!(output.code, code, "{output:?}");
    assert!(output.stderr.contains(words), "{words:?} is not in {output:?}");
}

/// Nothing of a server is there, and the cluster has neither a member nor a change more.
async fn assert_nothing_changed(cluster: &Cluster, newcomer: &Newcomer) {
    assert!(!newcomer.dir.exists(), "{} was left behind", newcomer.dir.display());
    let members = cluster.client(1).members().await.expect("it answers");
    assert_eq!(members.members.len(), 1, "{members:?}");
    assert_eq!(members.change, None);
}

fn write_private(path: &Path, text: &str) {
    boss_base::files::write_atomic(path, text.as_bytes(), boss_base::files::PRIVATE).expect("the folder is ours");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_machine_with_a_token_becomes_a_server_that_votes_and_serves() {
    let mut cluster = Cluster::start(one()).await;
    cluster.admin().create(record("before", "x")).await.expect("the cluster works");
    let id = cluster.add_server(&[]).await;
    assert_eq!(id, 2);
    cluster.wait_for_server(id).await;
    cluster.admin_at(id).get::<v1::ServiceAccount>("default", "before").await.expect("it has what was there");
    cluster.admin_at(id).create(record("after", "x")).await.expect("it takes writes");
    cluster.assert_states_are_equal().await;
    // The token has let one in; a second machine is too late.
    let status = cluster.client(1).cluster_status().await.expect("it answers");
    let signs: Vec<bool> = status.servers.iter().map(|server| server.can_sign).collect();
    assert_eq!(signs, [true, false], "the authority's key does not travel");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_used_token_lets_nobody_else_in() {
    let mut cluster = Cluster::start(one()).await;
    let token = cluster.join_token(&[]).await;
    let (first, second) = (cluster.newcomer("first"), cluster.newcomer("second"));
    let joined = cluster.join(&first, &token, &[]).await;
    assert_eq!(joined.code, 0, "{joined:?}");
    let refused = cluster.join(&second, &token, &[]).await;
    assert_refused(&refused, FORBIDDEN, "it was used already, by server 2 (first)");
    assert!(!second.dir.exists(), "nothing is left behind");
    // The one that was let in is not disturbed.
    let id = cluster.start_newcomer(first);
    cluster.wait_for_vote(id).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn an_expired_or_revoked_token_is_refused_as_such() {
    let mut cluster = Cluster::start(one()).await;
    let newcomer = cluster.newcomer("late");
    let short = cluster.join_token(&["--ttl", "1s"]).await;
    let client = cluster.client(1);
    let expired = wait::until("the token has expired", PATIENCE, async || {
        // A join uses the token up, so this asks with a name that is refused for another reason before that.
        let contents = join_token::decode(&fs::read_to_string(&short).expect("it was written")).expect("it is whole");
        let request = v1::JoinRequest {
            token_id: contents.token_id,
            secret: contents.secret,
            cluster_id: contents.cluster_id,
            name: "Not a name".to_owned(),
            ..v1::JoinRequest::default()
        };
        let refused = client.join(request).await.expect_err("that is no name").to_string();
        wait::holds(refused.contains("expired"), refused)
    });
    or_fail(expired.await);
    assert_refused(&cluster.join(&newcomer, &short, &[]).await, FORBIDDEN, "it has expired");
    assert_nothing_changed(&cluster, &newcomer).await;

    let revoked = cluster.join_token(&[]).await;
    let bossctl = Bossctl::of(&cluster);
    let tokens = client.join_tokens().await.expect("an administrator may see them").tokens;
    let id = tokens.last().expect("there are two").id.clone();
    bossctl.succeed(&["cluster", "join-token", "revoke", &id]).await;
    assert_refused(&cluster.join(&newcomer, &revoked, &[]).await, FORBIDDEN, "it was revoked");
    assert_nothing_changed(&cluster, &newcomer).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_token_that_is_cut_or_changed_is_refused() {
    let mut cluster = Cluster::start(one()).await;
    let newcomer = cluster.newcomer("new");
    let path = cluster.join_token(&[]).await;
    let token = fs::read_to_string(&path).expect("it was written");
    write_private(&path, &token[..token.len() / 2]);
    assert_refused(&cluster.join(&newcomer, &path, &[]).await, BAD_INPUT, "it is damaged: copy the whole line");
    write_private(&path, "eyJhbGciOiJFZERTQSJ9");
    assert_refused(&cluster.join(&newcomer, &path, &[]).await, BAD_INPUT, "it is no join token");
    // Whole, but with a secret of somebody's own.
    let mut guessed = join_token::decode(&token).expect("it is whole");
    guessed.secret = vec![7; guessed.secret.len()].into();
    write_private(&path, &join_token::encode(&guessed));
    assert_refused(&cluster.join(&newcomer, &path, &[]).await, FORBIDDEN, "it is unknown here");
    assert_nothing_changed(&cluster, &newcomer).await;
    // A secret that others can read is one no more.
    write_private(&path, &token);
    let open: fs::Permissions = std::os::unix::fs::PermissionsExt::from_mode(0o644);
    fs::set_permissions(&path, open).expect("the file is ours");
    assert_refused(&cluster.join(&newcomer, &path, &[]).await, BAD_INPUT, "chmod 600");
    assert_nothing_changed(&cluster, &newcomer).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_token_is_of_use_only_with_servers_of_its_own_cluster() {
    let mut cluster = Cluster::start(one()).await;
    let other = Cluster::start(one()).await;
    let newcomer = cluster.newcomer("new");
    let foreign = other.join_token(&[]).await;
    let here = cluster.addresses(1).api.clone();
    // The machine does not believe servers of another authority, whatever address it was told.
    let refused = cluster.join(&newcomer, &foreign, &["--server", &here]).await;
    assert_refused(&refused, FORBIDDEN, "of its own cluster");
    assert_nothing_changed(&cluster, &newcomer).await;
    // Somebody who goes around that check is refused by the servers.
    let contents = join_token::decode(&fs::read_to_string(&foreign).expect("it was written")).expect("it is whole");
    let servers = vec![here.parse().expect("it is an address")];
    let anybody = Config::new(servers, Source::Inline(cluster.ca_pem()), Credentials::Anonymous);
    let request = v1::JoinRequest {
        token_id: contents.token_id,
        secret: contents.secret,
        cluster_id: contents.cluster_id,
        ..v1::JoinRequest::default()
    };
    let refused = Client::connect(anybody).expect("it is complete").join(request).await;
    let refused = refused.expect_err("the token is of another cluster").to_string();
    assert!(refused.contains("the token is of another"), "{refused}");
    assert_nothing_changed(&cluster, &newcomer).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_folder_that_is_in_use_is_not_touched_and_the_token_stays_good() {
    let mut cluster = Cluster::start(one()).await;
    let mut newcomer = cluster.newcomer("new");
    let token = cluster.join_token(&[]).await;
    let own = std::mem::replace(&mut newcomer.dir, cluster.layout().server_directory(cluster.addresses(1)));
    let before = fs::read(newcomer.dir.join("server.toml")).expect("it was made");
    assert_refused(&cluster.join(&newcomer, &token, &[]).await, CONFLICT, "is in use: it has the server.toml");
    assert_eq!(fs::read(newcomer.dir.join("server.toml")).expect("it is there"), before);
    newcomer.dir = own;
    // A name or an address that a member has is refused too, and does not use the token up.
    let name = std::mem::replace(&mut newcomer.server.name, cluster.addresses(1).name.clone());
    assert_refused(&cluster.join(&newcomer, &token, &[]).await, BAD_INPUT, "server 1 is called server-1");
    assert_nothing_changed(&cluster, &newcomer).await;
    newcomer.server.name = name;
    let joined = cluster.join(&newcomer, &token, &[]).await;
    assert_eq!(joined.code, 0, "{joined:?}");
    // Once more in the same folder: a server is there already.
    assert_refused(&cluster.join(&newcomer, &token, &[]).await, CONFLICT, "is in use");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_server_without_the_sealing_key_gets_its_vote_only_once_it_has_it() {
    let mut cluster = Cluster::start(one()).await;
    let active = wait::until("a sealing key is in use", PATIENCE, async || {
        let keys = cluster.admin().list::<v1::SealingKey>("").await.map_err(|status| status.to_string())?.0;
        let active = keys.iter().any(|key| key.spec.as_ref().is_some_and(|spec| spec.phase == "Active"));
        wait::holds(active, format!("{keys:?}"))
    });
    or_fail(active.await);
    let (newcomer, token) = (cluster.newcomer("poor"), cluster.join_token(&[]).await);
    let joined = cluster.join_without_keys(&newcomer, &token, &[]).await;
    assert!(joined.code == 0 && joined.stderr.contains("sealing keys"), "{joined:?}");
    let dir = newcomer.dir.clone();
    let id = cluster.start_newcomer(newcomer);
    let refused = wait::until("it is told why it has no vote", PATIENCE, async || {
        let members = cluster.client(1).members().await.map_err(|error| error.to_string())?;
        assert!(!members.members.iter().any(|member| member.id == id && member.voter), "{members:?}");
        let message = members.change.map(|change| change.message).unwrap_or_default();
        wait::holds(message.contains("the sealing key") && message.contains("server 2 does not hold it"), message)
    });
    or_fail(refused.await);
    let keys = fs::read_to_string(cluster.layout().directory().join("pki/sealing.keys")).expect("it was made");
    write_private(&dir.join("tls/sealing.keys"), &keys);
    let config = fs::read_to_string(dir.join("server.toml")).expect("it was made");
    let config = format!("{config}\n[sealing]\nkeys = \"tls/sealing.keys\"\n");
    write_private(&dir.join("server.toml"), &config);
    cluster.kill_server(id);
    cluster.start_server(id);
    cluster.wait_for_vote(id).await;
}
