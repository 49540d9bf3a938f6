//! Carries out the change of the members that is written down: a learner first, a vote once it has caught up, then the
//! goodbye of who goes. Every step can be found half done by the next leader. Knows no caller.

use std::{collections::BTreeSet, sync::Arc, time::Duration};

use boss_base::clock::Clock;
use boss_proto::{
    ids::ServerId,
    key::Key,
    kind::Kind,
    object::Resource,
    v1::{ControlPlane, ControlPlaneSpec, MembershipChange},
};
use boss_raft::{ChangeError, Handle, Health};

use super::{
    driver::{Controller, Error, NextRun},
    leader::{Changes, Leader, Write},
    was_written,
};
use crate::{
    members::{CANCELLING, check_quorum, finish, fit, member, voters_after},
    sealing::{Vault, active_key},
    writes::Peers,
};

/// While a change waits for something that nobody announces.
const LOOK_INTERVAL: Duration = Duration::from_millis(200);
/// How often members are asked for the names of their data folders, until all are known.
const FOLDERS_INTERVAL: Duration = Duration::from_secs(1);

/// Carries out changes of the members.
pub(super) struct Membership {
    leader: Leader,
    handle: Handle,
    clock: Arc<dyn Clock>,
    vault: Vault,
    peers: Peers,
    changes: Changes,
    folders_known: bool,
}

/// What one look at a change led to.
enum Step {
    /// It goes on; this is what it waits for.
    Waits(String),
    /// It has ended: phase, what to say, and who is listened to no more.
    Ended(&'static str, String, Option<u64>),
}

fn waits(for_what: impl Into<String>) -> Result<Step, ChangeError> {
    Ok(Step::Waits(for_what.into()))
}

impl Membership {
    /// For one term.
    #[must_use]
    pub(super) fn new(leader: Leader, handle: Handle, clock: Arc<dyn Clock>, vault: Vault, peers: Peers) -> Self {
        let changes = leader.changes(&[Kind::ControlPlane]);
        Self { leader, handle, clock, vault, peers, changes, folders_known: false }
    }

    /// Why a server that comes cannot vote yet although it has caught up: as a leader it could neither store nor show
    /// a secret, nor sign a token.
    async fn missing_key(&self, joining: ServerId) -> Option<String> {
        let key_id = active_key(&self.leader.view())?;
        let own = self.handle.server_id();
        let missing = self.vault.missing_at(&key_id, own, &[own, joining].into(), &self.peers).await;
        let words: Vec<_> = missing.iter().map(|(server, problem)| format!("server {server} {problem}")).collect();
        let advice = "give it the file of the cluster's sealing keys, name it in server.toml and start it anew";
        (!words.is_empty()).then(|| format!("the sealing key {key_id}: {}; {advice}", words.join(", ")))
    }

    async fn learn_folders(&mut self) {
        match self.handle.pin_folders().await {
            Ok(all) => self.folders_known = all,
            Err(error) => tracing::debug!(%error, "the names of the data folders are not written down yet"),
        }
    }

    async fn step(&self, change: &MembershipChange) -> Result<Step, ChangeError> {
        if change.phase == CANCELLING {
            return self.take_back(change).await;
        }
        let joining = change.add.as_ref().map(member);
        if let Some(joining) = &joining {
            self.handle.add_learner(joining).await?;
        }
        let (health, status) = (self.handle.health().await, self.handle.status());
        let mut fit = fit(&health, status.last_log_index);
        if let Some(joining) = &joining {
            let found = health.iter().find(|member| member.member.id == joining.id);
            if let Some(missing) = why_not_ready(found, &fit, status.last_log_index) {
                return waits(format!("server {} ({}): {missing}", joining.id, joining.peer));
            }
            if !status.voters.contains(&joining.id)
                && let Some(missing) = self.missing_key(joining.id).await
            {
                return waits(missing);
            }
            fit.insert(joining.id);
        }
        let after = voters_after(&status.voters, change);
        let voters: BTreeSet<ServerId> = status.voters.iter().copied().collect();
        if after != voters || self.handle.is_between_voters() {
            if let Err(lost) = check_quorum(&after, &fit)
                && !change.force
            {
                return waits(lost.to_string());
            }
            if change.remove_id == self.handle.server_id().0 {
                return self.step_down(&after, &fit).await;
            }
            self.handle.set_voters(after).await?;
        }
        if change.remove_id != 0 {
            self.handle.remove_learner(ServerId(change.remove_id)).await?;
        }
        Ok(Step::Ended("Done", done(change), (change.remove_id != 0).then_some(change.remove_id)))
    }

    /// A leader that is to go hands over first; the next one goes on.
    async fn step_down(&self, after: &BTreeSet<ServerId>, fit: &BTreeSet<ServerId>) -> Result<Step, ChangeError> {
        let own = self.handle.server_id();
        let voters = self.handle.status().voters;
        let Some(successor) = after.iter().find(|id| **id != own && fit.contains(id) && voters.contains(id)) else {
            return waits("another voter that can lead, as the leader itself is to go");
        };
        match self.handle.transfer_leader(Some(*successor)).await {
            Ok(leader) => waits(format!("server {leader}, which leads now, to go on")),
            Err(error) => waits(format!("server {successor} to take over: {error}")),
        }
    }

