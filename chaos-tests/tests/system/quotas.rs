//! Quotas and policies on a running cluster: exact under many writers at once, and told to those who write.

use std::sync::Arc;

use boss_chaos_tests::{
    bossctl_run::Bossctl,
    cluster::{Cluster, Spec},
};
use boss_client::{DeleteOptions, Error, Query};
use boss_proto::{
    key::Key,
    kind::Kind,
    object::Resource,
    v1::{self, ObjectMeta, object::Body},
};

const HARD: usize = 20;
const WRITERS: usize = 12;
const WRITES_EACH: usize = 15;

fn meta(name: &str) -> Option<ObjectMeta> {
    Some(ObjectMeta { name: name.to_owned(), namespace: "default".to_owned(), ..ObjectMeta::default() })
}

fn map(name: &str) -> v1::Object {
    v1::ConfigMap { metadata: meta(name), ..v1::ConfigMap::default() }.into_object()
}

/// Creates and deletes at random; how many it has left, and how often the quota refused.
async fn writer(cluster: Arc<Cluster>, writer: usize) -> (usize, usize) {
    let client = cluster.client(1 + writer as u64 % 3);
    let (mut held, mut refused) = (Vec::new(), 0);
    for write in 0..WRITES_EACH {
        let name = format!("w{writer}-{write}");
        match client.create(map(&name)).await {
            Ok(_) => held.push(name),
            Err(error) => {
                assert!(error.to_string().contains("quota \"maps\" allows 20 of count/configmaps"), "{error}");
                refused += 1;
                if let Some(name) = held.pop() {
                    client
                        .delete(&Key::new(Kind::ConfigMap, "default", name), &DeleteOptions::default())
                        .await
                        .expect("it is ours");
                }
            }
        }
        let listed = client.list(&Query::all(Kind::ConfigMap).in_namespace("default")).await.expect("it works");
        assert!(listed.objects.len() <= HARD, "{} are above the quota", listed.objects.len());
    }
    (held.len(), refused)
}

#[tokio::test(flavor = "multi_thread")]
async fn many_writers_on_all_servers_never_get_above_a_quota() {
    let cluster = Arc::new(Cluster::start(Spec { nodes: 0, ..Spec::default() }).await);
    let hard = [("count/configmaps".to_owned(), HARD.to_string())].into();
    let spec = Some(v1::ResourceQuotaSpec { hard });
    let quota = v1::ResourceQuota { metadata: meta("maps"), spec, ..v1::ResourceQuota::default() };
    cluster.client(1).create(quota.into_object()).await.expect("it is fine");
    let writers = (0..WRITERS).map(|number| writer(Arc::clone(&cluster), number));
    let (mut held, mut refused) = (0, 0);
    for (left, no) in futures_util::future::join_all(writers).await {
        held += left;
        refused += no;
    }
    assert!(refused > 0 && held <= HARD, "{held} held, {refused} refused");
    let quota = cluster.client(2).get(&Key::new(Kind::ResourceQuota, "default", "maps")).await.expect("it is there");
    let Some(Body::ResourceQuota(quota)) = quota.body else { panic!("it is a quota") };
    assert_eq!(quota.status.expect("it is computed").used["count/configmaps"], held.to_string());
}

#[tokio::test(flavor = "multi_thread")]
async fn bossctl_shows_warnings_and_refusals_of_policies() {
    let cluster = Cluster::start(Spec { nodes: 0, ..Spec::default() }).await;
    let bossctl = Bossctl::of(&cluster);
    let policies = "apiVersion: boss.dev/v1
kind: AdmissionPolicy
metadata: {name: keys}
spec:
  action: warn
  match: {kinds: [ConfigMap]}
  validations: [{expression: 'size(object.data) < 2', message: many keys}]
---
apiVersion: boss.dev/v1
kind: AdmissionPolicy
metadata: {name: names}
spec:
  match: {kinds: [ConfigMap]}
  validations: [{expression: \"object.metadata.name.startsWith('team-')\", message: names begin with team-}]
";
    let applied = bossctl.run_with_input(&["apply", "-f", "-"], policies).await;
    assert_eq!(applied.code, 0, "{applied:?}");
    let map = |name: &str| {
        format!("apiVersion: boss.dev/v1\nkind: ConfigMap\nmetadata: {{name: {name}}}\ndata: {{a: '1', b: '2'}}\n")
    };
    let warned = bossctl.run_with_input(&["apply", "-f", "-"], &map("team-a")).await;
    assert!(warned.code == 0 && warned.stderr.contains("Warning: policy keys: many keys"), "{warned:?}");
    // The warning comes through a server that does not lead, too.
    for server in 1..=3 {
        let created = cluster
            .client(server)
            .create(v1::ConfigMap { metadata: meta("other"), ..Default::default() }.into_object())
            .await;
        match created {
            Err(error @ Error::Forbidden(_)) => {
                assert!(error.to_string().contains("names begin with team-"), "{error}")
            }
            other => panic!("expected a refusal, got {other:?}"),
        }
    }
    let refused = bossctl.run_with_input(&["create", "-f", "-"], &map("b")).await;
    assert!(refused.code == 4 && refused.stderr.contains("policy \"names\" refuses it"), "{refused:?}");
}
