//! Everything that reads tokens and keys of callers and of providers of identities: no bytes make any of it panic, and
//! what is believed says what it must. Each function is one subject for a fuzzer; the tests here give each a short run.
//! Compiled for tests and fuzzers only.

use std::{sync::LazyLock, time::Duration};

use serde_json::Value;

use super::{
    Expected, ExpectedId, KeySet, SigningKey, VerifyingKey, VerifyingKeys,
    testing::{ProviderKey, key_set as set_of},
};

/// The second in which the corpus was made.
const NOW: u64 = 1_700_000_000;
const LEEWAY: Duration = Duration::from_secs(5);
const AGE_MAX: Duration = Duration::from_secs(600);

static PROVIDER: LazyLock<(ProviderKey, KeySet)> = LazyLock::new(|| {
    let key = ProviderKey::generate("k1");
    let keys = KeySet::from_json(set_of([&key]).to_string().as_bytes()).expect("it was made a moment ago");
    (key, keys)
});

static OWN: LazyLock<(SigningKey, VerifyingKeys)> = LazyLock::new(|| {
    let key = SigningKey::generate().expect("there is chance");
    let keys = VerifyingKey::from_bytes(key.public_key()).into_iter().collect();
    (key, keys)
});

/// A provider's key set: what is taken holds keys that can be found, and checks tokens without a panic.
pub fn key_set(input: &[u8]) {
    let Ok(keys) = KeySet::from_json(input) else { return };
    assert!(keys.kids().all(|kid| !kid.is_empty() && keys.find(kid).is_some()));
    for kid in keys.kids() {
        for alg in ["ES256", "RS256", "EdDSA"] {
            let header = serde_json::json!({ "alg": alg, "kid": kid });
            drop(keys.verify_id_token(&PROVIDER.0.sign_under(&header, &Value::Null), &expected()));
        }
    }
}

/// An ID token: as text, and as claims under a good signature, which reach what is behind it. The first line is the
/// header, the rest are the claims.
pub fn id_token(input: &[u8]) {
    let (key, keys) = &*PROVIDER;
    if let Ok(text) = std::str::from_utf8(input) {
        assert!(keys.verify_id_token(text, &expected()).is_err(), "nobody has signed it");
    }
    let end = input.iter().position(|byte| *byte == b'\n').unwrap_or(input.len());
    let (header, claims) = input.split_at(end);
    let token = key.sign_bytes(header, claims.get(1..).unwrap_or_default());
    let Ok(believed) = keys.verify_id_token(&token, &expected()) else { return };
    let claims = believed.claims;
    assert_eq!(claims["iss"], "https://id.example");
    let aud = &claims["aud"];
    assert!(aud == "boss" || aud.as_array().is_some_and(|names| names.iter().any(|name| name == "boss")), "{aud}");
    assert!(claims["exp"].as_u64().is_some_and(|exp| exp + LEEWAY.as_secs() > NOW), "{claims:?}");
    assert!(claims["iat"].as_u64().is_some_and(|iat| iat <= NOW + LEEWAY.as_secs()), "{claims:?}");
    assert!(claims.get("nonce").is_none_or(|nonce| nonce == "n-1"), "{claims:?}");
}

/// A token of ours: as text, and as claims under a good signature.
pub fn token(input: &[u8]) {
    let (key, keys) = &*OWN;
    let expected = Expected { audience: "here", issuer: "us", leeway: LEEWAY, lifetime_max: AGE_MAX, now: NOW };
    if let Ok(text) = std::str::from_utf8(input) {
        assert!(keys.verify::<Value>(text, &expected).is_err(), "nobody has signed it");
    }
    let Ok(claims) = serde_json::from_slice::<Value>(input) else { return };
    let Ok(signed) = key.sign(&claims) else { return };
    let Ok(believed) = keys.verify::<Value>(&signed, &expected) else { return };
    let registered = believed.registered;
    assert_eq!((&*registered.iss, &*registered.aud), ("us", "here"));
    assert!(!registered.sub.is_empty() && !registered.jti.is_empty());
    assert!(registered.exp + LEEWAY.as_secs() > NOW && registered.iat <= NOW + LEEWAY.as_secs());
    assert!(registered.exp.saturating_sub(registered.iat) <= AGE_MAX.as_secs());
}

fn expected() -> ExpectedId<'static> {
    ExpectedId {
        issuer: "https://id.example",
        client_id: "boss",
        nonce: Some("n-1"),
        leeway: LEEWAY,
        age_max: AGE_MAX,
        now: NOW,
    }
}

#[cfg(test)]
mod tests {
    use std::{panic::RefUnwindSafe, path::Path};

    use super::*;

    fn run(subject: &str, read: impl Fn(&[u8]) + RefUnwindSafe) {
        crate::fuzz::run(subject, &Path::new(env!("CARGO_MANIFEST_DIR")).join("fuzz-corpus").join(subject), read);
    }

    #[test]
    fn no_bytes_make_the_reading_of_a_key_set_panic() {
        run("key_set", key_set);
    }

    #[test]
    fn no_id_token_makes_its_reading_panic_or_is_believed_for_nothing() {
        run("id_token", id_token);
    }

    #[test]
    fn no_token_makes_its_reading_panic_or_is_believed_for_nothing() {
        run("token", token);
    }

    #[test]
    fn the_corpus_has_tokens_that_are_believed() {
        // Else changed ones would all be refused for the same reason.
        let claims = include_bytes!("../../fuzz-corpus/id_token/good");
        let end = claims.iter().position(|byte| *byte == b'\n').unwrap();
        let token = PROVIDER.0.sign_bytes(&claims[..end], &claims[end + 1..]);
        PROVIDER.1.verify_id_token(&token, &expected()).unwrap();
    }
}
