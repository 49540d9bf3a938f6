//! Credentials of every sort.

use std::{sync::Arc, time::Duration};

use boss_base::{
    clock::{Clock, testing::ManualClock},
    jwt::{SigningKey, VerifyingKey, VerifyingKeys},
    pki::{CertificateAuthority, Subject},
    tls::{self, Identity as TlsIdentity, PeerCertificate, Pem},
};
use boss_proto::{
    ids::ServerId,
    peer::v1::{CertificateChain, Credential, credential::Proof},
};
use http::{HeaderMap, HeaderValue, header::AUTHORIZATION};
use serde_json::{Value, json};

use super::*;

const NOW: u64 = 1_800_000_000;

struct Bench {
    authenticator: Authenticator,
    key: SigningKey,
    ca: CertificateAuthority,
}

impl Bench {
    fn new() -> Self {
        let ca = CertificateAuthority::generate("c1").unwrap();
        let key = SigningKey::generate().unwrap();
        let keys: VerifyingKeys = [VerifyingKey::from_pem(&key.public_pem()).unwrap()].into_iter().collect();
        let tls = TlsIdentity::from_pem(Pem { own: None, ca: ca.cert_pem().as_bytes().to_vec() }).unwrap();
        let clock = Arc::new(ManualClock::new(NOW * 1_000, 1));
        clock.set_unix_millis(NOW * 1_000);
        Self { authenticator: Authenticator::new("c1".into(), keys, tls, clock), key, ca }
    }

    fn certificate(&self, common_name: &str, group: &str, uris: &[&str]) -> PeerCertificate {
        issue(&self.ca, common_name, group, uris)
    }

    fn authenticate(&self, header: &str) -> Result<Arc<Identity>, Error> {
        let mut headers = HeaderMap::new();
        headers.insert(AUTHORIZATION, HeaderValue::from_str(header).unwrap());
        self.authenticator.authenticate(&headers, None)
    }

    fn token(&self, change: impl Fn(&mut Value)) -> String {
        let mut claims = claims();
        change(&mut claims);
        self.key.sign(&claims).unwrap()
    }
}

fn issue(ca: &CertificateAuthority, common_name: &str, group: &str, uris: &[&str]) -> PeerCertificate {
    let subject = Subject {
        common_name: common_name.into(),
        organizations: if group.is_empty() { vec![] } else { vec![group.into()] },
        uris: uris.iter().map(ToString::to_string).collect(),
        client_auth: true,
        lifetime: Duration::from_secs(3_600),
        ..Subject::default()
    };
    let issued = ca.issue_at(&subject, NOW).unwrap();
    let der = pem_to_der(&issued.cert_pem);
    PeerCertificate::from_der(&der.into()).unwrap()
}

fn pem_to_der(pem: &str) -> Vec<u8> {
    use rustls_pki_types::{CertificateDer, pem::PemObject};
    CertificateDer::from_pem_slice(pem.as_bytes()).unwrap().to_vec()
}

fn claims() -> Value {
    json!({
        "iss": "boss", "aud": "c1", "sub": "user:admin", "jti": "t1", "exp": NOW + 60, "nbf": NOW, "iat": NOW,
        "name": "admin", "groups": ["system:admins"],
    })
}

#[test]
fn a_good_token_is_an_identity() {
    let bench = Bench::new();
    let identity = bench.authenticate(&format!("Bearer {}", bench.token(|_| ()))).unwrap();
    assert_eq!((identity.username.as_str(), identity.uid.as_str()), ("admin", "user:admin"));
    assert_eq!(identity.groups, ["system:admins", AUTHENTICATED_GROUP]);
    assert_eq!((identity.token_id.as_str(), identity.expires_at), ("t1", NOW + 60));
    assert_eq!(identity.role, Role::User);
}

#[test]
fn a_token_may_not_claim_what_only_boss_gives() {
    let bench = Bench::new();
    for claims in [
        json!({"groups": ["system:nodes"]}),
        json!({"groups": ["system:servers"]}),
        json!({"groups": ["a", "system:x"]}),
        json!({"name": "system:node:n1", "sub": "user:system:node:n1"}),
        json!({"name": "", "sub": "user:"}),
        json!({"sub": "node:n1"}),
        json!({"sub": "user:other"}),
    ] {
        let token =
            bench.token(|all| claims.as_object().unwrap().iter().for_each(|(key, value)| all[key] = value.clone()));
        let result = bench.authenticate(&format!("Bearer {token}"));
        assert!(matches!(result, Err(Error::TokenClaims(_))), "{claims}: {result:?}");
    }
}

