//! What is granted and what is not, each wish by itself and all of them mixed.

use boss_base::{
    pki::{CertificateAuthority, CertificateRequest, certificate_der},
    tls::PeerCertificate,
};
use proptest::prelude::*;

use super::*;

fn subject() -> Subject {
    node_subject(&"c1".into(), &NodeName::from("n1"), Duration::from_secs(600))
}

fn nothing() -> Asked {
    Asked {
        common_names: Vec::new(),
        other_subject: Vec::new(),
        names: Vec::new(),
        authority: false,
        beyond_signatures: false,
        purposes: Vec::new(),
        extensions: Vec::new(),
        key: KeyKind::P256,
    }
}

#[test]
fn a_request_may_repeat_what_its_sender_gets_and_wish_for_nothing_else() {
    let own = Asked {
        common_names: vec!["n1".to_owned()],
        names: vec!["URI:boss://c1/node/n1".to_owned()],
        purposes: vec!["clientAuth".to_owned()],
        ..nothing()
    };
    assert_eq!(approve(&own, &subject()), Ok(()));
    assert_eq!(approve(&nothing(), &subject()), Ok(()));
    let text = |text: &str| vec![text.to_owned()];
    for (wish, words) in [
        (Asked { common_names: text("n2"), ..nothing() }, "common name \"n2\""),
        (Asked { other_subject: text("2.5.4.10"), ..nothing() }, "more than a common name"),
        (Asked { names: text("URI:boss://c1/node/n2"), ..nothing() }, "URI:boss://c1/node/n2"),
        (Asked { names: text("URI:boss://c1/server/1"), ..nothing() }, "URI:boss://c1/server/1"),
        (Asked { names: text("DNS:boss-server"), ..nothing() }, "DNS:boss-server"),
        (Asked { authority: true, ..nothing() }, "sign certificates itself"),
        (Asked { beyond_signatures: true, ..nothing() }, "beyond signatures"),
        (Asked { purposes: text("serverAuth"), ..nothing() }, "the purpose serverAuth"),
        (Asked { purposes: text("any"), ..nothing() }, "the purpose any"),
        (Asked { extensions: text("1.2.3.4"), ..nothing() }, "the extension 1.2.3.4"),
        (Asked { key: KeyKind::Other("1.2.840.113549.1.1.1".to_owned()), ..nothing() }, "1.2.840.113549.1.1.1"),
    ] {
        let denied = approve(&wish, &subject()).expect_err(words).to_string();
        assert!(denied.contains(words), "{denied}");
    }
}

#[test]
fn a_token_lets_in_only_the_names_that_it_says() {
    let scope = |name: &str, prefix: &str| NodeScope {
        name: name.to_owned(),
        name_prefix: prefix.to_owned(),
        ..NodeScope::default()
    };
    assert_eq!(named(&scope("n1", ""), "").unwrap().as_str(), "n1");
    assert_eq!(named(&scope("n1", ""), "n1").unwrap().as_str(), "n1");
    assert_eq!(named(&scope("", "ci-"), "ci-7").unwrap().as_str(), "ci-7");
    assert_eq!(named(&scope("", ""), "any").unwrap().as_str(), "any");
    for (scope, asked, words) in [
        (scope("n1", ""), "n2", "lets in node n1, not n2"),
        (scope("", "ci-"), "prod-1", "begin with \"ci-\", not prod-1"),
        (scope("", ""), "", "name"),
        (scope("", ""), "../n1", "name"),
        (scope("", "ci-"), "CI-1", "name"),
    ] {
        let denied = named(&scope, asked).expect_err(words).to_string();
        assert!(denied.contains(words), "{denied}");
    }
}

fn wishes() -> impl Strategy<Value = Asked> {
    let names = prop::collection::vec(
        prop::sample::select(vec![
            "URI:boss://c1/node/n1",
            "URI:boss://c1/node/n2",
            "URI:boss://c1/server/1",
            "URI:boss://c2/node/n1",
            "URI:boss://c1/node/n1/",
            "uri:boss://c1/node/n1",
            "DNS:n1",
            "DNS:boss-server",
            "IPAddress(7f000001)",
        ]),
        0..3,
    );
    let purposes = prop::collection::vec(prop::sample::select(vec!["clientAuth", "serverAuth", "any", "1.2.3"]), 0..3);
    let common = prop::collection::vec(prop::sample::select(vec!["n1", "n2", ""]), 0..3);
    let keys = prop::sample::select(vec![
        KeyKind::P256,
        KeyKind::P384,
        KeyKind::Ed25519,
        KeyKind::Other("1.2.840.113549.1.1.1".to_owned()),
    ]);
    let more = prop::collection::vec("[0-9.]{3,9}", 0..2);
    (common, more.clone(), names, any::<[bool; 2]>(), purposes, more, keys).prop_map(
        |(common, other, names, [authority, beyond], purposes, extensions, key)| Asked {
            common_names: common.into_iter().map(str::to_owned).collect(),
            other_subject: other,
            names: names.into_iter().map(str::to_owned).collect(),
            authority: authority && beyond,
            beyond_signatures: beyond && !authority,
            purposes: purposes.into_iter().map(str::to_owned).collect(),
            extensions,
            key,
        },
    )
}

proptest! {
    #[test]
    fn nothing_is_approved_that_wishes_for_more_than_its_sender_gets(asked in wishes()) {
        let modest = asked.common_names.iter().all(|name| name == "n1")
            && asked.names.iter().all(|name| name == "URI:boss://c1/node/n1")
            && asked.purposes.iter().all(|purpose| purpose == "clientAuth")
            && asked.other_subject.is_empty()
            && asked.extensions.is_empty()
            && !asked.authority
            && !asked.beyond_signatures
            && !matches!(asked.key, KeyKind::Other(_));
        prop_assert_eq!(approve(&asked, &subject()).is_ok(), modest);
    }

    #[test]
    fn a_token_s_scope_is_never_left(name in "[a-z0-9-]{0,8}", prefix in "[a-z0-9-]{0,4}", asked in "[a-zA-Z0-9./-]{0,9}") {
        let scope = NodeScope { name: name.clone(), name_prefix: prefix.clone(), ..NodeScope::default() };
        if let Ok(node) = named(&scope, &asked) {
            prop_assert!(labels::check_name(node.as_str()).is_ok());
            prop_assert!(name.is_empty() || node.as_str() == name);
            prop_assert!(node.as_str().starts_with(&prefix));
            prop_assert!(asked.is_empty() || node.as_str() == asked);
        }
    }
}

/// The names in a certificate do not depend on the request at all.
#[test]
fn what_is_signed_is_what_was_decided_and_not_what_was_asked_for() {
    let authority = CertificateAuthority::generate("c1").unwrap();
    for wishes in [vec![], vec!["boss://c1/node/n1".to_owned()]] {
        let request = CertificateRequest::generate("n1", &wishes).unwrap();
        approve(&Asked::read(&request.der).unwrap(), &subject()).unwrap();
        let signed = authority.sign(&request.der, &subject()).unwrap();
        let signed = PeerCertificate::from_der(&certificate_der(&signed).unwrap().into()).unwrap();
        assert_eq!((&*signed.common_name, &signed.uris[..]), ("n1", &["boss://c1/node/n1".to_owned()][..]));
        assert!(signed.dns_names.is_empty() && signed.organizations.is_empty());
    }
}
