//! The rules of the control plane's own object: one change at a time, ids never twice, everything bounded. Pure.

use boss_proto::{
    labels,
    limits::{FINISHED_CHANGES_MAX, REMOVED_SERVERS_MAX},
    object::Resource,
    v1::{ControlPlane, ControlPlaneSpec, Member, MembershipChange, Object},
};
use pbjson_types::Timestamp;

use crate::api::Error;

/// A leader is at it.
pub(crate) const RUNNING: &str = "Running";
/// A leader takes it back.
pub(crate) const CANCELLING: &str = "Cancelling";

/// What somebody wants.
pub(super) struct Wanted<'a> {
    pub(super) add: Option<Member>,
    pub(super) remove_id: u64,
    pub(super) force: bool,
    pub(super) request_id: &'a str,
    pub(super) by: &'a str,
}

/// The members as they stand, for the rules.
pub(super) struct Standing<'a> {
    pub(super) members: &'a [boss_raft::Member],
    pub(super) now_ms: u64,
}

/// The object's contents.
pub(crate) fn spec_of(object: &Object) -> Option<&ControlPlaneSpec> {
    ControlPlane::from_object(object)?.spec.as_ref()
}

/// Writes a change down, or finds the one that an earlier call of the same id began.
pub(super) fn begin(
    spec: &mut ControlPlaneSpec,
    wanted: Wanted<'_>,
    standing: &Standing<'_>,
) -> Result<MembershipChange, Error> {
    let known = spec.change.iter().chain(&spec.finished);
    if let Some(known) = known.into_iter().find(|known| is_same(known, wanted.request_id)) {
        return Ok(known.clone());
    }
    if let Some(change) = &spec.change {
        return Err(Error::Precondition(format!(
            "change {} of the members is under way ({}): wait for its end, or cancel it",
            change.number, change.message
        )));
    }
    note_ids(spec, standing.members);
    if wanted.remove_id != 0 {
        check_member(wanted.remove_id, standing.members)?;
    }
    let mut add = wanted.add;
    if let Some(member) = &mut add {
        check_new(member, standing.members)?;
        spec.highest_server_id += 1;
        member.id = spec.highest_server_id;
    } else if standing.members.len() <= 1 {
        return Err(Error::Precondition("it is the only server: without it there is no cluster".to_owned()));
    }
    spec.changes += 1;
    let change = MembershipChange {
        number: spec.changes,
        request_id: wanted.request_id.to_owned(),
        add,
        remove_id: wanted.remove_id,
        force: wanted.force,
        requested_by: wanted.by.to_owned(),
        started_at: Some(timestamp(standing.now_ms)),
        finished_at: None,
        phase: RUNNING.to_owned(),
        message: "written down".to_owned(),
    };
    spec.change = Some(change.clone());
    Ok(change)
}

fn is_same(known: &MembershipChange, request_id: &str) -> bool {
    !request_id.is_empty() && known.request_id == request_id
}

/// Every id that is in use counts as used.
pub(super) fn note_ids(spec: &mut ControlPlaneSpec, members: &[boss_raft::Member]) {
    let highest = members.iter().map(|member| member.id.0).max().unwrap_or_default();
    spec.highest_server_id = spec.highest_server_id.max(highest);
}

fn check_member(id: u64, members: &[boss_raft::Member]) -> Result<(), Error> {
    if members.iter().any(|member| member.id.0 == id) {
        return Ok(());
    }
    let all = members.iter().map(|member| member.id.to_string()).collect::<Vec<_>>().join(", ");
    Err(Error::NotFound(format!("server {id} is no member; the members are {all}")))
}

pub(super) fn check_new(new: &Member, members: &[boss_raft::Member]) -> Result<(), Error> {
    labels::check_name(&new.name).map_err(|problem| Error::invalid("name", problem.to_string(), ""))?;
    for (field, address) in [("peerAddress", &new.peer_address), ("apiAddress", &new.api_address)] {
        if !is_host_and_port(address) {
            return Err(Error::invalid(field, format!("{address:?} is not HOST:PORT"), "say where others reach it"));
        }
        if let Some(other) = members.iter().find(|other| other.peer == *address || other.api == *address) {
            return Err(Error::invalid(field, format!("server {} has the address {address}", other.id), ""));
        }
    }
    if new.peer_address == new.api_address {
        return Err(Error::invalid("apiAddress", "is the same as peerAddress", "they are two ports"));
    }
    match members.iter().find(|other| other.name == new.name) {
        Some(other) => Err(Error::invalid("name", format!("server {} is called {}", other.id, new.name), "")),
        None => Ok(()),
    }
}

fn is_host_and_port(text: &str) -> bool {
    let host_is_plain = |host: &str| !host.is_empty() && host.bytes().all(|byte| byte.is_ascii_graphic());
    text.rsplit_once(':')
        .is_some_and(|(host, port)| host_is_plain(host) && port.parse().is_ok_and(|port: u16| port > 0))
}

/// Asks the leader to take the change back.
pub(super) fn cancel(spec: &mut ControlPlaneSpec, number: u64) -> Result<MembershipChange, Error> {
    if let Some(finished) = spec.finished.iter().find(|finished| finished.number == number) {
        return Err(Error::Precondition(format!("change {number} has ended: {}", finished.message)));
    }
    match &mut spec.change {
        Some(change) if change.number == number => {
            CANCELLING.clone_into(&mut change.phase);
            "to be taken back".clone_into(&mut change.message);
            Ok(change.clone())
        }
        _ => Err(Error::NotFound(format!("there is no change {number}"))),
    }
}

/// Ends the change under way. `removed` is the id that nobody listens to any more.
pub(crate) fn finish(spec: &mut ControlPlaneSpec, phase: &str, message: &str, removed: Option<u64>, now_ms: u64) {
    let Some(mut change) = spec.change.take() else { return };
    phase.clone_into(&mut change.phase);
    message.clone_into(&mut change.message);
    change.finished_at = Some(timestamp(now_ms));
    spec.finished.push(change);
    let surplus = spec.finished.len().saturating_sub(FINISHED_CHANGES_MAX);
    spec.finished.drain(..surplus);
    if let Some(id) = removed.filter(|id| !spec.removed_server_ids.contains(id)) {
        spec.removed_server_ids.push(id);
        let surplus = spec.removed_server_ids.len().saturating_sub(REMOVED_SERVERS_MAX);
        spec.removed_server_ids.drain(..surplus);
    }
}

pub(super) fn timestamp(now_ms: u64) -> Timestamp {
    let seconds = i64::try_from(now_ms / 1_000).unwrap_or(i64::MAX);
    Timestamp { seconds, nanos: i32::try_from(now_ms % 1_000 * 1_000_000).unwrap_or(0) }
}

#[cfg(test)]
mod tests;
