//! ID tokens that must pass and ID tokens that must not.

use serde_json::json;

use super::*;
use crate::jwt::{
    BadKeySet, KEY_SET_BYTES_MAX,
    testing::{ProviderKey, key_set, unsigned},
};

const NOW: u64 = 1_700_000_000;

/// The public half of an RSA key whose private half is gone, and the one token that it signed.
const RSA_MODULUS: &str = concat!(
    "uJ31G_vehKNT4DgmerZ9EBMsmQX4N4l9nuwVM9eJaOn7uywd8_mMiOkxHFqhntBAT3eU9yKtrhZrPrqVEQ-OEeWYfzg6tadgUQBaV2YL",
    "3sgBccaK3VxnVNDy9B0QP9Dq9fDlpr4mr_TMQ0JuYGxsKaHYQqlkjZD8UziM2JjCT97qJVZ8rvgw-tITPvYRzclcCVqrZ1R8I6ox9LSZ",
    "GGnxfZdareH0MzMwf6JlDa2SqGXH1WcyVllwZN2z1YaoBRAeJGfKBM-XhWLjqLf4zlgqjrgqWoTZwC-1t8qQmncTg7b9D4ArjZKwFrvS",
    "58v9GOKuz-il3NPkAwFb6tkLcQmg7w",
);
const RSA_TOKEN: &str = concat!(
    "eyJhbGciOiAiUlMyNTYiLCAidHlwIjogIkpXVCIsICJraWQiOiAicnNhLTEifQ.eyJpc3MiOiAiaHR0cHM6Ly9pZC5leGFtcGxlIiwgI",
    "mF1ZCI6ICJib3NzIiwgInN1YiI6ICJhbm5hIiwgImlhdCI6IDE2OTk5OTk5OTUsICJleHAiOiAxNzAwMDAwMzAwfQ.Qw_T9FMi_LLk6I",
    "d5AA-w6Plt6jpzlA-SDb45YMq26-SvYNazMQMo2bIgq9LcxVfx8Fjk-0KBAinG2NadcSgejlnGb7fpvZrbnia1wgwe5k0eUBgihrKdjf",
    "Mr1ovBa_H0cV2jyCEZ1DhrUXsOzrIRrd-onLqHSC-lUBnykTjJZeYlSQ6LntEPV-JJfbYTIVPaBlHuLljOLWQT4Qm6A0tAOzylYYP2tO",
    "h6PXNpRLfk_RMgGJRzv9B2n64zGSH82Uhk14AMb9m0al5Ak7WqweESZF7h3BUo4jPLZHVOI9MHQ92OMQZDVAWZZ7jvbN5J3JPV4_BfGE",
    "4umIH2EGt5XwYLdQ",
);

fn rsa_key() -> Value {
    json!({ "kty": "RSA", "use": "sig", "kid": "rsa-1", "n": RSA_MODULUS, "e": "AQAB" })
}

