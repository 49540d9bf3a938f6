//! The engine with a provider in memory and no server: what it does with what a watch tells.
#![expect(clippy::disallowed_methods, reason = "the server of a test refuses what a test wants refused")]
#![expect(clippy::unwrap_used, reason = "a test may stop at what it does not expect")]

use std::{sync::Arc, time::Duration};

use boss_base::{
    clock::SystemClock,
    pki::CertificateAuthority,
    tasks::{OnExit, Tasks},
};
use boss_client::{
    Client, Config, Credentials, Error, Source,
    watch::{EventKind, Item},
};
use boss_node::{
    agent::{
        board::Board,
        engine::{Engine, Parts},
        events::Events,
        providers::Providers,
        reporter::Reporter,
    },
    runtime::{Runtime, Status, fake::FakeRuntime},
    sandbox::{SandboxId, Values, files::ExitKind},
};
use boss_proto::{
    ids::{NodeName, Revision, Uid},
    object::Resource,
    v1,
};
use tokio::sync::mpsc;

struct World {
    runtime: Arc<FakeRuntime>,
    reporter: Reporter,
    items: mpsc::Sender<Item>,
    tasks: Tasks,
}

impl World {
    /// An engine that has adopted what `runtime` holds and waits for its first list.
    async fn start(runtime: FakeRuntime) -> Self {
        let (runtime, tasks, reporter) = (Arc::new(runtime), Tasks::new(), Reporter::default());
        let providers = Providers::new(vec![runtime.clone()]);
        providers.probe().await;
        let (client, clock) = (unreachable_client(), Arc::new(SystemClock));
        let node = NodeName::from("n1");
        let mut engine = Engine::new(Parts {
            events: Events::start(client.clone(), &node, clock.clone(), &tasks),
            node,
            host_ip: "10.0.0.1".to_owned(),
            providers,
            reporter: reporter.clone(),
            board: Board::default(),
            client,
            clock,
            tasks: tasks.clone(),
        });
        engine.adopt().await.unwrap();
        let (items, queue) = mpsc::channel(16);
        tasks.spawn("engine", OnExit::Log, async move { engine.run(queue).await.unwrap() });
        Self { runtime, reporter, items, tasks }
    }

    async fn with_pods(pods: &[v1::Pod]) -> Self {
        let world = Self::start(FakeRuntime::default()).await;
        world.list(pods).await;
        world
    }

    async fn list(&self, pods: &[v1::Pod]) {
        let objects = pods.iter().map(|pod| pod.clone().into_object()).collect();
        self.items.send(Item::Restarted { objects, revision: Revision(1) }).await.unwrap();
    }

    async fn tell(&self, kind: EventKind, pod: &v1::Pod) {
        let object = pod.clone().into_object();
        self.items.send(Item::Event { kind, object, revision: Revision(2) }).await.unwrap();
    }

    fn status(&self, uid: &str) -> Option<v1::PodStatus> {
        let waiting = self.reporter.waiting();
        waiting.into_iter().find(|(found, _)| found.as_str() == uid).map(|(_, status)| status)
    }

    /// The pod's status once it is as it should be.
    async fn status_when(&self, uid: &str, is_right: impl Fn(&v1::PodStatus) -> bool) -> v1::PodStatus {
        for _ in 0..5_000 {
            if let Some(status) = self.status(uid).filter(&is_right) {
                return status;
            }
            tokio::time::sleep(Duration::from_millis(5)).await;
        }
        panic!("never came: the status is {:?}", self.status(uid));
    }

    async fn until(&self, id: &SandboxId, is_right: impl Fn(&Status) -> bool) {
        for _ in 0..5_000 {
            if is_right(&self.runtime.status(id).await.unwrap()) {
                return;
            }
            tokio::time::sleep(Duration::from_millis(5)).await;
        }
        panic!("never came: the sandbox is {:?}", self.runtime.status(id).await);
    }
}

impl Drop for World {
    fn drop(&mut self) {
        self.tasks.cancel();
    }
}

/// Nothing listens there: whatever the engine asks the registry stays open.
fn unreachable_client() -> Client {
    let authority = CertificateAuthority::generate("c").unwrap();
    let servers = vec!["127.0.0.1:1".parse().unwrap()];
    let ca = Source::Inline(authority.cert_pem().to_owned());
    Client::connect(Config::new(servers, ca, Credentials::Token(Source::Inline("none".to_owned())))).unwrap()
}

