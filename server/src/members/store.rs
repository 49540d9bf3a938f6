//! Reading, changing and writing the control plane's own object: only if nobody else did meanwhile. Knows no rule.

use boss_proto::{
    ids::Uid,
    key::Key,
    object::Resource,
    raft::v1::{Caller, Create, Operation, Update, operation::Action},
    v1::{ControlPlane, ControlPlaneSpec, ObjectMeta, Preconditions},
};
use boss_raft::state::{Outcome, Rejection, rbac::SERVERS_GROUP};

use super::Members;
use crate::{api::Error, writes};

/// Others may be faster so often; each of them got something done.
pub(super) const EDITS_MAX: usize = 16;

/// The servers themselves, acting for `what`.
pub(super) fn own_caller(what: &str) -> Caller {
    let uid = format!("system:{what}");
    Caller { username: uid.clone(), uid, groups: vec![SERVERS_GROUP.to_owned()], ..Caller::default() }
}

impl Members {
    /// The term in which this server leads and may act.
    pub(super) fn leading_term(&self) -> Result<u64, Error> {
        let now = *self.0.raft.leadership().borrow();
        if now.is_self && now.ready { Ok(now.term) } else { Err(writes::Error::NotLeader.into()) }
    }

    /// What stands there now; empty before the first operation.
    pub(crate) fn control_plane(&self) -> ControlPlaneSpec {
        self.spec()
    }

    pub(super) fn spec(&self) -> ControlPlaneSpec {
        let record = self.0.raft.view().get(&Key::control_plane()).cloned();
        record.and_then(|record| super::spec_of(&record.object).cloned()).unwrap_or_default()
    }

    /// Changes what stands there, as the caller: apply asks for the right again at the entry's own place in the log.
    /// `edit` may run several times; its result is that of the run that was written.
    pub(super) async fn edit<T>(
        &self,
        caller: &Caller,
        edit: impl Fn(&mut ControlPlaneSpec) -> Result<T, Error>,
    ) -> Result<T, Error> {
        for _ in 0..EDITS_MAX {
            let term = self.leading_term()?;
            let record = self.0.raft.view().get(&Key::control_plane()).cloned();
            let stored = record.as_ref().and_then(|record| ControlPlane::from_object(&record.object));
            let mut plane = stored.cloned().unwrap_or_else(new_plane);
            let spec = plane.spec.get_or_insert_default();
            let before = spec.clone();
            let result = edit(spec)?;
            if *spec == before {
                return Ok(result);
            }
            let object = Some(plane.into_object());
            let (action, preconditions) = match &record {
                None => (Action::Create(Create { object }), None),
                Some(record) => {
                    let resource_version = Some(record.revision.0);
                    (Action::Update(Update { object }), Some(Preconditions { resource_version, uid: None }))
                }
            };
            if self.propose(term, caller, action, preconditions).await? {
                return Ok(result);
            }
        }
        Err(writes::Error::Unsettled.into())
    }

    /// `false` when the object has changed since it was read.
    pub(super) async fn propose(
        &self,
        term: u64,
        caller: &Caller,
        action: Action,
        preconditions: Option<Preconditions>,
    ) -> Result<bool, Error> {
        let (caller, leader_term, action) = (Some(caller.clone()), Some(term), Some(action));
        let operation = Operation { caller, leader_term, action, preconditions, ..Operation::default() };
        let outcomes = self.0.raft.propose(vec![operation]).await.map_err(writes::Error::from)?;
        match outcomes.into_iter().next() {
            Some(Outcome::Rejected(rejection)) if was_faster(&rejection) => Ok(false),
            Some(Outcome::Rejected(rejection)) => {
                let key = Some(Key::control_plane());
                Err(writes::Error::Rejected { key, rejection: Box::new(rejection) }.into())
            }
            Some(_) => Ok(true),
            None => Err(writes::Error::Unknown { retryable: true }.into()),
        }
    }
}

/// Whether somebody else has changed an object since it was looked at.
fn was_faster(rejection: &Rejection) -> bool {
    match rejection {
        Rejection::Conflict { .. } | Rejection::AlreadyExists { .. } | Rejection::NotFound => true,
        Rejection::InTxn { rejection, .. } => was_faster(rejection),
        _ => false,
    }
}

fn new_plane() -> ControlPlane {
    let metadata =
        ObjectMeta { name: Key::control_plane().name, uid: Uid::random().to_string(), ..ObjectMeta::default() };
    ControlPlane { metadata: Some(metadata), ..ControlPlane::default() }
}
