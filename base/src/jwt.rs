//! Signed tokens over ring: our own, which are EdDSA and nothing else, and ID tokens of others. Knows no user and asks
//! no clock.

#[cfg(any(test, fuzzing))]
pub mod fuzz;
mod id_token;
mod key_set;
mod keys;
mod provider;
pub mod testing;

pub use id_token::{ExpectedId, IdToken};
pub use key_set::{BadKeySet, KEY_SET_BYTES_MAX, KeySet};
pub use keys::{KeyError, SigningKey, VerifyingKey, VerifyingKeys, base64url};

use std::time::Duration;

use jsonwebtoken::{Algorithm, Header, Validation};
use serde::{Deserialize, Serialize, de::DeserializeOwned};

/// The longest token that is looked at.
pub const TOKEN_BYTES_MAX: usize = 8 * 1024;

/// Claims that every token has, each with its only possible type.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Registered {
    /// Who made it.
    pub iss: String,
    /// Whom it is for.
    pub aud: String,
    /// Whom it speaks about.
    pub sub: String,
    /// Its own id.
    pub jti: String,
    /// When it ends, in seconds since the Unix epoch.
    pub exp: u64,
    /// When it begins, in seconds since the Unix epoch.
    pub nbf: u64,
    /// When it was made, in seconds since the Unix epoch.
    pub iat: u64,
}

/// What a token must say to be taken.
#[derive(Debug, Clone, Copy)]
pub struct Expected<'a> {
    /// Whom tokens must be for.
    pub audience: &'a str,
    /// Who must have made them.
    pub issuer: &'a str,
    /// How far clocks may differ.
    pub leeway: Duration,
    /// From issue to end, whatever a token says.
    pub lifetime_max: Duration,
    /// In seconds since the Unix epoch.
    pub now: u64,
}

/// A token that was believed.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Verified<C> {
    /// The claims that every token has.
    pub registered: Registered,
    /// The caller's own claims.
    pub claims: C,
}

/// Why a token is not believed. None of it needs to reach the caller word by word, all of it belongs in the log.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum Refusal {
    /// Longer than [`TOKEN_BYTES_MAX`].
    #[error("the token is longer than {TOKEN_BYTES_MAX} bytes")]
    TooLong,
    /// Not a token, or a header that we do not take: another algorithm, none at all, another type.
    #[error("the token is malformed: {0}")]
    Malformed(String),
    /// The key that it names is not known here.
    #[error("the token was signed with an unknown key")]
    UnknownKey,
    /// The signature is not the key's.
    #[error("the token's signature does not fit")]
    BadSignature,
    /// A claim is missing or has the wrong type.
    #[error("the token's claims are not as they must be: {0}")]
    BadClaims(String),
    /// Made by somebody else.
    #[error("the token comes from another issuer")]
    WrongIssuer,
    /// Made for somebody else.
    #[error("the token is for another audience")]
    WrongAudience,
    /// Its time is over.
    #[error("the token has expired")]
    Expired,
    /// Its time has not come.
    #[error("the token is not valid yet")]
    NotYetValid,
}

impl SigningKey {
    /// A token with these claims. They should contain those of [`Registered`], or nobody will take it.
    pub fn sign<C: Serialize>(&self, claims: &C) -> Result<String, KeyError> {
        provider::install();
        let mut header = Header::new(Algorithm::EdDSA);
        header.kid = Some(self.kid().to_owned());
        jsonwebtoken::encode(&header, claims, self.encoding()).map_err(|error| KeyError(error.to_string()))
    }
}

impl VerifyingKeys {
    /// The claims of `token`, if it is to be believed.
    pub fn verify<C: DeserializeOwned>(&self, token: &str, expected: &Expected<'_>) -> Result<Verified<C>, Refusal> {
        provider::install();
        if token.len() > TOKEN_BYTES_MAX {
            return Err(Refusal::TooLong);
        }
        let key = self.find(&check_header(token)?).ok_or(Refusal::UnknownKey)?;
        let claims = jsonwebtoken::decode::<serde_json::Value>(token, key.decoding(), &signature_only())
            .map_err(|error| refusal(&error))?
            .claims;
        let registered: Registered = typed(&claims)?;
        check_registered(&registered, expected)?;
        Ok(Verified { claims: typed(&claims)?, registered })
    }
}

/// The name of the key that a token says it was signed with. Nothing of it is believed yet.
pub fn key_id(token: &str) -> Result<String, Refusal> {
    if token.len() > TOKEN_BYTES_MAX {
        return Err(Refusal::TooLong);
    }
    check_header(token)
}

/// The key id of a token whose header is one that we make.
fn check_header(token: &str) -> Result<String, Refusal> {
    let header = jsonwebtoken::decode_header(token).map_err(|error| Refusal::Malformed(error.to_string()))?;
    if header.alg != Algorithm::EdDSA {
        return Err(Refusal::Malformed("another algorithm than EdDSA".to_owned()));
    }
    if header.typ.as_deref() != Some("JWT") {
        return Err(Refusal::Malformed("another type than JWT".to_owned()));
    }
    header.kid.ok_or_else(|| Refusal::Malformed("it names no key".to_owned()))
}

/// Times, issuer and audience are checked here and not by the library: it takes time from the machine, takes
/// claims of the wrong type for absent ones, and takes lists where we make none.
fn signature_only() -> Validation {
    let mut validation = Validation::new(Algorithm::EdDSA);
    validation.validate_exp = false;
    validation.validate_nbf = false;
    validation.validate_aud = false;
    validation.required_spec_claims.clear();
    validation
}

fn check_registered(claims: &Registered, expected: &Expected<'_>) -> Result<(), Refusal> {
    let leeway = expected.leeway.as_secs();
    if claims.iss != expected.issuer {
        return Err(Refusal::WrongIssuer);
    }
    if claims.aud != expected.audience {
        return Err(Refusal::WrongAudience);
    }
    if claims.sub.is_empty() || claims.jti.is_empty() {
        return Err(Refusal::BadClaims("sub and jti may not be empty".to_owned()));
    }
    if claims.exp.saturating_add(leeway) <= expected.now {
        return Err(Refusal::Expired);
    }
    // Issued in the future it would be newer than what revokes it.
    if claims.nbf.max(claims.iat) > expected.now.saturating_add(leeway) {
        return Err(Refusal::NotYetValid);
    }
    if claims.exp.saturating_sub(claims.iat) > expected.lifetime_max.as_secs() {
        let max = expected.lifetime_max.as_secs();
        return Err(Refusal::BadClaims(format!("from iat to exp there may be {max} seconds at most")));
    }
    Ok(())
}

fn typed<C: DeserializeOwned>(claims: &serde_json::Value) -> Result<C, Refusal> {
    C::deserialize(claims).map_err(|error| Refusal::BadClaims(error.to_string()))
}

fn refusal(error: &jsonwebtoken::errors::Error) -> Refusal {
    match error.kind() {
        jsonwebtoken::errors::ErrorKind::InvalidSignature => Refusal::BadSignature,
        _ => Refusal::Malformed(error.to_string()),
    }
}

#[cfg(test)]
mod tests;