fn pod(uid: &str, program: &[&str]) -> v1::Pod {
    let container = v1::Container {
        name: "main".to_owned(),
        command: program.iter().map(|word| (*word).to_owned()).collect(),
        ..v1::Container::default()
    };
    v1::Pod {
        metadata: Some(v1::ObjectMeta {
            name: uid.to_owned(),
            namespace: "default".to_owned(),
            uid: uid.to_owned(),
            generation: 1,
            ..v1::ObjectMeta::default()
        }),
        spec: Some(v1::PodSpec { node_name: "n1".to_owned(), containers: vec![container], ..v1::PodSpec::default() }),
        ..v1::Pod::default()
    }
}

fn always(mut pod: v1::Pod) -> v1::Pod {
    pod.spec.as_mut().unwrap().restart_policy = "Always".to_owned();
    pod
}

fn deleting(mut pod: v1::Pod) -> v1::Pod {
    pod.metadata.as_mut().unwrap().deletion_timestamp = Some(pbjson_types::Timestamp { seconds: 1, nanos: 0 });
    pod
}

fn id(uid: &str, attempt: u32) -> SandboxId {
    SandboxId::new(&Uid::from(uid), attempt)
}

/// What an earlier agent left running.
async fn left_running(pod: &v1::Pod) -> FakeRuntime {
    let runtime = FakeRuntime::default();
    let id = id(&pod.metadata().unwrap().uid, 1);
    let spec = boss_node::agent::intent::sandbox(pod, id.clone(), "n1", 0).unwrap();
    runtime.prepare(&spec).await.unwrap();
    runtime.start(&id, &Values::default()).await.unwrap();
    runtime
}

#[tokio::test]
async fn a_bound_pod_runs_and_is_reported() {
    let world = World::with_pods(&[pod("a", &["sleep"])]).await;
    let status = world.status_when("a", |status| status.phase == "Running").await;
    assert_eq!((status.attempt, &*status.sandbox_id, &*status.host_ip), (1, "a-1", "10.0.0.1"));
    assert_eq!((&*status.provider, &*status.class, status.observed_generation), ("fake", "process", 1));
    assert!(status.runtime_ready_at.is_some() && status.start_time.is_some());
}

#[tokio::test]
async fn what_is_killed_runs_again_as_a_new_attempt_and_the_end_is_kept() {
    let world = World::with_pods(&[always(pod("a", &["sleep"]))]).await;
    world.status_when("a", |status| status.phase == "Running").await;
    world.runtime.end(&id("a", 1), ExitKind::Signal { number: 9, out_of_memory: false });
    let status = world.status_when("a", |status| status.attempt == 2 && status.sandbox_state == "Running").await;
    let container = &status.container_statuses[0];
    assert_eq!(container.restart_count, 1);
    assert_eq!(container.last_state.as_ref().unwrap().terminated.as_ref().unwrap().signal, 9);
}

#[tokio::test]
async fn what_may_not_run_again_ends_with_its_exit_code() {
    let world = World::with_pods(&[pod("good", &["exit", "0"]), pod("bad", &["exit", "3"])]).await;
    let good = world.status_when("good", |status| status.phase == "Succeeded").await;
    assert_eq!(good.container_statuses[0].restart_count, 0);
    let bad = world.status_when("bad", |status| status.phase == "Failed").await;
    let terminated = bad.container_statuses[0].state.as_ref().unwrap().terminated.as_ref().unwrap();
    assert_eq!((terminated.exit_code, &*bad.reason), (3, ""));
}

#[tokio::test]
async fn what_this_node_cannot_run_fails_with_the_stable_reason() {
    let with = |uid: &str, change: fn(&mut v1::PodSpec)| {
        let mut pod = pod(uid, &["sleep"]);
        change(pod.spec.as_mut().unwrap());
        pod
    };
    let world = World::with_pods(&[
        with("wasm", |spec| spec.sandbox_class = "wasm".into()),
        with("teapot", |spec| spec.sandbox_class = "teapot".into()),
        with("strong", |spec| spec.isolation = "hardwareVirtualized".into()),
        with("nothing", |spec| spec.containers[0].command.clear()),
        with("missing", |spec| spec.containers[0].command = vec!["/no/such/program".into()]),
    ])
    .await;
    for (uid, reason) in [
        ("wasm", "ProviderUnavailable"),
        ("teapot", "UnsupportedClass"),
        ("strong", "IsolationMismatch"),
        ("nothing", "InvalidSpec"),
        ("missing", "StartFailed"),
    ] {
        let status = world.status_when(uid, |status| status.phase == "Failed").await;
        assert_eq!(status.reason, reason, "{uid}: {}", status.message);
        assert!(!status.message.is_empty());
    }
}

