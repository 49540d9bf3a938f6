//! What openraft is told about us: the payload, the answer, who a member is. Knows no storage and no network.

use std::{fmt, sync::Arc};

use boss_proto::{
    ids::ServerId,
    limits::{COMMAND_BYTES_MAX, COMMAND_OPERATIONS_MAX},
    raft::v1::Command,
};
use bytes::Bytes;
use prost::Message;

use crate::state::Outcome;

openraft::declare_raft_types!(
    /// One leader per term, so that the term alone is a fence.
    pub TypeConfig:
        D = Proposal,
        R = Outcomes,
        NodeId = u64,
        Node = Address,
        LeaderId = openraft::impls::leader_id_std::LeaderId<u64, u64>,
);

/// Position of an entry: its term and index.
pub type LogId = openraft::type_config::alias::LogIdOf<TypeConfig>;
/// One entry of the log.
pub type Entry = openraft::type_config::alias::EntryOf<TypeConfig>;
/// What an entry carries.
pub type Payload = openraft::type_config::alias::PayloadOf<TypeConfig>;
/// The vote of this server, kept durable in the log.
pub type Vote = openraft::type_config::alias::VoteOf<TypeConfig>;
/// The members with the place in the log where they were decided.
pub type StoredMembership = openraft::type_config::alias::StoredMembershipOf<TypeConfig>;
/// The members.
pub type Membership = openraft::Membership<u64, Address>;
/// What a snapshot covers.
pub type SnapshotMeta = openraft::type_config::alias::SnapshotMetaOf<TypeConfig>;

/// The newest format of commands that this build can apply.
pub const COMMAND_FORMAT: u32 = 1;

/// A command as the log carries it: decoded once, together with the bytes it was decoded from.
#[derive(Clone)]
pub struct Proposal {
    command: Arc<Command>,
    encoded: Bytes,
}

/// Bytes that are no command, or a command above its bounds.
#[derive(Debug, thiserror::Error)]
pub enum BadProposal {
    /// The bytes are not the encoding of a command.
    #[error("the bytes are no command")]
    Decode(#[source] prost::DecodeError),
    /// A newer build made it.
    #[error("command format {found} is newer than {COMMAND_FORMAT}, the newest that this build knows")]
    Format {
        /// Format of the command.
        found: u32,
    },
    /// More bytes than an entry may have.
    #[error("the command has {bytes} bytes, the limit is {COMMAND_BYTES_MAX}")]
    TooManyBytes {
        /// Encoded size.
        bytes: usize,
    },
    /// More operations than an entry may have.
    #[error("the command has {operations} operations, the limit is {COMMAND_OPERATIONS_MAX}")]
    TooManyOperations {
        /// Number of operations.
        operations: usize,
    },
}

impl Proposal {
    /// Encodes a command that is about to be proposed, within its bounds.
    ///
    /// The command is decoded again from its own encoding: `bytes` fields that came from a request are slices of the
    /// connection's receive buffer and would pin it for as long as the entry is cached.
    pub fn new(command: &Command) -> Result<Self, BadProposal> {
        let operations = command.operations.len();
        if operations > COMMAND_OPERATIONS_MAX {
            return Err(BadProposal::TooManyOperations { operations });
        }
        let encoded = Bytes::from(command.encode_to_vec());
        if encoded.len() > COMMAND_BYTES_MAX {
            return Err(BadProposal::TooManyBytes { bytes: encoded.len() });
        }
        Self::from_owned(encoded)
    }

    /// Reads a command that came from the log or from another server; copies the bytes once.
    pub fn decode(encoded: &[u8]) -> Result<Self, BadProposal> {
        Self::from_owned(Bytes::copy_from_slice(encoded))
    }

    fn from_owned(encoded: Bytes) -> Result<Self, BadProposal> {
        let command = Command::decode(encoded.clone()).map_err(BadProposal::Decode)?;
        if command.format > COMMAND_FORMAT {
            return Err(BadProposal::Format { found: command.format });
        }
        Ok(Self { command: Arc::new(command), encoded })
    }

    /// What is to be applied.
    #[must_use]
    pub fn command(&self) -> &Arc<Command> {
        &self.command
    }

    /// The bytes that the log and the network carry.
    #[must_use]
    pub fn encoded(&self) -> &Bytes {
        &self.encoded
    }
}

impl fmt::Debug for Proposal {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        fmt::Display::fmt(self, f)
    }
}

impl fmt::Display for Proposal {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{} operations in {} bytes", self.command.operations.len(), self.encoded.len())
    }
}

impl PartialEq for Proposal {
    fn eq(&self, other: &Self) -> bool {
        self.encoded == other.encoded
    }
}

/// One outcome per operation of a command, in order; none for entries without a command.
#[derive(Debug, Clone, Default)]
pub struct Outcomes(pub Vec<Outcome>);

/// Where a member is found, as the membership keeps it under the member's id.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Address {
    /// What people call it.
    pub name: String,
    /// Where the other servers reach it: `host:port`.
    pub peer: String,
    /// Where clients reach it: `host:port`.
    pub api: String,
    /// What tells its data folder from all others; empty until it is known.
    pub storage_id: String,
}

/// A control-plane replica as the membership knows it.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Member {
    /// Never reused for another server.
    pub id: ServerId,
    /// What people call it.
    pub name: String,
    /// Where the other servers reach it: `host:port`.
    pub peer: String,
    /// Where clients reach it: `host:port`.
    pub api: String,
}

impl Member {
    /// A member from what the membership keeps.
    #[must_use]
    pub fn new(id: u64, address: Address) -> Self {
        Self { id: ServerId(id), name: address.name, peer: address.peer, api: address.api }
    }

    /// What the membership keeps under its id.
    #[must_use]
    pub fn address(&self) -> Address {
        let (name, peer, api) = (self.name.clone(), self.peer.clone(), self.api.clone());
        Address { name, peer, api, storage_id: String::new() }
    }
}

#[cfg(test)]
mod tests {
    use boss_proto::{raft::v1::Operation, v1::RequestId};

    use super::*;

    /// A command of so many operations; the first is padded with so many bytes.
    fn command(operations: usize, padding: usize) -> Command {
        let mut command =
            Command { format: COMMAND_FORMAT, proposed_at_ms: 1, operations: vec![Operation::default(); operations] };
        let nonce = vec![1; padding].into();
        command.operations[0].request_id = Some(RequestId { nonce, ..RequestId::default() });
        command
    }

    #[test]
    fn one_operation_more_than_an_entry_may_have_is_refused() {
        assert!(Proposal::new(&command(COMMAND_OPERATIONS_MAX, 0)).is_ok());
        let refused = Proposal::new(&command(COMMAND_OPERATIONS_MAX + 1, 0)).unwrap_err();
        assert!(refused.to_string().contains(&format!("the limit is {COMMAND_OPERATIONS_MAX}")), "{refused}");
    }

    #[test]
    fn one_byte_more_than_an_entry_may_have_is_refused() {
        // All lengths on the way to the padding need three bytes here, so a byte more is a byte more.
        let around = command(1, COMMAND_BYTES_MAX - 100).encoded_len() - (COMMAND_BYTES_MAX - 100);
        assert!(Proposal::new(&command(1, COMMAND_BYTES_MAX - around)).is_ok());
        let refused = Proposal::new(&command(1, COMMAND_BYTES_MAX - around + 1)).unwrap_err();
        assert!(matches!(refused, BadProposal::TooManyBytes { bytes } if bytes == COMMAND_BYTES_MAX + 1), "{refused}");
    }
}
