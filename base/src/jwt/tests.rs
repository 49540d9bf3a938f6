//! Tokens that must pass and tokens that must not.

use serde_json::{Value, json};

use super::*;

const NOW: u64 = 1_700_000_000;
const LIFETIME_MAX: Duration = Duration::from_secs(3_600);

#[derive(Debug, PartialEq, Deserialize)]
struct Claims {
    groups: Vec<String>,
}

fn good() -> Value {
    json!({
        "iss": "us", "aud": "here", "sub": "user:anna", "jti": "1", "exp": NOW + 60, "nbf": NOW - 60,
        "iat": NOW - 60, "groups": ["builders"],
    })
}

fn with(name: &str, value: Value) -> Value {
    let mut claims = good();
    claims[name] = value;
    claims
}

fn without(name: &str) -> Value {
    let mut claims = good();
    claims.as_object_mut().unwrap().remove(name);
    claims
}

fn keys(key: &SigningKey) -> VerifyingKeys {
    VerifyingKeys::from_iter([VerifyingKey::from_pem(&key.public_pem()).unwrap()])
}

fn verify(keys: &VerifyingKeys, token: &str) -> Result<Verified<Claims>, Refusal> {
    let leeway = Duration::from_secs(5);
    keys.verify(token, &Expected { audience: "here", issuer: "us", leeway, lifetime_max: LIFETIME_MAX, now: NOW })
}

fn base64(text: &str) -> String {
    base64url(text.as_bytes())
}

#[test]
fn a_good_token_gives_its_claims() {
    let key = SigningKey::generate().unwrap();
    let verified = verify(&keys(&key), &key.sign(&good()).unwrap()).unwrap();
    assert_eq!(verified.claims, Claims { groups: vec!["builders".into()] });
    assert_eq!(verified.registered.sub, "user:anna");
}

#[test]
fn any_of_several_keys_is_found_by_its_name() {
    let (one, two) = (SigningKey::generate().unwrap(), SigningKey::generate().unwrap());
    let both: VerifyingKeys =
        [&one, &two].into_iter().map(|key| VerifyingKey::from_pem(&key.public_pem()).unwrap()).collect();
    assert_eq!(both.len(), 2);
    verify(&both, &one.sign(&good()).unwrap()).unwrap();
    verify(&both, &two.sign(&good()).unwrap()).unwrap();
}

#[test]
fn claims_that_are_missing_or_wrong_are_refused() {
    let key = SigningKey::generate().unwrap();
    let keys = keys(&key);
    let check = |claims: &Value| verify(&keys, &key.sign(claims).unwrap()).unwrap_err();
    assert_eq!(check(&with("exp", json!(NOW - 5))), Refusal::Expired);
    assert_eq!(check(&with("nbf", json!(NOW + 6))), Refusal::NotYetValid);
    assert_eq!(check(&with("aud", json!("there"))), Refusal::WrongAudience);
    assert_eq!(check(&with("iss", json!("them"))), Refusal::WrongIssuer);
    let malformed = [
        with("exp", json!((NOW + 60).to_string())),
        with("exp", json!(1.5e9)),
        with("exp", json!(-1)),
        with("aud", json!(["here"])),
        with("sub", json!("")),
        with("jti", json!("")),
        with("jti", json!(1)),
        with("groups", json!("builders")),
    ];
    let missing = ["iss", "aud", "sub", "jti", "exp", "nbf", "iat", "groups"].map(without);
    for claims in malformed.iter().chain(&missing) {
        assert!(matches!(check(claims), Refusal::BadClaims(_)), "{claims}");
    }
}

#[test]
fn time_limits_give_way_by_the_leeway_and_no_more() {
    let key = SigningKey::generate().unwrap();
    verify(&keys(&key), &key.sign(&with("exp", json!(NOW - 4))).unwrap()).unwrap();
    verify(&keys(&key), &key.sign(&with("nbf", json!(NOW + 5))).unwrap()).unwrap();
    verify(&keys(&key), &key.sign(&with("exp", json!(NOW - 60 + 3_600))).unwrap()).unwrap();
    for exp in [NOW - 60 + 3_601, u64::MAX] {
        let token = key.sign(&with("exp", json!(exp))).unwrap();
        assert!(matches!(verify(&keys(&key), &token), Err(Refusal::BadClaims(_))), "a longer life than any token's");
    }
    verify(&keys(&key), &key.sign(&with("iat", json!(NOW + 5))).unwrap()).unwrap();
    let tomorrow = key.sign(&with("iat", json!(NOW + 6))).unwrap();
    assert_eq!(verify(&keys(&key), &tomorrow), Err(Refusal::NotYetValid), "issued in the future");
}

