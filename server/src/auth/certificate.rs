//! What a client certificate of our authority stands for: its one URI of this cluster says it. A certificate is not
//! a right: each listener and method asks for the role that it serves.

use boss_base::{pki::CLOCK_SKEW, tls::PeerCertificate};
use boss_proto::{
    ids::{ClusterId, NodeName, ServerId},
    labels,
    peer::v1::{CertificateChain, Credential, credential::Proof},
};
use bytes::Bytes;

use super::{AUTHENTICATED_GROUP, Identity, Method, NODES_GROUP, Role, SERVERS_GROUP, check_user_names};

const SCHEME: &str = "boss://";

/// Why a certificate stands for nobody.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum Problem {
    /// It has no URI of ours, or more than one.
    #[error("it must have exactly one boss:// URI, it has {found}")]
    Uris {
        /// How many.
        found: usize,
    },
    /// Made for another cluster.
    #[error("it is for cluster {found:?}")]
    OtherCluster {
        /// Which.
        found: String,
    },
    /// The URI's path is none of server/ID, node/NAME, user/NAME.
    #[error("its URI {uri:?} names no server, node or user")]
    NoRole {
        /// The URI.
        uri: String,
    },
    /// Common name and URI disagree.
    #[error("its common name {common_name:?} is not the name in its URI, {name:?}")]
    CommonName {
        /// What the subject says.
        common_name: String,
        /// What the URI says.
        name: String,
    },
    /// It claims what only Boss gives.
    #[error("{0}")]
    Reserved(String),
    /// It is not of our authority, or not good now. Only where the handshake did not look already.
    #[error("{0}")]
    Untrusted(String),
}

/// What a certificate of this cluster stands for.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Principal {
    /// What kind of caller.
    pub role: Role,
    /// The name in the URI.
    pub name: String,
}

impl Principal {
    /// Reads the one URI of this cluster.
    pub fn of(certificate: &PeerCertificate, cluster_id: &ClusterId) -> Result<Self, Problem> {
        let mut ours = certificate.uris.iter().filter(|uri| uri.starts_with(SCHEME));
        let (Some(uri), None) = (ours.next(), ours.next()) else {
            return Err(Problem::Uris { found: certificate.uris.iter().filter(|uri| uri.starts_with(SCHEME)).count() });
        };
        let no_role = || Problem::NoRole { uri: uri.clone() };
        let mut parts = uri[SCHEME.len()..].splitn(3, '/');
        let (Some(cluster), Some(role), Some(name)) = (parts.next(), parts.next(), parts.next()) else {
            return Err(no_role());
        };
        if cluster != cluster_id.as_str() {
            return Err(Problem::OtherCluster { found: cluster.to_owned() });
        }
        let role = match role {
            "server" => Role::Server(name.parse::<ServerId>().map_err(|_| no_role())?),
            "node" if labels::check_name(name).is_ok() => Role::Node(NodeName::from(name)),
            "user" => Role::User,
            _ => return Err(no_role()),
        };
        Ok(Self { role, name: name.to_owned() })
    }
}

/// The identity of a verified certificate.
pub(super) fn identify(certificate: &PeerCertificate, cluster_id: &ClusterId) -> Result<Identity, Problem> {
    let Principal { role, name } = Principal::of(certificate, cluster_id)?;
    let (username, uid, own_groups) = match &role {
        Role::User => {
            check_common_name(certificate, &name)?;
            check_user_names(&name, &certificate.organizations).map_err(Problem::Reserved)?;
            (name.clone(), format!("user:{name}"), certificate.organizations.clone())
        }
        // A node's or server's organisations mean nothing: the role alone gives the group.
        Role::Node(_) => (format!("system:node:{name}"), format!("node:{name}"), vec![NODES_GROUP.to_owned()]),
        Role::Server(id) => (format!("system:server:{id}"), format!("server:{id}"), vec![SERVERS_GROUP.to_owned()]),
    };
    let mut groups = own_groups;
    groups.push(AUTHENTICATED_GROUP.to_owned());
    let chain = CertificateChain { certificates: vec![Bytes::copy_from_slice(&certificate.der)] };
    Ok(Identity {
        username,
        uid,
        groups,
        method: Method::Certificate,
        role,
        expires_at: u64::try_from(certificate.not_after).unwrap_or(0),
        token_id: String::new(),
        certificate_serial: certificate.serial.clone(),
        generation: u64::try_from(certificate.not_before).unwrap_or(0).saturating_add(CLOCK_SKEW.as_secs()),
        bound_to: Vec::new(),
        credential: Credential { proof: Some(Proof::Certificate(chain)) },
    })
}

fn check_common_name(certificate: &PeerCertificate, name: &str) -> Result<(), Problem> {
    if certificate.common_name == name {
        return Ok(());
    }
    Err(Problem::CommonName { common_name: certificate.common_name.clone(), name: name.to_owned() })
}
