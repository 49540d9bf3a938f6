//! Keys of a provider of identities and ID tokens of all sorts. For tests; nothing here makes a token of ours.

use ring::{
    hmac,
    rand::SystemRandom,
    signature::{ECDSA_P256_SHA256_FIXED_SIGNING, EcdsaKeyPair, KeyPair},
};
use serde_json::{Value, json};

use super::base64url;

/// A key that signs with ES256.
pub struct ProviderKey {
    pair: EcdsaKeyPair,
    kid: String,
    random: SystemRandom,
}

impl ProviderKey {
    /// A fresh one of that name.
    #[must_use]
    pub fn generate(kid: &str) -> Self {
        let random = SystemRandom::new();
        let document =
            EcdsaKeyPair::generate_pkcs8(&ECDSA_P256_SHA256_FIXED_SIGNING, &random).expect("there is chance");
        let pair = EcdsaKeyPair::from_pkcs8(&ECDSA_P256_SHA256_FIXED_SIGNING, document.as_ref(), &random)
            .expect("it was made a moment ago");
        Self { pair, kid: kid.to_owned(), random }
    }

    /// An ID token with these claims.
    #[must_use]
    pub fn sign(&self, claims: &Value) -> String {
        self.sign_under(&json!({ "alg": "ES256", "typ": "JWT", "kid": self.kid }), claims)
    }

    /// The same under any header; the signature is this key's.
    #[must_use]
    pub fn sign_under(&self, header: &Value, claims: &Value) -> String {
        self.sign_bytes(header.to_string().as_bytes(), claims.to_string().as_bytes())
    }

    /// The same with any bytes for both.
    #[must_use]
    pub fn sign_bytes(&self, header: &[u8], claims: &[u8]) -> String {
        let message = format!("{}.{}", base64url(header), base64url(claims));
        let signature = self.pair.sign(&self.random, message.as_bytes()).expect("there is chance");
        format!("{message}.{}", base64url(signature.as_ref()))
    }

    /// A token "signed" with HS256 and the public key as the secret: what a careless reader would take.
    #[must_use]
    pub fn sign_with_public_key(&self, claims: &Value) -> String {
        let message = message(&json!({ "alg": "HS256", "typ": "JWT", "kid": self.kid }), claims);
        let secret = hmac::Key::new(hmac::HMAC_SHA256, self.pair.public_key().as_ref());
        format!("{message}.{}", base64url(hmac::sign(&secret, message.as_bytes()).as_ref()))
    }

    /// Its public half as a JSON Web Key.
    #[must_use]
    pub fn jwk(&self) -> Value {
        // A point without compression: 4, x, y.
        let (x, y) = self.pair.public_key().as_ref()[1..].split_at(32);
        json!({
            "kty": "EC", "crv": "P-256", "alg": "ES256", "use": "sig", "kid": self.kid,
            "x": base64url(x), "y": base64url(y),
        })
    }
}

/// A JSON Web Key Set.
#[must_use]
pub fn key_set<'a>(keys: impl IntoIterator<Item = &'a ProviderKey>) -> Value {
    json!({ "keys": keys.into_iter().map(ProviderKey::jwk).collect::<Vec<_>>() })
}

/// A token that says it is unsigned, as the standard's `alg: none`.
#[must_use]
pub fn unsigned(kid: &str, claims: &Value) -> String {
    format!("{}.", message(&json!({ "alg": "none", "typ": "JWT", "kid": kid }), claims))
}

fn message(header: &Value, claims: &Value) -> String {
    format!("{}.{}", base64url(header.to_string().as_bytes()), base64url(claims.to_string().as_bytes()))
}
