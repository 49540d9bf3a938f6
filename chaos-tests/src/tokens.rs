//! Tokens as nobody should make them: expired, foreign, unsigned, with missing or false claims. Checks none.

use boss_base::{
    clock::{Clock, SystemClock},
    jwt::{SigningKey, base64url},
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
    format!("{}.{}.", base64url(r#"{"alg":"none","typ":"JWT"}"#.as_bytes()), base64url(claims.to_string().as_bytes()))
}

/// The token with other claims under the old signature.
#[must_use]
pub fn tampered(token: &str, claims: &Value) -> String {
    let mut parts: Vec<&str> = token.split('.').collect();
    let body = base64url(claims.to_string().as_bytes());
    parts[1] = &body;
    parts.join(".")
}
