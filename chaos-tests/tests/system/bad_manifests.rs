//! Objects that cannot be: each gets an answer that names the field, and changes nothing.

use boss_chaos_tests::{
    api::error_info,
    bossctl_run::Bossctl,
    cluster::{Cluster, Spec, refusal},
    manifests::{metadata, namespace, pod, record},
};
use boss_proto::{limits, v1};
use tonic::Code;

#[tokio::test(flavor = "multi_thread")]
async fn a_bad_object_is_refused_with_its_field_and_changes_nothing() {
    let cluster = Cluster::start(Spec { servers: 1, nodes: 0, ..Spec::default() }).await;
    let admin = cluster.admin();
    let spoil = |change: fn(&mut v1::PodSpec)| {
        let mut pod = pod("bad", &["true"]);
        change(pod.spec.get_or_insert_default());
        pod
    };
    let named = |name: &str| v1::Pod { metadata: Some(metadata(name)), ..pod("bad", &["true"]) };
    let mut labelled = pod("bad", &["true"]);
    labelled.metadata.get_or_insert_default().labels.insert("no spaces".to_owned(), "x".to_owned());
    let cases: Vec<(&str, v1::Pod, &str, &str)> = vec![
        (
            "an unknown class",
            spoil(|spec| "zeppelin".clone_into(&mut spec.sandbox_class)),
            "UnsupportedClass",
            "spec.sandboxClass",
        ),
        (
            "classes that disagree",
            spoil(|spec| "vm".clone_into(&mut spec.runtime_class)),
            "InvalidSpec",
            "spec.runtimeClass",
        ),
        ("an unknown policy", spoil(|spec| "Perhaps".clone_into(&mut spec.restart_policy)), "", "spec.restartPolicy"),
        ("no container", spoil(|spec| spec.containers.clear()), "", "spec.containers"),
        ("two containers", spoil(|spec| spec.containers.extend(spec.containers.clone())), "", "spec.containers"),
        ("no command", spoil(|spec| spec.containers[0].command.clear()), "", "spec.containers[0].command"),
        ("a node of its own choice", spoil(|spec| "node-1".clone_into(&mut spec.node_name)), "", "spec.nodeName"),
        (
            "an endless grace period",
            spoil(|spec| spec.termination_grace_period_seconds = Some(u32::MAX)),
            "",
            "spec.terminationGracePeriodSeconds",
        ),
        ("a bad label", labelled, "", "metadata.labels[\"no spaces\"]"),
        ("capitals in its name", named("Bad"), "", "metadata.name"),
        ("a path as its name", named("../bad"), "", "metadata.name"),
        ("no name", named(""), "", "metadata.name"),
        ("a long name", named(&"x".repeat(64)), "", "metadata.name"),
    ];
    for (what, pod, reason, field) in cases {
        let status = refusal(admin.create(pod).await, what);
        let info = error_info(&status);
        assert_eq!(status.code(), Code::InvalidArgument, "{what}: {status:?}");
        assert_eq!(info.field, field, "{what}: {status:?}");
        assert!(reason.is_empty() || info.reason == reason, "{what}: {info:?}");
    }
    let (pods, _) = admin.list::<v1::Pod>("").await.expect("the administrator may");
    assert!(pods.is_empty(), "{pods:?}");
}

