//! What a write must be, and what it becomes before it is proposed: rights, defaults, validation. Pure: the same
//! view, caller and write give the same operation. Knows no transport and no log.

mod checks;
mod defaults;
mod escalation;
mod metadata;
mod node_restriction;
mod refusal;
mod validate;

use boss_proto::{
    ids::Uid,
    key::Key,
    kind::Kind,
    limits::OBJECT_BYTES_MAX,
    raft::v1::{self as log, Operation, operation::Action as Proposed},
    v1::{self, Object, Preconditions, RequestId},
};
use boss_raft::state::{Record, View, rbac::Attributes};
use prost::Message;

pub use self::{
    checks::Report,
    refusal::{Invalid, Refusal},
};
use crate::auth::{Identity, SERVERS_GROUP};

/// Namespace of objects whose manifest names none.
pub const DEFAULT_NAMESPACE: &str = "default";

/// A write as a caller asks for it.
#[derive(Debug, Clone, PartialEq)]
pub struct Write {
    /// What is to happen.
    pub action: Action,
    /// Makes it safe to send again.
    pub request_id: Option<RequestId>,
}

/// What is to happen.
#[derive(Debug, Clone, PartialEq)]
pub enum Action {
    /// Store a new object.
    Create(Option<Object>),
    /// Replace everything but the status.
    Update(Option<Object>),
    /// Replace the status.
    UpdateStatus(Option<Object>),
    /// Remove the object, or ask for it.
    Delete(Delete),
}

/// A deletion as a caller asks for it.
#[derive(Debug, Clone, PartialEq)]
pub struct Delete {
    /// Of which object.
    pub key: Option<v1::ObjectKey>,
    /// What must hold of it.
    pub preconditions: Option<Preconditions>,
    /// Instead of the pod's own.
    pub grace_period_seconds: Option<u32>,
    /// The sandbox is gone for certain.
    pub absence_proven: bool,
}

/// Makes the operation that is proposed, or says why not. `uid` becomes the uid of a new object.
pub fn admit(view: &View, identity: &Identity, write: Write, uid: Uid) -> Result<Operation, Refusal> {
    let Write { action, request_id } = write;
    let case = Case { view, identity, request_id: checks::request_id(request_id)? };
    match action {
        Action::Create(object) => case.create(object, uid),
        Action::Update(object) => case.update(object),
        Action::UpdateStatus(object) => case.update_status(object),
        Action::Delete(delete) => case.delete(delete),
    }
}

/// Whether the caller may do this; the default is no.
pub fn authorize(view: &View, identity: &Identity, attributes: &Attributes<'_>) -> Result<(), Refusal> {
    let decision = view.authorize(&identity.caller(), attributes);
    if decision.allowed { Ok(()) } else { Err(Refusal::Forbidden { reason: decision.reason.to_string() }) }
}

struct Case<'a> {
    view: &'a View,
    identity: &'a Identity,
    request_id: Option<RequestId>,
}

impl Case<'_> {
    fn create(&self, object: Option<Object>, uid: Uid) -> Result<Operation, Refusal> {
        let (mut object, key) = take_object(object)?;
        authorize(self.view, self.identity, &Attributes::on("create", &key))?;
        let mut report = Report::default();
        metadata::prepare_new(&mut object, uid, &mut report);
        defaults::fill(&mut object);
        validate::new_object(&object, &mut report);
        node_restriction::create(self.identity, &key, &object)?;
        report.finish()?;
        escalation::check(self.view, self.identity, &object)?;
        self.check_size(&object)?;
        let action = Proposed::Create(log::Create { object: Some(object) });
        Ok(self.operation(&key, None, None, action))
    }

    fn update(&self, object: Option<Object>) -> Result<Operation, Refusal> {
        let (mut object, key) = take_object(object)?;
        authorize(self.view, self.identity, &Attributes::on("update", &key))?;
        let stored = self.view.get(&key);
        let mut report = Report::default();
        let preconditions = metadata::take_preconditions(&mut object, &mut report);
        defaults::fill(&mut object);
        validate::new_object(&object, &mut report);
        if let Some(stored) = stored {
            validate::change(&stored.object, &mut object, &mut report);
            node_restriction::update(self.identity, &key, &stored.object, &object)?;
        }
        report.finish()?;
        escalation::check(self.view, self.identity, &object)?;
        self.check_size(&object)?;
        let action = Proposed::Update(log::Update { object: Some(object) });
        Ok(self.operation(&key, stored.map(|stored| &**stored), preconditions, action))
    }

    fn update_status(&self, object: Option<Object>) -> Result<Operation, Refusal> {
        let (mut object, key) = take_object(object)?;
        authorize(self.view, self.identity, &Attributes::on("update", &key).part("status"))?;
        let stored = self.view.get(&key);
        let mut report = Report::default();
        let preconditions = metadata::take_preconditions(&mut object, &mut report);
        validate::status(&object, &mut report);
        if let Some(stored) = stored {
            node_restriction::update_status(self.identity, &key, &stored.object)?;
        }
        report.finish()?;
        self.check_size(&object)?;
        let action = Proposed::UpdateStatus(log::UpdateStatus { object: Some(object) });
        Ok(self.operation(&key, stored.map(|stored| &**stored), preconditions, action))
    }

    fn delete(&self, delete: Delete) -> Result<Operation, Refusal> {
        let Delete { key, preconditions, grace_period_seconds, absence_proven } = delete;
        let key = checks::key(key)?;
        authorize(self.view, self.identity, &Attributes::on("delete", &key))?;
        let stored = self.view.get(&key);
        checks::grace_period(grace_period_seconds)?;
        if absence_proven && self.identity.node().is_none() && !self.is_server() {
            let reason = "only the agent of the pod's node can prove that its sandbox is gone".to_owned();
            return Err(Refusal::Forbidden { reason });
        }
        node_restriction::delete(self.identity, &key, stored.map(|stored| &stored.object), absence_proven)?;
        let action = Proposed::Delete(log::Delete {
            key: Some(key.to_proto()),
            grace_period_seconds,
            absence_proven,
            propagation: 0,
        });
        Ok(self.operation(&key, stored.map(|stored| &**stored), preconditions, action))
    }

    fn is_server(&self) -> bool {
        self.identity.groups.iter().any(|group| group == SERVERS_GROUP)
    }

    fn check_size(&self, object: &Object) -> Result<(), Refusal> {
        let max = self.view.limits().object_bytes_max.min(OBJECT_BYTES_MAX);
        let bytes = object.encoded_len();
        if bytes > max { Err(Refusal::TooLarge { bytes, max }) } else { Ok(()) }
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
            caller: Some(self.identity.caller()),
            preconditions,
            admission_epoch: self.view.admission_epoch(&key.namespace),
            admitted_revision: stored.map_or(0, |stored| stored.revision.0),
            leader_term: None,
            action: Some(action),
            any_revision: false,
            patch: false,
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
