//! Nothing is allowed that no rule allows, whichever server is asked.

use std::time::Duration;

use boss_chaos_tests::{
    api::{Api, Credential, error_info},
    cluster::{Cluster, Spec, refusal},
    manifests::{name_of, namespace, parked_pod, pod, role_for},
};
use boss_proto::v1;
use futures_util::future::join_all;
use nix::sys::signal::Signal;
use tonic::{Code, Status};

const VERBS: [&str; 7] = ["create", "update", "update status", "delete", "get", "list", "watch"];

#[tokio::test(flavor = "multi_thread")]
async fn a_token_without_a_right_is_refused_each_verb_at_each_server() {
    let cluster = Cluster::start(Spec { nodes: 0, ..Spec::default() }).await;
    let admin = cluster.admin();
    admin.create(parked_pod("victim")).await.expect("the administrator may");
    let before = pods(&admin).await;
    for id in cluster.server_ids() {
        let nobody = cluster.api(id, Credential::Token(cluster.token("mallory", &[])));
        for verb in VERBS {
            let status = refusal(attempt(&nobody, verb).await, &format!("{verb} at server {id}"));
            assert_eq!(status.code(), Code::PermissionDenied, "{verb} at server {id}: {status:?}");
            assert!(status.message().contains("mallory"), "who was refused what: {status:?}");
            assert_eq!(error_info(&status).reason, "FORBIDDEN");
        }
    }
    assert_eq!(pods(&admin).await, before, "what is refused changes nothing");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_role_allows_what_it_says_and_nothing_else() {
    let cluster = Cluster::start(Spec { servers: 1, nodes: 0, ..Spec::default() }).await;
    let admin = cluster.admin();
    admin.create(parked_pod("victim")).await.expect("the administrator may");
    let rights = [
        ("create", "create", "pods"),
        ("update", "update", "pods"),
        ("update status", "update", "pods/status"),
        ("get", "get", "pods"),
        ("list", "list", "pods"),
        ("watch", "watch", "pods"),
        ("delete", "delete", "pods"),
    ];
    for (allowed, verb, resource) in rights {
        let user = format!("only-{}", allowed.replace(' ', "-"));
        let (role, binding) = role_for(&user, &[verb], &[resource]);
        admin.create(role).await.expect("the administrator may");
        admin.create(binding).await.expect("the administrator may");
        let api = cluster.user(&user);
        for attempted in VERBS.into_iter().filter(|attempted| *attempted != allowed) {
            let status = refusal(attempt(&api, attempted).await, attempted);
            assert_eq!(status.code(), Code::PermissionDenied, "{user}, {attempted}: {status:?}");
        }
        attempt(&api, allowed).await.unwrap_or_else(|status| panic!("{user} may {allowed}: {status:?}"));
        let elsewhere = refusal(api.list::<v1::Pod>("").await, "listing all namespaces");
        assert_eq!(elsewhere.code(), Code::PermissionDenied, "a Role ends at its namespace");
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_right_that_was_taken_away_is_gone_at_once_at_every_server() {
    let cluster = Cluster::start(Spec { nodes: 0, ..Spec::default() }).await;
    let admin = cluster.admin();
    let (role, binding) = role_for("bob", &["create"], &["pods"]);
    admin.create(role).await.expect("the administrator may");
    admin.create(binding).await.expect("the administrator may");
    for id in cluster.server_ids() {
        let bob = cluster.api(id, Credential::Token(cluster.token("bob", &[])));
        bob.create(parked_pod(&format!("p{id}"))).await.expect("bob may");
    }
    admin.delete::<v1::RoleBinding>("default", "bob").await.expect("the administrator may");
    for id in cluster.server_ids() {
        let bob = cluster.api(id, Credential::Token(cluster.token("bob", &[])));
        let status = refusal(bob.create(parked_pod(&format!("q{id}"))).await, "creating without a right");
        assert_eq!(status.code(), Code::PermissionDenied);
    }
}

/// So that what is asked waits at the server when it wakes up. Later would be too late to see anything, and no failure.
const HEAD_START: Duration = Duration::from_millis(300);

#[tokio::test(flavor = "multi_thread")]
async fn a_leader_that_slept_refuses_nobody_who_got_his_right_meanwhile() {
    let cluster = Cluster::start(Spec { nodes: 0, ..Spec::default() }).await;
    let slept = cluster.leader().await;
    let bob = cluster.api(slept, Credential::Token(cluster.token("bob", &[])));
    // So that the connection is there.
    let status = refusal(bob.create(parked_pod("early")).await, "creating without a right");
    assert_eq!(status.code(), Code::PermissionDenied);
    let server = |signal| cluster.server(slept).expect("nobody killed it").signal(signal);
    server(Signal::SIGSTOP);
    let other = cluster.admin_at(cluster.server_ids().find(|id| *id != slept).expect("there are three"));
    let (role, binding) = role_for("bob", &["create"], &["pods"]);
    cluster
        .wait("another server leads", async || match other.create(role.clone()).await {
            Err(status) if status.code() != Code::AlreadyExists => Err(status.to_string()),
            _ => Ok(()),
        })
        .await;
    other.create(binding).await.expect("it leads");
    let names: Vec<String> = (0..20).map(|number| format!("p{number}")).collect();
    let asking = join_all(names.iter().map(|name| bob.create(parked_pod(name))));
    let waking = async {
        tokio::time::sleep(HEAD_START).await;
        server(Signal::SIGCONT);
    };
    let (answers, ()) = tokio::join!(asking, waking);
    for answer in answers {
        let refused = answer.err().filter(|status| status.code() == Code::PermissionDenied);
        assert!(refused.is_none(), "he had the right long before: {refused:?}");
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn nobody_gives_rights_that_they_do_not_have() {
    let cluster = Cluster::start(Spec { servers: 1, nodes: 0, ..Spec::default() }).await;
    let admin = cluster.admin();
    let (role, binding) = role_for("eve", &["create"], &["roles", "rolebindings"]);
    admin.create(role).await.expect("the administrator may");
    admin.create(binding).await.expect("the administrator may");
    let eve = cluster.user("eve");
    let (role, _) = role_for("more", &["*"], &["*"]);
    let status = refusal(eve.create(role).await, "a role with rights that eve has not");
    assert_eq!(status.code(), Code::PermissionDenied, "{status:?}");
    let (_, mut binding) = role_for("eve", &[], &[]);
    binding.metadata.get_or_insert_default().name = "eve-admin".to_owned();
    binding.role_ref = Some(v1::RoleRef { kind: "ClusterRole".to_owned(), name: "admin".to_owned() });
    let status = refusal(eve.create(binding).await, "binding admin to oneself");
    assert_eq!(status.code(), Code::PermissionDenied, "{status:?}");
}

#[tokio::test(flavor = "multi_thread")]
async fn everybody_may_ask_about_themselves() {
    let cluster = Cluster::start(Spec { servers: 1, nodes: 0, ..Spec::default() }).await;
    let me = cluster.user("carol").who_am_i().await.expect("anybody with a token may");
    assert_eq!((me.username.as_str(), me.uid.as_str(), me.method.as_str()), ("carol", "user:carol", "token"));
    assert!(!cluster.user("carol").can_i("create", "pods", "default").await.expect("anybody may ask").allowed);
    assert!(cluster.admin().can_i("create", "pods", "default").await.expect("anybody may ask").allowed);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_node_touches_nothing_but_itself_and_its_pods() {
    let cluster = Cluster::start(Spec { servers: 1, nodes: 2, ..Spec::default() }).await;
    let admin = cluster.admin();
    let mut theirs = pod("theirs", &["sleep", "308"]);
    theirs.spec.get_or_insert_default().node_selector.insert("boss.dev/hostname".to_owned(), "nobody".to_owned());
    admin.create(theirs).await.expect("the administrator may");
    let own = std::fs::read_to_string(cluster.folder().join("c/nodes/node-1/tls/node.crt")).expect("it is there");
    let key = std::fs::read_to_string(cluster.folder().join("c/nodes/node-1/tls/node.key")).expect("it is there");
    let certificate = boss_base::pki::IssuedCert { cert_pem: own, key_pem: key };
    let node = cluster.api(1, Credential::Certificate(certificate));
    assert_eq!(node.who_am_i().await.expect("it may").username, "system:node:node-1");
    for (what, outcome) in [
        ("creating pods", node.create(pod("mine", &["true"])).await.map(drop)),
        ("creating namespaces", node.create(namespace("mine")).await.map(drop)),
        ("deleting another's pod", node.delete::<v1::Pod>("default", "theirs").await.map(drop)),
        ("deleting another node", node.delete::<v1::Node>("", "node-2").await.map(drop)),
    ] {
        assert_eq!(refusal(outcome, what).code(), Code::PermissionDenied, "{what}");
    }
    let mut pod = admin.get::<v1::Pod>("default", "theirs").await.expect("it is there");
    "Succeeded".clone_into(&mut pod.status.get_or_insert_default().phase);
    let status = refusal(node.update_status(pod).await, "reporting another's pod");
    assert_eq!(status.code(), Code::PermissionDenied, "{status:?}");
    let mut other = admin.get::<v1::Node>("", "node-2").await.expect("it is there");
    other.status = None;
    let status = refusal(node.update_status(other).await, "reporting another node");
    assert_eq!(status.code(), Code::PermissionDenied, "{status:?}");
}

async fn attempt(api: &Api, verb: &str) -> Result<(), Status> {
    let victim = parked_pod("victim");
    match verb {
        "create" => api.create(parked_pod("intruder")).await.map(drop),
        "update" => {
            let mut changed = victim;
            changed.metadata.get_or_insert_default().labels.insert("touched".to_owned(), "yes".to_owned());
            api.update(changed).await.map(drop)
        }
        "update status" => {
            let mut reported = victim;
            "Pending".clone_into(&mut reported.status.get_or_insert_default().phase);
            api.update_status(reported).await.map(drop)
        }
        "delete" => api.delete::<v1::Pod>("default", "victim").await.map(drop),
        "get" => api.get::<v1::Pod>("default", "victim").await.map(drop),
        "list" => api.list::<v1::Pod>("default").await.map(drop),
        "watch" => {
            let mut watch = api.watch::<v1::Pod>("default", None).await?;
            watch.next().await.map(drop)
        }
        other => panic!("no such verb: {other}"),
    }
}

async fn pods(admin: &Api) -> Vec<(String, String)> {
    let (pods, _) = admin.list::<v1::Pod>("default").await.expect("the administrator may");
    // The spec and the metadata but for what the scheduler's own writes move.
    pods.iter().map(|pod| (name_of(pod.metadata.as_ref()).to_owned(), format!("{:?}", pod.spec))).collect()
}
