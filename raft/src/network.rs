//! How servers reach each other. Knows no objects and no storage.

use std::sync::Arc;

use boss_proto::ids::{ClusterId, ServerId};
use tonic::transport::Channel;

use crate::types::Member;

/// A peer cannot be dialled at all, for instance because its address is no address.
#[derive(Debug, thiserror::Error)]
#[error("cannot dial {peer}: {problem}")]
pub struct DialError {
    /// Address of the peer.
    pub peer: String,
    /// What is wrong.
    pub problem: String,
}

type Dial = dyn Fn(&Member) -> Result<Channel, DialError> + Send + Sync;

/// Makes the one multiplexed channel to a peer; the channel connects when it is used and reconnects by itself.
#[derive(Clone)]
pub struct PeerDialer(Arc<Dial>);

impl PeerDialer {
    /// Wraps a function that makes channels; it must check that the peer is the member it is asked for.
    pub fn new(dial: impl Fn(&Member) -> Result<Channel, DialError> + Send + Sync + 'static) -> Self {
        Self(Arc::new(dial))
    }

    /// A channel to the member.
    pub fn dial(&self, member: &Member) -> Result<Channel, DialError> {
        (self.0)(member)
    }
}

/// Who a peer's certificate says it is.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct PeerId {
    /// The cluster of the certificate.
    pub cluster_id: ClusterId,
    /// The server of the certificate.
    pub server_id: ServerId,
}

/// Reads from a request's extensions who the caller's certificate says it is; `None` refuses the call.
pub type PeerIdentity = Arc<dyn Fn(&tonic::Extensions) -> Option<PeerId> + Send + Sync>;

/// What the peer listener serves.
#[derive(Clone)]
pub struct PeerService {}
