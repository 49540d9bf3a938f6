//! What containers take from secrets: the sandbox gets it, its own node alone may read it, and it lies nowhere.

use std::{fs, path::Path};

use boss_base::{journal::hash, pki::IssuedCert};
use boss_chaos_tests::{
    api::{Api, Credential},
    cluster::{Cluster, Spec, refusal},
    manifests::{metadata, shell_pod},
    wait,
};
use boss_proto::v1;

const CANARY: &str = "canary-5d20e1-for-one-sandbox";
/// Shows that the search would find something.
const PLAIN: &str = "plain-5d20e1-for-everybody";

fn taking(name: &str, secret: &str, script: &str) -> v1::Pod {
    let mut pod = shell_pod(name, script);
    let reference = v1::KeyReference { name: secret.to_owned(), key: "token".to_owned(), optional: false };
    let value_from = Some(v1::EnvVarSource { secret_key_ref: Some(reference), config_map_key_ref: None });
    let container = &mut pod.spec.get_or_insert_default().containers[0];
    container.env = vec![v1::EnvVar { name: "TOKEN".to_owned(), value_from, ..v1::EnvVar::default() }];
    pod
}

fn secret(name: &str) -> v1::Secret {
    let string_data = [("token".to_owned(), CANARY.to_owned())].into();
    v1::Secret { metadata: Some(metadata(name)), string_data, ..v1::Secret::default() }
}

/// The agent of a node, as whoever has its key can speak.
fn agent(cluster: &Cluster, index: usize) -> Api {
    let tls = cluster.layout().directory().join("nodes").join(cluster.node_name(index)).join("tls");
    let read = |ending: &str| {
        let files = fs::read_dir(&tls).expect("it is there").filter_map(|entry| Some(entry.ok()?.path()));
        let own = files.filter(|path| path.extension().is_some_and(|found| found == ending));
        let own = own.filter(|path| path.file_stem().is_some_and(|stem| stem != "ca")).min().expect("there is one");
        fs::read_to_string(own).expect("it can be read")
    };
    cluster.api(1, Credential::Certificate(IssuedCert { cert_pem: read("crt"), key_pem: read("key") }))
}

/// Every file below a folder that holds a text.
fn files_with(folder: &Path, wanted: &str) -> Vec<String> {
    let mut found = Vec::new();
    for entry in fs::read_dir(folder).into_iter().flatten().filter_map(Result::ok) {
        let path = entry.path();
        if entry.file_type().is_ok_and(|kind| kind.is_dir()) {
            found.extend(files_with(&path, wanted));
        } else if entry.file_type().is_ok_and(|kind| kind.is_file()) {
            let bytes = fs::read(&path).unwrap_or_default();
            let holds = bytes.windows(wanted.len()).any(|window| window == wanted.as_bytes());
            found.extend(holds.then(|| path.display().to_string()));
        }
    }
    found
}

async fn may_get(agent: &Api, name: &str) -> bool {
    match agent.get::<v1::Secret>("default", name).await {
        Ok(secret) => {
            assert_eq!(secret.data.get("token").map(|value| &value[..]), Some(CANARY.as_bytes()));
            true
        }
        Err(status) => {
            assert_eq!(status.code(), tonic::Code::PermissionDenied, "{status:?}");
            false
        }
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_sandbox_gets_its_secret_and_nobody_else_does() {
    let cluster = Cluster::start(Spec { nodes: 2, ..Spec::default() }).await;
    let admin = cluster.admin();
    cluster.wait("a sealing key that every server holds", async || admin.create(secret("other")).await).await;

    // It waits for what is not there yet, and says for what.
    let script = format!("echo {PLAIN}; printf %s \"$TOKEN\" | sha256sum; exec sleep 600");
    admin.create(taking("taker", "s", &script)).await.expect("the administrator may");
    let waiting = cluster
        .wait_for_pod("taker", "waiting for its secret", |pod| {
            let status = pod.status.clone().unwrap_or_default();
            wait::holds(status.reason == "ConfigMissing", format!("{status:?}")).map(|()| pod.clone())
        })
        .await;
    let status = waiting.status.clone().unwrap_or_default();
    assert_eq!((&*status.phase, &*status.message), ("Pending", "Secret s does not exist"));
    admin.create(secret("s")).await.expect("the key is in use");
    let running = cluster.wait_for_phase("taker", "Running").await;
    let wanted = hash(CANARY.as_bytes());
    cluster
        .wait("the sandbox has printed the hash of the value", async || {
            let lines = admin.log_lines("default", "taker").await.map_err(|status| status.to_string())?;
            wait::holds(lines.iter().any(|line| line.starts_with(&wanted)), format!("{lines:?}"))
        })
        .await;

    // Its own node reads this one secret and no list; the other node nothing.
    let bound_to = running.spec.map(|spec| spec.node_name).unwrap_or_default();
    let own = if cluster.node_name(0) == bound_to { 0 } else { 1 };
    let (own, stranger) = (agent(&cluster, own), agent(&cluster, 1 - own));
    assert!(may_get(&own, "s").await, "the pod that is bound to it names it");
    assert!(!may_get(&own, "other").await, "no pod of its own names it");
    assert!(!may_get(&stranger, "s").await && !may_get(&stranger, "other").await);
    refusal(own.list::<v1::Secret>("default").await, "an agent lists no secrets");
    refusal(own.watch::<v1::Secret>("default", None).await.map(drop), "an agent watches no secrets");

    // Who may write pods and not read secrets gives no pod a secret.
    let (role, binding) = boss_chaos_tests::manifests::role_for("ann", &["create", "get"], &["pods", "pods/log"]);
    admin.create(role).await.expect("the administrator may");
    admin.create(binding).await.expect("the administrator may");
    let refused = refusal(cluster.user("ann").create(taking("hers", "s", "env")).await, "a pod with a secret");
    assert!(refused.code() == tonic::Code::PermissionDenied && refused.message().contains("secrets"), "{refused:?}");

    // No file of servers, agents or sandboxes holds it.
    assert_ne!(files_with(cluster.folder(), PLAIN), Vec::<String>::new(), "the search finds what is there");
    assert_eq!(files_with(cluster.folder(), CANARY), Vec::<String>::new());

    admin.delete::<v1::Pod>("default", "taker").await.expect("it is there");
    cluster.wait_until_gone::<v1::Pod>("default", "taker").await;
    assert!(!may_get(&own, "s").await, "nothing of its own names it any more");
}
