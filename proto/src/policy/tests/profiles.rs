//! The built-in profiles, field by field.

use std::collections::BTreeSet;

use prost::Message;
use prost_types::{DescriptorProto, FileDescriptorSet, field_descriptor_proto::Type};

use super::{
    super::profile::{check as judge, *},
    *,
};
use crate::v1::Pod;

#[track_caller]
fn check_profile(profile: Profile, spec: &str, fields: &[&str]) {
    let object = object(&format!("kind: Pod\nmetadata: {{name: p}}\nspec: {spec}"));
    let Some(Body::Pod(pod)) = &object.body else { unreachable!("it is a pod") };
    let found: Vec<String> = judge(profile, pod).into_iter().map(|violation| violation.field).collect();
    assert_eq!(found, fields, "{profile} on {spec}");
}

/// A pod that even the restricted profile takes, with more in it.
fn hardened(more: &str) -> String {
    format!("{{sandboxClass: container, isolation: namespaced, network: {{mode: none}}, {more}}}")
}

const READONLY: &str = "security: {readonlyRootfs: true}";

#[test]
fn a_hardened_pod_passes_every_profile() {
    let spec = hardened(READONLY);
    for profile in [Profile::Privileged, Profile::Baseline, Profile::Restricted] {
        check_profile(profile, &spec, &[]);
    }
}

#[test]
fn what_reaches_the_host_fails_both_profiles() {
    for (more, field) in [
        ("security: {readonlyRootfs: true, privileged: true}", "spec.security.privileged"),
        ("security: {readonlyRootfs: true, allowHostAccess: true}", "spec.security.allowHostAccess"),
        ("security: {readonlyRootfs: true, allowHostNetwork: true}", "spec.security.allowHostNetwork"),
        ("security: {readonlyRootfs: true, hostDevices: [/dev/kvm]}", "spec.security.hostDevices"),
        ("security: {readonlyRootfs: true, syscallPolicy: unconfined}", "spec.security.syscallPolicy"),
    ] {
        check_profile(Profile::Baseline, &hardened(more), &[field]);
        check_profile(Profile::Restricted, &hardened(more), &[field]);
        check_profile(Profile::Privileged, &hardened(more), &[]);
    }
    for (more, field) in [
        ("artifact: {type: Executable, image: x}", "spec.artifact.type"),
        ("artifact: {type: RootFsImage, path: /srv/root}", "spec.artifact.path"),
        ("artifact: {type: RootFsImage, uri: 'file:///srv/root'}", "spec.artifact.uri"),
        ("containers: [{name: main, wasm: {path: /etc/shadow}}]", "spec.containers[0].wasm.path"),
    ] {
        check_profile(Profile::Baseline, &hardened(more), &[field]);
    }
    check_profile(Profile::Baseline, "{sandboxClass: container, network: {mode: host}}", &["spec.network.mode"]);
    check_profile(Profile::Baseline, "{sandboxClass: container, isolation: sharedHost}", &["spec.isolation"]);
}

#[test]
fn a_plain_process_shares_its_host() {
    check_profile(Profile::Baseline, "{}", &["spec.isolation"]);
    check_profile(Profile::Baseline, "{sandboxClass: process, isolation: namespaced}", &[]);
    let spec = format!("{{sandboxClass: process, isolation: namespaced, {READONLY}}}");
    check_profile(Profile::Restricted, &spec, &["spec.sandboxClass"]);
}

#[test]
fn the_restricted_profile_wants_more() {
    for (more, field) in [
        ("", "spec.security.readonlyRootfs"),
        ("security: {readonlyRootfs: true, syscallPolicy: mine}", "spec.security.syscallPolicy"),
        ("security: {readonlyRootfs: true}, tolerations: [{key: a, operator: Exists}]", "spec.tolerations"),
        ("security: {readonlyRootfs: true}, artifact: {type: DiskImage, uri: 'http://a/b'}", "spec.artifact.uri"),
    ] {
        check_profile(Profile::Restricted, &hardened(more), &[field]);
        check_profile(Profile::Baseline, &hardened(more), &[]);
    }
}

#[test]
fn a_label_that_names_no_profile_means_the_strictest() {
    let of = |value: &str| {
        let labels = [(ENFORCE_LABEL.to_owned(), value.to_owned())].into();
        let metadata = Some(crate::v1::ObjectMeta { labels, ..Default::default() });
        Profile::of(&Namespace { metadata, ..Default::default() }, ENFORCE_LABEL)
    };
    assert_eq!(of("baseline"), Some(Profile::Baseline));
    assert_eq!(of("Baseline"), Some(Profile::Restricted));
    assert_eq!(of(""), Some(Profile::Restricted));
    assert_eq!(Profile::of(&Namespace::default(), ENFORCE_LABEL), None);
}

