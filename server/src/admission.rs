//! What a write must be, and what it becomes before it is proposed: rights, defaults, validation. Pure: the same
//! view, caller and write give the same operation. Knows no transport and no log.

mod checks;
mod collection;
mod defaults;
mod escalation;
mod fields;
mod limits;
mod merged;
mod metadata;
mod names;
mod node_restriction;
mod owners;
mod policies;
mod refusal;
mod revocations;
mod secrets;
mod txn;
mod validate;
mod write;

use std::{cell::RefCell, sync::Arc};

use boss_proto::{
    ids::Uid,
    key::Key,
    kind::Kind,
    limits::{OBJECT_BYTES_MAX, POLICY_WARNINGS_MAX},
    policy,
    raft::v1::{self as log, Admitted, Caller, Operation, PolicyResult, operation::Action as Proposed},
    v1::{self, Object, Preconditions, RequestId},
};
use boss_raft::state::{Record, View, credentials::ends_own, rbac::Attributes};
use prost::Message;

pub use self::{
    checks::Report,
    collection::{Collection, collect},
    fields::Conflict,
    policies::Policies,
    refusal::{Invalid, Refusal},
    write::Write,
};
use self::{
    limits::{Limits, asks_otherwise},
    policies::Asked,
};
use crate::{
    auth::{Identity, SERVERS_GROUP},
    sealing::Vault,
};

/// Namespace of objects whose manifest names none.
pub const DEFAULT_NAMESPACE: &str = "default";

/// What the leader adds to a write: admission itself knows neither clock nor chance.
#[derive(Clone, Copy)]
pub struct Stamp<'a> {
    /// Uids of new objects.
    pub uid: &'a dyn Fn() -> Uid,
    /// Wall clock, for the times of field owners.
    pub now_ms: u64,
    /// How often generated names were taken.
    pub attempt: u32,
    /// Rules of the cluster's own, compiled.
    pub policies: &'a Policies,
    /// Opens secrets that are changed, and seals what is proposed.
    pub vault: &'a Vault,
}

/// Makes the operation that is proposed, or says why not.
pub fn admit(view: &View, identity: &Identity, write: Write, stamp: Stamp<'_>) -> Result<Operation, Refusal> {
    check_credential(view, identity)?;
    let request_id = checks::request_id(write.request_id().cloned())?;
    // A dry run must neither find nor leave an effect.
    let request_id = request_id.filter(|_| !write.is_dry_run());
    let notes = RefCell::default();
    let dry_run = write.is_dry_run();
    let case = Case { view, identity, caller: &identity.caller(), request_id, stamp, dry_run, notes: &notes };
    case.admit(write)
}

/// What policies want the caller of an admitted write to be told.
#[must_use]
pub fn warnings(operation: &Operation) -> Vec<String> {
    let inner = match &operation.action {
        Some(Proposed::Txn(txn)) => txn.success.iter().chain(&txn.failure),
        _ => [].iter().chain(&[]),
    };
    let results = inner.chain([operation]).flat_map(|operation| &operation.admitted);
    let warned = results.flat_map(|admitted| &admitted.policies).filter(|found| found.result == "warned");
    warned.map(|found| format!("policy {}: {}", found.policy, found.message)).take(POLICY_WARNINGS_MAX).collect()
}

/// Whether the caller's credential counts at this view.
pub fn check_credential(view: &View, identity: &Identity) -> Result<(), Refusal> {
    view.check_credential(identity.shown()).map_err(Refusal::Withdrawn)
}

/// Whether the caller may do this; the default is no.
pub fn authorize(view: &View, identity: &Identity, attributes: &Attributes<'_>) -> Result<(), Refusal> {
    check_credential(view, identity)?;
    let decision = view.authorize(&identity.caller(), attributes);
    if decision.allowed { Ok(()) } else { Err(Refusal::Forbidden { reason: decision.reason.to_string() }) }
}

struct Case<'a> {
    view: &'a View,
    identity: &'a Identity,
    caller: &'a Caller,
    request_id: Option<RequestId>,
    stamp: Stamp<'a>,
    dry_run: bool,
    notes: &'a RefCell<Notes>,
}

/// What admission finds on its way, for the log.
#[derive(Default)]
struct Notes {
    /// What gave the first right that was asked for: the one to the write itself.
    allowed_by: Option<Arc<str>>,
    findings: Vec<PolicyResult>,
    /// Policies have looked at the object, and so at the one before it.
    asked_policies: bool,
}

