//! Manifests and each way in which they can be wrong.

use proptest::{collection::btree_map, prelude::*};

use super::*;
use crate::object::Resource;

const POD: &str = r#"
apiVersion: boss.dev/v1
kind: Pod
metadata:
  name: hello
  namespace: default
  labels: { app: hello, on: "yes" }
  creationTimestamp: 2026-11-22T00:00:00Z
spec:
  sandboxClass: process
  terminationGracePeriodSeconds: 0
  containers:
    - name: main
      command: [/bin/sh, -c, 'sleep 1']
      env:
        - { name: A, value: "1" }
"#;

fn problem(text: &str) -> Problem {
    from_yaml(text).expect_err("must be refused").problem
}

/// The pod with one line after its `kind`, or with other text in place of some.
fn pod_with(from: &str, to: &str) -> String {
    assert!(POD.contains(from), "{from}");
    POD.replacen(from, to, 1)
}

#[test]
fn a_manifest_becomes_the_message_of_its_kind() {
    let objects = from_yaml(POD).unwrap();
    let pod = v1::Pod::from_object(&objects[0]).unwrap();
    assert_eq!(pod.metadata.as_ref().unwrap().labels["on"], "yes");
    let spec = pod.spec.as_ref().unwrap();
    assert_eq!(spec.termination_grace_period_seconds, Some(0));
    assert_eq!(spec.containers[0].command, ["/bin/sh", "-c", "sleep 1"]);
}

#[test]
fn several_documents_are_read_in_order_and_empty_ones_skipped() {
    let text = format!(
        "---\n{POD}\n---\n# nothing\n---\napiVersion: boss.dev/v1\nkind: Namespace\nmetadata: {{name: x}}\n---\n"
    );
    let kinds: Vec<_> = from_yaml(&text).unwrap().iter().map(|object| object.kind().unwrap()).collect();
    assert_eq!(kinds, [Kind::Pod, Kind::Namespace]);
    assert_eq!(from_yaml(""), Ok(Vec::new()));
}

#[test]
fn a_bad_document_does_not_hide_the_others() {
    let text = format!("{POD}---\nkind: Pod\n---\n{POD}");
    let results: Vec<_> = documents(&text).collect();
    assert_eq!(results.len(), 3);
    assert_eq!(results[1], Err(Error { document: 2, problem: Problem::Missing { path: "apiVersion" } }));
    assert!(results[2].is_ok());
}

#[test]
fn nothing_is_read_after_a_syntax_error() {
    let text = format!("{POD}---\na: [b\n---\n{POD}");
    let results: Vec<_> = documents(&text).collect();
    assert_eq!(results.len(), 2);
    assert!(
        matches!(&results[1], Err(Error { document: 2, problem: Problem::Syntax { line: 17.., .. } })),
        "{results:?}"
    );
}

#[test]
fn an_unknown_field_is_named_with_its_path() {
    let check = |text: String, path: &str, meant: Option<&str>| match problem(&text) {
        Problem::UnknownField { path: found, meant: suggested, possible } => {
            assert_eq!(found, path);
            assert_eq!(suggested.as_deref(), meant);
            assert!(possible.iter().all(|name| !name.contains('_')), "{possible:?}");
        }
        other => panic!("{other:?}"),
    };
    check(pod_with("spec:", "extra: 1\nspec:"), "extra", None);
    check(pod_with("sandboxClass", "sandBoxClas"), "spec.sandBoxClas", Some("sandboxClass"));
    check(pod_with("      command", "      comand"), "spec.containers[0].comand", Some("command"));
    check(pod_with("value: \"1\"", "vaule: \"1\""), "spec.containers[0].env[0].vaule", Some("value"));
    check(pod_with("  name: hello", "  name: hello\n  zone: x"), "metadata.zone", None);
}

