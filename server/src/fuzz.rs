//! Everything of this crate that reads bytes of callers before it knows who they are or what they may: no bytes make
//! any of it panic. Each function is one subject for a fuzzer; the tests here give each a short run. Compiled for tests
//! and fuzzers only.

use boss_base::{
    pki::{Asked, Authority},
    tls::PeerCertificate,
};
use boss_proto::{
    ids::{Incarnation, Revision},
    join_token,
    kind::Kind,
    limits::NODE_CERTIFICATE_LIFETIME,
    manifest, policy,
    selector::Selector,
    v1::{AdmissionPolicy, AdmissionPolicySpec, ConfigMap, Object, ObjectMeta, PolicyMutation, PolicyValidation},
};

pub use crate::{api::fuzz_requests as requests, reads::fuzz::page_token};
use crate::{
    auth::Principal,
    certificates::approver::{approve, node_subject},
};

/// Certificate requests, certificates and authorities, in DER. What is approved asks for nothing but its own.
pub fn certificates(input: &[u8]) {
    let own = node_subject(&"c1".into(), &"n1".into(), NODE_CERTIFICATE_LIFETIME);
    if let Ok(asked) = Asked::read(input)
        && approve(&asked, &own).is_ok()
    {
        assert!(asked.common_names.iter().all(|name| name == "n1"), "{asked:?}");
        assert!(asked.names.iter().all(|name| name == "URI:boss://c1/node/n1"), "{asked:?}");
    }
    drop(Authority::read(input));
    if let Ok(certificate) = PeerCertificate::from_der(&input.into()) {
        drop(Principal::of(&certificate, &"c1".into()));
    }
}

/// Manifests, selectors and join tokens: what people write or paste. What is read as a manifest can be written and
/// read again.
pub fn texts(input: &[u8]) {
    let Ok(text) = std::str::from_utf8(input) else { return };
    drop(join_token::decode(text));
    for kind in boss_proto::kind::Kind::ALL {
        if let Ok(selector) = Selector::parse(kind, text, "") {
            let written = selector.labels.to_string();
            let again = Selector::parse(kind, &written, "").unwrap_or_else(|error| panic!("{written:?}: {error}"));
            assert_eq!(again.labels, selector.labels);
        }
        drop(Selector::parse(kind, "", text));
    }
    for object in manifest::from_yaml(text).unwrap_or_default() {
        there_and_back(&object);
    }
    if let Ok(object) = manifest::from_json(input) {
        there_and_back(&object);
    }
}

fn there_and_back(object: &Object) {
    let written = manifest::to_json(object);
    let again = manifest::from_json(written.as_bytes()).unwrap_or_else(|error| panic!("{written}: {error}"));
    assert_eq!(&again, object, "{written}");
}

/// Policies: what people write as a rule, once to judge and once to change an object. What compiles is evaluated within
/// its bounds, and an object that it changes is still the same one.
pub fn policies(input: &[u8]) {
    let Ok(expression) = std::str::from_utf8(input) else { return };
    let validations = vec![PolicyValidation { expression: expression.into(), ..PolicyValidation::default() }];
    let mutations = vec![PolicyMutation { expression: expression.into() }];
    for spec in [
        AdmissionPolicySpec { validations, ..AdmissionPolicySpec::default() },
        AdmissionPolicySpec { mutations, ..AdmissionPolicySpec::default() },
    ] {
        let metadata = Some(ObjectMeta { name: "fuzzed".into(), ..ObjectMeta::default() });
        let said = AdmissionPolicy { metadata, spec: Some(spec), ..AdmissionPolicy::default() };
        if let Ok(policy) = policy::Policy::compile(&said) {
            ask(&policy);
        }
    }
}

fn ask(policy: &policy::Policy) {
    let (namespace, name) = ("default".to_owned(), "thing".to_owned());
    let metadata = ObjectMeta { name: name.clone(), namespace: namespace.clone(), ..ObjectMeta::default() };
    let data = [("a".to_owned(), "b".to_owned())].into();
    let mut object: Object = ConfigMap { metadata: Some(metadata), data, ..ConfigMap::default() }.into();
    object.fill_type_meta();
    let groups = ["devs".to_owned()];
    let write = policy::Write {
        operation: policy::Operation::Create,
        kind: Kind::ConfigMap,
        namespace: &namespace,
        name: &name,
        object: Some(&object),
        old: None,
        namespace_object: None,
        caller: policy::Caller { username: "ann", groups: &groups, is_system: false },
        dry_run: false,
    };
    drop(policy::validate([policy].into_iter(), &write, &|_| None));
    if let Some(mutated) = policy::mutate([policy].into_iter(), &write, &|_| None).mutated {
        assert_eq!(mutated.key(), object.key(), "a policy made another object of it");
    }
}

/// Which revision a caller of the tests stands at.
pub(crate) const HERE: (Incarnation, Revision) = (Incarnation(3), Revision(9));

#[cfg(test)]
mod tests {
    use std::{panic::RefUnwindSafe, path::Path};

    use super::*;

    fn run(subject: &str, read: impl Fn(&[u8]) + RefUnwindSafe) {
        boss_base::fuzz::run(subject, &Path::new(env!("CARGO_MANIFEST_DIR")).join("fuzz-corpus").join(subject), read);
    }

    #[test]
    fn no_bytes_make_the_reading_of_a_certificate_or_request_panic() {
        run("certificates", certificates);
    }

    #[test]
    fn no_bytes_make_the_reading_of_a_page_token_panic() {
        run("page_token", page_token);
    }

    #[test]
    fn no_bytes_make_the_reading_of_a_request_panic() {
        run("requests", requests);
    }

    #[test]
    fn no_text_makes_the_compiling_or_asking_of_a_policy_panic() {
        run("policies", policies);
    }

    #[test]
    fn no_text_makes_the_reading_of_a_manifest_or_selector_panic() {
        run("texts", texts);
    }
}
