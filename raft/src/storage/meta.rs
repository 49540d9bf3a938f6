//! What the store and each snapshot say about themselves: whose state it is, up to which entry, with which members.

use std::sync::Arc;

use boss_proto::{ids::ClusterId, raft::v1};
use prost::Message;

use crate::{
    codec,
    state::{Registry, rows},
    types::{LogId, SnapshotMeta, StoredMembership},
};

/// Format of rows and what describes them, in the store and in snapshots. Raised with every change that older builds
/// cannot read.
pub(super) const FORMAT: u32 = rows::FORMAT;

/// A description as the next format writes it, for each older format. The rows have a table of their own beside them.
const UPGRADES: [fn(Meta) -> Meta; FORMAT as usize - 1] = [from_1];

/// Format 1 knew no incarnation: its clusters are in their first, which is what an absent number says.
fn from_1(meta: Meta) -> Meta {
    meta
}

/// Description of a stored state.
#[derive(Clone, PartialEq, Message)]
pub(crate) struct Meta {
    #[prost(uint32, tag = "1")]
    pub(crate) format: u32,
    #[prost(string, tag = "2")]
    pub(crate) cluster_id: String,
    #[prost(message, optional, tag = "3")]
    log_id: Option<v1::LogId>,
    #[prost(message, optional, tag = "4")]
    membership: Option<v1::StoredMembership>,
    #[prost(message, optional, tag = "5")]
    header: Option<rows::Header>,
}

/// The description cannot be used.
#[derive(Debug, thiserror::Error)]
pub(crate) enum BadMeta {
    #[error("it cannot be read: {0}")]
    Unreadable(String),
    #[error("it belongs to cluster {found}, this server to {expected}")]
    ForeignCluster { found: String, expected: ClusterId },
    #[error("it has format {found}, this build knows {FORMAT}")]
    NewerFormat { found: u32 },
}

impl Meta {
    pub(super) fn new(cluster_id: &ClusterId, place: &Place, registry: &Registry) -> Self {
        Self {
            format: FORMAT,
            cluster_id: cluster_id.to_string(),
            log_id: place.log_id.as_ref().map(codec::log_id_to_proto),
            membership: Some(codec::stored_membership_to_proto(&place.membership)),
            header: Some(rows::header(registry)),
        }
    }

    /// Reads a description and checks that this server may use what it describes. An older one is brought up to date;
    /// its `format` still says in which one the rows are.
    pub(super) fn read(bytes: &[u8], cluster_id: &ClusterId) -> Result<Self, BadMeta> {
        let meta = Self::read_any(bytes)?;
        if meta.cluster_id != cluster_id.as_str() {
            return Err(BadMeta::ForeignCluster { found: meta.cluster_id, expected: cluster_id.clone() });
        }
        Ok(meta)
    }

    /// The same of whatever cluster.
    pub(super) fn read_any(bytes: &[u8]) -> Result<Self, BadMeta> {
        let meta = Self::decode(bytes).map_err(|error| BadMeta::Unreadable(error.to_string()))?;
        match meta.format {
            0 => Err(BadMeta::Unreadable("it names no format".to_owned())),
            format if format > FORMAT => Err(BadMeta::NewerFormat { found: format }),
            format => Ok(UPGRADES[format as usize - 1..].iter().fold(meta, |meta, upgrade| upgrade(meta))),
        }
    }

    pub(super) fn place(&self) -> Result<Place, BadMeta> {
        let membership = self.membership.clone().unwrap_or_default();
        let membership =
            codec::stored_membership_from_proto(membership).map_err(|error| BadMeta::Unreadable(error.to_string()))?;
        Ok(Place { log_id: self.log_id.map(codec::log_id_from_proto), membership: Arc::new(membership) })
    }

    /// A hash that no present state has.
    #[cfg(test)]
    pub(super) fn spoil_hash(&mut self) {
        if let Some(header) = &mut self.header {
            header.hash = vec![7; 16];
        }
    }

    pub(crate) fn header(&self) -> Result<&rows::Header, BadMeta> {
        self.header.as_ref().ok_or_else(|| BadMeta::Unreadable("the header is missing".to_owned()))
    }
}

/// Where a state stands in the log, and with which members.
#[derive(Debug, Clone, Default, PartialEq)]
pub(crate) struct Place {
    /// Last entry applied.
    pub(crate) log_id: Option<LogId>,
    /// The last members applied; shared, because each batch of entries takes a copy of the place.
    pub(crate) membership: Arc<StoredMembership>,
}

impl Place {
    pub(super) fn snapshot_meta(&self) -> SnapshotMeta {
        SnapshotMeta { last_log_id: self.log_id, last_membership: StoredMembership::clone(&self.membership) }
    }
}
