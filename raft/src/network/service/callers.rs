//! Who calls: the call must come from the server that its certificate names, be of this cluster and of its present life,
//! and be meant for this server; a leader or candidate may only speak for itself. Knows no message of consensus.

use std::sync::Arc;

use boss_proto::ids::{ClusterId, Incarnation, ServerId};
use tonic::{Extensions, Request, Status};

use super::PeerService;
use crate::{
    metric_definitions::PEER_CALLS_REFUSED,
    network::{
        metadata, read_incarnation,
        roster::{is_removed, mark_expelled},
    },
    types::Vote,
};

/// Who a peer's certificate says it is.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct PeerId {
    /// The cluster of the certificate.
    pub cluster_id: ClusterId,
    /// The server of the certificate.
    pub server_id: ServerId,
}

impl PeerId {
    /// Reads `boss://<cluster-id>/server/<id>`; `None` for the names of nodes, users and strangers.
    #[must_use]
    pub fn from_uri(uri: &str) -> Option<Self> {
        let (cluster, server) = uri.strip_prefix("boss://")?.split_once("/server/")?;
        let server_id = server.parse().ok()?;
        let id = Self { cluster_id: ClusterId::new(cluster), server_id };
        // Only one spelling: no leading zeros, no plus sign.
        (server_uri(&id.cluster_id, id.server_id) == uri).then_some(id)
    }

    /// From the certificate of the connection, for listeners of `boss_base::tls`.
    #[must_use]
    pub fn of_connection(extensions: &Extensions) -> Option<Self> {
        let certificate = extensions.get::<boss_base::tls::PeerInfo>()?.certificate.as_ref()?;
        certificate.uris.iter().find_map(|uri| Self::from_uri(uri))
    }
}

/// What a server's certificate carries as its name.
#[must_use]
pub fn server_uri(cluster_id: &ClusterId, server_id: ServerId) -> String {
    format!("boss://{cluster_id}/server/{server_id}")
}

/// Reads from a request's extensions who the caller's certificate says it is; `None` refuses the call.
pub type PeerIdentity = Arc<dyn Fn(&Extensions) -> Option<PeerId> + Send + Sync>;

/// Why a peer's call is refused.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum Refused {
    /// The connection has no certificate of a server.
    #[error("only servers may speak to peers")]
    NoServer,
    /// It says that it is another server than its certificate does.
    #[error("the certificate is of server {certificate}, the call of server {claimed}")]
    Impostor {
        /// By its certificate.
        certificate: ServerId,
        /// By what it says.
        claimed: ServerId,
    },
    /// It belongs to another cluster.
    #[error("the call is of another cluster; this one is {expected}")]
    WrongCluster {
        /// This cluster.
        expected: ClusterId,
    },
    /// It belongs to another life of the cluster: before or after a restore.
    #[error("the call is of incarnation {found} of the cluster; this server belongs to {expected}, since a restore")]
    WrongIncarnation {
        /// Of the caller.
        found: Incarnation,
        /// Of this server.
        expected: Incarnation,
    },
    /// The address has been given to another server since.
    #[error("the call is meant for server {meant}, this is server {this}")]
    WrongTarget {
        /// Whom the caller wants.
        meant: ServerId,
        /// Who this is.
        this: ServerId,
    },
    /// It was removed: whatever it wants, it is not for it to want.
    #[error("server {0} has been removed from the cluster; its id is never used again")]
    Removed(ServerId),
    /// It came back with another data folder: it has forgotten what it acknowledged.
    #[error(
        "server {0} has not the data folder by which the cluster knows it, so it may have forgotten what it \
         acknowledged: replace it by a server with a fresh id"
    )]
    OtherFolder(ServerId),
    /// This server came back with another data folder, and must not answer.
    #[error("this server, {0}, has not the data folder by which the cluster knows it: replace it")]
    FreshFolder(ServerId),
    /// A snapshot has no room here.
    #[error("the disk of this server is full")]
    DiskFull,
    /// A transfer is to go on where this server holds nothing of it.
    #[error("this server does not hold the first {offset} bytes of that snapshot: send it from its start")]
    NothingHeld {
        /// Where it was to go on.
        offset: u64,
    },
    /// A header is missing or no number.
    #[error("the header {0} is missing or malformed")]
    Header(&'static str),
}

