//! Every way to write, through bossctl and through the client, also while leaders die.

use std::{collections::BTreeSet, sync::Arc};

use boss_base::tasks::Tasks;
use boss_chaos_tests::{
    bossctl_run::Bossctl,
    cluster::{Cluster, Spec},
    manifests::{name_of, record},
};
use boss_client::{Error, Query, WriteStreamOptions};
use boss_proto::{
    kind::Kind,
    object::Resource,
    v1::{self, txn_operation::Operation as Inner},
};
use serde_json::Value;

const NOT_FOUND: i32 = 3;

fn config(label: &str, value: &str) -> String {
    format!(
        "apiVersion: boss.dev/v1\nkind: ConfigMap\nmetadata: {{name: settings, labels: {{by: {label}}}}}\ndata: {{v: \"{value}\"}}\n"
    )
}

async fn json(bossctl: &Bossctl, what: &[&str]) -> Value {
    let text = bossctl.succeed(&[&["get"], what, &["-o", "json"]].concat()).await;
    serde_json::from_str(&text).expect("it is JSON")
}

#[tokio::test(flavor = "multi_thread")]
async fn bossctl_applies_patches_and_tells_of_conflicts() {
    let cluster = Cluster::start(Spec { nodes: 0, ..Spec::default() }).await;
    let bossctl = Bossctl::of(&cluster);
    let apply = ["apply", "-f", "-"];
    let dry = bossctl.run_with_input(&["apply", "-f", "-", "--dry-run=server"], &config("me", "1")).await;
    assert!(dry.code == 0 && dry.stdout.contains("created (dry run)"), "{dry:?}");
    assert_eq!(bossctl.run(&["get", "configmap", "settings"]).await.code, NOT_FOUND);

    for (value, word) in [("1", "created"), ("1", "unchanged"), ("2", "configured")] {
        let applied = bossctl.run_with_input(&apply, &config("me", value)).await;
        assert!(applied.code == 0 && applied.stdout.contains(word), "{word}: {applied:?}");
    }
    bossctl.succeed(&["patch", "configmap", "settings", "-p", r#"{"data":{"v":"3","w":"4"}}"#]).await;
    let conflict = bossctl.run_with_input(&apply, &config("me", "2")).await;
    assert!(
        conflict.code != 0 && conflict.stderr.contains("bossctl-patch") && conflict.stderr.contains("data.v"),
        "{conflict:?}"
    );
    let forced = bossctl.run_with_input(&["apply", "-f", "-", "--force-conflicts"], &config("me", "2")).await;
    assert_eq!(forced.code, 0, "{forced:?}");
    assert_eq!(json(&bossctl, &["configmap", "settings"]).await["data"], serde_json::json!({"v": "2", "w": "4"}));

    let unknown = bossctl.run(&["patch", "configmap", "settings", "-p", r#"{"dat":{}}"#]).await;
    assert!(unknown.code == 2 && unknown.stderr.contains("dat"), "{unknown:?}");
    assert_eq!(bossctl.run(&["patch", "configmap", "none", "-p", "{}"]).await.code, NOT_FOUND);
    let taken = bossctl.run_with_input(&["create", "-f", "-"], &config("me", "9")).await;
    assert!(taken.code != 0 && taken.stderr.contains("exists"), "{taken:?}");
    let replaced = bossctl.run_with_input(&["replace", "-f", "-"], &config("you", "9")).await;
    assert!(replaced.code == 0 && replaced.stdout.contains("replaced"), "{replaced:?}");
}

#[tokio::test(flavor = "multi_thread")]
async fn bossctl_deletes_by_selection_and_with_dependents() {
    let cluster = Cluster::start(Spec { servers: 1, nodes: 0, ..Spec::default() }).await;
    let (bossctl, client) = (Bossctl::of(&cluster), cluster.client(1));
    let mut owner_uid = String::new();
    for name in ["owner", "child", "other"] {
        let mut object = record(name, "x").into_object();
        if name == "child" {
            object.metadata_mut().expect("it has").owner_references.push(v1::OwnerReference {
                kind: "ServiceAccount".into(),
                name: "owner".into(),
                uid: owner_uid.clone(),
                block_owner_deletion: true,
                ..v1::OwnerReference::default()
            });
        }
        let created = client.create(object).await.expect("it is fine");
        if name == "owner" {
            owner_uid.clone_from(&created.metadata().expect("it has").uid);
        }
    }
    bossctl.succeed(&["delete", "serviceaccount", "owner", "--cascade", "foreground"]).await;
    assert_eq!(bossctl.run(&["get", "serviceaccount", "child"]).await.code, NOT_FOUND);
    let dry = bossctl.succeed(&["delete", "serviceaccounts", "--all", "--dry-run=server"]).await;
    assert!(dry.contains("other") && dry.contains("dry run"), "{dry}");
    let deleted = bossctl.succeed(&["delete", "serviceaccounts", "-l", "value=x"]).await;
    assert!(deleted.contains("other deleted"), "{deleted}");
    assert_eq!(client.list(&Query::all(Kind::ServiceAccount)).await.expect("it works").objects, []);
}

#[tokio::test(flavor = "multi_thread")]
async fn every_write_of_a_stream_has_one_effect_though_leaders_die() {
    const WRITES: usize = 3_000;
    let mut cluster = Cluster::start(Spec { nodes: 0, ..Spec::default() }).await;
    let leader = cluster.leader().await;
    // Its server lives: streams are passed on to leaders that die, and to those that follow.
    let survivor = leader % 3 + 1;
    let client = cluster.client(survivor);
    let tasks = Tasks::new();
    let stream = client.write_stream(&tasks, WriteStreamOptions { in_flight_max: 64, ..WriteStreamOptions::default() });
    let killed = Arc::new(tokio::sync::Notify::new());
    let writing = async {
        let mut pending = std::collections::VecDeque::new();
        let mut revisions = BTreeSet::new();
        for number in 0..WRITES {
            if number == WRITES / 3 {
                killed.notify_one();
            }
            let object = record(&format!("s{number}"), "x").into_object();
            pending.push_back((number, stream.create(object).await.expect("the stream goes on")));
            while pending.len() > 32 {
                let (number, write) = pending.pop_front().expect("it is not empty");
                let answer = write.answer().await.unwrap_or_else(|error| panic!("write {number}: {error}"));
                assert!(revisions.insert(answer.revision), "write {number}: revision {} twice", answer.revision);
            }
        }
        for (number, write) in pending {
            let answer = write.answer().await.unwrap_or_else(|error| panic!("write {number}: {error}"));
            assert!(revisions.insert(answer.revision));
        }
    };
    let killing = async {
        killed.notified().await;
        cluster.kill_server(leader);
    };
    tokio::join!(writing, killing);
    cluster.start_server(leader);
    cluster.wait_for_server(leader).await;
    let listed =
        client.list(&Query::all(Kind::ServiceAccount).in_namespace("default")).await.expect("it works").objects;
    let names: BTreeSet<String> = listed.iter().map(|object| name_of(object.metadata()).to_owned()).collect();
    assert_eq!((listed.len(), names.len()), (WRITES, WRITES));
    let generations = listed.iter().filter_map(v1::Object::metadata).map(|metadata| metadata.generation);
    assert!(generations.into_iter().all(|generation| generation == 1));
    cluster.assert_states_are_equal().await;
    tasks.cancel();
}

#[tokio::test(flavor = "multi_thread")]
async fn transactions_patches_and_applies_are_retried_through_a_dead_leader_and_done_once() {
    let mut cluster = Cluster::start(Spec { nodes: 0, ..Spec::default() }).await;
    let leader = cluster.leader().await;
    let client = cluster.client(leader);
    let create = |name: &str| {
        let object = Some(record(name, "x").into_object());
        v1::TxnOperation { operation: Some(Inner::Create(v1::CreateRequest { object, ..Default::default() })) }
    };
    let mut patched = 0;
    client.create(record("patched", "0").into_object()).await.expect("it is new");
    for number in 0..60 {
        if number == 20 {
            cluster.kill_server(leader);
        }
        let pair = [format!("left-{number}"), format!("right-{number}")];
        let txn = v1::TxnRequest { success: pair.iter().map(|name| create(name)).collect(), ..Default::default() };
        // A second effect would find the names taken.
        let done = client.txn(txn).await.unwrap_or_else(|error| panic!("transaction {number}: {error}"));
        assert!(done.succeeded && done.results.len() == 2);
        let patch = serde_json::json!({"metadata": {"labels": {"value": number.to_string()}}});
        let key = record("patched", "").into_object().key().expect("it has one");
        match client.patch(&key, &patch, &boss_client::PatchOptions::default()).await {
            Ok(object) => {
                let revision = object.metadata().expect("it has").resource_version;
                assert!(revision > patched, "patch {number} came back with an older state");
                patched = revision;
            }
            Err(Error::Precondition(_)) => {}
            Err(error) => panic!("patch {number}: {error}"),
        }
    }
    let listed = client.list(&Query::all(Kind::ServiceAccount).in_namespace("default")).await.expect("it works");
    assert_eq!(listed.objects.len(), 121);
    cluster.start_server(leader);
    cluster.wait_for_server(leader).await;
    cluster.assert_states_are_equal().await;
}
