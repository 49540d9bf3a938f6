//! Logging in as people do: with a code in a browser, or with a token in a file; and out again.

use std::{os::unix::fs::PermissionsExt, path::PathBuf};

use boss_chaos_tests::{
    api::Credential,
    bossctl_run::{Bossctl, Output, Running},
    cluster::{Cluster, PATIENCE, Spec, or_fail, refusal},
    identity_provider::{Answer, IdentityProvider},
    wait,
};
use serde_json::json;

const FORBIDDEN: i32 = 4;
const UNAVAILABLE: i32 = 5;

/// A cluster whose people the provider knows, and a desk with a context of it that nobody is logged in to.
struct Desk {
    cluster: Cluster,
    provider: IdentityProvider,
    bossctl: Bossctl,
    config: PathBuf,
}

impl Desk {
    async fn new() -> Self {
        let provider = IdentityProvider::start().await.expect("there is a port");
        let cluster = Cluster::prepare(Spec { servers: 1, nodes: 0, ..Spec::default() });
        let config = cluster.folder().join("desk/config");
        let bossctl = Bossctl::with_config(cluster.folder(), &config);
        let folder = cluster.layout().server_directory(cluster.addresses(1));
        let keys = folder.join("provider.json");
        let fetch = ["auth", "fetch-keys", "--issuer", provider.issuer(), "--out", keys.to_str().expect("ours")];
        assert!(bossctl.succeed(&fetch).await.contains("were written"));
        assert!(bossctl.succeed(&fetch).await.contains("are as they were"));
        let mut text = std::fs::read_to_string(folder.join("server.toml")).expect("it was made");
        text.push_str(&format!(
            "[auth.oidc]\nissuer = \"{}\"\nclient_id = \"boss\"\nkeys = \"provider.json\"\ngroups_claim = \"groups\"\n",
            provider.issuer()
        ));
        std::fs::write(folder.join("server.toml"), text).expect("the folder is ours");
        let cluster = cluster.bring_up().await;
        let ca = cluster.layout().ca_path();
        let server = cluster.addresses(1).api.clone();
        let set = ["context", "set", "prod", "--server", &server, "--ca", ca.to_str().expect("ours"), "--issuer"];
        bossctl.succeed(&[&set[..], &[provider.issuer(), "--client-id", "boss"]].concat()).await;
        Self { cluster, provider, bossctl, config }
    }

    /// Begins to log in; the code that the person is to type.
    async fn begin(&self) -> (Running, String) {
        let running = self.bossctl.start(&["login"], None);
        let code = wait::until("the code is shown", PATIENCE, async || {
            let told = running.stderr();
            let code = told.split_once("type the code: ").and_then(|(_, rest)| rest.split_once('\n'));
            code.map(|(code, _)| code.to_owned()).ok_or(told)
        });
        let code = or_fail(code.await);
        (running, code)
    }

    async fn end(&self, answer: Answer) -> Output {
        let (running, code) = self.begin().await;
        self.provider.end(&code, answer);
        running.end().await
    }

