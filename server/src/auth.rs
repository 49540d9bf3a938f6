//! Who calls: from certificate or token to an identity that the log can freeze. Knows no rights; those are asked at
//! a view of the registry.

mod authenticator;
mod cache;
mod certificate;
mod ends;
mod identity;
pub mod node_authorizer;
pub mod oidc;
pub(crate) mod token;

pub use authenticator::Authenticator;
pub use certificate::{Principal, Problem as CertificateProblem};
pub use ends::Ends;
pub use identity::{Identity, Method, Role};

use boss_base::jwt;
use boss_raft::state::credentials::Withdrawn;

/// Everyone who proved who they are is in it.
pub const AUTHENTICATED_GROUP: &str = "system:authenticated";
/// Agents.
pub const NODES_GROUP: &str = "system:nodes";
/// Control-plane replicas.
pub const SERVERS_GROUP: &str = boss_raft::state::rbac::SERVERS_GROUP;
/// The one reserved group that users' credentials may claim: bound to the role `admin`.
pub const ADMINS_GROUP: &str = "system:admins";
/// Start of every name and group that only Boss itself gives.
const RESERVED_PREFIX: &str = "system:";

/// Why a caller is nobody.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum Error {
    /// Neither certificate nor token.
    #[error("the call carries neither a client certificate nor a bearer token")]
    Missing,
    /// The header is there but is no bearer token; never treated as absent.
    #[error("the authorization header is malformed: {0}")]
    MalformedHeader(&'static str),
    /// The token is not believed.
    #[error("{0}")]
    Token(jwt::Refusal),
    /// The ID token of a provider is not believed.
    #[error("the ID token is not taken: {0}")]
    IdToken(jwt::Refusal),
    /// The token is genuine, but says what no token may say.
    #[error("the token claims what it may not: {0}")]
    TokenClaims(String),
    /// The certificate is of our authority, but not for this use.
    #[error("the client certificate is refused: {0}")]
    Certificate(CertificateProblem),
    /// The credential was good and was revoked, or what it is bound to is gone.
    #[error("{0}")]
    Withdrawn(Withdrawn),
    /// The credential was good and has ended.
    #[error("the {0} has expired")]
    Expired(Method),
}

/// The uid under which a service account's requests and revocations are known.
#[must_use]
pub fn service_account_uid(object_uid: &str) -> String {
    format!("serviceaccount:{object_uid}")
}

/// Every service account is in the first, those of a namespace in the second.
#[must_use]
pub fn service_account_groups(namespace: &str) -> Vec<String> {
    vec!["system:serviceaccounts".to_owned(), format!("system:serviceaccounts:{namespace}")]
}

/// A name or group that only Boss gives, in a credential of a user.
pub(crate) fn check_user_names(name: &str, groups: &[String]) -> Result<(), String> {
    if name.is_empty() {
        return Err("the name is empty".to_owned());
    }
    if name.starts_with(RESERVED_PREFIX) {
        return Err(format!("the name {name:?} is reserved"));
    }
    match groups.iter().find(|group| group.starts_with(RESERVED_PREFIX) && *group != ADMINS_GROUP) {
        Some(group) => Err(format!("the group {group:?} is reserved")),
        None => Ok(()),
    }
}

#[cfg(test)]
mod tests;