/// Messages that say nothing but amounts, rules for placing, or values: one classification is enough for them.
const WHOLE: [&str; 5] = ["ResourceList", "NodeAffinity", "Toleration", "EnvVar", "EnvFromSource"];

fn walk(messages: &[DescriptorProto], name: &str, path: &str, found: &mut BTreeSet<String>) {
    let message = messages.iter().find(|message| message.name() == name).unwrap_or_else(|| panic!("{name} is gone"));
    for field in &message.field {
        let repeated = field.label() == prost_types::field_descriptor_proto::Label::Repeated;
        let path = format!("{path}.{}", field.json_name());
        found.insert(path.clone());
        let inner = field.type_name().rsplit('.').next().unwrap_or_default().to_owned();
        let is_map = message.nested_type.iter().any(|nested| nested.name() == inner);
        if field.r#type() == Type::Message && !is_map && !WHOLE.contains(&inner.as_str()) && inner != "Rlimit" {
            walk(messages, &inner, &if repeated { format!("{path}[]") } else { path }, found);
        }
    }
}

#[test]
fn every_field_that_a_pod_has_is_classified() {
    let files = FileDescriptorSet::decode(crate::FILE_DESCRIPTOR_SET).unwrap();
    let messages: Vec<DescriptorProto> =
        files.file.into_iter().filter(|file| file.package() == "boss.v1").flat_map(|file| file.message_type).collect();
    let mut there = BTreeSet::new();
    walk(&messages, "PodSpec", "spec", &mut there);
    let classified: BTreeSet<String> = FIELDS.iter().map(|(field, _)| (*field).to_owned()).collect();
    let missing: Vec<_> = there.difference(&classified).collect();
    assert!(missing.is_empty(), "classify these fields in FIELDS, and judge them if need be: {missing:?}");
    let gone: Vec<_> = classified.difference(&there).collect();
    assert!(gone.is_empty(), "these fields are gone: {gone:?}");
    assert_eq!(classified.len(), FIELDS.len(), "a field is classified twice");
}

/// Each field that is judged has a pod above that fails by it, or a value here that does.
#[test]
fn every_judged_field_has_a_value_that_fails() {
    let failing = [
        ("spec.sandboxClass", "{sandboxClass: process}"),
        ("spec.runtimeClass", "{runtimeClass: process}"),
        ("spec.artifact.type", "{sandboxClass: vm, artifact: {type: Executable}}"),
        ("spec.artifact.uri", "{sandboxClass: vm, artifact: {uri: 'file:/a'}}"),
        ("spec.artifact.path", "{sandboxClass: vm, artifact: {path: a}}"),
        ("spec.isolation", "{sandboxClass: vm, isolation: sharedHost}"),
        ("spec.network.mode", "{sandboxClass: vm, network: {mode: host}}"),
        ("spec.security.privileged", "{sandboxClass: vm, security: {privileged: true}}"),
        ("spec.security.readonlyRootfs", "{sandboxClass: vm, security: {readonlyRootfs: false}}"),
        ("spec.security.allowHostAccess", "{sandboxClass: vm, security: {allowHostAccess: true}}"),
        ("spec.security.allowHostNetwork", "{sandboxClass: vm, security: {allowHostNetwork: true}}"),
        ("spec.security.hostDevices", "{sandboxClass: vm, security: {hostDevices: [/dev/a]}}"),
        ("spec.security.syscallPolicy", "{sandboxClass: vm, security: {syscallPolicy: unconfined}}"),
        ("spec.tolerations", "{sandboxClass: vm, tolerations: [{operator: Exists}]}"),
        ("spec.containers[].wasm.path", "{sandboxClass: vm, containers: [{wasm: {path: /a}}]}"),
    ];
    for (field, class) in FIELDS {
        let profile = match class {
            Class::Harmless | Class::Parts => continue,
            Class::Judged => Profile::Baseline,
            Class::JudgedIfRestricted => Profile::Restricted,
        };
        let spec =
            failing.iter().find(|(judged, _)| judged == field).unwrap_or_else(|| panic!("no value for {field}")).1;
        let object = object(&format!("kind: Pod\nmetadata: {{name: p}}\nspec: {spec}"));
        let Some(Body::Pod(pod)) = &object.body else { unreachable!("it is a pod") };
        assert_ne!(judge(profile, pod), [], "{field}");
    }
    assert_eq!(judge(Profile::Baseline, &Pod::default()), []);
}
