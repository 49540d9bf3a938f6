//! Feasibility by example: one node, one change to it or to the pod, the reason.

use std::collections::BTreeMap;

use boss_proto::v1::{
    Condition, LabelRequirement, Network, Node, NodeAffinity, NodeSelectorTerm, NodeSpec, NodeStatus, ObjectMeta,
    PodSpec, Provider, ResourceList, Resources, RuntimeCapabilities, Taint, Toleration,
};

use super::{Amounts, Rejected, Used, explain, feasible, providers_for};

fn words(text: &str) -> Vec<String> {
    text.split_whitespace().map(str::to_owned).collect()
}

fn labels(text: &str) -> BTreeMap<String, String> {
    text.split_whitespace().filter_map(|pair| pair.split_once('=')).map(|(k, v)| (k.to_owned(), v.to_owned())).collect()
}

fn resources(cpu: &str, memory: &str) -> ResourceList {
    ResourceList { cpu: cpu.to_owned(), memory: memory.to_owned(), ..Default::default() }
}

fn provider(name: &str, classes: &str) -> Provider {
    Provider {
        name: name.to_owned(),
        classes: words(classes),
        healthy: true,
        artifact_types: words("Executable"),
        network_modes: words("host none"),
        isolation_levels: words("sharedHost namespaced"),
        ..Default::default()
    }
}

