//! Certificates as issued and as read back.

use super::*;
use crate::tls::{Identity, PeerCertificate, Pem};

fn subject() -> Subject {
    Subject {
        common_name: "anna".into(),
        organizations: vec!["builders".into()],
        uris: vec!["example://x/user/anna".into()],
        dns_names: vec!["anna.example".into()],
        ip_addresses: vec![IpAddr::from([127, 0, 0, 1])],
        server_auth: false,
        client_auth: true,
        lifetime: Duration::from_secs(3_600),
    }
}

fn read(pem: &str) -> PeerCertificate {
    PeerCertificate::from_der(&CertificateDer::from_pem_slice(pem.as_bytes()).unwrap()).unwrap()
}

#[test]
fn an_issued_certificate_says_what_was_asked_for() {
    let authority = CertificateAuthority::generate("example").unwrap();
    let issued = authority.issue_at(&subject(), 1_700_000_000).unwrap();
    let names = read(&issued.cert_pem);
    assert_eq!(names.common_name, "anna");
    assert_eq!(names.organizations, ["builders"]);
    assert_eq!(names.uris, ["example://x/user/anna"]);
    assert_eq!(names.dns_names, ["anna.example"]);
    assert_eq!((names.not_before, names.not_after), (1_699_999_700, 1_700_003_600));
    assert_eq!(names.serial.len(), 32);
    assert_ne!(names.serial, read(&authority.issue(&subject()).unwrap().cert_pem).serial);
}

#[test]
fn an_authority_comes_back_from_its_pem() {
    let authority = CertificateAuthority::generate("example").unwrap();
    let loaded = CertificateAuthority::load(authority.cert_pem(), &authority.key_pem()).unwrap();
    assert_eq!(loaded.cert_pem(), authority.cert_pem());
    loaded.issue(&subject()).unwrap();
}

#[test]
fn a_foreign_key_a_leaf_certificate_and_junk_make_no_authority() {
    let (one, two) = (CertificateAuthority::generate("a").unwrap(), CertificateAuthority::generate("b").unwrap());
    let leaf = one.issue(&subject()).unwrap();
    let cases = [
        (one.cert_pem(), two.key_pem(), "do not belong together"),
        (&leaf.cert_pem, leaf.key_pem.clone(), "not one of an authority"),
        ("junk", one.key_pem(), "not usable"),
        (one.cert_pem(), "junk".to_owned(), "not usable"),
    ];
    for (cert, key, expected) in cases {
        let Err(error) = CertificateAuthority::load(cert, &key) else { panic!("expected: {expected}") };
        assert!(error.to_string().contains(expected), "{error}");
    }
}

#[test]
fn a_name_that_cannot_stand_in_a_certificate_is_named() {
    let authority = CertificateAuthority::generate("example").unwrap();
    let bad = Subject { uris: vec!["example://ü".into()], ..subject() };
    assert!(matches!(authority.issue(&bad), Err(Error::Name { name, .. }) if name == "example://ü"));
}

#[test]
fn several_organizations_stay_apart_and_the_signature_holds() {
    let authority = CertificateAuthority::generate("example").unwrap();
    let long: Vec<String> = (0..20).map(|number| format!("{number}-{}", "ü".repeat(30))).collect();
    for organizations in [vec![], vec!["a, b".to_owned()], vec!["b".to_owned(), "a".to_owned(), "b".to_owned()], long] {
        let issued =
            authority.issue_at(&Subject { organizations: organizations.clone(), ..subject() }, 1_700_000_000).unwrap();
        let names = read(&issued.cert_pem);
        let identity = Identity::from_pem(Pem { own: None, ca: authority.cert_pem().into() }).unwrap();
        let judged = identity.verify_client(&[&names.der], 1_700_000_000).unwrap();
        assert_eq!(
            (&judged.common_name, &judged.uris),
            (&"anna".to_owned(), &vec!["example://x/user/anna".to_owned()])
        );
        assert_eq!(judged.organizations, organizations);
    }
}

#[test]
fn an_organization_that_is_empty_or_too_long_is_named() {
    let authority = CertificateAuthority::generate("example").unwrap();
    for bad in [String::new(), "x".repeat(65)] {
        let subject = Subject { organizations: vec![bad.clone()], ..subject() };
        assert!(matches!(authority.issue(&subject), Err(Error::Name { name, .. }) if name == bad));
    }
}