#[test]
fn a_wrong_type_is_named_with_its_path() {
    let check = |text: String, path: &str| match problem(&text) {
        Problem::WrongType { path: found, problem } => {
            assert_eq!(found, path);
            assert!(problem.contains("expected"), "{problem}");
        }
        other => panic!("{other:?}"),
    };
    check(pod_with("name: hello", "name: 123"), "metadata.name");
    check(pod_with("name: hello", "name: true"), "metadata.name");
    check(pod_with("name: hello", "name: [a]"), "metadata.name");
    check(pod_with("app: hello", "app: 1.5"), "metadata.labels.app");
    check(pod_with("value: \"1\"", "value: 1"), "spec.containers[0].env[0].value");
    check(pod_with("command: [/bin/sh, -c, 'sleep 1']", "command: sleep"), "spec.containers[0].command");
    check(pod_with("/bin/sh, -c", "/bin/sh, 5"), "spec.containers[0].command[1]");
    check(pod_with("spec:\n  sandboxClass: process", "spec: fast\nstatus:"), "spec");
    check(pod_with("kind: Pod", "kind: [Pod]"), "kind");
}

#[test]
fn a_number_out_of_range_is_refused_with_its_path() {
    for number in ["-1", "4294967296", "1.5", "abc", "99999999999999999999999999"] {
        let found = problem(&pod_with("Seconds: 0", &format!("Seconds: {number}")));
        assert_eq!(found.field(), Some("spec.terminationGracePeriodSeconds"), "{number}: {found:?}");
    }
}

#[test]
fn each_other_bad_input_has_its_own_error() {
    assert!(matches!(problem("just text"), Problem::NotAnObject { .. }));
    assert!(matches!(problem("- a\n- b"), Problem::NotAnObject { .. }));
    assert_eq!(problem(&pod_with("kind: Pod\n", "")), Problem::Missing { path: "kind" });
    assert!(matches!(problem(&pod_with("kind: Pod", "kind: Pot")), Problem::UnknownKind(_)));
    assert!(
        matches!(problem(&pod_with("boss.dev/v1", "boss.dev/v2")), Problem::UnknownVersion { found } if found == "boss.dev/v2")
    );
    assert!(matches!(
        problem(&pod_with("  name: hello", "  name: hello\n  name: other")),
        Problem::DuplicateField { line: 6, field, .. } if field == "name"
    ));
    assert!(matches!(problem(&pod_with("app: hello,", "app: hello, app: other,")), Problem::DuplicateField { .. }));
    assert!(matches!(problem("a: \"unclosed"), Problem::Syntax { line: 1, .. }));
    assert!(matches!(problem("a: b: c"), Problem::Syntax { .. }));
    assert!(matches!(problem("a: *nothing"), Problem::Syntax { .. }));
    assert!(matches!(problem("a: !!custom b"), Problem::Syntax { .. }));
    assert!(matches!(problem("a: .nan"), Problem::Syntax { .. }));
}

#[test]
fn both_spellings_of_one_field_are_refused() {
    let found = problem(&pod_with("sandboxClass: process", "sandboxClass: process\n  sandbox_class: vm"));
    assert!(matches!(&found, Problem::WrongType { problem, .. } if problem.contains("duplicate field")), "{found:?}");
}

#[test]
fn what_would_blow_up_is_refused() {
    let mut bomb = String::from("a0: &a0 [x, x, x, x, x, x, x, x, x]\n");
    for level in 1..12 {
        let items = vec![format!("*a{}", level - 1); 9].join(", ");
        bomb.push_str(&format!("a{level}: &a{level} [{items}]\n"));
    }
    assert!(matches!(problem(&bomb), Problem::TooComplex { .. }), "{:?}", problem(&bomb));
    let deep = format!("a: {}{}", "[".repeat(5_000), "]".repeat(5_000));
    assert!(matches!(problem(&deep), Problem::TooComplex { .. } | Problem::Syntax { .. }));
    assert!(from_json(deep.trim_start_matches("a: ").as_bytes()).is_err());
}

#[test]
fn a_text_or_object_over_the_limit_is_refused() {
    let text = " ".repeat(MANIFEST_BYTES_MAX + 1);
    assert!(matches!(problem(&text), Problem::FileTooLarge { .. }));
    assert!(matches!(from_json(text.as_bytes()).unwrap_err().problem, Problem::FileTooLarge { .. }));
    let object = |len: usize| pod_with("value: \"1\"", &format!("value: {}", "x".repeat(len)));
    let room = OBJECT_BYTES_MAX - from_yaml(POD).unwrap()[0].encoded_len();
    assert!(from_yaml(&object(room - 100)).is_ok());
    assert!(matches!(problem(&object(room + 1)), Problem::ObjectTooLarge { .. }));
}