#[test]
fn a_bad_token_is_refused_not_skipped() {
    let bench = Bench::new();
    let changed = |key: &'static str, value: Value| bench.token(|claims| claims[key] = value.clone());
    let without = |key: &'static str| {
        bench.token(|claims| {
            claims.as_object_mut().unwrap().remove(key);
        })
    };
    let foreign = SigningKey::generate().unwrap().sign(&claims()).unwrap();
    let bad = [
        changed("exp", json!(NOW - 10)),
        changed("exp", json!("never")),
        changed("nbf", json!(NOW + 100)),
        changed("aud", json!("c2")),
        changed("iss", json!("evil")),
        changed("groups", json!("system:admins")),
        changed("jti", json!("")),
        without("exp"),
        without("jti"),
        without("groups"),
        without("name"),
        foreign,
        "a.b.c".to_owned(),
        "eyJhbGciOiJub25lIn0.e30.".to_owned(),
    ];
    for token in bad {
        let result = bench.authenticate(&format!("Bearer {token}"));
        assert!(matches!(result, Err(Error::Token(_))), "{token}: {result:?}");
    }
}

#[test]
fn a_malformed_header_is_an_error_even_beside_a_good_certificate() {
    let bench = Bench::new();
    let certificate = bench.certificate("ann", "", &["boss://c1/user/ann"]);
    for header in ["", "Bearer", "Bearer ", "Basic dXNlcjpwYXNz", "Bearer a b", "token"] {
        let mut headers = HeaderMap::new();
        headers.insert(AUTHORIZATION, HeaderValue::from_str(header).unwrap());
        let result = bench.authenticator.authenticate(&headers, Some(&certificate));
        assert!(matches!(result, Err(Error::MalformedHeader(_))), "{header:?}: {result:?}");
    }
    let mut twice = HeaderMap::new();
    let token = HeaderValue::from_str(&format!("Bearer {}", bench.token(|_| ()))).unwrap();
    twice.append(AUTHORIZATION, token.clone());
    twice.append(AUTHORIZATION, token);
    assert!(matches!(bench.authenticator.authenticate(&twice, None), Err(Error::MalformedHeader(_))));
    let huge = format!("Bearer {}", "a".repeat(9 * 1024));
    assert!(matches!(bench.authenticate(&huge), Err(Error::Token(_))));
}

#[test]
fn nothing_is_nobody() {
    let bench = Bench::new();
    assert_eq!(bench.authenticator.authenticate(&HeaderMap::new(), None), Err(Error::Missing));
}

#[test]
fn the_token_decides_when_both_are_there() {
    let bench = Bench::new();
    let certificate = bench.certificate("ann", "", &["boss://c1/user/ann"]);
    let mut headers = HeaderMap::new();
    headers.insert(AUTHORIZATION, HeaderValue::from_str(&format!("bearer {}", bench.token(|_| ()))).unwrap());
    let identity = bench.authenticator.authenticate(&headers, Some(&certificate)).unwrap();
    assert_eq!(identity.username, "admin");
}

#[test]
fn the_uri_of_a_certificate_says_what_it_is_for() {
    let bench = Bench::new();
    let identify = |common_name: &str, group: &str, uris: &[&str]| {
        bench.authenticator.authenticate(&HeaderMap::new(), Some(&bench.certificate(common_name, group, uris)))
    };
    let node = identify("n1", "", &["boss://c1/node/n1"]).unwrap();
    assert_eq!((node.username.as_str(), node.uid.as_str()), ("system:node:n1", "node:n1"));
    assert_eq!(node.groups, [NODES_GROUP, AUTHENTICATED_GROUP]);
    let server = identify("server-2", "", &["boss://c1/server/2"]).unwrap();
    assert_eq!(server.role, Role::Server(ServerId(2)));
    let user = identify("ann", "devs", &["boss://c1/user/ann"]).unwrap();
    assert_eq!((user.username.as_str(), user.groups[0].as_str()), ("ann", "devs"));
    assert!(!user.certificate_serial.is_empty());
}

#[test]
fn a_certificate_that_claims_too_much_is_refused() {
    let bench = Bench::new();
    let problem = |common_name: &str, group: &str, uris: &[&str]| {
        let certificate = bench.certificate(common_name, group, uris);
        match bench.authenticator.authenticate(&HeaderMap::new(), Some(&certificate)) {
            Err(Error::Certificate(problem)) => problem,
            other => panic!("{common_name} {uris:?}: {other:?}"),
        }
    };
    use CertificateProblem as P;
    assert!(matches!(problem("x", "", &[]), P::Uris { found: 0 }));
    assert!(matches!(problem("x", "", &["boss://c1/user/x", "boss://c1/node/x"]), P::Uris { found: 2 }));
    assert!(matches!(problem("x", "", &["boss://c2/user/x"]), P::OtherCluster { .. }));
    for uri in ["boss://c1/king/x", "boss://c1/user", "boss://c1", "boss://c1/server/one", "boss://c1/node/N_1"] {
        assert!(matches!(problem("x", "", &[uri]), P::NoRole { .. }), "{uri}");
    }
    assert!(matches!(problem("y", "", &["boss://c1/user/x"]), P::CommonName { .. }));
    assert!(matches!(problem("x", "system:nodes", &["boss://c1/user/x"]), P::Reserved(_)));
    assert!(matches!(problem("system:x", "", &["boss://c1/user/system:x"]), P::Reserved(_)));
}

