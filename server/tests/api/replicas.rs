//! Three servers: any of them takes any call.

use boss_proto::v1::{ClusterStatusRequest, cluster_client::ClusterClient};
use tonic::Code;

use crate::support::*;

/// Index of the leader.
async fn leader(cluster: &Cluster) -> usize {
    let bearer = Bearer::new(Some(cluster.token("admin", &["system:admins"])));
    let mut client = ClusterClient::with_interceptor(cluster.channel(0, None), bearer);
    let status = client.status(ClusterStatusRequest {}).await.unwrap().into_inner();
    assert_eq!(status.servers.len(), 3);
    usize::try_from(status.leader_id - 1).unwrap()
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn any_server_takes_writes_and_every_server_shows_them() {
    let cluster = Cluster::start(3).await;
    let leader = leader(&cluster).await;
    for index in 0..3 {
        let name = format!("from-{index}");
        create(&mut cluster.admin(index), pod(&name, "")).await.unwrap();
        for other in 0..3 {
            // Linearizable wherever it is asked.
            get(&mut cluster.admin(other), key("Pod", "default", &name)).await.unwrap();
        }
    }
    let follower = (leader + 1) % 3;
    let status = create(&mut cluster.admin(follower), pod("from-0", "")).await.unwrap_err();
    assert_eq!((status.code(), info(&status).reason.as_str()), (Code::AlreadyExists, "ALREADY_EXISTS"));
    let info =
        check_reason(create(&mut cluster.admin(follower), object("kind: Pod\nmetadata: {name: x}")).await, "INVALID");
    assert_eq!(info.field, "spec");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_forwarded_write_is_the_callers_own() {
    let cluster = Cluster::start(3).await;
    let leader = leader(&cluster).await;
    let follower = (leader + 1) % 3;
    let mut admin = cluster.admin(leader);
    create(&mut admin, object("kind: Role\nmetadata: {name: maker}\nrules: [{verbs: [create], resources: [pods]}]"))
        .await
        .unwrap();
    let binding = "kind: RoleBinding\nmetadata: {name: makers}\nroleRef: {kind: Role, name: maker}\nsubjects: [{kind: User, name: ann}, {kind: Group, name: devs}]";
    create(&mut admin, object(binding)).await.unwrap();

    let mut by_token = cluster.registry(follower, Some(cluster.token("ann", &[])));
    create(&mut by_token, pod("by-token", "")).await.unwrap();
    check_reason(delete(&mut by_token, key("Pod", "default", "by-token")).await, "FORBIDDEN");
    let mut stranger = cluster.registry(follower, Some(cluster.token("bob", &[])));
    check_reason(create(&mut stranger, pod("by-bob", "")).await, "FORBIDDEN");
    check_reason(create(&mut cluster.registry(follower, None), pod("by-nobody", "")).await, "UNAUTHENTICATED");

    let mut by_certificate = cluster.registry_by_certificate(follower, "user", "dora", &["devs"]);
    create(&mut by_certificate, pod("by-certificate", "")).await.unwrap();
    check_reason(delete(&mut by_certificate, key("Pod", "default", "by-certificate")).await, "FORBIDDEN");
    let mut agent = cluster.registry_by_certificate(follower, "node", "n1", &[]);
    create(&mut agent, object("kind: Node\nmetadata: {name: n1}")).await.unwrap();
    check_reason(create(&mut agent, object("kind: Node\nmetadata: {name: n2}")).await, "FORBIDDEN");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn writes_go_on_when_the_leader_stops() {
    let mut cluster = Cluster::start(3).await;
    let leader = leader(&cluster).await;
    create(&mut cluster.admin(leader), pod("before", "")).await.unwrap();
    let running = cluster.running.remove(leader);
    running.shutdown.cancel();
    let follower = (leader + 1) % 3;
    eventually("a write through a follower", || {
        let mut registry = cluster.admin(follower);
        async move { create(&mut registry, pod("after", "")).await.is_ok() }
    })
    .await;
    get(&mut cluster.admin(follower), key("Pod", "default", "before")).await.unwrap();
    tokio::time::timeout(PATIENCE, running.ended).await.unwrap().unwrap().unwrap();
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn writes_that_come_together_at_a_follower_each_get_their_own_answer() {
    let cluster = Cluster::start(3).await;
    let follower = (leader(&cluster).await + 1) % 3;
    let admin = cluster.registry(follower, Some(cluster.token("admin", &["system:admins"])));
    let bob = cluster.registry(follower, Some(cluster.token("bob", &[])));
    let calls = (0..200).map(|number| {
        // Every fourth caller has no right, and every fifth name is taken by another call.
        let mut registry = if number % 4 == 3 { bob.clone() } else { admin.clone() };
        async move {
            let name = format!("p-{}", if number % 5 == 4 { number - 4 } else { number });
            (number, name.clone(), create(&mut registry, pod(&name, "")).await)
        }
    });
    let answers = futures_util::future::join_all(calls).await;
    let mut made = std::collections::HashSet::new();
    for (number, name, answer) in answers {
        match answer {
            Ok(response) => {
                let object = response.object.unwrap();
                assert!(number % 4 != 3, "bob made {name}");
                assert_eq!(object.metadata().unwrap().name, name, "the answer is another call's");
                assert!(made.insert(name));
            }
            Err(status) if number % 4 == 3 => assert_eq!(info(&status).reason, "FORBIDDEN", "{status:?}"),
            Err(status) => assert_eq!(info(&status).reason, "ALREADY_EXISTS", "{name}: {status:?}"),
        }
    }
    let names =
        (0..200).filter(|number| number % 4 != 3).map(|number| if number % 5 == 4 { number - 4 } else { number });
    assert_eq!(made.len(), names.collect::<std::collections::HashSet<_>>().len());
}