    fn token_file(&self) -> PathBuf {
        self.config.with_file_name("tokens").join("prod")
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_person_logs_in_with_a_code_works_and_logs_out() {
    let desk = Desk::new().await;
    let before = desk.bossctl.run(&["get", "configmaps"]).await;
    assert!(before.code == FORBIDDEN && before.stderr.contains("bossctl login"), "{before:?}");
    // The first key that signs tokens is published some seconds before it does.
    let done = wait::until("a key signs tokens", PATIENCE, async || {
        let done = desk.end(Answer::Confirmed(json!({ "sub": "anna", "groups": ["system:admins", "devs"] }))).await;
        if done.code == 0 { Ok(done) } else { Err(done.stderr) }
    });
    let done = or_fail(done.await);
    assert!(done.stdout.starts_with("logged in as oidc:anna until 2"), "{done:?}");
    let me = desk.bossctl.succeed(&["whoami"]).await;
    assert!(me.contains("oidc:anna") && me.contains("oidc:system:admins, oidc:devs"), "{me}");
    let refused = desk.bossctl.run(&["get", "configmaps"]).await;
    assert_eq!(refused.code, FORBIDDEN, "a group that calls itself ours gives nothing: {refused:?}");

    let token = std::fs::read_to_string(desk.token_file()).expect("it is kept");
    let mode = std::fs::metadata(desk.token_file()).expect("it is kept").permissions().mode();
    assert_eq!(mode & 0o777, 0o600);
    let told = format!("{}{}{}", done.stdout, done.stderr, desk.cluster.log_of("server-1"));
    for secret in [token.rsplit('.').next().expect("it has parts"), "device-secret"] {
        assert!(!told.contains(secret), "nobody is told {secret}");
    }

    assert!(desk.bossctl.succeed(&["logout"]).await.contains("logged out"));
    assert!(!desk.token_file().exists());
    let after = desk.bossctl.run(&["whoami"]).await;
    assert!(after.code == FORBIDDEN && after.stderr.contains("not logged in"), "{after:?}");
    let api = desk.cluster.api(1, Credential::Token(token));
    let status = refusal(api.who_am_i().await, "a token that was logged out");
    assert_eq!(status.code(), tonic::Code::Unauthenticated);
}

#[tokio::test(flavor = "multi_thread")]
async fn who_refuses_or_forgets_the_code_is_not_logged_in() {
    let desk = Desk::new().await;
    let denied = desk.end(Answer::Denied).await;
    assert!(denied.code == FORBIDDEN && denied.stderr.contains("refused at the provider"), "{denied:?}");
    let late = desk.end(Answer::Expired).await;
    assert!(late.code == UNAVAILABLE && late.stderr.contains("in time"), "{late:?}");
    let nobody = desk.end(Answer::Confirmed(json!({ "sub": "" }))).await;
    assert!(nobody.code == FORBIDDEN && nobody.stderr.contains("ID token"), "{nobody:?}");
    // Signed for another client of the same provider, as a web page might have got it.
    let other = desk.end(Answer::Confirmed(json!({ "sub": "anna", "aud": "wiki" }))).await;
    assert!(other.code == FORBIDDEN && other.stderr.contains("another audience"), "{other:?}");
    assert!(!desk.token_file().exists());
}

#[tokio::test(flavor = "multi_thread")]
async fn a_token_from_a_file_is_tried_before_it_is_kept() {
    let desk = Desk::new().await;
    let (good, bad) = (desk.config.with_file_name("good"), desk.config.with_file_name("bad"));
    let write = |path: &PathBuf, text: &str, mode| {
        std::fs::write(path, text).expect("the folder is ours");
        std::fs::set_permissions(path, std::fs::Permissions::from_mode(mode)).expect("the file is ours");
    };
    let login = async |path: &PathBuf| desk.bossctl.run(&["login", "--token-file", path.to_str().expect("ours")]).await;
    write(&good, &format!("{}\n", desk.cluster.token("zoe", &["system:admins"])), 0o644);
    let open = login(&good).await;
    assert!(open.code != 0 && open.stderr.contains("chmod 600"), "{open:?}");
    write(&good, &format!("{}\n", desk.cluster.token("zoe", &["system:admins"])), 0o600);
    let done = login(&good).await;
    assert!(done.code == 0 && done.stdout.contains("logged in as zoe"), "{done:?}");
    desk.bossctl.succeed(&["get", "configmaps"]).await;
    write(&bad, "a.b.c", 0o600);
    let refused = login(&bad).await;
    assert_eq!(refused.code, FORBIDDEN, "{refused:?}");
    let me = desk.bossctl.succeed(&["whoami"]).await;
    assert!(me.contains("zoe"), "what does not work replaces nothing: {me}");
    assert!(desk.bossctl.succeed(&["logout"]).await.contains("logged out"));
    assert!(good.exists(), "the file that was given is its owner's");
}