#[tokio::test(flavor = "multi_thread")]
async fn an_object_above_the_limit_is_refused_and_one_at_it_is_not() {
    let cluster = Cluster::start(Spec { servers: 1, nodes: 0, ..Spec::default() }).await;
    let admin = cluster.admin();
    let with_script = |bytes: usize| pod("large", &["/bin/true", &"x".repeat(bytes)]);
    let status = refusal(admin.create(with_script(limits::OBJECT_BYTES_MAX)).await, "an oversized object");
    assert_eq!(
        (status.code(), error_info(&status).reason.as_str()),
        (Code::InvalidArgument, "TOO_LARGE"),
        "{status:?}"
    );
    assert!(status.message().contains(&limits::OBJECT_BYTES_MAX.to_string()), "{status:?}");
    let huge = refusal(admin.create(with_script(limits::MESSAGE_BYTES_MAX + 1)).await, "an oversized message");
    assert_ne!(huge.code(), Code::Internal, "{huge:?}");
    // Room for what the servers add.
    admin.create(with_script(limits::OBJECT_BYTES_MAX - 4 * 1024)).await.expect("it fits");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_stale_revision_is_refused_with_the_current_one() {
    let cluster = Cluster::start(Spec { servers: 1, nodes: 0, ..Spec::default() }).await;
    let admin = cluster.admin();
    let first = admin.create(record("shared", "1")).await.expect("it is new");
    let mut mine = first.object.clone();
    mine.metadata.get_or_insert_default().labels.insert("value".to_owned(), "2".to_owned());
    let second = admin.update(mine).await.expect("it is at the revision that was read");
    let mut stale = first.object;
    stale.metadata.get_or_insert_default().labels.insert("value".to_owned(), "3".to_owned());
    let status = refusal(admin.update(stale).await, "an update of what has changed");
    let info = error_info(&status);
    assert_eq!((info.reason.as_str(), info.current_revision), ("CONFLICT", second.revision.0), "{status:?}");
    let stored = admin.get::<v1::ServiceAccount>("default", "shared").await.expect("it is there");
    assert_eq!(stored.metadata.unwrap_or_default().labels["value"], "2");
    let again = refusal(admin.create(record("shared", "4")).await, "creating what exists");
    assert_eq!(again.code(), Code::AlreadyExists);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_namespace_must_exist_and_must_not_be_ending() {
    let cluster = Cluster::start(Spec { servers: 1, nodes: 0, ..Spec::default() }).await;
    let admin = cluster.admin();
    let mut lost = pod("lost", &["true"]);
    "nowhere".clone_into(&mut lost.metadata.get_or_insert_default().namespace);
    let status = refusal(admin.create(lost.clone()).await, "a pod in no namespace");
    assert_eq!(error_info(&status).reason, "NAMESPACE_MISSING", "{status:?}");
    admin.create(namespace("nowhere")).await.expect("it is new");
    admin.create(lost).await.expect("now it exists");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_bad_manifest_ends_bossctl_with_a_message_that_says_where() {
    let cluster = Cluster::start(Spec { servers: 1, nodes: 0, ..Spec::default() }).await;
    let bossctl = Bossctl::of(&cluster);
    let pod = |rest: &str| format!("apiVersion: boss.dev/v1\nkind: Pod\nmetadata:\n  name: bad\n{rest}");
    let container = "spec:\n  containers:\n  - command: [\"true\"]\n";
    let cases = [
        ("broken YAML", "kind: [Pod".to_owned(), "line"),
        ("an unknown kind", "apiVersion: boss.dev/v1\nkind: Zeppelin\nmetadata:\n  name: bad\n".to_owned(), "Zeppelin"),
        ("another version", pod(container).replace("boss.dev/v1", "boss.dev/v9"), "boss.dev/v9"),
        ("an unknown field", pod("spec:\n  containerz: []\n"), "containerz"),
        ("an unknown field inside", pod("spec:\n  containers:\n  - comand: [\"true\"]\n"), "spec.containers[0]"),
        ("a wrong type", pod("spec:\n  containers: yes\n"), "spec.containers"),
        ("a number as name", pod(container).replace("name: bad", "name: 123"), "metadata.name"),
        ("an unknown class", pod(&format!("{container}  sandboxClass: zeppelin\n")), "spec.sandboxClass"),
        (
            "classes that disagree",
            pod(&format!("{container}  sandboxClass: vm\n  runtimeClass: wasm\n")),
            "runtimeClass",
        ),
        (
            "a bad quantity",
            pod(&format!("{container}  resources:\n    requests:\n      cpu: much\n")),
            "spec.resources.requests.cpu",
        ),
        ("nothing", String::new(), "no"),
    ];
    for (what, manifest, words) in cases {
        let output = bossctl.run_with_input(&["apply", "-f", "-"], &manifest).await;
        assert_ne!(output.code, 0, "{what} was accepted: {output:?}");
        assert!(output.stderr.contains(words), "{what}: {:?} does not say {words:?}", output.stderr);
        assert!(!output.stderr.contains("panicked"), "{what}: {}", output.stderr);
    }
    let (pods, _) = cluster.admin().list::<v1::Pod>("").await.expect("the administrator may");
    assert!(pods.is_empty(), "{pods:?}");
}
