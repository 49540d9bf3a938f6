//! Bearer tokens: from header to identity. Knows no certificate.

use boss_base::jwt::{Refusal, Verified};
use boss_proto::{
    limits::TOKEN_BYTES_MAX,
    peer::v1::{Credential, credential::Proof},
};
use http::{HeaderMap, header::AUTHORIZATION};
use serde::Deserialize;

use super::{AUTHENTICATED_GROUP, Error, Identity, Method, Role, check_user_names};

/// Who signs the cluster's tokens.
pub(super) const ISSUER: &str = "boss";
const SCHEME: &str = "bearer ";

/// What a token says beside the registered claims. Both must be there: an absent list is not an empty one.
#[derive(Debug, Clone, PartialEq, Eq, Deserialize)]
pub(super) struct Claims {
    name: String,
    groups: Vec<String>,
}

/// The token of a call; `None` only when there is no such header at all.
pub(super) fn from_headers(headers: &HeaderMap) -> Result<Option<&str>, Error> {
    let mut values = headers.get_all(AUTHORIZATION).iter();
    let Some(value) = values.next() else { return Ok(None) };
    if values.next().is_some() {
        return Err(Error::MalformedHeader("there is more than one"));
    }
    let text = value.to_str().map_err(|_| Error::MalformedHeader("it is not text"))?;
    let (scheme, token) = text.split_at_checked(SCHEME.len()).ok_or(Error::MalformedHeader("it is no bearer token"))?;
    if !scheme.eq_ignore_ascii_case(SCHEME) {
        return Err(Error::MalformedHeader("it is no bearer token"));
    }
    if token.is_empty() || token.contains(char::is_whitespace) {
        return Err(Error::MalformedHeader("the token is empty or has spaces in it"));
    }
    if token.len() > TOKEN_BYTES_MAX {
        return Err(Error::Token(Refusal::TooLong));
    }
    Ok(Some(token))
}

/// The identity of a verified token.
pub(super) fn identify(token: &str, verified: Verified<Claims>) -> Result<Identity, Error> {
    let Verified { registered, claims: Claims { name, groups } } = verified;
    check_user_names(&name, &groups).map_err(Error::TokenClaims)?;
    if registered.sub != format!("user:{name}") {
        return Err(Error::TokenClaims(format!("sub is {:?}, but the name is {name:?}", registered.sub)));
    }
    if registered.jti.is_empty() {
        return Err(Error::TokenClaims("jti is empty".to_owned()));
    }
    let mut groups = groups;
    groups.push(AUTHENTICATED_GROUP.to_owned());
    Ok(Identity {
        username: name,
        uid: registered.sub,
        groups,
        method: Method::Token,
        role: Role::User,
        expires_at: registered.exp,
        token_id: registered.jti,
        certificate_serial: String::new(),
        generation: registered.iat,
        bound_to: Vec::new(),
        credential: Credential { proof: Some(Proof::Token(token.to_owned())) },
    })
}
