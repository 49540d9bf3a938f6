//! One channel to each other server, made when it is first needed. Knows no message.

use std::{
    collections::HashMap,
    sync::{Arc, Mutex, PoisonError},
};

use boss_proto::{ids::ServerId, limits::MESSAGE_BYTES_MAX, peer::v1::forward_client::ForwardClient};
use boss_raft::{Handle, Member, PeerDialer};
use tonic::{service::interceptor::InterceptedService, transport::Channel};

use super::OfIncarnation;

/// What asks another server.
pub type PeerClient = ForwardClient<InterceptedService<Channel, OfIncarnation>>;

/// A server cannot be dialled.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("server {id} cannot be reached: {problem}")]
pub struct Unreachable {
    /// Which.
    pub id: ServerId,
    /// Why.
    pub problem: String,
}

/// The other servers. Cheap to clone.
#[derive(Clone)]
pub struct Peers(Arc<Shared>);

struct Shared {
    raft: Handle,
    dialer: PeerDialer,
    /// Known from the configuration, for as long as the registry knows no members.
    configured: Vec<Member>,
    /// A member that comes back under another address gets another channel.
    channels: Mutex<HashMap<ServerId, (Member, Channel)>>,
}

impl Peers {
    /// The members that `raft` knows, else those of the configuration, dialled by `dialer`.
    #[must_use]
    pub fn new(raft: Handle, dialer: PeerDialer, configured: Vec<Member>) -> Self {
        Self(Arc::new(Shared { raft, dialer, configured, channels: Mutex::default() }))
    }

    /// Asks another server; the channel connects when it is used and reconnects by itself.
    pub fn client(&self, id: ServerId) -> Result<PeerClient, Unreachable> {
        let members = self.0.raft.members();
        // The configuration is of the day when the cluster was formed; the members know better.
        let known = if members.is_empty() { &self.0.configured } else { &members };
        let member = known.iter().find(|member| member.id == id).cloned();
        let member = member.ok_or_else(|| Unreachable { id, problem: "it is no member of the cluster".to_owned() })?;
        Ok(ForwardClient::with_interceptor(self.channel(member)?, OfIncarnation(self.0.raft.clone()))
            .max_decoding_message_size(MESSAGE_BYTES_MAX)
            .max_encoding_message_size(MESSAGE_BYTES_MAX))
    }

    fn channel(&self, member: Member) -> Result<Channel, Unreachable> {
        let id = member.id;
        let mut channels = self.0.channels.lock().unwrap_or_else(PoisonError::into_inner);
        if let Some((known, channel)) = channels.get(&id)
            && *known == member
        {
            return Ok(channel.clone());
        }
        let channel = self.0.dialer.dial(&member).map_err(|error| Unreachable { id, problem: error.to_string() })?;
        channels.insert(id, (member, channel.clone()));
        Ok(channel)
    }
}
