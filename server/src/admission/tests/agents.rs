//! What agents of nodes may write: themselves, their pods' status, events, and the end of what they ran. And what they
//! may read of what their pods are given.

use super::*;
use crate::auth::node_authorizer::{Sight, check_get};

#[test]
fn an_agent_creates_its_own_node_and_events_only() {
    let node = |text: &str| format!("kind: Node\nmetadata: {{{text}}}");
    try_create(&agent(), &node("name: n1, labels: {zone: a}")).unwrap();
    check_forbidden(try_create(&agent(), &node("name: n2")), "write node n2");
    check_forbidden(try_create(&agent(), &node("name: n1, labels: {boss.dev/x: y}")), "labels under boss.dev/");
    check_forbidden(try_create(&agent(), &node("name: n1, finalizers: [a]")), "owners or finalizers");
    let tainted = "kind: Node\nmetadata: {name: n1}\nspec: {taints: [{key: a, effect: NoSchedule}]}";
    check_forbidden(try_create(&agent(), tainted), "taints");
    check_forbidden(try_create(&agent(), &pod("containers: [{command: [x]}]")), "create pods");
    let event = "kind: Event\nmetadata: {name: e}\ninvolvedObject: {kind: Pod, name: p}\nreason: X\ntype: Normal";
    try_create(&agent(), event).unwrap();
}

#[test]
fn an_agent_does_not_change_what_others_say_of_its_node() {
    let node = |text: &str| format!("kind: Node\nmetadata: {{name: n1, {text}}}");
    try_update(&agent(), &node("labels: {boss.dev/pool: a, zone: b}")).unwrap();
    check_forbidden(try_update(&agent(), &node("labels: {boss.dev/pool: b}")), "labels under boss.dev/");
    check_forbidden(try_update(&agent(), &node("labels: {zone: b}")), "labels under boss.dev/");
    let owned = "labels: {boss.dev/pool: a}, ownerReferences: [{kind: Pod, name: x, uid: y}]";
    check_forbidden(try_update(&agent(), &node(owned)), "owners");
    let away = "kind: Node\nmetadata: {name: n1, labels: {boss.dev/pool: a}}\nspec: {unschedulable: true}";
    check_forbidden(try_update(&agent(), away), "schedulability");
    check_forbidden(try_update(&agent(), "kind: Namespace\nmetadata: {name: default}"), "update namespaces");
}

#[test]
fn an_agent_reports_only_on_what_is_its_own() {
    let pod_status = |name: &str| format!("kind: Pod\nmetadata: {{name: {name}}}\nstatus: {{phase: Running}}");
    try_update_status(&agent(), &pod_status("mine")).unwrap();
    check_forbidden(try_update_status(&agent(), &pod_status("theirs")), "not bound to it");
    try_update_status(&agent(), "kind: Node\nmetadata: {name: n1}\nstatus: {}").unwrap();
    check_forbidden(
        try_update_status(&agent(), "kind: Namespace\nmetadata: {name: default}\nstatus: {}"),
        "namespaces",
    );
}

#[test]
fn only_the_agent_says_that_a_sandbox_is_gone() {
    try_delete(&agent(), "Pod", "default", "mine", true).unwrap();
    check_forbidden(try_delete(&agent(), "Pod", "default", "theirs", true), "not bound to it");
    check_forbidden(try_delete(&agent(), "Pod", "default", "mine", false), "absence");
    check_forbidden(try_delete(&agent(), "Node", "", "n1", false), "delete nodes");
    check_forbidden(try_delete(&admin(), "Pod", "default", "mine", true), "only the agent");
    // Gone already: apply answers from what it remembers of the request.
    try_delete(&agent(), "Pod", "default", "gone", true).unwrap();
}

