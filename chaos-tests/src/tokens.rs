//! Tokens as nobody should make them: expired, foreign, unsigned, with missing or false claims. Checks none.

use boss_base::{
    clock::{Clock, SystemClock},
    jwt::SigningKey,
};
use serde_json::{Value, json};

use crate::cluster::Cluster;

/// The claims of a good token of this cluster for `user`; a test spoils what it wants.
#[must_use]
pub fn claims(cluster: &Cluster, user: &str, groups: &[&str]) -> Value {
    let now = SystemClock.unix_millis() / 1_000;
    json!({
        "iss": "boss",
        "aud": cluster.layout().plan().cluster_id.as_str(),
        "sub": format!("user:{user}"),
        "jti": format!("test-{now}-{user}"),
        "iat": now,
        "nbf": now,
        "exp": now + 3_600,
        "name": user,
        "groups": groups,
    })
}

/// A token with these claims, signed with the cluster's own key.
#[must_use]
pub fn sign(cluster: &Cluster, claims: &Value) -> String {
    let path = cluster.layout().directory().join("pki/token.key");
    let key = SigningKey::load(&path).unwrap_or_else(|error| panic!("no key in {}: {error}", path.display()));
    key.sign(claims).unwrap_or_else(|error| panic!("the token cannot be signed: {error}"))
}

/// A token with these claims that says it is unsigned, as the standard's `alg: none`.
#[must_use]
pub fn unsigned(claims: &Value) -> String {
    format!("{}.{}.", base64_url(r#"{"alg":"none","typ":"JWT"}"#.as_bytes()), base64_url(claims.to_string().as_bytes()))
}

/// The token with other claims under the old signature.
#[must_use]
pub fn tampered(token: &str, claims: &Value) -> String {
    let mut parts: Vec<&str> = token.split('.').collect();
    let body = base64_url(claims.to_string().as_bytes());
    parts[1] = &body;
    parts.join(".")
}

fn base64_url(bytes: &[u8]) -> String {
    const DIGITS: &[u8; 64] = b"ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789-_";
    let digits = |chunk: &[u8]| {
        let bits = chunk.iter().fold(0_u32, |bits, byte| bits << 8 | u32::from(*byte)) << (8 * (3 - chunk.len()));
        let digit = move |index: usize| char::from(DIGITS[(bits >> (18 - 6 * index)) as usize & 63]);
        (0..=chunk.len()).map(digit).collect::<String>()
    };
    bytes.chunks(3).map(digits).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn base64_is_as_the_standard_says() {
        assert_eq!(
            ["", "f", "fo", "foo", "foob"].map(|text| base64_url(text.as_bytes())),
            ["", "Zg", "Zm8", "Zm9v", "Zm9vYg"]
        );
        assert_eq!(base64_url(&[0xfb, 0xff]), "-_8");
    }
}