impl Case<'_> {
    fn admit(&self, write: Write) -> Result<Operation, Refusal> {
        match write {
            Write::Create(request) => self.create(request.object),
            Write::Update(request) => self.update(request.object, &request.field_manager),
            Write::UpdateStatus(request) => self.update_status(request.object),
            Write::Patch(request) => self.patch(request),
            Write::Apply(request) => self.apply(request),
            Write::Delete(request) => self.delete(request),
            Write::DeleteCollection(_) => Err(Refusal::invalid("operation", "is not one but many", "")),
            Write::Txn(request) => self.txn(request),
        }
    }

    fn authorize(&self, attributes: &Attributes<'_>) -> Result<(), Refusal> {
        let decision = self.view.authorize(self.caller, attributes);
        if !decision.allowed {
            return Err(Refusal::Forbidden { reason: decision.reason.to_string() });
        }
        self.notes.borrow_mut().allowed_by.get_or_insert(decision.reason);
        Ok(())
    }

    fn create(&self, object: Option<Object>) -> Result<Operation, Refusal> {
        let mut object = object;
        if let Some(object) = &mut object {
            names::generate(self, object)?;
        }
        let (object, key) = take_object(object)?;
        // Whoever may do nothing may still log out.
        if !ends_own(self.caller, &object) {
            self.authorize(&Attributes::on("create", &key))?;
        }
        self.create_as(object, &key, Vec::new())
    }

    /// The rest of a create, once the caller has the right to it.
    fn create_as(
        &self,
        mut object: Object,
        key: &Key,
        managed_fields: Vec<v1::ManagedFields>,
    ) -> Result<Operation, Refusal> {
        let mut report = Report::default();
        metadata::prepare_new(&mut object, (self.stamp.uid)(), &mut report);
        if let Some(metadata) = object.metadata_mut() {
            metadata.managed_fields = managed_fields;
        }
        defaults::fill(&mut object);
        let limits = Limits::of(self.view, key);
        limits.fill(&mut object);
        self.mutate(policy::Operation::Create, key, &mut object, None, &mut report)?;
        self.fill_revocation(&mut object, None);
        validate::new_object(&object, &mut report);
        limits.check(&object, &mut report);
        owners::check(self, None, &object, &mut report)?;
        node_restriction::create(self.identity, key, &object)?;
        report.finish()?;
        escalation::check(self.view, self.identity, None, &object)?;
        self.judge(Asked { operation: policy::Operation::Create, key, object: Some(&object), old: None })?;
        self.seal(&mut object, None)?;
        self.check_size(&object)?;
        let action = Proposed::Create(log::Create { object: Some(object) });
        Ok(self.operation(key, None, None, action))
    }

    fn update(&self, object: Option<Object>, manager: &str) -> Result<Operation, Refusal> {
        let (object, key) = take_object(object)?;
        self.authorize(&Attributes::on("update", &key))?;
        let manager = merged::Manager::Writer(manager);
        self.update_as(object, &key, &manager)
    }

    /// The rest of an update, once the caller has the right to it.
    fn update_as(&self, mut object: Object, key: &Key, manager: &merged::Manager<'_>) -> Result<Operation, Refusal> {
        let stored = self.stored(key)?;
        let stored = stored.as_ref();
        let mut report = Report::default();
        let preconditions = metadata::take_preconditions(&mut object, &mut report);
        defaults::fill(&mut object);
        let limits = Limits::of(self.view, key);
        let old = stored.map(|stored| &stored.object);
        limits.fill_changed(old, &mut object);
        self.mutate(policy::Operation::Update, key, &mut object, old, &mut report)?;
        self.fill_revocation(&mut object, stored.map(|stored| &stored.object));
        validate::new_object(&object, &mut report);
        // A pod that was created before its range stays as it is.
        if stored.is_none_or(|stored| asks_otherwise(&stored.object, &object)) {
            limits.check(&object, &mut report);
        }
        if let Some(stored) = stored {
            validate::change(&stored.object, &mut object, &mut report);
            node_restriction::update(self.identity, key, &stored.object, &object)?;
        }
        owners::check(self, old, &object, &mut report)?;
        report.finish()?;
        escalation::check(self.view, self.identity, old, &object)?;
        self.judge(Asked { operation: policy::Operation::Update, key, object: Some(&object), old })?;
        self.own_fields(stored.map(|stored| &**stored), &mut object, manager)?;
        self.seal(&mut object, stored.map(|stored| &**stored))?;
        self.check_size(&object)?;
        let any_revision = !self.notes.borrow().asked_policies
            && self.identity.node().is_none()
            && matches!(key.kind, Kind::ConfigMap | Kind::Event | Kind::ServiceAccount)
            && matches!(manager, merged::Manager::Writer(_))
            && object
                .metadata()
                .is_some_and(|metadata| metadata.managed_fields.is_empty() && metadata.owner_references.is_empty());
        let action = Proposed::Update(log::Update { object: Some(object) });
        let operation = self.operation(key, stored.map(|stored| &**stored), preconditions, action);
        Ok(Operation { any_revision, ..operation })
    }

    fn update_status(&self, object: Option<Object>) -> Result<Operation, Refusal> {
        let (object, key) = take_object(object)?;
        self.authorize(&Attributes::on("update", &key).part("status"))?;
        self.update_status_as(object, &key)
    }

    /// The rest of a status update, once the caller has the right to it.
    fn update_status_as(&self, mut object: Object, key: &Key) -> Result<Operation, Refusal> {
        let stored = self.view.get(key);
        let mut report = Report::default();
        let preconditions = metadata::take_preconditions(&mut object, &mut report);
        validate::status(&object, &mut report);
        if let Some(stored) = stored {
            node_restriction::update_status(self.identity, key, &stored.object)?;
        }
        report.finish()?;
        let old = stored.map(|stored| &stored.object);
        self.judge(Asked { operation: policy::Operation::Status, key, object: Some(&object), old })?;
        self.check_size(&object)?;
        let action = Proposed::UpdateStatus(log::UpdateStatus { object: Some(object) });
        Ok(self.operation(key, stored.map(|stored| &**stored), preconditions, action))
    }

    fn delete(&self, delete: v1::DeleteRequest) -> Result<Operation, Refusal> {
        let v1::DeleteRequest { key, preconditions, grace_period_seconds, absence_proven, propagation, .. } = delete;
        let key = checks::key(key)?;
        self.authorize(&Attributes::on("delete", &key))?;
        let stored = self.view.get(&key);
        checks::grace_period(grace_period_seconds)?;
        if v1::Propagation::try_from(propagation).is_err() {
            let problem = format!("{propagation} is unknown");
            return Err(Refusal::invalid("propagation", problem, "use background, foreground or orphan"));
        }
        if absence_proven && self.identity.node().is_none() && !self.is_server() {
            let reason = "only the agent of the pod's node can prove that its sandbox is gone".to_owned();
            return Err(Refusal::Forbidden { reason });
        }
        node_restriction::delete(self.identity, &key, stored.map(|stored| &stored.object), absence_proven)?;
        let old = stored.map(|stored| &stored.object);
        self.judge(Asked { operation: policy::Operation::Delete, key: &key, object: None, old })?;
        let delete = log::Delete { key: Some(key.to_proto()), grace_period_seconds, absence_proven, propagation };
        Ok(self.operation(&key, stored.map(|stored| &**stored), preconditions, Proposed::Delete(delete)))
    }

    fn is_server(&self) -> bool {
        self.identity.groups.iter().any(|group| group == SERVERS_GROUP)
    }

    fn check_size(&self, object: &Object) -> Result<(), Refusal> {
        let max = self.view.limits().object_bytes_max.min(OBJECT_BYTES_MAX);
        let bytes = object.encoded_len();
        if bytes > max { Err(Refusal::TooLarge { bytes, max }) } else { Ok(()) }
    }

    /// What the log keeps of how it was admitted.
    fn admitted(&self) -> Admitted {
        let Notes { allowed_by, findings, .. } = self.notes.take();
        Admitted { allowed_by: allowed_by.map_or_else(String::new, |reason| reason.to_string()), policies: findings }
    }

    fn operation(
        &self,
        key: &Key,
        stored: Option<&Record>,
        preconditions: Option<Preconditions>,
        action: Proposed,
    ) -> Operation {
        Operation {
            request_id: self.request_id.clone(),
            caller: Some(self.caller.clone()),
            preconditions,
            admission_epoch: self.view.admission_epoch(&key.namespace),
            admitted_revision: stored.map_or(0, |stored| stored.revision.0),
            leader_term: None,
            action: Some(action),
            any_revision: false,
            patch: false,
            admitted: Some(self.admitted()),
        }
    }
}

