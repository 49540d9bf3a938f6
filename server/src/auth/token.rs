//! Bearer tokens: from header to identity. Knows no certificate.

use boss_base::jwt::{Refusal, Verified};
use boss_proto::{
    kind::Kind,
    limits::{TOKEN_BYTES_MAX, TOKEN_ID_LEN_MAX},
    peer::v1::{Credential, credential::Proof},
    v1::ObjectReference,
};
use boss_raft::state::rbac::service_account_username;
use http::{HeaderMap, header::AUTHORIZATION};
use serde::{Deserialize, Serialize};

use super::{
    AUTHENTICATED_GROUP, Error, Identity, Method, Role, check_user_names, service_account_groups, service_account_uid,
};

/// Who signs the cluster's tokens.
pub(crate) const ISSUER: &str = "boss";
const SCHEME: &str = "bearer ";

/// What a token says beside the registered claims. Both must be there: an absent list is not an empty one.
#[derive(Debug, Clone, PartialEq, Eq, Deserialize)]
pub(super) struct Claims {
    name: String,
    groups: Vec<String>,
    /// Only in tokens that servers sign.
    #[serde(default)]
    boss: Option<Own>,
}

/// What servers say beside that. Whatever is there must be of its type.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub(crate) struct Own {
    /// Of the subject's credentials, when the token was made.
    pub(crate) generation: u64,
    /// The account that it is for.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub(crate) service_account: Option<Bound>,
    /// The pod that it is for.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub(crate) pod: Option<Bound>,
}

/// An object that must stand.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub(crate) struct Bound {
    pub(crate) namespace: String,
    pub(crate) name: String,
    pub(crate) uid: String,
}

impl Bound {
    fn reference(&self, kind: Kind) -> ObjectReference {
        let Self { namespace, name, uid } = self.clone();
        ObjectReference { kind: kind.to_string(), namespace, name, uid }
    }
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
/// `key` is the registry's key that signed it; `None` for one of the server's files.
pub(super) fn identify(
    token: &str,
    verified: Verified<Claims>,
    key: Option<ObjectReference>,
) -> Result<Identity, Error> {
    let Verified { registered, claims: Claims { name, groups, boss } } = verified;
    let own = boss.filter(|_| key.is_some());
    let account = own.as_ref().and_then(|own| own.service_account.as_ref());
    let (sub, mut groups) = match account {
        Some(account) => {
            if name != service_account_username(&account.namespace, &account.name) {
                return Err(Error::TokenClaims(format!("the name {name:?} is not the service account's")));
            }
            (service_account_uid(&account.uid), service_account_groups(&account.namespace))
        }
        None => {
            check_user_names(&name, &groups).map_err(Error::TokenClaims)?;
            (format!("user:{name}"), groups)
        }
    };
    if registered.sub != sub {
        return Err(Error::TokenClaims(format!("sub is {:?}, but the name is {name:?}", registered.sub)));
    }
    if registered.jti.len() > TOKEN_ID_LEN_MAX {
        return Err(Error::TokenClaims(format!("jti has more than {TOKEN_ID_LEN_MAX} bytes")));
    }
    let pod = own.as_ref().and_then(|own| own.pod.as_ref()).map(|pod| pod.reference(Kind::Pod));
    let account = account.map(|account| account.reference(Kind::ServiceAccount));
    let bound_to = account.into_iter().chain(pod).chain(key).collect();
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
        generation: own.map_or(registered.iat, |own| own.generation),
        bound_to,
        credential: Credential { proof: Some(Proof::Token(token.to_owned())) },
    })
}
