//! What tables show, case by case.

use boss_proto::{kind::Kind, manifest};

use super::*;

/// 2026-11-22T00:10:00Z
const NOW: u64 = 1_795_306_200_000;

const POD: &str = "
apiVersion: boss.dev/v1
kind: Pod
metadata: { name: web, namespace: prod, creationTimestamp: 2026-11-22T00:00:00Z, labels: { app: web } }
spec: { sandboxClass: process, nodeName: node-1, containers: [{ name: main, command: [sleep] }] }
status:
  phase: Running
  class: process
  provider: process
  sandboxId: sb-1
  containerStatuses:
    - { name: main, restartCount: 2, pid: 77, state: { running: { startedAt: 2026-11-22T00:00:05Z } } }
";

const NODE: &str = "
apiVersion: boss.dev/v1
kind: Node
metadata: { name: node-1, creationTimestamp: 2026-11-22T00:00:00Z }
spec: { unschedulable: true }
status:
  allocatable: { cpu: '2', memory: 4Gi }
  addresses: [127.0.0.1]
  nodeInfo: { agentVersion: 0.1.0, kernel: '6.1' }
  conditions: [{ type: Ready, status: 'True' }]
  runtimeCapabilities:
    providers:
      - { name: process, classes: [process], healthy: true }
      - { name: wasm, classes: [wasm], healthy: false, reason: not built in }
";

const EVENT: &str = "
apiVersion: boss.dev/v1
kind: Event
metadata: { name: e1, namespace: prod }
involvedObject: { kind: Pod, namespace: prod, name: web }
type: Warning
reason: BackOff
message: \"bad\\nline\"
source: agent/node-1
lastTimestamp: 2026-11-22T00:09:30Z
count: 3
";

fn object(text: &str) -> v1::Object {
    manifest::from_yaml(text).unwrap().remove(0)
}

fn check(text: &str, format: Format, scope: Scope, expected: &[&str]) {
    let found = list(&[object(text)], format, scope, NOW);
    assert_eq!(found.lines().collect::<Vec<_>>(), expected);
}

#[test]
fn tables_line_up_and_say_what_matters() {
    check(
        POD,
        Format::Table,
        Scope::OneNamespace,
        &["NAME   STATUS    RESTARTS   AGE", "web    Running   2          10m"],
    );
    check(
        POD,
        Format::Wide,
        Scope::AllNamespaces,
        &[
            "NAMESPACE   NAME   STATUS    RESTARTS   AGE   CLASS     PROVIDER   NODE     SANDBOX-ID   REASON",
            "prod        web    Running   2          10m   process   process    node-1   sb-1         -",
        ],
    );
    check(
        NODE,
        Format::Wide,
        Scope::AllNamespaces,
        &[
            "NAME     STATUS                     CLASSES   AGE   VERSION   CPU   MEMORY   ADDRESS     KERNEL   PROVIDERS",
            "node-1   Ready,SchedulingDisabled   process   10m   0.1.0     2     4Gi      127.0.0.1   6.1      process,wasm!",
        ],
    );
    check(
        EVENT,
        Format::Table,
        Scope::OneNamespace,
        &[
            "LAST-SEEN   TYPE      REASON    OBJECT     MESSAGE",
            "30s         Warning   BackOff   pods/web   bad\\nline",
        ],
    );
}

#[test]
fn the_small_kinds_have_tables_too() {
    for (kind, row) in [
        ("kind: Namespace", "x      Active   -"),
        ("kind: ServiceAccount", "x      -"),
        ("kind: ConfigMap\ndata: { a: '', b: c }\nbinaryData: { d: AAE= }", "x      3      -"),
        ("kind: Role\nrules: [{ verbs: [get] }]", "x      1       -"),
        ("kind: ClusterRole", "x      0       -"),
        ("kind: RoleBinding\nroleRef: { kind: Role, name: r }", "x      Role/r   -"),
        ("kind: ClusterRoleBinding\nroleRef: { kind: ClusterRole, name: r }", "x      ClusterRole/r   -"),
    ] {
        let text = format!("apiVersion: boss.dev/v1\nmetadata: {{ name: x }}\n{kind}\n");
        let table = list(&[object(&text)], Format::Table, Scope::OneNamespace, NOW);
        assert_eq!(table.lines().nth(1), Some(row));
    }
}

