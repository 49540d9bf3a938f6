//! What a pod's containers take from secrets and config maps, by name. Admission, apply, the node authorizer and the
//! agent ask here, so that they mean the same. Knows no value.

use std::collections::BTreeSet;

use crate::{
    key::Key,
    kind::Kind,
    v1::{Object, PodSpec, object::Body},
};

/// The objects that containers of a pod in this namespace name, each once.
#[must_use]
pub fn of(namespace: &str, spec: &PodSpec) -> BTreeSet<Key> {
    named(spec).map(|(kind, name)| Key::new(kind, namespace, name)).collect()
}

/// Whether containers of the pod name this object of its namespace.
#[must_use]
pub fn names(spec: &PodSpec, kind: Kind, name: &str) -> bool {
    named(spec).any(|found| found == (kind, name))
}

/// What the author of a write must be able to read himself: a sandbox can show what it was given to whoever says what
/// it runs. Nothing when the pod's spec stays as it was.
#[must_use]
pub fn newly_given(before: Option<&Object>, now: &Object) -> BTreeSet<Key> {
    let (Some(spec), Some(metadata)) = (spec_of(now), now.metadata()) else { return BTreeSet::new() };
    let given = of(&metadata.namespace, spec);
    if given.is_empty() || before.and_then(spec_of).is_some_and(|before| is_same(before, spec)) {
        return BTreeSet::new();
    }
    given
}

fn named(spec: &PodSpec) -> impl Iterator<Item = (Kind, &str)> {
    spec.containers.iter().flat_map(|container| {
        let keys = container.env.iter().filter_map(|variable| variable.value_from.as_ref()).flat_map(|from| {
            let secret = from.secret_key_ref.as_ref().map(|reference| (Kind::Secret, reference.name.as_str()));
            let map = from.config_map_key_ref.as_ref().map(|reference| (Kind::ConfigMap, reference.name.as_str()));
            secret.into_iter().chain(map)
        });
        let wholes = container.env_from.iter().flat_map(|from| {
            let secret = from.secret_ref.as_ref().map(|reference| (Kind::Secret, reference.name.as_str()));
            let map = from.config_map_ref.as_ref().map(|reference| (Kind::ConfigMap, reference.name.as_str()));
            secret.into_iter().chain(map)
        });
        keys.chain(wholes)
    })
}

fn spec_of(object: &Object) -> Option<&PodSpec> {
    match &object.body {
        Some(Body::Pod(pod)) => pod.spec.as_ref(),
        _ => None,
    }
}

/// But for the node, which binding writes and manifests leave out.
fn is_same(before: &PodSpec, now: &PodSpec) -> bool {
    PodSpec { node_name: String::new(), ..before.clone() } == PodSpec { node_name: String::new(), ..now.clone() }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::manifest;

    fn pod(more: &str) -> Object {
        let text = format!("apiVersion: boss.dev/v1\nkind: Pod\nmetadata: {{name: p, namespace: n}}\nspec: {{{more}}}");
        manifest::from_yaml(&text).unwrap().remove(0)
    }

    const TAKES: &str = "containers: [{name: main, envFrom: [{secretRef: {name: a}}, {configMapRef: {name: b}}], env: [
        {name: A, value: x}, {name: B, valueFrom: {secretKeyRef: {name: c, key: k}}},
        {name: C, valueFrom: {configMapKeyRef: {name: b, key: k}}}]}]";

    #[test]
    fn every_object_that_a_container_names_is_found_once() {
        let object = pod(TAKES);
        let spec = spec_of(&object).unwrap();
        let found: Vec<String> = of("n", spec).iter().map(ToString::to_string).collect();
        assert_eq!(found.len(), 3, "{found:?}");
        for (kind, name) in [(Kind::Secret, "a"), (Kind::Secret, "c"), (Kind::ConfigMap, "b")] {
            assert!(names(spec, kind, name) && of("n", spec).contains(&Key::new(kind, "n", name)), "{kind} {name}");
        }
        assert!(!names(spec, Kind::Secret, "b") && !names(spec, Kind::ConfigMap, "a"));
    }

    #[test]
    fn a_changed_spec_gives_anew_and_a_changed_label_does_not() {
        let before = pod(TAKES);
        assert_eq!(newly_given(None, &before).len(), 3);
        let mut labelled = before.clone();
        labelled.metadata_mut().unwrap().labels.insert("a".into(), "b".into());
        assert_eq!(newly_given(Some(&before), &labelled), BTreeSet::new());
        let mut bound = before.clone();
        let Some(Body::Pod(inner)) = &mut bound.body else { unreachable!("it is a pod") };
        inner.spec.as_mut().unwrap().node_name = "n1".into();
        assert_eq!(newly_given(Some(&bound), &labelled), BTreeSet::new(), "a manifest does not say the node");
        let other = pod(&TAKES.replace("name: main", "name: main, command: [env]"));
        assert_eq!(newly_given(Some(&before), &other).len(), 3, "what it runs decides who sees the values");
        assert_eq!(newly_given(None, &pod("containers: [{name: main}]")), BTreeSet::new());
    }
}
