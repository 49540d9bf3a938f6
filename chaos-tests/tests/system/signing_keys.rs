//! The keys that sign tokens, on running clusters: every server knows a key before anything is signed with it, and keys
//! follow each other under load without a request being refused.

use std::{
    collections::BTreeSet,
    sync::{
        Arc, Mutex,
        atomic::{AtomicBool, Ordering},
    },
    time::Duration,
};

use boss_base::jwt;
use boss_chaos_tests::{
    api::Credential,
    cluster::{Cluster, PATIENCE, Spec, or_fail},
    http,
    manifests::record,
    wait,
};
use boss_client::{Client, PatchOptions};
use boss_proto::{
    key::Key,
    kind::Kind,
    v1::{self, create_token_request::Subject},
};

/// Between two tokens of one client: load, and not the measure of the machine.
const PAUSE: Duration = Duration::from_millis(50);
const ROTATIONS: usize = 2;

/// What clients who get tokens and show them everywhere have seen.
#[derive(Default)]
struct Seen {
    stopped: AtomicBool,
    kids: Mutex<BTreeSet<String>>,
}

impl Seen {
    fn kids(&self) -> BTreeSet<String> {
        self.kids.lock().expect("nobody panicked").clone()
    }
}

async fn token(client: &Client) -> Result<String, String> {
    let account = v1::TokenServiceAccount { namespace: "default".into(), name: "bot".into(), ..Default::default() };
    let subject = Some(Subject::ServiceAccount(account));
    let request = v1::CreateTokenRequest { subject, ..Default::default() };
    client.create_token(request).await.map(|made| made.token).map_err(|error| format!("no token: {error}"))
}

/// Every server has published the token's key, and takes the token.
async fn check_everywhere(cluster: &Cluster, token: &str) -> Result<(), String> {
    let kid = jwt::key_id(token).map_err(|refusal| refusal.to_string())?;
    for id in cluster.server_ids() {
        let keys = http::get(&cluster.addresses(id).http, "/openid/v1/jwks").await;
        let (_, keys) = keys.map_err(|error| format!("server {id} shows no keys: {error}"))?;
        wait::holds(keys.contains(&kid), format!("server {id} has not published {kid}: {keys}"))?;
        let me = cluster.api(id, Credential::Token(token.to_owned())).who_am_i().await;
        me.map_err(|status| format!("server {id} refuses a good token of {kid}: {status:?}"))?;
    }
    Ok(())
}

/// Gets tokens at one server and shows each, and the first one, to all.
async fn go_on(cluster: Arc<Cluster>, server: u64, seen: Arc<Seen>) -> Result<(), String> {
    let client = cluster.client(server);
    let first = token(&client).await?;
    while !seen.stopped.load(Ordering::SeqCst) {
        let token = token(&client).await?;
        check_everywhere(&cluster, &token).await?;
        check_everywhere(&cluster, &first).await?;
        let kid = jwt::key_id(&token).map_err(|refusal| refusal.to_string())?;
        seen.kids.lock().expect("nobody panicked").insert(kid);
        tokio::time::sleep(PAUSE).await;
    }
    Ok(())
}

/// Asks for the next key, on the one that has no successor.
async fn ask_for_the_next_key(cluster: &Cluster) -> String {
    let (keys, _) = cluster.admin().list::<v1::SigningKey>("").await.expect("the administrator may");
    let last = keys.into_iter().find(|key| key.spec.as_ref().is_some_and(|spec| spec.retired_from.is_none()));
    let name = last.and_then(|key| key.metadata).expect("one has no successor").name;
    let patch = serde_json::json!({ "metadata": { "annotations": { "boss.dev/rotate": "now" } } });
    let key = Key::cluster(Kind::SigningKey, &*name);
    cluster.client(1).patch(&key, &patch, &PatchOptions::default()).await.expect("the administrator may");
    name
}

#[tokio::test(flavor = "multi_thread")]
#[expect(clippy::disallowed_methods, reason = "the test owns the tasks")]
async fn signing_keys_follow_each_other_under_load_and_no_server_refuses_a_good_token() {
    let cluster = Arc::new(Cluster::start(Spec { nodes: 0, ..Spec::default() }).await);
    cluster.admin().create(record("bot", "x")).await.expect("the administrator may");
    let client = cluster.client(1);
    or_fail(wait::until("a key signs tokens", PATIENCE, async || token(&client).await).await);
    let seen = Arc::new(Seen::default());
    let going: Vec<_> = cluster.server_ids().map(|id| tokio::spawn(go_on(cluster.clone(), id, seen.clone()))).collect();
    for rotation in 0..ROTATIONS {
        let before = ask_for_the_next_key(&cluster).await;
        let after = wait::until(format!("rotation {rotation}"), PATIENCE, async || {
            let (kids, ended) = (seen.kids(), going.iter().any(tokio::task::JoinHandle::is_finished));
            // A client that has given up says why below.
            wait::holds(ended || kids.len() >= rotation + 2, format!("after {before} there are {kids:?}"))
        });
        or_fail(after.await);
    }
    seen.stopped.store(true, Ordering::SeqCst);
    for client in going {
        client.await.expect("no client panics").expect("no client is refused");
    }
    assert_eq!(seen.kids().len(), ROTATIONS + 1, "{:?}", seen.kids());
}
