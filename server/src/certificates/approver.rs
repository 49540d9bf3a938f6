//! Whether a request for a certificate is granted. Believes nothing of a request but its key; a wish beyond what its
//! sender may have is refused with the reason, so that nobody takes a certificate for more than it is. Pure.

use std::time::Duration;

use boss_base::pki::{Asked, KeyKind, Subject};
use boss_proto::{
    ids::{ClusterId, NodeName},
    labels,
    v1::NodeScope,
};

/// Why there is no certificate.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub(crate) enum Denied {
    /// The subject is of somebody else.
    #[error("it asks for the common name {asked:?}, which is not {own:?}")]
    CommonName {
        /// What it says.
        asked: String,
        /// What it may say.
        own: String,
    },
    /// The subject claims a group or more.
    #[error("its subject says more than a common name ({0})")]
    Subject(String),
    /// A name that is not the sender's.
    #[error("it asks for the name {0}, which is not its own")]
    Name(String),
    /// It wants to be an authority.
    #[error("it asks to sign certificates itself")]
    Authority,
    /// Its key is to do more than sign.
    #[error("it asks for uses of its key beyond signatures")]
    KeyUsage,
    /// Something that its sender does not do.
    #[error("it asks for the purpose {0}, which is not for it")]
    Purpose(String),
    /// Something that nobody gets.
    #[error("it asks for the extension {0}, which nobody gets")]
    Extension(String),
    /// A key that may be weak, or that others cannot check.
    #[error("its key ({0}) is none of ECDSA P-256, ECDSA P-384 and Ed25519")]
    Key(String),
    /// The token is for other nodes.
    #[error("the token lets in {allowed}, not {asked}")]
    OutOfScope {
        /// Whom it lets in.
        allowed: String,
        /// Who asks.
        asked: String,
    },
    /// It can be no node's name.
    #[error("the node's name: {0}")]
    BadName(String),
}

/// Exactly what the certificate of a node says, whatever it has asked for.
pub(crate) fn node_subject(cluster_id: &ClusterId, node: &NodeName, lifetime: Duration) -> Subject {
    Subject {
        common_name: node.to_string(),
        uris: vec![format!("boss://{cluster_id}/node/{node}")],
        client_auth: true,
        lifetime,
        ..Subject::default()
    }
}

/// Whether a request asks for nothing but what `allowed` says.
pub(crate) fn approve(asked: &Asked, allowed: &Subject) -> Result<(), Denied> {
    if let Some(other) = asked.common_names.iter().find(|name| **name != allowed.common_name) {
        return Err(Denied::CommonName { asked: other.clone(), own: allowed.common_name.clone() });
    }
    if let Some(more) = asked.other_subject.first() {
        return Err(Denied::Subject(more.clone()));
    }
    let own = |name: &String| {
        let is = |kind: &str, names: &[String]| {
            name.strip_prefix(kind).is_some_and(|name| names.iter().any(|own| own == name))
        };
        is("URI:", &allowed.uris) || is("DNS:", &allowed.dns_names)
    };
    if let Some(foreign) = asked.names.iter().find(|name| !own(name)) {
        return Err(Denied::Name(foreign.clone()));
    }
    if asked.authority {
        return Err(Denied::Authority);
    }
    if asked.beyond_signatures {
        return Err(Denied::KeyUsage);
    }
    let purposes = [("serverAuth", allowed.server_auth), ("clientAuth", allowed.client_auth)];
    let may = |purpose: &String| purposes.iter().any(|(name, allowed)| purpose == name && *allowed);
    if let Some(other) = asked.purposes.iter().find(|purpose| !may(purpose)) {
        return Err(Denied::Purpose(other.clone()));
    }
    if let Some(extension) = asked.extensions.first() {
        return Err(Denied::Extension(extension.clone()));
    }
    match &asked.key {
        KeyKind::P256 | KeyKind::P384 | KeyKind::Ed25519 => Ok(()),
        KeyKind::Other(algorithm) => Err(Denied::Key(algorithm.clone())),
    }
}

/// The node that a bearer of the token may become: the name that it asks for, or the one that the token says.
pub(crate) fn named(scope: &NodeScope, asked: &str) -> Result<NodeName, Denied> {
    let name = if asked.is_empty() { &*scope.name } else { asked };
    labels::check_name(name).map_err(|problem| Denied::BadName(problem.to_string()))?;
    let out_of = |allowed: String| Err(Denied::OutOfScope { allowed, asked: name.to_owned() });
    if !scope.name.is_empty() && scope.name != name {
        return out_of(format!("node {}", scope.name));
    }
    if !name.starts_with(&*scope.name_prefix) {
        return out_of(format!("nodes whose names begin with {:?}", scope.name_prefix));
    }
    Ok(NodeName::from(name.to_owned()))
}

#[cfg(test)]
mod tests;