fn node() -> Node {
    Node {
        metadata: Some(ObjectMeta { labels: labels("zone=a topology.boss.dev/region=eu"), ..Default::default() }),
        spec: Some(NodeSpec::default()),
        status: Some(NodeStatus {
            allocatable: Some(resources("4", "1Gi")),
            conditions: vec![Condition { r#type: "Ready".to_owned(), status: "True".to_owned(), ..Default::default() }],
            runtime_capabilities: Some(RuntimeCapabilities { providers: vec![provider("p", "process")] }),
            ..Default::default()
        }),
        ..Default::default()
    }
}

fn pod() -> PodSpec {
    PodSpec {
        sandbox_class: "process".to_owned(),
        resources: Some(Resources { requests: Some(resources("1500m", "256Mi")), limits: None }),
        ..Default::default()
    }
}

#[track_caller]
fn check(edit: impl FnOnce(&mut PodSpec, &mut Node), expected: &str) {
    let (mut pod, mut node) = (pod(), node());
    edit(&mut pod, &mut node);
    let rejected = feasible(&pod, &node, &Used::default()).err().unwrap_or_default();
    assert_eq!(explain(&rejected), expected);
}

fn first_provider(node: &mut Node) -> &mut Provider {
    &mut node.status.as_mut().unwrap().runtime_capabilities.as_mut().unwrap().providers[0]
}

#[test]
fn a_plain_pod_fits_a_plain_node() {
    check(|_, _| {}, "");
}

#[test]
fn the_node_must_be_ready_and_open() {
    check(|_, node| node.spec.as_mut().unwrap().unschedulable = true, "the node is unschedulable");
    check(|_, node| node.status.as_mut().unwrap().conditions.clear(), "the node is not ready");
    check(
        |_, node| node.metadata.as_mut().unwrap().deletion_timestamp = Some(pbjson_types::Timestamp::default()),
        "the node is being deleted",
    );
}

#[test]
fn taints_need_tolerations() {
    let taint = |effect: &str| Taint { key: "gpu".to_owned(), value: "yes".to_owned(), effect: effect.to_owned() };
    let tolerate = |operator: &str, key: &str, value: &str| Toleration {
        key: key.to_owned(),
        operator: operator.to_owned(),
        value: value.to_owned(),
        effect: String::new(),
    };
    let tainted = |node: &mut Node, effect: &str| node.spec.as_mut().unwrap().taints = vec![taint(effect)];
    check(|_, node| tainted(node, "NoSchedule"), "taint gpu=yes:NoSchedule is not tolerated");
    check(|_, node| tainted(node, "PreferNoSchedule"), "");
    for toleration in [tolerate("", "gpu", "yes"), tolerate("Exists", "gpu", ""), tolerate("Exists", "", "")] {
        check(
            |pod, node| {
                tainted(node, "NoExecute");
                pod.tolerations = vec![toleration];
            },
            "",
        );
    }
}

#[test]
fn labels_must_match() {
    check(|pod, _| pod.node_selector = labels("zone=b"), "label zone=b is missing");
    check(|pod, _| pod.region = "us".to_owned(), "the node is not in region us");
    check(|pod, _| pod.region = "eu".to_owned(), "");
    for (operator, values, fits) in [
        ("In", "a b", true),
        ("In", "b", false),
        ("NotIn", "a", false),
        ("Exists", "", true),
        ("DoesNotExist", "", false),
    ] {
        let requirement =
            LabelRequirement { key: "zone".to_owned(), operator: operator.to_owned(), values: words(values) };
        let term = NodeSelectorTerm { match_expressions: vec![requirement] };
        let expected = if fits { "" } else { "no required affinity term matches the node's labels" };
        check(|pod, _| pod.affinity = Some(NodeAffinity { required: vec![term], preferred: vec![] }), expected);
    }
}

#[test]
fn every_part_that_no_provider_has_is_named() {
    check(
        |pod, _| {
            pod.sandbox_class = "vm".to_owned();
            pod.isolation = "hardwareVirtualized".to_owned();
            pod.network = Some(Network { mode: "tap".to_owned() });
        },
        "no provider runs class vm; no provider isolates at least hardwareVirtualized; no provider has network mode tap",
    );
    check(|pod, _| pod.isolation = "namespaced".to_owned(), "");
    check(
        |pod, _| pod.isolation = "nowhere".to_owned(),
        "spec.isolation: \"nowhere\" is not a isolation level: use one of sharedHost, namespaced, runtimeSandboxed, kernelIsolated, hardwareVirtualized",
    );
}

#[test]
fn a_provider_must_work_and_have_room() {
    check(
        |_, node| {
            first_provider(node).healthy = false;
            first_provider(node).reason = "no cgroups".to_owned();
        },
        "provider p is not healthy: no cgroups",
    );
    let mut node = node();
    first_provider(&mut node).concurrency_max = 1;
    let mut used = Used::default();
    used.add(&PodSpec::default(), "p");
    assert_eq!(feasible(&pod(), &node, &used), Err(vec![Rejected::Full { provider: "p".to_owned(), max: 1 }]));
    node.status.as_mut().unwrap().runtime_capabilities.as_mut().unwrap().providers.push(provider("q", "process"));
    let fitting = providers_for(&pod(), &node, &used).unwrap();
    assert_eq!(fitting.iter().map(|provider| &*provider.name).collect::<Vec<_>>(), ["q"]);
}

#[test]
fn what_is_bound_already_counts() {
    let mut used = Used::default();
    used.add(&pod(), "p");
    assert_eq!(feasible(&pod(), &node(), &used), Ok(()));
    used.add(&pod(), "p");
    let expected = Rejected::Resources { resource: "cpu", wanted: 1_500, free: 1_000 };
    assert_eq!(feasible(&pod(), &node(), &used), Err(vec![expected]));
    used.remove(&pod(), "p");
    used.remove(&pod(), "p");
    assert_eq!(used, Used::default());
}

#[test]
fn missing_amounts_read_as_users_write_them() {
    check(
        |pod, _| pod.resources = Some(Resources { requests: Some(resources("5", "2Gi")), limits: None }),
        "not enough cpu: 5 wanted, 4 free; not enough memory: 2Gi wanted, 1Gi free",
    );
}

#[test]
fn limits_stand_in_for_missing_requests() {
    let mut pod = pod();
    pod.resources = Some(Resources { requests: Some(resources("1", "")), limits: Some(resources("2", "1Mi")) });
    let expected = Amounts { cpu_millis: 1_000, memory: 1 << 20, ..Amounts::default() };
    assert_eq!(Amounts::requested(&pod), expected);
}