#[tokio::test]
async fn a_deleted_pod_is_stopped_and_nothing_of_it_stays() {
    let world = World::with_pods(&[pod("a", &["sleep"])]).await;
    world.status_when("a", |status| status.phase == "Running").await;
    world.tell(EventKind::Modified, &deleting(pod("a", &["sleep"]))).await;
    world.until(&id("a", 1), |status| *status == Status::Absent).await;
}

#[tokio::test]
async fn a_pod_that_is_deleted_while_it_backs_off_does_not_come_back() {
    let world = World::with_pods(&[always(pod("a", &["exit", "1"]))]).await;
    world.status_when("a", |status| status.sandbox_state == "Exited").await;
    world.tell(EventKind::Modified, &deleting(always(pod("a", &["exit", "1"])))).await;
    world.until(&id("a", 1), |status| *status == Status::Absent).await;
    tokio::time::sleep(Duration::from_millis(700)).await;
    assert!(world.runtime.list().await.unwrap().is_empty(), "the wait was over, and nothing started");
}

#[tokio::test]
async fn a_pod_that_left_the_registry_is_stopped() {
    let world = World::with_pods(&[pod("a", &["sleep"])]).await;
    world.status_when("a", |status| status.phase == "Running").await;
    world.tell(EventKind::Deleted, &pod("a", &["sleep"])).await;
    world.until(&id("a", 1), |status| *status == Status::Absent).await;
}

#[tokio::test]
async fn what_an_earlier_agent_left_goes_on_as_the_same_attempt() {
    let pod = pod("a", &["sleep"]);
    let world = World::start(left_running(&pod).await).await;
    world.list(std::slice::from_ref(&pod)).await;
    let status = world.status_when("a", |status| status.phase == "Running").await;
    assert_eq!((status.attempt, status.container_statuses[0].restart_count), (1, 0));
    assert_eq!(world.runtime.list().await.unwrap(), [id("a", 1)]);
    world.runtime.end(&id("a", 1), ExitKind::Code(0));
    world.status_when("a", |status| status.phase == "Succeeded").await;
}

#[tokio::test]
async fn an_unlisted_sandbox_stays_while_the_registry_cannot_be_asked() {
    let world = World::start(left_running(&pod("a", &["sleep"])).await).await;
    world.list(&[]).await;
    tokio::time::sleep(Duration::from_millis(1_500)).await;
    assert!(matches!(world.runtime.status(&id("a", 1)).await.unwrap(), Status::Running(_)));
}

#[tokio::test]
async fn losing_all_servers_stops_nothing() {
    let world = World::with_pods(&[pod("a", &["sleep"])]).await;
    world.status_when("a", |status| status.phase == "Running").await;
    let lost = Error::from_status(&tonic::Status::unavailable("gone"));
    world.items.send(Item::Interrupted(lost)).await.unwrap();
    world.tell(EventKind::Added, &pod("b", &["sleep"])).await;
    world.status_when("b", |status| status.phase == "Running").await;
    assert!(matches!(world.runtime.status(&id("a", 1)).await.unwrap(), Status::Running(_)));
}

#[tokio::test]
async fn a_pod_that_ran_here_before_the_state_was_lost_does_not_run_twice() {
    let known = |uid: &str| {
        let mut pod = pod(uid, &["sleep"]);
        pod.status = Some(v1::PodStatus { phase: "Running".into(), attempt: 4, ..v1::PodStatus::default() });
        pod
    };
    let world = World::with_pods(&[known("never"), always(known("always"))]).await;
    let status = world.status_when("never", |status| status.phase == "Failed").await;
    assert_eq!(status.reason, "StatusUnknown");
    let status = world.status_when("always", |status| status.sandbox_state == "Running").await;
    assert_eq!(status.attempt, 5, "attempts go on where the registry knows them to be");
}

#[tokio::test]
async fn a_status_that_somebody_else_wrote_is_written_again() {
    let world = World::with_pods(&[pod("a", &["sleep"])]).await;
    world.status_when("a", |status| status.phase == "Running").await;
    let mut lost = pod("a", &["sleep"]);
    lost.status = Some(v1::PodStatus { phase: "Unknown".into(), ..v1::PodStatus::default() });
    world.tell(EventKind::Modified, &lost).await;
    world.status_when("a", |status| status.phase == "Running").await;
}
