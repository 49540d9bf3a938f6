//! Log ids, votes, members and entries as bytes, for the log, the snapshots and the wire. Knows no file and no socket.

use std::collections::{BTreeMap, BTreeSet};

use boss_proto::raft::v1;
use openraft::EntryPayload;

use crate::state::Digest;
use crate::storage::Mark;

use crate::types::{Address, BadProposal, Entry, LogId, Membership, Payload, Proposal, StoredMembership, Vote};

/// Bytes or a message that cannot mean anything.
#[derive(Debug, thiserror::Error)]
pub enum BadMessage {
    /// Not the encoding of the message.
    #[error("not a {what}")]
    Decode {
        /// What it should have been.
        what: &'static str,
        /// What the decoder says.
        #[source]
        source: prost::DecodeError,
    },
    /// A field that must be there is not.
    #[error("{0} is missing")]
    Missing(&'static str),
    /// The members contradict themselves.
    #[error("the membership is not possible: {0}")]
    Membership(String),
    /// The command cannot be used.
    #[error("unusable command: {0}")]
    Command(#[from] BadProposal),
}

/// A log id as it is stored and sent.
#[must_use]
pub fn log_id_to_proto(id: &LogId) -> v1::LogId {
    v1::LogId { term: id.leader_id.term, index: id.index }
}

/// Reads what [`log_id_to_proto`] made.
#[must_use]
pub fn log_id_from_proto(id: v1::LogId) -> LogId {
    LogId::new_term_index(id.term, id.index)
}

/// A hash of the state with its place, as it is sent.
#[must_use]
pub fn mark_to_proto(mark: &Mark) -> v1::StateMark {
    v1::StateMark { log_id: Some(log_id_to_proto(&mark.log_id)), hash: mark.hash.to_bytes().to_vec().into() }
}

/// Reads what [`mark_to_proto`] made.
pub fn mark_from_proto(mark: v1::StateMark) -> Result<Mark, BadMessage> {
    let log_id = log_id_from_proto(mark.log_id.ok_or(BadMessage::Missing("log_id"))?);
    let hash = Digest::from_bytes(&mark.hash).ok_or(BadMessage::Missing("hash"))?;
    Ok(Mark { log_id, hash })
}

/// A vote as it is stored and sent.
#[must_use]
pub fn vote_to_proto(vote: &Vote) -> v1::Vote {
    v1::Vote { term: vote.leader_id.term, server_id: vote.leader_id.voted_for, committed: vote.committed }
}

/// Reads what [`vote_to_proto`] made.
#[must_use]
pub fn vote_from_proto(vote: v1::Vote) -> Vote {
    if vote.committed { Vote::new_committed(vote.term, vote.server_id) } else { Vote::new(vote.term, vote.server_id) }
}

/// The members as they are stored and sent.
#[must_use]
pub fn membership_to_proto(membership: &Membership) -> v1::Membership {
    let voters = |ids: &BTreeSet<u64>| v1::Voters { ids: ids.iter().copied().collect() };
    let member = |(id, member): (&u64, &Address)| v1::Member {
        id: *id,
        name: member.name.clone(),
        peer_address: member.peer.clone(),
        api_address: member.api.clone(),
        storage_id: member.storage_id.clone(),
    };
    v1::Membership {
        configs: membership.get_joint_config().iter().map(voters).collect(),
        members: membership.nodes().map(member).collect(),
    }
}

/// Reads what [`membership_to_proto`] made; a membership of nobody is that of a server that has not joined yet.
pub fn membership_from_proto(membership: v1::Membership) -> Result<Membership, BadMessage> {
    if membership.configs.is_empty() && membership.members.is_empty() {
        return Ok(Membership::default());
    }
    let configs = membership.configs.into_iter().map(|voters| voters.ids.into_iter().collect()).collect();
    let nodes: BTreeMap<u64, Address> = membership
        .members
        .into_iter()
        .map(|m| {
            let v1::Member { id, name, peer_address: peer, api_address: api, storage_id } = m;
            (id, Address { name, peer, api, storage_id })
        })
        .collect();
    Membership::new(configs, nodes).map_err(|error| BadMessage::Membership(error.to_string()))
}

/// The members with their place in the log.
#[must_use]
pub fn stored_membership_to_proto(stored: &StoredMembership) -> v1::StoredMembership {
    v1::StoredMembership {
        log_id: stored.log_id().as_ref().map(log_id_to_proto),
        membership: Some(membership_to_proto(stored.membership())),
    }
}

/// Reads what [`stored_membership_to_proto`] made.
pub fn stored_membership_from_proto(stored: v1::StoredMembership) -> Result<StoredMembership, BadMessage> {
    let membership = membership_from_proto(stored.membership.unwrap_or_default())?;
    Ok(StoredMembership::new(stored.log_id.map(log_id_from_proto), membership))
}

/// An entry as it is sent. The command's bytes are shared, not copied.
#[must_use]
pub fn entry_to_proto(entry: &Entry) -> v1::LogEntry {
    let payload = match &entry.payload {
        EntryPayload::Blank => None,
        EntryPayload::Normal(proposal) => Some(v1::log_entry::Payload::Command(proposal.encoded().clone())),
        EntryPayload::Membership(membership) => {
            Some(v1::log_entry::Payload::Membership(membership_to_proto(membership)))
        }
    };
    v1::LogEntry { log_id: Some(log_id_to_proto(&entry.log_id)), payload }
}

/// Reads what [`entry_to_proto`] made; copies the command's bytes out of the receive buffer.
pub fn entry_from_proto(entry: v1::LogEntry) -> Result<Entry, BadMessage> {
    let log_id = log_id_from_proto(entry.log_id.ok_or(BadMessage::Missing("log_id"))?);
    let payload: Payload = match entry.payload {
        None => EntryPayload::Blank,
        Some(v1::log_entry::Payload::Command(bytes)) => EntryPayload::Normal(Proposal::decode(&bytes)?),
        Some(v1::log_entry::Payload::Membership(membership)) => {
            EntryPayload::Membership(membership_from_proto(membership)?)
        }
    };
    Ok(Entry { log_id, payload })
}

#[cfg(test)]
mod tests {
    use super::*;

    fn address(id: u64) -> Address {
        Address {
            name: format!("server-{id}"),
            peer: format!("h{id}:1"),
            api: format!("h{id}:2"),
            storage_id: format!("s{id}"),
        }
    }

    #[test]
    fn a_joint_membership_survives_the_way_there_and_back() {
        let nodes: BTreeMap<u64, Address> = (1..=4).map(|id| (id, address(id))).collect();
        let configs = vec![BTreeSet::from([1, 2, 3]), BTreeSet::from([2, 3, 4])];
        let membership = Membership::new(configs, nodes).unwrap();
        let stored = StoredMembership::new(Some(LogId::new_term_index(3, 9)), membership);
        assert_eq!(stored_membership_from_proto(stored_membership_to_proto(&stored)).unwrap(), stored);
    }

    #[test]
    fn the_membership_of_a_server_that_never_joined_survives() {
        let stored = StoredMembership::default();
        assert_eq!(stored_membership_from_proto(stored_membership_to_proto(&stored)).unwrap(), stored);
    }

    #[test]
    fn a_voter_without_an_address_is_refused() {
        let membership = v1::Membership { configs: vec![v1::Voters { ids: vec![1] }], members: vec![] };
        assert!(matches!(membership_from_proto(membership), Err(BadMessage::Membership(_))));
    }

    #[test]
    fn votes_survive_the_way_there_and_back() {
        for vote in [Vote::new(7, 2), Vote::new_committed(8, 3)] {
            assert_eq!(vote_from_proto(vote_to_proto(&vote)), vote);
        }
    }

    #[test]
    fn bytes_that_are_no_command_are_refused() {
        let entry = v1::LogEntry {
            log_id: Some(v1::LogId { term: 1, index: 1 }),
            payload: Some(v1::log_entry::Payload::Command(vec![0xff; 9].into())),
        };
        assert!(matches!(entry_from_proto(entry), Err(BadMessage::Command(_))));
    }
}
