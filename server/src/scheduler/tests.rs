//! Placements, as tables and as properties.

use std::sync::Arc;

use boss_proto::{
    ids::NodeName,
    object::Resource,
    v1::{self, Condition, ObjectMeta, PodSpec, Provider, ResourceList, Resources},
};
use boss_raft::state::{
    Record, annotations,
    feasible::{Amounts, feasible},
};
use proptest::prelude::*;

use super::*;

fn record(object: impl Into<v1::Object>) -> Arc<Record> {
    Arc::new(Record::new(object.into()).expect("test objects have metadata"))
}

/// `n1 cpu=4 memory=8Gi taint=gpu label=zone:a unready cordoned latency=900 class=wasm`
pub(crate) fn node(text: &str) -> Arc<Record> {
    let mut words = text.split_whitespace();
    let name = words.next().expect("a node has a name");
    let mut metadata = ObjectMeta { name: name.to_owned(), ..Default::default() };
    let mut spec = v1::NodeSpec::default();
    let mut room = ResourceList { cpu: "4".into(), memory: "8Gi".into(), ..Default::default() };
    let mut ready = "True";
    let mut provider = Provider {
        name: "native".into(),
        classes: vec!["process".into()],
        healthy: true,
        artifact_types: vec!["Executable".into()],
        network_modes: vec!["host".into()],
        isolation_levels: vec!["sharedHost".into()],
        ..Default::default()
    };
    for word in words {
        match word.split_once('=').unwrap_or((word, "")) {
            ("cpu", value) => room.cpu = value.into(),
            ("memory", value) => room.memory = value.into(),
            ("taint", key) => {
                spec.taints.push(v1::Taint { key: key.into(), effect: "NoSchedule".into(), ..Default::default() })
            }
            ("soft", key) => {
                spec.taints.push(v1::Taint { key: key.into(), effect: "PreferNoSchedule".into(), ..Default::default() })
            }
            ("label", pair) => {
                let (key, value) = pair.split_once(':').expect("key:value");
                metadata.labels.insert(key.into(), value.into());
            }
            ("latency", us) => provider.start_latency_us = us.parse().expect("a number"),
            ("class", class) => provider.classes = vec![class.into()],
            ("unready", _) => ready = "Unknown",
            ("cordoned", _) => spec.unschedulable = true,
            (other, _) => panic!("unknown word {other}"),
        }
    }
    let status = v1::NodeStatus {
        allocatable: Some(room),
        runtime_capabilities: Some(v1::RuntimeCapabilities { providers: vec![provider] }),
        conditions: vec![Condition { r#type: "Ready".into(), status: ready.into(), ..Default::default() }],
        ..Default::default()
    };
    record(v1::Node { metadata: Some(metadata), spec: Some(spec), status: Some(status), ..Default::default() })
}

/// `cpu=2 memory=1Gi class=wasm zone=a tolerate=gpu isolation=namespaced network=tap`
pub(crate) fn spec(text: &str) -> PodSpec {
    let mut spec = PodSpec::default();
    let mut requests = ResourceList::default();
    for word in text.split_whitespace() {
        let (key, value) = word.split_once('=').expect("key=value");
        match key {
            "cpu" => requests.cpu = value.into(),
            "memory" => requests.memory = value.into(),
            "class" => spec.sandbox_class = value.into(),
            "isolation" => spec.isolation = value.into(),
            "network" => spec.network = Some(v1::Network { mode: value.into() }),
            "zone" => {
                spec.node_selector.insert("zone".into(), value.into());
            }
            "tolerate" => spec.tolerations.push(v1::Toleration {
                key: value.into(),
                operator: "Exists".into(),
                ..Default::default()
            }),
            other => panic!("unknown word {other}"),
        }
    }
    spec.resources = Some(Resources { requests: Some(requests), limits: None });
    spec
}

pub(crate) fn pod(name: &str, mut spec: PodSpec, on: &str, phase: &str) -> Arc<Record> {
    spec.node_name = on.into();
    let mut metadata =
        ObjectMeta { name: name.into(), namespace: "default".into(), uid: format!("uid-{name}"), ..Default::default() };
    if !on.is_empty() {
        metadata.annotations.insert(annotations::PROVIDER.into(), "native".into());
    }
    let status = v1::PodStatus { phase: phase.into(), ..Default::default() };
    record(
        v1::Pod { metadata: Some(metadata), spec: Some(spec), status: Some(status), ..Default::default() }
            .into_object(),
    )
}

pub(crate) fn cluster(nodes: &str) -> Cluster {
    let mut cluster = Cluster::default();
    for text in nodes.split('|').filter(|text| !text.trim().is_empty()) {
        cluster.set_node(node(text.trim()));
    }
    cluster
}

#[track_caller]
fn check(nodes: &str, pod: &str, expected: &str) {
    let got = match place(&cluster(nodes), &spec(pod)) {
        Ok(placement) => placement.node.to_string(),
        Err(no_fit) => no_fit.message(),
    };
    assert_eq!(got, expected, "pod {pod} on {nodes}");
}

#[test]
fn nodes_that_cannot_take_the_pod_are_passed_over() {
    check("n1 cpu=1 | n2 cpu=8", "cpu=2", "n2");
    check("n1 cordoned | n2", "cpu=2", "n2");
    check("n1 unready | n2", "cpu=2", "n2");
    check("n1 taint=gpu | n2", "cpu=2", "n2");
    check("n1 | n2 label=zone:b | n3 label=zone:a", "zone=a", "n3");
    check("n1 | n2 class=wasm", "class=wasm", "n2");
}

#[test]
fn a_pod_that_fits_nowhere_is_told_every_reason() {
    check("", "cpu=1", "0/0 nodes fit: the cluster has no node; start boss-node on a machine");
    check(
        "n1 cpu=1.5 | n2 cpu=1 | n3 taint=x",
        "cpu=4",
        "0/3 nodes fit: 2 lack 4 cpu (free 1.5), 1 has taint x:NoSchedule",
    );
    check("n1 unready", "", "0/1 nodes fit: 1 is not ready");
    check("n1 memory=512Mi", "memory=1Gi", "0/1 nodes fit: 1 lacks 1Gi memory (free 512Mi)");
}

#[test]
fn the_no_provider_message_names_the_parts_of_the_intent_that_failed() {
    let message = |pod: &str| place(&cluster("n1 | n2"), &spec(pod)).expect_err("no provider fits").message();
    assert!(message("class=vm").starts_with("no provider for class vm; 0/2 nodes fit: "), "{}", message("class=vm"));
    let network = message("network=tap");
    assert!(network.starts_with("no provider for network mode tap; "), "{network}");
    let isolation = message("isolation=hardwareVirtualized");
    assert!(isolation.starts_with("no provider for isolation hardwareVirtualized; "), "{isolation}");
}

#[test]
fn wishes_come_before_speed_before_pressure_before_the_name() {
    check("n1 soft=old | n2 latency=900000", "cpu=1", "n2");
    check("n1 latency=90000 | n2 latency=900", "cpu=1", "n2");
    check("n1 cpu=2 | n2 cpu=16", "cpu=1", "n2");
    check("n2 | n1", "cpu=1", "n1");
}

#[test]
fn measurements_within_noise_do_not_decide() {
    check("n1 cpu=2 latency=1100 | n2 cpu=16 latency=1900", "cpu=1", "n2");
}

#[test]
fn assumed_placements_take_room_until_they_are_released() {
    let mut cluster = cluster("n1 cpu=1");
    let pod = pod("p", spec("cpu=1"), "", "");
    let placement = place(&cluster, &spec("cpu=1")).expect("there is room");
    cluster.assume(pod.clone(), &placement);
    assert!(place(&cluster, &spec("cpu=1")).is_err());
    assert_eq!(cluster.set_pod(pod), Some(NodeName::new("n1")), "an unbound pod takes nothing");
    assert!(place(&cluster, &spec("cpu=1")).is_ok());
}

#[test]
fn ended_pods_take_nothing() {
    let mut cluster = cluster("n1 cpu=1");
    cluster.set_pod(pod("p", spec("cpu=1"), "n1", "Running"));
    assert!(place(&cluster, &spec("cpu=1")).is_err());
    assert_eq!(cluster.set_pod(pod("p", spec("cpu=1"), "n1", "Succeeded")), Some(NodeName::new("n1")));
    assert!(place(&cluster, &spec("cpu=1")).is_ok());
}

#[test]
fn pods_heard_of_before_their_node_count_once_it_appears() {
    let mut cluster = Cluster::default();
    cluster.set_pod(pod("p", spec("cpu=1"), "n1", "Running"));
    cluster.set_node(node("n1 cpu=1"));
    assert!(place(&cluster, &spec("cpu=1")).is_err());
}

fn any_node() -> impl Strategy<Value = String> {
    let flag =
        prop::sample::select(vec!["", " taint=x", " soft=y", " unready", " cordoned", " label=zone:a", " class=wasm"]);
    (1_u32..8, 1_u32..8, flag, 500_u32..100_000)
        .prop_map(|(cpu, memory, flag, latency)| format!("cpu={cpu} memory={memory}Gi latency={latency}{flag}"))
}

fn any_pod() -> impl Strategy<Value = String> {
    let flag = prop::sample::select(vec!["", " tolerate=x", " zone=a", " class=wasm", " class=process"]);
    (100_u32..4_000, 1_u32..4, flag).prop_map(|(millis, memory, flag)| format!("cpu={millis}m memory={memory}Gi{flag}"))
}

/// Places one after the other, each seeing those before it.
fn fill(cluster: &mut Cluster, pods: &[String]) -> Vec<Option<NodeName>> {
    let place_one = |(number, text): (usize, &String)| {
        let placement = place(cluster, &spec(text)).ok()?;
        let candidate = cluster.candidate(&placement.node).expect("the chosen node exists");
        feasible(&spec(text), candidate.node, candidate.used).expect("the chosen node can take the pod");
        cluster.assume(pod(&format!("p{number}"), spec(text), "", ""), &placement);
        Some(placement.node)
    };
    pods.iter().enumerate().map(place_one).collect()
}

fn named(nodes: &[String]) -> Vec<Arc<Record>> {
    nodes.iter().enumerate().map(|(number, text)| node(&format!("n{number} {text}"))).collect()
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(64))]

    #[test]
    fn no_node_is_ever_given_more_than_it_has(
        nodes in prop::collection::vec(any_node(), 0..6),
        pods in prop::collection::vec(any_pod(), 0..24),
    ) {
        let mut cluster = Cluster::default();
        named(&nodes).into_iter().for_each(|node| cluster.set_node(node));
        fill(&mut cluster, &pods);
        for (name, candidate) in cluster.candidates() {
            let status = candidate.node.status.as_ref().expect("test nodes have a status");
            let have = Amounts::read(status.allocatable.as_ref().expect("and room")).named();
            for ((resource, have), (_, taken)) in have.into_iter().zip(candidate.used.amounts.named()) {
                prop_assert!(taken <= have, "{name} gives {taken} of {have} {resource}");
            }
        }
    }

    #[test]
    fn the_order_in_which_nodes_were_heard_of_does_not_matter(
        nodes in prop::collection::vec(any_node(), 0..6),
        pods in prop::collection::vec(any_pod(), 0..24),
    ) {
        let records = named(&nodes);
        let (mut forward, mut backward) = (Cluster::default(), Cluster::default());
        records.iter().for_each(|node| forward.set_node(node.clone()));
        records.iter().rev().for_each(|node| backward.set_node(node.clone()));
        prop_assert_eq!(fill(&mut forward, &pods), fill(&mut backward, &pods));
    }
}
