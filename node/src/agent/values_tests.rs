//! What containers get from what was found, and what they are told about what was not.

use boss_proto::manifest;

use super::*;

const CANARY: &str = "canary-91";

fn container(fields: &str) -> v1::Container {
    let text = format!(
        "apiVersion: boss.dev/v1\nkind: Pod\nmetadata: {{name: p}}\nspec: {{containers: [{{name: main, {fields}}}]}}"
    );
    match manifest::from_yaml(&text).unwrap().remove(0).body {
        Some(Body::Pod(pod)) => pod.spec.unwrap().containers.remove(0),
        other => panic!("{other:?}"),
    }
}

fn found() -> Found {
    let content = |pairs: &[(&str, &'static [u8])]| {
        Some(pairs.iter().map(|(key, value)| ((*key).to_owned(), Bytes::from_static(value))).collect())
    };
    [
        (
            Key::new(Kind::Secret, "n", "s"),
            content(&[("token", CANARY.as_bytes()), ("raw", b"\xff"), ("zero", b"a\0b")]),
        ),
        (Key::new(Kind::ConfigMap, "n", "m"), content(&[("A", b"1"), ("app.conf", b"x"), ("B", b"2")])),
        (Key::new(Kind::Secret, "n", "gone"), None),
    ]
    .into()
}

fn given(fields: &str) -> Result<Vec<String>, String> {
    let values = collect("n", &container(fields), &found())?;
    Ok(values.iter().map(|(name, value)| format!("{name}={value}")).collect())
}

#[test]
fn variables_come_from_keys_and_whole_objects_and_env_counts_first() {
    let token = "env: [{name: T, valueFrom: {secretKeyRef: {name: s, key: token}}}]";
    assert_eq!(given(token).unwrap(), [format!("T={CANARY}")]);
    let all = "envFrom: [{prefix: P_, configMapRef: {name: m}}, {configMapRef: {name: m}}], env: [{name: A, value: x},
               {name: B, valueFrom: {secretKeyRef: {name: s, key: token}}}]";
    assert_eq!(given(all).unwrap(), [format!("B={CANARY}"), "P_A=1".into(), "P_B=2".into()], "app.conf is no name");
    assert_eq!(given("env: [{name: A, value: x}]").unwrap(), Vec::<String>::new(), "what stands there is not given");
}

#[test]
fn what_is_missing_is_named_unless_it_is_optional() {
    let one = |name: &str, key: &str, more: &str| {
        given(&format!("env: [{{name: T, valueFrom: {{secretKeyRef: {{name: {name}, key: {key}{more}}}}}}}]"))
    };
    assert_eq!(one("gone", "k", "").unwrap_err(), "Secret gone does not exist");
    assert_eq!(one("s", "pin", "").unwrap_err(), "Secret s has no key \"pin\"");
    for (name, key) in [("gone", "k"), ("s", "pin")] {
        assert_eq!(one(name, key, ", optional: true").unwrap(), Vec::<String>::new());
    }
    assert_eq!(given("envFrom: [{secretRef: {name: gone}}]").unwrap_err(), "Secret gone does not exist");
    assert_eq!(given("envFrom: [{secretRef: {name: gone, optional: true}}]").unwrap(), Vec::<String>::new());
}

#[test]
fn what_is_no_text_or_too_much_is_refused_without_showing_it() {
    for key in ["raw", "zero"] {
        let fields = format!("env: [{{name: T, valueFrom: {{secretKeyRef: {{name: s, key: {key}}}}}}}]");
        let problem = given(&fields).unwrap_err();
        assert_eq!(problem, format!("key \"{key}\" of Secret s is no text, which a variable must be"));
    }
    let mut large = found();
    let content = [("token".to_owned(), Bytes::from(vec![b'x'; SANDBOX_VALUES_BYTES_MAX]))].into();
    large.insert(Key::new(Kind::Secret, "n", "s"), Some(content));
    let fields = "env: [{name: T, valueFrom: {secretKeyRef: {name: s, key: token}}}]";
    let problem = collect("n", &container(fields), &large).unwrap_err();
    assert!(problem.contains(&SANDBOX_VALUES_BYTES_MAX.to_string()) && !problem.contains("xxx"), "{problem}");
}