fn good() -> Value {
    json!({
        "iss": "https://id.example", "aud": "boss", "sub": "anna", "exp": NOW + 300, "iat": NOW - 5, "nonce": "n-1",
        "groups": ["builders"],
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

fn set(document: &Value) -> Result<KeySet, BadKeySet> {
    KeySet::from_json(document.to_string().as_bytes())
}

fn verify(keys: &KeySet, token: &str) -> Result<IdToken, Refusal> {
    let (leeway, age_max) = (Duration::from_secs(5), Duration::from_secs(600));
    let (issuer, client_id, nonce) = ("https://id.example", "boss", Some("n-1"));
    keys.verify_id_token(token, &ExpectedId { issuer, client_id, nonce, leeway, age_max, now: NOW })
}

#[test]
fn a_good_id_token_gives_all_its_claims() {
    let key = ProviderKey::generate("k1");
    let keys = set(&key_set([&key])).unwrap();
    let token = verify(&keys, &key.sign(&good())).unwrap();
    assert_eq!((token.issued_at, &token.claims["groups"]), (NOW - 5, &json!(["builders"])));
    // Devices often cannot hand a nonce over; where there is none, none can be foreign.
    verify(&keys, &key.sign(&without("nonce"))).unwrap();
    verify(&keys, &key.sign(&with("aud", json!(["boss"])))).unwrap();
    let mut others = with("aud", json!(["other", "boss"]));
    others["azp"] = json!("boss");
    verify(&keys, &key.sign(&others)).unwrap();
}

#[test]
fn tokens_of_rsa_and_ed25519_keys_are_taken_too() {
    verify(&set(&json!({ "keys": [rsa_key()] })).unwrap(), RSA_TOKEN).unwrap();
    let key = crate::jwt::SigningKey::generate().unwrap();
    let jwk = crate::jwt::VerifyingKey::from_pem(&key.public_pem()).unwrap().to_jwk();
    verify(&set(&json!({ "keys": [jwk] })).unwrap(), &key.sign(&good()).unwrap()).unwrap();
}

#[test]
fn an_id_token_with_a_missing_or_wrong_claim_is_refused() {
    let key = ProviderKey::generate("k1");
    let keys = set(&key_set([&key])).unwrap();
    let refused = |claims: &Value| verify(&keys, &key.sign(claims)).unwrap_err();
    assert_eq!(refused(&with("iss", json!("https://other.example"))), Refusal::WrongIssuer);
    assert_eq!(refused(&with("aud", json!("other"))), Refusal::WrongAudience);
    assert_eq!(refused(&with("aud", json!([]))), Refusal::WrongAudience);
    assert_eq!(refused(&with("aud", json!(["other", "boss"]))), Refusal::WrongAudience, "nobody says who asked for it");
    assert_eq!(refused(&with("azp", json!("other"))), Refusal::WrongAudience);
    assert_eq!(refused(&with("exp", json!(NOW - 5))), Refusal::Expired);
    assert_eq!(refused(&with("iat", json!(NOW + 6))), Refusal::NotYetValid);
    assert_eq!(refused(&with("nbf", json!(NOW + 6))), Refusal::NotYetValid);
    for claims in [
        with("nonce", json!("of another login")),
        with("iat", json!(NOW - 606)),
        with("sub", json!("")),
        with("exp", json!("1800000000")),
        with("nbf", Value::Null),
        with("azp", json!(["boss"])),
        with("aud", json!({ "boss": true })),
        without("iss"),
        without("aud"),
        without("sub"),
        without("exp"),
        without("iat"),
    ] {
        assert!(matches!(refused(&claims), Refusal::BadClaims(_)), "{claims}");
    }
}

#[test]
fn an_id_token_that_its_key_has_not_signed_so_is_refused() {
    let (key, other) = (ProviderKey::generate("k1"), ProviderKey::generate("k1"));
    let keys = set(&json!({ "keys": [key.jwk(), rsa_key()] })).unwrap();
    let refused = |token: &str| verify(&keys, token).unwrap_err();
    assert_eq!(refused(&other.sign(&good())), Refusal::BadSignature);
    assert_eq!(refused(&ProviderKey::generate("k2").sign(&good())), Refusal::UnknownKey);
    let under = |header: Value| refused(&key.sign_under(&header, &good()));
    for refusal in [
        refused(&unsigned("k1", &good())),
        refused(&key.sign_with_public_key(&good())),
        under(json!({ "alg": "RS256", "kid": "k1" })),
        under(json!({ "alg": "ES256", "kid": "rsa-1" })),
        under(json!({ "alg": "ES384", "kid": "k1" })),
        under(json!({ "alg": "ES256" })),
        under(json!({ "alg": "ES256", "kid": "k1", "typ": "at+jwt" })),
        under(json!({ "alg": "ES256", "kid": "k1", "crit": ["exp"] })),
        refused("a.b"),
        refused(""),
    ] {
        assert!(matches!(refusal, Refusal::Malformed(_)), "{refusal:?}");
    }
    assert_eq!(refused(&"a".repeat(TOKEN_BYTES_MAX + 1)), Refusal::TooLong);
}

#[test]
fn keys_for_other_things_are_left_out_of_a_set_and_broken_ones_spoil_it() {
    let key = ProviderKey::generate("k1");
    let changed = |name: &str, value: Value| {
        let mut jwk = key.jwk();
        jwk[name] = value;
        jwk
    };
    let other = [
        json!({ "kty": "oct", "kid": "shared", "k": "c2VjcmV0" }),
        changed("use", json!("enc")),
        changed("crv", json!("P-521")),
        changed("alg", json!("ES512")),
        changed("kid", Value::Null),
    ];
    let both: Vec<Value> = other.iter().cloned().chain([key.jwk()]).collect();
    let keys = set(&json!({ "keys": both })).unwrap();
    assert_eq!(keys.kids().collect::<Vec<_>>(), ["k1"]);
    assert_eq!(set(&json!({ "keys": other })).err(), Some(BadKeySet::Empty));
    for jwk in [
        changed("x", json!("short")),
        changed("y", Value::Null),
        changed("x", json!("+".repeat(43))),
        changed("kid", json!("")),
        json!({ "kty": "RSA", "kid": "small", "n": "AQAB", "e": "AQAB" }),
        json!({ "kty": "OKP", "crv": "Ed25519", "kid": "half", "x": "AQAB" }),
    ] {
        assert!(matches!(set(&json!({ "keys": [jwk] })), Err(BadKeySet::Key { .. })), "{jwk}");
    }
    assert!(
        matches!(set(&json!({ "keys": [key.jwk(), key.jwk()] })), Err(BadKeySet::Key { .. })),
        "one name, two keys"
    );
    assert!(matches!(set(&json!({ "keys": [{ "kty": 5 }] })), Err(BadKeySet::Malformed(_))));
    assert!(matches!(set(&json!([])), Err(BadKeySet::Malformed(_))));
    assert_eq!(KeySet::from_json(&vec![b' '; KEY_SET_BYTES_MAX + 1]).err(), Some(BadKeySet::TooLong));
}
