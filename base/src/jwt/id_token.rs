//! ID tokens of others (OpenID Connect): what one must say before its claims are believed. Knows no provider's habits
//! and gives nobody a name.

use std::time::Duration;

use jsonwebtoken::Algorithm;
use serde::Deserialize;
use serde_json::{Map, Value};

use super::{KeySet, Refusal, TOKEN_BYTES_MAX, provider, refusal, signature_only, typed};

/// What an ID token must say to be taken.
#[derive(Debug, Clone, Copy)]
pub struct ExpectedId<'a> {
    /// Who must have made it.
    pub issuer: &'a str,
    /// For which client.
    pub client_id: &'a str,
    /// What the login gave the provider to put into it.
    pub nonce: Option<&'a str>,
    /// How far clocks may differ.
    pub leeway: Duration,
    /// From issue to now: a login is something that has just happened.
    pub age_max: Duration,
    /// In seconds since the Unix epoch.
    pub now: u64,
}

/// An ID token that was believed.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct IdToken {
    /// When it was made, in seconds since the Unix epoch.
    pub issued_at: u64,
    /// Everything that it says.
    pub claims: Map<String, Value>,
}

/// Claims that decide whether it is believed, each with its only possible types.
#[derive(Deserialize)]
struct Checked {
    iss: String,
    sub: String,
    aud: Audience,
    exp: u64,
    iat: u64,
    #[serde(default, deserialize_with = "present")]
    nbf: Option<u64>,
    #[serde(default, deserialize_with = "present")]
    azp: Option<String>,
    #[serde(default, deserialize_with = "present")]
    nonce: Option<String>,
}

/// What is there must be of its type: null is not absent.
fn present<'de, D: serde::Deserializer<'de>, T: Deserialize<'de>>(value: D) -> Result<Option<T>, D::Error> {
    T::deserialize(value).map(Some)
}

#[derive(Deserialize)]
#[serde(untagged)]
enum Audience {
    One(String),
    Several(Vec<String>),
}

impl Audience {
    fn names(&self) -> &[String] {
        match self {
            Self::One(name) => std::slice::from_ref(name),
            Self::Several(names) => names,
        }
    }
}

impl KeySet {
    /// The claims of an ID token, if it is to be believed.
    pub fn verify_id_token(&self, token: &str, expected: &ExpectedId<'_>) -> Result<IdToken, Refusal> {
        provider::install();
        if token.len() > TOKEN_BYTES_MAX {
            return Err(Refusal::TooLong);
        }
        let (kid, algorithm) = read_header(token)?;
        let key = self.find(&kid).ok_or(Refusal::UnknownKey)?;
        // The key says how it signs; a header that says otherwise is an attempt at something.
        if key.algorithm != algorithm {
            return Err(Refusal::Malformed("its algorithm is not its key's".to_owned()));
        }
        let mut validation = signature_only();
        validation.algorithms = vec![algorithm];
        let claims =
            jsonwebtoken::decode::<Value>(token, &key.decoding, &validation).map_err(|error| refusal(&error))?.claims;
        let checked: Checked = typed(&claims)?;
        check(&checked, expected)?;
        let Value::Object(claims) = claims else { return Err(Refusal::BadClaims("they are no object".to_owned())) };
        Ok(IdToken { issued_at: checked.iat, claims })
    }
}

fn read_header(token: &str) -> Result<(String, Algorithm), Refusal> {
    let malformed = |problem: &str| Refusal::Malformed(problem.to_owned());
    let header = jsonwebtoken::decode_header(token).map_err(|error| Refusal::Malformed(error.to_string()))?;
    // An access token has another type, and is for somebody else.
    if header.typ.as_deref().is_some_and(|typ| !typ.eq_ignore_ascii_case("JWT")) {
        return Err(malformed("another type than JWT"));
    }
    if header.crit.is_some() {
        return Err(malformed("it asks for extensions that nobody here knows"));
    }
    if !matches!(header.alg, Algorithm::RS256 | Algorithm::ES256 | Algorithm::EdDSA) {
        return Err(malformed("another algorithm than RS256, ES256 and EdDSA"));
    }
    let kid = header.kid.ok_or_else(|| malformed("it names no key"))?;
    Ok((kid, header.alg))
}

fn check(claims: &Checked, expected: &ExpectedId<'_>) -> Result<(), Refusal> {
    let leeway = expected.leeway.as_secs();
    if claims.iss != expected.issuer {
        return Err(Refusal::WrongIssuer);
    }
    check_audience(claims, expected.client_id)?;
    if claims.sub.is_empty() {
        return Err(Refusal::BadClaims("sub may not be empty".to_owned()));
    }
    // One that was made for another login was perhaps stolen from it.
    if claims.nonce.is_some() && claims.nonce.as_deref() != expected.nonce {
        return Err(Refusal::BadClaims("nonce is not that of this login".to_owned()));
    }
    if claims.exp.saturating_add(leeway) <= expected.now {
        return Err(Refusal::Expired);
    }
    if claims.iat.max(claims.nbf.unwrap_or_default()) > expected.now.saturating_add(leeway) {
        return Err(Refusal::NotYetValid);
    }
    let age_max = expected.age_max.as_secs();
    if expected.now.saturating_sub(claims.iat) > age_max.saturating_add(leeway) {
        return Err(Refusal::BadClaims(format!("iat is more than {age_max} seconds ago: log in again")));
    }
    Ok(())
}

/// One that is for others too names the client that asked for it.
fn check_audience(claims: &Checked, client_id: &str) -> Result<(), Refusal> {
    let names = claims.aud.names();
    let asked_for_it = match &claims.azp {
        Some(azp) => azp == client_id,
        None => names.len() == 1,
    };
    if asked_for_it && names.iter().any(|name| name == client_id) { Ok(()) } else { Err(Refusal::WrongAudience) }
}

#[cfg(test)]
mod tests;
