//! Operations on the cluster's own members, on the leader: changes are written down first and carried out by the
//! controller of that name, whichever server leads by then. Knows no transport.

mod audit;
mod calls;
mod changes;
mod joining;
mod nodes;
mod plane;
mod quorum;
mod signers;
mod signing;
mod store;
mod tokens;
mod trust;
mod upkeep;

use std::{collections::BTreeSet, sync::Arc};

use boss_base::{clock::Clock, tls};
use boss_proto::{
    ids::{ClusterId, ServerId},
    limits::CATCH_UP_ENTRIES_MAX,
};
use boss_raft::{Handle, Health, Member};

pub(crate) use self::{
    calls::Call,
    plane::{CANCELLING, finish, spec_of},
    quorum::{check_quorum, voters_after},
    signers::ToSign,
};
pub use self::{
    quorum::QuorumLost,
    signing::{Lifetimes, Signer},
};
use crate::{audit::Audit, auth::Authenticator, writes::Peers};

/// What the operations stand on.
pub struct Parts {
    /// The registry.
    pub raft: Handle,
    /// The other servers.
    pub peers: Peers,
    /// Knows who stands behind a call that another server passes on.
    pub authenticator: Authenticator,
    /// Time and randomness.
    pub clock: Arc<dyn Clock>,
    /// Signs the certificates of joining servers, if this server may.
    pub signer: Option<Signer>,
    /// The certificate that this server shows, and whom it believes.
    pub identity: tls::Identity,
    /// The cluster.
    pub cluster_id: ClusterId,
    /// What a joining server is told.
    pub welcome: Welcome,
    /// What is kept of who did what.
    pub audit: Audit,
}

/// What a server that joins has to know beside its certificate.
#[derive(Debug, Clone, Default)]
pub struct Welcome {
    /// PEM, of those who sign users' tokens.
    pub token_keys: Vec<String>,
    /// Election timing.
    pub profile: String,
}

/// The operations. Cheap to clone.
#[derive(Clone)]
pub struct Members(Arc<Parts>);

impl Members {
    /// On these parts.
    #[must_use]
    pub fn new(parts: Parts) -> Self {
        Self(Arc::new(parts))
    }

    /// Whether this server can sign certificates.
    #[must_use]
    pub fn can_sign(&self) -> bool {
        self.0.signer.is_some()
    }
}

/// The members that answered just now and are so close behind that they count.
pub(crate) fn fit(health: &[Health], last_log_index: u64) -> BTreeSet<ServerId> {
    let close = |index: u64| index.saturating_add(CATCH_UP_ENTRIES_MAX) >= last_log_index;
    let fit = health.iter().filter(|member| member.last_log_index.as_ref().is_ok_and(|index| close(*index)));
    fit.map(|member| member.member.id).collect()
}

/// From its message.
pub(crate) fn member(wire: &boss_proto::v1::Member) -> Member {
    let (name, peer, api) = (wire.name.clone(), wire.peer_address.clone(), wire.api_address.clone());
    Member { id: ServerId(wire.id), name, peer, api }
}

/// An error with its causes, in one line.
fn chain(error: &dyn std::error::Error) -> String {
    let mut text = error.to_string();
    let mut source = error.source();
    while let Some(cause) = source {
        text = format!("{text}: {cause}");
        source = cause.source();
    }
    text
}
