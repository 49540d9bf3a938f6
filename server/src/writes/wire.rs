//! Writes and their answers as messages: what comes in, what is forwarded, what goes out. Knows no rules.

use boss_proto::{
    ids::Revision,
    key::Key,
    raft::v1::{Operation, operation::Action as Proposed},
    v1::{CreateRequest, DeleteRequest, DeleteResponse, UpdateRequest, WriteResponse},
};
use boss_raft::state::Record;
use bytes::Bytes;
use prost::Message;

use super::Error;
use crate::admission::{Action, Delete, Write};

const CREATE: &str = "/boss.v1.Registry/Create";
const UPDATE: &str = "/boss.v1.Registry/Update";
const UPDATE_STATUS: &str = "/boss.v1.Registry/UpdateStatus";
const DELETE: &str = "/boss.v1.Registry/Delete";

/// The answer to a write.
#[derive(Debug, Clone, PartialEq)]
pub enum Reply {
    /// To a create or update.
    Written(WriteResponse),
    /// To a delete.
    Deleted(DeleteResponse),
}

impl Reply {
    pub(super) fn written(record: &Record, revision: Revision) -> Self {
        Self::Written(WriteResponse { object: Some(record.object.clone()), revision: revision.0 })
    }

    pub(super) fn deleted(record: &Record, revision: Revision, gone: bool) -> Self {
        Self::Deleted(DeleteResponse { object: Some(record.object.clone()), revision: revision.0, gone })
    }

    pub(super) fn encode(&self) -> Bytes {
        Bytes::from(match self {
            Self::Written(response) => response.encode_to_vec(),
            Self::Deleted(response) => response.encode_to_vec(),
        })
    }

    /// Reads the answer to `write`.
    pub(super) fn decode(write: &Write, encoded: Bytes) -> Result<Self, Error> {
        let bad = |error: prost::DecodeError| Error::BadMessage(format!("the leader's answer cannot be read: {error}"));
        match &write.action {
            Action::Create(_) | Action::Update(_) | Action::UpdateStatus(_) => {
                WriteResponse::decode(encoded).map(Self::Written).map_err(bad)
            }
            Action::Delete(_) => DeleteResponse::decode(encoded).map(Self::Deleted).map_err(bad),
        }
    }
}

impl Write {
    /// From its message.
    #[must_use]
    pub fn create(request: CreateRequest) -> Self {
        Self { action: Action::Create(request.object), request_id: request.request_id }
    }

    /// From its message.
    #[must_use]
    pub fn update(request: UpdateRequest) -> Self {
        Self { action: Action::Update(request.object), request_id: request.request_id }
    }

    /// From its message.
    #[must_use]
    pub fn update_status(request: UpdateRequest) -> Self {
        Self { action: Action::UpdateStatus(request.object), request_id: request.request_id }
    }

    /// From its message.
    #[must_use]
    pub fn delete(request: DeleteRequest) -> Self {
        let DeleteRequest { key, request_id, preconditions, grace_period_seconds, absence_proven, .. } = request;
        Self { action: Action::Delete(Delete { key, preconditions, grace_period_seconds, absence_proven }), request_id }
    }

    /// The method and message that it came as.
    pub(super) fn encode(&self) -> (&'static str, Bytes) {
        let request_id = self.request_id.clone();
        match &self.action {
            Action::Create(object) => (
                CREATE,
                Bytes::from(CreateRequest { object: object.clone(), request_id, ..Default::default() }.encode_to_vec()),
            ),
            Action::Update(object) => (
                UPDATE,
                Bytes::from(UpdateRequest { object: object.clone(), request_id, ..Default::default() }.encode_to_vec()),
            ),
            Action::UpdateStatus(object) => (
                UPDATE_STATUS,
                Bytes::from(UpdateRequest { object: object.clone(), request_id, ..Default::default() }.encode_to_vec()),
            ),
            Action::Delete(delete) => {
                let Delete { key, preconditions, grace_period_seconds, absence_proven } = delete.clone();
                let request = DeleteRequest {
                    key,
                    request_id,
                    preconditions,
                    grace_period_seconds,
                    absence_proven,
                    ..Default::default()
                };
                (DELETE, Bytes::from(request.encode_to_vec()))
            }
        }
    }

    /// Reads what [`Write::encode`] made.
    pub(super) fn decode(method: &str, request: Bytes) -> Result<Self, Error> {
        let bad =
            |error: prost::DecodeError| Error::BadMessage(format!("the forwarded request cannot be read: {error}"));
        match method {
            CREATE => CreateRequest::decode(request).map(Self::create).map_err(bad),
            UPDATE => UpdateRequest::decode(request).map(Self::update).map_err(bad),
            UPDATE_STATUS => UpdateRequest::decode(request).map(Self::update_status).map_err(bad),
            DELETE => DeleteRequest::decode(request).map(Self::delete).map_err(bad),
            other => Err(Error::BadMessage(format!("{other:?} is no write that can be forwarded"))),
        }
    }
}

/// The object that an admitted operation is about.
pub(super) fn key_of(operation: &Operation) -> Option<Key> {
    match operation.action.as_ref()? {
        Proposed::Create(create) => create.object.as_ref()?.key(),
        Proposed::Update(update) => update.object.as_ref()?.key(),
        Proposed::UpdateStatus(update) => update.object.as_ref()?.key(),
        Proposed::Delete(delete) => Key::try_from(delete.key.as_ref()?).ok(),
        Proposed::Txn(_) | Proposed::Read(_) => None,
        Proposed::Bind(bind) => Key::try_from(bind.pod.as_ref()?).ok(),
        Proposed::Compact(_) => Some(Key::control_plane()),
    }
}