#[test]
fn a_foreign_key_is_refused_also_under_a_known_name() {
    let (ours, theirs) = (SigningKey::generate().unwrap(), SigningKey::generate().unwrap());
    let foreign = theirs.sign(&good()).unwrap();
    assert_eq!(verify(&keys(&ours), &foreign).unwrap_err(), Refusal::UnknownKey);

    let signed = ours.sign(&good()).unwrap();
    let (header, _) = signed.split_once('.').unwrap();
    let (_, rest) = foreign.split_once('.').unwrap();
    assert_eq!(verify(&keys(&ours), &format!("{header}.{rest}")).unwrap_err(), Refusal::BadSignature);
}

#[test]
fn unsigned_tokens_and_other_algorithms_are_refused() {
    let key = SigningKey::generate().unwrap();
    let payload = base64(&good().to_string());
    for algorithm in ["none", "None", "HS256", "ES256", "RS256"] {
        let header = base64(&json!({ "typ": "JWT", "alg": algorithm, "kid": key.kid() }).to_string());
        for signature in ["", "AAAA"] {
            let token = format!("{header}.{payload}.{signature}");
            assert!(matches!(verify(&keys(&key), &token), Err(Refusal::Malformed(_))), "{algorithm}");
        }
    }
    let header = base64(&json!({ "typ": "JWT", "alg": "EdDSA", "kid": key.kid() }).to_string());
    assert_eq!(verify(&keys(&key), &format!("{header}.{payload}.")), Err(Refusal::BadSignature));
    let header = base64(&json!({ "typ": "JWT", "alg": "EdDSA" }).to_string());
    assert!(matches!(verify(&keys(&key), &format!("{header}.{payload}.")), Err(Refusal::Malformed(_))));
}

#[test]
fn oversized_tokens_and_junk_are_refused() {
    let key = SigningKey::generate().unwrap();
    let oversized = key.sign(&with("groups", json!(vec!["x".repeat(TOKEN_BYTES_MAX)]))).unwrap();
    assert_eq!(verify(&keys(&key), &oversized), Err(Refusal::TooLong));
    for junk in ["", ".", "..", "a.b", "a.b.c", "a.b.c.d", "\u{0}", "ü.ü.ü"] {
        assert!(matches!(verify(&keys(&key), junk), Err(Refusal::Malformed(_))), "{junk:?}");
    }
}

#[test]
fn keys_come_back_from_their_files_which_only_the_owner_reads() {
    let directory = tempfile::tempdir().unwrap();
    let path = directory.path().join("token.key");
    let key = SigningKey::generate().unwrap();
    key.save(&path).unwrap();
    assert!(!crate::files::is_open_to_others(&path).unwrap());
    let loaded = SigningKey::load(&path).unwrap();
    assert_eq!(loaded.kid(), key.kid());
    verify(&keys(&key), &loaded.sign(&good()).unwrap()).unwrap();
}

#[test]
fn what_is_no_ed25519_key_is_refused() {
    let other = rcgen::KeyPair::generate().unwrap();
    assert!(SigningKey::from_pem(&other.serialize_pem()).is_err());
    assert!(VerifyingKey::from_pem(&other.public_key_pem()).is_err());
    assert!(VerifyingKey::from_pem("junk").is_err());
    assert!(SigningKey::load(std::path::Path::new("/")).is_err());
}

#[test]
fn base64_for_urls_is_as_the_standard_says() {
    let encoded = ["", "f", "fo", "foo", "foob"].map(|text| base64url(text.as_bytes()));
    assert_eq!(encoded, ["", "Zg", "Zm8", "Zm9v", "Zm9vYg"]);
    assert_eq!(base64url(&[0xfb, 0xff]), "-_8");
}