#[test]
fn an_agent_makes_no_transactions_whatever_they_read_or_write() {
    let key =
        |kind: &str, name: &str| v1::ObjectKey { kind: kind.into(), namespace: "default".into(), name: name.into() };
    let get = |key| v1::txn_operation::Operation::Get(v1::GetRequest { key: Some(key), ..Default::default() });
    let exists = |key| v1::Compare { key: Some(key), condition: Some(v1::compare::Condition::Exists(true)) };
    let of = |operation| v1::TxnOperation { operation: Some(operation) };
    for key in [key("Pod", "theirs"), key("Pod", "mine"), key("Secret", "s"), key("ConfigMap", "c")] {
        for request in [
            v1::TxnRequest { success: vec![of(get(key.clone()))], ..Default::default() },
            v1::TxnRequest { failure: vec![of(get(key.clone()))], ..Default::default() },
            v1::TxnRequest { compare: vec![exists(key.clone())], ..Default::default() },
        ] {
            check_forbidden(admit(&registry(CLUSTER), &agent(), Write::Txn(request), stamp()), "no transactions");
        }
    }
}

#[test]
fn an_agent_deletes_no_collection_not_even_an_empty_one() {
    for name in ["theirs", "mine", "absent"] {
        let request = v1::DeleteCollectionRequest {
            kind: "Pod".into(),
            namespace: "default".into(),
            field_selector: format!("metadata.name={name}"),
            dry_run: true,
            ..Default::default()
        };
        let found = collect(&registry(CLUSTER), &agent(), &request, stamp());
        check_forbidden(found.map(|found| found.operations.len()), "no collections");
    }
}

/// Pods with what they are given: one on n1, one on n2, one nowhere.
const GIVEN: &str = r#"
---
kind: Namespace
metadata: {name: other}
---
kind: Node
metadata: {name: n2}
status:
  conditions: [{type: Ready, status: "True"}]
  allocatable: {cpu: "4", memory: 4Gi}
  runtimeCapabilities:
    providers:
      - {name: process, classes: [process], healthy: true, isolationLevels: [sharedHost], networkModes: [host],
         artifactTypes: [Executable]}
---
kind: Pod
metadata: {name: here, namespace: default}
spec: {nodeName: n1, sandboxClass: process, containers: [{name: main, command: [a], envFrom: [{secretRef: {name: s}}],
       env: [{name: A, valueFrom: {configMapKeyRef: {name: m, key: k}}}]}]}
---
kind: Pod
metadata: {name: there, namespace: default}
spec: {nodeName: n2, sandboxClass: process, containers: [{name: main, command: [a], envFrom: [{secretRef: {name: t}}]}]}
---
kind: Pod
metadata: {name: nowhere, namespace: default}
spec: {sandboxClass: process, containers: [{name: main, command: [a], envFrom: [{secretRef: {name: u}}]}]}
"#;

#[test]
fn an_agent_reads_what_its_own_pods_name_and_nothing_else() {
    let view = registry(&format!("{}{GIVEN}", CLUSTER.trim_end()));
    let other = identity(Role::Node("n2".into()), "system:node:n2", &[NODES_GROUP]);
    let reads = |who: &Identity, kind, namespace: &str, name: &str, is_past| {
        let key = Key::new(kind, namespace, name);
        check_get(who, Sight { view: &view, key: &key, record: None, is_past }).is_ok()
    };
    for (kind, namespace, name, [first, second]) in [
        (Kind::Secret, "default", "s", [true, false]),
        (Kind::ConfigMap, "default", "m", [true, false]),
        (Kind::Secret, "default", "t", [false, true]),
        (Kind::Secret, "default", "u", [false, false]),
        // The same names elsewhere, or of another kind.
        (Kind::Secret, "other", "s", [false, false]),
        (Kind::Secret, "default", "m", [false, false]),
        (Kind::ConfigMap, "default", "s", [false, false]),
        (Kind::ServiceAccount, "default", "s", [false, false]),
    ] {
        let got = [reads(&agent(), kind, namespace, name, false), reads(&other, kind, namespace, name, false)];
        assert_eq!(got, [first, second], "{kind} {namespace}/{name}");
    }
    assert!(!reads(&agent(), Kind::Secret, "default", "s", true), "what it was before is nobody's business");
    assert!(reads(&admin(), Kind::Secret, "default", "t", true), "who is no agent is asked for roles alone");
}