    /// A server that has its vote already stays; what it replaces is then removed by a call of its own.
    async fn take_back(&self, change: &MembershipChange) -> Result<Step, ChangeError> {
        let status = self.handle.status();
        let Some(joining) = &change.add else {
            return Ok(Step::Ended("Cancelled", "taken back before anybody went".to_owned(), None));
        };
        let id = ServerId(joining.id);
        if status.voters.contains(&id) {
            return Ok(Step::Ended("Done", format!("server {id} had its vote already, so it stays"), None));
        }
        self.handle.remove_learner(id).await?;
        Ok(Step::Ended("Cancelled", format!("server {id} is not added; its id is never used again"), Some(joining.id)))
    }

    /// Writes down how far it is, if that is news.
    async fn note(&self, change: &MembershipChange, step: Step) -> Result<(), Error> {
        let now_ms = self.clock.unix_millis();
        self.edit(|spec| match &step {
            Step::Waits(message) => {
                if let Some(now) = spec.change.as_mut().filter(|now| now.number == change.number) {
                    message.clone_into(&mut now.message);
                }
            }
            Step::Ended(phase, message, removed) => {
                if spec.change.as_ref().is_some_and(|now| now.number == change.number) {
                    finish(spec, phase, message, *removed, now_ms);
                }
            }
        })
        .await
    }

    async fn edit(&self, edit: impl Fn(&mut ControlPlaneSpec)) -> Result<(), Error> {
        loop {
            let Some(record) = self.leader.view().get(&Key::control_plane()).cloned() else { return Ok(()) };
            let Some(mut plane) = ControlPlane::from_object(&record.object).cloned() else { return Ok(()) };
            let spec = plane.spec.get_or_insert_default();
            let before = spec.clone();
            edit(spec);
            if *spec == before {
                return Ok(());
            }
            for outcome in self.leader.write(vec![Write::update(&record, plane)]).await? {
                if was_written(&outcome, &record.key)? {
                    return Ok(());
                }
            }
        }
    }
}

impl Controller for Membership {
    const NAME: &'static str = "membership";

    async fn reconcile(&mut self) -> Result<NextRun, Error> {
        if !self.folders_known {
            self.learn_folders().await;
        }
        let view = self.leader.view();
        let plane = view.get(&Key::control_plane()).cloned();
        let plane = plane.as_ref().and_then(|record| ControlPlane::from_object(&record.object));
        let Some(change) = plane.and_then(|plane| plane.spec.as_ref()?.change.clone()) else {
            return Ok(if self.folders_known { NextRun::OnChange } else { NextRun::Within(FOLDERS_INTERVAL) });
        };
        // Who comes has a folder that nobody knows yet.
        self.folders_known &= change.add.is_none();
        let step = match self.step(&change).await {
            Ok(step) => step,
            Err(ChangeError::Impossible(problem)) => Step::Ended("Failed", problem, None),
            Err(error) => Step::Waits(error.to_string()),
        };
        match &step {
            Step::Waits(message) => tracing::debug!(change = change.number, message, "the change waits"),
            Step::Ended(phase, message, _) => tracing::info!(change = change.number, phase, message, "members changed"),
        }
        self.note(&change, step).await?;
        Ok(NextRun::Within(LOOK_INTERVAL))
    }

    async fn changed(&mut self) {
        self.changes.next().await;
    }
}

fn why_not_ready(found: Option<&Health>, fit: &BTreeSet<ServerId>, last_log_index: u64) -> Option<String> {
    let Some(found) = found else { return Some("it is no learner yet".to_owned()) };
    match &found.last_log_index {
        Err(problem) => Some(format!("it does not answer: {problem}")),
        Ok(index) if !fit.contains(&found.member.id) => Some(format!("it is at entry {index} of {last_log_index}")),
        Ok(0) => Some("it has received nothing yet".to_owned()),
        Ok(_) if !found.folder_known => Some("its data folder is not written down yet".to_owned()),
        Ok(_) => None,
    }
}

fn done(change: &MembershipChange) -> String {
    match (&change.add, change.remove_id) {
        (Some(added), 0) => format!("server {} votes", added.id),
        (Some(added), removed) => format!("server {} has taken the place of server {removed}", added.id),
        (None, removed) => format!("server {removed} is no member any more"),
    }
}

#[cfg(test)]
mod tests {
    use boss_raft::Member;

    use super::*;

    fn health(last_log_index: Result<u64, String>, folder_known: bool) -> Health {
        let member = Member { id: ServerId(4), ..Member::default() };
        Health { member, voter: false, last_log_index, folder_known }
    }

    fn check(health: &Health, last: u64, expected: Option<&str>) {
        let fit = fit(std::slice::from_ref(health), last);
        let found = why_not_ready(Some(health), &fit, last);
        assert_eq!(found.as_deref(), expected);
    }

    #[test]
    fn a_learner_gets_its_vote_only_when_it_answers_is_close_and_its_folder_is_known() {
        check(&health(Err("refused".to_owned()), true), 10, Some("it does not answer: refused"));
        check(&health(Ok(10), true), 90_000, Some("it is at entry 10 of 90000"));
        check(&health(Ok(0), true), 9, Some("it has received nothing yet"));
        check(&health(Ok(9), false), 9, Some("its data folder is not written down yet"));
        check(&health(Ok(9), true), 9, None);
    }
}
