//! What the agent of a node may see and do.

use boss_proto::v1::{ListRequest, UpdateRequest, WatchRequest};

use crate::support::*;

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn an_agent_sees_and_touches_only_its_own() {
    let cluster = Cluster::start(1).await;
    let mut admin = cluster.admin(0);
    let mut agent = cluster.registry_by_certificate(0, "node", "n1", &[]);
    let node = |name: &str| object(&format!("kind: Node\nmetadata: {{name: {name}}}"));
    create(&mut agent, node("n1")).await.unwrap();
    check_reason(create(&mut agent, node("n2")).await, "FORBIDDEN");
    create(&mut admin, node("n2")).await.unwrap();
    assert!(get(&mut agent, key("Node", "", "n1")).await.is_ok());
    check_reason(get(&mut agent, key("Node", "", "n2")).await, "FORBIDDEN");

    let report = |yaml: &str| UpdateRequest { object: Some(object(yaml)), request_id: None, ..Default::default() };
    let own = "kind: Node\nmetadata: {name: n1}\nstatus: {conditions: [{type: Ready, status: 'True'}, {type: Disk, status: 'True'}]}";
    let written = agent.update_status(report(own)).await.unwrap().into_inner().object.unwrap();
    let boss_proto::v1::object::Body::Node(written) = written.body.unwrap() else { panic!("a node") };
    let conditions = written.status.unwrap().conditions;
    assert!(
        !conditions.iter().any(|condition| condition.r#type == "Ready" && condition.status == "True"),
        "{conditions:?}"
    );
    assert!(conditions.iter().any(|condition| condition.r#type == "Disk"));
    let other = "kind: Node\nmetadata: {name: n2}\nstatus: {}";
    check_reason(agent.update_status(report(other)).await, "FORBIDDEN");

    create(&mut admin, pod("theirs", "")).await.unwrap();
    check_reason(get(&mut agent, key("Pod", "default", "theirs")).await, "FORBIDDEN");
    let status = "kind: Pod\nmetadata: {name: theirs}\nstatus: {phase: Running}";
    check_reason(agent.update_status(report(status)).await, "FORBIDDEN");
    check_reason(delete(&mut agent, key("Pod", "default", "theirs")).await, "FORBIDDEN");
    check_reason(delete(&mut agent, key("Node", "", "n1")).await, "FORBIDDEN");
    check_reason(create(&mut agent, pod("mine", "")).await, "FORBIDDEN");
    check_reason(create(&mut agent, object("kind: Namespace\nmetadata: {name: x}")).await, "FORBIDDEN");

    let list = |fields: &str| ListRequest { kind: "Pod".into(), field_selector: fields.into(), ..Default::default() };
    assert!(agent.list(list("spec.nodeName=n1")).await.unwrap().into_inner().items.is_empty());
    for fields in ["", "spec.nodeName=n2", "spec.nodeName!=n1", "status.phase=Pending"] {
        check_reason(agent.list(list(fields)).await, "FORBIDDEN");
    }
    let watch = |fields: &str| WatchRequest { kind: "Pod".into(), field_selector: fields.into(), ..Default::default() };
    assert!(agent.watch(watch("spec.nodeName=n1")).await.is_ok());
    check_reason(agent.watch(watch("")).await.map(|_| ()), "FORBIDDEN");
    check_reason(agent.list(ListRequest { kind: "Namespace".into(), ..Default::default() }).await, "FORBIDDEN");
}
