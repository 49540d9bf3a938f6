//! What somebody may do ends when it was taken away, at every server; and nobody gets more than the quota allows.

use boss_proto::{
    object::Resource,
    v1::{self, ObjectMeta},
};
use futures_util::future::join_all;
use tonic::Code;

use crate::{
    api::Credential,
    bossctl_run::Bossctl,
    checkers::{Verdict, broken, judged::Judged},
    cluster::Cluster,
    manifests::{NAMESPACE, metadata, record, role_for},
    tokens,
};

const HARD: usize = 5;
const WRITES: usize = 24;

/// Bob has two bindings; one is taken away.
pub(super) async fn take_a_binding_away(cluster: &mut Cluster) -> Vec<Judged> {
    let admin = cluster.admin();
    for (name, verb, resource) in [("bob-lists", "list", "pods"), ("bob-creates", "create", "serviceaccounts")] {
        let (mut role, mut binding) = role_for("bob", &[verb], &[resource]);
        role.metadata = Some(metadata(name));
        binding.metadata = Some(metadata(name));
        name.clone_into(&mut binding.role_ref.get_or_insert_default().name);
        admin.create(role).await.expect("the administrator may");
        admin.create(binding).await.expect("the administrator may");
    }
    let mut verdict = Verdict::Valid;
    let bob = |id| cluster.api(id, Credential::Token(cluster.token("bob", &[])));
    for id in cluster.server_ids() {
        bob(id).create(record(&format!("before-{id}"), "x")).await.expect("bob may");
    }
    admin.delete::<v1::RoleBinding>(NAMESPACE, "bob-creates").await.expect("the administrator may");
    for id in cluster.server_ids() {
        let told = bob(id).create(record(&format!("after-{id}"), "x")).await;
        if !matches!(&told, Err(status) if status.code() == Code::PermissionDenied) {
            verdict = verdict.and(broken(format!("server-{id} let bob write without a right: {:?}", told.err())));
        }
    }
    vec![Judged { promise: "nothing is done without a right at its own place in the log", verdict }]
}

/// A token is revoked, and shown to every server.
pub(super) async fn revoke_a_token(cluster: &mut Cluster) -> Vec<Judged> {
    let claims = tokens::claims(cluster, "eve", &["system:admins"]);
    let token = tokens::sign(cluster, &claims);
    let eve = |id| cluster.api(id, Credential::Token(token.clone()));
    for id in cluster.server_ids() {
        eve(id).list::<v1::Namespace>("").await.expect("eve may");
    }
    let jti = claims["jti"].as_str().expect("it has one");
    Bossctl::of(cluster).succeed(&["token", "revoke", jti]).await;
    let mut verdict = Verdict::Valid;
    for id in cluster.server_ids() {
        let told = eve(id).list::<v1::Namespace>("").await;
        if !matches!(&told, Err(status) if status.code() == Code::Unauthenticated) {
            let told = told.map(|(found, at)| format!("{} objects at {at}", found.len()));
            verdict = verdict.and(broken(format!("server-{id} answered a revoked token: {told:?}")));
        }
    }
    vec![Judged { promise: "a revoked credential counts nowhere", verdict }]
}

/// Many write at once where there is room for few.
pub(super) async fn crowd_a_quota(cluster: &mut Cluster) -> Vec<Judged> {
    let meta = |name: &str| Some(ObjectMeta { ..metadata(name) });
    let spec = Some(v1::ResourceQuotaSpec { hard: [("count/configmaps".to_owned(), HARD.to_string())].into() });
    let quota = v1::ResourceQuota { metadata: meta("maps"), spec, ..v1::ResourceQuota::default() };
    cluster.client(1).create(quota.into_object()).await.expect("the administrator may");
    let servers: Vec<_> = cluster.server_ids().map(|id| cluster.admin_at(id)).collect();
    let write = |number: usize| {
        let map = v1::ConfigMap { metadata: meta(&format!("m-{number}")), ..v1::ConfigMap::default() };
        servers[number % servers.len()].create(map)
    };
    join_all((0..WRITES).map(write)).await;
    let (found, at) = servers[0].list::<v1::ConfigMap>(NAMESPACE).await.expect("the administrator may");
    let verdict = match found.len() {
        HARD => Verdict::Valid,
        other => broken(format!("{other} objects at {at}, and the quota allows {HARD}")),
    };
    vec![Judged { promise: "nobody gets above a quota", verdict }]
}
