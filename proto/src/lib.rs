//! The data model of Boss: generated messages, their JSON and YAML form, typed names and limits.
//! Knows no network, no storage, no clock.

pub mod audit;
pub mod encoded;
pub mod ids;
pub mod intent;
pub mod join_token;
pub mod key;
pub mod kind;
pub mod labels;
pub mod limits;
pub mod manifest;
pub mod object;
#[cfg(feature = "policy")]
pub mod policy;
pub mod quantity;
mod redacted;
pub mod references;
pub mod selector;

#[allow(clippy::all, clippy::allow_attributes_without_reason, unreachable_pub, rustdoc::all, reason = "generated code")]
pub mod v1 {
    //! Messages and services of the public API.
    tonic::include_proto!("boss.v1");
    include!(concat!(env!("OUT_DIR"), "/boss.v1.serde.rs"));
}

pub mod raft {
    //! What servers say to each other and keep in their logs.
    #[allow(
        clippy::all,
        clippy::allow_attributes_without_reason,
        unreachable_pub,
        rustdoc::all,
        reason = "generated code"
    )]
    pub mod v1 {
        //! Commands, first format.
        tonic::include_proto!("boss.raft.v1");
    }
}

pub mod peer {
    //! What servers do for each other besides consensus.
    #[allow(
        clippy::all,
        clippy::allow_attributes_without_reason,
        unreachable_pub,
        rustdoc::all,
        reason = "generated code"
    )]
    pub mod v1 {
        //! Forwarded writes, relayed heartbeats and logs, first format.
        tonic::include_proto!("boss.peer.v1");
    }
}

/// Every service and message, for reflection and for tests that enumerate them.
pub const FILE_DESCRIPTOR_SET: &[u8] = include_bytes!(concat!(env!("OUT_DIR"), "/descriptors.bin"));

/// The only `apiVersion` there is.
pub const API_VERSION: &str = "boss.dev/v1";

/// Header of an answer with what policies want the caller to be told: a line of text in each.
pub const WARNING_HEADER: &str = "boss-warning-bin";

/// DNS name in the certificate of every server, whatever its address: what clients and peers verify. Which server it
/// is stands in its URI, `boss://<cluster-id>/server/<id>`.
pub const SERVER_DNS_NAME: &str = "boss-server";
