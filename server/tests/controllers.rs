//! The leader's controllers on a real registry: one server in this process that leads alone.

#![expect(clippy::unwrap_used, reason = "a test ends at the first surprise")]

use std::{sync::Arc, time::Duration};

use boss_base::{
    clock::{Clock, SystemClock, testing::ManualClock},
    tasks::Tasks,
};
use boss_proto::{
    ids::{ClusterId, NodeName, ServerId, Uid},
    key::Key,
    kind::Kind,
    object::Resource,
    peer::v1::{HeartbeatBatch, HeartbeatConfirmation, NodeHeartbeat},
    raft::v1::{Caller, Create, Delete, Operation, UpdateStatus, operation::Action},
    v1::{self, Condition, Object, ObjectMeta},
};
use boss_raft::{
    DialError, Handle, Member, PeerDialer,
    state::{Outcome, Record, rbac::SERVERS_GROUP},
};
use boss_server::{
    controllers,
    sealing::Vault,
    sessions::{self, Sessions},
    writes::Peers,
};
use futures_util::{StreamExt, stream::BoxStream};
use tokio::sync::mpsc;
use tokio_stream::wrappers::ReceiverStream;
use tonic::Status;

const PATIENCE: Duration = Duration::from_secs(20);

/// A server that leads, with its controllers, and another server that relays heartbeats to it.
struct Leader {
    handle: Handle,
    clock: Arc<ManualClock>,
    beats: mpsc::Sender<Result<HeartbeatBatch, Status>>,
    confirmations: BoxStream<'static, Result<HeartbeatConfirmation, Status>>,
    sent: u64,
    tasks: Tasks,
    _data: tempfile::TempDir,
}

impl Leader {
    async fn start() -> Self {
        let data = tempfile::tempdir().unwrap();
        let (tasks, id, cluster_id) = (Tasks::new(), ServerId(1), ClusterId::new("test"));
        let dialer = PeerDialer::new(|member: &Member| {
            Err(DialError { peer: member.peer.clone(), problem: "there is no other server".to_owned() })
        });
        let config = boss_raft::Config::new(id, cluster_id.clone(), data.path().to_owned());
        let handle = boss_raft::start(config, dialer.clone(), Arc::new(SystemClock), tasks.clone()).await.unwrap();
        let member = Member { id, name: "one".into(), peer: "127.0.0.1:1".into(), api: "127.0.0.1:2".into() };
        handle.initialize(vec![member]).await.unwrap();
        handle.leadership().wait_for(|now| now.is_self && now.ready).await.unwrap();
        let clock = Arc::new(ManualClock::new(SystemClock.unix_millis(), 1));
        let peers = Peers::new(handle.clone(), dialer, Vec::new());
        let sessions = Sessions::new(sessions::Parts {
            handle: handle.clone(),
            clock: clock.clone(),
            tasks: tasks.clone(),
            peers: peers.clone(),
            cluster_id: cluster_id.clone(),
            server_id: id,
        });
        controllers::start(&controllers::Parts {
            handle: handle.clone(),
            clock: clock.clone(),
            tasks: tasks.clone(),
            sessions: sessions.clone(),
            vault: Vault::load(cluster_id, None).unwrap(),
            peers,
        });
        let (beats, inbound) = mpsc::channel(1);
        let confirmations = sessions.heartbeats(ServerId(2), ReceiverStream::new(inbound)).unwrap();
        let mut leader = Self { handle, clock, beats, confirmations, sent: 0, tasks, _data: data };
        leader.wait(|leader| leader.get(Kind::Namespace, "", "default").is_some()).await;
        leader
    }

    fn get(&self, kind: Kind, namespace: &str, name: &str) -> Option<Arc<Record>> {
        self.handle.view().get(&Key::new(kind, namespace, name)).cloned()
    }

    fn pod(&self, name: &str) -> v1::Pod {
        self.get(Kind::Pod, "default", name).and_then(|record| record.pod().cloned()).unwrap_or_default()
    }