impl From<Refused> for Status {
    fn from(refused: Refused) -> Self {
        metrics::counter!(PEER_CALLS_REFUSED).increment(1);
        match &refused {
            Refused::NoServer | Refused::Impostor { .. } => Status::permission_denied(refused.to_string()),
            Refused::Removed(_) | Refused::OtherFolder(_) => {
                mark_expelled(Status::permission_denied(refused.to_string()))
            }
            Refused::WrongCluster { .. }
            | Refused::WrongIncarnation { .. }
            | Refused::WrongTarget { .. }
            | Refused::NothingHeld { .. }
            | Refused::FreshFolder(_) => Status::failed_precondition(refused.to_string()),
            Refused::DiskFull => Status::resource_exhausted(refused.to_string()),
            Refused::Header(_) => Status::invalid_argument(refused.to_string()),
        }
    }
}

impl PeerService {
    /// Who calls, once everything about the call agrees.
    pub(super) fn admit<T>(&self, request: &Request<T>) -> Result<ServerId, Refused> {
        let text = |key| request.metadata().get(key).and_then(|value| value.to_str().ok());
        let number = |key| text(key).and_then(|value| value.parse().ok()).map(ServerId).ok_or(Refused::Header(key));
        let certificate = (self.identity)(request.extensions()).ok_or(Refused::NoServer)?;
        let wrong_cluster = Refused::WrongCluster { expected: self.cluster_id.clone() };
        let cluster = text(metadata::CLUSTER).ok_or(Refused::Header(metadata::CLUSTER))?;
        if certificate.cluster_id != self.cluster_id || cluster != self.cluster_id.as_str() {
            return Err(wrong_cluster);
        }
        let claimed = number(metadata::FROM)?;
        if certificate.server_id != claimed {
            return Err(Refused::Impostor { certificate: certificate.server_id, claimed });
        }
        if let (Some(found), Some(expected)) = (incarnation(request)?, self.published.incarnation())
            && found != expected
        {
            return Err(Refused::WrongIncarnation { found, expected });
        }
        let meant = number(metadata::TO)?;
        if meant != self.server_id {
            return Err(Refused::WrongTarget { meant, this: self.server_id });
        }
        if is_removed(&self.published.view(), claimed) {
            return Err(Refused::Removed(claimed));
        }
        if !self.roster.knows_folder(claimed, text(metadata::FROM_FOLDER)) {
            return Err(Refused::OtherFolder(claimed));
        }
        match text(metadata::TO_FOLDER) {
            Some(expected) if expected != self.roster.storage_id() => Err(self.stand_aside(claimed)),
            _ => Ok(claimed),
        }
    }

    /// A member knows this server by another data folder: this one is fresh, or of somebody else.
    fn stand_aside(&self, peer: ServerId) -> Refused {
        self.roster.expel(format!("{}; server {peer} says so", Refused::OtherFolder(self.server_id)));
        Refused::FreshFolder(self.server_id)
    }
}

/// The life of the cluster that the caller belongs to, if it says that it has one.
fn incarnation<T>(request: &Request<T>) -> Result<Option<Incarnation>, Refused> {
    let Some(value) = request.metadata().get(metadata::INCARNATION) else { return Ok(None) };
    let read = value.to_str().ok().and_then(read_incarnation);
    read.map(Some).ok_or(Refused::Header(metadata::INCARNATION))
}

/// A server leads or stands for election in its own name only.
pub(super) fn speaks_for_itself(vote: &Vote, from: ServerId) -> Result<(), Refused> {
    let claimed = ServerId(vote.leader_id.voted_for);
    if claimed == from { Ok(()) } else { Err(Refused::Impostor { certificate: from, claimed }) }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_the_names_of_servers_are_read_as_servers() {
        let id = |uri: &str| PeerId::from_uri(uri).map(|id| (id.cluster_id.to_string(), id.server_id.0));
        assert_eq!(id("boss://c1/server/3"), Some(("c1".to_owned(), 3)));
        for other in [
            "boss://c1/node/3",
            "boss://c1/user/server",
            "boss://c1/server/",
            "boss://c1/server/03",
            "boss://c1/server/+3",
            "boss://c1/server/3/",
            "https://c1/server/3",
        ] {
            assert_eq!(id(other), None, "{other}");
        }
    }

    #[test]
    fn a_server_speaks_for_itself_only() {
        assert!(speaks_for_itself(&Vote::new_committed(4, 2), ServerId(2)).is_ok());
        let refused = speaks_for_itself(&Vote::new_committed(4, 2), ServerId(3));
        assert_eq!(refused, Err(Refused::Impostor { certificate: ServerId(3), claimed: ServerId(2) }));
    }
}
