//! Changes of the members as callers ask for them: written down here, carried out by the controller of that name. And
//! handing over leadership.

use boss_proto::{
    ids::ServerId,
    raft::v1::Caller,
    v1::{self, Member as WireMember, MembershipChange},
};
use boss_raft::TransferError;

use super::{
    Members, check_quorum, fit,
    plane::{self, Standing, Wanted},
    voters_after,
};
use crate::{api::Error, writes};

impl Members {
    pub(super) async fn add(&self, caller: &Caller, request: v1::AddServerRequest) -> Result<MembershipChange, Error> {
        let v1::AddServerRequest { server, request_id, force } = request;
        let server = server.ok_or_else(|| Error::invalid("server", "is missing", "say who is to be added"))?;
        self.begin(caller, Some(server), 0, force, &request_id).await
    }

    pub(super) async fn remove(
        &self,
        caller: &Caller,
        request: v1::RemoveServerRequest,
    ) -> Result<MembershipChange, Error> {
        self.begin(caller, None, request.server_id, request.force, &request.request_id).await
    }

    pub(super) async fn replace(
        &self,
        caller: &Caller,
        request: v1::ReplaceServerRequest,
    ) -> Result<MembershipChange, Error> {
        let v1::ReplaceServerRequest { old_server_id, server, request_id, force } = request;
        let server = server.ok_or_else(|| Error::invalid("server", "is missing", "say who takes the place"))?;
        self.begin(caller, Some(server), old_server_id, force, &request_id).await
    }

    async fn begin(
        &self,
        caller: &Caller,
        add: Option<WireMember>,
        remove_id: u64,
        force: bool,
        request_id: &str,
    ) -> Result<MembershipChange, Error> {
        if add.is_none() && remove_id == 0 {
            return Err(Error::invalid("serverId", "is missing", "say who is to be removed"));
        }
        let known = self.spec();
        let mut known = known.change.iter().chain(&known.finished);
        if let Some(change) = known.find(|change| !request_id.is_empty() && change.request_id == request_id) {
            return Ok(change.clone());
        }
        if !force {
            self.check_quorum_after(add.as_ref(), remove_id).await?;
        }
        let (members, now_ms) = (self.0.raft.members(), self.0.clock.unix_millis());
        self.edit(caller, |spec| {
            let wanted = Wanted { add: add.clone(), remove_id, force, request_id, by: &caller.username };
            plane::begin(spec, wanted, &Standing { members: &members, now_ms })
        })
        .await
    }

    /// Asks who really answers; the server that comes counts, as it gets its vote only once it has caught up.
    async fn check_quorum_after(&self, add: Option<&WireMember>, remove_id: u64) -> Result<(), Error> {
        let status = self.0.raft.status();
        let mut fit = fit(&self.0.raft.health().await, status.last_log_index);
        let next = ServerId(u64::MAX);
        let add = add.map(|member| WireMember { id: next.0, ..member.clone() });
        if add.is_some() {
            fit.insert(next);
        }
        let after = voters_after(&status.voters, &MembershipChange { add, remove_id, ..MembershipChange::default() });
        check_quorum(&after, &fit).map_err(|lost| {
            let numbers = lost.to_string().replace(&next.to_string(), "the new one");
            Error::Precondition(format!("{numbers}; bring servers back, or force it if you know what you do"))
        })
    }

    pub(super) async fn cancel(
        &self,
        caller: &Caller,
        request: v1::CancelChangeRequest,
    ) -> Result<MembershipChange, Error> {
        self.edit(caller, |spec| plane::cancel(spec, request.number)).await
    }

    pub(super) async fn transfer(
        &self,
        request: v1::TransferLeaderRequest,
    ) -> Result<v1::TransferLeaderResponse, Error> {
        let raft = &self.0.raft;
        let own = raft.server_id();
        let to = (request.server_id != 0).then_some(ServerId(request.server_id));
        if let Some(to) = to.filter(|to| *to != own) {
            let status = raft.status();
            if !status.voters.contains(&to) {
                return Err(Error::Precondition(TransferError::NoVoter(to).to_string()));
            }
            let health = raft.health().await;
            if !fit(&health, status.last_log_index).contains(&to) {
                let found = health.into_iter().find(|member| member.member.id == to);
                let why = match found.map(|member| member.last_log_index) {
                    Some(Ok(index)) => format!("it is at entry {index} of {}", status.last_log_index),
                    Some(Err(problem)) => problem,
                    None => "nothing is known of it".to_owned(),
                };
                return Err(Error::Precondition(format!("server {to} cannot lead now: {why}")));
            }
        }
        let leader = raft.transfer_leader(to).await.map_err(|error| match error {
            TransferError::NotLeader => writes::Error::NotLeader.into(),
            TransferError::NoVoter(_) | TransferError::Alone => Error::Precondition(error.to_string()),
            TransferError::NotTaken(_) | TransferError::ShuttingDown => Error::Unavailable(error.to_string()),
        })?;
        let term = raft.leadership().borrow().term;
        Ok(v1::TransferLeaderResponse { leader_id: leader.0, term })
    }

    /// The change of this number, or the one under way.
    pub(crate) fn change(&self, number: Option<u64>) -> Option<MembershipChange> {
        let spec = self.spec();
        let Some(number) = number else { return spec.change };
        spec.change.into_iter().chain(spec.finished).find(|change| change.number == number)
    }

    /// The members with who votes.
    pub(crate) fn wire_members(&self) -> Vec<WireMember> {
        let status = self.0.raft.status();
        let wire = |member: &boss_raft::Member| WireMember {
            id: member.id.0,
            name: member.name.clone(),
            peer_address: member.peer.clone(),
            api_address: member.api.clone(),
            voter: status.voters.contains(&member.id),
        };
        status.members.iter().map(wire).collect()
    }
}
