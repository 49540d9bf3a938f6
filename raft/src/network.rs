//! How servers reach each other: one multiplexed channel per peer, and who may say what. Knows no objects.

mod client;
mod contact;
mod convert;
mod dial;
pub(crate) mod roster;
mod service;

use boss_proto::ids::Incarnation;

pub use client::{BadClusterId, Peers};
pub(crate) use contact::Contact;
pub use dial::{DialError, PeerDialer};
pub use roster::Revoked;
pub use service::{PeerId, PeerIdentity, PeerService, Refused, server_uri};

/// Metadata that each call carries.
mod metadata {
    /// The cluster that the caller belongs to.
    pub(super) const CLUSTER: &str = "boss-cluster-id";
    /// The caller.
    pub(super) const FROM: &str = "boss-from-server";
    /// The server that the call is meant for: an address may have been given to another one.
    pub(super) const TO: &str = "boss-to-server";
    /// The data folder of the caller.
    pub(super) const FROM_FOLDER: &str = "boss-from-folder";
    /// The data folder that the server that is called must have.
    pub(super) const TO_FOLDER: &str = "boss-to-folder";
    /// In a refusal: the caller has no place in the cluster any more.
    pub(super) const EXPELLED: &str = "boss-expelled";
    /// In a refusal: the serial of the caller's certificate, which was revoked.
    pub(super) const REVOKED: &str = "boss-revoked-certificate";
    /// The life of the cluster that the caller belongs to; a caller without a state has none yet.
    pub(super) const INCARNATION: &str = "boss-incarnation";
}

/// The header in which one server tells another the life of the cluster that it belongs to; without a state it has none.
pub const INCARNATION_HEADER: &str = metadata::INCARNATION;

/// The header in which a server that refuses another one because of its certificate tells the certificate's serial.
pub const REVOKED_HEADER: &str = metadata::REVOKED;

/// Reads the header; `None` when it is no incarnation.
#[must_use]
pub fn read_incarnation(text: &str) -> Option<Incarnation> {
    u64::from_str_radix(text, 16).ok().map(Incarnation)
}

/// A message between peers: entries of one read plus their frames; above gRPC's default, far below a snapshot.
const MESSAGE_BYTES_MAX: usize = 8 << 20;
/// A chunk of a snapshot.
const SNAPSHOT_CHUNK_BYTES: usize = 256 << 10;