/// The object with its key: present, of one kind, in a namespace if its kind lives in one.
fn take_object(object: Option<Object>) -> Result<(Object, Key), Refusal> {
    let mut object = object.ok_or_else(|| Refusal::invalid("object", "is missing", "send an object"))?;
    let Some(kind) = object.kind() else {
        return Err(Refusal::invalid(
            "object",
            "holds no kind that this server knows",
            "use a server of the same version",
        ));
    };
    checks::type_meta(&object, kind)?;
    object.fill_type_meta();
    if object.metadata().is_none() {
        return Err(Refusal::invalid("metadata", "is missing", "give the object at least a name"));
    }
    let key = place(&mut object, kind)?;
    Ok((object, key))
}

fn place(object: &mut Object, kind: Kind) -> Result<Key, Refusal> {
    let Some(metadata) = object.metadata_mut() else {
        return Err(Refusal::invalid("metadata", "is missing", "give the object at least a name"));
    };
    if kind.is_namespaced() && metadata.namespace.is_empty() {
        DEFAULT_NAMESPACE.clone_into(&mut metadata.namespace);
    }
    checks::key(Some(v1::ObjectKey {
        kind: kind.to_string(),
        namespace: metadata.namespace.clone(),
        name: metadata.name.clone(),
    }))
    .map_err(|refusal| refusal.inside("metadata"))
}

#[cfg(test)]
mod tests;
