//! What is said of pods whose node is lost or gone, as a table.

use boss_proto::{
    object::Resource,
    v1::{Condition, Node, NodeStatus, ObjectMeta, PodSpec, PodStatus},
};

use super::*;
use crate::controllers::testing::registry_with;

fn node(ready: &str) -> Node {
    let condition = Condition { r#type: "Ready".into(), status: ready.into(), ..Default::default() };
    Node {
        metadata: Some(ObjectMeta { name: "n1".into(), uid: "node-uid".into(), ..Default::default() }),
        status: Some(NodeStatus { conditions: vec![condition], ..Default::default() }),
        ..Default::default()
    }
}

fn pod(phase: &str, deleting: bool) -> Record {
    let pod = Pod {
        metadata: Some(ObjectMeta {
            name: "p".into(),
            namespace: "default".into(),
            deletion_timestamp: deleting.then(|| conditions::timestamp(1)),
            ..Default::default()
        }),
        spec: Some(PodSpec { node_name: "n1".into(), ..Default::default() }),
        status: Some(PodStatus { phase: phase.into(), ..Default::default() }),
        ..Default::default()
    };
    Record::new(pod.into_object()).expect("has metadata")
}

fn verdict(view: &View, pod: &Record) -> &'static str {
    match judge(view, pod, 7) {
        None => "nothing",
        Some(Act::Unknown(_)) => "unknown",
        Some(Act::Failed(_)) => "failed",
        Some(Act::Delete) => "delete",
    }
}

#[test]
fn pods_are_judged_by_their_node() {
    let ready = registry_with([node("True")]);
    let lost = registry_with([node("Unknown")]);
    let gone = View::default();
    for (view, phase, deleting, expected) in [
        (&ready, "Running", false, "nothing"),
        (&lost, "Running", false, "unknown"),
        (&lost, "Pending", false, "unknown"),
        (&lost, "Unknown", false, "nothing"),
        (&lost, "Succeeded", false, "nothing"),
        (&lost, "Running", true, "unknown"),
        (&gone, "Running", false, "failed"),
        (&gone, "Unknown", false, "failed"),
        (&gone, "Failed", false, "nothing"),
        (&gone, "Running", true, "delete"),
        (&gone, "Failed", true, "delete"),
    ] {
        assert_eq!(verdict(view, &pod(phase, deleting)), expected, "{phase}, deleting: {deleting}");
    }
}

#[test]
fn a_lost_pod_says_why() {
    let Some(Act::Unknown(pod)) = judge(&registry_with([node("Unknown")]), &pod("Running", false), 7) else {
        panic!("the node is lost");
    };
    let status = pod.status.expect("written");
    assert_eq!((&*status.phase, &*status.reason), ("Unknown", "StatusUnknown"));
    assert!(status.message.contains("n1"), "{}", status.message);
}