    fn ready(&self, node: &str) -> String {
        let record = self.get(Kind::Node, "", node).expect("the node is registered");
        let status = record.node().and_then(|node| node.status.clone()).unwrap_or_default();
        status
            .conditions
            .iter()
            .find(|condition| condition.r#type == "Ready")
            .map_or_else(String::new, |ready| ready.status.clone())
    }

    /// Until the condition holds; every change of the registry is a reason to look again.
    async fn wait(&mut self, holds: impl Fn(&Self) -> bool) {
        let mut applied = self.handle.applied();
        let waiting = async {
            loop {
                applied.mark_unchanged();
                if holds(self) {
                    return;
                }
                applied.changed().await.unwrap();
            }
        };
        tokio::time::timeout(PATIENCE, waiting).await.expect("the condition never held");
    }

    async fn write(&self, action: Action) -> Outcome {
        let caller = Caller { uid: "test".into(), groups: vec![SERVERS_GROUP.into()], ..Default::default() };
        let term = self.handle.leadership().borrow().term;
        let operation =
            Operation { caller: Some(caller), leader_term: Some(term), action: Some(action), ..Default::default() };
        self.handle.propose(vec![operation]).await.unwrap().remove(0)
    }

    async fn create(&self, mut object: Object) {
        object.metadata_mut().unwrap().uid = Uid::random().to_string();
        let outcome = self.write(Action::Create(Create { object: Some(object) })).await;
        assert!(matches!(outcome, Outcome::Written { .. }), "{outcome:?}");
    }

    async fn delete(&self, kind: Kind, namespace: &str, name: &str) {
        let key = Some(Key::new(kind, namespace, name).to_proto());
        let outcome = self.write(Action::Delete(Delete { key, ..Default::default() })).await;
        assert!(matches!(outcome, Outcome::Deleted { .. }), "{outcome:?}");
    }

    /// Nodes report to the other server, which relays that; the leader confirms.
    async fn beat(&mut self, nodes: &[&str]) -> HeartbeatConfirmation {
        self.sent += 1;
        let beat = |name: &&str| NodeHeartbeat { node_name: (*name).into(), session_id: 7, running_sandboxes: 0 };
        let batch =
            HeartbeatBatch { batch: self.sent, heartbeats: nodes.iter().map(beat).collect(), ended: Vec::new() };
        self.beats.send(Ok(batch)).await.unwrap();
        self.confirmations.next().await.unwrap().unwrap()
    }

    async fn stop(self) {
        self.tasks.cancel();
        self.handle.shutdown().await;
    }
}

fn node(name: &str, cpu: &str) -> Object {
    let provider = v1::Provider {
        name: "process".into(),
        classes: vec!["process".into()],
        healthy: true,
        artifact_types: vec!["Executable".into()],
        network_modes: vec!["host".into()],
        isolation_levels: vec!["sharedHost".into()],
        ..Default::default()
    };
    let status = v1::NodeStatus {
        allocatable: Some(v1::ResourceList { cpu: cpu.into(), memory: "8Gi".into(), ..Default::default() }),
        runtime_capabilities: Some(v1::RuntimeCapabilities { providers: vec![provider] }),
        ..Default::default()
    };
    let metadata = Some(ObjectMeta { name: name.into(), ..Default::default() });
    v1::Node { metadata, status: Some(status), ..Default::default() }.into_object()
}

fn pod(namespace: &str, name: &str, cpu: &str) -> Object {
    let requests = Some(v1::ResourceList { cpu: cpu.into(), ..Default::default() });
    let spec = v1::PodSpec { resources: Some(v1::Resources { requests, limits: None }), ..Default::default() };
    let metadata = Some(ObjectMeta { name: name.into(), namespace: namespace.into(), ..Default::default() });
    v1::Pod { metadata, spec: Some(spec), ..Default::default() }.into_object()
}

fn bound_to(pod: &v1::Pod) -> &str {
    pod.spec.as_ref().map_or("", |spec| &spec.node_name)
}

fn phase(pod: &v1::Pod) -> &str {
    pod.status.as_ref().map_or("", |status| &status.phase)
}

#[tokio::test]
async fn a_new_cluster_gets_its_built_in_objects_and_repairs_them() {
    let mut leader = Leader::start().await;
    for (kind, name) in [
        (Kind::Namespace, "boss-system"),
        (Kind::ClusterRole, "admin"),
        (Kind::ClusterRole, "edit"),
        (Kind::ClusterRole, "view"),
        (Kind::ClusterRole, "system:node"),
        (Kind::ClusterRole, "system:server"),
        (Kind::ClusterRoleBinding, "system:admins"),
    ] {
        leader.wait(|leader| leader.get(kind, "", name).is_some()).await;
    }
    leader.delete(Kind::ClusterRole, "", "system:node").await;
    leader.wait(|leader| leader.get(Kind::ClusterRole, "", "system:node").is_some()).await;
    leader.stop().await;
}

#[tokio::test]
async fn a_node_is_ready_once_it_reports_and_gets_pods() {
    let mut leader = Leader::start().await;
    leader.create(node("n1", "4")).await;
    assert_eq!(leader.ready("n1"), "");
    let confirmation = leader.beat(&["n1"]).await;
    assert_eq!((confirmation.batch, confirmation.lease_ms), (1, 10_000));
    leader.wait(|leader| leader.ready("n1") == "True").await;
    leader.create(pod("default", "p", "1")).await;
    leader.wait(|leader| bound_to(&leader.pod("p")) == "n1").await;
    let bound = leader.pod("p");
    assert_eq!(bound.status.as_ref().map(|status| &*status.provider), Some("process"));
    let event = |leader: &Leader, reason: &str| {
        leader.handle.view().list(Kind::Event, Some("default")).any(|record| {
            v1::Event::from_object(&record.object).is_some_and(|event| {
                event.reason == reason && event.involved_object.as_ref().is_some_and(|about| about.name == "p")
            })
        })
    };
    leader.wait(|leader| event(leader, "Scheduled")).await;
    leader.stop().await;
}

#[tokio::test]
async fn a_pod_that_fits_nowhere_says_why_and_is_bound_when_it_fits() {
    let mut leader = Leader::start().await;
    leader.create(pod("default", "big", "6")).await;
    let says = |leader: &Leader, text: &str| {
        let status = leader.pod("big").status.unwrap_or_default();
        status.reason == "Unschedulable" && status.message.contains(text)
    };
    leader.wait(|leader| says(leader, "0/0 nodes fit")).await;
    leader.create(node("small", "2")).await;
    leader.beat(&["small"]).await;
    leader.wait(|leader| says(leader, "0/1 nodes fit: 1 lacks 6 cpu (free 2)")).await;
    let pending = leader.pod("big");
    let conditions = pending.status.map(|status| status.conditions).unwrap_or_default();
    assert!(conditions.iter().any(|said| said.r#type == "PodScheduled" && said.status == "False"));
    leader.create(node("large", "8")).await;
    leader.beat(&["large"]).await;
    leader.wait(|leader| bound_to(&leader.pod("big")) == "large").await;
    let bound = leader.pod("big").status.unwrap_or_default();
    assert_eq!((&*bound.reason, &*bound.message), ("", ""));
    leader.stop().await;
}

#[tokio::test]
async fn resources_that_become_free_go_to_who_waits() {
    let mut leader = Leader::start().await;
    leader.create(node("n1", "1")).await;
    leader.beat(&["n1"]).await;
    leader.create(pod("default", "first", "1")).await;
    leader.wait(|leader| bound_to(&leader.pod("first")) == "n1").await;
    leader.create(pod("default", "second", "1")).await;
    leader
        .wait(|leader| {
            phase(&leader.pod("second")) == "Pending"
                && !leader.pod("second").status.unwrap_or_default().message.is_empty()
        })
        .await;
    let mut ended = leader.pod("first");
    ended.status.get_or_insert_default().phase = "Succeeded".into();
    leader.write(Action::UpdateStatus(UpdateStatus { object: Some(ended.into_object()) })).await;
    leader.wait(|leader| bound_to(&leader.pod("second")) == "n1").await;
    leader.stop().await;
}

#[tokio::test]
async fn many_pods_are_bound_within_what_the_node_has() {
    let mut leader = Leader::start().await;
    leader.create(node("n1", "20")).await;
    leader.beat(&["n1"]).await;
    for number in 0..30 {
        leader.create(pod("default", &format!("p{number}"), "1")).await;
    }
    let count = |leader: &Leader| {
        let view = leader.handle.view();
        let bound = view.pods_on_node(&NodeName::new("n1")).count();
        let told = view.list(Kind::Pod, None).filter(|record| {
            record.pod().and_then(|pod| pod.status.as_ref()).is_some_and(|status| status.reason == "Unschedulable")
        });
        (bound, told.count())
    };
    leader.wait(|leader| count(leader) == (20, 10)).await;
    leader.stop().await;
}

#[tokio::test]
async fn a_silent_node_is_lost_with_its_pods_and_comes_back() {
    let mut leader = Leader::start().await;
    leader.create(node("n1", "4")).await;
    leader.beat(&["n1"]).await;
    leader.create(pod("default", "p", "1")).await;
    leader.wait(|leader| bound_to(&leader.pod("p")) == "n1").await;
    // In steps that a live leader could take; each stranger that reports makes it look.
    for step in 0..5 {
        leader.clock.advance(Duration::from_secs(3));
        leader.beat(&[&format!("stranger-{step}")]).await;
        tokio::time::sleep(Duration::from_millis(50)).await;
    }
    leader.wait(|leader| leader.ready("n1") == "Unknown").await;
    leader.wait(|leader| phase(&leader.pod("p")) == "Unknown").await;
    assert_eq!(leader.pod("p").status.unwrap_or_default().reason, "StatusUnknown");
    leader.beat(&["n1"]).await;
    leader.wait(|leader| leader.ready("n1") == "True").await;
    leader.stop().await;
}

#[tokio::test]
async fn pods_of_a_node_that_is_gone_have_failed() {
    let mut leader = Leader::start().await;
    leader.create(node("n1", "4")).await;
    leader.beat(&["n1"]).await;
    leader.create(pod("default", "p", "1")).await;
    leader.create(pod("default", "q", "1")).await;
    leader.wait(|leader| bound_to(&leader.pod("p")) == "n1" && bound_to(&leader.pod("q")) == "n1").await;
    leader.delete(Kind::Pod, "default", "q").await;
    assert!(leader.get(Kind::Pod, "default", "q").is_some(), "its agent has to stop it first");
    leader.delete(Kind::Node, "", "n1").await;
    leader.wait(|leader| phase(&leader.pod("p")) == "Failed").await;
    leader.wait(|leader| leader.get(Kind::Pod, "default", "q").is_none()).await;
    leader.stop().await;
}

#[tokio::test]
async fn a_namespace_goes_after_what_lives_in_it() {
    let mut leader = Leader::start().await;
    let metadata = Some(ObjectMeta { name: "team".into(), ..Default::default() });
    leader.create(v1::Namespace { metadata, ..Default::default() }.into_object()).await;
    leader.create(pod("team", "p", "1")).await;
    let metadata = Some(ObjectMeta { name: "robot".into(), namespace: "team".into(), ..Default::default() });
    leader.create(v1::ServiceAccount { metadata, ..Default::default() }.into_object()).await;
    leader.delete(Kind::Namespace, "", "team").await;
    leader.wait(|leader| leader.get(Kind::Namespace, "", "team").is_none()).await;
    assert!(leader.get(Kind::Pod, "team", "p").is_none());
    leader.stop().await;
}

#[tokio::test]
async fn a_status_that_says_it_already_is_not_written_again() {
    let mut leader = Leader::start().await;
    leader.create(pod("default", "p", "1")).await;
    leader.wait(|leader| !leader.pod("p").status.unwrap_or_default().message.is_empty()).await;
    let revision = leader.get(Kind::Pod, "default", "p").unwrap().revision;
    // A node that takes nothing changes the reasons once and its second heartbeat nothing.
    let mut tainted = node("n1", "4");
    if let Some(v1::object::Body::Node(node)) = tainted.body.as_mut() {
        let taint = v1::Taint { key: "gpu".into(), effect: "NoSchedule".into(), ..Default::default() };
        node.spec.get_or_insert_default().taints.push(taint);
        let ready = Condition { r#type: "DiskPressure".into(), status: "False".into(), ..Default::default() };
        node.status.get_or_insert_default().conditions.push(ready);
    }
    leader.create(tainted).await;
    leader.beat(&["n1"]).await;
    leader
        .wait(|leader| {
            leader.pod("p").status.unwrap_or_default().message == "0/1 nodes fit: 1 has taint gpu:NoSchedule"
        })
        .await;
    let told = leader.get(Kind::Pod, "default", "p").unwrap().revision;
    assert!(told > revision);
    leader.beat(&["n1"]).await;
    leader.create(pod("default", "other", "1")).await;
    leader.wait(|leader| !leader.pod("other").status.unwrap_or_default().message.is_empty()).await;
    assert_eq!(leader.get(Kind::Pod, "default", "p").unwrap().revision, told);
    leader.stop().await;
}