#[test]
fn a_pod_that_is_about_to_go_is_terminating() {
    let text = POD.replace("labels:", "deletionTimestamp: 2026-11-22T00:09:00Z, labels:");
    let table = list(&[object(&text)], Format::Table, Scope::OneNamespace, NOW);
    assert!(table.contains("Terminating"), "{table}");
}

#[test]
fn every_kind_has_as_many_cells_as_headers() {
    for kind in Kind::ALL {
        let object = object(&format!("apiVersion: boss.dev/v1\nkind: {kind}\nmetadata: {{ name: x }}\n"));
        for format in [Format::Table, Format::Wide] {
            let mut columns = Columns::new(kind, format, Scope::AllNamespaces, Some("EVENT"));
            let row = columns.row(&object, Some("ADDED"), NOW);
            let text = columns.render(&[]);
            assert_eq!(text.split_whitespace().count(), row.len(), "{kind} {format:?}");
            assert!(row.iter().all(|cell| !cell.is_empty()));
        }
    }
}

#[test]
fn rows_that_come_later_line_up_with_the_first_ones() {
    let pod = object(POD);
    let mut columns = Columns::new(Kind::Pod, Format::Table, Scope::OneNamespace, Some("EVENT"));
    let row = columns.row(&pod, Some("MODIFIED"), NOW);
    let first = columns.render(std::slice::from_ref(&row));
    let later = columns.render_row(&columns.row(&pod, Some("ADDED"), NOW));
    assert_eq!(first.lines().nth(1).unwrap().find("web"), later.find("web"));
}

#[test]
fn json_yaml_and_names_are_for_programs() {
    let pods = [object(POD), object(POD)];
    let json: serde_json::Value = serde_json::from_str(&list(&pods, Format::Json, Scope::OneNamespace, NOW)).unwrap();
    assert_eq!(json["items"][1]["metadata"]["creationTimestamp"], "2026-11-22T00:00:00Z");
    assert_eq!(manifest::from_yaml(&list(&pods, Format::Yaml, Scope::OneNamespace, NOW)).unwrap(), pods);
    assert_eq!(list(&pods, Format::Name, Scope::OneNamespace, NOW), "pods/web\npods/web\n");
    assert_eq!(manifest::from_yaml(&one(&pods[0], Format::Yaml, NOW)).unwrap(), pods[..1]);
    let change = change(watch_event::Type::Deleted, &pods[0], Format::Json);
    assert_eq!(serde_json::from_str::<serde_json::Value>(&change).unwrap()["type"], "DELETED");
}

#[test]
fn a_description_has_the_state_and_the_events() {
    let Some(Body::Event(event)) = object(EVENT).body else { panic!("an event") };
    let text = describe(&object(POD), &[*event], NOW);
    for expected in [
        "Name:             web\n",
        "Created:          2026-11-22T00:00:00Z (10m ago)\n",
        "Container main:   running since 2026-11-22T00:00:05Z, pid 77, 2 restarts\n",
        "    nodeName: node-1\n",
        "  30s   Warning   BackOff   agent/node-1   bad\\nline (x3)\n",
    ] {
        assert!(text.contains(expected), "{expected:?} is not in\n{text}");
    }
    assert!(describe(&object(NODE), &[], NOW).contains("not healthy: not built in"));
}

#[test]
fn no_table_and_no_description_shows_a_value_of_a_secret() {
    let secret = object(
        "
apiVersion: boss.dev/v1
kind: Secret
metadata: { name: db, namespace: prod }
type: Opaque
data: { password: Y2FuYXJ5LWluLWNsZWFyLXRleHQ= }
",
    );
    let table = list(std::slice::from_ref(&secret), Format::Table, Scope::OneNamespace, NOW);
    for text in [describe(&secret, &[], NOW), table] {
        assert!(text.contains("db") && !text.contains("canary") && !text.contains("Y2FuYXJ5"), "{text}");
    }
    assert!(describe(&secret, &[], NOW).contains("password"), "keys are no secret");
}