#[test]
fn a_forwarded_credential_is_verified_again() {
    let bench = Bench::new();
    let forwarded = |proof| bench.authenticator.authenticate_forwarded(&Credential { proof: Some(proof) });
    let chain = |certificate: &PeerCertificate| {
        Proof::Certificate(CertificateChain { certificates: vec![certificate.der.clone().into()] })
    };
    let good = bench.certificate("ann", "", &["boss://c1/user/ann"]);
    assert_eq!(forwarded(chain(&good)).unwrap().username, "ann");
    let other_ca = CertificateAuthority::generate("c1").unwrap();
    let foreign = issue(&other_ca, "ann", "", &["boss://c1/user/ann"]);
    assert!(matches!(forwarded(chain(&foreign)), Err(Error::Certificate(CertificateProblem::Untrusted(_)))));
    assert!(forwarded(Proof::Certificate(CertificateChain::default())).is_err());
    assert_eq!(forwarded(Proof::Token(bench.token(|_| ()))).unwrap().username, "admin");
    assert!(forwarded(Proof::Token("x".into())).is_err());
    assert_eq!(bench.authenticator.authenticate_forwarded(&Credential::default()), Err(Error::Missing));
}

#[test]
fn a_credential_ends_while_its_connection_lives() {
    let clock = Arc::new(ManualClock::new(NOW * 1_000, 1));
    clock.set_unix_millis(NOW * 1_000);
    let ca = CertificateAuthority::generate("c1").unwrap();
    let tls = TlsIdentity::from_pem(Pem { own: None, ca: ca.cert_pem().as_bytes().to_vec() }).unwrap();
    let authenticator = Authenticator::new("c1".into(), VerifyingKeys::default(), tls, clock.clone());
    let certificate = issue(&ca, "ann", "", &["boss://c1/user/ann"]);
    let identity = authenticator.authenticate(&HeaderMap::new(), Some(&certificate)).unwrap();
    assert_eq!(authenticator.check_not_expired(&identity), Ok(()));
    clock.set_unix_millis((NOW + 3_600) * 1_000);
    assert!(clock.unix_seconds() >= identity.expires_at);
    let expired = Err(Error::Expired(Method::Certificate));
    assert_eq!(authenticator.check_not_expired(&identity), expired);
    assert_eq!(authenticator.authenticate(&HeaderMap::new(), Some(&certificate)).map(|_| ()), expired);
}

#[test]
fn a_certificate_of_an_authority_that_is_not_believed_any_more_is_refused_although_it_was_seen_before() {
    let folder = tempfile::tempdir().unwrap();
    let path = |name: &str| folder.path().join(name);
    let (old, new) = (CertificateAuthority::generate("c1").unwrap(), CertificateAuthority::generate("c1").unwrap());
    let subject = Subject { lifetime: Duration::from_secs(3_600), server_auth: true, ..Subject::default() };
    let own = new.issue_at(&subject, NOW).unwrap();
    let files = tls::Files { certificate: path("crt"), key: path("key"), ca: path("ca") };
    std::fs::write(&files.certificate, own.cert_pem).unwrap();
    std::fs::write(&files.key, own.key_pem).unwrap();
    std::fs::write(&files.ca, format!("{}{}", old.cert_pem(), new.cert_pem())).unwrap();
    let believed = TlsIdentity::load(&files).unwrap();
    let clock = Arc::new(ManualClock::new(NOW * 1_000, 1));
    clock.set_unix_millis(NOW * 1_000);
    let authenticator = Authenticator::new("c1".into(), VerifyingKeys::default(), believed.clone(), clock);
    let certificate = issue(&old, "ann", "", &["boss://c1/user/ann"]);
    let chain = CertificateChain { certificates: vec![certificate.der.clone().into()] };
    let credential = Credential { proof: Some(Proof::Certificate(chain)) };
    assert!(authenticator.authenticate_forwarded(&credential).is_ok());
    std::fs::write(&files.ca, new.cert_pem()).unwrap();
    believed.reload().unwrap();
    let refused = authenticator.authenticate_forwarded(&credential);
    assert!(matches!(refused, Err(Error::Certificate(CertificateProblem::Untrusted(_)))), "{refused:?}");
}