#[test]
fn json_is_as_strict_as_yaml() {
    let good = to_json(&from_yaml(POD).unwrap()[0]);
    assert_eq!(from_json(good.as_bytes()).unwrap(), from_yaml(POD).unwrap()[0]);
    let refused = |text: &str| from_json(text.as_bytes()).unwrap_err().problem;
    let twice = refused(r#"{"apiVersion":"boss.dev/v1","kind":"Pod","metadata":{"name":"a","name":"b"}}"#);
    assert!(matches!(twice, Problem::DuplicateField { line: 1, field, .. } if field == "name"));
    assert!(matches!(refused("{"), Problem::Syntax { line: 1, .. }));
    assert!(matches!(refused("[]"), Problem::NotAnObject { .. }));
    assert!(matches!(refused(r#"{"apiVersion":"boss.dev/v1","kind":"Pod"} x"#), Problem::Syntax { .. }));
}

#[test]
fn times_are_written_with_z_and_user_text_is_left_alone() {
    let text = pod_with("on: \"yes\"", "startTime: \"2026+00:00\"");
    let value = to_value(&from_yaml(&text.replace("labels", "annotations")).unwrap()[0]);
    assert_eq!(value["metadata"]["creationTimestamp"], "2026-11-22T00:00:00Z");
    assert_eq!(value["metadata"]["annotations"]["startTime"], "2026+00:00");
}

#[test]
fn keys_of_a_config_map_are_the_users_own_words() {
    let text = "apiVersion: boss.dev/v1\nkind: ConfigMap\nmetadata: { name: x }\n\
                data: { startTime: 2026+00:00, kind: Pod }\nbinaryData: { b: AAE= }\n";
    let object = from_yaml(text).unwrap().remove(0);
    let value = to_value(&object);
    assert_eq!(value["data"]["startTime"], "2026+00:00");
    assert_eq!(value["binaryData"]["b"], "AAE=");
    let Some(Body::ConfigMap(map)) = &object.body else { panic!("{object:?}") };
    assert_eq!(map.binary_data["b"].as_ref(), [0, 1]);
    assert_eq!(from_yaml(&to_yaml(&object)).unwrap(), [object]);
}

#[test]
fn every_kind_survives_yaml_and_json() {
    for kind in Kind::ALL {
        let text = format!("apiVersion: boss.dev/v1\nkind: {kind}\nmetadata:\n  name: x\n");
        let object = from_yaml(&text).unwrap().remove(0);
        assert_eq!(object.kind(), Some(kind));
        assert_eq!(from_yaml(&to_yaml(&object)).unwrap(), std::slice::from_ref(&object));
        assert_eq!(from_json(to_json(&object).as_bytes()).unwrap(), object);
    }
}

proptest! {
    #[test]
    fn any_text_in_an_object_survives_yaml_and_json(
        name: String,
        annotations in btree_map(any::<String>(), any::<String>(), 0..4),
        args in proptest::collection::vec(any::<String>(), 0..4),
        tricky in "[-~?:,#&*!|>'\"%@` \n\ttruefalsenull0-9.]{0,12}",
        seconds in proptest::option::of(any::<u32>()),
        revision: u64,
    ) {
        let metadata = v1::ObjectMeta { name, annotations, resource_version: revision, ..Default::default() };
        let container = v1::Container { args, working_dir: tricky, ..Default::default() };
        let spec = v1::PodSpec { containers: vec![container], termination_grace_period_seconds: seconds, ..Default::default() };
        let object = v1::Pod { metadata: Some(metadata), spec: Some(spec), ..Default::default() }.into_object();
        prop_assert_eq!(from_json(to_json(&object).as_bytes()).unwrap(), object.clone());
        prop_assert_eq!(from_yaml(&to_yaml(&object)).unwrap(), vec![object]);
    }

    #[test]
    fn no_text_makes_the_reader_panic(text: String) {
        let _ = from_yaml(&text);
        let _ = from_json(text.as_bytes());
    }
}
